"""``batchtrans.json``: what an adapter knows about itself, and what is assumed of one that has no such file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchtrans import BackendError

CARD = "batchtrans.json"
_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"
_FIELDS = ("base_fingerprint", "quantisation", "prompt", "source_lang", "target_lang")


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter in ``directory``. ``base_name`` is what PEFT wrote down as its base, maybe empty.

    Of a plain adapter, without batchtrans.json, the other fields are empty; ``plain`` says so. ``quantisation`` is
    ``nf4`` or ``none``: which numbers the base weights had when the adapter was trained on them.
    """

    directory: Path
    base_name: str
    plain: bool
    base_fingerprint: str = ""
    quantisation: str = ""
    prompt: str = ""
    source_lang: str = ""
    target_lang: str = ""

    def sha256(self) -> str:
        """The hash of what decides the adapter's output: its configuration and its weights."""
        digest = hashlib.sha256((self.directory / _CONFIG).read_bytes())
        with (self.directory / _WEIGHTS).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()


def read_adapter(directory: Path) -> Adapter:
    """Read what stands beside an adapter's weights; the weights themselves are only looked for.

    :raises BackendError: where this is no PEFT adapter in safetensors, or its card is broken.
    """
    config = read_json(directory / _CONFIG, f"{directory} is not a PEFT adapter")
    if not (directory / _WEIGHTS).is_file():
        raise BackendError(
            f"{directory} has no {_WEIGHTS}",
            "Adapters are read from safetensors only: a pickled adapter_model.bin can run code when it is loaded. "
            "Load it with peft where you trust it, and save it again.",
        )
    base_name = str(config.get("base_model_name_or_path") or "")
    if not (directory / CARD).is_file():
        return Adapter(directory, base_name, plain=True)
    card = read_json(directory / CARD, f"{directory} has no readable {CARD}")
    for name in _FIELDS:
        if not isinstance(card.get(name), str):
            raise BackendError(f"{directory / CARD}: the field {name!r} is missing or no text")
    if card["quantisation"] not in ("nf4", "none"):
        raise BackendError(f"{directory / CARD}: quantisation is {card['quantisation']!r}, neither nf4 nor none")
    return Adapter(directory, base_name, plain=False, **{name: card[name] for name in _FIELDS})


def read_json(path: Path, otherwise: str) -> Mapping[str, Any]:
    """A JSON object from a file.

    :raises BackendError: beginning with ``otherwise``, where it is not there or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackendError(f"{otherwise}: {path.name}: {error}") from None
    if not isinstance(value, dict):
        raise BackendError(f"{otherwise}: {path.name} holds no JSON object")
    return value
