from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchtrans.segmentation import LONG_TEXT, LONGEST_PART, rewrap, split, unwrap

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
    assert len(line) > LONG_TEXT
    assert [part.strip() for part in parts] == ["Dr. Smith came at 5 p.m. yesterday, as he had promised."] * 6


def test_a_sentence_without_end_is_cut_at_a_blank() -> None:
    parts = split("word " * 500)
    assert all(part.endswith("word ") for part in parts)


def test_a_wrapped_sentence_is_one_part() -> None:
    assert split("I think they left\nbefore the storm began.") == ["I think they left\nbefore the storm began."]
    assert split("  it goes on and\n  on like this\n\nand stops") == [
        "  it goes on and\n  on like this\n\n",
        "and stops",
    ]


def test_a_blank_line_parts_texts_whatever_their_words() -> None:
    text = "Usage: foo [options] command\n\nfoo is a tool for lists\r\n\r\nof all the kinds\n"
    assert [part.strip() for part in split(text)] == [
        "Usage: foo [options] command",
        "foo is a tool for lists",
        "of all the kinds",
    ]


def test_two_blanks_behind_a_sentence_are_no_column() -> None:
    text = "We speak of freedom, not\nprice.  The licenses make sure that you\nhave the freedom to copy.\n"
    assert split(text) == [text]
    columns = "the name of it.   first\nsecond and so on and on\n"
    assert split(columns) == columns.splitlines(keepends=True)


def test_lists_columns_and_ended_sentences_do_not_wrap() -> None:
    for text in (
        "open\nclose\n",
        "It is over now.\nthat is all",
        "-f  force it, do so\nand more of it",
        "One two three four\nFive",
    ):
        assert len(split(text)) == 2
    assert len(split("one two three four\n  five six")) == 2


def test_a_long_wrapped_passage_is_cut_at_its_sentences_alone() -> None:
    passage = "Dr. Smith came at 5 p.m. yesterday, as he\nhad promised to do. " * 6
    parts = split(passage)
    assert "".join(parts) == passage
    assert len(parts) == 6 and all("\n" in part for part in parts)


def test_a_translation_is_broken_where_its_source_is() -> None:
    assert unwrap("I think they left  \n  before the storm") == "I think they left before the storm"
    assert rewrap("I think they left\nbefore the storm", "Creo que se fueron antes de la tormenta") == (
        "Creo que se fueron\nantes de la tormenta"
    )
    assert rewrap("a b\nc d\ne f", "uno") == "uno"
    assert rewrap("one line", "una sola línea") == "una sola línea"


@given(st.text("ab \n", max_size=30).map(str.strip), st.text("ab ", max_size=30).map(str.strip))
def test_rewrapping_moves_nothing_but_blanks(source: str, target: str) -> None:
    wrapped = rewrap(source, target)
    assert wrapped.split() == target.split()
    assert wrapped.count("\n") <= source.count("\n")
