"""Plain text by line and by paragraph."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchtrans import CannotRender, Document, FormatError, OpenOptions, Segment, State, UsageError
from batchtrans.formats.txt import TxtFormat
from batchtrans.testing import check_format, splice

DATA = Path(__file__).parent / "data" / "txt"
SAMPLES = Path(__file__).parent.parent / "samples"
FILES = [*sorted(DATA.glob("*.txt")), SAMPLES / "input.txt"]


def opened(path: Path, **values: str) -> Document:
    return TxtFormat().open(path, OpenOptions("en", "es", {name: (value,) for name, value in values.items()}))


def segments(document: Document) -> list[Segment]:
    return [piece for piece in document.pieces() if isinstance(piece, Segment)]


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("unit", ["line", "paragraph"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_laws_hold_on_real_files(path: Path, unit: str) -> None:
    check_format(TxtFormat(), [path], values={"unit": [unit]})


_ALPHABET = st.sampled_from(
    ["a", "B", ".", " ", "\t", "\n", "\r", "\r\n", "\f", "\x85", "\u2028", "\xa0", "é", "世", "\0"]
)
_ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030"]


@settings(max_examples=1000, deadline=None)
@given(st.lists(_ALPHABET).map("".join), st.sampled_from(["line", "paragraph"]), st.sampled_from(_ENCODINGS))
def test_laws_hold_on_any_text(text: str, unit: str, encoding: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        if encoding == "utf-16":
            text = text.lstrip("\0")  # a mark and a NUL in UTF-16 are the mark of UTF-32
        path = written(Path(directory), text.encode(encoding))
        explicit = encoding in ("utf-16-le", "gb18030") or (encoding == "utf-8" and "\0" in text)  # it may look wide
        document = opened(path, unit=unit, **({"encoding": encoding} if explicit else {}))
        found = segments(document)
        before = [segment.source[0] for segment in found]
        assert splice(document, {}) == path.read_bytes()
        path_again = Path(directory) / "b.txt"
        path_again.write_bytes(splice(document, {s.id: (("X" + s.source[0],), State.DONE) for s in found}))
        again = opened(path_again, unit=unit, **({"encoding": encoding} if explicit else {}))
        assert [segment.source[0] for segment in segments(again)] == ["X" + source for source in before]
        if unit == "line":  # universal newlines, without form feeds and the like, are the judge
            lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            assert before == [line for line in lines if line.strip()]


def test_a_line_is_a_segment_and_blank_lines_are_none() -> None:
    found = segments(opened(DATA / "crlf.txt"))
    assert [segment.source[0] for segment in found] == [
        "First line.",
        "Second line.",
        "  Indented, with a blank at its end. ",
        "Last",
    ]
    assert [segment.location.line for segment in found] == [1, 2, 4, 5]
    assert [segment.id for segment in found] == ["1", "2", "3", "4"]


def test_a_paragraph_keeps_its_line_breaks() -> None:
    document = opened(DATA / "crlf.txt", unit="paragraph")
    assert [segment.source[0] for segment in segments(document)] == [
        "First line.\r\nSecond line.",
        "  Indented, with a blank at its end. \r\nLast",
    ]
    assert document.newline == "\r\n"


@pytest.mark.parametrize(
    ("unit", "content", "target"),
    [
        ("line", b"One\n", "Uno\nDos"),
        ("line", b"One\n", "Uno\r"),
        ("line", b"One\n", ""),
        ("line", b"One\n", " \t"),
        ("paragraph", b"One\nTwo\n", "Uno\n\nDos"),
        ("paragraph", b"One\nTwo\n", "Uno\n \nDos"),
        ("paragraph", b"One\nTwo\n", "Uno\n"),
        ("paragraph", b"One\nTwo\n", "Uno\r\nDos"),
        ("paragraph", b"One\n", "Uno\nDos"),
        ("line", b"One\n", "\ufeffUno"),
    ],
)
def test_a_text_that_the_unit_cannot_hold_is_refused(tmp_path: Path, unit: str, content: bytes, target: str) -> None:
    document = opened(written(tmp_path, content), unit=unit)
    [segment] = segments(document)
    assert document.problem(segment, (target,))
    with pytest.raises(CannotRender, match=r"a\.txt:1: "):
        document.render(segment, (target,), State.DONE)


def test_a_paragraph_may_be_broken_elsewhere(tmp_path: Path) -> None:
    document = opened(written(tmp_path, b"One two\nthree\n\nFour"), unit="paragraph")
    assert splice(document, {"1": (("Uno\ndos\ntres",), State.DONE)}) == b"Uno\ndos\ntres\n\nFour"


def test_a_character_outside_the_charset_is_refused(tmp_path: Path) -> None:
    document = opened(written(tmp_path, "Café\n".encode("latin-1")), encoding="latin-1")
    [segment] = segments(document)
    assert segment.source == ("Café",)
    assert document.problem(segment, ("caffè",)) is None
    problem = document.problem(segment, ("咖啡",))
    assert problem is not None and "'咖'" in problem and "iso8859-1" in problem


def test_an_undecodable_byte_is_named_with_its_offset_and_the_option(tmp_path: Path) -> None:
    path = written(tmp_path, b"fine\ncaf\xe9\n")
    with pytest.raises(FormatError, match=r"a\.txt, byte 8: byte 0xe9 is not utf-8(.|\n)*-O encoding=") as caught:
        list(opened(path).pieces())
    assert caught.value.offset == 8


def test_a_byte_order_mark_decides_and_stays() -> None:
    document = opened(DATA / "utf16.txt")
    assert document.encoding == "utf-16-be"
    assert segments(document)[1].source == ("Grüße\u2028ein Zeichen, keine Zeile",)
    content = (DATA / "utf16.txt").read_bytes()
    assert splice(document, {"1": (("Dieciséis",), State.DONE)})[:2] == content[:2]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "nonsense", "base64", "cp037"])
def test_an_encoding_that_does_not_fit_is_a_usage_error(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UsageError):
        opened(written(tmp_path, b"text\n"), encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["No", "Grüße aus Köln, and more words\n" * 200])
def test_a_wide_encoding_without_a_mark_is_refused_until_it_is_named(tmp_path: Path, text: str, encoding: str) -> None:
    path = written(tmp_path, text.encode(encoding))
    with pytest.raises(FormatError, match=f"a.txt: the zero bytes (.|\n)*-O encoding={encoding}, or -O encoding=utf-8"):
        opened(path)
    assert segments(opened(path, encoding=encoding))[0].source == (text.split("\n")[0],)
    path.write_text("a NUL \0 or two\0\0 are text\n")
    assert len(segments(opened(path))) == 1


def test_the_encoding_option_goes_before_bytes_that_look_like_a_mark(tmp_path: Path) -> None:
    document = opened(written(tmp_path, b"\xef\xbb\xbfabc\n"), encoding="latin-1")
    assert segments(document)[0].source == ("ï»¿abc",)


def test_an_unknown_unit_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line, paragraph"):
        opened(written(tmp_path, b""), unit="word")


def test_a_line_of_a_megabyte_and_many_blank_lines_pass(tmp_path: Path) -> None:
    path = written(tmp_path, b"x" * (1 << 20) + b"\n" * 20_000 + b"end")
    check_format(TxtFormat(), [path])
