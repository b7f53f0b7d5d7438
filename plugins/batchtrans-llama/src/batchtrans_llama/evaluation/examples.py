"""Which segments to look at: side by side where two systems differ most, and the worst of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .metrics import segment_chrf
from .output import Output

if TYPE_CHECKING:
    from ..data.read import Pair


class Example(NamedTuple):
    """One segment with what each system made of it, by its name. ``number`` counts the test set's segments from 1."""

    number: int
    source: str
    reference: str
    texts: Mapping[str, str]
    scores: Mapping[str, float]


def side_by_side(pairs: Sequence[Pair], outputs: Sequence[Output], count: int) -> list[Example]:
    """At most ``count`` segments in the order of the test set: a third of them those where the last system gains most
    over the first in chrF++, a third those where it loses most, the others evenly spread."""
    first, last = ([segment_chrf(h.text, pair.target) for h, pair in zip(output.hypotheses, pairs, strict=True)]
                   for output in (outputs[0], outputs[-1]))  # fmt: skip
    gains = [after - before for before, after in zip(first, last, strict=True)]
    ordered = sorted(range(len(pairs)), key=lambda number: -gains[number])
    third = count // 3
    chosen = {number for number in ordered[:third] if gains[number] > 0}
    chosen |= {number for number in ordered[len(ordered) - third :] if gains[number] < 0}
    others = [number for number in range(len(pairs)) if number not in chosen]
    wanted = min(count - len(chosen), len(others))
    chosen |= {others[index * len(others) // wanted] for index in range(wanted)}
    return [_example(number, pairs, outputs) for number in sorted(chosen)]


def worst(pairs: Sequence[Pair], output: Output, count: int) -> list[Example]:
    """The ``count`` segments of a system with the lowest chrF++, the lowest first."""
    scores = [segment_chrf(h.text, pair.target) for h, pair in zip(output.hypotheses, pairs, strict=True)]
    ordered = sorted(range(len(pairs)), key=lambda number: scores[number])
    return [_example(number, pairs, [output]) for number in ordered[:count]]


def _example(number: int, pairs: Sequence[Pair], outputs: Sequence[Output]) -> Example:
    pair = pairs[number]
    texts = {output.name: output.hypotheses[number].text for output in outputs}
    scores = {name: segment_chrf(text, pair.target) for name, text in texts.items()}
    return Example(number + 1, pair.source, pair.target, texts, scores)
