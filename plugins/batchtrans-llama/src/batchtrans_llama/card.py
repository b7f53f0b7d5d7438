"""``batchtrans.json``: what an adapter or a merged checkpoint knows about itself, and what is assumed without it."""

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
    ``nf4`` or ``none``: which numbers the base weights had when the adapter was trained on them. ``verdict`` is
    ``ACCEPT`` or ``REJECT`` where a training judged it.
    """

    directory: Path
    base_name: str
    plain: bool
    base_fingerprint: str = ""
    quantisation: str = ""
    prompt: str = ""
    source_lang: str = ""
    target_lang: str = ""
    verdict: str = ""

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
    verdict = str(card.get("verdict", ""))
    return Adapter(directory, base_name, plain=False, **{name: card[name] for name in _FIELDS}, verdict=verdict)


@dataclass(frozen=True, slots=True)
class Merged:
    """What a checkpoint with an adapter merged into it was trained to be asked: its prompt and its languages."""

    prompt: str
    source_lang: str
    target_lang: str


def read_merged(directory: Path) -> Merged | None:
    """The card of a merged checkpoint; ``None`` for a model that has none.

    :raises BackendError: where it is broken.
    """
    if not (directory / CARD).is_file():
        return None
    card = read_json(directory / CARD, f"{directory} has no readable {CARD}")
    try:
        return Merged(*(str(card[name]) for name in ("prompt", "source_lang", "target_lang")))
    except KeyError as error:
        raise BackendError(f"{directory / CARD}: the field {error} is missing") from None


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
