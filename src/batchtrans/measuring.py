"""Some texts translated as in a run, and timed rung by rung, so that it is known what others like them cost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from .costs import Clock, Costs, Seconds, Timed, Work, fit, peak_bytes, together, work_of
from .ladder import HYPOTHESES, Ladder, Unit
from .pipeline import LazyBackend
from .scheduler import Batch
from .translator import Translator
from .types import Backend, Constraint, Meter, Request, Segment

#: Texts that are kept to choose from.
_RESERVOIR = 4_096
#: Measurements take so many seconds, so many batches at most, and at least so many however long they take; of a small
#: plan this share of the texts is enough.
_TIME, _MOST, _LEAST, _SHARE = 10.0, 10, 5, 0.25
#: Texts of a first call, which is not timed, and of a second, which shows what a small batch costs.
_FEW = 8


def requested(meter: Meter, calls: Iterable[Sequence[Request]]) -> Work:
    """The work that these calls of a backend are."""
    return together(work_of(meter, [request.source for request in call]) for call in calls)


def measure(lazy: LazyBackend, meter: Meter, sample: Sample, plan: Work) -> Costs:
    """A price list from some of the texts of a plan, translated as in a run.

    :raises BackendError: where the backend does not start.
    """
    clock = Clock(meter.usage)
    backend = lazy.get()
    _Trial(sample.ladder(), meter).first_rung(sample.few())  # whatever is done once is done here
    start = clock.read()
    loaded = _peak(meter)
    trial = _Trial(sample.ladder(), meter)
    trial.first_rung(sample.few())
    trial.left.clear()  # they are measured once more with their like
    start = start.plus(trial.timed[0].seconds, -1.0)
    clock = Clock(meter.usage)
    for number, units in enumerate(sample.batches(meter.timed), 1):
        trial.first_rung(units)
        enough = clock.read().wall > _TIME or number * meter.timed >= _SHARE * plan.texts
        if number >= _MOST or (number >= _LEAST and enough):
            break
    grown = max(0, _peak(meter) - loaded) / max(1, *(timed.work.largest for timed in trial.timed))
    again = trial.further_rungs(backend)
    done = together(timed.work for timed in trial.timed)
    amounts = [timed.work.prices() for timed in trial.timed]
    return Costs(
        fit(amounts, [timed.seconds.wall for timed in trial.timed]),
        fit(amounts, [timed.seconds.cpu for timed in trial.timed]),
        fit(
            [(timed.work.texts, timed.work.tokens) for timed in trial.timed],
            [timed.generated for timed in trial.timed],
        ),
        start,
        Seconds().plus(trial.judging, 1 / done.texts),
        *again,
        (loaded, grown, _peak(meter)),
        meter.usage().device,
        backend.background,
        done.texts,
        datetime.now(timezone.utc).date().isoformat(),
        plan,
    )


def _peak(meter: Meter) -> int:
    """The most memory that this process and one of the backend's own have had, in bytes."""
    return peak_bytes() + meter.usage().resident


class _Again(NamedTuple):
    """How many texts need more than one attempt, for each token of unmasked and of masked ones, and what that takes for
    each text and once."""

    shares: tuple[float, float]
    each: Seconds
    start: Seconds


class _Trial:
    """Texts on the ladder, timed rung by rung."""

    def __init__(self, ladder: Ladder, meter: Meter) -> None:
        self._ladder = ladder
        self._meter = meter
        self.timed: list[Timed] = []
        self.judging = Seconds()
        self.left: list[tuple[int, Unit]] = []  #: what the first rung did not do for, and in which batch
        self._request = Request(0, "")

    def first_rung(self, units: Sequence[Unit]) -> None:
        """The first rung of one window: all of it is asked for, then judged."""
        seconds = Seconds()
        answers: list[Batch] = []

        def ask(batches: Iterator[Batch]) -> Iterator[Batch]:
            nonlocal seconds
            clock = Clock(self._meter.usage)
            answers.extend(batches)
            seconds = clock.read()
            return iter(answers)

        begun = self._ladder.begin(units, ask)
        clock = Clock(self._meter.usage)
        for _ in self._ladder.first(begun):
            pass
        self.judging = self.judging.plus(clock.read())
        self.left += ((len(self.timed), unit) for unit in begun.waiting.values())
        self._request = next(iter(begun.requests), self._request)
        # A text that occurs twice is generated once.
        generated = sum(
            result.tokens_out for batch in answers for result in batch.results if result.id not in batch.duplicates
        )
        self.timed.append(Timed(requested(self._meter, self._ladder.calls(begun.requests)), seconds, generated))

    def further_rungs(self, backend: Backend) -> _Again:
        """What becomes of the texts that the first rung did not do for. A backend may have to load something for
        several answers or one that is constrained: how long that takes is seen by asking twice. Texts that only had
        their number masked are not counted: that is asked for like any text."""
        left = [(number, part) for number, unit in self.left for _, part in unit.parts() if not part.done]
        start = Seconds()
        if (backend.constrains or backend.hypotheses > 1) and any(part.counted is None for _, part in left):
            start = self._constrained(backend)
            start = start.plus(self._constrained(backend), -1.0)
            start = Seconds(max(0.0, start.wall), max(0.0, start.cpu))
        clock = Clock(self._meter.usage)
        for _ in self._ladder.rest([unit for _, unit in self.left]):
            pass
        whole = clock.read()
        again = Counter((number, bool(part.cut.placeholders)) for number, part in left if part.rung != "masked")
        shares = self._mean_share(again, masked=False), self._mean_share(again, masked=True)
        return _Again(shares, Seconds().plus(whole, 1 / max(1, again.total())), start)

    def _mean_share(self, again: Mapping[tuple[int, bool], int], *, masked: bool) -> float:
        """How many texts came again for each token. The mean of what it was in each batch, not all texts by all tokens:
        the batches stand for equal amounts of text, but those of long texts, of which more come again, have more."""
        tokens = [timed.work.masked if masked else timed.work.tokens - timed.work.masked for timed in self.timed]
        shares = [again[number, masked] / count for number, count in enumerate(tokens) if number and count]
        return sum(shares) / max(1, len(shares))

    def _constrained(self, backend: Backend) -> Seconds:
        """How long it takes to ask for a text in the way in which the lower rungs ask."""
        request = self._request._replace(hypotheses=min(HYPOTHESES, backend.hypotheses))
        clock = Clock(self._meter.usage)
        list(backend.translate([request._replace(constraint=Constraint() if backend.constrains else None)]))
        return clock.read()


class Sample:
    """Texts from all over the documents, each as likely as any other, and no more of them than memory has room for."""

    def __init__(self) -> None:
        self._random = random.Random(0)  # the same documents are measured by the same texts
        self._held: list[tuple[Translator, Segment]] = []
        self._seen = 0

    def offer(self, translator: Translator, segments: Iterable[Segment]) -> None:
        for segment in segments:
            self._seen += 1
            if len(self._held) < _RESERVOIR:
                self._held.append((translator, segment))
            elif (place := self._random.randrange(self._seen)) < _RESERVOIR:
                self._held[place] = translator, segment

    def ladder(self) -> Ladder:
        """The ladder of a document from which there are texts: it is the same for all of them."""
        ladder = self._held[0][0].ladder
        assert ladder is not None
        return ladder

    def few(self) -> list[Unit]:
        """Some texts of middle length."""
        ordered = self._ordered()
        middle = max(0, len(ordered) // 2 - _FEW // 2)
        return _units(ordered[middle : middle + _FEW])

    def batches(self, size: int) -> Iterator[list[Unit]]:
        """Texts of like length together, as a run has them. Batches come from all over the range of lengths, those in
        which there is more text the more often."""
        ordered = self._ordered()
        cut = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        lengths = [sum(len(segment.source[0]) for _, segment in batch) for batch in cut]
        taken: set[int] = set()
        for share in _spread(4 * _MOST):
            number, left = 0, share * sum(lengths)
            while number < len(cut) - 1 and left > lengths[number]:
                left -= lengths[number]
                number += 1
            if number not in taken:
                taken.add(number)
                yield _units(cut[number])

    def _ordered(self) -> list[tuple[Translator, Segment]]:
        return sorted(self._held, key=lambda held: -len(held[1].source[0]))


def _spread(count: int) -> Iterator[float]:
    """Numbers from 0 to 1 that fill it evenly, wherever one stops, the first one small: the longest texts take the most
    memory. Multiples of the golden ratio, see Knuth, "The Art of Computer Programming", volume 3, 6.4."""
    return ((number * (5**0.5 - 1) / 2) % 1 for number in range(5, 5 + count))


def _units(held: Sequence[tuple[Translator, Segment]]) -> list[Unit]:
    return [unit for translator, segment in held for unit in translator.units([segment])]
