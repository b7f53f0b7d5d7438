"""Tables: the cells of chosen columns are segments, and a translation replaces them or goes into a column beside.

With ``--into replace`` a segment's slot is its cell. Otherwise source and target stand side by side, and the slot is
the target's cell with its delimiter; where the record is too short for that cell, the slot is the end of the record.
Empty cells before a target cell at the end of a record count to the slot, so that it begins at the same byte before
and after a short record is filled up.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from ..errors import CannotRender, UsageError
from ..types import Document, Edit, Format, OpenOptions, Piece, Segment, State, new_location, new_segment
from .charset import detect, encode_problem
from .csv_columns import choose
from .csv_dialect import TableFile, find_dialect
from .csv_layout import Slot, layout
from .csv_scan import Dialect, Record, Row, Scanner, Stretch

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


_NO_FLAGS: frozenset[str] = frozenset()
_FIXED = "the record has more cells than the header"
_NEW, _DONE, _SKIP = State.NEW, State.DONE, State.SKIP  # in Python 3.11 looking one up takes long

#: A column's tag, where its slot begins, the text of that, source, target and state, and what rendering needs.
_Found = tuple[str, int, str, tuple[str], tuple[str], State, Slot]
_PLAIN: Slot = (0, False, True, False)


class CsvDocument(Document):
    """One table. A segment's id is ``row:column``; rows are records counted from 1, header and blank lines too."""

    def __init__(self, path: Path, options: OpenOptions) -> None:
        super().__init__(path, "csv", options)
        self._bom, self.encoding = detect(path, options)
        self._file = TableFile(path, self.encoding, len(self._bom))
        self._scanner = Scanner(self._dialect(options))
        found = self._scanner.dialect._asdict()
        self.detected = {name: found[name] for name in ("delimiter", "quotechar") if name not in options.values}
        self._first_row, first, following = self._first_records()
        self._table = choose(path, self._scanner, first, following, options)
        self._layout = layout(self._table, self._scanner.dialect)
        self.bilingual = not self._table.replace
        self.newline = (first.end if first else "") or "\n"
        self._delimiter, self._quote, self._escape = self._scanner.dialect
        self._overlong = 0

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """What was found out about the dialect, and after a full reading how many records were too long."""
        notes = []
        if "delimiter" in self.detected and self._delimiter != _default_delimiter(self.path):
            notes.append(f"read with the delimiter {self._delimiter!r}")
        if "quotechar" in self.detected and not self._quote:
            notes.append("quotes are read as part of the texts; if they stand around cells: -O 'quotechar=\"'")
        if self._overlong:
            notes.append(f"records with more cells than the header, left as they are: {self._overlong}")
        return notes

    def _dialect(self, options: OpenOptions) -> Dialect:
        given = {name: _character(options, name) for name in Dialect._fields if name in options.values}
        characters = [character for character in Dialect(**given) if character]
        if given.get("delimiter") == "" or len(set(characters)) < len(characters):
            raise UsageError("delimiter, quotechar and escapechar must be different characters")
        return find_dialect(self._file, {**options.detected, **given}, options.values.get("column", ()))

    def _records(self) -> Iterator[Record]:
        return map(Record._make, self._file.rows(self._scanner))

    def _stretches(self) -> Iterator[Row | Stretch]:
        return self._file.stretches(self._scanner, self._layout and self._layout.pattern)

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
        encoding, width, header_row = self.encoding, self._table.width, self._first_row if self._table.header else 0
        found_in = self._replaced if self._table.replace else self._beside
        kept = ""  # literal text that was not handed on yet
        offset, row, line, overlong = len(self._bom), 1, 1, 0
        if self._bom:
            yield self._bom
        for found in self._stretches():
            if isinstance(found, list):
                if row == header_row:
                    kept, found = kept + found[0][0], found[1:]
                    row, line = row + 1, line + 1
                kept, offset = yield from self._regular(found, kept, offset, row, line)
                row, line = row + len(found), line + len(found)
                continue
            around, taken, stop, cells, end, breaks = found
            if cells and row != header_row:
                fixed = len(cells) > width and self._is_overlong(cells)
                overlong += fixed
                for tag, first, raw_text, source, target, state, slot in found_in(cells, taken, stop - len(end), fixed):
                    if data := (kept + around[taken:first]).encode(encoding):
                        yield data
                        offset += len(data)
                    raw = raw_text.encode(encoding)
                    size = len(raw)
                    place = new_location((line, offset, offset + size, "", row, tag))
                    note = _FIXED if fixed else ""
                    yield new_segment(
                        (f"{row}:{tag}", raw, source, target, place, ((0, size),), state, "", note, _NO_FLAGS, slot)
                    )
                    offset += size
                    kept, taken = "", first + len(raw_text)
            kept += around[taken:stop]
            row, line = row + 1, line + breaks
            if len(kept) > _LITERAL:
                yield (data := kept.encode(encoding))
                offset += len(data)
                kept = ""
        if kept:
            yield kept.encode(encoding)
        self._overlong = overlong

    def _regular(
        self, stretch: Stretch, kept: str, offset: int, row: int, line: int
    ) -> Generator[Piece, None, tuple[str, int]]:
        """The pieces of regular records, of which the first is this row on this line, after the ``kept`` text from
        ``offset`` on; returns what is kept then, and its offset."""
        assert self._layout is not None
        encoding, bilingual, (_, places, rest) = self.encoding, self.bilingual, self._layout
        value, quote, doubled = self._scanner.value, self._quote or "\n", self._quote * 2
        for parts in stretch:
            for tag, before, at, source_at, plain, quoted in places:
                cell, slot = parts[source_at], plain
                if quote in cell:  # around it, as in all regular records
                    cell, slot = cell[1:-1].replace(doubled, quote), quoted
                source = target = (cell,)
                state = _NEW if cell else _SKIP
                if bilingual:
                    target = (value(parts[at][slot[0] :]),)
                    state = _DONE if cell and target[0] else state
                if data := (kept + parts[before]).encode(encoding):
                    yield data
                raw = parts[at].encode(encoding)
                start, size = offset + len(data), len(raw)
                kept, offset = "", start + size
                place = new_location((line, start, offset, "", row, tag))
                yield new_segment(
                    (f"{row}:{tag}", raw, source, target, place, ((0, size),), state, "", "", _NO_FLAGS, slot)
                )
            kept += parts[rest]
            row, line = row + 1, line + 1
        return kept, offset

    def states(self) -> Iterator[State]:
        row, header_row = 1, self._first_row if self._table.header else 0
        for found in self._stretches():
            if isinstance(found, list):
                yield from self._regular_states(found[1:] if row == header_row else found)
                row += len(found)
            else:
                if found[3] and row != header_row:
                    yield from self._states(found[3])
                row += 1

    def _regular_states(self, stretch: Stretch) -> Iterator[State]:
        assert self._layout is not None
        bilingual, places, empty = self.bilingual, self._layout.places, ("", self._quote * 2)
        for parts in stretch:
            for _, _, at, source, slot, _ in places:
                if parts[source] in empty:
                    yield _SKIP
                else:
                    yield _NEW if not bilingual or parts[at][slot[0] :] in empty else _DONE

    def _states(self, cells: list[str]) -> Iterator[State]:
        value, bilingual, count = self._scanner.value, self.bilingual, len(cells)
        fixed = count > self._table.width and self._is_overlong(cells)
        for index, _, goal in self._table.columns:
            if not bilingual and index >= count:
                continue
            if fixed or index >= count or not value(cells[index]):
                yield _SKIP
            else:
                yield _DONE if bilingual and goal < count and value(cells[goal]) else _NEW

    def _is_overlong(self, cells: list[str]) -> bool:
        """Whether cells beyond the header's say something, so that nobody knows which column is which."""
        return any(map(self._scanner.value, cells[self._table.width :]))

    def _replaced(self, cells: list[str], start: int, stop: int, fixed: bool) -> list[_Found]:
        """The cells of a record whose text begins at ``start``, where each is its own slot."""
        found: list[_Found] = []
        for index, tag, _ in self._table.columns:
            if index < len(cells):
                cell = cells[index]
                source, slot = (cell,), _PLAIN
                if fixed or self._quote in cell or (self._escape and self._escape in cell):
                    source = (self._scanner.value(cell),)
                    slot = (0, self._scanner.is_quoted(cell), True, fixed)
                state = _SKIP if fixed or not source[0] else _NEW
                found.append((tag, start + self._start(cells, index), cell, source, source, state, slot))
        return found

    def _beside(self, cells: list[str], start: int, stop: int, fixed: bool) -> list[_Found]:
        """The targets of a record whose text begins at ``start`` and whose line end at ``stop``, with the delimiters
        before them."""
        found: list[_Found] = []
        value, count, taken = self._scanner.value, len(cells), -1
        for index, tag, goal in self._table.columns:
            least = taken + 1 or 1  # the first cell has no delimiter before it
            first = min(goal, count)
            while first > least and not cells[first - 1]:
                first -= 1
            first = max(first, taken + 1)
            raw = self._delimiter.join(cells[first : goal + 1])
            if first < count:
                begin = start + self._start(cells, first)
                if first:
                    begin, raw = begin - 1, self._delimiter + raw
            else:
                begin = stop
            source = (value(cells[index]) if index < count else "",)
            target = (value(cells[goal]) if goal < count else "",)
            state = _SKIP if fixed or not source[0] else _DONE if target[0] else _NEW
            quoted = index < count and self._scanner.is_quoted(cells[index])
            slot = (goal - first + (goal > 0), quoted, goal < count, fixed)
            found.append((tag, begin, raw, source, target, state, slot))
            taken = goal
        return found

    def _start(self, cells: list[str], index: int) -> int:
        """Where the cell ``index`` begins in its record."""
        return len(self._delimiter.join(cells[:index])) + 1 if index > 1 else len(cells[0]) + 1 if index else 0

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
        slot: Slot = segment.private
        delimiters, quoted, present, fixed = slot
        if state is _SKIP or target == segment.target:
            if present or fixed or (state is _NEW and state is segment.state):
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
