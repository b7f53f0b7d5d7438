"""How a text is cut into the parts that a model is asked for, and how their answers become a text again.

Placeholders are masked first, so that no cut falls inside one; then the text is cut into lines and sentences, and
each part loses its blanks at the edges and its line breaks. Translating and evaluating both come here, so that a
model is measured on what it will be asked.
"""

from __future__ import annotations

from typing import NamedTuple

from . import protect, segmentation


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

    def unmask(self, answer: str, flags: frozenset[str], whole: bool) -> str:
        """An answer to ``text`` with the placeholders in it. Directives that changed places get argument numbers,
        unless the part is not the ``whole`` text: the numbers would count from its first directive."""
        if whole and self.has_masks_of(answer):
            numbered = protect.number_directives(self.core, flags, protect.masks_in(answer))
            return protect.unmask(answer, numbered or self.placeholders)
        return protect.unmask(answer, self.placeholders)

    def put_back(self, answer: str) -> str:
        """The unmasked one-line answer with the part's line breaks and edge blanks."""
        return self.lead + segmentation.rewrap(self.wrapped, answer) + self.trail


def cut(source: str, flags: frozenset[str], language: str) -> list[Part]:
    """The parts of a text in ``language``; the joined ``source`` of all parts is the text."""
    masked = protect.mask(source, protect.find(source, flags)[: protect.MOST_MASKS])
    parts = []
    for piece in segmentation.split(masked.text, language):
        text, numbers = protect.renumber(piece)
        placeholders = tuple(masked.placeholders[number] for number in numbers)
        lead, wrapped, trail = protect.edges(text)
        text = segmentation.unwrap(wrapped)
        core = protect.unmask(text, placeholders)
        wrapped = protect.unmask(wrapped, placeholders)
        copied = is_copy(core, flags)
        parts.append(Part(lead + wrapped + trail, text, placeholders, lead, core, trail, wrapped, copied))
    return parts


def is_copy(text: str, flags: frozenset[str]) -> bool:
    """Whether a text is its own translation: no words outside placeholders, or one word of code."""
    return not protect.has_words(text, protect.find(text, flags)) or protect.is_code_like(text.strip())
