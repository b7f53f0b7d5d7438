"""What every decode engine obeys, so that all of them give the same answers: which tokens may not be generated, and
where an answer ends.

An engine takes prompts as token ids with a length cap each and gives back the generated ids up to the first of EOS,
stop boundary and cap, so that a row's answer does not depend on its neighbours. Some tokens after the boundary are
decoded too, so that the log shows what a model that runs on went on with. A mask character that the prompt does not
hold is never generated, and EOS is never the first token: no text is translated by nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .load import Loaded
from .prompt import MASKS, mask_count
from .stop import token_classes

BEYOND = 8  #: tokens decoded after the boundary, enough for the first words of the next line


@dataclass(frozen=True, slots=True)
class Decoded:
    """One row's answer: ``ids`` without EOS, the natural logarithm of the probability of each generated token (EOS
    included, when it came), and ``stop``: ``eos``, ``boundary``, ``max_tokens``, empty where the rules end nothing but
    at the cap, or ``memory`` for a row that was not decoded because it does not fit into memory by itself."""

    ids: list[int]
    logprobs: list[float]
    stop: str


class Engine(Protocol):
    """What decodes. ``name`` goes into the fingerprint, ``notes`` are remarks for the user, and ``schedules`` says
    whether it takes any number of prompts and sees itself to which of them are decoded together."""

    name: str
    notes: list[str]
    schedules: bool

    def decode(self, prompts: Sequence[list[int]], caps: Sequence[int]) -> list[Decoded]:
        """Greedy continuations in the order of the prompts, at most ``caps[i]`` tokens each (at least 1)."""

    def stream(self, prompts: Sequence[list[int]], caps: Sequence[int]) -> Iterator[tuple[int, Decoded]]:
        """The same with the index of its prompt each, in any order, as they are finished."""


class Rules:
    """The rules for one model. ``guards=False`` lets an answer go on to EOS or its cap: what a model does by itself;
    ``eos=False`` lets it go on to its cap in any case, for measurements with weights that never end.

    ``eos_ids`` end an answer; ``breaks`` and ``blank`` say for each token of the vocabulary whether it breaks the line
    and whether it is nothing but blanks; ``masks`` are the ids of the mask characters.
    """

    def __init__(self, loaded: Loaded, guards: bool = True, eos: bool = True) -> None:
        size = loaded.vocab_size
        breaks, self.blank = token_classes(loaded.tokenizer, size)
        self.eos_ids = frozenset(token for token in loaded.eos_ids if token < size) if eos else frozenset()
        self.breaks = breaks if guards and eos else [False] * size
        self.masks = [loaded.tokenizer.convert_tokens_to_ids(mask) for mask in MASKS[: mask_count(loaded.tokenizer)]]
        self._at_cap = "max_tokens" if eos else ""

    def cut(self, ids: list[int], logprobs: list[float], cap: int) -> Decoded:
        """The part of a row that is its own answer; what an engine decoded after that does not count."""
        has_text, last = False, -1
        for position, token in enumerate(ids[:cap]):
            if token in self.eos_ids:
                return Decoded(ids[:position], logprobs[: position + 1], "eos")
            has_text = has_text or not self.blank[token]
            if last < 0 and has_text and self.breaks[token]:
                last = position + BEYOND
            if position == last:
                return Decoded(ids[: position + 1], logprobs[: position + 1], "boundary")
        return Decoded(ids[:cap], logprobs[:cap], self._at_cap if last < 0 else "boundary")


def follow(breaks: Any, blank: Any, has_text: Any, since: Any) -> tuple[Any, Any]:
    """:meth:`Rules.cut` for a tensor of rows, token by token: given what the new token is and how far each row was,
    whether it has text now and how many tokens it has from the boundary on. More than ``BEYOND`` of them end it."""
    has_text = has_text | ~blank
    return has_text, since + ((since > 0) | (breaks & has_text))


def common_prefix(rows: Sequence[list[int]]) -> int:
    """How many tokens all rows begin with; 0 for no rows."""
    if not rows:
        return 0
    low, high = min(rows), max(rows)
    pairs = zip(low, high, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(low), len(high)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that memory is short, on the GPU or the machine."""
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        sign in text for sign in ("out of memory", "allocate memory", "ALLOC_FAILED")
    )
