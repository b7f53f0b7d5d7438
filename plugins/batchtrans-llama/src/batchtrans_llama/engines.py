"""Which engine decodes: the reference on CPU, slots and CUDA graphs on a GPU, or what an option forces."""

from __future__ import annotations

from .generate import HfEngine
from .load import Loaded
from .options import Settings
from .rules import Engine


def choose_engine(loaded: Loaded, settings: Settings, guards: bool = True) -> Engine:
    """The engine for a loaded model; its ``notes`` say so where it is not the reference, or could not be another.

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
