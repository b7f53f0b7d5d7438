"""Which translations are marked as doubtful: by the judges' doubts, and by how sure the model is of them."""

from __future__ import annotations

from collections.abc import Sequence

from .alignment import AlignmentRecord
from .calibration import LEAST, LEAST_MEAN, UNSURE, Calibration, features_of, mean_logprob
from .errors import UsageError


class Marking:
    """What ``--mark`` and ``--max-error`` ask for, of a model with this calibration or without one.

    ``mark`` is ``low``, ``all`` or ``none``; ``max_error`` the share of wrong translations that may stay unmarked.

    :raises UsageError: for a ``max_error`` that nothing can be held to.
    """

    def __init__(
        self, mark: str = "low", calibration: Calibration | None = None, max_error: float | None = None
    ) -> None:
        self._mark = mark
        self._calibration = calibration
        self._bounded = max_error is not None
        self._least = LEAST if calibration is not None else 0.0
        self.note = ""  #: what the user should know of the threshold
        if max_error is None:
            return
        if calibration is None:
            raise UsageError(
                "--max-error needs a model that knows how sure it is, and this one has no calibration",
                "Make one with `batchtrans calibrate`; without it --mark low goes by the judges' doubts.",
            )
        least = calibration.threshold(max_error)
        self._least = 2.0 if least is None else least  # no confidence is that high
        self.note = f"--max-error {100 * max_error:g}%: " + (
            "no confidence is known to reach it, so all translations are marked"
            if least is None
            else f"translations with a confidence under {least:.3f} are marked"
        )

    def is_marked(self, doubtful: bool) -> bool:
        """Whether a translation is to be marked that is or is not in doubt."""
        return self._mark == "all" or (self._mark == "low" and doubtful)

    def is_unsure(self, confidence: float | None) -> bool:
        """Whether a known translation's confidence is too low."""
        return confidence is not None and confidence < self._least

    def weigh(self, records: Sequence[AlignmentRecord]) -> list[AlignmentRecord]:
        """The records of a segment that was just translated, with its confidence. Too low a one is a doubt like those
        of the judges; under a bound, having none is too. Without a calibration the mean log-probability is looked at.
        """
        if all(record.origin == "copy" for record in records):
            return list(records)
        confidence = records[0].confidence
        if self._calibration is None:
            mean = mean_logprob(records)
            unsure = mean is not None and mean < LEAST_MEAN
        else:
            features = features_of(records)
            confidence = None if features is None else round(self._calibration.confidence(features), 4)
            unsure = self._bounded if confidence is None else self.is_unsure(confidence)
        if not unsure and confidence == records[0].confidence:
            return list(records)
        doubts = (UNSURE,) if unsure else ()
        return [record._replace(confidence=confidence, checks=(*record.checks, *doubts)) for record in records]
