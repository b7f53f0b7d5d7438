from __future__ import annotations

import pytest

from batchtrans_llama.prompt import PROMPT
from batchtrans_llama.stop import line_heads, token_classes, trim
from tiny_model import EOS, build_tokenizer

HEADS = line_heads(PROMPT, "English", "Spanish")


def test_the_heads_are_how_the_lines_of_the_prompt_begin() -> None:
    assert HEADS == ("Translate the following text from English to Spanish:", "English:", "Spanish:")


def test_a_head_too_short_to_be_told_from_text_is_none() -> None:
    assert line_heads("{source}\n=>", "English", "Spanish") == ()


@pytest.mark.parametrize(
    ("raw", "text", "cut"),
    [
        (" Abra el archivo.", "Abra el archivo.", False),
        (" Abra el archivo.\n", "Abra el archivo.", False),
        (" Abra.\nEnglish: Close.\nSpanish: Cierre.", "Abra.", True),
        (" Abra.\n\nTranslate the following text", "Abra.", True),
        ("\n\n Abra.", "Abra.", False),
        ("\nEnglish: Close.", "", True),
        ("\n\nTranslate the following text from English to Spanish:\nEnglish:", "", True),
        (" English: es un idioma.", "English: es un idioma.", False),
        (" Uno\u2028dos", "Uno", True),
        (" Uno\r\ndos", "Uno", True),
        ("", "", False),
        (" \n ", "", False),
        (" \ue000 archivos \ue001\nmore", "\ue000 archivos \ue001", True),
    ],
)
def test_a_text_is_cut_at_the_first_line_break_after_text(raw: str, text: str, cut: bool) -> None:
    assert trim(raw, HEADS) == (text, cut)


def test_token_classes_tell_line_breaks_and_blanks_by_the_text_of_a_token() -> None:
    tokenizer = build_tokenizer()
    breaks, blank = token_classes(tokenizer, len(tokenizer) + 3)

    def one(text: str) -> int:
        (number,) = tokenizer(text, add_special_tokens=False)["input_ids"]
        return number

    assert breaks[one("\n")] and blank[one("\n")]
    assert not breaks[one(" ")] and blank[one(" ")]
    assert breaks[one(":\n")] and not blank[one(":\n")]
    for text in ("a", "\ue000", EOS):
        assert not breaks[one(text)] and not blank[one(text)]
    assert breaks[-3:] == blank[-3:] == [False] * 3
