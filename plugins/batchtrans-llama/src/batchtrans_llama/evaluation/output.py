"""What a system made of a test set, in one shape for models, files and commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: Called with the number of segments that were finished since the last call.
Advance = Callable[[int], None]


class Hypothesis(NamedTuple):
    """What a system wrote for one segment.

    ``text`` is what ``run`` would take from it, each part trimmed at the stop boundary; ``raw`` is all that was
    written, the same as ``text`` where nothing was cut. ``cut`` says that something but blanks stood after a
    boundary. ``stops`` has the engine's reason for each part that a model was asked for (``eos``, ``boundary``,
    ``max_tokens``), none for a text without words and for other systems than models. ``logprob`` is the mean natural
    logarithm of the probability of the ``tokens``. With an ``error`` there is no text.
    """

    text: str
    raw: str
    stops: tuple[str, ...] = ()
    cut: bool = False
    tokens: int = 0
    logprob: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """The hypotheses of one system, in the order of the segments. ``seconds`` is the time it took to translate them,
    without loading (``None`` where that is not known), ``described`` says as JSON values what wrote them, and
    ``notes`` are remarks for the user."""

    name: str
    hypotheses: list[Hypothesis]
    seconds: float | None = None
    described: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
