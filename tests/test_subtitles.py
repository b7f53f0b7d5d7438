"""SubRip subtitles, the worked example of a format plugin."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchtrans import CannotRender, Document, FormatError, OpenOptions, Segment, State
from batchtrans.testing import check_format, splice
from batchtrans_subtitles.srt import SrtFormat

DATA = Path(__file__).parent / "data" / "srt"
SAMPLES = Path(__file__).parent.parent / "samples"
CUE = "1\n00:00:01,000 --> 00:00:02,000\n"


def opened(path: Path, **values: str) -> Document:
    return SrtFormat().open(path, OpenOptions("en", "es", {name: (value,) for name, value in values.items()}))


def segments(document: Document) -> list[Segment]:
    return [piece for piece in document.pieces() if isinstance(piece, Segment)]


def written(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "a.srt"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("path", [*sorted(DATA.glob("*.srt")), SAMPLES / "input.srt"], ids=lambda path: path.name)
def test_laws_hold_on_real_files(path: Path) -> None:
    check_format(SrtFormat(), [path])


_LINE = st.text(st.sampled_from("abc.<>/ {}é- "), min_size=1, max_size=8).filter(
    lambda line: line.strip() and "-->" not in line
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.tuples(st.lists(_LINE, max_size=3), st.integers(1, 3)), max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_laws_hold_on_any_cues(cues: list[tuple[list[str], int]], newline: str, encoding: str) -> None:
    text = "".join(
        f"{number}\n00:00:0{number},000 --> 00:00:0{number},900\n"
        + "".join(f"{line}\n" for line in lines)
        + "\n" * blank
        for number, (lines, blank) in enumerate(cues, 1)
    ).replace("\n", newline)
    with tempfile.TemporaryDirectory() as directory:
        path = written(Path(directory), text, encoding)
        document = opened(path)
        assert [s.source[0] for s in segments(document)] == ["\n".join(lines) for lines, _ in cues if lines]
        assert splice(document, {}) == path.read_bytes()
        replaced = {s.id: (("X" + s.source[0] + "\nY",), State.DONE) for s in segments(document)}
        again = Path(directory) / "b.srt"
        again.write_bytes(splice(document, replaced))
        assert [s.source for s in segments(opened(again))] == [target for target, _ in replaced.values()]


def test_numbers_times_and_line_ends_stay_and_the_cue_changes() -> None:
    document = opened(DATA / "crlf.srt")
    first, second = segments(document)
    assert first.source == ("Two lines\nin one cue.",)
    assert second.source == ("<i>¿Qué?</i>",)
    content = (DATA / "crlf.srt").read_bytes()
    assert splice(document, {"1": (("Una\ny otra",), State.DONE)}) == content.replace(
        b"Two lines\r\nin one cue.", b"Una\r\ny otra"
    )


def test_repeated_numbers_and_empty_cues_are_forgiven() -> None:
    found = segments(opened(DATA / "loose.srt"))
    assert [(segment.id, segment.source[0]) for segment in found] == [
        ("1", "{\\an8}At the top"),
        ("3", "- You?\n- Me."),
    ]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("Hello\n", 1, "begins with its number"),
        ("1\nHello\n", 2, "times such as"),
        ("1\n", 1, "times such as"),
        ("1\n00:00:01,000 -> 00:00:02,000\nHello\n", 2, "times such as"),
        (CUE + "Hello\n\nand again\n", 5, "begins with its number"),
        (CUE + "Hello\n2\n00:00:03,000 --> 00:00:04,000\nYou\n", 5, "a blank line is missing"),
    ],
)
def test_a_malformed_cue_is_refused_with_its_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as caught:
        list(opened(written(tmp_path, text)).pieces())
    assert caught.value.line == line
    assert f"a.srt:{line}:" in str(caught.value)


@pytest.mark.parametrize("target", ["", "Hola\n\nadiós", "Hola\n", "\nHola", "a --> b", "Hola\rtú"])
def test_a_text_that_would_break_the_cue_is_refused(tmp_path: Path, target: str) -> None:
    document = opened(written(tmp_path, CUE + "Hello\n"))
    [segment] = segments(document)
    assert document.problem(segment, (target,))
    with pytest.raises(CannotRender):
        document.render(segment, (target,), State.DONE)


def test_other_encodings_are_named_by_an_option(tmp_path: Path) -> None:
    path = written(tmp_path, CUE + "Café\n", "cp1252")
    with pytest.raises(FormatError, match="byte 0xe9 is not utf-8"):
        list(opened(path).pieces())
    document = opened(path, encoding="cp1252")
    [segment] = segments(document)
    assert segment.source == ("Café",)
    assert document.problem(segment, ("日",))


def test_the_plugin_declares_its_format_and_it_is_there() -> None:
    import batchtrans_subtitles
    from batchtrans.plugins import resolve

    [declared] = batchtrans_subtitles.batchtrans_formats()
    assert declared.extensions == (".srt",)
    assert resolve(declared) is SrtFormat
