"""Which engine decodes: CTranslate2 or the reference on CPU, slots and CUDA graphs on a GPU, or what an option forces.

The choice comes before loading, since CTranslate2 has a model of its own, and does without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

from batchtrans import BackendError

from .card import read_json
from .devices import cuda_is_likely
from .generate import HfEngine
from .load import Loaded, load
from .locate import Located
from .options import Settings
from .rules import Engine
from .tokenizer import PlainTokenizer, is_plain

_INSTALL = (
    "pip install 'batchtrans-llama[cpu]' brings CTranslate2, for processors and small; "
    "'batchtrans-llama[torch]' brings PyTorch, for GPUs, other models and training."
)


def start(found: Located, settings: Settings, guards: bool = True) -> tuple[Loaded, Engine]:
    """The model, loaded, and the engine that decodes with it.

    :raises BackendError: as :func:`load.load`, or if an engine that is forced cannot run the model or this machine.
    :raises UsageError: for options that contradict one another.
    """
    if settings.engine == "ct2" or (settings.engine == "auto" and ct2_suits(found, settings)):
        from .ct2.engine import Ct2Engine
        from .ct2.load import load_ct2

        loaded = load_ct2(found, settings)
        return loaded, Ct2Engine(loaded, guards, settings.eos, settings.max_batch)
    loaded = load(found.base, found.adapter, settings.device, settings.dtype, settings.quant)
    engine = choose_engine(loaded, settings, guards)
    if engine.name == "graph" and is_plain(found.base):  # the same ids and texts in a third of the processor's time
        loaded = replace(loaded, tokenizer=PlainTokenizer(found.base))
    return loaded, engine


def likely_engine(found: Located, settings: Settings) -> tuple[str, bool]:
    """The engine that :func:`start` will most likely choose, and whether it decodes on a GPU, without loading anything.

    :raises BackendError: if nothing is installed that can decode.
    """
    on_cuda = settings.device.startswith("cuda") or (settings.device == "auto" and cuda_is_likely())
    if settings.engine != "auto":
        return settings.engine, on_cuda and settings.engine != "ct2"
    if ct2_suits(found, settings):
        return "ct2", False
    return "graph" if on_cuda else "hf", on_cuda


def reference_model(found: Located, settings: Settings, loaded: Loaded, engine: Engine) -> Callable[[], Loaded] | None:
    """How to come by the model as torch has it, for texts that an engine cannot help with: the engine's own, or, beside
    CTranslate2, one that is loaded when it is asked for. ``None`` where torch is not installed."""
    if engine.name != "ct2":
        return lambda: loaded
    if find_spec("torch") is None or find_spec("transformers") is None:
        return None
    return lambda: load(found.base, found.adapter, "cpu")


def ct2_suits(found: Located, settings: Settings) -> bool:
    """Whether CTranslate2 is what ``auto`` means: it is installed, decoding is to happen on the processor, and nothing
    is asked for that only torch can do.

    :raises BackendError: if neither CTranslate2 nor torch is installed.
    """
    has_torch = find_spec("torch") is not None
    if find_spec("ctranslate2") is None:
        if not has_torch:
            raise BackendError("nothing is installed that can decode", _INSTALL)
        return False
    if settings.device.startswith("cuda") or (settings.device == "auto" and cuda_is_likely()):
        return False
    if not has_torch:
        return True
    from .ct2.convert import unfit

    as_it_is = settings.dtype == "auto" and settings.quant != "nf4"
    return as_it_is and not unfit(read_json(found.base / "config.json", f"{found.base} is not a model directory"))


def choose_engine(loaded: Loaded, settings: Settings, guards: bool = True) -> Engine:
    """The engine for a model that torch has loaded; its ``notes`` say so where it is not the reference, or could not be
    another.

    :raises BackendError: if ``graph`` is forced and cannot run the model, or ``attention=triton`` this machine.
    """
    if settings.engine == "hf" or (settings.engine == "auto" and loaded.device.type != "cuda"):
        return HfEngine(loaded, guards, settings.eos)
    from .graph.engine import GraphEngine
    from .graph.model import unfit

    if settings.engine == "auto" and (reason := unfit(loaded.model)):
        reference = HfEngine(loaded, guards, settings.eos)
        reference.notes.append(f"engine hf, since engine=graph cannot run this model: {reason}")
        return reference
    return GraphEngine(
        loaded,
        guards,
        settings.eos,
        slots=settings.max_batch,
        attention=settings.attention,
        compile=settings.compile,
    )
