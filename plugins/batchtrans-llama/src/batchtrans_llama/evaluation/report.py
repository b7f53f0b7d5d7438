"""A comparison as one HTML page: no other file, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from .compare import Comparison


class Series(NamedTuple):
    """One line of a diagram."""

    label: str
    points: Sequence[tuple[float, float]]


class Curve(NamedTuple):
    """One diagram, such as the loss over the steps."""

    title: str
    x_label: str
    series: Sequence[Series]


class Example(NamedTuple):
    """One segment side by side: ``texts`` has what each system wrote, by its name."""

    source: str
    reference: str
    texts: Mapping[str, str]


class Verdict(Protocol):
    """What the gate says: ``accepted``, the ``word`` for it, and for each question whether it was passed."""

    @property
    def accepted(self) -> bool: ...

    @property
    def word(self) -> str: ...

    @property
    def reasons(self) -> Sequence[tuple[bool, str]]: ...


def write_report(
    path: Path,
    title: str,
    *,
    comparison: Comparison,
    curves: Sequence[Curve] = (),
    examples: Sequence[Example] = (),
    facts: Mapping[str, Mapping[str, object]] | None = None,
    verdict: Verdict | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the page to ``path``, whole or not at all. ``facts`` are further tables by their heading: counts of data
    and filters, the recipe, where it ran.
    """
    raise NotImplementedError
