"""Access keys: taken out of labels, put back into their translations, different within a menu."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans import Request, Segment, State
from batchtrans.accelerators import Label, groups, key_of, put_back, split
from batchtrans.memory import Known, Memory
from batchtrans.translator import Decision, Translator
from test_translator import Catalogue, Scripted, segment


@pytest.mark.parametrize(
    ("source", "label"),
    [
        ("_File", Label("File", "_", "f")),
        ("Save &As...", Label("Save As...", "&", "a")),
        ("E~xit", Label("Exit", "~", "x")),
        ("Print (_All)", Label("Print (All)", "_", "a")),
        ("Save and exit", None),
        ("Salt & pepper", None),
        ("_Copy and _paste", None),
        ("max_size", None),
        ("_private", None),
        ("Fish &amp; chips", None),
        ("See ~/Documents", None),
    ],
)
def test_a_label_is_taken_apart(source: str, label: Label | None) -> None:
    assert split(source) == label


def test_a_sign_in_a_placeholder_is_no_access_key() -> None:
    assert split("~A Open", frozenset({"lisp-format"})) is None
    assert split("~A Open") == Label("A Open", "~", "a")


@pytest.mark.parametrize(
    ("text", "label", "taken", "expected"),
    [
        ("Archivo", Label("File", "_", "f"), "", "_Archivo"),
        ("Ficha", Label("File", "_", "f"), "", "_Ficha"),
        ("Perfil", Label("File", "_", "f"), "", "Per_fil"),
        ("Perfil", Label("File", "_", "f"), "f", "_Perfil"),
        ("Guardar como...", Label("Save As...", "&", "a"), "", "Gu&ardar como..."),
        ("Guardar como...", Label("Save As...", "&", "a"), "a", "&Guardar como..."),
        ("Guardar como...", Label("Save As...", "&", "a"), "ag", "Guardar &como..."),
        ("Ir", Label("Go", "&", "g"), "i", "I&r"),
        ("Ir", Label("Go", "&", "g"), "ir", "&Ir"),
        ("%s abierto", Label("%s open", "&", "o"), "", "%s abiert&o"),
        ("保存...", Label("Save...", "&", "s"), "", "保存(&S)..."),
        ("Сохранить", Label("Save", "_", "s"), "", "_Сохранить"),
        ("Été", Label("Summer", "_", "s"), "", "É_té"),
    ],
)
def test_a_key_is_put_back(text: str, label: Label, taken: str, expected: str) -> None:
    keyed, key = put_back(text, label, taken)
    assert keyed == expected
    assert key_of(keyed, label.sign) == key


@given(st.text("abcDE é保 ", min_size=1, max_size=12), st.sampled_from("&_~"), st.sets(st.sampled_from("abcde")))
def test_a_key_that_is_put_back_is_the_only_change(text: str, sign: str, taken: set[str]) -> None:
    keyed, key = put_back(text, Label("A", sign, "a"), taken)
    assert keyed.count(sign) == 1
    assert keyed.replace(sign, "") == text or keyed.replace(f"({sign}A)", "") == text
    letters = {character for character in text.lower() if character in "abcdeé"}
    assert key not in taken or letters <= taken


def labels(*sources: str, **values: object) -> list[Segment]:
    return [segment(source)._replace(id=str(number), **values) for number, source in enumerate(sources)]


def test_a_menu_is_neighbouring_labels_with_one_sign_and_context() -> None:
    window = labels("_File", "_Edit", "Plain", "Plainer", "_View", "a", "b", "c", "_Other", "&Sign")
    assert groups(window) == [[0, 1, 4], [8], [9]]
    window[1] = window[1]._replace(context="toolbar")
    assert groups(window) == [[0], [1], [4], [8], [9]]


def decide(window: list[Segment], answer: Callable[[Request], str]) -> tuple[dict[str, Decision], Scripted]:
    backend = Scripted(answer)
    backend.batch_size = 2
    translator = Translator(Catalogue(), backend, Memory())
    decisions = [decision for found in translator.decide(window) for decision in found]
    assert len(decisions) == len(window)
    return {decision.segment.source[0]: decision for decision in decisions}, backend


WORDS = {
    "File": "Archivo",
    "Edit": "Editar",
    "View": "Ver",
    "Save As": "Guardar como",
    "Exit": "Salir",
    "Add": "Añadir",
}


def test_keys_differ_within_a_menu_whatever_comes_first() -> None:
    window = labels("_File", "_Edit", "_View", "Save _As", "E_xit", "_Add")
    decisions, backend = decide(window, lambda request: WORDS[request.source])
    assert sorted(backend.sent) == sorted(WORDS)
    targets = [decisions[segment.source[0]].target[0] for segment in window]
    assert targets == ["_Archivo", "_Editar", "_Ver", "_Guardar como", "_Salir", "Aña_dir"]
    assert [decisions[segment.source[0]].state for segment in window] == [State.DONE] * 6


def test_keys_of_finished_neighbours_are_taken() -> None:
    window = labels("_File", "_Add")
    window[0] = window[0]._replace(target=("_Archivo",), state=State.DONE)
    decisions, _ = decide(window, lambda request: WORDS[request.source])
    assert decisions["_Add"].target == ("Aña_dir",)
    assert decisions["_File"].target == ("_Archivo",)


def test_a_resumed_run_gives_the_keys_that_it_would_have_given_without_the_interruption() -> None:
    menus = ["_File", "E_xit", "_Edit", "Save _As", "_View", "_Add"], ["_Save", "_Add", "_File", "E_xit"]
    window = labels(*menus[0], *["Open a file"] * 12, *menus[1])
    window[2] = window[2]._replace(target=("_Editar",), state=State.DONE)

    def translated(memory: Memory) -> Iterator[list[Decision]]:
        backend = Scripted(lambda request: {**WORDS, "Save": "Guardar", "Open a file": "Abrir"}[request.source])
        backend.batch_size = 2
        return Translator(Catalogue(), backend, memory).decide(window)

    written = list(translated(Memory()))  # what the log gets at a time
    assert len(written) > 2
    for count in range(len(written)):
        memory = Memory()
        for decision in chain.from_iterable(written[:count]):
            memory.settle(decision.segment.id)
            if decision.written:
                memory.add("", decision.segment.source, Known(decision.target, "duplicate"))
        rest = {decision.segment.id: decision.target for found in translated(memory) for decision in found}
        assert rest == {one.segment.id: one.target for one in chain.from_iterable(written[count:])}, count


def test_a_label_that_fails_takes_no_key_and_holds_no_neighbour_back() -> None:
    decisions, _ = decide(labels("_File", "_Add"), lambda request: "" if request.source == "File" else "Añadir")
    assert not decisions["_File"].written and decisions["_Add"].target == ("_Añadir",)


def test_text_files_have_no_menus(tmp_path: Path) -> None:
    class Text(Catalogue):
        bilingual = False

    backend = Scripted(lambda request: request.source.upper())
    list(Translator(Text(), backend, Memory()).decide(labels("Save _As now")))
    assert backend.sent == ["Save _As now"]
