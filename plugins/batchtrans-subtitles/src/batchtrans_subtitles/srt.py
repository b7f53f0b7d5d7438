"""SubRip files: the text of each cue is a segment, its number, times and line ends are literal bytes.

A cue is a line with its number, a line with its times and the lines of its text; a blank line ends it. The lines of
the text are joined by ``\\n`` for the translation, whatever ends them in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from batchtrans import CannotRender, Document, Format, FormatError, Location, OpenOptions, Piece, Segment, State
from batchtrans.formats.charset import detect, encode_problem
from batchtrans.textio import Line, read_lines

_TIME = r"\d+:\d\d:\d\d[,.]\d{1,3}"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")


class SrtFormat(Format):
    """Option: ``encoding``, where the file is neither UTF-8 nor begins with a byte order mark."""

    def open(self, path: Path, options: OpenOptions) -> Document:
        return SrtDocument(path, options)


class SrtDocument(Document):
    """One subtitle file. A segment's id is the position of its cue, since the numbers in a file may repeat."""

    def __init__(self, path: Path, options: OpenOptions) -> None:
        super().__init__(path, "srt", options)
        self._bom, self.encoding = detect(path, options)
        first = next(self._lines(), None)
        self.newline = (first.end if first else "") or "\n"

    def _lines(self) -> Iterator[Line]:
        return read_lines(self.path, self.encoding, self._bom)

    def pieces(self) -> Iterator[Piece]:
        if self._bom:
            yield self._bom
        lines = self._lines()
        cue = 0
        for line in lines:
            yield line.raw
            if not line.text.strip():
                continue
            cue += 1
            self._expect(line.text.strip().isdecimal(), line, "a cue begins with its number")
            times = next(lines, line)
            self._expect(_TIMES.fullmatch(times.text) is not None, times, "times such as 00:00:01,000 --> 00:00:02,000")
            yield times.raw
            yield from self._cue(str(cue), times, lines)

    def _cue(self, identity: str, times: Line, lines: Iterator[Line]) -> Iterator[Piece]:
        """The text of a cue, and the lines that end it."""
        text: list[Line] = []
        blank = b""
        for line in lines:
            if not line.text.strip():
                blank = line.raw
                break
            self._expect("-->" not in line.text, line, "a blank line is missing between two cues")
            text.append(line)
        if text:
            end = text[-1].end.encode(self.encoding)
            raw = b"".join(line.raw for line in text)
            raw = raw[: len(raw) - len(end)]
            source = ("\n".join(line.text for line in text),)
            location = Location(text[0].number, text[0].offset, text[0].offset + len(raw), key=identity)
            yield Segment(identity, raw, source, source, location, ((0, len(raw)),), private=times.end)
            blank = end + blank
        if blank:
            yield blank

    def _expect(self, good: bool, line: Line, what: str) -> None:
        if not good:
            raise FormatError(
                f"not a SubRip cue, {what}: {line.text!r}", path=self.path, line=line.number, hint="Mend this cue."
            )

    def problem(self, segment: Segment, target: tuple[str, ...]) -> str | None:
        lines = target[0].split("\n")
        if not all(line.strip() for line in lines):
            return "a blank line would end the cue"
        if "-->" in target[0] or "\r" in target[0]:
            return "an arrow or a carriage return would break the cue"
        return encode_problem(target[0], self.encoding)

    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        if target == segment.target or state is State.SKIP:
            return segment.raw
        if problem := self.problem(segment, target):
            raise CannotRender(f"{self.path}:{segment.location.line}: {problem}")
        return target[0].replace("\n", segment.private).encode(self.encoding)
