"""The ladder: what is tried with a text before it is left untranslated.

A rung runs for the whole window at once, so that batches stay full. A part leaves the ladder when an answer to it has
no hard problem; what no rung saves keeps the reason of its last attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from . import checks as judges
from . import parts as cutting
from . import protect
from .accelerators import Label
from .counted import Counted, with_number
from .edges import mend
from .placeholders import compare_strictly
from .scheduler import Batch, Scheduler
from .types import Constraint, Problem, Request, Result, Segment

#: The rungs as the log names them, in order. The first one has no name: the text with its placeholders masked, or in a
#: plural form with a number that selects it in the place of the one that shows it.
RUNGS = ("", "masked", "constrained", "n-best", "plain", "pieces")
#: How many hypotheses are asked for where a backend has so many.
HYPOTHESES = 4
#: A part is one line; what a backend breaks anew, or indents, would show in the program.
_BREAKS = frozenset("\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_ENDLESS = "the translation did not come to an end within the length that it may have"
_MISPLACED = "placeholders changed places, and their syntax has no numbers to say which is which"


@dataclass(slots=True)
class Climber:
    """One part on its way. ``result`` is the answer that counts, ``rung`` where it came from, ``tries`` how often the
    backend was asked."""

    cut: cutting.Part
    target: str = ""
    origin: str = "mt"
    rung: str = ""
    tries: int = 0
    done: bool = False
    repaired: bool = False
    problems: list[Problem] = field(default_factory=list)
    result: Result | None = None
    batch: Batch | None = None
    counted: Counted | None = None  # how it was asked for first
    constraint: Constraint | None = None  # what it takes long to find out
    others: tuple[str, ...] = ()  # hypotheses that nobody has judged
    endless: Result | None = None  # an answer that obeyed its constraint and was cut at the length cap


@dataclass(slots=True)
class Form:
    """One form of a segment: its plural form's ``number``, or the only one."""

    number: int | None
    source: str
    sample: int | None
    relaxed: bool
    parts: list[Climber]

    @property
    def target(self) -> str:
        return "".join(part.target for part in self.parts)


@dataclass(slots=True)
class Unit:
    """A segment whose forms are cut into parts; of a ``label`` the access key is not in them."""

    segment: Segment
    forms: list[Form]
    label: Label | None = None

    def parts(self) -> Iterator[tuple[Form, Climber]]:
        for form in self.forms:
            for part in form.parts:
                yield form, part

    def done(self) -> bool:
        return all(part.done for _, part in self.parts())


class _Item(NamedTuple):
    """A part that is not done, and what it belongs to."""

    unit: Unit
    form: Form
    part: Climber

    @property
    def flags(self) -> frozenset[str]:
        return self.unit.segment.flags

    @property
    def whole(self) -> bool:
        return len(self.form.parts) == 1


_Fields = dict[str, Any]

#: Runs a generator; what it yields comes from the iterator.
Run = Callable[[Generator[Batch, None, None]], Iterator[Batch]]


class Begun(NamedTuple):
    """Units on the first rung: those that are not through, by ``id()``, and what was asked for them."""

    waiting: dict[int, Unit]
    todo: list[_Item]
    requests: list[Request]
    batches: Iterator[Batch]


class Ladder:
    """Asks through a scheduler, judges with the built-in checks and ``further`` ones; ``foreign`` tells whether a text
    is in the source's language, and ``terms`` which terms of a glossary a request should carry. ``language`` is the
    target's, in which edges are mended, ``source_language`` that in which the source's are read."""

    def __init__(
        self,
        scheduler: Scheduler,
        further: Sequence[judges.Check] = (),
        foreign: judges.Foreign | None = None,
        terms: Callable[[str], Iterable[tuple[str, str]]] | None = None,
        language: str = "",
        source_language: str = "en",
    ) -> None:
        self._scheduler = scheduler
        self.backend = scheduler.backend
        self._further = further
        self._foreign = foreign
        self._terms = terms
        self._language = language
        self._source_language = source_language

    def climb(self, units: Sequence[Unit]) -> Iterator[list[Unit]]:
        """Every unit exactly once, when its parts are done or nothing is left to try; in lists fit to be logged."""
        begun = self.begin(units)
        yield from self.first(begun)
        yield from self.rest(list(begun.waiting.values()))

    def begin(self, units: Sequence[Unit], run: Run = iter, *, ahead: bool = False) -> Begun:
        """Make the requests of the first rung; ``run`` is given what asks them, and may do so in the background.
        ``ahead`` says that something else comes before."""
        todo = _todo(units)
        for item in todo:
            if item.form.sample is not None:
                item.part.counted = with_number(item.part.cut, item.form.sample, self._is_masked(item.part))
        requests = self._requests(todo, self._first_fields)
        batches = run(self._scheduler.translate(requests, ahead=ahead))
        return Begun({id(unit): unit for unit in units}, todo, requests, batches)

    def calls(self, requests: Sequence[Request]) -> list[list[Request]]:
        """The requests of a rung as the backend gets them, call by call."""
        return self._scheduler.calls(requests)

    def first(self, begun: Begun) -> Iterator[list[Unit]]:
        """The units that need no more than the first rung, or are copies; the others stay in ``begun.waiting``."""
        touched = self._judged(begun.todo, begun.requests, begun.batches, "")
        yield from _leave(begun.waiting, chain([list(begun.waiting.values())], touched))

    def rest(self, units: Sequence[Unit]) -> Generator[list[Unit], None, None]:
        """All of these units, after the other rungs."""
        waiting = {id(unit): unit for unit in units}
        for rung in (self._masked, self._constrained, self._others, self._plain, self._between):
            yield from _leave(waiting, rung(list(waiting.values())))
        if waiting:
            yield list(waiting.values())

    def _first_fields(self, item: _Item) -> _Fields:
        counted = item.part.counted
        return {"source": counted.text if counted else self._text(item.part)}

    def _masked(self, units: Sequence[Unit]) -> Iterator[list[Unit]]:
        """The forms whose number was not found in the answer, with a mask in its place."""
        todo = [item for item in _todo(units) if item.part.counted is not None]
        yield from self._send(todo, "masked", lambda item: {"source": self._text(item.part)})

    def _constrained(self, units: Sequence[Unit]) -> Iterator[list[Unit]]:
        """Once more, by a backend that can write each mask exactly once if it has to."""
        if self.backend.constrains:
            todo = [item for item in _todo(units) if self._is_masked(item.part)]
            yield from self._send(todo, "constrained", self._fields)

    def _others(self, units: Sequence[Unit]) -> Iterator[list[Unit]]:
        """Other hypotheses: those that came with the answers so far, then as many as the backend gives. If none of
        them will do, an answer that obeyed its constraint but had to be cut is better than pieces."""
        for item in _todo(units):
            self._judge_others(item, item.part.others)
        if (count := min(HYPOTHESES, self.backend.hypotheses)) > 1:
            yield from self._send(_todo(units), "n-best", lambda item: {**self._fields(item), "hypotheses": count})
        for item in _todo(units):
            if item.part.endless is not None:
                self._judge_hypothesis(item, item.part.endless, "constrained")
                item.part.problems.append(Problem("truncated", _ENDLESS))
        yield list(units)

    def _plain(self, units: Sequence[Unit]) -> Iterator[list[Unit]]:
        """The text without masks, by itself: another reading of it, for backends that have none of the above."""
        if not self.backend.constrains and self.backend.hypotheses == 1:
            yield from self._send(_todo(units), "plain", lambda item: {"source": item.part.cut.core}, alone=True)

    def _between(self, units: Sequence[Unit]) -> Iterator[list[Unit]]:
        """The pieces between placeholders, each translated as a text of its own."""
        todo = [item for item in _todo(units) if item.part.cut.placeholders]
        requests: list[Request] = []
        places: list[list[int | str]] = []
        for item in todo:
            row: list[int | str] = []
            for piece, placeholder in _pieces(item.part):
                lead, core, trail = protect.edges(piece)
                if protect.has_words(core):
                    requests.append(self._request(len(requests), item, {"source": core}))
                    row += (lead, len(requests) - 1, trail, placeholder)
                else:
                    row += (piece, placeholder)
            places.append(row)
        answers: dict[int, Result] = {}
        for batch in self._scheduler.translate(requests):
            answers.update((result.id, result) for result in batch.results)
        for item, row in zip(todo, places, strict=True):
            asked = [answers[place] for place in row if isinstance(place, int)]
            if asked and all(map(_is_whole, asked)):
                text = "".join(answers[place].target if isinstance(place, int) else place for place in row)
                self._begin(item.part, _joined(text, asked), "pieces", "pieces")
                self._judge(item, text)
            elif asked:
                item.part.tries += 1
        yield list(units)

    def _text(self, part: Climber) -> str:
        """The part as the backend wants it: masked, if it carries that many masks."""
        return part.cut.sent(self.backend.masks)

    def _is_masked(self, part: Climber) -> bool:
        return bool(part.cut.placeholders) and self._text(part) == part.cut.text

    def _fields(self, item: _Item) -> _Fields:
        """The request for a part with everything that can be asked of its answer."""
        constrained = self.backend.constrains and self._is_masked(item.part)
        if constrained and item.part.constraint is None:
            item.part.constraint = item.part.cut.constraint(item.flags, item.whole)
        return {"source": self._text(item.part), "constraint": item.part.constraint}

    def _send(
        self, todo: Sequence[_Item], rung: str, fields: Callable[[_Item], _Fields], *, alone: bool = False
    ) -> Iterator[list[Unit]]:
        """Ask for these parts, with the ``fields`` of a request for each, and judge the answers."""
        requests = self._requests(todo, fields)
        yield from self._judged(todo, requests, self._scheduler.translate(requests, alone=alone), rung)

    def _requests(self, todo: Sequence[_Item], fields: Callable[[_Item], _Fields]) -> list[Request]:
        return [self._request(number, item, fields(item)) for number, item in enumerate(todo)]

    def _request(self, number: int, item: _Item, fields: _Fields) -> Request:
        segment, form = item.unit.segment, item.form
        place = form.number or 0
        return Request(
            number,
            target=segment.target[place] if place < len(segment.target) else "",
            context=segment.context,
            note=segment.note,
            flags=segment.flags,
            form=form.number,
            sample=form.sample,
            terms=tuple(self._terms(fields["source"])) if self._terms is not None else (),
            **fields,
        )

    def _judged(
        self, todo: Sequence[_Item], requests: Sequence[Request], batches: Iterable[Batch], rung: str
    ) -> Iterator[list[Unit]]:
        """Judge the answers to the requests for these parts; the units of each batch."""
        for batch in batches:
            touched: dict[int, Unit] = {}
            for result in batch.results:
                item = todo[result.id]
                self._begin(item.part, result, rung, "duplicate" if result.id in batch.duplicates else "mt")
                item.part.batch = batch
                self._receive(item, requests[result.id], result)
                touched[id(item.unit)] = item.unit
            yield list(touched.values())

    def _begin(self, part: Climber, result: Result, rung: str, origin: str) -> None:
        part.tries += 1
        part.result, part.rung, part.origin = result, rung, origin

    def _receive(self, item: _Item, request: Request, result: Result) -> None:
        """Judge a backend's answer: its end, its masks, then its text; of several the first that will do."""
        part = item.part
        if result.error:
            part.problems = [Problem("backend", result.error, hard=True)]
        elif result.stop == "max_tokens":
            part.problems = [Problem("truncated", _ENDLESS, hard=True)]
            if request.constraint is not None and part.endless is None:
                part.endless = result
        elif part.counted is not None and not part.rung:
            self._judge_counted(item, part.counted, result.target)
        else:
            self._judge_answer(item, result.target, request.source)
        if request.hypotheses > 1:
            self._judge_others(item, result.others)
        elif not part.done and (part.counted is None or part.rung):
            part.others += result.others

    def _judge_counted(self, item: _Item, counted: Counted, text: str) -> None:
        """Judge the answer to a text with a number in it, which becomes its placeholder again."""
        answer = counted.restored(text, self._language)
        if answer is not None:
            self._judge_answer(item, answer, self._text(item.part))
        else:
            message = f"the number {counted.number} does not come back once"
            item.part.problems = [Problem("placeholders", message, hard=True)]

    def _judge_others(self, item: _Item, others: Sequence[str]) -> None:
        for text in others:
            if item.part.done or item.part.result is None:
                return
            other = item.part.result._replace(target=text, raw=None, stop="", logprob_mean=None, logprob_min=None)
            self._judge_hypothesis(item, other, "n-best")

    def _judge_hypothesis(self, item: _Item, result: Result, rung: str) -> None:
        item.part.result, item.part.rung = result, rung
        self._judge_answer(item, result.target, self._text(item.part))

    def _judge_answer(self, item: _Item, text: str, sent: str) -> None:
        """Judge the answer to a text that was sent; with masks in it, it has to hold each of them once."""
        cut = item.part.cut
        if sent != cut.text or not cut.placeholders:
            self._judge(item, text)
        elif not cut.has_masks_of(text):
            item.part.problems = [Problem("placeholders", cut.difference(text), hard=True)]
        else:
            answer = cut.unmask(text, item.flags, item.whole)
            self._judge(item, answer, misplaced=cut.is_misplaced(text, answer, item.flags))

    def _judge(self, item: _Item, text: str, *, misplaced: bool = False) -> None:
        part, text = item.part, text.strip()
        spans = protect.find(text, item.flags)
        better = mend(part.cut.core, text, self._language, spans, self._source_language)
        part.repaired = better != text
        relaxed = item.form.relaxed and item.whole
        part.problems = judges.judge(
            part.cut.core,
            better,
            item.flags,
            relaxed=relaxed,
            further=self._further,
            foreign=self._foreign,
            language=self._language,
            source_language=self._source_language,
        )
        part.problems[:0] = [
            *compare_strictly(part.cut.core, better, item.flags),
            *_breaks(part.cut.core, better),
        ]
        if misplaced:
            part.problems.insert(0, Problem("placeholders", _MISPLACED, hard=True))
        if not any(problem.hard for problem in part.problems):
            part.target, part.done = part.cut.put_back(better), True


def _leave(waiting: dict[int, Unit], touched: Iterable[Sequence[Unit]]) -> Iterator[list[Unit]]:
    """Take the units that are done out of ``waiting``."""
    for units in touched:
        if finished := [unit for unit in units if unit.done() and id(unit) in waiting]:
            for unit in finished:
                del waiting[id(unit)]
            yield finished


def _todo(units: Sequence[Unit]) -> list[_Item]:
    return [_Item(unit, form, part) for unit in units for form, part in unit.parts() if not part.done]


def _pieces(part: Climber) -> Iterator[tuple[str, str]]:
    """The stretches between placeholders, each with the placeholder that follows it (empty at the end)."""
    position = 0
    for index, character in enumerate(part.cut.text):
        if protect.masks_in(character):
            yield part.cut.text[position:index], part.cut.placeholders[protect.masks_in(character)[0]]
            position = index + 1
    yield part.cut.text[position:], ""


def _breaks(source: str, target: str) -> Iterator[Problem]:
    if more := _BREAKS.intersection(target).difference(source):
        found = ", ".join(f"U+{ord(character):04X}" for character in sorted(more))
        yield Problem("control", f"the translation adds line breaks or tabs: {found}", hard=True)


def _is_whole(answer: Result) -> bool:
    return not answer.error and answer.stop != "max_tokens" and bool(answer.target.strip())


def _joined(text: str, answers: Sequence[Result]) -> Result:
    """The answers to the pieces of one part as one."""
    stop = "eos" if all(answer.stop == "eos" for answer in answers) else "boundary"
    tokens = [sum(answer.tokens_in for answer in answers), sum(answer.tokens_out for answer in answers)]
    return Result(
        0, text, stop=stop if any(answer.stop for answer in answers) else "", tokens_in=tokens[0], tokens_out=tokens[1]
    )
