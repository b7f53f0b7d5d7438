"""Is one system better than another: scores side by side, and how likely the difference is chance."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NamedTuple

from . import bootstrap
from .bootstrap import Scored
from .metrics import Flags, Quality, Scores, flags_of, length_bounds, shares_of
from .output import Advance, Hypothesis, Output

if TYPE_CHECKING:
    from ..data.read import Pair

METRICS = ("BLEU", "chrF", "chrF++", "TER")
#: What decides the numbers.
PACKAGES = (
    "batchtrans", "batchtrans-llama", "sacrebleu", "torch", "transformers", "tokenizers", "peft", "bitsandbytes",
)  # fmt: skip


class Difference(NamedTuple):
    """How much more ``system`` scores than the first system in ``metric`` (one of ``METRICS``), and ``p`` by
    paired bootstrap, see :meth:`.bootstrap.Scored.p_value`."""

    system: str
    metric: str
    delta: float
    p: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Systems over one test set; the first of them is what the others are compared with.

    ``flags`` holds each system's flags, segment by segment. ``sha256`` is the test set's, ``overlap`` counts what it
    shares with training data (``None``: not known), ``signatures`` are sacrebleu's, and ``versions`` the packages'.
    """

    systems: tuple[Scores, ...]
    differences: tuple[Difference, ...]
    flags: tuple[tuple[Flags, ...], ...]
    source_lang: str
    target_lang: str
    segments: int
    sha256: str
    overlap: Mapping[str, int] | None
    signatures: Mapping[str, str]
    versions: Mapping[str, str]

    def of(self, name: str) -> Scores:
        """The numbers of one system."""
        return next(scores for scores in self.systems if scores.name == name)

    def difference(self, name: str, metric: str) -> Difference:
        """How a system other than the first differs from it."""
        return next(item for item in self.differences if (item.system, item.metric) == (name, metric))

    def to_json(self) -> dict[str, Any]:
        """All but the flags of single segments, as JSON values."""
        return {
            "source_lang": self.source_lang,
            "target_lang": self.target_lang,
            "segments": self.segments,
            "test_sha256": self.sha256,
            "overlap": None if self.overlap is None else dict(self.overlap),
            "systems": [_scores_json(scores) for scores in self.systems],
            "differences": [{"to": self.systems[0].name, **item._asdict()} for item in self.differences],
            "bootstrap": {"resamples": bootstrap.SAMPLES, "seed": bootstrap.SEED},
            "signatures": dict(self.signatures),
            "versions": dict(self.versions),
        }


def compare(
    pairs: Sequence[Pair],
    outputs: Sequence[Output],
    source_lang: str,
    target_lang: str,
    *,
    overlap: Mapping[str, int] | None = None,
    looks_foreign: Callable[[str], bool] | None = None,
    comet: Callable[[Output], tuple[float | None, str]] | None = None,
    advance: Advance = lambda count: None,
) -> Comparison:
    """Measure each output against the targets of ``pairs``, and all against the first.

    ``looks_foreign`` tells whether a text is in the source's language. ``comet`` gives an output's COMET score, or
    ``None`` and the reason. ``advance`` hears twice of each segment of an output, for its trimmed and its raw text.
    """
    trimmed = [[hypothesis.text for hypothesis in output.hypotheses] for output in outputs]
    raw = [[hypothesis.raw for hypothesis in output.hypotheses] for output in outputs]
    scored, signatures = bootstrap.score(
        [*trimmed, *raw], [pair.target for pair in pairs], target_lang, advance=advance
    )
    bounds = length_bounds(pairs)
    systems, flags = [], []
    for number, output in enumerate(outputs):
        looked = [
            flags_of(pair, hypothesis, bounds, looks_foreign)
            for pair, hypothesis in zip(pairs, output.hypotheses, strict=True)
        ]
        judged = (None, "no --comet-cmd") if comet is None else comet(output)
        systems.append(_scores(output, pairs, scored[number], scored[len(outputs) + number], looked, judged))
        flags.append(tuple(looked))
    differences = [
        Difference(output.name, metric, ours.scores[metric] - scored[0].scores[metric], ours.p_value(scored[0], metric))
        for output, ours in zip(outputs[1:], scored[1 : len(outputs)], strict=True)
        for metric in METRICS
    ]
    return Comparison(
        tuple(systems),
        tuple(differences),
        tuple(flags),
        source_lang,
        target_lang,
        len(pairs),
        sha256_of(pairs),
        overlap,
        signatures,
        versions(),
    )


def _scores(
    output: Output,
    pairs: Sequence[Pair],
    trimmed: Scored,
    raw: Scored,
    flags: Sequence[Flags],
    comet: tuple[float | None, str],
) -> Scores:
    hypotheses = output.hypotheses
    tokens = sum(hypothesis.tokens for hypothesis in hypotheses)
    characters = sum(len(pair.target) for pair in pairs)
    return Scores(
        output.name,
        len(pairs),
        sum(bool(hypothesis.error) for hypothesis in hypotheses),
        _quality(trimmed),
        _quality(raw),
        shares_of(flags),
        sum(len(hypothesis.text) for hypothesis in hypotheses) / characters,
        sum(len(hypothesis.raw) for hypothesis in hypotheses) / characters,
        sum(map(_total_logprob, hypotheses)) / tokens if tokens else None,
        output.seconds,
        len(pairs) / output.seconds if output.seconds else None,
        *comet,
        output.described,
    )


def _total_logprob(hypothesis: Hypothesis) -> float:
    return (hypothesis.logprob or 0.0) * hypothesis.tokens


def _quality(scored: Scored) -> Quality:
    return Quality(*(scored.interval(metric) for metric in METRICS))


def sha256_of(pairs: Sequence[Pair]) -> str:
    """The hash of a test set: sources and references in order, whatever files they came from."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(json.dumps([pair.source, pair.target]).encode("ascii") + b"\n")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Python and the packages that decide the numbers, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _scores_json(scores: Scores) -> dict[str, Any]:
    values = asdict(scores)
    for side in ("trimmed", "raw"):
        quality: Quality = getattr(scores, side)
        values[side] = {
            metric: {name: round(value, 4) for name, value in interval._asdict().items()}
            for metric, interval in zip(METRICS, quality, strict=True)
        }
    return values
