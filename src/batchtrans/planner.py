"""``batchtrans run --dry-run``: what a run would do, and what it would cost, without doing it.

The documents go the way of a run up to the requests: read, cut, masked, held against what is known. What these cost is
known from a price list (:mod:`batchtrans.costs`), or some of them are translated to make one. Nothing is written but
that list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from . import costs as pricing
from .checks import Check
from .costs import Clock, Costs, Seconds, Work
from .glossary import Glossary
from .ladder import Begun
from .marking import Marking
from .measuring import Sample, measure, requested
from .memory import Memory
from .pipeline import Job, LazyBackend, Settings, Survey, recall, window_times, windows
from .translator import Translator
from .types import Backend, Format, Meter, Request, Segment


@dataclass(slots=True)
class Plan:
    """What a run would do with one document. ``counts`` has its ``segments`` by what becomes of them: ``skipped``,
    ``done`` by an earlier run, ``from memory``, ``from copy``, ``from duplicate``, and ``asked``; these come in so many
    ``windows``."""

    job: Job
    counts: Counter[str] = field(default_factory=Counter)
    work: Work = field(default_factory=Work)
    windows: int = 0
    up_to_date: bool = False


class Planner:
    """Plans documents one after another; then knows what all of them cost. ``fresh`` plans take no account of logs."""

    def __init__(
        self, lazy: LazyBackend, formats: Mapping[str, Format], settings: Mapping[str, Settings], fresh: bool = False
    ) -> None:
        self._lazy = lazy
        self._formats = formats
        self._settings = settings
        self._fresh = fresh
        self._sample = Sample()
        self._backend: Backend | None = None
        self.meter: Meter | None = None
        self.preparing = Seconds()  #: what reading, cutting and masking took
        self.costs: Costs | None = None
        self.measured = False  #: whether the costs were measured just now

    def plan(self, job: Job, contents: Survey, checks: Sequence[Check], glossary: Glossary | None) -> Plan:
        """What would be done with a document.

        :raises BatchtransError: if it is refused, or a bound is asked for that the model's confidence cannot keep.
        """
        plan, settings = Plan(job), self._settings[job.format]
        document = self._formats[job.format].open(job.source, settings.open_options(contents.detected))
        clock = Clock()
        with closing(Memory()) as memory, closing(Memory()) as asked:
            if contents.selected:
                if self._backend is None:
                    self._backend, self.meter = self._lazy.unstarted()
                fingerprint = self._lazy.fingerprint or self._lazy.preview()
                if fingerprint.get("calibration") is None:
                    Marking(settings.mark, max_error=settings.max_error)  # which refuses a bound, as in a run
                if recall(job, document, settings, fingerprint, memory, fresh=self._fresh):
                    return replace(plan, up_to_date=True)
            backend = self._backend if contents.selected else None
            translator = Translator(document, backend, memory, redo=settings.redo, glossary=glossary, checks=checks)
            times = window_times(translator)
            works = [self._work(window, translator, asked, plan.counts) for window in windows(document.pieces(), times)]
            plan.work = pricing.together(works)
            plan.windows = sum(work.texts > 0 for work in works)
        self.preparing = self.preparing.plus(clock.read())
        return plan

    def _work(self, window: Sequence[Segment], translator: Translator, asked: Memory, counts: Counter[str]) -> Work:
        """What a backend would be asked for a window, which is counted; ``asked`` holds what others were asked for."""
        decided, unknown = translator.sort_out(window)
        counts.update(segments=len(window), done=len(window) - len(decided) - len(unknown))
        counts.update(f"from {one.group[0]['origin']}" if one.written else "skipped" for one in decided)
        new = []
        for segment in unknown:
            key = repr(translator.key(segment))
            if not asked.settled(key):
                asked.settle(key)
                new.append(segment)
        repeated, copied, work = len(unknown) - len(new), 0, Work()
        if self.meter is not None and translator.ladder is not None:
            self._sample.offer(translator, new)
            begun = translator.ladder.begin(translator.units(new), lambda batches: iter(()))
            calls = translator.ladder.calls(begun.requests)
            work = requested(self.meter, calls)
            followers, copied = _not_sent(begun, calls)
            repeated += followers
        counts.update({"asked": len(unknown) - repeated - copied, "from duplicate": repeated, "from copy": copied})
        return work

    def settle(self, plans: Sequence[Plan]) -> None:
        """Come by the price list for all of these, if there is anything to be paid for."""
        work = pricing.together(plan.work for plan in plans)
        if self.meter is None or not work.texts:
            return
        self.costs = pricing.load(self.meter)
        if self.costs is None or not self.costs.fit(work):
            self.costs = measure(self._lazy, self.meter, self._sample, work)
            self.measured = True
            pricing.keep(self.meter, self.costs)


def _not_sent(begun: Begun, calls: Iterable[Sequence[Request]]) -> tuple[int, int]:
    """How many segments wait for the answer to another one, with their texts in none of the calls, and how many have
    nothing but parts that are copied."""
    sent = {request.id for call in calls for request in call}
    first: dict[int, int] = {}
    for item, request in zip(begun.todo, begun.requests, strict=True):
        first.setdefault(id(item.unit), request.id)
    return sum(number not in sent for number in first.values()), len(begun.waiting) - len(first)


def report(planner: Planner, plans: Sequence[Plan], startup: Seconds, reading: Seconds) -> str:
    """What the user is told. ``startup`` is what it took to come so far, ``reading`` to read all documents once."""
    lines = [line for plan in plans for line in _of_document(plan, planner.costs)]
    work = pricing.together(plan.work for plan in plans)
    counts = sum((plan.counts for plan in plans), Counter[str]())
    if len(plans) > 1:
        lines += [f"all {len(plans)} documents", f"  {_counted(counts)}"]
    if not counts["asked"]:
        return "\n".join([*lines, "nothing to ask a model for"])
    if planner.meter is None:
        return "\n".join([*lines, "no time is given: the backend does not tell the length of texts in tokens"])
    if planner.costs is None:
        return "\n".join(lines)
    costs = planner.costs
    beside = planner.preparing.plus(reading, 2.0)  # to write the output, and to read it back
    asking = [plan.windows for plan in plans if plan.windows]
    expected = costs.estimate(work, beside, len(asking) / sum(asking))
    start = startup.plus(costs.start)
    whole = expected.seconds.plus(start)
    memory = f"{expected.memory / 1e6:,.0f} MB"
    if expected.device is not None:
        memory += f", on the device {expected.device / 1e6:,.0f} MB"
    lines += [
        f"tokens: {work.tokens:,} of {work.texts:,} texts, expected of the model: {expected.generated:,}",
        f"time: {_time(whole)}; {_time(start)} of it to start",
        f"memory: {memory}",
        f"measured {'now' if planner.measured else f'on {costs.day}'} on {costs.texts:,} texts",
    ]
    return "\n".join(lines)


def _of_document(plan: Plan, costs: Costs | None) -> Iterator[str]:
    job = plan.job
    yield f"{job.name} -> {'standard output' if job.to_stdout else job.output}"
    if plan.up_to_date:
        yield "  up to date: nothing to translate"
        return
    yield f"  {_counted(plan.counts)}"
    if costs is not None and plan.work.texts:
        expected = costs.estimate(plan.work, alone=1 / plan.windows)
        yield (
            f"  texts: {plan.work.texts:,}, tokens: {plan.work.tokens:,}, "
            f"expected: {expected.generated:,} in {_time(expected.seconds)}"
        )


_WORDS = {
    "done": "done before",
    "from memory": "from memory",
    "from duplicate": "repeated",
    "from copy": "copied as they are",
    "skipped": "not selected",
}


def _counted(counts: Counter[str]) -> str:
    details = "".join(f", {words}: {counts[name]:,}" for name, words in _WORDS.items() if counts[name])
    return f"segments: {counts['segments']:,}, to translate: {counts['asked']:,}{details}"


def _time(seconds: Seconds) -> str:
    """A time as far as it can be foreseen: to a tenth of a second, from a minute on to a second."""
    return f"{_clock(seconds.wall)} ({_clock(seconds.cpu)} of processor time)"


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
