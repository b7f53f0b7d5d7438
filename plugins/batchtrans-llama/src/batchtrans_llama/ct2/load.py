"""From directories to a CTranslate2 model that is ready to decode: the converted one of the cache, or a new one."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from batchtrans import BackendError, UsageError

from ..card import read_json
from ..devices import threads
from ..load import Loaded, eos_ids, is_4bit, load, missing, read_tokenizer
from ..locate import Located
from ..options import Settings
from ..tokenizer import PlainTokenizer, is_plain
from . import convert, store
from .engine import THREADS
from .weights import Weights, by_numpy


class _Place(NamedTuple):
    """What stands in for a torch device."""

    type: str = "cpu"


def load_ct2(found: Located, settings: Settings) -> Loaded:
    """Load a located model to decode by CTranslate2, converting it first if that has not been done yet.

    :raises BackendError: where a package is missing, the model is not one that CTranslate2 runs, its files are damaged
        or the cache cannot be written.
    :raises UsageError: for options that the engine cannot follow.
    """
    ctranslate2 = import_ctranslate2()
    _check(settings)
    config = read_json(found.base / "config.json", f"{found.base} is not a model directory")
    if reason := convert.unfit(config):
        raise BackendError(f"engine=ct2 cannot run this model: {reason}", "Use -O engine=hf.")
    trained = found.adapter.quantisation if found.adapter is not None else ""
    weights = "nf4" if is_4bit(config, trained) or trained == "nf4" else "full"
    dtype = "int8" if settings.dtype == "auto" else settings.dtype
    notes: list[str] = []
    directory = _converted(found, config, dtype, ctranslate2.__version__, notes)
    count = threads()
    batches = min(count, THREADS)
    try:
        model = ctranslate2.Generator(
            str(directory),
            compute_type="int8_float32" if dtype == "int8" else dtype,
            inter_threads=batches,
            intra_threads=count // batches,
        )
    except (RuntimeError, ValueError) as error:
        raise BackendError(
            f"CTranslate2 cannot load the converted model: {error}", f"Remove {directory}, and it is converted again."
        ) from None
    tokenizer = _tokenizer(found.base)
    generation = found.base / "generation_config.json"
    settings_of = (read_json(generation, str(found.base)) if generation.is_file() else {}, config)
    ends = eos_ids(*(values.get("eos_token_id") for values in settings_of), tokenizer.eos_token_id)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends, default=0)
    notes.append(f"engine ct2: CTranslate2 in {dtype}, threads: {count}")
    context = int(config.get("max_position_embeddings", 2048))
    quant = "int8" if dtype == "int8" else "none"
    return Loaded(model, tokenizer, _Place(), dtype, quant, weights, ends, pad_id, context, config["vocab_size"], notes)


def import_ctranslate2() -> Any:
    """The package, imported as it should be.

    :raises BackendError: where it is missing.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in load.import_torch
    try:
        import ctranslate2
    except ImportError as error:
        raise missing(error, "cpu") from None
    return ctranslate2


def _check(settings: Settings) -> None:
    if settings.device.startswith("cuda"):
        raise UsageError("engine=ct2 decodes on the processor", "On a GPU use -O engine=graph.")
    if settings.dtype not in ("auto", "float32"):
        raise UsageError(
            f"engine=ct2 does not compute in {settings.dtype}", "Without -O dtype it is int8; float32 is possible too."
        )
    if settings.quant == "nf4":
        raise UsageError("engine=ct2 has its weights in 8 bits, not in nf4", "Leave -O quant out.")


def _converted(found: Located, config: Mapping[str, Any], dtype: str, package: str, notes: list[str]) -> Path:
    """The directory of the converted model."""
    adapter = found.adapter.sha256() if found.adapter is not None else ""
    name = store.key(found.base_fingerprint, adapter, str(convert.VERSION), package, dtype)
    if ready := store.find(name):
        return ready
    began = time.monotonic()
    directory = store.make(name, lambda half: convert.convert(config, _tensors(found, config), half, dtype))
    notes.append(f"the model was converted for CTranslate2 in {time.monotonic() - began:.1f} s, once: {directory}")
    return directory


def _tensors(found: Located, config: Mapping[str, Any]) -> convert.Tensors:
    """The merged weights: by numpy where that is enough, else as torch and peft make them.

    :raises BackendError: where they are needed and missing.
    """
    if by_numpy(config, found.adapter):
        return Weights(found.base, found.adapter)
    model = load(found.base, found.adapter, "cpu", "float32", "none").model
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def _tokenizer(base: Path) -> Any:
    """The checkpoint's tokenizer, without transformers if its files say all; that takes a second less."""
    return PlainTokenizer(base) if is_plain(base) else read_tokenizer(base)
