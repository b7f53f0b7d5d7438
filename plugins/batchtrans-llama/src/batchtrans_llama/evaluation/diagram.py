"""Curves as inline SVG: a few lines over steps, with axes that end in round numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT = 640, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 28, 12, 40
_TICKS = 5
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\u00a0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010fffd]")


class Series(NamedTuple):
    """One line of a diagram: points in the order of x."""

    label: str
    points: Sequence[tuple[float, float]]


class Curve(NamedTuple):
    """One diagram, such as the loss over the steps."""

    title: str
    x_label: str
    series: Sequence[Series]


class _Axis(NamedTuple):
    """From values to places on the page, and the values that get a mark."""

    low: float
    high: float
    begin: float
    end: float
    marks: Sequence[float]

    def at(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)


def html(text: str) -> str:
    """Any text as HTML shows it, in an element or an attribute; characters that HTML cannot hold are replaced."""
    return escape(_FORBIDDEN.sub("\ufffd", text))


def draw(curve: Curve) -> str:
    """The diagram as an ``svg`` element. Points that are no finite numbers are left out; without any there is a
    sentence instead."""
    series = [
        Series(line.label, [point for point in line.points if all(map(math.isfinite, point))]) for line in curve.series
    ]
    points = [point for line in series for point in line.points]
    if not points:
        return "<p>No values were recorded.</p>"
    across = _axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    up = _axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    middle = (across.begin + across.end) / 2
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html(curve.title)}">',
        *_grid(across, up),
        *(_line(number, line, across, up) for number, line in enumerate(series) if line.points),
        f'<text x="{middle:.1f}" y="{_HEIGHT - 4}" text-anchor="middle">{html(curve.x_label)}</text>',
        "</svg>",
    ]
    return "\n".join(parts)


def _axis(values: Sequence[float], begin: float, end: float) -> _Axis:
    """An axis over all values, its ends the next round numbers."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    step = _round_step((high - low) / _TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = [number * step for number in range(first, last + 1)]
    return _Axis(marks[0], marks[-1], begin, end, marks)


def _round_step(step: float) -> float:
    """The next of 1, 2, 2.5, 5, 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10, 20) if factor * power >= step)


def _grid(across: _Axis, up: _Axis) -> list[str]:
    parts = []
    for value in up.marks:
        y = up.at(value)
        line = f'<line x1="{across.begin}" y1="{y:.1f}" x2="{across.end}" y2="{y:.1f}"'
        parts.append(f'{line} stroke="currentColor" class="grid"/>')
        parts.append(f'<text x="{across.begin - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    for value in across.marks:
        parts.append(f'<text x="{across.at(value):.1f}" y="{up.begin + 16}" text-anchor="middle">{value:.6g}</text>')
    return parts


def _line(number: int, line: Series, across: _Axis, up: _Axis) -> str:
    places = [f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in line.points]
    if len(places) == 1:
        x, y = places[0].split(",")
        return f'<circle cx="{x}" cy="{y}" r="3" class="dot line{number % 4}"/>'
    return f'<polyline points="{" ".join(places)}" fill="none" stroke="currentColor" class="line line{number % 4}"/>'
