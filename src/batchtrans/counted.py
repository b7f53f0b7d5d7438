"""A number in the place of the placeholder that shows it, while a plural form is translated.

``%d files`` tells a model nothing of the number; ``5 files`` makes it choose the form that Russian has for 5. In the
answer the number becomes the placeholder again.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from . import protect
from .languages import base_language
from .parts import Part
from .types import MASK_BASE

#: Placeholders that can show nothing but a whole number, and those that may show one.
_WHOLE = re.compile(
    r"%(?:\d+\$|\(\w+\)|<\w+>)?[-+ #0',]*\d*(?:(?:hh?|ll?|[jzqtL])?[diu]|<PRI[diu]\w+>)|%L?n|~[dD]"
    r"|\{\w*(?:,\s*number)?:d\}"
)
_PERHAPS = re.compile(r"%(?:\d+\$)?s|%\(\w+\)s|%L?\d+%?|[%$]?\{\w*\}|\{\{\s*\w+\s*\}\}|\{\w+,\s*number\}|\$\w+|~[aA]")
#: The words for one, which are articles too.
_ONE = {
    "ca": ("un", "una"),
    "de": ("ein", "eine", "einem", "einen", "einer", "eines"),
    "en": ("a", "an", "one"),
    "es": ("un", "una", "uno"),
    "fr": ("un", "une"),
    "gl": ("un", "unha"),
    "it": ("un", "una", "uno"),
    "pt": ("um", "uma"),
}
_ANY_ONE = frozenset(word for words in _ONE.values() for word in words)
_LETTERS = re.compile(r"[^\W\d_]+'?")


class Counted(NamedTuple):
    """A part's ``text`` with ``number`` instead of its placeholder, which is ``shown`` as its mask or as it is. The
    other masks are numbered anew; ``masks`` are their own numbers."""

    text: str
    number: str
    shown: str
    masks: tuple[int, ...]

    def restored(self, answer: str, language: str = "") -> str | None:
        """An answer in this language to the text as an answer to the part; ``None`` if the number does not stand there
        exactly once, nor as the only word for one."""
        found = _find(self.number, answer) or self._as_word(answer, language)
        if len(found) != 1:
            return None
        table = {MASK_BASE + new: chr(MASK_BASE + old) for new, old in enumerate(self.masks)}
        before, after = (side.translate(table) for side in (answer[: found[0].start()], answer[found[0].end() :]))
        return before + self.shown + after

    def _as_word(self, answer: str, language: str) -> list[re.Match[str]]:
        """Where the number 1 was written as a word; nowhere if that may be an article of the source."""
        words = _ONE.get(base_language(language), ())
        if self.number != "1" or not _ANY_ONE.isdisjoint(_LETTERS.findall(self.text.lower())):
            return []
        return [match for match in _LETTERS.finditer(answer) if match[0].lower() in words]


def with_number(part: Part, sample: int, masked: bool) -> Counted | None:
    """The part as it reads for so many, ``masked`` or with its other placeholders as they are; ``None`` where it is not
    clear which placeholder shows the number, or the same number stands in the text already."""
    whole = [place for place, text in enumerate(part.placeholders) if _WHOLE.fullmatch(text)]
    perhaps = [place for place, text in enumerate(part.placeholders) if _PERHAPS.fullmatch(text)]
    if len(places := whole or perhaps) != 1:
        return None
    (place,) = places
    text, masks = protect.renumber(part.text.replace(chr(MASK_BASE + place), str(sample)))
    if not masked:
        text, masks = protect.unmask(text, [part.placeholders[mask] for mask in masks]), []
    if len(_find(str(sample), text)) != 1:
        return None
    return Counted(text, str(sample), chr(MASK_BASE + place) if masked else part.placeholders[place], tuple(masks))


def _find(number: str, text: str) -> list[re.Match[str]]:
    """Where a number stands in a text, not as a part of another one."""
    return list(re.finditer(rf"(?<!\d)(?<!\d[.,]){number}(?!\d|[.,]\d)", text))
