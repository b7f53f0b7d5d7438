from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchtrans.segmentation import LONG_LINE, LONGEST_PART, split

SENTENCES = st.sampled_from(
    [
        "Dr. Smith paid $3.50 at 5 p.m.",
        " ",
        "\n",
        "\r\n",
        "See fig. 2 (p. 5).",
        "¿Qué? ",
        "...",
        "\t",
        "a" * 300,
        "No!  ",
    ]
)


@given(st.lists(st.one_of(SENTENCES, st.text(max_size=20)), max_size=40).map("".join))
def test_joined_parts_are_the_text(text: str) -> None:
    parts = split(text)
    assert "".join(parts) == text
    assert all(len(part) <= LONGEST_PART for part in parts)


def test_lines_are_parts_and_short_lines_stay_whole() -> None:
    assert split("I lost my last tray. What should I do?") == ["I lost my last tray. What should I do?"]
    assert split("one\n\ntwo\n") == ["one\n\n", "two\n"]


def test_a_long_line_is_cut_at_its_sentences() -> None:
    line = "Dr. Smith came at 5 p.m. yesterday, as he had promised. " * 6
    parts = split(line)
    assert len(line) > LONG_LINE
    assert [part.strip() for part in parts] == ["Dr. Smith came at 5 p.m. yesterday, as he had promised."] * 6


def test_a_sentence_without_end_is_cut_at_a_blank() -> None:
    parts = split("word " * 500)
    assert all(part.endswith("word ") for part in parts)
