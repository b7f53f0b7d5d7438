"""The kit accepts a sound format and a sound backend, and finds each way of breaking a law."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from batchtrans import (
    MASK_BASE,
    Backend,
    CannotRender,
    Document,
    Edit,
    Format,
    Location,
    Meter,
    OpenOptions,
    Piece,
    Request,
    Result,
    Segment,
    State,
)
from batchtrans.testing import check_backend, check_format, disguise, splice

_STATES = {b"?": State.FUZZY, b"!": State.DONE, b"": State.NEW}
_MARKS = {state: mark for mark, state in _STATES.items()}


class Pairs(Document):
    """Lines of ``source|target|mark``; the first line says when the file was changed."""

    bilingual = True

    def pieces(self) -> Iterator[Piece]:
        offset = 0
        for number, line in enumerate(self.path.read_bytes().splitlines(keepends=True), 1):
            if number == 1:
                yield line
            else:
                raw = line.rstrip(b"\n")
                yield self.segment(number, raw, offset)
                yield line[len(raw) :]
            offset += len(line)

    def segment(self, number: int, raw: bytes, offset: int) -> Segment:
        source, target, mark = raw.split(b"|")
        location = Location(number, offset, offset + len(raw))
        slots = ((len(source) + 1, len(raw)),)
        return Segment(
            str(number), raw, (source.decode(),), (target.decode(),), location, slots, _STATES[mark], private=mark
        )

    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        mark = segment.private if state is State.SKIP else _MARKS[state]
        text = segment.target[0] if state is State.SKIP else target[0]
        return b"|".join([segment.source[0].encode(), text.encode(), mark])

    def finish(self, started_at: datetime) -> Sequence[Edit]:
        end = self.path.read_bytes().index(b"\n")
        return [Edit(0, end, started_at.isoformat().encode(), "the time of the change")]


class PairsFormat(Format):
    document: type[Document] = Pairs

    def open(self, path: Path, options: OpenOptions) -> Document:
        return self.document(path, "pairs", options)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "a.pairs"
    path.write_bytes(b"never\nSave|Guardar|!\nOpen||\nMay|Puede|?\nClose||\n")
    return path


def broken(document: type[Document]) -> Format:
    return type("BrokenFormat", (PairsFormat,), {"document": document})()


class LosesTheEnd(Pairs):
    def pieces(self) -> Iterator[Piece]:
        yield from list(super().pieces())[:-1]


class ReadsDifferentlyTheSecondTime(Pairs):
    times = 0

    def pieces(self) -> Iterator[Piece]:
        self.times += 1
        for piece in super().pieces():
            yield piece._replace(note=str(self.times)) if isinstance(piece, Segment) else piece


class IdsFromTargets(Pairs):
    def segment(self, number: int, raw: bytes, offset: int) -> Segment:
        segment = super().segment(number, raw, offset)
        return segment._replace(id=f"{number}:{segment.target[0]}")


class OneIdForAll(Pairs):
    def segment(self, number: int, raw: bytes, offset: int) -> Segment:
        return super().segment(number, raw, offset)._replace(id="1")


class WrongPlace(Pairs):
    def segment(self, number: int, raw: bytes, offset: int) -> Segment:
        return super().segment(number, raw, offset + 1)


class CrossedSlots(Pairs):
    def segment(self, number: int, raw: bytes, offset: int) -> Segment:
        return super().segment(number, raw, offset)._replace(slots=((3, 4), (2, 3)))


class TidiesUp(Pairs):
    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        return super().render(segment, target, state).rstrip(b"|")


class ChangesTheText(Pairs):
    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        kept = target == segment.target
        return super().render(segment, target if kept else (target[0].lower(),), state)


class ForgetsDoubt(Pairs):
    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        if target != segment.target and state is State.FUZZY:
            state = State.NEW
        return super().render(segment, target, state)


class ChangesTheSource(Pairs):
    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        rendered = super().render(segment, target, state)
        return rendered if target == segment.target else rendered.replace(b"Open", b"open")


class SkipClears(Pairs):
    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        if state is State.SKIP:
            return super().render(segment, ("",), State.NEW)
        return super().render(segment, target, state)


class RefusesLate(Pairs):
    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        if target != segment.target:
            raise CannotRender("no")
        return super().render(segment, target, state)


class ObjectsToAll(Pairs):
    def problem(self, segment: Segment, target: tuple[str, ...]) -> str | None:
        return "not this one"


class EditsASlot(Pairs):
    def finish(self, started_at: datetime) -> Sequence[Edit]:
        return [Edit(7, 9, b"x", "because")]


class EditsAtWill(Pairs):
    times = 0

    def finish(self, started_at: datetime) -> Sequence[Edit]:
        self.times += 1
        return [Edit(0, 5, str(self.times).encode(), "because")]


class TouchesTheFile(Pairs):
    def finish(self, started_at: datetime) -> Sequence[Edit]:
        self.path.write_bytes(self.path.read_bytes().replace(b"never", b"today"))
        return ()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (LosesTheEnd, "law 1, the joined pieces"),
        (ReadsDifferentlyTheSecondTime, "law 1, a document can be read again"),
        (TidiesUp, "law 2.*segment '3'"),
        (IdsFromTargets, "law 3, the ids stay.*segment '2:Guardar'"),
        (OneIdForAll, "law 3, an id is unique.*4 segments '1'"),
        (ChangesTheText, "law 3, new targets are read again"),
        (ForgetsDoubt, "law 3, states are read again.*is NEW, not FUZZY"),
        (SkipClears, "law 3, new targets are read again.*segment '3'"),
        (RefusesLate, r"law 3, what problem\(\) lets pass"),
        (ChangesTheSource, "law 4, bytes outside.*in segment '3'"),
        (EditsASlot, "law 4, declared edits"),
        (EditsAtWill, "law 4, bytes outside.*before segment '2'"),
        (WrongPlace, "location: .*segment '2' stands at bytes 6:20"),
        (CrossedSlots, "slots: "),
        (ObjectsToAll, "no segment takes a new target: not this one"),
        (TouchesTheFile, "law 4|written to the file"),
    ],
)
def test_kit_finds_the_broken_law_of_a_format(pairs: Path, document: type[Document], message: str) -> None:
    if document is SkipClears:  # only a translation that is kept shows it
        pairs.write_bytes(b"never\nSave||\nOpen|Abrir|!\n")
    with pytest.raises(AssertionError, match=message):
        check_format(broken(document), [pairs])


def test_kit_accepts_a_sound_format(pairs: Path) -> None:
    check_format(PairsFormat(), [pairs])


def test_kit_accepts_a_file_without_segments(tmp_path: Path) -> None:
    path = tmp_path / "empty.pairs"
    path.write_bytes(b"never\n")
    check_format(PairsFormat(), [path])


def test_kit_finds_a_one_language_format_whose_target_is_not_its_source(pairs: Path) -> None:
    document = type("OneLanguage", (Pairs,), {"bilingual": False})
    with pytest.raises(AssertionError, match="one-language format"):
        check_format(broken(document), [pairs])


def test_splice_writes_replacements_and_declared_edits(pairs: Path) -> None:
    document = PairsFormat().open(pairs, OpenOptions("en", "es"))
    written = splice(document, {"3": (("Abrir",), State.DONE), "5": (("Cerrar",), State.FUZZY)})
    assert written == b"2024-02-29T12:00:00+00:00\nSave|Guardar|!\nOpen|Abrir|!\nMay|Puede|?\nClose|Cerrar|?\n"


def test_disguise_keeps_edges_and_differs() -> None:
    assert disguise("  Open the file\n") == "  XoPEN THE FILE\n"
    assert disguise("") == "X"
    assert disguise(" ") == " X"


class Upper(Backend):
    """A sound backend, with masks."""

    masks = 2
    batch_size = 3

    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        return {"backend": "upper", "languages": [source_lang, target_lang]}

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        for request in sorted(requests, key=lambda request: len(request.source)):
            yield Result(request.id, request.source.upper())


class CountsCalls(Upper):
    calls = 0

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        self.calls += 1
        for result in super().translate(requests):
            yield result._replace(target=result.target and f"{result.target} {self.calls}")


def answering(change: Callable[[list[Request], list[Result]], Iterable[Result]]) -> type[Upper]:
    """A backend whose results are changed on the way out."""

    class Changed(Upper):
        def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
            asked = list(requests)
            yield from change(asked, list(Upper.translate(self, asked)))

    return Changed


def metered(
    measure: Callable[[list[str]], list[list[int]]], identity: Any = "words", **set_by_start: Any
) -> type[Upper]:
    """A backend that says before it starts how long texts are."""

    class Measures(Meter):
        def __init__(self) -> None:
            self.identity = {"backend": identity}

        def batches(self, sources: Sequence[str]) -> list[list[int]]:
            return measure(list(sources))

    class Metered(Upper):
        def meter(self, source_lang: str, target_lang: str) -> Meter:
            return Measures()

        def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
            vars(self).update(set_by_start)
            return super().start(source_lang, target_lang)

    return Metered


def _words(sources: list[str]) -> list[list[int]]:
    return [[len(source.split()) for source in sources]]


def test_the_kit_accepts_a_backend_with_a_meter() -> None:
    check_backend(metered(_words)({}))


def _by_batch_size(asked: list[Request], results: list[Result]) -> Iterable[Result]:
    return [result._replace(target=result.target and f"{result.target} {len(asked)}") for result in results]


def _by_neighbour(asked: list[Request], results: list[Result]) -> Iterable[Result]:
    first = asked[0].source if asked else ""
    return [result._replace(target=result.target and result.target + first) for result in results]


def _reversed(request: Request) -> str:
    return " ".join(reversed(request.source.split(" ")))


def constrained(answer: Callable[[Request], str], *others: str) -> type[Upper]:
    """A backend that says it can do everything, and what it answers where that is asked for."""

    class Constrained(Upper):
        constrains = True
        hypotheses = 2

        def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
            for request in requests:
                special = request.constraint is not None
                text = answer(request) if special else request.source
                yield Result(request.id, text, others=others if special else ())

    return Constrained


def test_the_kit_accepts_a_backend_that_obeys_constraints() -> None:
    check_backend(constrained(_reversed, "a" + chr(MASK_BASE + 1) + chr(MASK_BASE))({}))


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (answering(lambda asked, results: results[1:]), r"one result per request: request \d+ got 0"),
        (answering(lambda asked, results: results + results[:1]), r"one result per request: request \d+ got 2"),
        (answering(lambda asked, results: [*results, Result(999, "x")] if asked else []), "nobody asked for .999"),
        (answering(lambda asked, results: results or [Result(0, "x")]), "results came for no request"),
        (
            answering(lambda asked, results: [r._replace(target=r.target or "?") for r in results]),
            "empty in, empty out",
        ),
        (
            answering(lambda asked, results: [r._replace(target=r.target and f"{r.target}{r.id}") for r in results]),
            "identical requests give identical results",
        ),
        (
            answering(
                lambda asked, results: [r._replace(target=r.target and r.target + chr(MASK_BASE + 5)) for r in results]
            ),
            "only masks of the request: .*0xe005",
        ),
        (answering(_by_batch_size), "identical requests|no state, batching does not matter"),
        (answering(_by_neighbour), "identical requests|no state, batching does not matter"),
        (CountsCalls, "identical requests|no state"),
        (
            type("Odd", (Upper,), {"start": lambda self, source, target: {"set": {1}}}),
            "the fingerprint has JSON values",
        ),
        (type("Keys", (Upper,), {"start": lambda self, source, target: {1: "a"}}), "the fingerprint has JSON values"),
        (
            type("Fickle", (Upper,), {"preview": lambda self, source, target: {"backend": "lower"}}),
            "the preview is part of the fingerprint",
        ),
        (type("Greedy", (Upper,), {"masks": 10_000}), "masks is 10000"),
        (metered(lambda sources: _words(sources[1:])), "a meter measures every text once: 4 texts, 3 numbers"),
        (metered(lambda sources: [[-1 for _ in sources]]), "a meter counts tokens"),
        (metered(lambda sources: _words(sources) if sources else [[1]]), "nothing to say of no text"),
        (metered(_words, identity={1}), "Metered's meter: the fingerprint has JSON values"),
        (metered(_words, batch_size=7), "a meter sets what start.. sets"),
        (constrained(lambda request: request.source), "a constraint, masks in their order"),
        (constrained(lambda request: _reversed(request) + chr(MASK_BASE)), "a constraint, each mask exactly once"),
        (constrained(lambda request: _reversed(request) + " 5%"), "a constraint, no characters that are ruled out"),
        (constrained(_reversed, "one", "two", "three"), "4 hypotheses where 2 were asked for"),
    ],
)
def test_kit_finds_the_broken_law_of_a_backend(backend: type[Backend], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_backend(backend({}))


def test_kit_finds_state_kept_from_call_to_call() -> None:
    class Learns(Upper):
        seen: frozenset[str] = frozenset()

        def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
            asked = list(requests)
            for request in asked:
                known = request.source in self.seen and request.source
                yield Result(request.id, request.source.upper() + ("!" if known else ""))
            self.seen |= {request.source for request in asked}

    backend = Learns({})
    backend.batch_size = 64
    with pytest.raises(AssertionError, match="no state, batching does not matter: asked again"):
        check_backend(backend)


def test_kit_accepts_a_sound_backend_and_stops_it() -> None:
    class Stops(Upper):
        stopped = 0

        def stop(self) -> None:
            self.stopped += 1

    backend = Stops({})
    check_backend(backend, "en", "de")
    assert backend.stopped == 1


def test_inexact_backends_may_depend_on_their_batches_but_not_on_calls() -> None:
    backend = answering(_by_batch_size)({})
    backend.batch_size = 64
    check_backend(backend, exact=False)
    with pytest.raises(AssertionError, match="batching does not matter"):
        check_backend(backend)


@pytest.mark.parametrize("name", ["identity:IdentityBackend", "pseudo:PseudoBackend"])
def test_the_backends_of_the_core_are_sound(name: str) -> None:
    module, _, attribute = name.partition(":")
    backend = getattr(__import__(f"batchtrans.backends.{module}", fromlist=[attribute]), attribute)
    check_backend(backend({}))
