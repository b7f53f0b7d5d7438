from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans import protect, syntaxes
from batchtrans.checks import judge
from batchtrans.parts import cut, is_copy
from batchtrans.placeholders import compare_strictly
from batchtrans.syntaxes import prose
from batchtrans.types import MASK_BASE

FLAGS = [frozenset(), frozenset({"no-c-format"}), frozenset({"c-format", "python-brace-format"})]
FLAGS += [frozenset({flag}) for flag in (*syntaxes.SYNTAXES, "cobol-format")]
PLACEHOLDERS = [
    "%s",
    "%(name)d",
    "%1",
    "$x",
    "~{~A~}",
    "{0}",
    "{name}",
    "{n, plural, other {#}}",
    "'{'",
    "--long",
    "<b>",
    "</a>",
    "https://a.example/b?c=d",
    "me@example.org",
    "&amp;",
]
UNITS = ["d", "h", "m", "s", "ms", "min", "x", "mm", "cm", "km", "k", "kB", "kg", "px", "pt", "B", "MB", "GiB"]
TEXTS = st.lists(st.one_of(st.text(max_size=8), st.sampled_from(PLACEHOLDERS)), max_size=8).map("".join)


@given(TEXTS, st.sampled_from(FLAGS))
def test_masked_text_comes_back(text: str, flags: frozenset[str]) -> None:
    spans = protect.find(text, flags)
    assert all(before.end <= after.start for before, after in pairwise(spans))
    masked = protect.mask(text, spans)
    assert protect.unmask(masked.text, masked.placeholders) == text
    assert protect.masks_in(masked.text) == list(range(len(spans)))


@given(TEXTS)
def test_a_text_without_signals_has_no_placeholders(text: str) -> None:
    assert protect.find(text) == list(protect._found(text, frozenset()))


def test_every_sign_is_a_signal() -> None:
    assert all(prose.SIGNAL.search(sign) for sign, _ in prose._SIGNS)


@given(TEXTS | st.text("a%♪★ \n", max_size=12))
def test_edges_join_to_the_text(text: str) -> None:
    lead, core, trail = protect.edges(text)
    assert lead + core + trail == text
    assert core == core.strip() and bool(core) == bool(text.strip())
    assert protect.edges(core) == ("", core, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("♪ Happy birthday ♪", ("♪ ", "Happy birthday", " ♪")),
        (" • First\n", (" • ", "First", "\n")),
        ("★★★★☆ ♫ Next  page →", ("★★★★☆ ♫ ", "Next  page", " →")),
        ("✔\ufe0f Done", ("✔\ufe0f ", "Done", "")),
        ("🎉 %s 🎉", ("🎉 ", "%s", " 🎉")),
        ("♪ la ♪ la", ("♪ ", "la ♪ la", "")),
        ("♪ ♪", ("♪ ", "♪", "")),
        ("♪la♪, A♯, 15°, © 2024", ("", "♪la♪, A♯, 15°, © 2024", "")),
    ],
)
def test_symbols_that_stand_by_themselves_are_edges(text: str, expected: tuple[str, str, str]) -> None:
    assert protect.edges(text) == expected


def test_symbols_at_the_edges_come_back_whatever_the_answer() -> None:
    (part,) = cut("♪ Happy birthday ♪\n", frozenset(), "en")
    assert part.text == "Happy birthday"
    assert part.put_back("Feliz cumpleaños") == "♪ Feliz cumpleaños ♪\n"


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ("Could not open %s: %d files", "", ["%s", "%d"]),
        ("100% sure, 50%off, 5 % discount", "", []),
        (
            "%d%% of % d, %-5.2f %1$s %lu %zu %.*s %<PRIu64>",
            "c-format",
            ["%d", "%%", "% d", "%-5.2f", "%1$s", "%lu", "%zu", "%.*s", "%<PRIu64>"],
        ),
        ("%(name)s has %d %%", "python-format", ["%(name)s", "%d", "%%"]),
        (
            "{0!r:>{width}} and {name.first[0]}, {{literal}}",
            "python-brace-format",
            ["{0!r:>{width}}", "{name.first[0]}", "{{", "}}"],
        ),
        (
            "Hello {name}, ${user} %{count} {{total}} {0} {}",
            "",
            ["{name}", "${user}", "%{count}", "{{total}}", "{0}", "{}"],
        ),
        ("a {set of words} stays", "", []),
        ('See <a href="x y" class=b>this</a>, a < b > c.<br/>', "", ['<a href="x y" class=b>', "</a>", "<br/>"]),
        (
            "Visit https://example.org/a_(b)?c=d. Or www.example.org, mail me@example.org!",
            "",
            ["https://example.org/a_(b)?c=d", "www.example.org", "me@example.org"],
        ),
        ("%dm ago, %1$dh %02dmin, in %.1fs, %lis left", "", ["%dm", "%1$dh", "%02dmin", "%.1fs", "%lis"]),
        ("%dx%d pixels, %sx%s, 0x%x", "", ["%dx%d", "%sx%s", "%x"]),
        ("%sB of %d.%02dMiB, %d%% of file%s, Sheet%d", "", ["%sB", "%d", "%02dMiB", "%d%%", "%s", "%d"]),
        ("%delta of %size to %id, my%20dog, 50%discount, 100%sure", "", []),
        ("%SystemRoot%, %dState%", "", ["%SystemRoot%", "%dState%"]),
        ("no %s here", "no-c-format", []),
        ("100% yes, %s", "c-format", ["%s"]),
        ("%1 of %L2, 5% off", "qt-format", ["%1", "%L2"]),
        ("it''s {0,number} '{' x", "java-format", ["{0,number}", "'{'"]),
        ("~a of ~{~d~^, ~}", "scheme-format", ["~a", "~{", "~d", "~^", "~}"]),
        ("$a and ${b} and $(c)", "sh-format", ["$a", "${b}", "$("]),
        ("a {:?} of {name}s", "cobol-format", ["{:?}", "{name}s"]),
        ("See http://%s/%d now", "c-format", ["http://%s/%d"]),
        ("<a href='%s'>%d</a>", "c-format", ["<a href='%s'>", "%d", "</a>"]),
        ("{0} of {n, plural, other {#}}", "", ["{0}", "{n, plural, other {", "#", "}}"]),
        ("icon \ue123 stays", "", ["\ue123"]),
        ("Usage: a [-V] [-c|-d] «-m fast» (-x), -y", "", ["-V", "-c", "-d", "-m", "-x", "-y"]),
        ("well-known - a -list, x-y, 5 -3, -vv", "", []),
        ("\x1b[1mBold\x1b[0m, page\fpage, e\x08, a\tb\n", "", ["\x1b[1m", "\x1b[0m", "\f", "\x08"]),
    ],
)
def test_what_counts_as_a_placeholder(text: str, flags: str, expected: list[str]) -> None:
    spans = protect.find(text, frozenset(filter(None, [flags])))
    assert [text[span.start : span.end] for span in spans] == expected


@given(
    st.lists(st.tuples(st.sampled_from(["%d", "%02d", "%.1f", "%ld"]), st.sampled_from(UNITS)), min_size=1, max_size=4)
)
def test_undeclared_directives_are_the_same_ones_with_a_blank_before_the_unit_or_none(
    measures: list[tuple[str, str]],
) -> None:
    glued, apart = (", ".join(between.join(measure) for measure in measures) for between in ("", " "))
    assert [glued[span.start : span.end] for span in protect.find(glued)] == list(map("".join, measures))
    assert [apart[span.start : span.end] for span in protect.find(apart)] == [shown for shown, _ in measures]
    assert not [problem for pair in ((glued, apart), (apart, glued)) for problem in judge(*pair) if problem.hard]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("%dx" * 60 + "z", 1),  # %dx% is a name
        ("%d" * 20_000 + "z", 0),
        ("%d" * 60, 1),
        ("%" + "0" * 200_000 + "z", 0),
        ("/Ab" + "-/" * 200_000, 0),
    ],
)
def test_what_is_nearly_a_placeholder_does_not_take_for_ever(text: str, found: int) -> None:
    assert len(protect.find(text)) == found
    assert not prose.percent_directives("%" + "0" * 200_000 + "z")


@pytest.mark.parametrize(
    "path",
    [
        "/usr/share/doc",
        "/etc/fstab",
        "/usr/share/Foo",
        "/org/gnome/Dia/UML",
        "/EFI/BOOT/BOOTX64.EFI",
        "/Data/Photos/a.png",
        "/Users/Shared",
        "/Applications/Utilities",
        "~/Documents/Mail",
        "~/.config/x",
        "./Build/Debug",
        "../Build/Debug",
        "C:\\x",
        "C:\\Users\\Public",
    ],
)
def test_a_path_of_files_is_a_placeholder_and_a_code(path: str) -> None:
    for text in (path, f"See {path}.", f'"{path}" is not there'):
        assert [text[span.start : span.end] for span in protect.find(text)] == [path]
    assert protect.is_code_like(path)


@pytest.mark.parametrize(
    "path",
    [
        "/Help/About",
        "/_View/_Sort",
        "/E_dit/Cu_t",
        "/Buddies/New Instant _Message...",
        "/Buddies/Show/Idle _Times",
        "/Conversation/Add...",
        "/_Buddies",
        "/_Édition/Co_ller",
        "/Файл/О_ткрыть",
        "/ファイル/開く",
    ],
)
def test_a_path_of_menus_is_text(path: str) -> None:
    for text in (path, f"<PurpleMain>{path}", f'Use "{path}" for that'):
        assert not [span for span in protect.find(text) if span.kind == "path"]
    assert not protect.is_code_like(path) and not is_copy(path, frozenset())


@pytest.mark.parametrize(
    ("text", "flag", "order", "expected"),
    [
        ("%s has %d%%", "c-format", [1, 0, 2], ["%1$s", "%2$d", "%%"]),
        ("%*d of %s", "c-format", [1, 0], ["%2$*1$d", "%3$s"]),
        ("%.*f of %<PRIu64>", "c-format", [1, 0], ["%2$.*1$f", "%3$<PRIu64>"]),
        ('<a href="%s">%d</a>', "c-format", [1, 0, 2], ['<a href="%1$s">', "%2$d", "</a>"]),
        ("%m: %s and %s", "c-format", [2, 0, 1], ["%m", "%1$s", "%2$s"]),
        ("%@ and %@", "objc-format", [1, 0], ["%1$@", "%2$@"]),
        ("%s and %s", "php-format", [1, 0], ["%1$s", "%2$s"]),
        ("%s and %<s at %d", "java-printf-format", [2, 0, 1], ["%1$s", "%1$s", "%2$d"]),
        ("%s and %d", "object-pascal-format", [1, 0], ["%0:s", "%1:d"]),
        ("%s and %|5|", "boost-format", [1, 0], ["%1$s", "%|2$5|"]),
        ("%.*s and %d", "gcc-internal-format", [1, 0], ["%2$.*1$s", "%3$d"]),
        ("%-5s and %d", "ruby-format", [1, 0], ["%1$-5s", "%2$d"]),
    ],
)
def test_directives_that_change_places_get_numbers(text: str, flag: str, order: list[int], expected: list[str]) -> None:
    flags = frozenset({flag})
    assert protect.number_directives(text, flags, order) == expected
    reordered = " ".join(chr(MASK_BASE + place) for place in order)
    target = protect.unmask(reordered, expected)
    assert syntaxes.compare(text, target, flag) is None


@pytest.mark.parametrize(
    ("text", "flag", "order"),
    [
        ("%s has %d", "c-format", [0, 1]),
        ("<b>%s</b> %d", "c-format", [1, 0, 2, 3]),
        ("%1$s has %2$d", "c-format", [1, 0]),
        ("%s has %d", "python-format", [1, 0]),
        ("%s has %d", "lua-format", [1, 0]),
        ("%*d of %s", "tcl-format", [1, 0]),
        ("{0} of {1}", "java-format", [1, 0]),
        ("%s has %d", "c-format", [1]),
    ],
)
def test_no_numbers_where_none_are_needed_or_none_exist(text: str, flag: str, order: list[int]) -> None:
    placeholders = protect.mask(text, protect.find(text, frozenset({flag}))).placeholders
    assert protect.number_directives(text, frozenset({flag}), order) in (None, list(placeholders))


def test_renumbered_masks_remember_their_placeholders() -> None:
    text = chr(MASK_BASE + 4) + "a" + chr(MASK_BASE + 2)
    assert protect.renumber(text) == (chr(MASK_BASE) + "a" + chr(MASK_BASE + 1), [4, 2])


@pytest.mark.parametrize("text", ["SKU-1042", "max_size", "/usr/bin", "readLine", "v1.2", "UTF-8", "C:\\Temp", "#42a"])
def test_names_of_things_are_code(text: str) -> None:
    assert protect.is_code_like(text)


@pytest.mark.parametrize(
    "text",
    [
        "and/or",
        "State/Province:",
        "Scanner/Camera...",
        "hello",
        "e-mail",
        "ERROR",
        "2nd",
        "Wi-Fi",
        "don't",
        "two words_x",
    ],
)
def test_words_are_not_code(text: str) -> None:
    assert not protect.is_code_like(text)


@pytest.mark.parametrize(("text", "code"), [("1" * 500_000, False), ("1" * 500_000 + "-", True)], ids=["no", "yes"])
def test_a_long_text_without_blanks_does_not_take_for_ever(text: str, code: bool) -> None:
    assert protect.is_code_like(text) is code


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        ("<b>Password:</b>", False),
        ("<i>Hello</i>", False),
        ("<b>max_size</b>", True),
        ("<br/>", True),
        ("/usr/bin", True),
    ],
)
def test_tags_do_not_make_a_code_of_a_word(text: str, copied: bool) -> None:
    assert is_copy(text, frozenset()) is copied


def test_text_without_letters_outside_placeholders_has_no_words() -> None:
    assert not protect.has_words("%s: 42", protect.find("%s: 42"))
    assert protect.has_words("%s files", protect.find("%s files"))


@pytest.mark.parametrize(
    ("flag", "source"),
    [
        ("c-format", "%s of %d"),
        ("rust-format", "{} of {:?}"),
        ("c++-format", "{} of {:>8}"),
        ("go-format", "%v of %6.2f"),
        ("d-format", "%s of %,3d"),
        ("ocaml-format", "%s of %d"),
        ("sh-printf-format", "%s of %d"),
    ],
)
def test_placeholders_that_need_numbers_in_another_order_are_still_the_same_ones(flag: str, source: str) -> None:
    flags = frozenset({flag})
    masked = protect.mask(source, protect.find(source, flags))
    first, second = (chr(MASK_BASE + index) for index in range(2))
    numbered = protect.number_directives(source, flags, [1, 0])
    turned = protect.unmask(f"{second} de {first}", tuple(numbered or masked.placeholders))
    assert numbered is not None and turned != source
    assert not list(compare_strictly(source, turned, flags))
    changed = protect.unmask(f"{second} de {second}", tuple(numbered))
    assert list(compare_strictly(source, changed, flags))
