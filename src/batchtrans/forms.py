"""Which source text each plural form of a segment translates."""

from __future__ import annotations

from collections.abc import Sequence

from .checks import judge_form
from .placeholders import compare_placeholders
from .protect import find
from .types import Document, Segment


def form_sources(segment: Segment, document: Document) -> tuple[str, ...]:
    """One source per form of the target: the text itself, or for a plural entry singular or plural text by form.

    The singular goes to the form that the number 1 selects, if it may stand for the plural there: ``One file`` under a
    form that 21 selects too would lose the 21, and Python refuses a text that leaves out an unnamed argument.
    """
    if len(segment.source) == 1:
        return segment.source
    singular, plural = segment.source
    return tuple(
        singular if sample == 1 and _fits(singular, plural, segment.flags, relaxed) else plural
        for sample, relaxed in zip(document.plural_samples, document.relaxed(segment), strict=True)
    )


def form_samples(segment: Segment, document: Document, sources: Sequence[str]) -> tuple[int, ...]:
    """For each form of a plural entry the number to translate it with: where its source is the plural text, one that is
    not 1, if there is one (``101 files``)."""
    several = document.plural_several or document.plural_samples
    pairs = zip(document.plural_samples, several, sources, strict=True)
    return tuple(many if source == segment.source[1] else sample for sample, many, source in pairs)


def _fits(singular: str, plural: str, flags: frozenset[str], relaxed: bool) -> bool:
    problems = (
        judge_form(plural, singular, flags, relaxed)
        if relaxed
        else compare_placeholders(find(plural, flags), plural, find(singular, flags), singular)
    )
    return not any(problems)
