"""The embedded model for English to Spanish: declares where its files are, and imports nothing to use them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from batchtrans import Declared, hookimpl


@hookimpl
def batchtrans_models() -> Iterable[Declared]:
    return [
        Declared(
            "en-es",
            "batchtrans_en_es:model_directory",
            "English to Spanish, 57 M parameters in 4 bits with a QLoRA adapter",
        )
    ]


def model_directory() -> Path:
    """The directory with ``base/`` (a 4-bit transformers checkpoint), ``adapter/`` (a PEFT adapter with its
    batchtrans.json) and ``manifest.json`` (size and sha256 of every file)."""
    return Path(__file__).resolve().parent / "model"
