"""What translates a test set: the base model, the base with examples, adapters, files of others, commands.

Every system gives one :class:`Hypothesis` for each segment, so that whatever wrote it is measured alike. Models are
loaded one after another, and systems that differ in nothing but the prompt share one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


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
    without loading (``None`` where that is not known), and ``described`` says as JSON values what wrote them."""

    name: str
    hypotheses: list[Hypothesis]
    seconds: float | None
    described: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Progress(Protocol):
    """Told how far a system is; ``batchtrans.report.Progress`` is one."""

    def begin(self, name: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def end(self) -> None: ...
