"""Glossaries: how terms are read and found, and what a run and check make of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans import Backend, Request, Result
from batchtrans.errors import BatchtransError, FormatError, UsageError
from batchtrans.glossary import Glossary, Term, load_glossary
from batchtrans.memory import Known, Memory
from batchtrans.parts import cut, is_copy
from batchtrans.translator import Decision, Translator
from batchtrans.types import Document, Location, OpenOptions, Piece, Segment, State
from conftest import Cli

C = frozenset({"c-format"})
FILE = Term(("file", "files"), ("archivo", "archivos"))
SYSTEM = Term(("file system",), ("sistema de archivos",))
PIDGIN = Term(("Pidgin",), ())
PLUS = Term(("C++",), ())
GLOSSARY = Glossary([FILE, SYSTEM, PIDGIN, PLUS])


# Finding


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Open the file", [FILE]),
        ("FILES and Files", [FILE]),
        ("My profile, my filesystem", []),
        ("The file system", [SYSTEM]),
        ("The file  system has a file", [SYSTEM, FILE]),
        ("file_name", [FILE]),
        ("Pidgin", []),
    ],
)
def test_terms_are_found_by_whole_words_and_the_longest_first(text: str, terms: list[Term]) -> None:
    assert GLOSSARY.terms_of(text) == terms


@pytest.mark.parametrize(
    ("text", "staying"),
    [("Start Pidgin now", ["Pidgin"]), ("a pidgin, PIDGIN", []), ("In C++, not C+", ["C++"]), ("Pidgins", [])],
)
def test_a_form_with_capitals_is_found_as_it_is(text: str, staying: list[str]) -> None:
    assert [text[start:end] for start, end in GLOSSARY.staying(text)] == staying


def test_writing_without_blanks_is_searched_by_characters() -> None:
    glossary = Glossary([Term(("文件",), ("file",)), Term(("file",), ("文件",)), Term(("东京",), ())])
    assert [term.targets for term in glossary.terms_of("打开文件夹")] == [("file",)]
    assert not list(glossary.check("Open the file", "打开文件夹")) and list(glossary.check("Open the file", "打开"))
    assert glossary.staying("在东京") == [(1, 3)]


@pytest.mark.parametrize(
    ("source", "target", "codes"),
    [
        ("Open the file", "Abra el ARCHIVO", []),
        ("Open the file", "Abra el fichero", ["glossary"]),
        ("Open the files", "Abra los archivos", []),
        ("Open the file", "Abra el archivote", ["glossary"]),
        ("Two Pidgin, no Pidgin", "Dos Pidgin", ["keep"]),
        ("Pidgin has a file", "Paloma tiene un fichero", ["keep", "glossary"]),
        ("Nothing of it", "Nada de eso", []),
    ],
)
def test_a_translation_is_held_against_its_terms(source: str, target: str, codes: list[str]) -> None:
    problems = list(GLOSSARY.check(source, target))
    assert [problem.code for problem in problems] == codes
    assert all(problem.hard == (problem.code == "keep") for problem in problems)


@given(st.lists(st.sampled_from(["file", "system", "files", "Pidgin", "profile", "a"]), max_size=8))
def test_what_is_found_is_what_is_there(words: list[str]) -> None:
    pairs = list(zip(words, [*words[1:], ""], strict=False))
    expected = {SYSTEM} if ("file", "system") in pairs else set()
    if any(word == "files" or (word == "file" and after != "system") for word, after in pairs):
        expected.add(FILE)
    text = " ".join(words)
    assert set(GLOSSARY.terms_of(text)) == expected
    assert len(GLOSSARY.staying(text)) == words.count("Pidgin")


# Reading


TBX_2008 = """<?xml version="1.0"?>
<martif type="TBX"><text><body>
<termEntry id="1"><langSet xml:lang="en"><tig><term>file</term></tig><ntig><termGrp><term>files</term></termGrp></ntig>
</langSet><langSet xml:lang="es-ES"><tig><term>archivo</term></tig></langSet></termEntry>
<termEntry id="2"><langSet xml:lang="en"><tig><term>only English</term></tig></langSet></termEntry>
</body></text></martif>
"""
TBX_2019 = """<?xml version="1.0"?>
<tbx xmlns="urn:iso:std:iso:30042:ed-2" type="TBX-Basic"><text><body>
<conceptEntry id="1"><langSec xml:lang="en"><termSec><term>file</term></termSec><termSec><term>files</term></termSec>
</langSec><langSec xml:lang="es"><termSec><term>archivo</term></termSec></langSec></conceptEntry>
</body></text></tbx>
"""
READ = Term(("file", "files"), ("archivo",))


@pytest.mark.parametrize(
    ("name", "text", "terms"),
    [
        ("a.csv", "en,es\nfile|files,archivo\nPidgin,\n", [READ, PIDGIN]),
        ("a.csv", "target;source;note\narchivo;file | files;x\n", [READ]),
        ("a.csv", "file|files,archivo\n\nPidgin\n", [READ, PIDGIN]),
        ("a.tsv", "file|files\tarchivo\n", [READ]),
        ("a.csv", 'source,target\n"a, b","x ""y"""\n', [Term(("a, b",), ('x "y"',))]),
        ("a.txt", "Pidgin\n\n C++ \n", [PIDGIN, PLUS]),
        ("a.tbx", TBX_2008, [READ]),
        ("a.tbx", TBX_2019, [READ]),
    ],
)
def test_glossaries_are_read(name: str, text: str, terms: list[Term], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8-sig" if name.endswith("csv") else "utf-8")
    assert list(load_glossary([path], "en", "es").terms) == terms


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        ("a.doc", b"x", UsageError, "is no glossary"),
        ("a.csv", b"", UsageError, "there is no term"),
        ("a.csv", b"en,fr\nfile,fichier\n", UsageError, "a.csv has no column for es: .*'en', 'fr'\n  Name the columns"),
        ("a.tsv", b"\nfr_FR\tES\nfichier\tarchivo\n", UsageError, "a.tsv has no column for en: "),
        ("a.csv", b"source,fr\nfile,fichier\n", UsageError, "no column for es"),
        ("a.csv", b"source,target\n,x\n", FormatError, "a.csv:2: a translation without a term"),
        ("a.csv", b'source,target\n"a" b,x\n', FormatError, "a.csv:2: not a table"),
        ("a.txt", b"caf\xe9\n", FormatError, "byte 3: .*\n  Convert the glossary to UTF-8"),
        ("a.csv", b"source,target\ncoffee,caf\xe9\n", FormatError, "byte 24: .*\n  Convert the glossary to UTF-8"),
        ("a.tbx", b"<martif><text>", FormatError, "not well-formed"),
        ("a.tbx", b"<tmx/>", FormatError, "its root is <tmx>"),
        ("a.tbx", TBX_2019.replace('"es"', '"fr"').encode(), UsageError, "no term from en to es"),
    ],
)
def test_a_glossary_that_cannot_be_used_says_why(
    name: str, data: bytes, error: type[BatchtransError], message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(error, match=message):
        load_glossary([path], "en", "es")
    with pytest.raises(UsageError, match="there is no glossary"):
        load_glossary([tmp_path / "none.csv"], "en", "es")


def test_where_nobody_says_the_language_the_first_two_columns_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("en,es\nfile,archivo\n")
    assert Term(("file",), ("archivo",)) in load_glossary([path], "en", "und").terms


# In a run


class Texts(Document):
    bilingual = True

    def __init__(self) -> None:
        super().__init__(Path("texts"), "texts", OpenOptions("en", "es"))

    def pieces(self) -> Iterator[Piece]:
        return iter(())

    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        return b""


class Said(Backend):
    """Answers by a table, and remembers what it was asked."""

    masks = 8

    def __init__(self, answers: Mapping[str, str]) -> None:
        super().__init__({})
        self.answers, self.asked = answers, list[Request]()

    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        return {}

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        for request in requests:
            self.asked.append(request)
            yield Result(request.id, self.answers.get(request.source, request.source), stop="eos")


class Taught(Said):
    takes_terms = True


def decide(text: str, backend: Backend, flags: frozenset[str] = frozenset(), memory: Memory | None = None) -> Decision:
    segment = Segment("s", b"", (text,), ("",), Location(1, 0, 0), ((0, 0),), flags=flags)
    translator = Translator(Texts(), backend, memory or Memory(), glossary=GLOSSARY)
    return next(decision for found in translator.decide([segment]) for decision in found)


def test_a_term_that_stays_is_masked() -> None:
    decision = decide("Start Pidgin now", Said({"Start \ue000 now": "Inicie ahora \ue000"}))
    assert decision.target == ("Inicie ahora Pidgin",) and decision.records[0].masks == ("Pidgin",)


def test_directives_are_numbered_beside_a_term_that_stays() -> None:
    backend = Said({"\ue000 in \ue001 of \ue002": "\ue002: \ue001 \ue000"})
    assert decide("%s in Pidgin of %d", backend, C).target == ("%2$d: Pidgin %1$s",)


def test_a_text_of_terms_that_stay_is_copied() -> None:
    backend = Said({})
    assert decide("Pidgin 2", backend).records[0].origin == "copy" and not backend.asked
    assert is_copy("Pidgin", frozenset(), GLOSSARY.staying) and not is_copy("Pidgin", frozenset())


def test_a_translation_that_lost_such_a_term_is_not_written() -> None:
    backend = Said({"Start Pidgin now": "Inicie Paloma ahora", "Start": "Inicie", "now": "ahora"})
    backend.masks = 0
    assert decide("Start Pidgin now", backend).target == ("Inicie Pidgin ahora",)  # in pieces
    backend.answers = {"Start Pidgin now": "Inicie Paloma ahora", "Start": " ", "now": " "}
    decision = decide("Start Pidgin now", backend)
    assert not decision.written and "must stay as it is: Pidgin" in decision.records[0].why


def test_a_term_that_is_missing_is_a_doubt() -> None:
    decision = decide("Open the file", Said({"Open the file": "Abra el fichero"}))
    assert decision.state is State.FUZZY and decision.records[0].checks == ("glossary",)
    assert decide("Open the file", Said({"Open the file": "Abra el archivo"})).state is State.DONE


def test_only_a_model_that_was_taught_them_gets_the_terms() -> None:
    taught, plain = Taught({}), Said({})
    decide("Open the file", taught)
    decide("Open the file", plain)
    assert taught.asked[0].terms == (("file", "archivo"),) and plain.asked[0].terms == ()


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("The file system holds Files", [("file system", "sistema"), ("files", "archivos")]),
        ("A file and a FILE", [("file", "archivo")]),
        ("Pidgin has folders, a folder, 東京", [("folders", "carpeta"), ("folder", "carpeta"), ("東京", "Tokio")]),
        ("Nothing of it", []),
    ],
)
def test_a_model_is_told_the_forms_that_stand_in_the_text(text: str, pairs: list[tuple[str, str]]) -> None:
    file, system = Term(("file", "files"), ("archivo", "archivos")), Term(("file system",), ("sistema",))
    folder, tokyo = Term(("folder", "folders"), ("carpeta",)), Term(("東京",), ("Tokio",))
    assert Glossary([file, system, folder, tokyo, PIDGIN]).pairs_of(text) == pairs


@pytest.mark.parametrize(
    ("source", "target", "pairs"),
    [
        ("Open the file", "Abra el archivo", [("file", "archivo")]),
        ("Open the file", "Abra los archivos", [("file", "archivos")]),
        ("The files, a file", "Archivos, archivo", [("files", "archivos"), ("file", "archivo")]),
        ("Open the file", "Abra el fichero", []),
        (
            "The file system, a file",
            "El sistema de archivos",
            [("file system", "sistema de archivos"), ("file", "archivos")],
        ),
        ("Pidgin", "Pidgin", []),
    ],
)
def test_a_model_is_taught_the_terms_that_a_translation_keeps_to(
    source: str, target: str, pairs: list[tuple[str, str]]
) -> None:
    assert GLOSSARY.kept_pairs(source, target) == pairs


def test_known_translations_are_held_against_the_glossary_too() -> None:
    memory = Memory()
    memory.add("", ("Open the file",), Known(("Abra el fichero",), "memory"))
    memory.add("", ("Start Pidgin",), Known(("Inicie Paloma",), "memory"))
    assert decide("Open the file", Said({}), memory=memory).records[0].checks == ("glossary",)
    assert decide("Start Pidgin", Said({"Start \ue000": "Inicie \ue000"}), memory=memory).target == ("Inicie Pidgin",)


@given(st.text("ab %sd{x}<b>. ", max_size=20), st.text("ab %sd{x}<b>. ", max_size=20))
def test_parts_with_terms_are_the_text(before: str, after: str) -> None:
    text = f"{before} Pidgin {after}"
    parts = cut(text, C, "en", GLOSSARY.staying)
    assert "".join(part.source for part in parts) == text
    for part in parts:
        assert part.put_back(part.unmask(part.text, C, len(parts) == 1)) == part.source


# On the command line


def test_a_run_counts_what_is_off_its_glossary(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Open the file\nStart Pidgin\nOne more file\nHello there\n")
    (tmp_path / "terms.csv").write_text("en,es\nfile,archivo\nPidgin,\n")
    run = ("run", "a.txt", "--to", "es", "--backend", "pseudo")
    done = cli(*run, "--glossary", "terms.csv")
    assert "  without a term of the glossary: 2, on line 1, 3" in done.stderr.decode().splitlines()
    assert "Pidgin" in (tmp_path / "a.es.txt").read_text().splitlines()[1]
    lines = [json.loads(line) for line in (tmp_path / "a.es.txt.align.jsonl").read_bytes().splitlines()]
    assert len(lines[0]["options"]["glossary"]) == 1
    assert sum("glossary" in line.get("checks", ()) for line in lines) == 2
    assert b"up to date" in cli(*run, "--glossary", "terms.csv").stderr
    assert b"up to date" not in cli(*run).stderr


def test_check_reports_terms_by_severity(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("en,es\nOpen the file,Abra el fichero\nStart Pidgin,Inicie Paloma\n")
    (tmp_path / "terms.txt").write_text("Pidgin\n")
    (tmp_path / "terms.tbx").write_text(TBX_2019)
    done = cli("check", "a.csv", "--to", "es", "--glossary", "terms.txt", "--glossary", "terms.tbx")
    assert done.returncode == 1 and done.stdout.decode().splitlines() == [
        "a.csv:2: warning: glossary: file is archivo in the glossary",
        "a.csv:3: error: keep: by the glossary this must stay as it is: Pidgin",
    ]


def test_a_broken_glossary_is_no_fault_of_the_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("en,es\nOpen,Abra\n")
    (tmp_path / "terms.tbx").write_text("<tbx>")
    for command in (["check", "a.csv"], ["run", "a.csv", "--column", "en", "--backend", "pseudo"]):
        done = cli(*command, "--to", "es", "--glossary", "terms.tbx")
        assert done.returncode in (1, 2) and b"terms.tbx:" in done.stderr and not done.stdout


@pytest.mark.parametrize("command", [["run", "a.csv", "--column", "en", "--backend", "pseudo"], ["check", "a.csv"]])
def test_a_glossary_that_is_not_there_exits_2(command: list[str], cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("en,es\nOpen,Abra\n")
    done = cli(*command, "--to", "es", "--glossary", "none.csv")
    assert done.returncode == 2 and b"there is no glossary none.csv" in done.stderr
    assert not list(tmp_path.glob("*.jsonl"))
