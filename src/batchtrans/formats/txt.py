"""Plain text: each line, or each paragraph, is a segment; what separates them is never touched.

A paragraph is a run of lines that are not blank. It keeps its own line breaks in the source text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import CannotRender, UsageError
from ..textio import Line, read_lines
from ..types import Document, Format, Location, OpenOptions, Piece, Segment, State
from .charset import detect, encode_problem

_BREAK = re.compile(r"\r\n|\n|\r")
_UNITS = ("line", "paragraph")


class TxtFormat(Format):
    """Options: ``unit`` is ``line`` (the default) or ``paragraph``; ``encoding`` where there is no UTF-8."""

    def open(self, path: Path, options: OpenOptions) -> Document:
        unit = options.one("unit", "line")
        if unit not in _UNITS:
            raise UsageError(f"no such unit: {unit}", f"Choose one of {', '.join(_UNITS)}.")
        return TxtDocument(path, options, unit)


class TxtDocument(Document):
    """A text file. A segment's id is its number among the segments; its raw bytes are its slot."""

    def __init__(self, path: Path, options: OpenOptions, unit: str) -> None:
        super().__init__(path, "txt", options)
        self._bom, self.encoding = detect(path, options)
        self._width = len("\n".encode(self.encoding))
        self._paragraphs = unit == "paragraph"
        first = next(read_lines(path, self.encoding, self._bom), None)
        self.newline = first.end if first and first.end else "\n"

    def pieces(self) -> Iterator[Piece]:
        if self._bom:
            yield self._bom
        unit: list[Line] = []
        number = 1
        for line in read_lines(self.path, self.encoding, self._bom):
            blank = not line.text.strip()
            if unit and (blank or not self._paragraphs):
                yield from self._unit(unit, number)
                unit = []
                number += 1
            if blank:
                yield line.raw
            else:
                unit.append(line)
        if unit:
            yield from self._unit(unit, number)

    def _unit(self, lines: list[Line], number: int) -> Iterator[Piece]:
        """The segment that these lines are, and the end of its last line."""
        first, last = lines[0], lines[-1]
        raw, text = first.raw, first.text
        if len(lines) > 1:
            raw = b"".join(line.raw for line in lines)
            text = "".join(line.text + line.end for line in lines[:-1]) + last.text
        size = len(raw) - len(last.end) * self._width
        location = Location(first.number, first.offset, first.offset + size)
        source = (text,)
        yield Segment(str(number), raw[:size], source, source, location, ((0, size),))
        if last.end:
            yield raw[size:]

    def problem(self, segment: Segment, target: tuple[str, ...]) -> str | None:
        text = target[0]
        if not all(line.strip() for line in _BREAK.split(text)):
            return "a blank line would part the text" if self._paragraphs else "a line cannot be blank or broken"
        if not set(_BREAK.findall(text)) <= set(_BREAK.findall(segment.source[0])):
            return "a line break that the source does not have"
        if text.startswith("\ufeff") and segment.location.start == 0:
            return "a byte order mark at the start of the file"
        return encode_problem(text, self.encoding)

    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        if target == segment.target or state is State.SKIP:
            return segment.raw
        if problem := self.problem(segment, target):
            raise CannotRender(f"{self.path}:{segment.location.line}: {problem}")
        return target[0].encode(self.encoding)
