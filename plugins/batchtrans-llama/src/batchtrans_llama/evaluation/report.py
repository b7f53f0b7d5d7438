"""A comparison as one HTML page: no other file, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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


class Criterion(NamedTuple):
    """One condition of a verdict, whether it holds, and the numbers."""

    name: str
    passed: bool
    detail: str


class Verdict(NamedTuple):
    accepted: bool
    headline: str
    criteria: Sequence[Criterion] = ()


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
