"""Plural forms with a number in them: what is asked, and how the number becomes its placeholder again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans import MASK_BASE, OpenOptions, Request, Segment
from batchtrans.counted import with_number
from batchtrans.formats.po import PoFormat
from batchtrans.memory import Memory
from batchtrans.parts import cut
from batchtrans.plurals import compile_expression, parse_header
from batchtrans.translator import Decision, Translator
from conftest import Cli
from made_catalogues import PLURALS, complaints, header
from test_ladder import Able
from test_translator import Catalogue, Scripted, segment

M0, M1 = chr(MASK_BASE), chr(MASK_BASE + 1)


@pytest.mark.parametrize(
    ("text", "flag", "asked"),
    [
        ("%d files", "c-format", "5 files"),
        ("%s has %lu files", "c-format", f"{M0} has 5 files"),
        ("<b>%d</b> files in %s", "c-format", f"{M0}5{M1} files in {chr(MASK_BASE + 2)}"),
        ("%s files", "c-format", "5 files"),
        ("%(count)d of %(name)s", "python-format", f"5 of {M0}"),
        ("{n} files", "python-brace-format", "5 files"),
        ("{} files", "", "5 files"),
        ("%n files", "qt-plural-format", "5 files"),
        ("%1 files", "kde-format", "5 files"),
        ("~D files", "lisp-format", "5 files"),
        ("%s of %s", "c-format", None),  # which one?
        ("%d of %d", "c-format", None),
        ("{n} of {m}", "", None),
        ("%d of 5 files", "c-format", None),  # the answer's 5 could be either
        ("%d of 5.5 files", "c-format", "5 of 5.5 files"),
        ("files", "c-format", None),
        ("<b>files</b>", "", None),
    ],
)
def test_the_number_stands_where_its_placeholder_was(text: str, flag: str, asked: str | None) -> None:
    (part,) = cut(text, frozenset(filter(None, [flag])), "en")
    counted = with_number(part, 5, True)
    assert (counted.text if counted else None) == asked
    for masked in (True, False):
        if counted := with_number(part, 5, masked):
            assert counted.restored(counted.text) == (part.text if masked else part.core)


@pytest.mark.parametrize(
    "answer", ["archivos", "5 de 5 archivos", "15 archivos", "5,5 archivos", "1.5 archivos", "٥ ملفات"]
)
def test_a_number_that_does_not_come_back_once_is_not_taken_for_the_placeholder(answer: str) -> None:
    (part,) = cut("%d files", frozenset({"c-format"}), "en")
    counted = with_number(part, 5, True)
    assert counted and counted.restored(answer) is None


def test_a_number_that_stands_in_another_placeholder_is_no_sign() -> None:
    (part,) = cut("%d of <a5 b='5'> files", frozenset({"c-format"}), "en")
    assert with_number(part, 5, True) and with_number(part, 5, False) is None


@given(st.lists(st.sampled_from(["open", M0, M1, "files", "7", "1,5"]), max_size=6), st.integers(0, 999))
def test_other_placeholders_get_their_masks_back(words: list[str], number: int) -> None:
    (part,) = cut("%s and <b>%d files", frozenset({"c-format"}), "en")
    counted = with_number(part, number, True)
    assert counted and counted.text == f"{M0} and {M1}{number} files"
    restored = counted.restored(" ".join(words))
    if restored is not None:
        masks = [word for word in words if word in (M0, M1)]
        assert [c for c in restored if ord(c) >= MASK_BASE].count(chr(MASK_BASE + 2)) == 1
        assert sorted(c for c in restored if c in (M0, M1)) == sorted(masks)


def decide(asked: Segment, answer: Callable[[Request], str], masks: int = 32) -> tuple[Decision, Scripted]:
    backend = Scripted(answer, masks)
    ((decision,),) = Translator(Catalogue(), backend, Memory()).decide([asked])
    return decision, backend


FILES = segment("%d file in %s", "%d files in %s", flags="c-format", target=("", ""))


@pytest.mark.parametrize("masks", [0, 32])
def test_each_form_is_translated_with_its_number(masks: int) -> None:
    words = {"file": "archivo", "files": "archivos", "in": "en"}

    def answer(request: Request) -> str:
        return " ".join(words.get(word, word) for word in request.source.split(" "))

    decision, backend = decide(FILES, answer, masks)
    other = M0 if masks else "%s"
    assert sorted(backend.sent) == [f"1 file in {other}", f"2 files in {other}"]
    assert decision.target == ("%d archivo en %s", "%d archivos en %s")
    assert {record.rung for record in decision.records} == {""}
    assert {record.status for record in decision.records} == {"ok"}


def test_a_number_that_is_lost_is_asked_for_again_as_a_mask() -> None:
    def answer(request: Request) -> str:
        return f"{M0} archivo en {M1}" if M1 in request.source else f"archivo en {M0}"

    decision, backend = decide(FILES, answer)
    assert backend.sent[2:] == [f"{M0} files in {M1}", f"{M0} file in {M1}"]
    assert decision.target == ("%d archivo en %s",) * 2
    assert [(record.rung, record.tries) for record in decision.records] == [("masked", 2)] * 2
    assert decision.records[0].status == "repaired"


def test_a_number_may_change_places_with_another_placeholder() -> None:
    decision, _ = decide(FILES, lambda request: f"en {M0} hay {request.sample} archivos")
    assert decision.target == ("en %2$s hay %1$d archivos",) * 2


def test_a_form_without_the_number_stays_without() -> None:
    asked = segment("One file", "%d files", flags="c-format", target=("", ""))
    decision, backend = decide(asked, lambda request: "Un archivo" if request.form == 0 else "2 archivos")
    assert sorted(backend.sent) == ["2 files", "One file"]
    assert decision.target == ("Un archivo", "%d archivos")


@pytest.mark.parametrize("language", PLURALS)
def test_every_number_selects_its_form_under_the_catalogues_own_formula(language: str, tmp_path: Path) -> None:
    path = tmp_path / "a.po"
    forms = parse_header(PLURALS[language])
    assert forms
    entry = '#, c-format\nmsgid "%d file"\nmsgid_plural "%d files"\n'
    path.write_text(header(language) + "\n" + entry + "".join(f'msgstr[{n}] ""\n' for n in range(forms.nplurals)))
    document = PoFormat().open(path, OpenOptions("en", language))
    backend = Able(lambda request: request.source.upper())
    (asked,) = [piece for piece in document.pieces() if isinstance(piece, Segment)]
    ((decision,),) = Translator(document, backend, Memory()).decide([asked])
    select = compile_expression(forms.formula)
    assert len(backend.asked) == forms.nplurals
    for request in backend.asked:
        number = int(re.match(r"\d+", request.source)[0])  # type: ignore[index]
        assert request.form == select(number) and number == request.sample
    assert decision.target == tuple(
        "%d FILE" if request.source.endswith("file") else "%d FILES"
        for request in sorted(backend.asked, key=lambda request: request.form or 0)
    )


ECHO = r"""
    from batchtrans import Backend, Declared, Result, hookimpl

    class Echo(Backend):
        masks = 8

        def start(self, source_lang, target_lang):
            return {"backend": "echo"}

        def translate(self, requests):
            for request in requests:
                yield Result(request.id, f"{request.source} n={request.sample}")

    @hookimpl
    def batchtrans_backends():
        return [Declared("echo", "echoing:Echo", "says which number it was asked with")]
"""


def test_a_header_that_disagrees_with_the_tables_wins(
    cli: Cli, plugin: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """Spanish as CLDR has it, with a form for millions, and Russian with two forms."""
    rules = {
        "es": "nplurals=3; plural=(n == 1 ? 0 : n != 0 && n % 1000000 == 0 ? 1 : 2);",
        "ru": "nplurals=2; plural=(n > 3);",
    }
    installed = plugin("echoing", ECHO)
    for language, rule in rules.items():
        text = header(language).replace(PLURALS[language], rule)
        text += '\n#, c-format\nmsgid "%d file"\nmsgid_plural "%d files"\n' + 'msgstr[0] ""\nmsgstr[1] ""\n'
        text += 'msgstr[2] ""\n' if language == "es" else ""
        (tmp_path / "a.po").write_text(text)
        done = cli("run", "a.po", "--to", language, "--backend", "echo", "-o", f"{language}.po", plugins=(installed,))
        assert done.returncode == 0, done.stderr.decode()
        assert not complaints(tmp_path / f"{language}.po")
    assert re.findall(r'msgstr\[.\] "(.*)"', (tmp_path / "ru.po").read_text()) == ["%d file n=1", "%d files n=4"]
    assert len(re.findall(r'msgstr\[.\] "%d', (tmp_path / "es.po").read_text())) == 3


@pytest.mark.parametrize(
    ("source", "answer", "language", "restored"),
    [
        ("Found %d ancestor", "Se encontró un ancestro", "es", f"Se encontró {M0} ancestro"),
        ("%d file", "Una carpeta", "es_MX", f"{M0} carpeta"),
        ("%d file", "um arquivo", "pt_BR", f"{M0} arquivo"),
        ("%d file", "un'opzione", "it", None),  # the apostrophe would stay
        ("%d file", "1 archivo de una carpeta", "es", f"{M0} archivo de una carpeta"),
        ("%d file of a folder", "archivo de una carpeta", "es", None),  # the other word's article
        ("%d file", "una de una", "es", None),
        ("%d file", "archivo", "es", None),
        ("%d file", "один файл", "ru", None),
        ("%d file", "un archivo", "", None),
    ],
)
def test_the_only_word_for_one_is_the_number(source: str, answer: str, language: str, restored: str | None) -> None:
    (part,) = cut(source, frozenset({"c-format"}), "en")
    counted = with_number(part, 1, True)
    assert counted and counted.restored(answer, language) == restored


def test_no_other_number_is_looked_for_as_a_word() -> None:
    (part,) = cut("%d files", frozenset({"c-format"}), "en")
    counted = with_number(part, 2, True)
    assert counted and counted.restored("un archivo", "es") is None


def test_a_number_named_by_inttypes_is_one() -> None:
    (part,) = cut("%<PRIuMAX> days ago", frozenset({"c-format"}), "en")
    counted = with_number(part, 5, True)
    assert counted and counted.text == "5 days ago"
