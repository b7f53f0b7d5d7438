"""From segments to decisions: what a target becomes, after how many attempts, and what the log says about it.

A segment is answered without a model where that is possible: kept, copied, or known. Otherwise each of its forms is
cut into parts, and each part climbs a ladder until a rung holds: the masked text; the plain text, alone; the pieces
between its placeholders; nothing, with the reason. A segment is written only if all its parts are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import checks as judges
from . import parts as cutting
from . import protect
from .alignment import WRITTEN, AlignmentRecord
from .forms import form_sources
from .memory import Known, Memory
from .scheduler import Batch, Scheduler
from .types import Backend, Document, Problem, Request, Result, Segment, State

#: Which states ``--redo`` selects.
REDO = {
    "new": frozenset({State.NEW}),
    "fuzzy": frozenset({State.NEW, State.FUZZY}),
    "all": frozenset({State.NEW, State.FUZZY, State.DONE}),
}


class Decision(NamedTuple):
    """What becomes of one segment: its target and state in the output if ``written``, and its log records."""

    segment: Segment
    target: tuple[str, ...]
    state: State
    written: bool
    records: tuple[AlignmentRecord, ...]

    @property
    def changed(self) -> bool:
        return self.written and (self.target, self.state) != (self.segment.target, self.segment.state)


@dataclass(slots=True)
class _Part:
    """One part on its way."""

    cut: cutting.Part
    target: str = ""
    origin: str = "mt"
    why: str = ""
    rung: int = 0
    done: bool = False
    repaired: bool = False
    problems: list[Problem] = field(default_factory=list)
    result: Result | None = None
    batch: Batch | None = None


@dataclass(slots=True)
class _Form:
    number: int | None
    source: str
    sample: int | None
    relaxed: bool
    parts: list[_Part]

    @property
    def target(self) -> str:
        return "".join(part.target for part in self.parts)


@dataclass(slots=True)
class _Unit:
    segment: Segment
    forms: list[_Form]

    def parts(self) -> Iterator[tuple[_Form, _Part]]:
        for form in self.forms:
            for part in form.parts:
                yield form, part

    def done(self) -> bool:
        return all(part.done for _, part in self.parts())


class Translator:
    """Decides the segments of one document, window by window.

    ``backend`` may be ``None`` where nothing may be asked (replay): what is not known then stays as it is.
    """

    def __init__(
        self,
        document: Document,
        backend: Backend | None,
        memory: Memory,
        *,
        redo: str = "new",
        mark: str = "low",
        checks: Sequence[judges.Check] = (),
    ) -> None:
        self._document = document
        self._backend = backend
        self._scheduler = Scheduler(backend) if backend else None
        self._memory = memory
        self._selected = REDO[redo]
        self._mark = mark
        self._further = checks

    def selects(self, segment: Segment) -> bool:
        """Whether this run translates the segment at all."""
        return segment.state in self._selected and any(text.strip() for text in segment.source)

    def decide(self, window: Sequence[Segment]) -> Iterator[list[Decision]]:
        """Decide every segment of the window; decisions come as soon as they stand, in lists fit to be logged."""
        direct: list[Decision] = []
        asked: list[Segment] = []
        for segment in window:
            if decision := self._without_model(segment):
                direct.append(decision)
            else:
                asked.append(segment)
        if direct:
            yield direct
        if self._backend and self._backend.verbatim:
            yield self._verbatim(asked)
        else:
            yield from self._climb([self._unit(segment) for segment in asked])

    # Without a model

    def _without_model(self, segment: Segment) -> Decision | None:
        verbatim = self._backend is not None and self._backend.verbatim
        if not self.selects(segment) and not (verbatim and segment.state in self._selected):
            return self._kept(segment)
        if verbatim:
            return None
        sources = form_sources(segment, self._document)
        known = self._memory.find(segment.context, sources)
        if known and self._acceptable(segment, sources, known.targets):
            return self._direct(segment, sources, known)
        if all(cutting.is_copy(text, segment.flags) for text in sources) and self._acceptable(
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
                source, target, segment.flags, relaxed=loose, further=self._further, against=plural
            )
        )

    def _form_problem(self, segment: Segment, targets: tuple[str, ...]) -> str:
        """What is wrong with the forms of a plural entry when they are held against its msgid_plural."""
        if len(segment.source) == 1:
            return ""
        forms = zip(targets, self._document.relaxed(segment), strict=True)
        problems = (
            p for text, loose in forms for p in judges.judge_form(segment.source[1], text, segment.flags, loose)
        )
        return next((problem.message for problem in problems), "")

    def _relaxed(self, segment: Segment, forms: int) -> tuple[bool, ...]:
        return self._document.relaxed(segment) if len(segment.source) > 1 else (False,) * forms

    def _kept(self, segment: Segment) -> Decision:
        sources = form_sources(segment, self._document)
        targets = segment.target + ("",) * (len(sources) - len(segment.target))
        why = segment.note if segment.state is State.SKIP else ""
        records = _records(segment, sources, targets, "skipped", "kept", why=why, state=segment.state.value)
        return Decision(segment, segment.target, segment.state, False, records)

    def _direct(self, segment: Segment, sources: tuple[str, ...], known: Known) -> Decision:
        status = "fuzzy" if self._is_marked(known.doubtful) else "ok"
        checks = ("known",) if known.doubtful else ()
        records = _records(segment, sources, known.targets, status, known.origin, checks=checks)
        return Decision(segment, known.targets, _state(status), True, records)

    def _is_marked(self, doubtful: bool) -> bool:
        return self._mark == "all" or (self._mark == "low" and doubtful)

    # With a model

    def _unit(self, segment: Segment) -> _Unit:
        sources = form_sources(segment, self._document)
        if len(segment.source) == 1:
            return _Unit(segment, [_Form(None, sources[0], None, False, self._parts(sources[0], segment.flags))])
        forms = [
            _Form(number, source, sample, relaxed, self._parts(source, segment.flags))
            for number, (source, sample, relaxed) in enumerate(
                zip(sources, self._document.plural_samples, self._document.relaxed(segment), strict=True)
            )
        ]
        return _Unit(segment, forms)

    def _parts(self, source: str, flags: frozenset[str]) -> list[_Part]:
        """The parts of one form; those without words are done."""
        parts = []
        for cut in cutting.cut(source, flags, self._document.source_lang):
            part = _Part(cut)
            if cut.copied:
                part.target, part.origin, part.done = cut.source, "copy", True
            parts.append(part)
        return parts

    def _verbatim(self, segments: list[Segment]) -> list[Decision]:
        assert self._scheduler is not None
        requests: list[Request] = []
        for segment in segments:
            for number, present in enumerate(segment.target):
                source = segment.source[min(number, len(segment.source) - 1)]
                requests.append(Request(len(requests), source, present, segment.context))
        answers: dict[int, str] = {}
        for batch in self._scheduler.translate(requests):
            answers.update((result.id, result.target) for result in batch.results)
        decisions, first = [], 0
        for segment in segments:
            last = first + len(segment.target)
            decisions.append(self._as_given(segment, tuple(answers[number] for number in range(first, last))))
            first = last
        return decisions

    def _as_given(self, segment: Segment, targets: tuple[str, ...]) -> Decision:
        sources = tuple(segment.source[min(number, len(segment.source) - 1)] for number in range(len(targets)))
        return Decision(segment, targets, segment.state, True, _records(segment, sources, targets, "ok", "kept"))

    def _climb(self, units: list[_Unit]) -> Iterator[list[Decision]]:
        """The ladder, rung by rung for the whole window, so that each rung runs in full batches."""
        waiting = list(units)
        if not waiting:
            return
        for rung in (self._first, self._alone, self._between):
            for touched in rung(waiting):
                if finished := [unit for unit in touched if unit.done()]:
                    yield [self._conclude(unit) for unit in finished]
            waiting = [unit for unit in waiting if not unit.done()]
        if waiting:
            yield [self._conclude(unit) for unit in waiting]

    def _first(self, units: Iterable[_Unit]) -> Iterator[list[_Unit]]:
        yield [unit for unit in units if unit.done()]  # every part is a copy
        yield from self._send(units, lambda form, part: self._text(part))

    def _alone(self, units: Iterable[_Unit]) -> Iterator[list[_Unit]]:
        """Once more by itself, and without masks: another reading of the same text."""
        yield from self._send(units, lambda form, part: part.cut.core, alone=True)

    def _between(self, units: Iterable[_Unit]) -> Iterator[list[_Unit]]:
        """The pieces between placeholders, each translated as a text of its own."""
        todo = [(unit, form, part) for unit in units for form, part in unit.parts() if not part.done]
        requests: list[Request] = []
        places: list[list[int | str]] = []
        for unit, form, part in todo:
            row: list[int | str] = []
            for piece, placeholder in _pieces(part):
                lead, core, trail = protect.edges(piece)
                if protect.has_words(core) and part.cut.placeholders:
                    requests.append(_request(len(requests), core, unit.segment, form))
                    row += (lead, len(requests) - 1, trail, placeholder)
                else:
                    row += (piece, placeholder)
            places.append(row)
        answers: dict[int, Result] = {}
        assert self._scheduler is not None
        for batch in self._scheduler.translate(requests):
            answers.update((result.id, result) for result in batch.results)
        for (unit, form, part), row in zip(todo, places, strict=True):
            asked = [answers[item] for item in row if isinstance(item, int)]
            if not asked or not all(map(_is_whole, asked)):
                continue
            text = "".join(answers[item].target if isinstance(item, int) else item for item in row)
            part.rung = 2
            part.result = _joined(text, asked)
            self._judge(unit.segment, form, part, text)
            part.origin = "pieces" if part.done else part.origin
        yield list(units)

    def _text(self, part: _Part) -> str:
        """The part as the backend wants it: masked, if it carries that many masks."""
        return part.cut.sent(self._backend.masks if self._backend else 0)

    def _send(
        self, units: Iterable[_Unit], text_of: Callable[[_Form, _Part], str], *, alone: bool = False
    ) -> Iterator[list[_Unit]]:
        todo = [(unit, form, part) for unit in units for form, part in unit.parts() if not part.done]
        requests = [
            _request(number, text_of(form, part), unit.segment, form) for number, (unit, form, part) in enumerate(todo)
        ]
        assert self._scheduler is not None
        for batch in self._scheduler.translate(requests, alone=alone):
            touched: dict[int, _Unit] = {}
            for result in batch.results:
                unit, form, part = todo[result.id]
                part.rung = 1 if alone else 0
                part.result, part.batch = result, batch
                part.origin = "duplicate" if result.id in batch.duplicates else "mt"
                self._receive(unit.segment, form, part, requests[result.id].source)
                touched[id(unit)] = unit
            yield list(touched.values())

    def _receive(self, segment: Segment, form: _Form, part: _Part, sent: str) -> None:
        """Judge a backend's answer: its end, its masks, then its text."""
        result = part.result
        assert result is not None
        if result.error:
            part.problems = [Problem("backend", result.error, hard=True)]
        elif result.stop == "max_tokens":
            part.problems = [Problem("truncated", "the translation did not come to an end", hard=True)]
        elif sent == part.cut.text and part.cut.placeholders:
            if not part.cut.has_masks_of(result.target):
                part.problems = [Problem("placeholders", "placeholders were lost, doubled or invented", hard=True)]
                return
            whole = len(form.parts) == 1
            self._judge(segment, form, part, part.cut.unmask(result.target, segment.flags, whole))
        else:
            self._judge(segment, form, part, result.target)

    def _judge(self, segment: Segment, form: _Form, part: _Part, text: str) -> None:
        text = text.strip()
        better = judges.repair(part.cut.core, text)
        part.repaired = better != text
        relaxed = form.relaxed and len(form.parts) == 1
        part.problems = judges.judge(part.cut.core, better, segment.flags, relaxed=relaxed, further=self._further)
        if not any(problem.hard for problem in part.problems):
            part.target, part.done = part.cut.put_back(better), True

    def _conclude(self, unit: _Unit) -> Decision:
        """All parts of a segment are through: join them, judge the whole, and write the records."""
        segment = unit.segment
        why = next((part.problems[0].message for _, part in unit.parts() if not part.done and part.problems), "")
        failed = any(not part.done for _, part in unit.parts())
        targets = tuple(form.target for form in unit.forms)
        if not failed and (why := self._whole_problem(unit, targets)):
            failed = True
        doubtful = any(part.rung or part.problems for _, part in unit.parts())
        fuzzy = self._is_marked(doubtful)
        records = []
        for form in unit.forms:
            for index, part in enumerate(form.parts):
                status = "repaired" if part.rung or part.repaired else "ok"
                status = "failed" if failed else "fuzzy" if fuzzy else status
                records.append(_part_record(segment, form, len(unit.forms), part, index, status, why if failed else ""))
        if failed:
            return Decision(segment, segment.target, segment.state, False, tuple(records))
        known = Known(targets, "duplicate", doubtful)
        self._memory.add(segment.context, tuple(form.source for form in unit.forms), known)
        return Decision(segment, targets, State.FUZZY if fuzzy else State.DONE, True, tuple(records))

    def _whole_problem(self, unit: _Unit, targets: tuple[str, ...]) -> str:
        for form, target in zip(unit.forms, targets, strict=True):
            if len(form.parts) > 1:
                problems = judges.judge(form.source, target, unit.segment.flags, relaxed=form.relaxed)
                if hard := next((problem for problem in problems if problem.hard), None):
                    return hard.message
        return self._form_problem(unit.segment, targets) or self._document.problem(unit.segment, targets) or ""


def decision_from_records(segment: Segment, group: list[AlignmentRecord]) -> Decision:
    """The decision that a group of log records stands for; :class:`Translator` logged it, now or in an earlier run."""
    targets: dict[int, str] = {}
    for record in group:
        targets[record.form or 0] = targets.get(record.form or 0, "") + record.target
    written = all(record.status in WRITTEN for record in group)
    if not written:
        return Decision(segment, segment.target, segment.state, False, tuple(group))
    target = tuple(targets[form] for form in sorted(targets))
    state = segment.state if group[0].origin == "kept" else _state(group[0].status)
    return Decision(segment, target, state, True, tuple(group))


def _state(status: str) -> State:
    return State.FUZZY if status == "fuzzy" else State.DONE


def _pieces(part: _Part) -> Iterator[tuple[str, str]]:
    """The stretches between placeholders, each with the placeholder that follows it (empty at the end)."""
    position = 0
    for index, character in enumerate(part.cut.text):
        if protect.masks_in(character):
            yield part.cut.text[position:index], part.cut.placeholders[protect.masks_in(character)[0]]
            position = index + 1
    yield part.cut.text[position:], ""


def _is_whole(answer: Result) -> bool:
    return not answer.error and answer.stop != "max_tokens" and bool(answer.target.strip())


def _joined(text: str, answers: Sequence[Result]) -> Result:
    """The answers to the pieces of one part as one."""
    stop = "eos" if all(answer.stop == "eos" for answer in answers) else "boundary"
    tokens = [sum(answer.tokens_in for answer in answers), sum(answer.tokens_out for answer in answers)]
    return Result(
        0, text, stop=stop if any(answer.stop for answer in answers) else "", tokens_in=tokens[0], tokens_out=tokens[1]
    )


def _request(number: int, text: str, segment: Segment, form: _Form) -> Request:
    present = segment.target[form.number or 0] if (form.number or 0) < len(segment.target) else ""
    return Request(number, text, present, segment.context, segment.note, segment.flags, form.number, form.sample)


def _records(
    segment: Segment, sources: tuple[str, ...], targets: tuple[str, ...], status: str, origin: str, **more: Any
) -> tuple[AlignmentRecord, ...]:
    """The records of a segment that was decided as a whole, one per form."""
    plural = len(segment.source) > 1
    return tuple(
        AlignmentRecord(
            segment.id,
            source,
            target,
            status,
            origin,
            form=number if plural else None,
            forms=len(sources),
            **_place(segment),
            **more,
        )
        for number, (source, target) in enumerate(zip(sources, targets, strict=False))
    )


def _place(segment: Segment) -> dict[str, Any]:
    """The fields of a record that say where its segment stands, and under which conditions."""
    place = segment.location
    return {
        "line": place.line,
        "span": (place.start, place.end),
        "key": place.key,
        "row": place.row,
        "column": place.column,
        "context": segment.context,
        "flags": tuple(sorted(segment.flags)),
    }


def _part_record(
    segment: Segment, form: _Form, forms: int, part: _Part, index: int, status: str, why: str
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
        form=form.number,
        forms=forms,
        part=index,
        parts=len(form.parts),
        **_place(segment),
        tries=part.rung + 1,
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
