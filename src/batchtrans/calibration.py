"""How surely a translation is right: what a decode says of itself, turned into a probability that holds.

A model's log-probabilities order its translations by quality, but they are no probabilities of being right. A logistic
regression over a few features of a segment, all known without a reference, makes one of them (Platt 1999 does so with a
single score). It is fitted to translations of texts whose translation by people is known, where *error* means a chrF
below :data:`ERROR_BELOW` against it, and it holds for texts like those.

``docs/calibration.md`` tells how it is used. Numbers here are Python's own: a few thousand rows of thirteen features
need no NumPy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from .alignment import AlignmentRecord
from .errors import BackendError, UsageError

SCHEMA = 1
#: The file beside a model's weights.
FILE = "calibration.json"
#: A translation with a lower chrF than this counts as an error.
ERROR_BELOW = 50.0
#: The check that a low confidence gives.
UNSURE = "unsure"
#: Where nobody sets a bound, a translation is marked that is more likely wrong than right.
LEAST = 0.5
#: Without a calibration, one whose tokens have on average less than an even chance. Of 1,775 translations of news,
#: health and documentation by an early embedded model that were 4 %, of which 81 % were errors, as 39 % of all.
LEAST_MEAN = math.log(0.5)
#: Bins of equal mass that a calibration error is taken over, and steps of the curve of coverage.
BINS, STEPS = 10, 20
#: Fewer texts, or fewer of either kind, are not enough to fit to.
FEWEST, FEWEST_OF_A_KIND = 100, 10
#: How sure the bounds of all steps are to hold together: each has its share of what may go wrong (Bonferroni).
SURE = 0.95
_DEVIATIONS = 2.807  # of the normal distribution, for 1 - (1 - SURE) / STEPS of one side
_RIDGE = 1.0  # the weight of the penalty on weights of scaled features: one row's worth
_ROUNDS = 50  # Newton's method takes five to ten
_ANEW = "Delete it, and make a new one with `batchtrans calibrate`; until then a model does without."

#: What a sentence ends with, in any script that has such marks.
_SENTENCE_ENDS = tuple(".!?…。！？।؟۔")

NAMES = (
    "mean", "mean_square", "least", "sum", "words", "mean_words",
    "pieces", "names", "sentence", "ratio", "kept", "doubts", "tries",
)  # fmt: skip


def features_of(records: Sequence[AlignmentRecord]) -> tuple[float, ...] | None:
    """What is known of a translated segment without its reference, in the order of :data:`NAMES`; ``None`` where a part
    was translated without saying how probable its text is.

    Mean log-probability of its tokens, and its square; the least one; the root of minus their sum; the source's words,
    as a logarithm, and that times the mean; tokens for a character of the translation, as a logarithm, since rare words
    fall into many; the share of capitalised words behind the first; whether it is a sentence; how far the lengths
    differ, as the absolute logarithm of their ratio; the share of the translation's words that are the source's; how
    many doubts the judges have; whether one answer was enough.
    """
    scores = _scores(records)
    if not scores:
        return None
    tokens = sum(count for _, count in scores)
    total = sum(score[0] * count for score, count in scores)
    source, target = ("".join(getattr(record, name) for record in records) for name in ("source", "target"))
    ours, theirs = source.split(), target.lower().split()
    known = {word.lower() for word in ours}
    size = math.log1p(len(ours))
    mean = total / tokens
    return (
        mean,
        mean * mean,
        max(min(score[1] for score, _ in scores), -20.0),
        math.sqrt(max(-total, 0.0)),
        size,
        size * mean,
        math.log((tokens + 1) / (len(target) + 1)),
        sum(word[0].isupper() for word in ours[1:]) / max(len(ours), 1),
        float(source.rstrip().endswith(_SENTENCE_ENDS)),
        abs(math.log((len(target) + 1) / (len(source) + 1))),
        sum(map(known.__contains__, theirs)) / max(len(theirs), 1),
        float(len({code for record in records for code in record.checks} - {UNSURE})),
        float(any(record.tries > 1 for record in records)),
    )


def mean_logprob(records: Sequence[AlignmentRecord]) -> float | None:
    """The first of the features alone."""
    scores = _scores(records)
    return sum(score[0] * count for score, count in scores) / sum(count for _, count in scores) if scores else None


def _scores(records: Sequence[AlignmentRecord]) -> list[tuple[tuple[float, float], int]]:
    """Mean and least log-probability of each translated part, and its number of tokens; nothing where one has none."""
    asked = [record for record in records if record.origin != "copy"]
    scores = [(record.logprob, max(record.tokens[1], 1)) for record in asked if record.logprob is not None]
    return scores if len(scores) == len(asked) else []


class Step(NamedTuple):
    """A point of the curve of coverage: of the fitted texts the share ``coverage`` has at least this ``confidence``;
    ``errors`` of them are wrong, and with 95 % certainty not more than ``bound``, as shares."""

    confidence: float
    coverage: float
    errors: float
    bound: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted model. ``centre`` and ``scale`` bring each feature to mean 0 and deviation 1, ``weights`` and
    ``intercept`` are those of the logistic regression. ``curve`` is for :meth:`threshold`; ``report`` has what was
    measured on texts that it was not fitted to."""

    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    segments: int
    curve: tuple[Step, ...]
    features: tuple[str, ...] = NAMES
    error: str = f"chrF below {ERROR_BELOW:g}"
    report: Mapping[str, Any] = field(default_factory=dict)

    def confidence(self, features: Sequence[float]) -> float:
        """The probability that the translation is no error."""
        scaled = (
            weight * (value - centre) / scale
            for weight, value, centre, scale in zip(self.weights, features, self.centre, self.scale, strict=True)
        )
        return _logistic(self.intercept + sum(scaled))

    def threshold(self, bound: float) -> float | None:
        """The confidence from which on at most this share of translations is wrong, with 95 % certainty for texts like
        those that it was fitted to; of several the lowest. ``None`` where none is high enough."""
        return min((step.confidence for step in self.curve if step.bound <= bound), default=None)

    def to_json(self) -> str:
        """What stands in :data:`FILE`."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False, indent=1) + "\n"

    def identity(self) -> str:
        """A short name of what decides its verdicts."""
        decisive = (self.centre, self.scale, self.weights, self.intercept, self.curve)
        return sha256(json.dumps(decisive).encode()).hexdigest()[:16]


def load_calibration(path: Path) -> Calibration | None:
    """The calibration in a file, ``None`` where there is no such file.

    :raises BackendError: where it is broken, or of a version that has other features.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BackendError(f"{path} cannot be read: {error}", _ANEW) from None
    if not isinstance(values, dict) or values.get("schema") != SCHEMA or values.get("features") != list(NAMES):
        raise BackendError(f"{path} is not a calibration of this version", _ANEW)
    try:
        centre, scale, weights = (tuple(map(float, values[name])) for name in ("centre", "scale", "weights"))
        curve = tuple(Step(*map(float, step)) for step in values["curve"])
        made = Calibration(
            centre,
            scale,
            weights,
            float(values["intercept"]),
            int(values["segments"]),
            curve,
            report=dict(values["report"]),
        )
        made.confidence((0.0,) * len(NAMES))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise BackendError(f"{path} is broken: {error}", _ANEW) from None
    return made


def fit(rows: Sequence[Sequence[float]], right: Sequence[bool]) -> Calibration:
    """Fit to the features of translations of which it is known whether they are ``right``.

    Penalised maximum likelihood by Newton's method (iteratively reweighted least squares, McCullagh and Nelder 1989,
    section 2.5).

    :raises UsageError: for too few rows, or too few of one kind.
    """
    kinds = min(sum(right), len(right) - sum(right))
    if len(rows) < FEWEST or kinds < FEWEST_OF_A_KIND:
        raise UsageError(
            f"{len(rows)} translations, {kinds} of the rarer kind, are too few to calibrate by",
            f"At least {FEWEST} are needed, and {FEWEST_OF_A_KIND} each of right and wrong ones.",
        )
    columns = list(zip(*rows, strict=True))
    centre = tuple(sum(column) / len(column) for column in columns)
    scale = tuple(_deviation(column, mean) or 1.0 for column, mean in zip(columns, centre, strict=True))
    scaled = [
        (1.0, *((value - mean) / spread for value, mean, spread in zip(row, centre, scale, strict=True)))
        for row in rows
    ]
    weights = _newton(scaled, right)
    made = Calibration(centre, scale, tuple(weights[1:]), weights[0], len(rows), ())
    curve = _curve([made.confidence(row) for row in rows], right)
    return Calibration(centre, scale, made.weights, made.intercept, len(rows), curve)


def _deviation(column: Sequence[float], mean: float) -> float:
    return math.sqrt(sum((value - mean) ** 2 for value in column) / len(column))


def _logistic(value: float) -> float:
    if value < 0:
        power = math.exp(value)
        return power / (1 + power)
    return 1 / (1 + math.exp(-value))


def _newton(rows: Sequence[Sequence[float]], right: Sequence[bool]) -> list[float]:
    """The weights of the penalised logistic regression; the first column, all ones, is not penalised."""
    size = len(rows[0])
    weights = [0.0] * size
    for _ in range(_ROUNDS):
        gradient = [0.0] + [-_RIDGE * weight for weight in weights[1:]]
        hessian = [[_RIDGE * (line == column > 0) for column in range(size)] for line in range(size)]
        for row, positive in zip(rows, right, strict=True):
            chance = _logistic(sum(map(float.__mul__, weights, row)))
            spread = chance * (1 - chance)
            for line, value in enumerate(row):
                gradient[line] += (positive - chance) * value
                share = spread * value
                for column in range(line + 1):
                    hessian[line][column] += share * row[column]
        for line in range(size):
            for column in range(line + 1, size):
                hessian[line][column] = hessian[column][line]
        step = _solved(hessian, gradient)
        weights = [weight + change for weight, change in zip(weights, step, strict=True)]
        if max(map(abs, step)) < 1e-8:
            break
    return weights


def _solved(matrix: list[list[float]], vector: list[float]) -> list[float]:
    """The solution of a linear system by elimination, with the largest pivot first."""
    size = len(vector)
    rows = [[*line, value] for line, value in zip(matrix, vector, strict=True)]
    for place in range(size):
        pivot = max(range(place, size), key=lambda line: abs(rows[line][place]))
        rows[place], rows[pivot] = rows[pivot], rows[place]
        for line in range(place + 1, size):
            factor = rows[line][place] / rows[place][place]
            for column in range(place, size + 1):
                rows[line][column] -= factor * rows[place][column]
    solution = [0.0] * size
    for place in reversed(range(size)):
        known = sum(rows[place][column] * solution[column] for column in range(place + 1, size))
        solution[place] = (rows[place][size] - known) / rows[place][place]
    return solution


def _curve(confidences: Sequence[float], right: Sequence[bool]) -> tuple[Step, ...]:
    """From the surest text on, a step for each twentieth of them; equal confidences are never parted."""
    ranked = sorted(zip(confidences, right, strict=True), reverse=True)
    steps: list[Step] = []
    wrong = 0
    for count, (confidence, good) in enumerate(ranked, 1):
        wrong += not good
        last = count == len(ranked)
        if (last or ranked[count][0] < confidence) and (last or count >= len(ranked) * (len(steps) + 1) / STEPS):
            steps.append(Step(confidence, count / len(ranked), wrong / count, upper_bound(wrong, count)))
    return tuple(steps)


def upper_bound(errors: int, count: int) -> float:
    """The share of errors that is surely not exceeded where so many of so many were found, at any step of a curve: the
    upper end of the one-sided score interval (Wilson 1927)."""
    share, square = errors / count, _DEVIATIONS**2
    middle = share + square / (2 * count)
    return (middle + _DEVIATIONS * math.sqrt(share * (1 - share) / count + square / (4 * count**2))) / (
        1 + square / count
    )


# What a calibration is worth


def calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    """The expected calibration error over bins of equal mass: how far, on average, the mean confidence of a bin is from
    its share of right ones (Nixon et al. 2019)."""
    ranked = sorted(zip(confidences, right, strict=True), key=lambda pair: pair[0])
    total = 0.0
    for part in _parts(ranked, bins):
        total += abs(sum(confidence for confidence, _ in part) - sum(good for _, good in part))
    return total / len(ranked)


def reliability(confidences: Sequence[float], right: Sequence[bool], bins: int = BINS) -> list[tuple[float, float]]:
    """For each of these bins its mean confidence and its share of right ones."""
    ranked = sorted(zip(confidences, right, strict=True), key=lambda pair: pair[0])
    return [
        (sum(confidence for confidence, _ in part) / len(part), sum(good for _, good in part) / len(part))
        for part in _parts(ranked, bins)
    ]


def _parts(ranked: Sequence[tuple[float, bool]], bins: int) -> Iterable[Sequence[tuple[float, bool]]]:
    cuts = [len(ranked) * number // bins for number in range(bins + 1)]
    return [ranked[start:end] for start, end in pairwise(cuts) if start < end]


def area_under_curve(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """How likely a right translation has a higher confidence than a wrong one, equal ones counting half: the area under
    the ROC curve, by the ranks of Mann and Whitney. ``None`` where one of the two kinds is missing."""
    ranked = sorted(zip(confidences, right, strict=True), key=lambda pair: pair[0])
    good, ranks, place = sum(right), 0.0, 0
    if not 0 < good < len(ranked):
        return None
    while place < len(ranked):
        end = place
        while end < len(ranked) and ranked[end][0] == ranked[place][0]:
            end += 1
        middle = (place + 1 + end) / 2
        ranks += middle * sum(is_right for _, is_right in ranked[place:end])
        place = end
    return (ranks - good * (good + 1) / 2) / (good * (len(ranked) - good))
