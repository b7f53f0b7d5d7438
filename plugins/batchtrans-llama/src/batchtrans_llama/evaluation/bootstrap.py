"""sacrebleu's scores of many sets of texts, and how they vary when the segments are drawn anew.

The statistics of each segment are sacrebleu's, and so are the numbers that come out: its own paired test draws the
same resamples. Here they are summed as they are drawn, so that a large test set needs no memory for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batchtrans.languages import base_language

from .metrics import Interval
from .output import Advance

#: sacrebleu's defaults.
SAMPLES = 1000
SEED = 12345
#: Languages that are written without spaces between words, which BLEU's usual tokeniser would take for one word.
_TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char"}


class Scored:
    """The scores of one set of texts: ``scores`` by metric, and by metric one score for each resample."""

    def __init__(self, scores: Mapping[str, float], samples: Mapping[str, Any]) -> None:
        self.scores = scores
        self._samples = samples  # arrays [resamples]

    def interval(self, metric: str) -> Interval:
        """The score with the bounds that leave out 2.5 % of the resamples at each end."""
        ordered = sorted(self._samples[metric].tolist())
        outside = len(ordered) // 40
        return Interval(self.scores[metric], ordered[outside], ordered[len(ordered) - outside - 1])

    def p_value(self, other: Scored, metric: str) -> float:
        """How likely one of two equally good systems would be ahead by as much: the share of resamples in which the
        size of the difference, less its mean, exceeds the one that was seen (Koehn 2004, as sacrebleu counts it).
        The order of the two does not matter. No difference at all is no evidence: 1, where sacrebleu has 0.001."""
        seen = abs(self.scores[metric] - other.scores[metric])
        if seen == 0.0:
            return 1.0
        differences = abs(self._samples[metric] - other._samples[metric])
        beyond = int((differences - differences.mean() > seen).sum())
        return (beyond + 1) / (len(differences) + 1)


def score(
    sets: Sequence[Sequence[str]],
    references: Sequence[str],
    target_lang: str,
    samples: int = SAMPLES,
    advance: Advance = lambda count: None,
) -> tuple[list[Scored], dict[str, str]]:
    """BLEU, chrF, chrF++ and TER of several sets of texts for the same references, and sacrebleu's signatures.

    Most of the time goes into TER: seconds for a thousand sentences, more where texts run on.
    """
    import numpy

    metrics = _metrics(target_lang)
    known: dict[tuple[str, ...], dict[str, Any]] = {}
    for texts in map(tuple, sets):
        if texts not in known:
            known[texts] = {
                name: numpy.array(metric._extract_corpus_statistics(texts, [references]), dtype=float)
                for name, metric in metrics.items()
            }
        advance(len(texts))
    blocks = [block for statistics in known.values() for block in statistics.values()]  # [segments, numbers] each
    sums = _resampled(numpy.hstack(blocks), samples)
    scored: dict[tuple[str, ...], Scored] = {}
    start = 0
    for texts, statistics in known.items():
        scores, drawn = {}, {}
        for name, block in statistics.items():
            part = sums[:, start : start + block.shape[1]]
            start += block.shape[1]
            scores[name] = float(metrics[name]._compute_score_from_stats(block.sum(axis=0)).score)
            drawn[name] = numpy.array([metrics[name]._compute_score_from_stats(row).score for row in part])
        scored[texts] = Scored(scores, drawn)
    return [scored[tuple(texts)] for texts in sets], _signatures(metrics, samples)


def _metrics(target_lang: str) -> dict[str, Any]:
    from sacrebleu.metrics import BLEU, CHRF, TER

    bleu = BLEU(tokenize=_TOKENIZERS.get(base_language(target_lang), "13a"), force=True)
    return {"BLEU": bleu, "chrF": CHRF(), "chrF++": CHRF(word_order=2), "TER": TER()}


def _resampled(statistics: Any, samples: int) -> Any:
    """The sums of the statistics, [samples, numbers], over as many segments as there are, drawn with replacement."""
    import numpy

    count = len(statistics)
    generator = numpy.random.default_rng(SEED)
    sums = numpy.empty((samples, statistics.shape[1]))
    for number in range(samples):
        drawn = numpy.bincount(generator.choice(count, size=count, replace=True), minlength=count)
        sums[number] = drawn @ statistics
    return sums


def _signatures(metrics: Mapping[str, Any], samples: int) -> dict[str, str]:
    signatures = {}
    for name, metric in metrics.items():
        signature = metric.get_signature()
        signature.update("seed", str(SEED))
        signature.update("bs", samples)
        signatures[name] = str(signature)
    return signatures
