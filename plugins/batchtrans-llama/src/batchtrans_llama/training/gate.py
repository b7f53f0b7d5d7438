"""The gate: is a new adapter better than what would be used without it? If that is not shown, it is refused.

With a thousand pairs an adapter can easily be worse than its base (arXiv 2409.03454 found Llama-3-8B worse after 1,000
and 2,000 pairs of real translation memories), and a loss that fell says nothing about it. So what counts is text of
segments that were held out, trimmed, against every other way of using the same base.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..evaluation.compare import Comparison
    from ..evaluation.metrics import Flags, Scores

SIGNIFICANCE = 0.05  #: an adapter is better if chance would do as much in fewer cases than this
#: Least share of segments that end by EOS, and most that run on; one segment is forgiven in a small test split.
LEAST_STOPPED = 0.995
MOST_OVER_GENERATED = 0.005
#: Least share of segments whose placeholders are right at the first attempt. `run` writes none that is not: it asks
#: again, then translates the pieces between them, so a few cost time and a doubt, not a catalogue.
LEAST_PLACEHOLDERS = 0.95
METRIC = "chrF++"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``accepted``, and why: for each question of the gate whether it was passed, and the answer in a sentence."""

    accepted: bool
    reasons: tuple[tuple[bool, str], ...]

    @property
    def word(self) -> str:
        return "ACCEPT" if self.accepted else "REJECT"

    def to_json(self) -> dict[str, Any]:
        return {"verdict": self.word, "reasons": [{"passed": passed, "reason": text} for passed, text in self.reasons]}

    def __str__(self) -> str:
        lines = [f"{'passed' if passed else 'FAILED'}  {text}" for passed, text in self.reasons]
        return "\n".join([*lines, self.word])


def judge(comparison: Comparison, new: str, rivals: Sequence[str], incumbent: str | None) -> Verdict:
    """The verdict on the system ``new``, which must be the comparison's first, over each of ``rivals``.

    ``incumbent`` is the rival that the adapter would replace, if there is one: where it breaks placeholders too, the
    new one may not break more.
    """
    scores = comparison.of(new)
    reasons = [
        *(_better(comparison, new, rival) for rival in rivals),
        *_stops(scores, comparison.flags[0]),
        *_placeholders(scores, comparison.flags[0], comparison.of(incumbent) if incumbent else None),
    ]
    return Verdict(all(passed for passed, _ in reasons), tuple(reasons))


def _better(comparison: Comparison, new: str, rival: str) -> tuple[bool, str]:
    found = comparison.difference(rival, METRIC)
    gain = -found.delta
    ours, theirs = comparison.of(new).trimmed.chrf_words.score, comparison.of(rival).trimmed.chrf_words.score
    passed = gain > 0 and found.p < SIGNIFICANCE
    return passed, f"{METRIC} {ours:.1f} against {theirs:.1f} of {rival}: {gain:+.1f}, p = {found.p:.3f}"


def _stops(scores: Scores, flags: Sequence[Flags]) -> Iterator[tuple[bool, str]]:
    stopped, ran_on = scores.shares["stop_eos"], scores.shares["over_generated"]
    count = sum(segment.stop_eos is not None for segment in flags)
    if stopped is not None:
        yield _enough(stopped, LEAST_STOPPED, count), f"{stopped:.1%} of the answers end by EOS"
    if ran_on is not None:
        yield _enough(1 - ran_on, 1 - MOST_OVER_GENERATED, count), f"{ran_on:.1%} of the answers run on"


def _placeholders(scores: Scores, flags: Sequence[Flags], incumbent: Scores | None) -> Iterator[tuple[bool, str]]:
    right = scores.shares["placeholders"]
    if right is None:
        return
    before = incumbent.shares["placeholders"] if incumbent else None
    least = min(LEAST_PLACEHOLDERS, before) if before is not None else LEAST_PLACEHOLDERS
    text = f"placeholders are right in {right:.1%} of the segments that have some"
    count = sum(segment.placeholders is not None for segment in flags)
    yield _enough(right, least, count), text + (f", before in {before:.1%}" if before is not None else "")


def _enough(share: float, least: float, count: int) -> bool:
    """Whether ``share`` of ``count`` segments reaches ``least``, or misses it by no more than one segment."""
    return share >= least or round((1 - share) * count) <= max(1, math.floor((1 - least) * count))
