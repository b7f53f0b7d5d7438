"""How a text is cut into the parts that a model is asked for, and how their answers become a text again.

Placeholders are masked first, so that no cut falls inside one; then the text is cut into lines, sentences and columns,
and each part loses its blanks at the edges and its line breaks. Translating and evaluating both come here, so that a
model is measured on what it will be asked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import combinations, pairwise
from typing import NamedTuple

from . import protect, segmentation, syntaxes
from .placeholders import compare_placeholders, compare_strictly, listed
from .syntaxes.prose import MENU_PATH, SIGNS
from .types import MASK_BASE, Constraint

#: Of more placeholders it is not tried out which of them may change places.
_MOST_TRIED = 12
#: What parts columns: a tab with the white space behind it, or three blanks, which are not a line's indentation.
_GAP = re.compile(r"\t\s*|(?<=\S) {3,}(?=\S)")
#: Masks of options at the beginning of a column, before the name of their value (``-d DIRECTORY``), which a model puts
#: first.
_OPTION = re.compile(r"(?:[\ue000-\uf8ff],? )+(?=[A-Z]{2})")
#: What parts the items of a list, and what an item is: a few plain words; in the path of a menu, a label, whose access
#: key stays where it stands before it.
_SEPARATORS = ";|"
_ITEM = re.compile(r"[^\W_](?:[^\W_]|[ .+'’&-])*")
_MENU_SIGN = "/[_&]?"
_MENU_WORDS = 5
_QUOTES = {"java-format": "'", "icu-message-format": "'#"}


class Part(NamedTuple):
    """One part of a text. ``source`` is its text with all white space; ``core`` is that on one line without blanks at
    the edges (a tag alone may still hold a line break), ``text`` is the core masked, and ``wrapped`` is the core before
    its lines were joined. ``copied`` says that it is its own translation."""

    source: str
    text: str
    placeholders: tuple[str, ...]
    lead: str
    core: str
    trail: str
    wrapped: str
    copied: bool

    def sent(self, masks: int) -> str:
        """The part as a backend wants it that carries so many masks: masked, or as it is where they are too few."""
        return self.text if len(self.placeholders) <= masks else self.core

    def has_masks_of(self, answer: str) -> bool:
        """Whether an answer to ``text`` holds each mask exactly once."""
        return sorted(protect.masks_in(answer)) == list(range(len(self.placeholders)))

    def difference(self, answer: str) -> str:
        """Which placeholders an answer to ``text`` does not hold exactly once, in words."""
        found = Counter(protect.masks_in(answer))
        wanted = Counter(range(len(self.placeholders)))
        lost = [self.placeholders[number] for number in sorted((wanted - found).elements())]
        more = [self.placeholders[number] for number in sorted((found - wanted).elements()) if number in wanted]
        said = [f"lacks {listed(lost)}"] if lost else []
        said += [f"has {listed(more)} too often"] if more else []
        return f"the translation {' and '.join(said) or 'adds placeholders that the source does not have'}"

    def unmask(self, answer: str, flags: frozenset[str], whole: bool) -> str:
        """An answer to ``text`` with the placeholders in it. Directives that changed places get argument numbers,
        unless the part is not the ``whole`` text: the numbers would count from its first directive."""
        if whole and self.has_masks_of(answer):
            numbered = protect.number_directives(self.core, flags, protect.masks_in(answer), self._spans())
            return protect.unmask(answer, numbered or self.placeholders)
        return protect.unmask(answer, self.placeholders)

    def _spans(self) -> list[protect.Span]:
        """Where the placeholders stand in the core."""
        spans, shift = [], 0
        for place, character in enumerate(self.text):
            if "\ue000" <= character <= "\uf8ff":
                number = ord(character) - MASK_BASE
                length = len(self.placeholders[number])
                spans.append(protect.Span(place + shift, place + shift + length, ""))
                shift += length - 1
        return spans

    def constraint(self, flags: frozenset[str], whole: bool) -> Constraint:
        """What an answer to ``text`` has to obey so that its placeholders are right, found out by trying: which of them
        must stay before which, or apart from words; and the characters of placeholders that the text itself has not."""
        signs = SIGNS + "\t" + "".join(_QUOTES.get(flag, "") for flag in syntaxes.chosen(self.core, flags))
        without = "".join(sign for sign in signs if sign not in self.text)
        masks = [chr(MASK_BASE + number) for number in range(len(self.placeholders))]
        spans = protect.find(self.core, flags)

        def right(changes: dict[str, str]) -> bool:
            answer = "".join(changes.get(character, character) for character in self.text)
            text = self.unmask(answer, flags, whole)
            if self.is_misplaced(answer, text, flags):
                return False
            if any(compare_strictly(self.core, text, flags)):
                return False
            return not any(compare_placeholders(spans, self.core, protect.find(text, flags), text))

        return Constraint(_order(masks, right), without, _apart(masks, right))

    def is_misplaced(self, answer: str, text: str, flags: frozenset[str]) -> bool:
        """Whether placeholders of ``text``, which ``answer`` became, show other arguments than in the source."""
        found = {span.start for span in protect.find(self.core, flags)}
        directives = [number for number, span in enumerate(self._spans()) if span.start in found]
        if len(directives) < len(found):  # a term begins before one and holds it
            return False
        order = [directives.index(number) for number in protect.masks_in(answer) if number in directives]
        return protect.shows_other_arguments(self.core, text, flags, order)

    def put_back(self, answer: str) -> str:
        """The unmasked one-line answer with the part's line breaks and edge blanks."""
        return self.lead + segmentation.rewrap(self.wrapped, answer) + self.trail


_Right = Callable[[dict[str, str]], bool]


def _order(masks: list[str], right: _Right) -> tuple[tuple[int, int], ...]:
    """The pairs of masks of which the first must come before the second: the text is not right with them exchanged."""
    if len(masks) > _MOST_TRIED:
        return tuple((number, number + 1) for number in range(len(masks) - 1))
    pairs = combinations(range(len(masks)), 2)
    return tuple((a, b) for a, b in pairs if not right({masks[a]: masks[b], masks[b]: masks[a]}))


def _apart(masks: list[str], right: _Right) -> tuple[tuple[int, int], ...]:
    """See :class:`Constraint`; a letter, a digit and a mark are put beside each mask."""
    if all(right({mask: sign + mask + sign for mask in masks}) for sign in "x5"):
        return ()

    def level(before: bool, mask: str) -> int:
        signs = "x5(" if before else "x5."
        passes = [right({mask: sign + mask if before else mask + sign}) for sign in signs]
        return 0 if all(passes) else 1 if passes[2] else 2

    return tuple((level(True, mask), level(False, mask)) for mask in masks)


#: Where in a text stand further stretches that must not change: terms of a glossary.
Staying = Callable[[str], Iterable[tuple[int, int]]]


def cut(source: str, flags: frozenset[str], language: str, staying: Staying | None = None) -> list[Part]:
    """The parts of a text in ``language``; the joined ``source`` of all parts is the text."""
    masked = protect.mask(source, _masked_spans(source, flags, staying)[: protect.MOST_MASKS])
    parts = []
    passages = segmentation.split(masked.text, language)
    for piece in (item for passage in passages for cell in _cells(passage) for item in _items(cell)):
        text, numbers = protect.renumber(piece)
        placeholders = tuple(masked.placeholders[number] for number in numbers)
        lead, wrapped, trail = protect.edges(text)
        text = segmentation.unwrap(wrapped)
        core = protect.unmask(text, placeholders)
        wrapped = protect.unmask(wrapped, placeholders)
        copied = is_copy(core, flags, staying)
        parts.append(Part(lead + wrapped + trail, text, placeholders, lead, core, trail, wrapped, copied))
    return parts


def _cells(text: str) -> list[str]:
    """The text cut behind the tabs and the runs of blanks within it: what they part are columns, such as an option and
    what it does, not words of one sentence. An option is parted from its value."""
    if "\t" not in text and "   " not in text:
        return [text]
    lead, core, trail = protect.edges(text)
    ends = [match.end() for match in _GAP.finditer(core)]
    if ends and (option := _OPTION.match(core, 0, ends[0])):
        ends.insert(0, option.end())
    return _between(lead, [core[start:end] for start, end in pairwise((0, *ends, len(core)))], trail)


def _items(text: str) -> list[str]:
    """The items of a list of three or more and, by themselves, what parts them: the words by which a program is found
    (``Audio;Song;Playlist;``) have nothing to do with each other, and a model loses the signs. In a sentence a blank
    stands behind a semicolon. The path of a menu (``/Help/About``) is a list of labels."""
    if not any(sign in text for sign in _SEPARATORS + "/"):
        return [text]
    lead, core, trail = protect.edges(text)
    for sign in _SEPARATORS:
        items = core.removesuffix(sign).split(sign)
        if len(items) > 2 and all(_ITEM.fullmatch(item) and item[-1] != " " for item in items):
            return _between(lead, _parted(core, f"[{sign}]"), trail)
    if MENU_PATH.match(core) and all(len(item.split()) <= _MENU_WORDS for item in core.split("/")):
        return _between(lead, _parted(core, _MENU_SIGN), trail)
    return [text]


def _parted(text: str, sign: str) -> list[str]:
    """What stands between the signs of a text, and the signs."""
    return [piece for piece in re.split(f"({sign})", text) if piece]


def _between(lead: str, pieces: list[str], trail: str) -> list[str]:
    """The pieces of a text's core with the edges of the text at the first and the last one."""
    pieces[0] = lead + pieces[0]
    pieces[-1] += trail
    return pieces


def is_copy(text: str, flags: frozenset[str], staying: Staying | None = None) -> bool:
    """Whether a text is its own translation: no words outside placeholders, or one word of code, maybe with tags. A
    list of words (``Song;MP3;``) is no code, though it has no blank."""
    spans = _masked_spans(text, flags, staying)
    if not protect.has_words(text, spans):
        return True
    for span in reversed(spans):
        if span.kind == "tag":
            text = text[: span.start] + text[span.end :]
    return protect.is_code_like(text.strip()) and len(_items(text)) == 1


def _masked_spans(text: str, flags: frozenset[str], staying: Staying | None) -> list[protect.Span]:
    spans = protect.find(text, flags)
    if staying is not None and (terms := [protect.Span(start, end, "term") for start, end in staying(text)]):
        return protect.disjoint([*spans, *terms])
    return spans
