"""The fingerprint of a base model, so that an adapter is never put on another one.

PEFT loads an adapter onto any base of equal shape without a word; what it then writes is nonsense.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from batchtrans import BackendError

#: The fields of config.json that decide what the weights compute; the rest is about tools and versions.
_CONFIG_FIELDS = (
    "attention_bias",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "mlp_bias",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "quantization_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "tie_word_embeddings",
    "vocab_size",
)
_CHUNK = 1 << 22


class Tensor(NamedTuple):
    """A tensor of a safetensors file: where its bytes lie, from ``start`` to before ``end``."""

    name: str
    dtype: str
    shape: list[int]
    path: Path
    start: int
    end: int


def fingerprint(directory: Path) -> str:
    """sha256 (hex) of a checkpoint: the model-defining part of config.json, tokenizer.json, and every tensor of the
    safetensors files by name, type, shape and stored bytes. How tensors are spread over files does not matter.

    :raises BackendError: where the directory holds no safetensors checkpoint or a damaged one.
    """
    digest = hashlib.sha256()
    config = json.loads(_read(directory / "config.json"))
    fields = {name: config[name] for name in _CONFIG_FIELDS if config.get(name) is not None}
    digest.update(json.dumps(fields, sort_keys=True).encode("utf-8"))
    digest.update(hashlib.sha256(_read(directory / "tokenizer.json")).digest())
    for tensor in sorted(tensors(directory)):
        digest.update(json.dumps([tensor.name, tensor.dtype, tensor.shape]).encode("utf-8"))
        with tensor.path.open("rb") as file:
            file.seek(tensor.start)
            left = tensor.end - tensor.start
            while left > 0 and (data := file.read(min(_CHUNK, left))):
                digest.update(data)
                left -= len(data)
        if left:
            raise BackendError(f"{tensor.path}: cut short inside the tensor {tensor.name}", "Fetch the model again.")
    return digest.hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BackendError(f"{path}: {error.strerror}", "A model directory needs this file.") from error


def _weight_files(directory: Path, name: str) -> list[Path]:
    index = directory / f"{name}.index.json"
    if index.exists():
        return [directory / name for name in sorted(set(json.loads(_read(index))["weight_map"].values()))]
    return [directory / name]


def tensors(directory: Path, name: str = "model.safetensors") -> Iterator[Tensor]:
    """What the headers of the files list; the format is 8 bytes of header length, a JSON header, the data.

    :raises BackendError: for a file that is not there or damaged.
    """
    for path in _weight_files(directory, name):
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header: dict[str, Any] = json.loads(file.read(length))
        except (OSError, struct.error, ValueError, OverflowError, MemoryError) as error:
            raise BackendError(
                f"{path}: not a readable safetensors file ({error})",
                "Only safetensors checkpoints are loaded; convert the model, or fetch it again.",
            ) from error
        for name, entry in header.items():
            if name != "__metadata__":
                start, end = (8 + length + offset for offset in entry["data_offsets"])
                yield Tensor(name, entry["dtype"], entry["shape"], path, start, end)
