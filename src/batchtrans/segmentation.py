"""Long texts in parts: lines, then sentences; the joined parts are the text.

A translation model is trained on sentences and short paragraphs, and its context is finite. So each line is a text of
its own, a long line is cut into sentences (pysbd), and a sentence beyond all bounds is cut at a blank.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

#: A line up to this many characters stays whole: its sentences help each other.
LONG_LINE = 240
#: No part is longer than this; about 400 tokens of English, well inside a context of 1,024 with its translation.
LONGEST_PART = 1_000

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)+|[^\r\n]+")
_CUT = re.compile(r"[;:,)]?\s+")


def split(text: str, language: str = "en") -> list[str]:
    """Cut ``text`` into parts, each with the white space that follows it; ``"".join(parts) == text``."""
    parts: list[str] = []
    for line in _LINE.findall(text):
        sentences = [line] if len(line) <= LONG_LINE else _sentences(line, language)
        for sentence in sentences:
            parts.extend(_bounded(sentence))
    return parts


def _sentences(line: str, language: str) -> list[str]:
    # pysbd drops or moves characters in rare texts; such a line is better left whole than damaged.
    sentences = [str(sentence) for sentence in _segmenter(language).segment(line)]
    joined = "".join(sentences)
    if line.startswith(joined):
        sentences[-1:] = [sentences[-1] + line[len(joined) :]] if sentences else [line]
    return sentences if "".join(sentences) == line else [line]


@cache
def _segmenter(language: str) -> Any:
    import pysbd
    from pysbd.languages import LANGUAGE_CODES

    base = language.replace("_", "-").split("-")[0].lower()
    return pysbd.Segmenter(language=base if base in LANGUAGE_CODES else "en", clean=False)


def _bounded(text: str) -> list[str]:
    parts = []
    while len(text) > LONGEST_PART:
        cuts = [match.end() for match in _CUT.finditer(text, LONGEST_PART // 2, LONGEST_PART)]
        cut = cuts[-1] if cuts else LONGEST_PART
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text] if text else parts
