"""What is measured of translations: scores of a whole set, and flags of each segment.

BLEU alone hides a model that does not stop, so every score is taken twice: of the text that ``run`` would take, and
of all that the model wrote. Flags are reasons to look at a segment, not verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from batchtrans import checks, protect

from ..stop import LINE_BREAK
from .output import Hypothesis

if TYPE_CHECKING:
    from ..data.read import Pair

#: A hypothesis is taken for a copy of its source from this chrF++ between the two on.
_COPY = 90.0
#: Shares of the references' length ratios that lie below and above the bounds, and bounds that are never narrower.
_TAIL = 0.005
_USUAL = (0.5, 2.0)


class Interval(NamedTuple):
    """A score and its 95 % bootstrap confidence interval."""

    score: float
    low: float
    high: float


class Quality(NamedTuple):
    """Corpus scores of one set of texts, in percent; of TER less is better."""

    bleu: Interval
    chrf: Interval
    chrf_words: Interval
    ter: Interval


class Flags(NamedTuple):
    """What was noticed in one segment; ``None`` where the question does not arise.

    ``stop_eos`` (every part ended in EOS), ``hit_cap`` (a part was ended by the length cap) and ``over_generated``
    (text stood after a stop boundary) are about what a model was asked for. ``extra_newline`` is about the raw text,
    the others about the trimmed one. ``placeholders`` and ``numbers`` say that they are right.
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
    ``logprob`` is the mean over all tokens, ``speed`` segments per second. ``comet_note`` says why there is no COMET.
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
    comet_note: str = ""
    described: Mapping[str, Any] = field(default_factory=dict)


def chrf_of(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """chrF++ of a whole set, in percent; quick, without interval."""
    from sacrebleu.metrics import CHRF

    return float(CHRF(word_order=2).corpus_score(hypotheses, [references]).score)


def segment_chrf(hypothesis: str, reference: str) -> float:
    """chrF++ of one segment, in percent."""
    from sacrebleu.metrics import CHRF

    return float(CHRF(word_order=2).sentence_score(hypothesis, [reference]).score)


def length_bounds(pairs: Sequence[Pair]) -> tuple[float, float]:
    """The least and the greatest usual length of a translation, in characters per character of its source: what leaves
    out 0.5 % of the references on each side, and at least from half to twice, since a small set shows little."""
    ratios = sorted(len(pair.target) / len(pair.source) for pair in pairs)
    outside = int(len(ratios) * _TAIL)
    return min(ratios[outside], _USUAL[0]), max(ratios[len(ratios) - 1 - outside], _USUAL[1])


def flags_of(
    pair: Pair,
    hypothesis: Hypothesis,
    bounds: tuple[float, float],
    looks_foreign: Callable[[str], bool] | None = None,
) -> Flags:
    """Look at one segment. ``bounds`` are those of :func:`length_bounds`; ``looks_foreign`` tells whether a text is in
    the source's language."""
    text, source, stops = hypothesis.text, pair.source, hypothesis.stops
    problems = {problem.code for problem in checks.judge(source, text, pair.flags)}
    ours, theirs = protect.find(source, pair.flags), protect.find(text, pair.flags)
    empty = not text.strip()
    return Flags(
        stop_eos=all(stop == "eos" for stop in stops) if stops else None,
        hit_cap="max_tokens" in stops if stops else None,
        over_generated=hypothesis.cut if stops else None,
        extra_newline=_breaks(hypothesis.raw) > _breaks(source),
        length_outlier=not empty and not bounds[0] <= len(text) / len(source) <= bounds[1],
        repeated="repetition" in problems,
        copied=_is_copied(pair, text),
        wrong_language=looks_foreign(text) if looks_foreign is not None and not empty else None,
        empty=empty,
        placeholders=not any(checks.compare_placeholders(ours, source, theirs, text, relaxed=pair.plural))
        if ours or theirs
        else None,
        numbers="numbers" not in problems if any(map(str.isdigit, source + text)) else None,
    )


def shares_of(flags: Sequence[Flags]) -> dict[str, float | None]:
    """For each flag its share of the segments where the question arises."""
    shares: dict[str, float | None] = {}
    for name, values in zip(Flags._fields, zip(*flags, strict=True), strict=True):
        asked = [value for value in values if value is not None]
        shares[name] = sum(asked) / len(asked) if asked else None
    return shares


def _breaks(text: str) -> int:
    return len(LINE_BREAK.findall(text.strip().replace("\r\n", "\n")))


def _is_copied(pair: Pair, text: str) -> bool:
    """Whether a sentence was left in its language. Names and single words are often the same in both, and where the
    reference is the source too, nothing is wrong."""
    if sum(word.islower() for word in pair.source.split()) < 2 or not text.strip():
        return False
    return _alike(text, pair.source) and not _alike(pair.target, pair.source)


def _alike(text: str, other: str) -> bool:
    return text == other or segment_chrf(text, other) > _COPY
