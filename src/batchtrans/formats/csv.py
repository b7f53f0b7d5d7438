"""Tables: the cells of chosen columns are segments, and a translation replaces them or goes into a column beside.

With ``--into replace`` a segment's slot is its cell. Otherwise source and target stand side by side, and the slot is
the target's cell with its delimiter; where the record is too short for that cell, the slot is the end of the record.
Empty cells before a target cell at the end of a record count to the slot, so that it begins at the same byte before
and after a short record is filled up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from ..errors import CannotRender, UsageError
from ..types import Document, Edit, Format, Location, OpenOptions, Piece, Segment, State
from .charset import detect, encode_problem
from .csv_columns import Column, choose
from .csv_scan import Dialect, Record, Scanner, TextReader, sniff

_SAMPLE = 1 << 16
_SAMPLE_ROWS = 20
_BREAK = re.compile(r"\r\n|\n|\r")
_FORMULA = "=+-@\t\r"
#: Literal text is handed on in pieces of about this many characters, however long a stretch has no segment.
_LITERAL = 1 << 16


class CsvFormat(Format):
    """Options: ``column`` (name or number from 1, repeatable), ``into`` (``append``, ``replace``, a column),
    ``delimiter``, ``quotechar``, ``escapechar``, ``header`` (``yes``, ``no``, ``auto``) and ``encoding``."""

    def open(self, path: Path, options: OpenOptions) -> Document:
        return CsvDocument(path, options)


#: What rendering needs to know: how many delimiters stand before the cell in its slot, whether the source cell is
#: quoted, whether the target cell is there, and whether the record must stay as it is.
_Slot = tuple[int, bool, bool, bool]


class CsvDocument(Document):
    """One table. A segment's id is ``row:column``; rows are records counted from 1, header and blank lines too."""

    def __init__(self, path: Path, options: OpenOptions) -> None:
        super().__init__(path, "csv", options)
        self._bom, self.encoding = detect(path, options)
        self._scanner = Scanner(self._dialect(options))
        self._first_row, first, following = self._first_records()
        self._table = choose(path, self._scanner, first, following, options)
        self.bilingual = not self._table.replace
        self.newline = (first.end if first else "") or "\n"
        self._delimiter = self._scanner.dialect.delimiter
        self._sniffed = "delimiter" not in options.values and self._delimiter != _default_delimiter(path)
        self._overlong = 0

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """What was found out about the dialect, and after a full reading how many records were too long."""
        notes = [f"read with the delimiter {self._delimiter!r}"] if self._sniffed else []
        if self._overlong:
            notes.append(f"records with more cells than the header, left as they are: {self._overlong}")
        return notes

    def _dialect(self, options: OpenOptions) -> Dialect:
        given = {name: _character(options, name) for name in Dialect._fields if name in options.values}
        dialect = Dialect(**given)
        characters = [character for character in dialect if character]
        if not dialect.delimiter or len(set(characters)) < len(characters):
            raise UsageError("delimiter, quotechar and escapechar must be different characters")
        if "delimiter" in given:
            return dialect
        if self.path.suffix.lower() == ".tsv":
            return dialect._replace(delimiter="\t")
        with self.path.open("rb") as file:
            file.seek(len(self._bom))
            read = TextReader(file, self.path, self.encoding)
            sample = read(_SAMPLE)
            complete = len(sample) < _SAMPLE and not read(1)
        names = options.values.get("column", ())
        return dialect._replace(delimiter=sniff(sample, complete, names, dialect.quotechar, dialect.escapechar))

    def _records(self) -> Iterator[Record]:
        with self.path.open("rb") as file:
            file.seek(len(self._bom))
            yield from self._scanner.records(TextReader(file, self.path, self.encoding), self.path)

    def _first_records(self) -> tuple[int, Record | None, list[Record]]:
        """The number of the first record that is not blank, that record, and a few that follow it."""
        number, first = 0, None
        following: list[Record] = []
        for row, record in enumerate(self._records(), 1):
            if not record.cells:
                continue
            if first is None:
                number, first = row, record
            elif len(following) < _SAMPLE_ROWS:
                following.append(record)
            else:
                break
        return number, first, following

    def pieces(self) -> Iterator[Piece]:
        encoding = self.encoding
        width = self._table.width
        header_row = self._first_row if self._table.header else 0
        literal, offset, line, overlong = "", len(self._bom), 1, 0
        if self._bom:
            yield self._bom
        for row, record in enumerate(self._records(), 1):
            text, cells, _, breaks = record
            position = 0
            if cells and row != header_row:
                fixed = len(cells) > width and self._is_overlong(cells)
                overlong += fixed
                for column, start, end, slot in self._slots(record, fixed):
                    if data := (literal + text[position:start]).encode(encoding):
                        yield data
                        offset += len(data)
                    raw = text[start:end].encode(encoding)
                    location = Location(line, offset, offset + len(raw), "", row, column.tag)
                    yield self._segment(cells, column, slot, raw, location)
                    offset += len(raw)
                    literal, position = "", end
            literal += text[position:]
            line += breaks
            if len(literal) > _LITERAL:
                data = literal.encode(encoding)
                yield data
                offset += len(data)
                literal = ""
        if literal:
            yield literal.encode(encoding)
        self._overlong = overlong

    def _is_overlong(self, cells: list[str]) -> bool:
        """Whether cells beyond the header's say something, so that nobody knows which column is which."""
        return any(map(self._scanner.value, cells[self._table.width :]))

    def _slots(self, record: Record, fixed: bool) -> list[tuple[Column, int, int, _Slot]]:
        """Where the target of each column goes: the characters ``start:end`` of the record."""
        text, cells, line_end, _ = record
        count, body = len(cells), len(text) - len(line_end)
        slots: list[tuple[Column, int, int, _Slot]] = []
        taken = -1
        for column in self._table.columns:
            source, _, target = column
            quoted = source < count and self._scanner.is_quoted(cells[source])
            if self._table.replace:
                if target < count:
                    start = self._start(cells, target)
                    slots.append((column, start, start + len(cells[target]), (0, quoted, True, fixed)))
                continue
            least = taken + 1 or 1  # the first cell has no delimiter before it
            first = target if target < count else count
            while first > least and not cells[first - 1]:
                first -= 1
            if first <= taken:
                first = taken + 1
            end = self._start(cells, target + 1) - 1 if target + 1 < count else body
            start = end if first >= count else self._start(cells, first) - 1 if first else 0
            slots.append((column, start, end, (target - first + (target > 0), quoted, target < count, fixed)))
            taken = target
        return slots

    def _start(self, cells: list[str], index: int) -> int:
        """Where the cell ``index`` begins in its record."""
        return len(self._delimiter.join(cells[:index])) + 1 if index else 0

    def _segment(self, cells: list[str], column: Column, slot: _Slot, raw: bytes, location: Location) -> Segment:
        _, _, present, fixed = slot
        value = self._scanner.value
        source = (value(cells[column.source]) if column.source < len(cells) else "",)
        target, state = source, State.NEW
        if self.bilingual:
            target = (value(cells[column.target]) if present else "",)
        if fixed or not source[0]:
            state = State.SKIP
        elif self.bilingual and target[0]:
            state = State.DONE
        identity = f"{location.row}:{column.tag}"
        note = "the record has more cells than the header" if fixed else ""
        return Segment(identity, raw, source, target, location, ((0, len(raw)),), state, "", note, private=slot)

    def problem(self, segment: Segment, target: tuple[str, ...]) -> str | None:
        text, source = target[0], segment.source[0]
        if not text:
            return "the cell would be empty"
        if not set(_BREAK.findall(text)) <= set(_BREAK.findall(source)):
            return "a line break that the source does not have"
        if text[0] in _FORMULA and text[0] != source[:1]:
            return f"a cell that begins with {text[0]!r} is a formula to a spreadsheet"
        if not self._scanner.can_hold(text):
            return "a cell without quotes cannot hold a delimiter or line break"
        return encode_problem(text, self.encoding)

    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        slot: _Slot = segment.private
        delimiters, quoted, present, fixed = slot
        if state is State.SKIP or target == segment.target:
            if present or fixed or (state is State.NEW and state is segment.state):
                return segment.raw
            return (self._delimiter * delimiters).encode(self.encoding)
        if problem := self.problem(segment, target):
            raise CannotRender(f"{self.path}:{segment.location.line}: {problem}")
        cell = self._scanner.cell(target[0], quoted)
        return (self._delimiter * delimiters + cell).encode(self.encoding)

    def finish(self, started_at: datetime) -> Sequence[Edit]:
        if not self._table.added:
            return ()
        offset = len(self._bom)
        for row, record in enumerate(self._records(), 1):
            if row == self._first_row:
                offset += len(record.text[: len(record.text) - len(record.end)].encode(self.encoding))
                break
            offset += len(record.text.encode(self.encoding))
        cells = "".join(self._delimiter + cell for cell in self._table.added)
        return (Edit(offset, offset, cells.encode(self.encoding), "the header of the new column"),)


def _character(options: OpenOptions, name: str) -> str:
    given = options.one(name)
    character = {"\\t": "\t", "tab": "\t", "none": ""}.get(given, given)
    if len(character) > 1 or character in ("\r", "\n"):
        raise UsageError(f"-O {name}={given}: one character, please; \\t is a tab")
    return character


def _default_delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","
