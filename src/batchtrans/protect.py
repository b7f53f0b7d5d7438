"""Placeholders, tags, addresses and edge blanks: found before translation, put back after it.

A *span* is a stretch of text that must come out unchanged. :func:`mask` puts one private-use character in the place
of each span, in order of appearance, so that a backend with mask tokens can move it but not change it.
:func:`unmask` puts the spans back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from . import syntaxes
from .syntaxes import prose
from .types import MASK_BASE

#: How many masks there are; what a text has beyond them stays unmasked.
MOST_MASKS = 0xF8FF - MASK_BASE + 1
_MASK = re.compile(f"[{chr(MASK_BASE)}-\uf8ff]")


class Span(NamedTuple):
    """``text[start:end]`` must survive translation; ``kind`` is the flag of a syntax, or one of :mod:`.syntaxes.prose`:
    url, email, tag, code, role, link, printf, brace, linked, pipe, variable, entity, path, option, escape, mask."""

    start: int
    end: int
    kind: str


class Masked(NamedTuple):
    """A text with masks in it, and what each of them stands for."""

    text: str
    placeholders: tuple[str, ...]


def find(text: str, flags: frozenset[str] = frozenset()) -> list[Span]:
    """The spans of ``text``, in order and disjoint; where two overlap they are one, of the first one's kind.

    ``flags`` are gettext's and choose the syntaxes, see :mod:`.syntaxes`; without any only unmistakable shapes count.
    """
    if not flags and not prose.SIGNAL.search(text):
        return []
    return list(_found(text, flags))


@lru_cache(maxsize=256)  # a text is looked at when it is copied, masked, numbered and judged
def _found(text: str, flags: frozenset[str]) -> tuple[Span, ...]:
    formats = syntaxes.chosen(text, flags)
    declared = bool(formats) or any(flag.endswith("-format") for flag in flags)
    spans = [Span(*found) for found in prose.find(text, declared)]
    if formats:
        spans += [
            Span(directive.start, directive.end, flag)
            for flag in formats
            for directive in syntaxes.parse(text, flag).directives
        ]
        spans = disjoint(spans)
    return tuple(spans)


def disjoint(spans: Iterable[Span]) -> list[Span]:
    """The spans in order; where two overlap they are one, of the first one's kind."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if joined and span.start < joined[-1].end:
            joined[-1] = joined[-1]._replace(end=max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def mask(text: str, spans: Sequence[Span]) -> Masked:
    """Replace the spans by the masks ``chr(MASK_BASE)``, ``chr(MASK_BASE + 1)`` and so on, in order."""
    if not spans:
        return Masked(text, ())
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
    return [] if text.isascii() else [ord(mask) - MASK_BASE for mask in _MASK.findall(text)]


def renumber(text: str) -> tuple[str, list[int]]:
    """Number the masks of ``text`` anew from 0, in order; also which old number each new one had."""
    if not (old := masks_in(text)):
        return text, old
    table = {MASK_BASE + number: chr(MASK_BASE + index) for index, number in enumerate(old)}
    return text.translate(table), old


def number_directives(
    text: str, flags: frozenset[str], order: Sequence[int], spans: Sequence[Span] | None = None
) -> list[str] | None:
    """The placeholders of ``text`` with the numbers of their arguments, so that they can stand in another order: ``%s``
    becomes ``%2$s``.

    ``order`` is the order of their masks in the target, and ``spans`` are those that were masked, if they are others
    than :func:`find` gives. ``None`` where numbers are not needed, or not possible.
    """
    spans = find(text, flags) if spans is None else spans
    for flag in syntaxes.chosen(text, flags):
        number = syntaxes.syntax(flag).number
        if number is None or len(order) != len(spans):
            continue
        directives = [d for d in syntaxes.parse(text, flag).directives if d.position is not None]
        held = [[d for d in directives if span.start <= d.start < span.end] for span in spans]
        positions = [d.position or 0 for place in order for d in held[place]]
        if positions == sorted(positions):
            return None
        written = [_rewritten(text, span, inside, number) for span, inside in zip(spans, held, strict=True)]
        placeholders = [placeholder for placeholder in written if placeholder is not None]
        return placeholders if len(placeholders) == len(spans) else None
    return None


def shows_other_arguments(text: str, target: str, flags: frozenset[str], order: Sequence[int]) -> bool:
    """Whether a directive that changed its place in ``target`` shows another argument there than in ``text``, as ``%s``
    does where it cannot have a number. ``order`` is as for :func:`number_directives`."""
    spans, moved = find(text, flags), find(target, flags)
    if len(moved) != len(spans):
        return False  # then more is wrong with it
    for flag in syntaxes.chosen(text, flags):
        ours, theirs = _shown(text, spans, flag), _shown(target, moved, flag)
        in_order = syntaxes.parse(text, flag).shape is not None  # Lisp's take what is next, and may skip some
        expected = sorted(order) if in_order else order
        if [ours[place] for place in expected] != theirs or (in_order and list(order) != expected):
            return True
    return False


def _shown(text: str, spans: Sequence[Span], flag: str) -> list[list[object]]:
    """For each span the arguments that its directives show."""
    shown: list[list[object]] = [[] for _ in spans]
    anonymous = 0
    for directive in syntaxes.parse(text, flag).directives:
        place = next(index for index, span in enumerate(spans) if span.start <= directive.start < span.end)
        for argument in directive.arguments:
            counted = str(argument.key)[:2] in ("{}", "{!", "{:")  # by Python itself
            anonymous += counted
            shown[place].append((argument.key, anonymous if counted else 0))
    return shown


def _rewritten(text: str, span: Span, directives: Sequence[syntaxes.Directive], number: syntaxes.Number) -> str | None:
    """``text[span.start : span.end]`` with these directives numbered, if they can be."""
    pieces: list[str] = []
    position = span.start
    for directive in directives:
        numbered = number(text[directive.start : directive.end], directive.arguments)
        if numbered is None:
            return None
        pieces += (text[position : directive.start], numbered)
        position = directive.end
    return "".join(pieces) + text[position : span.end]


#: Bullets, arrows, marks, notes and pictures, which a model takes for others of their kind.
_SYMBOLS_FIRST = re.compile("\\A(?:[•←-⇿⌀-⏿■-➿⬀-⯿\ufe0f\U0001f000-\U0001faff]+\\s+)+")


def edges(text: str) -> tuple[str, str, str]:
    """Leading blanks, the text between, trailing blanks; all in the last item's place empty for a blank text. Symbols
    that stand by themselves at an edge (``♪ `` before a line of a song) belong to its blanks."""
    core = text.strip()
    if not core:
        return text, "", ""
    start = text.index(core)
    if not core.isascii():
        rest = _SYMBOLS_FIRST.sub("", core)
        start += len(core) - len(rest)
        core = _SYMBOLS_FIRST.sub("", rest[::-1])[::-1]
    return text[:start], core, text[start + len(core) :]


#: What stands for the translators' names, as text or context: GNOME's, KDE's.
_CREDITS = frozenset({"translator-credits", "translator_credits", "NAME OF TRANSLATORS", "EMAIL OF TRANSLATORS"})


def asks_for_translators(text: str, context: str) -> bool:
    """Whether a catalogue has the translators' names, or their addresses, in the place of this text's translation."""
    return text in _CREDITS or context in _CREDITS


def has_words(text: str, spans: Iterable[Span] = ()) -> bool:
    """Whether anything is left to translate: a letter outside the spans."""
    position = 0
    for span in spans:
        if any(map(str.isalpha, text[position : span.start])):
            return True
        position = span.end
    return any(map(str.isalpha, text[position:]))


#: Two looks for what may stand in either order: one look for each order would take quadratic time.
_CODE_LIKE = re.compile(r"(?:(?=\S*[_\\/@#=]|\S*[a-z][A-Z])|(?=\S*\d)(?=\S*[A-Z.:-]))\S+")
_TWO_WORDS = re.compile(r"[^\W\d_]+/[^\W\d_]+(?:[.:?!…]|\.\.\.)?")


def is_code_like(text: str) -> bool:
    """Whether a whole text is one word that names a thing: ``SKU-1042``, ``max_size``, ``/usr/bin``, ``readLine``.

    A slash alone does not make a code of two plain words (``and/or``, ``State/Province:``), nor of the path of a menu
    (``/Help/About``, ``/_Buddies``).
    """
    return bool(_CODE_LIKE.fullmatch(text)) and not _TWO_WORDS.fullmatch(text) and not prose.MENU_PATH.match(text)
