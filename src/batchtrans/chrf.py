"""chrF, the F-score of character n-grams (Popović 2015), of one text against one reference.

It is what a calibration calls an error by, so the core has it without sacrebleu, with which a test compares it.
"""

from __future__ import annotations

from collections import Counter

#: The paper's parameters, and sacrebleu's: the longest n-gram, and how much more recall counts than precision.
ORDER, BETA = 6, 2


def chrf(hypothesis: str, reference: str) -> float:
    """The score from 0 to 100; white space does not count. Orders that one of the texts is too short for are left out;
    where that leaves none, the score is 0."""
    ours, theirs = "".join(hypothesis.split()), "".join(reference.split())
    precision = recall = 0.0
    orders = min(ORDER, len(ours), len(theirs))
    for order in range(1, orders + 1):
        found, wanted = _ngrams(ours, order), _ngrams(theirs, order)
        common = sum((found & wanted).values())
        precision += common / (len(ours) - order + 1)
        recall += common / (len(theirs) - order + 1)
    if not precision + recall:
        return 0.0
    factor = BETA**2
    return 100 * (1 + factor) * precision * recall / (factor * precision + recall) / orders


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))
