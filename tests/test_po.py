from __future__ import annotations

import re
import subprocess
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchtrans import CannotRender, FormatError, OpenOptions, Segment, State, UsageError, __version__
from batchtrans.formats import po_scan
from batchtrans.formats.po import PoDocument, PoFormat
from batchtrans.plurals import plural_forms
from batchtrans.testing import check_format, splice
from conftest import Cli

DATA = Path(__file__).parent / "data" / "po"
BROKEN = {"test_syntax_error1.po"}
FILES = sorted(path for path in DATA.iterdir() if path.suffix in (".po", ".pot") and path.name not in BROKEN)
LANGUAGES = {
    "made_euc_kr.po": "ko",
    "made_shift_jis.po": "ja",
    "made_gb18030.po": "zh_CN",
    "test_obsolete_previousmsgid.po": "ca",
}
STARTED_AT = datetime(2026, 11, 23, 18, 30, tzinfo=timezone.utc)
HEADER = (
    'msgid ""\nmsgstr ""\n"Project-Id-Version: x\\n"\n"PO-Revision-Date: 2020-01-01 10:00+0000\\n"\n'
    '"Last-Translator: A <a@b.c>\\n"\n"Language-Team: none\\n"\n"Language: es\\n"\n"MIME-Version: 1.0\\n"\n'
    '"Content-Type: text/plain; charset=UTF-8\\n"\n"Content-Transfer-Encoding: 8bit\\n"\n'
    '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
)

NOT_FOR_POLIB = {
    "made_cr.po": "polib does not end lines at a carriage return",
    "made_domains.po": "polib knows no domains",
    "made_escapes.po": "polib knows neither numeric escapes nor \\a",
    "made_one_line.po": "polib wants each keyword on a line of its own",
    "made_order.po": "polib knows no #= lines",
    "made_utf32le.po": "polib does not read UTF-32",
}
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def opened(path: Path, target: str = "", *, force: bool = False, **values: str) -> PoDocument:
    options = OpenOptions(
        "en", target or LANGUAGES.get(path.name, "es"), {name: (value,) for name, value in values.items()}, force
    )
    return PoFormat().open(path, options)


@pytest.fixture
def catalogue(tmp_path: Path) -> Callable[..., PoDocument]:
    """Open a catalogue of these bytes or this text."""

    def make(
        content: str | bytes, target: str = "es", *, name: str = "x.po", force: bool = False, **values: str
    ) -> PoDocument:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return opened(path, target, force=force, **values)

    return make


Make = Callable[..., PoDocument]


def segments(document: PoDocument) -> list[Segment]:
    return [piece for piece in document.pieces() if isinstance(piece, Segment)]


def joined(document: PoDocument) -> bytes:
    return b"".join(piece.raw if isinstance(piece, Segment) else piece for piece in document.pieces())


def translated(
    document: PoDocument, text: Callable[[str], str] = lambda source: source.upper()
) -> dict[str, tuple[str, ...]]:
    """A new target for each segment that takes one."""
    found = {}
    for segment in segments(document):
        forms = len(document.plural_samples) if len(segment.source) > 1 else 1
        target = tuple(text(segment.source[min(form, len(segment.source) - 1)]) for form in range(forms))
        if document.problem(segment, target) is None:
            found[segment.id] = target
    return found


def rewritten(document: PoDocument, targets: dict[str, tuple[str, ...]], state: State = State.DONE) -> bytes:
    return splice(document, {identity: (target, state) for identity, target in targets.items()})


def rendered(document: PoDocument, *target: str, state: State = State.DONE, at: int = 0) -> str:
    """The first segment (or that at ``at``) with this target, as text."""
    return document.render(segments(document)[at], target, state).decode(document.encoding)


def msgfmt_lines(path: Path) -> Counter[str]:
    """What ``msgfmt --check`` says, without places in the file."""
    done = subprocess.run(
        ["msgfmt", "--check", "--use-fuzzy", "-o", "/dev/null", str(path)],
        capture_output=True,
        text=True,
        errors="replace",
    )
    lines = (
        re.sub(r"^(\S*?:[\d:]*)+", "", line.replace(str(path), "FILE")).strip() for line in done.stderr.splitlines()
    )
    return Counter(line for line in lines if line and "duplicate" not in line)


# Laws


@every_file
def test_the_laws_of_formats_hold(path: Path) -> None:
    check_format(PoFormat(), [path], target_lang=LANGUAGES.get(path.name, "es"))


@every_file
def test_every_segment_renders_to_itself_through_the_rewriter(path: Path) -> None:
    """State NEW asks for no change of flags, so that the rewriter runs and finds nothing to do."""
    document = opened(path)
    for segment in segments(document):
        if segment.state is not State.NEW:
            assert document.render(segment, segment.target, State.NEW) == segment.raw


@every_file
def test_polib_reads_the_new_targets_and_everything_else_as_before(path: Path, tmp_path: Path) -> None:
    document = opened(path)
    targets = translated(document, lambda source: source.replace("e", "E") + ("" if source.endswith("\n") else "!"))
    output = tmp_path / path.name
    output.write_bytes(rewritten(document, targets))
    if path.name in NOT_FOR_POLIB:
        pytest.skip(NOT_FOR_POLIB[path.name])
    encoding = {"utf-16-le": "utf-16", "utf-16-be": "utf-16"}.get(document.encoding, document.encoding)
    before, after = (polib.pofile(str(name), encoding=encoding) for name in (path, output))
    by_key = {(s.source, s.context): targets.get(s.id) for s in segments(document)}
    assert [polib_key(entry) for entry in before] == [polib_key(entry) for entry in after]
    for entry in (entry for entry in after if not entry.obsolete):
        expected = by_key[
            (entry.msgid, entry.msgid_plural) if entry.msgid_plural else (entry.msgid,), entry.msgctxt or ""
        ]
        got = tuple(entry.msgstr_plural.values()) if entry.msgid_plural else (entry.msgstr,)
        if expected is not None and path.name not in ("made_duplicates.po",):
            assert got == expected
            assert "fuzzy" not in entry.flags
            assert entry.previous_msgid is None


def polib_key(entry: polib.POEntry) -> tuple[object, ...]:
    flags = [flag for flag in entry.flags if flag not in ("fuzzy", "")]
    return (
        entry.msgid, entry.msgid_plural, entry.msgctxt, entry.comment, entry.tcomment, entry.occurrences,
        flags, entry.obsolete,
    )  # fmt: skip


@every_file
@pytest.mark.parametrize("state", [State.DONE, State.FUZZY])
def test_msgfmt_never_says_more_than_before(path: Path, state: State, tmp_path: Path) -> None:
    document = opened(path)
    keep_formats = translated(document, lambda source: source)
    texts = path.read_bytes(), rewritten(document, keep_formats, state)
    if document.encoding.startswith(("utf-16", "utf-32")):  # which msgfmt cannot read
        texts = tuple(re.sub("UTF-(16|32)", "UTF-8", text.decode(document.encoding)[1:]).encode() for text in texts)
    names = tmp_path / f"a{path.suffix}", tmp_path / f"b{path.suffix}"
    for name, text in zip(names, texts, strict=True):
        name.write_bytes(text)
    before, after = map(msgfmt_lines, names)
    assert not after - before


@every_file
def test_windows_of_any_size_give_the_same_segments(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = opened(path)
    whole = segments(document)
    for size in (4, 64, 1000):
        monkeypatch.setattr(po_scan, "_CHUNK", size)
        assert segments(document) == whole
        assert joined(document) == path.read_bytes()


# Generated catalogues


@contextmanager
def written(data: bytes) -> Iterator[Path]:
    """A catalogue in a file that goes with the block: hypothesis has no use for fixtures."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.po"
        path.write_bytes(data)
        yield path


ENDS = st.sampled_from(["\n", "\n", "\r\n"])
TEXT = st.text(st.sampled_from('ab cdé ñ漢字\n\t"\\%s/-.'), max_size=40)
WORDS = st.lists(
    st.sampled_from(["file", "open", "“quoted”", "%d", "é", "漢字", "a-b/c", "\n", '"', "\\"]), max_size=40
)
LONG = WORDS.map(" ".join)
COMMENT_LINES = st.sampled_from(
    ["# translator", "#", "#. extracted é", "#: a.c:1", "#, c-format", "#, fuzzy", "#, c-format, fuzzy",
     "#,no-wrap,fuzzy", "#, fuzzy, range: 0..3", "#= c-format", '#| msgid "old"', '#~ msgid "gone"', '#~ msgstr "weg"',
     "", "  # indented"]
)  # fmt: skip


@st.composite
def strings(draw: st.DrawFn, text: str, end: str) -> str:
    """One of the ways to write a text between quotes."""
    simple = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
    octal = {"\n": "\\012", "\t": "\\011", '"': "\\042", "\\": "\\134"}
    table = octal if draw(st.integers(0, 9)) == 0 else simple
    characters = [table.get(character, character) for character in text]
    cuts = sorted(draw(st.sets(st.integers(0, len(characters)), max_size=3)))
    parts = ["".join(characters[a:b]) for a, b in zip([0, *cuts], [*cuts, len(characters)], strict=True)]
    indent = draw(st.sampled_from(["", "", "  ", "\t"]))
    return f"{end}{indent}".join(f'"{part}"' for part in parts)


@st.composite
def entries(draw: st.DrawFn, number: int) -> tuple[str, tuple[str, ...], tuple[str, ...], str | None]:
    """An entry's text, its source, its target and its context."""
    end = draw(ENDS)
    comments = [line + end for line in draw(st.lists(COMMENT_LINES, max_size=5))]
    context = draw(st.none() | st.sampled_from(["menu", "", 'a "b"']))
    plural = draw(st.booleans()) if number % 3 == 0 else False
    source = tuple(f"{draw(TEXT | LONG)}{number}" for _ in range(1 + plural))
    target = tuple(draw(st.just("") | TEXT | LONG) for _ in range(1 + plural))
    gap = draw(st.sampled_from([" ", " ", "", "\t", "   "]))
    lines = "" if context is None else f"msgctxt{gap}{draw(strings(context, end))}{end}"
    for keyword, text in zip(("msgid", "msgid_plural"), source, strict=False):
        lines += f"{keyword}{gap}{draw(strings(text, end))}{end}"
    for form, text in enumerate(target):
        keyword = f"msgstr[{form}]" if plural else "msgstr"
        lines += f"{keyword}{gap}{draw(strings(text, end))}{end}"
    return "".join(comments) + lines + draw(st.sampled_from(["", end, end * 2])), source, target, context


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[bytes, list[tuple[tuple[str, ...], tuple[str, ...], str | None]]]:
    encoding = draw(st.sampled_from(["UTF-8", "UTF-8", "GB18030", "UTF-16", "EUC-JP", "SHIFT_JIS"]))
    made = [draw(entries(number)) for number in range(draw(st.integers(1, 5)))]
    codec = {"UTF-16": "utf-16-le"}.get(encoding, encoding)
    text = HEADER.replace("UTF-8", encoding) + "".join(entry[0] for entry in made)
    if codec in ("EUC-JP", "SHIFT_JIS"):
        text = text.translate(str.maketrans("éñ“”", "enqq"))
        made = [
            (
                entry[0],
                *(tuple(part.translate(str.maketrans("éñ“”", "enqq")) for part in parts) for parts in entry[1:3]),
                entry[3],
            )
            for entry in made
        ]
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    data = (b"\xff\xfe" if encoding == "UTF-16" else b"") + text.encode(codec)
    return data, [entry[1:] for entry in made]


GENERATED = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@GENERATED
@given(catalogues())
def test_generated_catalogues_read_as_they_were_written(made: tuple[bytes, list[object]]) -> None:
    with written(made[0]) as path:
        document = opened(path)
        assert joined(document) == made[0]
        read = [(segment.source, segment.target) for segment in segments(document)]
        assert read == [(source, target) for source, target, _ in made[1]]
        assert [s.context for s in segments(document)] == [context or "" for _, _, context in made[1]]


@GENERATED
@given(catalogues())
def test_generated_catalogues_obey_the_laws(made: tuple[bytes, list[object]]) -> None:
    with written(made[0]) as path:
        try:
            check_format(PoFormat(), [path])
        except AssertionError as error:
            assert "no segment takes a new target" in str(error)


@GENERATED
@given(catalogues(), st.integers(1, 200))
def test_generated_catalogues_do_not_depend_on_the_window(made: tuple[bytes, list[object]], size: int) -> None:
    with written(made[0]) as path, pytest.MonkeyPatch.context() as patch:
        document = opened(path)
        whole = segments(document)
        patch.setattr(po_scan, "_CHUNK", size * 4)
        assert segments(document) == whole
        assert joined(document) == made[0]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(LONG, min_size=1, max_size=8))
def test_new_text_is_read_by_polib_and_wrapped_as_msgcat_wraps(texts: list[str]) -> None:
    content = HEADER + "".join(f'msgid "{number}"\nmsgstr ""\n\n' for number in range(len(texts)))
    with written(content.encode()) as path:
        document = opened(path)
        targets = {segment.id: (text.strip("\n"),) for segment, text in zip(segments(document), texts, strict=True)}
        path.write_bytes(rewritten(document, targets))
        read = [entry.msgstr for entry in polib.pofile(str(path))]
        assert read == [target for (target,) in targets.values()]
        if all(re.fullmatch(r"[\w %\n“”é]*", text, re.ASCII) for text in texts):
            by_msgcat = subprocess.run(["msgcat", str(path)], capture_output=True, check=True).stdout
            assert by_msgcat.rstrip() == path.read_bytes().rstrip()


# Segments


def test_a_segment_has_everything_that_the_entry_says(catalogue: Make) -> None:
    document = catalogue(
        HEADER + "# by hand\n#. first\n#. second\n#: a.c:1\n#, fuzzy, c-format\n#, range: 0..9\n"
        '#| msgid "old"\nmsgctxt "menu"\nmsgid "%d file"\nmsgid_plural "%d files"\nmsgstr[0] "uno"\nmsgstr[1] "dos"\n'
    )
    (segment,) = segments(document)
    assert segment.source == ("%d file", "%d files")
    assert segment.target == ("uno", "dos")
    assert segment.context == "menu"
    assert segment.note == "first\nsecond"
    assert segment.flags == {"c-format", "range: 0..9"}
    assert segment.state is State.FUZZY
    assert segment.location.start == len(HEADER) + len("# by hand\n#. first\n#. second\n#: a.c:1\n")
    assert segment.location.line == HEADER.count("\n") + 9
    assert joined(document)[segment.location.start : segment.location.end] == segment.raw
    assert [segment.raw[a:b] for a, b in segment.slots] == [
        b'#, fuzzy, c-format\n#, range: 0..9\n#| msgid "old"\n',
        b'msgstr[0] "uno"\nmsgstr[1] "dos"',
    ]


def test_the_note_is_bounded(catalogue: Make) -> None:
    document = catalogue(HEADER + "#. long words\n" * 1000 + 'msgid "a"\nmsgstr ""\n')
    assert len(segments(document)[0].note) == 500


@pytest.mark.parametrize(
    ("entry", "state"),
    [
        ('msgid "a"\nmsgstr ""\n', State.NEW),
        ('#, fuzzy\nmsgid "a"\nmsgstr ""\n', State.NEW),
        ('#, fuzzy\nmsgid "a"\nmsgstr "b"\n', State.FUZZY),
        ('#, c-format fuzzy\nmsgid "a"\nmsgstr "b"\n', State.FUZZY),
        ('#= fuzzy\nmsgid "a"\nmsgstr "b"\n', State.FUZZY),
        ('#, not-fuzzy\nmsgid "a"\nmsgstr "b"\n', State.DONE),
        ('msgid "a"\nmsgid_plural "b"\nmsgstr[0] "x"\nmsgstr[1] ""\n', State.NEW),
        ('msgid "a"\nmsgid_plural "b"\nmsgstr[0] "x"\nmsgstr[1] "y"\n', State.DONE),
        ('msgid "a"\nmsgid_plural "b"\nmsgstr[0] "x"\n', State.NEW),
        ('#, fuzzy\n#~ msgid "o"\n#~ msgstr "p"\nmsgid "a"\nmsgstr "b"\n', State.DONE),
    ],
)
def test_the_state_follows_from_flags_and_empty_forms(catalogue: Make, entry: str, state: State) -> None:
    assert [segment.state for segment in segments(catalogue(HEADER + entry))] == [state]


def test_ids_tell_contexts_domains_and_repetitions_apart_and_do_not_depend_on_the_target() -> None:
    found = [
        segment.id for name in ("made_duplicates.po", "made_domains.po") for segment in segments(opened(DATA / name))
    ]
    assert len(set(found[:3])) == 3
    assert found[1] == f"{found[0]}#2"
    assert found[3] != found[4]
    assert found[0] not in found[3:]
    before, after = (opened(DATA / "made_crlf.po") for _ in range(2))
    assert [s.id for s in segments(before)] == [s.id for s in segments(after)]


def test_ids_do_not_depend_on_charset_or_layout(catalogue: Make) -> None:
    one = segments(catalogue(HEADER + 'msgid "caf\\303\\251 negro"\nmsgstr ""\n'))[0].id
    two = segments(
        catalogue((HEADER.replace("UTF-8", "latin1") + 'msgid ""\n"café "\n"negro"\nmsgstr "x"').encode("latin-1"))
    )[0].id
    assert one == two
    assert re.fullmatch("[0-9a-f]{16}", one)


def test_header_and_obsolete_entries_are_literal() -> None:
    document = opened(DATA / "made_crlf.po")
    assert all(segment.source[0] and "Old" not in segment.source for segment in segments(document))
    literal = b"".join(piece for piece in document.pieces() if isinstance(piece, bytes))
    assert b'#~ msgid "Old"' in literal
    assert b"Project-Id-Version" in literal


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"\a\b\f\n\r\t\v\"\\", '\a\b\f\n\r\t\v"\\'),
        (r"\\n", "\\n"),
        (r"\\\"\n", '\\"\n'),
        (r"\0", "\0"),
        (r"\1013", "A3"),
        (r"\x41\x0a", "A\n"),
        (r"\x00000041", "A"),
        (r"\303\261\xc3\xb1", "ññ"),
    ],
)
def test_escapes_decode_as_gettext_decodes_them(catalogue: Make, written: str, text: str) -> None:
    assert segments(catalogue(f'{HEADER}msgid "x{written}"\nmsgstr ""\n'))[0].source == ("x" + text,)


def test_escapes_of_a_fixture_are_those_that_msgunfmt_shows(tmp_path: Path) -> None:
    compiled = tmp_path / "x.mo"
    subprocess.run(["msgfmt", "-o", str(compiled), str(DATA / "made_escapes.po")], check=True)
    by_gettext = {entry.msgid: entry.msgstr for entry in polib.mofile(str(compiled))}
    ours = {s.source[0]: s.target[0] for s in segments(opened(DATA / "made_escapes.po")) if s.target[0]}
    assert ours == by_gettext


# Rendering

ENTRY = HEADER + 'msgid "{source}"\nmsgstr ""\n'


def msgstr(document: PoDocument, *target: str) -> str:
    return rendered(document, *target).partition("msgstr")[2]


def test_a_short_text_stays_on_the_line_of_its_keyword(catalogue: Make) -> None:
    document = catalogue(ENTRY)
    assert msgstr(document, 'say "é\\"\t') == r' "say \"é\\\"\t"'
    assert msgstr(document, "end\n") == r' "end\n"'


def test_a_text_with_line_breaks_begins_with_an_empty_string(catalogue: Make) -> None:
    assert msgstr(catalogue(ENTRY), "one\n\ntwo") == ' ""\n"one\\n"\n"\\n"\n"two"'


def test_a_long_text_is_wrapped_at_79_columns_after_blanks(catalogue: Make) -> None:
    text = "word " * 30
    lines = msgstr(catalogue(ENTRY), text).splitlines()
    assert lines[0] == ' ""'
    assert max(map(len, lines)) <= 79
    assert "".join(line[1:-1] for line in lines[1:]) == text


def test_wrapping_is_that_of_msgcat(tmp_path: Path) -> None:
    samples = [
        "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff ggggggg1",
        "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff ggggggg12",
        "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff gggggg123456",
        "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff ggggggggg      hhhhh  iii\n",
        "http://aaaaaaaaa.bbbbbbbbb/ccccccccc/ddddddddd/eeeeeeeee/fffffffff/ggggggggg?hhh=iii&jjjjjjjjjjjjj=kkkk",
        "aaaaaaaaa-bbbbbbbbb-ccccccccc-ddddddddd-eeeeeeeee-fffffffff-ggggggggg/hhhhhhhhhhhhhhh-iiiiiiiiiiiiii/jjjj",
        '“Ñandú” aaaaaaaaaa bbbbbbbbbbb\tccccccccccc \\ "ddddddddd" eeeeeee %d ffffffffff\ngggggggg\n\nhh',
        "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字、漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字。",
        "w" * 200,
    ]
    path = tmp_path / "x.po"
    path.write_text(HEADER + "".join(f'msgid "{number}"\nmsgstr ""\n\n' for number in range(len(samples))))
    document = opened(path)
    found = segments(document)
    output = rewritten(document, {segment.id: (text,) for segment, text in zip(found, samples, strict=True)})
    path.write_bytes(output)
    expected = subprocess.run(["msgcat", str(path)], capture_output=True, check=True).stdout
    assert output.rstrip() == expected.rstrip()


@pytest.mark.parametrize("name", ["made_no_wrap.po", "made_wrapped"])
def test_a_file_that_is_not_wrapped_stays_so(catalogue: Make, name: str) -> None:
    document = opened(DATA / name) if name == "made_no_wrap.po" else catalogue(ENTRY)
    lines = rendered(document, "word " * 30).splitlines()
    assert (len(lines) == 2) is (name == "made_no_wrap.po")


def test_line_ends_of_the_entry_are_kept() -> None:
    for name, end in (("made_crlf.po", "\r\n"), ("made_cr.po", "\r"), ("made_utf16be_crlf.po", "\r\n")):
        text = rendered(opened(DATA / name), "uno\ndos", state=State.FUZZY)
        assert text == f'#, fuzzy{end}msgctxt "verb"{end}msgid "Open"{end}msgstr ""{end}"uno\\n"{end}"dos"'


def test_indentation_and_the_style_without_an_empty_first_string_are_kept() -> None:
    document = opened(DATA / "made_indent.po")
    lines = rendered(document, "palabra " * 15, at=1).partition("msgstr")[2].splitlines()
    assert lines[0].startswith('  "palabra ')
    assert lines[1].startswith('        "palabra ')
    assert max(len(line) for line in lines[1:]) <= 79
    indented = opened(DATA / "test_indented.po")
    both = rendered(indented, "xxx " * 18, "yyy " * 18, at=1)
    assert '\nmsgstr[0]\t\t ""\n\t\t\t\t "xxx' in both
    assert '\nmsgstr[1]\t\t ""\n\t\t\t\t "yyy' in both


def test_a_form_that_stays_the_same_keeps_its_bytes(catalogue: Make) -> None:
    plural = 'msgid "a"\nmsgid_plural "b"\nmsgstr[0] "o" "ne"\nmsgstr[1] ""\n'
    assert rendered(catalogue(HEADER + plural), "one", "two").endswith('msgstr[0] "o" "ne"\nmsgstr[1] "two"')


@pytest.mark.parametrize(
    ("lang", "header", "forms"),
    [("ru", "nplurals=3; plural=n%10==1 ? 0 : n%10==2 ? 1 : 2;", 3), ("ja", "nplurals=1; plural=0;", 1)],
)
def test_a_plural_block_grows_and_shrinks_to_nplurals(catalogue: Make, lang: str, header: str, forms: int) -> None:
    text = HEADER.replace("Language: es", f"Language: {lang}").replace("nplurals=2; plural=(n != 1);", header)
    document = catalogue(text + '  msgid "a"\n  msgid_plural "b"\n  msgstr[0]  ""\n  msgstr[1]  ""\n', lang)
    target = tuple(f"form {form}" for form in range(forms))
    assert rendered(document, *target).partition("msgid_plural")[2] == ' "b"\n' + "\n".join(
        f'  msgstr[{form}]  "form {form}"' for form in range(forms)
    )
    segment = segments(document)[0]
    assert document.render(segment, ("",) * forms, State.NEW) == segment.raw
    assert document.render(segment, target, State.SKIP) == segment.raw


@pytest.mark.parametrize(
    ("before", "state", "after"),
    [
        ("", State.FUZZY, "#, fuzzy\n"),
        ("#, c-format\n", State.FUZZY, "#, fuzzy, c-format\n"),
        ("#,c-format,  no-wrap\n", State.FUZZY, "#, fuzzy, c-format,  no-wrap\n"),
        ("#, c-format\n#, no-wrap\n", State.FUZZY, "#, fuzzy, c-format\n#, no-wrap\n"),
        ("#,\n", State.FUZZY, "#, fuzzy\n"),
        ("#= c-format\n", State.FUZZY, "#, fuzzy\n#= c-format\n"),
        ('#| msgid "o"\n', State.FUZZY, '#, fuzzy\n#| msgid "o"\n'),
        ("# c\n#: a.c:1\n", State.FUZZY, "# c\n#: a.c:1\n#, fuzzy\n"),
        ("#, fuzzy\n", State.DONE, ""),
        ("#, fuzzy\n", State.FUZZY, "#, fuzzy\n"),
        ("#, fuzzy, c-format\n", State.DONE, "#, c-format\n"),
        ("#, c-format, fuzzy\n", State.DONE, "#, c-format\n"),
        ("#, a,fuzzy ,  b\n", State.DONE, "#, a,b\n"),
        ("#, fuzzy, a, fuzzy, b, fuzzy\n", State.DONE, "#, a, b\n"),
        ("#, fuzzy\n#, c-format\n", State.DONE, "#, c-format\n"),
        ('#, fuzzy\n#| msgctxt "x"\n#| msgid ""\n#| "old"\n', State.DONE, ""),
        ('#, fuzzy, range: 0..3\n#| msgid "o"\n', State.DONE, "#, range: 0..3\n"),
        ('#| msgid "o"\n', State.DONE, ""),
        ("# c\n#, fuzzy\n\n", State.DONE, "# c\n"),
        ("#, fuzzy\n#: a.c:1\n", State.DONE, "#,\n#: a.c:1\n"),
        ("  #, fuzzy\n", State.DONE, ""),
        ("#,\n", State.DONE, "#,\n"),
        ("#, c-format\n", State.DONE, "#, c-format\n"),
    ],
)
def test_flag_lines_change_as_gettext_changes_them(catalogue: Make, before: str, state: State, after: str) -> None:
    document = catalogue(HEADER + before + 'msgid "a"\nmsgstr "b"\n')
    output = rewritten(document, {segments(document)[0].id: ("c",)}, state).decode()
    assert output.partition(';\\n"\n"X-Generator')[2].partition("\n\n")[2] == after + 'msgid "a"\nmsgstr "c"\n'
    again = catalogue(output)
    assert segments(again)[0].state is state
    assert segments(again)[0].flags == segments(document)[0].flags


def test_flags_after_translation_are_those_of_msgattrib(tmp_path: Path) -> None:
    text = (
        HEADER
        + '#: a.c:1\n#, fuzzy, c-format\n#| msgid "old"\nmsgid "a"\nmsgstr "b"\n\n#, fuzzy\nmsgid "c"\nmsgstr "d"\n'
    )
    path = tmp_path / "x.po"
    path.write_text(text)
    cleared = subprocess.run(
        ["msgattrib", "--clear-fuzzy", "--clear-previous", str(path)], capture_output=True, check=True, text=True
    ).stdout
    document = opened(path)
    ours = b"".join(
        piece if isinstance(piece, bytes) else document.render(piece, piece.target, State.DONE)
        for piece in document.pieces()
    )
    assert ours.decode() == cleared


# Refused targets


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("a", ("b\n",), "end with a line break"),
        ("a\\n", ("b",), "end with a line break"),
        ("\\na", ("b",), "begin with a line break"),
        ("a", ("b", "c"), "2 forms where 1 are needed"),
        ("a", ("b\0",), "'\\x00' (U+0000)"),
        ("a\\0", ("b\0",), "'\\x00' (U+0000)"),
        ("a", ("b\x1b[0m",), "'\\x1b' (U+001B)"),
        ("a", ("b\rc",), "'\\r' (U+000D)"),
        ("a", ("b\x85c",), "U+0085"),
        ("a", ("b\ud800",), "U+D800"),
    ],
)
def test_a_target_that_cannot_stand_there_is_refused_with_the_reason(
    catalogue: Make, source: str, target: tuple[str, ...], reason: str
) -> None:
    document = catalogue(f'{HEADER}msgid "{source}"\nmsgstr ""\n')
    problem = document.problem(segments(document)[0], target)
    assert problem is not None
    assert reason in problem


def test_every_plural_form_is_looked_at(catalogue: Make) -> None:
    document = catalogue(HEADER + 'msgid "a\\n"\nmsgid_plural "b\\n"\nmsgstr[0] ""\nmsgstr[1] ""\n')
    (segment,) = segments(document)
    assert document.problem(segment, ("a\n", "b\n")) is None
    assert document.problem(segment, ("", "")) is None
    assert "line break" in (document.problem(segment, ("a\n", "b")) or "")
    assert "1 forms where 2" in (document.problem(segment, ("a\n",)) or "")


def test_a_control_character_of_the_source_may_stay(catalogue: Make) -> None:
    document = catalogue(HEADER + 'msgid "\\033[1mbold\\r\\n"\nmsgstr ""\n')
    assert document.problem(segments(document)[0], ("\x1b[1mgrueso\r\n",)) is None
    assert msgstr(document, "\x1b[1mgrueso\r\n") == r' "\033[1mgrueso\r\n"'


@pytest.mark.parametrize("name", ["made_latin1.po", "made_cp1252.po", "made_euc_kr.po", "test_iso-8859-15.po"])
def test_a_character_outside_the_charset_is_named_with_the_way_out(name: str) -> None:
    document = opened(DATA / name)
    segment = segments(document)[0]
    problem = document.problem(segment, ("\u0416",) if "kr" not in name else ("ñ\U0001f600",)) or ""
    assert f"charset {document.encoding}" in problem
    assert "U+0416" in problem or "U+1F600" in problem or "U+00F1" in problem
    assert "-O encoding=utf-8" in problem
    with pytest.raises(CannotRender, match="-O encoding=utf-8"):
        document.render(segment, ("\U0001f600",), State.DONE)


# Charsets


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("made_latin1.po", "iso8859-1"), ("made_cp1252.po", "cp1252"), ("test_iso-8859-15.po", "iso8859-15"),
        ("made_euc_kr.po", "euc_kr"), ("made_shift_jis.po", "shift_jis"), ("made_gb18030.po", "gb18030"),
        ("made_utf16le.po", "utf-16-le"), ("made_utf16be_crlf.po", "utf-16-be"), ("made_utf32le.po", "utf-32-le"),
        ("made_bom.po", "utf-8"), ("made_template.pot", "utf-8"), ("test_noencoding.po", "utf-8"),
    ],
)  # fmt: skip
def test_the_charset_is_that_of_mark_or_header(name: str, encoding: str) -> None:
    document = opened(DATA / name)
    assert document.encoding == encoding
    assert ("charset" in " ".join(document.notes)) is (name in ("made_template.pot", "test_noencoding.po"))


def test_characters_whose_second_byte_is_a_backslash_are_read_whole() -> None:
    assert segments(opened(DATA / "made_shift_jis.po"))[0].target == ("表",)
    assert [s.target[0] for s in segments(opened(DATA / "made_shift_jis.po"))][:2] == ["表", "ソ"]


def test_a_header_without_a_charset_names_it_once_something_is_translated(cli: Cli, tmp_path: Path) -> None:
    header = 'msgid ""\nmsgstr ""\n"Project-Id-Version: x\\n"\n'
    (tmp_path / "a.po").write_text(f'{header}\nmsgid "Open the window."\nmsgstr ""\n', encoding="utf-8")
    assert cli("run", "a.po", "--to", "es", "--backend", "pseudo").returncode == 0
    written = (tmp_path / "a.es.po").read_text(encoding="utf-8")
    assert '\n"Content-Type: text/plain; charset=UTF-8\\n"\n' in written and not written.isascii()
    assert cli("check", "a.es.po", "--severity", "error").returncode == 0


NO_CHARSET = 'msgid ""\nmsgstr "Project-Id-Version: x\\n"\n\nmsgid "a"\nmsgstr "caf\xe9"\n'.encode("latin-1")


def test_without_charset_what_is_not_utf8_is_refused_with_offset_and_option(catalogue: Make) -> None:
    with pytest.raises(FormatError, match=r"-O encoding=") as caught:
        catalogue(NO_CHARSET)
    assert caught.value.offset == NO_CHARSET.index(b"\xe9")
    document = catalogue(NO_CHARSET, encoding="latin-1")
    assert segments(document)[0].target == ("café",)
    assert joined(document) == NO_CHARSET


@pytest.mark.parametrize("place", [b"# caf\xe9\n", b'msgid "b\xe9"\nmsgstr ""\n'])
def test_a_byte_that_does_not_decode_is_refused_with_its_offset(catalogue: Make, place: bytes) -> None:
    data = HEADER.encode() + b'msgid "a"\nmsgstr ""\n' * 3 + place
    with pytest.raises(FormatError, match="byte 0xe9 is not utf-8") as caught:
        list(catalogue(data).pieces())
    assert caught.value.offset == data.index(b"\xe9")


def test_the_option_reads_a_file_whose_header_lies_and_corrects_it_with_a_translation(catalogue: Make) -> None:
    data = (HEADER + 'msgid "a"\nmsgstr "café"\n').encode("latin-1")
    document = catalogue(data, encoding="cp1252")
    assert segments(document)[0].target == ("café",)
    assert b"charset=CP1252\\n" in rewritten(document, translated(document))


@pytest.mark.parametrize(
    ("name", "wanted", "label"),
    [
        ("made_latin1.po", "utf-8", "UTF-8"), ("made_utf16le.po", "utf-8", "UTF-8"), 
        ("made_utf16be_crlf.po", "utf-8", "UTF-8"), ("made_crlf.po", "latin-1", "ISO-8859-1"), 
        ("made_shift_jis.po", "utf8", "UTF-8"), ("made_latin1.po", "utf-16", "UTF-16"),
    ],
)  # fmt: skip
def test_the_option_converts_a_file_with_another_charset(tmp_path: Path, name: str, wanted: str, label: str) -> None:
    before = opened(DATA / name)
    document = opened(DATA / name, encoding=wanted)
    assert "converted" in document.notes[0]
    texts = [(s.id, s.source, s.target, s.state) for s in segments(before)]
    assert [(s.id, s.source, s.target, s.state) for s in segments(document)] == texts
    output = tmp_path / name
    output.write_bytes(rewritten(document, translated(document, lambda source: source)))
    again = opened(output, LANGUAGES.get(name, "es"), encoding=wanted)
    assert again.notes == []
    assert f"charset={label}\\n" in output.read_bytes().decode(wanted)
    old, new = ((DATA / name).read_bytes().decode(before.encoding), output.read_bytes().decode(again.encoding))
    assert set(re.findall("\r?\n", old)) == set(re.findall("\r?\n", new))
    if label != "UTF-16":
        assert not msgfmt_lines(output)


def test_utf16_alone_means_the_byte_order_that_the_file_has() -> None:
    document = opened(DATA / "made_utf16be_crlf.po", encoding="utf-16")
    assert (document.encoding, document.notes) == ("utf-16-be", [])


def test_a_content_type_without_charset_is_completed_when_the_file_is_converted(catalogue: Make) -> None:
    document = catalogue(ENTRY.replace("; charset=UTF-8", "").encode("utf-16"), encoding="utf-8")
    assert joined(document).decode().count("Content-Type: text/plain; charset=UTF-8\\n") == 1


def test_a_header_without_fields_gets_a_charset_when_the_file_is_converted(catalogue: Make) -> None:
    text = 'msgid ""\nmsgstr ""\n\nmsgid "a"\nmsgstr "ñ"\n'
    document = catalogue(text.encode("utf-16"), encoding="utf-8")
    header = 'msgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    assert joined(document).decode() == text.replace('msgstr ""\n\n', header)


def test_a_converted_file_goes_with_its_document(tmp_path: Path) -> None:
    document = opened(DATA / "made_latin1.po", encoding="utf-8")
    temporary = document._file
    assert temporary.exists()
    del document
    assert not temporary.exists()


def test_a_character_that_the_wanted_charset_lacks_stops_the_conversion() -> None:
    with pytest.raises(FormatError, match=r"U\+2014|U\+[0-9A-F]+.*does not exist in iso8859-1"):
        opened(DATA / "glossary.po", encoding="latin-1")


@pytest.mark.parametrize(
    ("name", "error"), [("nonsense", "unknown encoding"), ("cp037", "not supported"), ("utf-7", "not supported")]
)
def test_an_encoding_that_cannot_be_used_is_a_usage_error(name: str, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        opened(DATA / "made_crlf.po", encoding=name)


def test_an_unknown_charset_in_the_header_is_refused_with_the_option(catalogue: Make) -> None:
    with pytest.raises(FormatError, match=r"'KLINGON-8' cannot be used\n.*-O encoding=NAME"):
        catalogue(HEADER.replace("UTF-8", "KLINGON-8"))
    assert catalogue(HEADER.replace("UTF-8", "KLINGON-8"), encoding="utf-8").encoding == "utf-8"


# Errors


@pytest.mark.parametrize(
    ("entry", "line", "cause"),
    [
        ('msgid "a"\n\nmsgid "b"\nmsgstr ""\n', 1, "msgid without msgstr"),
        ('msgid "a"\n', 1, "msgid without msgstr"),
        ('msgid "a"\n# comment\nmsgstr ""\n', 1, "msgid without msgstr"),
        ('msgid "a"\nmsgid_plural "b"\n', 1, "msgid without msgstr"),
        ('msgid "a"\nmsgstr ""\nmsgstr ""\n', 3, "msgstr without msgid"),
        ('msgctxt "a"\nmsgstr ""\n', 2, "msgstr without msgid"),
        ('msgctxt "a"\n', 2, "the file ends in the middle of an entry"),
        ('msgid_plural "a"\nmsgstr ""\n', 1, "msgid_plural where msgid is expected"),
        ('msgid "a"\nmsgstr ""\nrubbish\n', 3, "unknown keyword 'rubbish'"),
        ('msgid "a"\nmsgstr ""\n@\n', 3, "unexpected '@'"),
        ('msgid "a"\nmsgstr "b\n', 2, "unterminated string"),
        ('msgid "a"\n"b\nmsgstr "c"\n', 2, "unterminated string"),
        ('msgid "a"\nmsgstr "b" "c\\"\n', 2, "unterminated string"),
        ('msgid "a"\nmsgstr b\n', 2, "msgstr without a string"),
        ('# comment\n"a"\n', 2, "string without a keyword"),
        ('msgid "a\\q"\nmsgstr ""\n', 1, r"invalid escape \\q"),
        ('msgid "a"\nmsgstr "\\xfe"\n', 2, r"escape \\xfe is not utf-8"),
        ('msgid "a"\nmsgstr "\\xg"\n', 2, r"invalid escape \\x"),
        ('msgid "a"\nmsgstr[0] ""\n', 2, r"msgstr\[0\] without msgid_plural"),
        ('msgid "a"\nmsgid_plural "b"\nmsgstr ""\n', 3, "msgstr without index after msgid_plural"),
        ('msgid "a"\nmsgid_plural "b"\nmsgstr[0] ""\nmsgstr[2] ""\n', 4, r"msgstr\[2\] where msgstr\[1\] is expected"),
        ('msgid "a"\nmsgid_plural "b"\nmsgstr[1] ""\n', 3, r"msgstr\[1\] where msgstr\[0\] is expected"),
        ('msgid "a"\nmsgid_plural "b"\nmsgstr[x] ""\n', 3, "bad index after msgstr"),
    ],
)
@pytest.mark.parametrize("chunk", [1 << 18, 32])
def test_a_syntax_error_names_line_and_cause(
    catalogue: Make, monkeypatch: pytest.MonkeyPatch, entry: str, line: int, cause: str, chunk: int
) -> None:
    monkeypatch.setattr(po_scan, "_CHUNK", chunk)
    good = 'msgid "good"\nmsgstr ""\n\n'
    with pytest.raises(FormatError, match=cause) as caught:
        list(catalogue(HEADER + good + entry).pieces())
    expected = (HEADER + good).count("\n") + line
    assert caught.value.line == expected
    assert str(caught.value).splitlines()[0].startswith(f"{caught.value.path}:{expected}: ")
    broken = subprocess.run(["msgfmt", "-o", "/dev/null", str(caught.value.path)], capture_output=True)
    assert broken.returncode != 0 or "escape" in cause  # msgfmt lets bytes of another charset pass


def test_the_broken_fixture_is_refused() -> None:
    with pytest.raises(FormatError, match=r"test_syntax_error1.po:5: msgstr without msgid"):
        opened(DATA / "test_syntax_error1.po")


def test_utf16_without_a_mark_is_refused_with_the_option_that_reads_it(catalogue: Make) -> None:
    data = (HEADER + 'msgid "a"\nmsgstr "ñ"\n').encode("utf-16-le")
    with pytest.raises(FormatError, match="-O encoding=utf-16-le"):
        catalogue(data)
    document = catalogue(data, encoding="utf-16-le")
    assert segments(document)[0].target == ("ñ",)
    assert joined(document) == data


# Header


def edited(document: PoDocument, moment: datetime = STARTED_AT) -> str:
    """The file with the declared edits alone."""
    data = joined(document)
    for edit in sorted(document.finish(moment), key=lambda edit: edit.start, reverse=True):
        data = data[: edit.start] + edit.data + data[edit.end :]
    return data.decode(document.encoding)


def changed_lines(document: PoDocument) -> tuple[list[str], list[str]]:
    """Lines that the declared edits take out and put in."""
    before, after = joined(document).decode(document.encoding).splitlines(), edited(document).splitlines()
    return [line for line in before if line not in after], [line for line in after if line not in before]


def test_only_date_and_generator_of_a_complete_header_change(catalogue: Make) -> None:
    assert changed_lines(catalogue(ENTRY)) == (
        ['"PO-Revision-Date: 2020-01-01 10:00+0000\\n"'],
        ['"PO-Revision-Date: 2026-11-23 18:30+0000\\n"', f'"X-Generator: batchtrans {__version__}\\n"'],
    )


def test_the_date_is_utc_whatever_the_zone_of_the_clock(catalogue: Make) -> None:
    moment = STARTED_AT.astimezone(timezone(timedelta(hours=5)))
    assert "PO-Revision-Date: 2026-11-23 18:30+0000\\n" in edited(catalogue(ENTRY), moment)


def test_an_earlier_generator_is_replaced_where_it_stands(catalogue: Make) -> None:
    text = ENTRY.replace('"Language-Team', '"X-Generator: Poedit 1.5\\n"\n"Language-Team')
    document = catalogue(text)
    lines = edited(document).splitlines()
    assert lines[lines.index('"Language-Team: none\\n"') - 1] == f'"X-Generator: batchtrans {__version__}\\n"'
    assert len(lines) == len(text.splitlines())


@pytest.mark.parametrize("declared", ['"Language: \\n"\n', '"Language:\\n"\n', ""])
def test_a_missing_language_is_filled_in_its_place(catalogue: Make, declared: str) -> None:
    document = catalogue(ENTRY.replace('"Language: es\\n"\n', declared), "pt-br")
    lines = edited(document).splitlines()
    assert lines[lines.index('"Language-Team: none\\n"') + 1] == '"Language: pt_BR\\n"'


@pytest.mark.parametrize(
    ("code", "written"), [("pt-br", "pt_BR"), ("ES", "es"), ("es-419", "es_419"), ("sr-Latn", "sr@latin"),
                          ("zh-Hans", "zh_CN"), ("zh-Hant-HK", "zh_HK"), ("ca@valencia", "ca@valencia")]
)  # fmt: skip
def test_language_codes_are_written_in_gettext_style(catalogue: Make, code: str, written: str) -> None:
    document = catalogue(ENTRY.replace("Language: es", "Language: "), code)
    assert f'"Language: {written}\\n"' in edited(document)


@pytest.mark.parametrize("old", ['"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n', "nplurals=2; plural=(n != 1);"])
def test_missing_plural_forms_are_filled_from_the_table(catalogue: Make, old: str) -> None:
    text = ENTRY.replace(old, "").replace("Language: es", "Language: pl")
    document = catalogue(text, "pl")
    assert document.plural_samples == (1, 2, 5)
    assert document.plural_relaxed == (True, False, False)
    assert '"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : ' in edited(document)


def test_plural_forms_of_the_header_win_over_the_table(catalogue: Make) -> None:
    document = catalogue(ENTRY.replace("nplurals=2; plural=(n != 1)", "nplurals=3; plural=n==1 ? 0 : n==2 ? 1 : 2"))
    assert document.plural_samples == (1, 2, 3)
    assert "nplurals=3; plural=n==1 ? 0 : n==2 ? 1 : 2;" in edited(document)


@pytest.mark.parametrize(
    ("flag", "relaxed"),
    [
        ("", (False, False, False)),
        ("range: 0..1", (True, True, True)),
        ("range: 2..11", (True, False, False)),
        ("range:\t11..21", (True, True, False)),
        ("range:0..1", (False, False, False)),
        ("range: 5..3", (False, False, False)),
        ("range: 0..999999999", (False, False, False)),
    ],
)
def test_a_range_says_which_forms_may_leave_the_number_out(
    catalogue: Make, flag: str, relaxed: tuple[bool, ...]
) -> None:
    entry = f'#, c-format, {flag}\nmsgid "b"\nmsgid_plural "%d"\nmsgstr[0] ""\nmsgstr[1] ""\nmsgstr[2] ""\n'
    russian = plural_forms("ru")
    assert russian is not None
    header = HEADER.replace("Language: es", "Language: ru").replace("nplurals=2; plural=(n != 1);", russian.header())
    document = catalogue(header + entry, "ru")
    (segment,) = segments(document)
    assert document.relaxed(segment) == relaxed


def test_plural_forms_that_msgfmt_refuses_are_corrected_only_with_plural_entries(catalogue: Make) -> None:
    wrong = ENTRY.replace("plural=(n != 1)", "plural=n")
    assert "plural=n;" in edited(catalogue(wrong))
    document = catalogue(wrong + '\nmsgid "b"\nmsgid_plural "c"\nmsgstr[0] ""\nmsgstr[1] ""\n')
    assert document.plural_samples == (1, 2)
    assert "nplurals=2; plural=(n != 1);" in edited(document)


def test_plural_forms_on_several_lines_are_read_and_kept_or_replaced_whole(catalogue: Make) -> None:
    folded = ENTRY.replace("nplurals=2; plural=(n != 1);\\n", 'nplurals=2; plural=(n"\n" != 1);\\n')
    document = catalogue(folded)
    assert document.plural_samples == (1, 2)
    assert 'plural=(n"\n" != 1);\\n"\n' in edited(document)
    wrong = catalogue(folded.replace(" != 1", " + 1") + '\nmsgid "b"\nmsgid_plural "c"\nmsgstr[0] ""\nmsgstr[1] ""\n')
    assert '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n"X-Generator' in edited(wrong)


def test_a_language_without_known_rule_gets_two_forms_and_a_note(catalogue: Make) -> None:
    text = HEADER.replace("Language: es", "Language: tlh")
    text = text.replace('"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n', "")
    document = catalogue(text + 'msgid "b"\nmsgid_plural "c"\nmsgstr[0] ""\nmsgstr[1] ""\n', "tlh")
    assert document.plural_samples == (1, 2)
    assert "tlh" in document.notes[0]
    assert "nplurals=2; plural=(n != 1);" in edited(document)


def test_a_template_becomes_a_catalogue(tmp_path: Path) -> None:
    document = opened(DATA / "made_template.pot", "pl")
    output = tmp_path / "x.po"
    output.write_bytes(rewritten(document, translated(document, lambda source: source)))
    read = polib.pofile(str(output))
    assert read.metadata["Content-Type"] == "text/plain; charset=UTF-8"
    assert read.metadata["Language"] == "pl"
    assert read.metadata["Plural-Forms"].startswith("nplurals=3;")
    assert not read.metadata_is_fuzzy
    assert len(read[0].msgstr_plural) == 3
    assert output.read_text().startswith('# SOME DESCRIPTIVE TITLE.\n#\nmsgid ""\n')
    assert "initial default value" not in "".join(line for line in msgfmt_lines(output) if "Content-Type" in line)


def test_the_order_of_header_fields_and_the_header_comment_stay() -> None:
    document = opened(DATA / "test_fuzzy_header.po")
    gone, come = changed_lines(document)
    assert gone == ["#, fuzzy", '"PO-Revision-Date: YEAR-MO-DA HO:MI+ZONE\\n"']
    fields = [line.partition(":")[0] for line in come]
    assert fields == ['"PO-Revision-Date', '"Language', '"Plural-Forms', '"X-Generator']


def test_a_catalogue_without_header_gets_one_that_msgfmt_accepts(tmp_path: Path) -> None:
    document = opened(DATA / "made_no_header.po")
    output = tmp_path / "x.po"
    output.write_bytes(rewritten(document, translated(document, lambda source: source)))
    assert output.read_text().startswith('msgid ""\nmsgstr ""\n"Project-Id-Version: \\n"\n"PO-Revision-Date: 2024')
    assert not msgfmt_lines(output)


def test_a_header_without_fields_or_without_final_newline_is_completed(tmp_path: Path) -> None:
    for name in ("test_wrap.po", "test_ufeff.po"):
        output = tmp_path / name
        output.write_text(edited(opened(DATA / name)))
        header = polib.pofile(str(output)).metadata
        assert header["Language"] == "es"
        assert header["X-Generator"] == f"batchtrans {__version__}"
        assert header["Project-Id-Version"] == ("django" if name == "test_ufeff.po" else "")
        assert header["Content-Type"] == "text/plain; charset=UTF-8"


def test_a_header_in_one_string_or_in_a_later_entry_is_edited_in_place(catalogue: Make) -> None:
    one = 'msgid ""\nmsgstr "Language: es\\nContent-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "a"\nmsgstr ""\n'
    assert polib.pofile(edited(catalogue(one))).metadata["X-Generator"] == f"batchtrans {__version__}"
    later = edited(opened(DATA / "test_unusual_metadata_location.po"))
    assert later.startswith("# Po file where metadata")
    assert '8bit\\n"\n"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n"X-Generator: batchtrans' in later


def test_header_edits_lie_in_literal_bytes_also_with_wide_characters() -> None:
    for name in ("made_utf16le.po", "made_utf16be_crlf.po", "made_utf32le.po"):
        assert "PO-Revision-Date: 2026-11-23 18:30+0000\\n" in edited(opened(DATA / name))


# Languages


def test_translations_in_another_language_are_a_usage_error_unless_forced() -> None:
    path = DATA / "test_obsolete_previousmsgid.po"
    with pytest.raises(UsageError, match=r"'ca'.*not 'es'\n.*--force"):
        opened(path, "es")
    document = opened(path, "es", force=True)
    assert "Language: ca\\n" in edited(document)


@pytest.mark.parametrize("declared", ["es_MX", "ES", "es-ES", "es@latin", "Spanish", ""])
def test_a_variant_of_the_language_is_no_contradiction(catalogue: Make, declared: str) -> None:
    catalogue(HEADER.replace("Language: es", f"Language: {declared}") + 'msgid "a"\nmsgstr "b"\n', "es")


def test_a_foreign_header_without_translations_becomes_that_of_the_target(catalogue: Make) -> None:
    document = catalogue(ENTRY, "ja")
    text = edited(document)
    assert '"Language: ja\\n"' in text
    assert '"Plural-Forms: nplurals=1; plural=0;\\n"' in text
    assert document.plural_samples == (1,)


# Size


def big_file(path: Path, count: int) -> None:
    with path.open("w") as file:
        file.write(HEADER)
        for number in range(count):
            file.write(f'#: src/a{number}.c:{number}\n#, c-format\nmsgid "Entry {number} of %d"\nmsgstr ""\n\n')


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(po_scan, "_CHUNK", 1 << 14)
    peaks = []
    for count in (3_000, 12_000):
        path = tmp_path / f"{count}.po"
        big_file(path, count)
        tracemalloc.start()
        for _ in opened(path).pieces():
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 400_000  # 16 bytes for each id, twice while the table grows; the file grows by 700 KB


def test_long_runs_of_obsolete_entries_stream(tmp_path: Path) -> None:
    path = tmp_path / "x.po"
    obsolete = '#~ msgid "old"\n#~ msgstr "viejo"\n\n' * 40_000
    path.write_text(HEADER + obsolete + 'msgid "a"\nmsgstr ""\n')
    sizes = [len(piece) for piece in opened(path).pieces() if isinstance(piece, bytes)]
    assert sum(sizes) > 1_000_000
    assert max(sizes) < 600_000


def test_many_ids_are_told_apart(catalogue: Make) -> None:
    text = HEADER + "".join(f'msgid "{number % 9000}"\nmsgstr ""\n' for number in range(10_000))
    found: Iterator[str] = (segment.id for segment in segments(catalogue(text)))
    counted = Counter(identity.partition("#")[2] for identity in found)
    assert counted == {"": 9000, "2": 1000}


@st.composite
def layouts(draw: st.DrawFn) -> str:
    """Entries with the white space and comments that a catalogue may have and hardly ever has."""
    blank = st.sampled_from(["", " ", "\n", "\n  ", "\t", "\r\n", "\v"])
    strings = st.lists(st.sampled_from(['""', '"a b"', '"\\n"', '"\\"q\\" \\\\"', '"ñ"']), min_size=1, max_size=3)
    comment = st.sampled_from(["# t\n", "#\n", "#: a.c:1\n", "#. note\n", "#, fuzzy\n", '#~ msgid "o"\n', " # t\r\n"])
    ends = st.sampled_from(["\n", "\n\n", "\r\n", ""])
    text = ""
    for number in range(draw(st.integers(1, 4))):
        text += "".join(draw(st.lists(comment, max_size=2))) + draw(st.sampled_from(["", " ", "\t", 'msgctxt "c"\n']))
        text += "msgid" + draw(blank) + f'"{number}"' + draw(blank).join(["", *draw(strings)]) + draw(blank)
        text += "msgstr" + draw(blank) + draw(blank).join(draw(strings)) + draw(ends)
    return text


@given(layouts())
def test_however_entries_are_laid_out_they_say_the_same_in_every_encoding(text: str) -> None:
    """Most entries of UTF-8 are found at once, those of UTF-16 statement by statement."""
    found = []
    for codec, mark in (("utf-8", b""), ("utf-16-le", b"\xff\xfe")):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "a.po"
            path.write_bytes(mark + text.encode(codec))
            pieces = list(opened(path, encoding="utf-8" if not mark else "utf-16").pieces())
        said = [piece if isinstance(piece, bytes) else piece.raw for piece in pieces]
        assert b"".join(said) == mark + text.encode(codec)
        segments = [piece for piece in pieces if isinstance(piece, Segment)]
        found.append(
            [
                (
                    segment._replace(raw=b"", slots=(), location=segment.location._replace(start=0, end=0)),
                    segment.raw.decode(codec),
                    [segment.raw[start:end].decode(codec) for start, end in segment.slots],
                )
                for segment in segments
            ]
        )
    assert found[0] == found[1]
