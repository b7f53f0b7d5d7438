"""Placeholders, tags, addresses and edge blanks: found before translation, put back after it.

A *span* is a stretch of text that must come out unchanged. :func:`mask` puts one private-use character in the place
of each span, in order of appearance, so that a backend with mask tokens can move it but not change it.
:func:`unmask` puts the spans back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .types import MASK_BASE

#: How many masks there are; what a text has beyond them stays unmasked.
MOST_MASKS = 0xF8FF - MASK_BASE + 1
#: The private-use area that masks come from; such a character in a source is itself a span.
_PRIVATE_USE = "[\ue000-\uf8ff]"

_LENGTH = r"(?:hh|h|ll|l|L|q|j|z|t|I64|I32|I)?"
_TAG_ATTRIBUTE = r"""\s+[\w:.@-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'>]+))?"""

#: Directives by gettext flag. With the flag every directive of the syntax counts, ``% d`` and ``%%`` included.
_BY_FLAG = {
    "c-format": rf"%(?:\d+\$)?[-+ #0'I]*(?:\d+|\*(?:\d+\$)?)?(?:\.(?:\d+|\*(?:\d+\$)?)?)?"
    rf"(?:<[A-Za-z0-9]+>|{_LENGTH}[diouxXeEfFgGaAcspnCSm])|%%",
    "python-format": r"%(?:\([^)]*\))?[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*)?)?[hlL]?[diouxXeEfFgGcrsa]|%%",
    "python-brace-format": r"\{\{|\}\}|\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}",
}
#: A format of gettext's that is not parsed here: each word in which any of them could begin a directive, braces with
#: what they hold, is kept as it is.
_OTHER_FORMAT = r"(?<!\S)(?=\S*[%$~\\{}])(?:[^\s{}]|\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}|[{}])+"
#: What is taken for a placeholder where no flag says so: only shapes that prose does not have.
_UNFLAGGED = (
    (
        "printf",
        rf"(?<![\w%])%(?:\d+\$)?[-+#0]*\d*(?:\.\d+)?{_LENGTH}[diouxXfgGcsp@](?![\w%])|%\(\w+\)[-+#0\d.]*[dfgrsux]",
    ),
    ("brace", r"[%$#]?\{\{?\s*[A-Za-z_][\w.:-]*\s*\}?\}|\{\d*\}"),
)
_ALWAYS = (
    (
        "url",
        r"""(?:https?|ftp|file|git|ssh)://[^\s<>"'`«»“”]*[^\s<>"'`«»“”.,;:!?)\]}]|\bwww\.[\w-]+\.[\w./?=&%#-]*[\w/]""",
    ),
    ("email", r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"),
    ("tag", rf"</?[A-Za-z][\w:.-]*(?:{_TAG_ATTRIBUTE})*\s*/?>|<!--.*?-->|</?\d+\s*/?>"),
    ("entity", r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);"),
    ("mask", _PRIVATE_USE),
)


class Span(NamedTuple):
    """``text[start:end]`` must survive translation; ``kind`` is a gettext flag, or printf, brace, url, email, tag,
    entity, mask."""

    start: int
    end: int
    kind: str


class Masked(NamedTuple):
    """A text with masks in it, and what each of them stands for."""

    text: str
    placeholders: tuple[str, ...]


_compiled: dict[frozenset[str], re.Pattern[str]] = {}


def _pattern(flags: frozenset[str]) -> re.Pattern[str]:
    relevant = frozenset(flag for flag in flags if flag.removeprefix("no-") in _BY_FLAG or is_other_format(flag))
    if relevant not in _compiled:
        flagged = [(flag, _BY_FLAG[flag]) for flag in sorted(relevant) if flag in _BY_FLAG]
        other = [("other-format", _OTHER_FORMAT)] if any(map(is_other_format, relevant)) else []
        unflagged = () if relevant else _UNFLAGGED
        kinds = [*other, *_ALWAYS[:3], *flagged, *unflagged, *_ALWAYS[3:]]
        groups = (f"(?P<k{index}_{kind.replace('-', '_')}>{body})" for index, (kind, body) in enumerate(kinds))
        _compiled[relevant] = re.compile("|".join(groups), re.DOTALL)
    return _compiled[relevant]


def is_other_format(flag: str) -> bool:
    """Whether a flag names a format of gettext's whose syntax is not parsed here, such as ``qt-format``."""
    return (
        flag.endswith("-format") and not flag.startswith(("no-", "possible-", "impossible-")) and flag not in _BY_FLAG
    )


def find(text: str, flags: frozenset[str] = frozenset()) -> list[Span]:
    """The spans of ``text``, in order and disjoint.

    ``flags`` are gettext's. ``c-format``, ``python-format`` and ``python-brace-format`` are parsed; of any other format
    whole words are kept; without a format flag only unmistakable shapes count.
    """
    spans = []
    for match in _pattern(flags).finditer(text):
        group = match.lastgroup or ""
        spans.append(Span(match.start(), match.end(), group.partition("_")[2].replace("_", "-")))
    return spans


def mask(text: str, spans: Sequence[Span]) -> Masked:
    """Replace the spans by the masks ``chr(MASK_BASE)``, ``chr(MASK_BASE + 1)`` and so on, in order."""
    pieces: list[str] = []
    position = 0
    for index, span in enumerate(spans):
        pieces += (text[position : span.start], chr(MASK_BASE + index))
        position = span.end
    pieces.append(text[position:])
    return Masked("".join(pieces), tuple(text[span.start : span.end] for span in spans))


def unmask(text: str, placeholders: Sequence[str]) -> str:
    """Put the placeholders back. A mask that stands for nothing stays, for the judge to see."""
    if not placeholders:
        return text
    return text.translate({MASK_BASE + index: placeholder for index, placeholder in enumerate(placeholders)})


def masks_in(text: str) -> list[int]:
    """The numbers of the masks in ``text``, in order of appearance."""
    return [ord(character) - MASK_BASE for character in text if MASK_BASE <= ord(character) <= 0xF8FF]


def renumber(text: str) -> tuple[str, list[int]]:
    """Number the masks of ``text`` anew from 0, in order; also which old number each new one had."""
    old = masks_in(text)
    table = {MASK_BASE + number: chr(MASK_BASE + index) for index, number in enumerate(old)}
    return text.translate(table), old


def takes_argument(directive: str) -> bool:
    """Whether a percent directive stands for an argument; ``%%`` and ``%m``, the error message in C, do not."""
    return directive.startswith("%") and directive[-1] not in "%m"


def number_directives(placeholders: Sequence[str], order: Sequence[int]) -> list[str] | None:
    """C directives with argument numbers, so that they can stand in another order: ``%s`` becomes ``%2$s``.

    ``order`` is the order of the masks in the target. ``None`` where numbers are not possible (``*`` widths, some
    directives numbered already) or not needed.
    """
    arguments = [text for text in placeholders if takes_argument(text)]
    numbered = any(re.match(r"%\d+\$", text) for text in arguments)
    in_order = [n for n in order if n < len(placeholders) and placeholders[n] in arguments]
    if numbered or any("*" in text for text in arguments) or in_order == sorted(in_order):
        return None
    result, position = [], 0
    for text in placeholders:
        if text in arguments:
            position += 1
            text = f"%{position}${text[1:]}"
        result.append(text)
    return result


def edges(text: str) -> tuple[str, str, str]:
    """Leading blanks, the text between, trailing blanks; all in the last item's place empty for a blank text."""
    core = text.strip()
    if not core:
        return text, "", ""
    start = text.index(core)
    return text[:start], core, text[start + len(core) :]


def has_words(text: str, spans: Iterable[Span] = ()) -> bool:
    """Whether anything is left to translate: a letter outside the spans."""
    position = 0
    for span in spans:
        if any(map(str.isalpha, text[position : span.start])):
            return True
        position = span.end
    return any(map(str.isalpha, text[position:]))


_CODE_LIKE = re.compile(r"(?=\S*[_\\/@#=]|\S*\d\S*[A-Z.:-]|\S*[A-Z.:-]\S*\d|\S*[a-z][A-Z])\S+")


def is_code_like(text: str) -> bool:
    """Whether a whole text is one word that names a thing: ``SKU-1042``, ``max_size``, ``/usr/bin``, ``readLine``.

    A slash alone does not make a code of two plain words (``and/or``).
    """
    return bool(_CODE_LIKE.fullmatch(text)) and not re.fullmatch(r"[^\W\d_]+/[^\W\d_]+", text)
