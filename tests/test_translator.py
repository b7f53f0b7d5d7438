"""The ladder: what a segment becomes under backends that answer well, badly, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from batchtrans import (
    MASK_BASE,
    Backend,
    Document,
    Location,
    OpenOptions,
    Piece,
    Problem,
    Request,
    Result,
    Segment,
    State,
)
from batchtrans.forms import form_sources
from batchtrans.marking import Marking
from batchtrans.memory import Known, Memory
from batchtrans.translator import Decision, Translator, decision_from_values

M0, M1 = chr(MASK_BASE), chr(MASK_BASE + 1)
Answer = Callable[[Request], str | Result]


class Scripted(Backend):
    """Answers with a function of the request, and remembers what it was sent."""

    def __init__(self, answer: Answer, masks: int = 32) -> None:
        super().__init__({})
        self.answer, self.masks = answer, masks
        self.sent: list[str] = []

    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        return {}

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        for request in requests:
            self.sent.append(request.source)
            answer = self.answer(request)
            yield answer if isinstance(answer, Result) else Result(request.id, answer, stop="eos")


class Catalogue(Document):
    """A bilingual document without a file, for segments made by hand."""

    bilingual = True
    plural_samples = (1, 2)
    plural_relaxed = (True, False)
    refused = ""

    def __init__(self) -> None:
        super().__init__(Path("made-by-hand"), "test", OpenOptions("en", "es"))

    def pieces(self) -> Iterator[Piece]:
        return iter(())

    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        return "".join(target).encode()

    def problem(self, segment: Segment, target: tuple[str, ...]) -> str | None:
        return self.refused or None


def segment(*source: str, flags: str = "", state: State = State.NEW, target: tuple[str, ...] = ("",)) -> Segment:
    names = frozenset(filter(None, flags.split()))
    return Segment("s", b"", source, target, Location(7, 0, 0), ((0, 0),), state, flags=names)


def decide(
    asked: Segment, answer: Answer, *, masks: int = 32, memory: Memory | None = None, **options: Any
) -> tuple[Decision, Scripted]:
    backend = Scripted(answer, masks)
    translator = Translator(Catalogue(), backend, memory or Memory(), **options)
    (decision,) = [decision for decisions in translator.decide([asked]) for decision in decisions]
    logged = decision_from_values(asked, orjson.loads(orjson.dumps(decision.group)))
    assert (logged[:4], logged.records) == (decision[:4], decision.records)
    return decision, backend


def test_the_first_rung_sends_masks_and_writes_the_placeholders_back() -> None:
    decision, backend = decide(segment("Copy %s to %s.", flags="c-format"), lambda request: f"Copiar {M0} en {M1}.")
    assert backend.sent == [f"Copy {M0} to {M1}."]
    assert (decision.target, decision.state) == (("Copiar %s en %s.",), State.DONE)
    assert decision.records[0].masks == ("%s", "%s")


def test_reordered_directives_are_numbered() -> None:
    decision, _ = decide(segment("%s of %d", flags="c-format"), lambda request: f"{M1} de {M0}")
    assert decision.target == ("%2$d de %1$s",)


def test_a_tag_may_change_places_with_what_is_in_it() -> None:
    asked = segment('See <a href="%s">%d files</a>.', flags="c-format")
    decision, _ = decide(asked, lambda request: f"{M1} archivos: {M0}véalos{chr(MASK_BASE + 2)}.")
    assert decision.target == ('%2$d archivos: <a href="%1$s">véalos</a>.',)


def test_directives_that_cannot_have_numbers_keep_their_order() -> None:
    for text in ("%s of %d", "%s of %s"):
        decision, _ = decide(segment(text, flags="python-format"), lambda request: f"{M1} de {M0}")
        assert not decision.written


def test_a_backend_without_masks_gets_placeholders_as_they_are() -> None:
    decision, backend = decide(segment("Hi {name}"), lambda request: "Hola {name}", masks=0)
    assert backend.sent == ["Hi {name}"]
    assert decision.target == ("Hola {name}",)


def test_the_second_rung_tries_once_alone_and_unmasked() -> None:
    decision, backend = decide(segment("Hi {name}"), lambda request: "Hola" if M0 in request.source else "Hola {name}")
    assert backend.sent == [f"Hi {M0}", "Hi {name}"]
    assert decision.target == ("Hola {name}",)
    assert decision.state is State.FUZZY and decision.records[0].status == "fuzzy"


def test_the_third_rung_translates_between_the_placeholders() -> None:
    words = {"Hi": "Hola", "and bye!": "y adiós"}
    decision, backend = decide(segment("Hi {name} and bye!"), lambda request: words.get(request.source, "Nada"))
    assert backend.sent[-2:] == ["and bye!", "Hi"]
    assert decision.target == ("¡Hola {name} y adiós!",)
    assert decision.records[0].origin == "pieces"


@pytest.mark.parametrize("answer", ["", "Nada", f"{M0}{M0}", f"Hola {M1}", "Hola {nombre}", "Hola\x07 {name}"])
def test_what_no_rung_saves_is_left_untranslated_with_a_reason(answer: str) -> None:
    decision, _ = decide(segment("Hi {name}", flags=""), lambda request: answer if " " in request.source else "")
    assert not decision.written and decision.target == ("",)
    (record,) = decision.records
    assert record.status == "failed" and record.why and not record.target


def test_an_answer_that_does_not_end_is_not_written() -> None:
    decision, _ = decide(segment("Open it"), lambda request: Result(request.id, "Abra y y", stop="max_tokens"))
    assert not decision.written
    assert "end" in decision.records[0].why


def test_a_backend_error_is_the_reason() -> None:
    decision, _ = decide(segment("Open it"), lambda request: Result(request.id, "", error="no such luck"))
    assert decision.records[0].why == "no such luck"


def test_blanks_and_newlines_at_the_edges_are_those_of_the_source() -> None:
    decision, backend = decide(segment("\n  Open it\t\n"), lambda request: " Abra esto ")
    assert backend.sent == ["Open it"]
    assert decision.target == ("\n  Abra esto\t\n",)


def test_lines_are_parts_of_one_segment() -> None:
    words = {"Usage:": "Uso:", "open the file": "abre el archivo"}
    decision, _ = decide(segment("Usage:\n  open the file\n"), lambda request: words[request.source])
    assert decision.target == ("Uso:\n  abre el archivo\n",)
    assert [(record.part, record.parts, record.target) for record in decision.records] == [
        (0, 2, "Uso:\n"),
        (1, 2, "  abre el archivo\n"),
    ]


def test_one_failed_part_leaves_the_whole_segment() -> None:
    decision, _ = decide(segment("one thing\nother thing"), lambda request: "" if "one" in request.source else "otro")
    assert not decision.written
    assert {record.status for record in decision.records} == {"failed"}


@pytest.mark.parametrize("text", ["%d / %d", "42", "https://example.org/a", "SKU-1042", "max_size", "--"])
def test_texts_without_words_are_copied_and_never_sent(text: str) -> None:
    decision, backend = decide(segment(text), lambda request: "?")
    assert not backend.sent
    assert decision.target == (text,) and decision.records[0].origin == "copy"


def test_each_plural_form_is_asked_for_with_its_sample() -> None:
    seen: list[tuple[int | None, int | None]] = []

    def answer(request: Request) -> str:
        seen.append((request.form, request.sample))
        return "un archivo" if request.form == 0 else "2 archivos"

    decision, backend = decide(segment("one file", "%d files", flags="c-format", target=("", "")), answer)
    assert sorted(seen) == [(0, 1), (1, 2)] and sorted(backend.sent) == ["2 files", "one file"]
    assert decision.target == ("un archivo", "%d archivos")
    assert [record.form for record in decision.records] == [0, 1]


def test_a_form_that_may_not_drop_the_number_translates_the_plural_text() -> None:
    class Slovenian(Catalogue):
        plural_samples = (1, 2)
        plural_several = (101, 2)
        plural_relaxed = (False, False)

    backend = Scripted(lambda request: request.source.replace("files", "datotek"))
    asked = segment("one file", "%d files", flags="c-format", target=("", ""))
    ((decision,),) = Translator(Slovenian(), backend, Memory()).decide([asked])
    assert backend.sent == ["101 files", "2 files"]
    assert decision.target == ("%d datotek", "%d datotek")


@pytest.mark.parametrize(
    ("singular", "plural", "flags", "chosen"),
    [
        ("One file", "%d files", "c-format", "One file"),
        ("One file", "%d files", "python-format", "%d files"),
        ("One file", "%(n)d files", "python-format", "One file"),
        ("One file", "%1 files", "qt-format", "%1 files"),
        ("One file", "%n files", "qt-plural-format", "One file"),
        ("One file in %s", "%d files in %s", "c-format", "%d files in %s"),
        ("One file in %2$s", "%1$d files in %2$s", "c-format", "%1$d files in %2$s"),
        ("One of %1", "%2 of %1", "kde-format", "One of %1"),
        ("One", "%1 of %2", "kde-format", "%1 of %2"),
        ("One file", "{n} files", "", "One file"),
    ],
)
def test_the_singular_is_translated_where_it_may_stand(singular: str, plural: str, flags: str, chosen: str) -> None:
    asked = segment(singular, plural, flags=flags, target=("", ""))
    assert form_sources(asked, Catalogue()) == (chosen, plural)


def test_a_known_form_may_show_the_number_that_its_singular_does_not() -> None:
    memory = Memory()
    memory.add("", ("One file", "%d files"), Known(("%d archivo", "%d archivos"), "memory"))
    asked = segment("One file", "%d files", flags="c-format", target=("", ""))
    decision, backend = decide(asked, lambda request: "?", memory=memory)
    assert not backend.sent and decision.target == ("%d archivo", "%d archivos")


@pytest.mark.parametrize(
    ("redo", "expected"),
    [("new", {State.NEW}), ("fuzzy", {State.NEW, State.FUZZY}), ("all", {State.NEW, State.FUZZY, State.DONE})],
)
def test_redo_selects_states(redo: str, expected: set[State]) -> None:
    for state in State:
        decision, backend = decide(segment("Open it", state=state, target=("Ya",)), lambda request: "Abra", redo=redo)
        assert bool(backend.sent) == decision.written == (state in expected)
        if not decision.written:
            assert decision.records[0].origin == "kept" and decision.records[0].target == "Ya"


@pytest.mark.parametrize(
    ("mark", "doubtful", "state"),
    [
        ("low", True, State.FUZZY),
        ("low", False, State.DONE),
        ("all", False, State.FUZZY),
        ("none", True, State.DONE),
    ],
)
def test_mark_says_what_becomes_fuzzy(mark: str, doubtful: bool, state: State) -> None:
    text = "Cuesta 24 euros" if doubtful else "Cuesta 42 euros"
    decision, _ = decide(segment("It costs 42 euros"), lambda request: text, marking=Marking(mark))
    assert decision.state is state
    assert ("numbers" in decision.records[0].checks) == doubtful


def test_what_the_format_cannot_hold_is_left_with_its_reason() -> None:
    document = Catalogue()
    document.refused = "not in latin-1"
    (decisions,) = Translator(document, Scripted(lambda request: "Abra"), Memory()).decide([segment("Open it")])
    (decision,) = decisions
    assert not decision.written and decision.target == ("",)
    assert decision.records[0].why == "not in latin-1" and decision.records[0].raw == "Abra"


def test_known_translations_are_taken_without_asking_unless_they_would_break() -> None:
    memory = Memory()
    memory.add("", ("Open {x}",), Known(("Abrir {x}",), "memory"))
    decision, backend = decide(segment("Open {x}"), lambda request: "?", memory=memory)
    assert not backend.sent and decision.target == ("Abrir {x}",) and decision.records[0].origin == "memory"
    broken = Memory()
    broken.add("", ("Open {x}",), Known(("Abrir",), "memory"))
    decision, backend = decide(segment("Open {x}"), lambda request: f"Abra {M0}", memory=broken)
    assert backend.sent and decision.target == ("Abra {x}",)


def test_a_repeated_text_is_asked_for_once_and_logged_as_duplicate() -> None:
    backend = Scripted(lambda request: "Abra esto")
    translator = Translator(Catalogue(), backend, Memory())
    window = [segment("Open it"), segment("Open it")]
    first = [decision for decisions in translator.decide(window) for decision in decisions]
    later = [decision for decisions in translator.decide([segment("Open it")]) for decision in decisions]
    assert backend.sent == ["Open it"]
    assert [decision.records[0].origin for decision in first + later] == ["mt", "duplicate", "duplicate"]


def test_checks_of_plugins_can_refuse() -> None:
    def no_abra(source: str, target: str, flags: frozenset[str]) -> Iterator[Problem]:
        if "Abra" in target:
            yield Problem("house", "we say Abrir", hard=True)

    decision, _ = decide(segment("Open it"), lambda request: "Abra", checks=(no_abra,))
    assert not decision.written and decision.records[0].why == "we say Abrir"


def test_without_a_backend_nothing_new_is_decided() -> None:
    translator = Translator(Catalogue(), None, Memory())
    (decision,) = [decision for decisions in translator.decide([segment("Open it")]) for decision in decisions]
    assert not decision.written


def test_a_wrapped_sentence_is_translated_whole_and_wrapped_again() -> None:
    decision, backend = decide(
        segment("I think they left %s\nbefore the storm began."),
        lambda request: f"Creo que {M0} se fueron antes de empezar.",
    )
    assert backend.sent == [f"I think they left {M0} before the storm began."]
    assert decision.target == ("Creo que %s se fueron\nantes de empezar.",)
    assert decision.records[0].source == "I think they left %s\nbefore the storm began."
