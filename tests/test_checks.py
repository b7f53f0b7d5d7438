from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchtrans.checks import judge, repeated
from batchtrans.syntaxes.prose import emphases

C = frozenset({"c-format"})
PY = frozenset({"python-format"})
BRACE = frozenset({"python-brace-format"})


def codes(source: str, target: str, flags: frozenset[str] = frozenset(), **options: bool) -> set[str]:
    return {problem.code for problem in judge(source, target, flags, **options)}


def hard(source: str, target: str, flags: frozenset[str] = frozenset(), **options: bool) -> set[str]:
    return {problem.code for problem in judge(source, target, flags, **options) if problem.hard}


@pytest.mark.parametrize(
    ("source", "target", "flags"),
    [
        ("%d files", "%d archivos", C),
        ("%s has %d", "%2$d de %1$s", C),
        ("%i of %%", "%% y %d", C),
        ("%(a)s of %(b)s", "%(b)s de %(a)s", PY),
        ("{a} of {b}", "{b} de {a}", BRACE),
        ("<b>x</b> &amp; y", "<b>x</b> &amp; y", frozenset()),
        ("\nHello\n", "\nHola\n", frozenset()),
        ("100% sure", "100% seguro", frozenset()),
        ("%s of %s", "%2$s de %1$s", frozenset()),
        ("See {name} in $HOME/{dir}", "Vea en $HOME/{dir} a {name}", frozenset()),
        ('<a href="%s">%d</a>', '%2$d: <a href="%1$s">esto</a>', C),
        ("%1 of %2", "%2 de %1", frozenset({"qt-format"})),
        ("{0} of {1}", "{1} de {0}", frozenset({"csharp-format"})),
        ("$a of ${b}", "${b} de ${a}", frozenset({"sh-format"})),
        ("%s of %d", "%2$d de %1$s", frozenset({"php-format"})),
        ("~a and ~a", "~a y ~a", frozenset({"scheme-format"})),
        ("Use --force or `x`", "Use `y` o --force", frozenset()),
        ("<b>x</b> <i>y</i>", "<i>y</i> <b>x</b>", frozenset()),
        ("<p>x", "x<p>", frozenset()),
        ("%dm ago", "hace %d m", frozenset()),
        ("%d x %d pixels", "%dx%d píxeles", frozenset()),
        ("Volume: %d %%", "Volumen: %d%%", frozenset()),
        ("%d documents in %sdirectory", "%documentos en directorio %s", frozenset()),
        ("/Help/About", "/Ayuda/Acerca de", frozenset()),
        ("/_View/Show/_Toolbar", "/_Вид/Показать/_Панель", C),
    ],
)
def test_a_right_translation_has_no_hard_problem(source: str, target: str, flags: frozenset[str]) -> None:
    assert not hard(source, target, flags)


@pytest.mark.parametrize(
    ("source", "target", "flags", "code"),
    [
        ("%d files", "archivos", C, "placeholders"),
        ("%s has %d", "%d de %s", C, "placeholders"),
        ("%d files", "%s archivos", C, "placeholders"),
        ("%s", "%s %s", C, "placeholders"),
        ("%d of it", "%d y 50%", C, "format"),
        ("%(a)s", "%(b)s", PY, "placeholders"),
        ("{name}", "{nombre}", BRACE, "placeholders"),
        ("Hello {name}", "Hola {nombre}", frozenset(), "placeholders"),
        ("<b>x</b>", "<b>x", frozenset(), "placeholders"),
        ("See https://a.example/b", "Vea https://a.example/c", frozenset(), "placeholders"),
        ("Use --force", "Use --forzar", frozenset(), "placeholders"),
        ("In $HOME", "En $CASA", frozenset(), "placeholders"),
        ("In /usr/bin", "En /usr/local/bin", frozenset(), "placeholders"),
        ("a\\nb", "a b", frozenset(), "placeholders"),
        ("<b>x</b>", "</b>x<b>", frozenset(), "placeholders"),
        ("<b>x <i>y</i></b>", "<b>x <i>y</b></i>", frozenset(), "placeholders"),
        ("%s of %d", "%d de %s", frozenset(), "placeholders"),
        ("%dm ago", "hace m", frozenset(), "placeholders"),
        ("%dx%d pixels", "%d píxeles", frozenset(), "placeholders"),
        ("%d documents", "%socumentos", frozenset(), "placeholders"),
        ("%s of %d", "%2$d de %s", frozenset(), "format"),
        ("%(a)s", "%(b)s", frozenset(), "placeholders"),
        ("%<a>s", "%<b>s", frozenset(), "placeholders"),
        ('<a href="%s">%d</a>', '<a href="%2$d">%1$s</a>', C, "placeholders"),
        ("{0} of {1}", "{1}", frozenset({"csharp-format"}), "placeholders"),
        ("{a}", "{a}}", BRACE, "format"),
        ("of {0}", "d'{0}", frozenset({"java-format"}), "placeholders"),
        ("{0}", "{0} d'altri", frozenset({"java-format"}), "format"),
        ("{a!r}", "{b!r}", BRACE, "placeholders"),
        ("{0} {x}", "{x} {0}", frozenset({"cobol-format"}), "placeholders"),
        ("{n, plural, other {#}}", "{n, plural, other {#} x}", frozenset(), "format"),
        ("Hello\n", "Hola", frozenset(), "newlines"),
        ("Hello", "\nHola", frozenset(), "newlines"),
        ("Hello", "Hola\x07", frozenset(), "control"),
        ("Hello", "Hola \ue000", frozenset(), "control"),
        ("Hello", "  ", frozenset(), "empty"),
    ],
)
def test_what_would_break_a_program_is_hard(source: str, target: str, flags: frozenset[str], code: str) -> None:
    assert code in hard(source, target, flags)


@pytest.mark.parametrize(
    ("source", "target", "flags", "message"),
    [
        ("%d files", "archivos", C, "the translation lacks argument 1 (%d)"),
        ("%s", "%s de %d", C, "the translation adds argument 2 (%d)"),
        ("%d files", "%s archivos", C, "argument 1 (%s) is text in the translation, integer in the source"),
        ("%(a)s", "%(b)s", PY, "the translation lacks a"),
        ("%d of it", "%d y 50%", C, "the translation is not valid as c-format: a percent sign begins no directive"),
        ("<b>x</b>", "<b>x", frozenset(), "the translation lacks </b>"),
        ("x", "x\n", frozenset(), "the translation ends with a newline, the source does not"),
        ("\nx", "x", frozenset(), "the source begins with a newline, the translation does not"),
        ("It costs 42", "Cuesta", frozenset(), "the translation lacks 42"),
        ("Read it", "Leerlo en YouTube", frozenset(), "the translation adds YouTube"),
        ("Open it.", "Abrir", frozenset(), "the source ends in '.', the translation without a mark"),
    ],
)
def test_a_message_names_what_is_lacking_or_too_much(
    source: str, target: str, flags: frozenset[str], message: str
) -> None:
    assert judge(source, target, flags)[0].message.startswith(message)


def test_directives_are_held_against_the_text_that_gettext_compares_with() -> None:
    assert hard("One file", "%d archivo", C, relaxed=True)
    assert not {p.code for p in judge("One file", "%d archivo", C, relaxed=True, against="%d files") if p.hard}
    assert {p.code for p in judge("One file", "%s", C, relaxed=True, against="%d files") if p.hard} == {"placeholders"}
    assert {p.code for p in judge("<b>One</b>", "Un", C, relaxed=True, against="%d") if p.hard} == {"placeholders"}


def test_a_relaxed_form_may_drop_the_number_but_not_invent_one() -> None:
    assert not hard("%d file", "un archivo", C, relaxed=True)
    assert hard("one file", "%d archivo", C, relaxed=True)


PLURALS = ["%d files", "%s: %d files", "{n} files", "%(n)d files", "$n files", "%COUNT% files"]


@pytest.mark.parametrize("plural", PLURALS)
def test_a_form_is_judged_without_a_flag_as_with_one(plural: str) -> None:
    without, shown = plural.replace("files", "archivos"), re.sub(r"\S+ files", "un archivo", plural)
    for source in (plural, "One file"):
        assert not [p for p in judge(source, shown, relaxed=True, against=plural) if p.hard]
        assert not [p for p in judge(source, without, relaxed=True, against=plural) if p.hard]
        assert [p for p in judge(source, f"{without} %5.1f {{x}}", relaxed=True, against=plural) if p.hard]
    assert hard(plural, shown)


@pytest.mark.parametrize("flags", [frozenset[str](), C])
def test_a_form_of_many_numbers_must_show_them_though_the_singular_does_not(flags: frozenset[str]) -> None:
    assert [p for p in judge("One file", "una datoteka", flags, against="%d files") if p.hard]


WORDS = st.lists(st.sampled_from(["%d", "%s", "%lu", "%1$d", "%2$s", "files", "of", "<b>", "</b>"]), max_size=5)


@given(WORDS, WORDS, WORDS, st.booleans())
def test_no_form_is_judged_more_strictly_without_a_flag(
    source: list[str], plural: list[str], target: list[str], relaxed: bool
) -> None:
    texts = [" ".join(("x", *words)) for words in (source, target)]
    against = " ".join(("x", *plural))
    if not any(p.hard for p in judge(*texts, C, relaxed=relaxed, against=against)):
        assert not any(p.hard for p in judge(*texts, relaxed=relaxed, against=against))


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("The file is open", "The file is open", "unchanged"),
        ("Open the file.", "Abra el archivo", "end"),
        ("It costs 42 euros", "Cuesta 24 euros", "numbers"),
        ("Open the file", "Abra el el archivo", "doubled"),
        ("Go", "a b c d a b c d a b c d", "repetition"),
        ("Call `read`", "Llame a `leer`", "code"),
        ("Do **not** stop", "No pare", "markup"),
        ("A *new* file", "Un **nuevo** archivo", "markup"),
        ("It is gone", "~~Ya~~ no está", "markup"),
        ("_Open", "Abrir", "accelerator"),
        ("Save &As", "&Guardar &como", "accelerator"),
        ("Search && Replace", "Buscar &reemplazar", "accelerator"),
        ("Search && &Replace", "Buscar & &reemplazar", "accelerator"),
        ("Go", "Vaya usted de inmediato y sin demora alguna al lugar señalado", "length"),
        ("Open it in YouTube", "Abrirlo en el tubo", "names"),
        ("Open it in the tube", "Abrirlo en YouTube", "names"),
        ("Costs nothing", "Cuesta 3 euros", "numbers"),
        ("Sit down", "Siéntese (la la)", "doubled"),
    ],
)
def test_doubts_are_soft(source: str, target: str, code: str) -> None:
    assert code in codes(source, target)
    assert not hard(source, target)


def test_names_may_stay_and_numbers_may_change_their_separators() -> None:
    assert not codes("PostgreSQL", "PostgreSQL")
    assert not codes("It costs 1,024.5 euros", "Cuesta 1.024,5 euros")
    assert not codes("_Open", "_Abrir") and not codes("Find && &replace", "Buscar && &cambiar")
    assert not codes("Search && replace", "Buscar y cambiar")


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        ("**Note:** do *not* stop", ["**", "*"]),
        ("***both*** and __strong__ and ~~gone~~", ["***", "__", "~~"]),
        ("**two words, _a_ part.**", ["**"]),
        ("*emphasis*, at a mark", ["*"]),
        ("5 * 3 * 2 and 5*3*2", []),
        ("* a list\n* of items", []),
        ("all *.txt files, or * and *", []),
        ("/* a comment */", []),
        ("snake__case__name and ~/a~", []),
        ("an * alone", []),
    ],
)
def test_what_is_emphasis(text: str, signs: list[str]) -> None:
    assert emphases(text) == signs


def test_names_count_once_and_not_within_placeholders() -> None:
    assert not codes("GitHub and GitHub", "GitHub y eso")
    assert "names" not in codes("See https://gitHub.example", "Vea https://gitHub.example")
    assert "names" not in codes("PAYMENT of McDonald", "PAGO de McDonald")


def test_a_text_in_few_characters_is_not_too_short() -> None:
    source = "The file could not be opened because it is not there any more, or was never there at all."
    assert "length" not in codes(source, "无法打开该文件，因为它已不存在，或者从未存在过。")
    assert "length" in codes(source, "No se abre.")


def test_a_text_that_stayed_in_its_language_is_doubted() -> None:
    asked: list[str] = []

    def foreign(text: str) -> bool:
        asked.append(text)
        return True

    source, stayed = "The file could not be opened.", "The file was not opened."
    assert {p.code for p in judge(source, stayed, foreign=foreign)} == {"language"}
    assert not judge(source, "No se abrió el archivo: año.", foreign=foreign)[1:] and asked == [stayed]
    refused = "I'm sorry, but I can't help with that."
    assert {p.code for p in judge(source, refused, foreign=foreign)} == {"language"} and asked == [stayed, refused]
    assert [p.code for p in judge("Él no abre.", "Él no abre más.", foreign=foreign)] == ["language"]
    assert not judge(source, stayed, foreign=foreign, soft=False)


def by_definition(text: str) -> bool:
    """What ``repeated`` says, looked for in every place."""
    words = text.lower().split()
    runs = [tuple(words[at : at + 4]) for at in range(len(words) - 3)]
    stretches = any(
        text[at : at + size] * 4 == text[at : at + 4 * size]
        for size in range(4, 41)
        for at in range(len(text) - 4 * size + 1)
    )
    return stretches or any(runs.count(run) >= 3 for run in runs)


@settings(max_examples=300)
@given(
    st.text("ab ", max_size=60)
    | st.builds(
        lambda before, unit, times, cut, after: before + (unit * times)[: len(unit) * times - cut] + after,
        st.text("abc ", max_size=20),
        st.text("abcd ", min_size=1, max_size=44),
        st.integers(2, 6),
        st.integers(0, 4),
        st.text("abc ", max_size=20),
    )
)
def test_repetition_is_found_wherever_it_is(text: str) -> None:
    assert repeated(text) == by_definition(text)


PAIRS = [
    ("%s: %d", "%s: %d"), ("%s: %d", "%d: %s"), ("%s: %d", "%2$d: %1$s"), ("%d", "uno"), ("%d", "%s"),
    ("%d", "%d %d"), ("%5.1f%%", "%5.1f%%"), ("%lu", "%lu"), ("%lu", "%u"), ("%*d", "%*d"), ("%i", "%d"),
    ("%s", "%1$s"), ("%s %s", "%1$s %1$s"), ("a", "%s"), ("%c", "%d"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_our_verdict_on_c_format_is_that_of_msgfmt(source: str, target: str, tmp_path: Path) -> None:
    catalogue = tmp_path / "pair.po"
    catalogue.write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
        f'#, c-format\nmsgid "{source}"\nmsgstr "{target}"\n'
    )
    done = subprocess.run(["msgfmt", "--check-format", "-o", "/dev/null", catalogue], capture_output=True, timeout=30)
    assert bool(hard(source, target, C)) == bool(done.returncode), done.stderr
