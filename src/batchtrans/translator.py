"""From segments to decisions: what a target becomes, after how many attempts, and what the log says about it.

A segment is answered without a model where that is possible: kept, copied, or known. Otherwise each of its forms is
cut into parts, and the parts go up the ladder. A segment is written only if all its parts are.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count, islice, repeat
from typing import NamedTuple

from . import accelerators, protect
from . import checks as judges
from . import parts as cutting
from .alignment import WRITTEN, AlignmentRecord, Values, values_of
from .background import Line
from .forms import form_samples, form_sources
from .glossary import Glossary
from .ladder import Begun, Climber, Form, Ladder, Unit
from .languages import foreign_judge
from .marking import Marking
from .memory import Known, Memory
from .scheduler import Scheduler
from .types import Backend, Document, Problem, Request, Result, Segment, State

#: Which states ``--redo`` selects.
REDO = {
    "new": frozenset({State.NEW}),
    "fuzzy": frozenset({State.NEW, State.FUZZY}),
    "all": frozenset({State.NEW, State.FUZZY, State.DONE}),
}


_NAMES = {state: state.value for state in State}  # in Python 3.11 looking a value up takes long

Key = tuple[object, ...]
_Place = tuple[int, tuple[int, int], str, int | None, str, str, tuple[str, ...]]


class Decision(NamedTuple):
    """What becomes of one segment: its target and state in the output if ``written``, and the ``group`` of its lines in
    the log; its ``records`` are the same with all fields."""

    segment: Segment
    target: tuple[str, ...]
    state: State
    written: bool
    group: Sequence[Values]

    @property
    def records(self) -> tuple[AlignmentRecord, ...]:
        return tuple(map(AlignmentRecord.from_values, self.group))

    @property
    def changed(self) -> bool:
        segment = self.segment
        return self.written and (self.target != segment.target or self.state is not segment.state)


#: A decision of all fields in order, in half the time.
_new_decision: Callable[[tuple[object, ...]], Decision] = partial(tuple.__new__, Decision)


@dataclass(slots=True)
class _Menu:
    """Labels whose access keys should differ, in the order of the file, and the keys that neighbours have already."""

    units: list[Unit]
    taken: set[str] = field(default_factory=set)
    through: int = 0


class _Flight(NamedTuple):
    """A window whose answers are under way: what is asked for, and the units that become ready."""

    keys: set[Key]
    begun: Begun
    menus: dict[int, _Menu]
    units: Iterator[list[Unit]]


class Translator:
    """Decides the segments of one document, window by window.

    ``backend`` may be ``None`` where nothing may be asked (replay): what is not known then stays as it is. Without one
    there is no ``ladder``. What the memory says is settled, by a run that is resumed, is left out, but looked at.
    ``idle`` is how many seconds a backend in the background had nothing to do between windows.
    """

    def __init__(
        self,
        document: Document,
        backend: Backend | None,
        memory: Memory,
        *,
        redo: str = "new",
        marking: Marking | None = None,
        glossary: Glossary | None = None,
        checks: Sequence[judges.Check] = (),
    ) -> None:
        self._document = document
        self._resumed = memory.settled_count() > 0
        self._labels: set[Key] = set()  # of the windows before; only in a resumed run
        self._backend = backend
        self._scheduler = Scheduler(backend) if backend else None
        self._glossary = glossary
        self._staying = glossary.staying if glossary else None
        checks = [*checks, glossary.check] if glossary else checks
        foreign = foreign_judge(document.source_lang, document.target_lang)
        terms = glossary.pairs_of if glossary and backend and backend.takes_terms else None
        languages = document.target_lang, document.source_lang
        self.ladder = Ladder(self._scheduler, checks, foreign, terms, *languages) if self._scheduler else None
        self._memory = memory
        self._selected = REDO[redo]
        self._marking = marking or Marking()
        self._further = checks
        self.idle = 0.0

    @property
    def works_ahead(self) -> bool:
        """Whether windows are asked for in the background, the next before the last is decided."""
        return self._backend is not None and self._backend.background and not self.is_verbatim

    @property
    def is_verbatim(self) -> bool:
        """Whether whole segments are asked for as they are."""
        return self._backend is not None and self._backend.verbatim

    def selects(self, segment: Segment) -> bool:
        """Whether this run translates the segment at all. The translators' names are for the translators to give."""
        return (
            segment.state in self._selected
            and any(text.strip() for text in segment.source)
            and not protect.asks_for_translators(segment.source[0], segment.context)
        )

    def decide(self, window: Sequence[Segment]) -> Iterator[list[Decision]]:
        """Decide every segment of the window; decisions come as soon as they stand, in lists fit to be logged."""
        direct, asked = self.sort_out(window)
        if direct:
            yield direct
        if self.is_verbatim:
            yield self._verbatim(asked)
        elif self.ladder:
            units = self.units(asked)
            yield from self._concluded(self.ladder.climb(units), self._menus(window, direct, units))

    def decide_all(self, windows: Iterable[Sequence[Segment]]) -> Generator[list[Decision], None, None]:
        """The same for one window after another; with a backend in the background, a window ahead."""
        if self.ladder and self.works_ahead:
            with closing(Line()) as line:
                yield from self._ahead(iter(windows), self.ladder, line)
                self.idle += line.idle
        else:
            for window in windows:
                yield from self.decide(window)

    def _ahead(self, windows: Iterator[Sequence[Segment]], ladder: Ladder, line: Line) -> Iterator[list[Decision]]:
        """While a window is decoded the next one is prepared and the one before is judged. What failed on the first
        rung climbs on behind the next window. A text that is under way is not asked for twice: whoever has it too is
        postponed until there is an answer."""
        postponed: list[Segment] = []
        current: _Flight | None = None
        climbing: _Flight | None = None
        while True:
            window = next(windows, None)
            if window is None and not (postponed or current or climbing):
                return
            window = [*postponed, *(window or ())]
            direct, asked = self.sort_out(window)
            if direct:
                yield direct
            known: set[Key] = set().union(*(flight.keys for flight in (current, climbing) if flight))
            keyed = [(self.key(segment), segment) for segment in asked]
            postponed = [segment for key, segment in keyed if key in known]
            units = self.units(segment for key, segment in keyed if key not in known)
            following = None
            if units:
                keys = {key for key, _ in keyed} - known
                begun = ladder.begin(units, line.run, ahead=bool(current or climbing))
                following = _Flight(keys, begun, self._menus(window, direct, units), ladder.first(begun))
            left = None
            if current:
                yield from self._concluded(current.units, current.menus)
                rest = line.run(ladder.rest(list(current.begun.waiting.values())))
                left = current._replace(units=rest)
            if climbing:
                yield from self._concluded(climbing.units, climbing.menus)
            current, climbing = following, left

    def key(self, segment: Segment) -> Key:
        """What two segments have in common that get the same translation."""
        return segment.context, segment.flags, *form_sources(segment, self._document)

    def sort_out(self, window: Sequence[Segment]) -> tuple[list[Decision], list[Segment]]:
        """The decisions for which no model is needed, and the segments that need one."""
        direct: list[Decision] = []
        asked: list[Segment] = []
        whole = window
        if self._resumed:
            window = [segment for segment in window if not self._memory.settled(segment.id)]
        if self.is_verbatim:
            for segment in window:
                if segment.state in self._selected:
                    asked.append(segment)
                else:
                    direct.append(self._kept(segment))
            return direct, asked
        for segment in window:
            if decision := self._without_model(segment):
                direct.append(decision)
            else:
                asked.append(segment)
        if self._resumed:
            self._labels.update(self.key(segment) for segment in whole if self._label(segment))
        return direct, asked

    def _concluded(self, units: Iterable[Sequence[Unit]], menus: Mapping[int, _Menu]) -> Iterator[list[Decision]]:
        for finished in units:
            if ready := [unit for one in finished for unit in self._ready(one, menus)]:
                yield [self._conclude(unit) for unit in ready]

    # Without a model

    def _without_model(self, segment: Segment) -> Decision | None:
        if not self.selects(segment):
            return self._kept(segment)
        sources = form_sources(segment, self._document)
        known = self._memory.find(segment.context, sources)
        label = self._label(segment)
        if known and label and self._resumed and known.origin == "duplicate" and self.key(segment) not in self._labels:
            known = None  # from this very window: it gets a key of its own menu, as without the interruption
        if known and self._acceptable(segment, sources, known.targets):
            return self._direct(segment, sources, known)
        texts = (label.text,) if label else sources
        if all(cutting.is_copy(text, segment.flags, self._staying) for text in texts) and self._acceptable(
            segment, sources, sources
        ):
            return self._direct(segment, sources, Known(sources, "copy"))
        return self._kept(segment) if self._backend is None else None

    def _acceptable(self, segment: Segment, sources: tuple[str, ...], targets: tuple[str, ...]) -> bool:
        """Whether targets that no model made may be written: no hard problem, and the format can hold them."""
        if len(targets) != len(sources) or self._document.problem(segment, targets):
            return False
        relaxed = self._relaxed(segment, len(sources))
        plural = segment.source[1] if len(segment.source) > 1 else None
        return not any(
            problem.hard
            for source, target, loose in zip(sources, targets, relaxed, strict=True)
            for problem in judges.judge(
                source, target, segment.flags, relaxed=loose, further=self._further, against=plural, soft=False
            )
        )

    def _form_problem(self, segment: Segment, targets: tuple[str, ...]) -> Problem | None:
        """What is wrong with the forms of a plural entry when they are held against its msgid_plural."""
        if len(segment.source) == 1:
            return None
        forms = zip(targets, self._document.relaxed(segment), strict=True)
        problems = (
            p for text, loose in forms for p in judges.judge_form(segment.source[1], text, segment.flags, loose)
        )
        return next(problems, None)

    def _relaxed(self, segment: Segment, forms: int) -> tuple[bool, ...]:
        return self._document.relaxed(segment) if len(segment.source) > 1 else (False,) * forms

    def _kept(self, segment: Segment) -> Decision:
        sources = form_sources(segment, self._document)
        targets = segment.target + ("",) * (len(sources) - len(segment.target))
        why = segment.note if segment.state is State.SKIP else ""
        group = _group(segment, sources, targets, "skipped", "kept", why, _NAMES[segment.state])
        return _new_decision((segment, segment.target, segment.state, False, group))

    def _direct(self, segment: Segment, sources: tuple[str, ...], known: Known) -> Decision:
        doubtful = known.doubtful or self._marking.is_unsure(known.confidence)
        checks: tuple[str, ...] = ("known",) if doubtful else ()
        if self._glossary is not None:
            pairs = zip(sources, known.targets, strict=True)
            found = {problem.code for pair in pairs for problem in self._glossary.check(*pair)}
            checks += tuple(sorted(found))
        status = "fuzzy" if self._marking.is_marked(bool(checks)) else "ok"
        group = _group(segment, sources, known.targets, status, known.origin)
        for values in group:
            if checks:
                values["checks"] = checks
            if known.confidence is not None:
                values["confidence"] = known.confidence
        return _new_decision((segment, known.targets, _state(status), True, group))

    # With a model

    def units(self, segments: Iterable[Segment]) -> list[Unit]:
        """Segments as the ladder wants them."""
        return [self._unit(segment) for segment in segments]

    def _unit(self, segment: Segment) -> Unit:
        sources = form_sources(segment, self._document)
        if len(segment.source) == 1:
            if (label := self._label(segment)) and len(parts := self._parts(label.text, segment.flags)) == 1:
                parts[0].cut = parts[0].cut._replace(source=sources[0])
                return Unit(segment, [Form(None, sources[0], None, False, parts)], label)
            return Unit(segment, [Form(None, sources[0], None, False, self._parts(sources[0], segment.flags))])
        samples = form_samples(segment, self._document, sources)
        forms = [
            Form(number, source, sample, relaxed, self._parts(source, segment.flags))
            for number, (source, sample, relaxed) in enumerate(
                zip(sources, samples, self._document.relaxed(segment), strict=True)
            )
        ]
        return Unit(segment, forms)

    def _label(self, segment: Segment) -> accelerators.Label | None:
        """What a segment is without its access key, if it has one; only catalogues have menus."""
        if not self._document.bilingual or len(segment.source) > 1:
            return None
        return accelerators.split(segment.source[0], segment.flags)

    def _menus(self, window: Sequence[Segment], decided: Sequence[Decision], units: Sequence[Unit]) -> dict[int, _Menu]:
        """For each unit that is a label, by its identity, the group of labels whose keys should differ."""
        if not any(unit.label for unit in units):
            return {}
        by_segment = {unit.segment.id: unit for unit in units if unit.label}
        known = {decision.segment.id: decision.target for decision in decided}
        if self._resumed:  # with what the interrupted run decided the groups and their keys are those that it had
            settled = (segment for segment in window if self._memory.settled(segment.id))
            known |= {segment.id: self._settled_target(segment) for segment in settled}
        menus: dict[int, _Menu] = {}
        for indices in accelerators.groups(window):
            segments = [window[index] for index in indices]
            menu = _Menu([by_segment[segment.id] for segment in segments if segment.id in by_segment])
            for segment in segments:
                if (label := self._label(segment)) and any(known.get(segment.id, ())):
                    menu.taken.add(accelerators.key_of(known[segment.id][0], label.sign))
            menus.update((id(unit), menu) for unit in menu.units)
        return menus

    def _settled_target(self, segment: Segment) -> tuple[str, ...]:
        """What the interrupted run gave a segment; nothing, if it left it untranslated."""
        if not self.selects(segment):
            return segment.target
        known = self._memory.find(segment.context, form_sources(segment, self._document))
        return known.targets if known else ()

    def _ready(self, unit: Unit, menus: Mapping[int, _Menu]) -> list[Unit]:
        """The units that can be concluded when this one is through: itself, or all of its menu after the last of them,
        so that keys do not depend on the order in which a backend answers."""
        menu = menus.get(id(unit))
        if menu is None:
            return [unit]
        menu.through += 1
        if menu.through < len(menu.units):
            return []
        for one in menu.units:
            self._put_key(one, menu.taken)
        return menu.units

    def _put_key(self, unit: Unit, taken: set[str]) -> None:
        (form,) = unit.forms
        (part,) = form.parts
        if unit.label is None or not part.done:
            return
        text, key = accelerators.put_back(part.target, unit.label, taken, unit.segment.flags)
        problems = judges.judge(form.source, text, unit.segment.flags, further=self._further, soft=False)
        if not any(problem.hard for problem in problems):
            part.target = text
            taken.add(key)

    def _parts(self, source: str, flags: frozenset[str]) -> list[Climber]:
        """The parts of one form; those without words are done."""
        parts = []
        for cut in cutting.cut(source, flags, self._document.source_lang, self._staying):
            part = Climber(cut)
            if cut.copied:
                part.target, part.origin, part.done = cut.source, "copy", True
            parts.append(part)
        return parts

    def _verbatim(self, segments: list[Segment]) -> list[Decision]:
        assert self._scheduler is not None
        # Column by column, for that is quicker than segment by segment, and no other backend has so many of them.
        sources = list(map(_sources_of, segments))
        present = [segment.target for segment in segments]
        contexts = [segment.context for segment in segments for _ in segment.target]
        requests = list(map(Request, count(), chain.from_iterable(sources), chain.from_iterable(present), contexts))
        answers = [""] * len(requests)
        for batch in self._scheduler.translate(requests):
            for result in batch.results:
                answers[result.id] = result.target
        left = iter(answers)
        targets = [tuple(islice(left, len(texts))) for texts in present]
        states = [segment.state for segment in segments]
        groups = map(_group, segments, sources, targets, repeat("ok"), repeat("kept"))
        return list(map(_new_decision, zip(segments, targets, states, repeat(True), groups, strict=False)))

    def _conclude(self, unit: Unit) -> Decision:
        """All parts of a segment are through: join them, judge the whole, and write the records."""
        segment = unit.segment
        why = next((part.problems[0] for _, part in unit.parts() if not part.done and part.problems), None)
        failed = any(not part.done for _, part in unit.parts())
        targets = tuple(form.target for form in unit.forms)
        if not failed and (why := self._whole_problem(unit, targets)):
            failed = True
            for _, part in unit.parts():
                part.problems.insert(0, why)
        records = []
        reason = why.message if why and failed else ""
        for form in unit.forms:
            for index, part in enumerate(form.parts):
                status = "failed" if failed else "repaired" if part.rung or part.repaired else "ok"
                records.append(_part_record(segment, form, len(unit.forms), part, index, status, reason))
        if failed:
            return Decision(segment, segment.target, segment.state, False, _values(records))
        records = self._marking.weigh(records)
        doubtful = any(part.rung not in ("", "masked") for _, part in unit.parts()) or any(
            record.checks for record in records
        )
        fuzzy = self._marking.is_marked(doubtful)
        if fuzzy:
            records = [record._replace(status="fuzzy") for record in records]
        known = Known(targets, "duplicate", doubtful, records[0].confidence)
        self._memory.add(segment.context, tuple(form.source for form in unit.forms), known)
        return Decision(segment, targets, State.FUZZY if fuzzy else State.DONE, True, _values(records))

    def _whole_problem(self, unit: Unit, targets: tuple[str, ...]) -> Problem | None:
        """Why a text may not be written whose parts are all right."""
        for form, target in zip(unit.forms, targets, strict=True):
            if len(form.parts) > 1:
                problems = judges.judge(form.source, target, unit.segment.flags, relaxed=form.relaxed, soft=False)
                if hard := next((problem for problem in problems if problem.hard), None):
                    return hard
        if problem := self._form_problem(unit.segment, targets):
            return problem
        unfit = self._document.problem(unit.segment, targets)
        return Problem("unfit", unfit, hard=True) if unfit else None


def decision_from_values(segment: Segment, group: Sequence[Values]) -> Decision:
    """The decision that a group of the log stands for, as :func:`batchtrans.alignment.read_values` gives it;
    :class:`Translator` logged it, now or in an earlier run."""
    first = group[0]
    status = first.get("status", "ok")
    target: tuple[str, ...] = (first.get("target", ""),)
    written = status in WRITTEN
    if len(group) > 1:
        texts = [""] * first.get("forms", 1)
        for values in group:
            texts[values.get("form") or 0] += values.get("target", "")
        target = tuple(texts)
        written = all(values.get("status", "ok") in WRITTEN for values in group)
    if not written:
        return _new_decision((segment, segment.target, segment.state, False, group))
    state = segment.state if first.get("origin") == "kept" else _state(status)
    return _new_decision((segment, target, state, True, group))


def _state(status: str) -> State:
    return State.FUZZY if status == "fuzzy" else State.DONE


def _group(
    segment: Segment,
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    status: str,
    origin: str,
    why: str = "",
    state: str = "",
) -> Sequence[Values]:
    """What the log has of a segment that was decided as a whole, a line per form."""
    count = len(sources)
    if count == 1 and len(segment.source) == 1:
        return (values_of(segment, sources[0], targets[0], status, origin, why, state),)
    numbers = range(count) if len(segment.source) > 1 else (None,) * count
    return [
        values_of(segment, source, target, status, origin, why, state, number, count)
        for number, source, target in zip(numbers, sources, targets, strict=False)
    ]


def _values(records: Iterable[AlignmentRecord]) -> Sequence[Values]:
    return [record.values() for record in records]


def _place(segment: Segment) -> _Place:
    """The fields of a record that say where its segment stands, and under which conditions, as they follow one another
    there: from ``line`` to ``flags``."""
    line, start, end, key, row, column = segment.location
    return line, (start, end), key, row, column, segment.context, tuple(sorted(segment.flags)) if segment.flags else ()


def _sources_of(segment: Segment) -> tuple[str, ...]:
    """For each form that the segment has, the source text that stands over it."""
    if len(segment.source) == len(segment.target):
        return segment.source
    return tuple([segment.source[min(number, len(segment.source) - 1)] for number in range(len(segment.target))])


def _part_record(
    segment: Segment, form: Form, forms: int, part: Climber, index: int, status: str, why: str
) -> AlignmentRecord:
    result = part.result or Result(0, "")
    scores = None
    if result.logprob_mean is not None and result.logprob_min is not None:
        scores = (round(result.logprob_mean, 4), round(result.logprob_min, 4))
    target = "" if status == "failed" else part.target
    raw = result.target if result.raw is None else result.raw
    return AlignmentRecord(
        segment.id,
        part.cut.source,
        target,
        status,
        part.origin,
        why,
        form.number,
        forms,
        index,
        len(form.parts),
        *_place(segment),
        tries=max(1, part.tries),
        rung=part.rung,
        raw=raw if raw.strip() != target.strip() else None,
        masks=part.cut.placeholders,
        checks=tuple(problem.code for problem in part.problems),
        stop=result.stop,
        tokens=(result.tokens_in, result.tokens_out),
        logprob=scores,
        confidence=result.confidence,
        alignment=result.alignment,
        batch=part.batch.number if part.batch else 0,
        ms=round(part.batch.ms, 1) if part.batch else 0.0,
    )
