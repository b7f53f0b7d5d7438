from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans import syntaxes
from batchtrans.checks import judge
from batchtrans.protect import find, number_directives
from batchtrans.syntaxes import prose
from batchtrans.syntaxes.prose import access_key
from conftest import DATA, ROOT

FLAGS = sorted(syntaxes.SYNTAXES)
PIECES = sorted({
    piece
    for line in (DATA / "syntaxes" / "grammar.txt").read_text(encoding="utf-8").splitlines()
    if line.startswith(("pieces ", "whole "))
    for piece in line.split(" ")[1:]
})  # fmt: skip
NEWER_PIECES = [
    "[",
    "]",
    "[1]",
    "[2]*",
    ",",
    "?",
    "->",
    "\n *[other]",
    "\n [one]",
    "$n",
    "-term",
    "\\n",
    "%{",
    "%}",
    "%(",
    "%)",
    ":",
]
ICU_PIECES = ["{n, plural, one {", "} other {", "{g, select, a {", "}}", "}", "{", "#", "'", "''", "{x, date, short}"]
TEXTS = st.lists(st.one_of(st.text(max_size=6), st.sampled_from(PIECES + ICU_PIECES + NEWER_PIECES)), max_size=12).map(
    "".join
)


@given(TEXTS, st.sampled_from([*FLAGS, "cobol-format"]))
def test_any_text_is_read_and_is_its_own_translation(text: str, flag: str) -> None:
    read = syntaxes.parse(text, flag)
    bounds = [(directive.start, directive.end) for directive in read.directives]
    assert all(0 <= start < end <= len(text) for start, end in bounds)
    assert all(before[1] <= after[0] for before, after in pairwise(bounds))
    assert {argument.key for directive in read.directives for argument in directive.arguments} >= {
        key for key in read.arguments if not (isinstance(key, str) and key.endswith(", select"))
    } or flag == "gfc-internal-format"
    assert syntaxes.compare(text, text, flag) is None
    assert syntaxes.compare(text, text, flag, relaxed=True) is None


@given(TEXTS, TEXTS, st.sampled_from(FLAGS))
def test_what_a_strict_form_may_be_a_relaxed_one_may_be_too(source: str, target: str, flag: str) -> None:
    if syntaxes.compare(source, target, flag) is None:
        assert syntaxes.compare(source, target, flag, relaxed=True) is None


@pytest.mark.parametrize("flag", [*FLAGS, "cobol-format"])
@pytest.mark.parametrize(
    "piece",
    [
        "%", "%(", "%<", "%1$", "%*", "%|", "%5", "%9999999999$s", "{", "}", "{0,choice,0#", "{n, plural, other {", "'",
        "{99999999999}", "$", "${", "~{", "~[", "~<", "~(", "~A", "~999999999@*~^", "~200*", "~{~A~A~}~:*", "<a>", "&",
    ],
)  # fmt: skip
def test_ten_thousand_characters_of_anything_are_read(flag: str, piece: str) -> None:
    text = piece * (10_000 // len(piece))
    assert syntaxes.compare(text, text, flag) is None


def test_a_directive_says_what_it_takes() -> None:
    read = syntaxes.parse("%-*d of %3$s, %m%%", "c-format")
    assert read.fault  # by number and in order
    read = syntaxes.parse("%-*d of %s, %m%%", "c-format")
    assert [(d.start, d.end, [tuple(a) for a in d.arguments]) for d in read.directives] == [
        (0, 4, [(1, "integer"), (2, "integer")]), (8, 10, [(3, "text")]), (12, 14, [("%m", "implied")]), (14, 16, []),
    ]  # fmt: skip
    assert read.arguments == {1: "integer", 2: "integer", 3: "text", "%m": "implied"}
    assert [directive.position for directive in read.directives] == [2, 3, None, None]


@pytest.mark.parametrize(
    ("flag", "text", "reason"),
    [
        ("c-format", "100% yes", "a percent sign"),
        ("c-format", "%2$s", "argument 1 is left out"),
        ("c-format", "%1$s %1$d", "argument 1 is both text and integer"),
        ("c-format", "50%", "a percent sign"),
        ("python-format", "%(a)s %s", "by name and in order"),
        ("python-brace-format", "{a b}", "{a b} is no replacement field"),
        ("csharp-format", "{0}}", "'}' is not part of an item"),
        ("java-format", "{0,number,x}", "'x' is no number style"),
        ("java-printf-format", "%<s", "no argument before"),
        ("kde-format", "%3", "argument 1 is left out"),
        ("kde-kuit-format", "<b>%1", "not those of XML"),
        ("sh-format", "${a:-b}", "${a:-b} is no plain variable"),
        ("lisp-format", "~(~A", "~) is missing"),
        ("scheme-format", "~a~]", "~] closes nothing"),
        ("icu-message-format", "{n, plural, one {x}}", "no case 'other'"),
        ("c++-format", "{0} {}", "by number and in order"),
        ("go-format", "%[1]d %[1]s", "both integer or pointer and text"),
        ("ocaml-format", "%1$s %s", "by number and in order"),
        ("rust-format", "{:x}", "{:x} is no argument"),
        ("sh-printf-format", "\\x41", "\\x is no escape"),
        ("fluent-format", "{ $n ->\n [one] x\n}", "not one default variant"),
        ("fluent-format", "{ $n", "begins no placeable"),
        ("fluent-format", "a }", "closes nothing"),
    ],
)
def test_a_fault_says_what_is_wrong(flag: str, text: str, reason: str) -> None:
    assert reason in syntaxes.parse(text, flag).fault
    valid = syntaxes.compare("x", text, flag)
    assert valid is not None and valid.invalid


def test_which_syntaxes_flags_select() -> None:
    def selected(*flags: str) -> tuple[str, ...]:
        return syntaxes.selected(frozenset(flags))

    assert selected("c-format", "python-format", "fuzzy", "range: 0..1") == ("c-format", "python-format")
    assert selected("possible-c-format") == ("c-format",)
    assert selected("no-c-format") == selected("impossible-c-format") == selected("no-wrap") == ()
    assert selected("cobol-format") == ("cobol-format",)


def test_a_syntax_that_is_not_known_keeps_its_words_in_order() -> None:
    assert syntaxes.compare("{0} of {n:>5} files", "{0} de {n:>5} archivos", "cobol-format") is None
    for target in ("{n:>5} de {0}", "{0} de {n:>6}", "{0}", "{0} de {n:>5} {}"):
        assert syntaxes.compare("{0} of {n:>5} files", target, "cobol-format"), target


def collected() -> list[tuple[str, str, str, str]]:
    """Flag, verdicts, source and target of each line of ``newer.txt``."""
    pairs, flag = [], ""
    for line in (DATA / "syntaxes" / "newer.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            flag = line.strip("[]")
        elif line and not line.startswith("#"):
            verdicts, texts = line.split(" ", 1)
            pairs.append((flag, verdicts, *texts.split(" → ")))
    return pairs  # type: ignore[return-value]


@pytest.mark.parametrize(("flag", "verdicts", "source", "target"), collected())
def test_the_formats_that_came_after_the_msgfmt_of_this_machine(
    flag: str, verdicts: str, source: str, target: str
) -> None:
    for relaxed, verdict in zip((False, True), verdicts, strict=True):
        difference = syntaxes.compare(source, target, flag, relaxed=relaxed)
        assert (difference is None) is (verdict == "+"), (relaxed, difference)


@pytest.mark.parametrize(
    ("flag", "text", "order", "numbered"),
    [
        ("c++-format", "{} of {:d}", [1, 0], ["{0}", "{1:d}"]),
        ("rust-format", "{:>5} of {}", [1, 0], ["{0:>5}", "{1}"]),
        ("go-format", "%s of %6.2f", [1, 0], ["%[1]s", "%6.2[2]f"]),
        ("go-format", "%[2]s of %[1]d", [1, 0], None),
        ("d-format", "%s of %,3d", [1, 0], ["%1$s", "%2$,3d"]),
        ("ocaml-format", "%s of %Ld", [1, 0], ["%1$s", "%2$Ld"]),
        ("sh-printf-format", "%s of %d", [1, 0], ["%1$s", "%2$d"]),
        ("modula2-format", "%s of %d", [1, 0], None),
        ("go-format", "%s of %*d", [1, 0], None),
    ],
)
def test_newer_formats_get_numbers_where_they_have_them(
    flag: str, text: str, order: list[int], numbered: list[str] | None
) -> None:
    assert number_directives(text, frozenset({flag}), order) == numbered


# Fluent and Vue

FLUENT = "{ $n ->\n    [one] One file of { $user }\n   *[other] { $n } files\n}"


@pytest.mark.parametrize(
    "target",
    [
        "{ $n ->\n    [one] Un archivo de { $user }\n   *[other] { $n } archivos\n}",
        "{ $n ->\n    [one] Un archivo de { $user }\n    [many] { $n } de archivos\n   *[other] { $n } archivos\n}",
        "De { $user }: { $n ->\n *[other] { $n } archivos\n}",
    ],
)
def test_a_selection_of_fluent_may_have_the_cases_of_its_language(target: str) -> None:
    assert syntaxes.chosen(FLUENT, frozenset()) == ("fluent-format",)
    assert syntaxes.compare(FLUENT, target, "fluent-format") is None
    assert not any(problem.hard for problem in judge(FLUENT, target))


@pytest.mark.parametrize(
    "target",
    [
        "{ $n ->\n    [one] Un archivo\n   *[other] { $n } archivos\n}",
        "{ $m ->\n    [one] Un archivo de { $user }\n   *[other] { $n } archivos\n}",
        "{ $n ->\n    [one] Un archivo de { $user }\n    [other] { $n } archivos\n}",
        "{ $n } archivos de { $user",
    ],
)
def test_what_fluent_would_not_show_is_refused(target: str) -> None:
    assert syntaxes.compare(FLUENT, target, "fluent-format")
    assert any(problem.hard for problem in judge(FLUENT, target))


def test_the_variants_of_a_selection_by_name_are_the_programs() -> None:
    source = "{ $who ->\n    [male] his\n   *[other] their\n} file"
    assert syntaxes.compare(source, "su archivo de { $who ->\n [male] él\n *[other] ellos\n}", "fluent-format") is None
    assert syntaxes.compare(source, "{ $who ->\n [hombre] él\n *[other] ellos\n}", "fluent-format")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Hi { $user }, use { -brand-name }!", ["{ $user }", "{ -brand-name }"]),
        ("{ -brand(case: \"gen\") } { NUMBER($n, style: \"percent\") } { \"{\" }",
         ["{ -brand(case: \"gen\") }", "{ NUMBER($n, style: \"percent\") }", "{ \"{\" }"]),
        ("Press @:common.ok or @.lower:(menu.save)", ["@:common.ok", "@.lower:(menu.save)"]),
        ("me{'@'}home {n}", ["{'@'}", "{n}"]),
        ("no apples | one apple | {n} apples", ["|", "|", "{n}"]),
        ("between '{' and '}'", []),
        ("%'d files and %<PRIu64> days", ["%'d", "%<PRIu64>"]),
        ("touch -t %04ld%02d%02d.%02d now", ["-t", "%04ld%02d%02d", "%02d"]),
        ("100%s", []),
        ("a|b || c", []),
    ],
)  # fmt: skip
def test_placeholders_that_need_no_flag(text: str, kept: list[str]) -> None:
    assert [text[span.start : span.end] for span in find(text)] == kept


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("no apples | one apple | {n} apples", "ninguna manzana | {n} manzanas"),
        ("Press @:common.ok", "Pulse @:común.ok"),
        ("me{'@'}home", "yo@casa"),
        ("Hi { $user }", "Hola { $usuario }"),
        ("Use { -brand-name }", "Use { -nombre }"),
    ],
)
def test_what_would_break_such_a_message_is_hard(source: str, target: str) -> None:
    assert any(problem.hard for problem in judge(source, target))
    assert not any(problem.hard for problem in judge(source, source))


# ICU

PLURAL = "{n, plural, one {# file in {dir}} other {# files in {dir}}}"


@pytest.mark.parametrize(
    "target",
    [
        "{n, plural, one {# archivo en {dir}} other {# archivos en {dir}}}",
        "{n, plural, one {# plik w {dir}} few {# pliki w {dir}} many {# plików w {dir}} other {# pliku w {dir}}}",
        "{n,plural,other{{dir}: #}}",
        "Hay {n, plural, =0 {nada} other {#}} en {dir}.",
    ],
)
def test_an_icu_message_may_have_the_cases_of_its_language(target: str) -> None:
    assert syntaxes.chosen(PLURAL, frozenset()) == ("icu-message-format",)
    assert syntaxes.compare(PLURAL, target, "icu-message-format") is None


@pytest.mark.parametrize(
    "target",
    [
        "{n} archivos en {dir}",
        "{n, plural, one {# archivo en {dir}}}",
        "{n, plural, one {# archivo} other {# archivos}}",
        "{n, plural, other {# archivos en {dir}}",
        "{n, plural, other {# archivos en {directorio}}}",
        "{n, plural, other {# archivos en {dir} '{dir}'}} }",
        "{n, select, other {# archivos en {dir}}}",
    ],
)
def test_an_icu_message_keeps_its_arguments(target: str) -> None:
    assert syntaxes.compare(PLURAL, target, "icu-message-format"), target


def test_an_icu_message_keeps_the_cases_that_the_program_knows() -> None:
    source = "{g, select, male {his} other {their}} files"
    assert syntaxes.compare(source, "{g, select, other {sus} male {sus}} archivos", "icu-message-format") is None
    for target in ("{g, select, hombre {sus} other {sus}} archivos", "{g, select, other {sus}} archivos"):
        assert syntaxes.compare(source, target, "icu-message-format"), target


def test_only_the_syntax_of_an_icu_message_is_kept() -> None:
    spans = find(PLURAL)
    assert {span.kind for span in spans} == {"icu-message-format"}
    pieces, position = [], 0
    for span in spans:
        pieces.append(PLURAL[position : span.start])
        position = span.end
    assert [piece.strip() for piece in pieces if piece.strip()] == ["file in", "files in"]


# Without a declaration


@pytest.mark.parametrize(
    ("kind", "found", "not_found"),
    [
        ("printf", ["%s", "%2$d", "%-5.2f", "%(name)s", "%<name>d", "%lu"], ["100% sure", "50%off", "5 % de", "%"]),
        (
            "brace",
            [
                "{name}",
                "{0}",
                "{}",
                "${name}",
                "%{count}",
                "#{x}",
                "{{u.name}}",
                "{{ x | y }}",
                "{% if x %}",
                "{a[0]!r:>9}",
            ],
            ["{a set of words}", "{", "}", "{,}"],
        ),
        ("variable", ["$HOME", "$x", "$user_name", "%PATH%"], ["$5", "US$ 5", "5$", "A$AP", "5%of%", "%d%"]),
        ("code", ["`name`", "``--x``", "`a.b()`"], ["`quoted'", "it`s", "`two words`", "`Title <page>`_"]),
        ("link", ["](https://a.example)"], ["] (a)", "[a]"]),
        (
            "path",
            ["/usr/share/doc", "~/.config", "../a/b", "/etc/x.conf", "C:\\Temp\\a.txt"],
            ["and/or", "1/2", "/", "km/h"],
        ),
        ("option", ["--verbose", "--no-cache"], ["--", "well-known", "a--b", "-5", "--Yes", "- x"]),
        ("escape", ["\\n", '\\"', "\\u00e9", "\\x41", "\\\\"], ["\\", "\\newline", "\\textbf", "\\alpha"]),
        ("entity", ["&amp;", "&#65;", "&#x41;"], ["AT&T", "a & b;", "&"]),
        ("tag", ["<b>", "</b>", '<a href="x y">', "<br/>", "<!-- x -->", "<0>", "</0>"], ["a < b > c", "<3", "<>"]),
        ("email", ["me@example.org"], ["me@home", "@name"]),
        ("url", ["https://a.example/b?c=d", "www.example.org/x"], ["http:", "www."]),
        ("mask", ["\ue000", "\uf8ff"], ["é", "漢"]),
    ],
)
def test_a_shape_is_found_where_it_is_and_not_in_prose(kind: str, found: list[str], not_found: list[str]) -> None:
    for text in found:
        spans = [span for span in find(f"See {text} here.") if span.kind == kind]
        assert [f"See {text} here."[span.start : span.end] for span in spans] == [text], text
    for text in not_found:
        assert not [span for span in find(f"See {text} here.") if span.kind == kind], text


def test_of_a_role_only_the_name_is_kept() -> None:
    text = "See :ref:`the page <page>` and :c:func:`read`, not :this: or `that`."
    spans = [(span.kind, text[span.start : span.end]) for span in find(text)]
    assert spans == [("role", ":ref:`"), ("tag", "<page>"), ("role", ":c:func:`"), ("code", "`that`")]


def test_options_are_known_short_and_long() -> None:
    text = "-v, --verbose  Be [-v|-q] verbose - or a-b -verbose"
    assert [text[span.start : span.end] for span in find(text)] == ["-v", "--verbose", "-v", "-q"]


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("_File", "_"),
        ("Save &As", "&"),
        ("E~xit", "~"),
        ("~Open", "~"),
        ("Op_en", "_"),
        ("Use e_xact values", "_"),
        ("Screenshot dela_y: ", "_"),
        ("Show ima&ge", "&"),
    ],
)
def test_a_label_has_one_access_key(text: str, sign: str) -> None:
    assert access_key(text) == sign


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Set wal_level first",
            "In time_t",
            "Unmatched e_type: %d",
            "Call g_free()",
            "With e_ident[3]",
            "Go to q&a=b",
        ),
        *("Choose the x_1", "Follow foo&bar=baz"),
        *("max_size", "AT&T", "R&D", "a & b", "~/.config", "~5", "_a_", "&amp; x", "File", "&&x", "Use the _file " * 9),
    ],
)
def test_no_access_key_is_seen_where_there_is_none(text: str) -> None:
    assert access_key(text) == ""


# The page


def test_the_page_lists_every_syntax_and_every_kind() -> None:
    page = (ROOT / "docs" / "placeholders.md").read_text(encoding="utf-8")

    def listed(heading: str) -> set[str]:
        section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
        assert section, heading
        return set(re.findall(r"^\| `([\w+-]+)` \|", section[1], re.M))

    assert listed("The syntaxes") == set(syntaxes.SYNTAXES)
    assert listed("Without a flag") == {shape.kind for shape in prose._SHAPES}


def test_the_page_says_which_syntaxes_have_numbers() -> None:
    page = (ROOT / "docs" / "placeholders.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w+-]+-format)` \| (?:[^|\\]|\\\|)+ \| ([^|]*) \| [^|]* \|$", page, re.M)
    assert {flag for flag, number in rows if number.strip()} == {
        flag for flag, syntax in syntaxes.SYNTAXES.items() if syntax.number
    }
