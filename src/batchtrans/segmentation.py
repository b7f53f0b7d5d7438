"""Long texts in parts, wrapped lines made whole; the joined parts are the text.

A translation model is trained on sentences and short paragraphs, and its context is finite. So each line is a text of
its own, unless it only wraps: then it goes with the next one, and :func:`rewrap` breaks the translation again. A long
text is cut into sentences (pysbd), and a sentence beyond all bounds is cut at a blank.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from .languages import base_language

#: A text up to this many characters stays whole: its sentences help each other.
LONG_TEXT = 240
#: No part is longer than this; about 400 tokens of English, well inside a context of 1,024 with its translation.
LONGEST_PART = 1_000
#: A line of fewer words is rather an item of a list than the beginning of a wrapped sentence.
WRAPPED_WORDS = 4

#: pysbd's time grows with the square of the length; it is given no more than this at once.
_SEGMENTER_BOUND = 4_000

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)+|[^\r\n]+")
_BREAK = re.compile(r"[^\S\r\n]*(?:\r\n|\n|\r)\s*")
_CUT = re.compile(r"[;:,)]?\s+")
_ENDED = re.compile(r"[.!?:;…][\"'»”)]*$")
#: Blanks between columns; two behind the end of a sentence are a habit of typists.
_COLUMNS = re.compile(r"""(?<![.!?:"')\]]) {2}""")
_ONE_END = re.compile(r"(?<![\r\n])(?:\r\n|\n|\r)\Z")


def split(text: str, language: str = "en") -> list[str]:
    """Cut ``text`` into parts, each with the white space that follows it; ``"".join(parts) == text``."""
    parts: list[str] = []
    for passage in _passages(text):
        sentences = [passage] if len(passage) <= LONG_TEXT else _sentences(passage, language)
        for sentence in sentences:
            parts.extend(_bounded(sentence))
    return parts


def _passages(text: str) -> list[str]:
    """Lines, the wrapped ones together."""
    passages: list[str] = []
    last = ""
    for line in _LINE.findall(text):
        if passages and _wraps(last, line):
            passages[-1] += line
        else:
            passages.append(line)
        last = line
    return passages


def _wraps(line: str, following: str) -> bool:
    """Whether a sentence goes on from one line to the next: it has not ended, the next line begins small, and both
    look like prose in one column."""
    body, rest = line.strip(), following.strip()
    return (
        bool(_ONE_END.search(line))
        and len(body.split()) >= WRAPPED_WORDS
        and not _ENDED.search(body)
        and rest[:1].islower()
        and not _COLUMNS.search(body)
        and not _COLUMNS.search(rest)
        and _indent(line) == _indent(following)
    )


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _sentences(passage: str, language: str) -> list[str]:
    if len(passage) > _SEGMENTER_BOUND:
        return [sentence for piece in _bounded(passage, _SEGMENTER_BOUND) for sentence in _sentences(piece, language)]
    flat = re.sub(r"\s", " ", passage)  # a line end is no sentence end here; one blank for one keeps the places
    sentences = [str(sentence) for sentence in _segmenter(language).segment(flat)]
    joined = "".join(sentences)
    if sentences and flat.startswith(joined):
        sentences[-1] += flat[len(joined) :]
    # pysbd drops or moves characters in rare texts; such a passage is better left whole than damaged.
    if "".join(sentences) != flat:
        return [passage]
    cuts, position = [], 0
    for sentence in sentences:
        cuts.append(passage[position : position + len(sentence)])
        position += len(sentence)
    return cuts


@cache
def _segmenter(language: str) -> Any:
    import pysbd
    from pysbd.languages import LANGUAGE_CODES

    base = base_language(language)
    return pysbd.Segmenter(language=base if base in LANGUAGE_CODES else "en", clean=False)


def _bounded(text: str, longest: int = LONGEST_PART) -> list[str]:
    """Cut a text at blanks, if there are any, so that no piece is longer than ``longest``."""
    pieces, start = [], 0
    while len(text) - start > longest:
        cuts = [match.end() for match in _CUT.finditer(text, start + longest // 2, start + longest)]
        end = cuts[-1] if cuts else start + longest
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]] if start < len(text) else pieces


def unwrap(text: str) -> str:
    """The text on one line: each line break, with the blanks around it, becomes one blank."""
    return _BREAK.sub(" ", text)


def rewrap(source: str, target: str) -> str:
    """Break ``target``, one line, where ``source`` is broken: at the blanks nearest to the same share of its length.

    A target with fewer blanks than the source has breaks gets as many breaks as it has blanks.
    """
    breaks = list(_BREAK.finditer(source))
    if not breaks:
        return target
    blanks = [match.span() for match in re.finditer(" +", target)]
    pieces: list[str] = []
    position = first = 0
    for index, found in enumerate(breaks):
        left = len(breaks) - index - 1  # blanks to keep for the breaks that follow
        candidates = range(first, len(blanks) - left)
        if not candidates:
            break
        wanted = found.start() / len(source) * len(target)
        chosen = min(candidates, key=lambda number: abs(blanks[number][0] - wanted))
        start, end = blanks[chosen]
        pieces += (target[position:start], found.group())
        position, first = end, chosen + 1
    return "".join((*pieces, target[position:]))
