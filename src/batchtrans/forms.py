"""Which source text each plural form of a segment translates."""

from __future__ import annotations

from collections import Counter

from .checks import may_leave_out
from .protect import find
from .types import Document, Segment


def form_sources(segment: Segment, document: Document) -> tuple[str, ...]:
    """One source per form of the target: the text itself, or for a plural entry singular or plural text by form.

    The singular goes to the form that the number 1 selects, if that form may do without the number or the two texts
    have the same placeholders: ``One file`` under a form that 21 selects too would lose the 21, and Python refuses a
    text that leaves out an unnamed argument.
    """
    if len(segment.source) == 1:
        return segment.source
    singular, plural = segment.source
    alike = _placeholders(singular, segment.flags) == _placeholders(plural, segment.flags)
    return tuple(
        singular if sample == 1 and (alike or (relaxed and may_leave_out(plural, segment.flags))) else plural
        for sample, relaxed in zip(document.plural_samples, document.plural_relaxed, strict=True)
    )


def _placeholders(text: str, flags: frozenset[str]) -> Counter[str]:
    return Counter(text[span.start : span.end] for span in find(text, flags))
