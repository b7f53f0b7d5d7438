"""What is measured of translations: scores of a whole set, and flags of each segment.

BLEU alone hides a model that does not stop, so every score is taken twice: of the text that ``run`` would take, and
of all that the model wrote. Flags are reasons to look at a segment, not verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Interval(NamedTuple):
    """A score and its 95 % bootstrap confidence interval."""

    score: float
    low: float
    high: float


class Quality(NamedTuple):
    """Corpus scores of one set of texts, in percent; of TER less is better."""

    bleu: Interval
    chrf: Interval
    ter: Interval


class Flags(NamedTuple):
    """What was noticed in one segment; ``None`` where the question does not arise.

    ``stop_eos``, ``hit_cap`` and ``over_generated`` are about what a model was asked for. ``placeholders`` and
    ``numbers`` say that they are right.
    """

    stop_eos: bool | None
    hit_cap: bool | None
    over_generated: bool | None
    extra_newline: bool
    length_outlier: bool
    repeated: bool
    copied: bool
    wrong_language: bool | None
    empty: bool
    placeholders: bool | None
    numbers: bool | None


@dataclass(frozen=True, slots=True)
class Scores:
    """One system's numbers over ``segments`` segments, of which ``failed`` have no text.

    ``shares`` has for each field of :class:`Flags` the share, from 0 to 1, of the segments where the question arises,
    ``None`` where it never does. ``length`` and ``raw_length`` are characters per character of the references,
    ``logprob`` the mean over all tokens, ``speed`` segments per second. ``comet_note`` says why there is no COMET.
    """

    name: str
    segments: int
    failed: int
    trimmed: Quality
    raw: Quality
    shares: Mapping[str, float | None]
    length: float
    raw_length: float
    logprob: float | None
    seconds: float | None
    speed: float | None
    comet: float | None = None
    comet_note: str = "no --comet-cmd"
    described: Mapping[str, Any] = field(default_factory=dict)


def chrf_of(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """chrF++ of a whole set, in percent; quick, without interval."""
    from sacrebleu.metrics import CHRF

    return float(CHRF(word_order=2).corpus_score(hypotheses, [references]).score)


def segment_chrf(hypothesis: str, reference: str) -> float:
    """chrF++ of one segment, in percent."""
    from sacrebleu.metrics import CHRF

    return float(CHRF(word_order=2).sentence_score(hypothesis, [reference]).score)
