"""Reading a table without losing a character: records as raw cells, exactly as the stdlib's ``csv`` would part them.

A record's raw cells, joined by the delimiter, and its line end are the text it was read from. Cells are decoded one
by one, only where somebody wants to know what they say.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from ..errors import FormatError
from ..textio import undecodable

CHUNK = 1 << 18
#: A quoted cell beyond this is taken for one whose closing quote is missing; it bounds the memory that takes.
LONGEST_RECORD = 1 << 26
_BREAK = re.compile(r"\r\n|\n|\r")


class Dialect(NamedTuple):
    """How cells are parted; an empty ``quotechar`` or ``escapechar`` means that there is none."""

    delimiter: str = ","
    quotechar: str = '"'
    escapechar: str = ""


class Record(NamedTuple):
    """One record: the text around it, where in that it begins and ends, line end included, its raw cells (none in a
    blank line), its line end, and how many line ends it has. The next record stands right behind it in the same text,
    or at the beginning of another one that begins with all that is left of it."""

    around: str
    start: int
    stop: int
    cells: list[str]
    end: str
    breaks: int

    @property
    def text(self) -> str:
        return self.around[self.start : self.stop]


#: A record as a plain tuple, which is made in a fifth of the time.
Row = tuple[str, int, int, list[str], str, int]
#: Records that follow one another, each as parts of its text, of which the first is the whole.
Stretch = list[tuple[str, ...]]


class NoClosingQuote(FormatError):
    """A quoted cell that begins on ``line`` does not end, or not within reason."""


class Unterminated(Exception):
    """A quoted cell that begins at ``position`` has no closing quote."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class Scanner:
    """Parts text into records and cells by one dialect, reads what a cell says and writes one."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        delimiter, quote, escape = (re.escape(character) for character in dialect)
        text = rf"[^{delimiter}\r\n{escape}]*"
        plain = rf"{text}(?:{escape}.{text})*" if escape else text
        self._simple_line = re.compile(rf"([^\r\n{quote}{escape}]*)(\r\n|\n|\r)")
        self._plain = re.compile(plain, re.DOTALL)
        self._needs_quotes = re.compile(rf"[{delimiter}\r\n{quote}]")
        self._needs_escape = re.compile(rf"[{delimiter}\r\n{escape}]")
        self._escaped = re.compile(rf"{escape}(.)", re.DOTALL) if escape else None
        self._inner = re.compile(rf"{escape}(.)|{quote}({quote})", re.DOTALL) if escape and quote else None
        self._quoted: re.Pattern[str] | None = None
        if quote:
            inside = rf"[^{quote}{escape}]*"
            pair = rf"(?:{quote}{quote}|{escape}.)" if escape else quote * 2
            # What follows a closing quote belongs to the cell; its first character is never an escape.
            tail = rf"(?:[^{delimiter}\r\n]{plain})?"
            quoted = rf"{quote}({inside}(?:{pair}{inside})*){quote}(?!{quote})({tail})"
            self._quoted = re.compile(quoted, re.DOTALL)

    def record(self, text: str, position: int, final: bool) -> Record | None:
        """The record at ``position``, or ``None`` if the text ends before it does; ``final``: no more text follows.

        :raises Unterminated: if a quoted cell is still open at the end of the final text.
        """
        match = self._simple_line.match(text, position)
        if match is None:
            return self._any_record(text, position, final)
        body, end = match.groups()
        if end == "\r" and match.end() == len(text) and not final:
            return None  # the line feed of a CR LF pair may follow
        return Record(text, position, match.end(), body.split(self.dialect.delimiter) if body else [], end, 1)

    def _any_record(self, text: str, position: int, final: bool) -> Record | None:
        cells: list[str] = []
        start = position
        while True:
            until = self._cell_end(text, start, final)
            if until is None or (until == len(text) and not final):
                return None
            cells.append(text[start:until])
            if not text.startswith(self.dialect.delimiter, until):
                break
            start = until + 1
        match = _BREAK.match(text, until)
        end = match.group() if match else ""
        following = until + len(end)
        if end == "\r" and following == len(text) and not final:
            return None
        breaks = _breaks(text, position, following)
        return Record(text, position, following, [] if cells == [""] else cells, end, breaks)

    def _cell_end(self, text: str, start: int, final: bool) -> int | None:
        quote, escape = self.dialect.quotechar, self.dialect.escapechar
        pattern = self._quoted if self._quoted and text.startswith(quote, start) else self._plain
        match = pattern.match(text, start)
        if match is None:
            if final:
                raise Unterminated(start)
            return None
        until = match.end()
        if escape and text.startswith(escape, until):  # an escape at the very end of the text
            return until + 1 if final else None
        return until

    def is_quoted(self, cell: str) -> bool:
        """Whether a raw cell stands in quotes."""
        quote = self.dialect.quotechar
        return bool(quote) and cell.startswith(quote)

    def goes_on(self, cell: str) -> bool:
        """Whether a raw cell goes on after its closing quote."""
        match = self._quoted.match(cell) if self._quoted else None
        return match is not None and bool(match[2])

    def value(self, cell: str) -> str:
        """What a raw cell says."""
        quote = self.dialect.quotechar
        if quote and cell.startswith(quote):
            assert self._quoted is not None
            match = self._quoted.match(cell)
            assert match is not None
            inside, tail = match.groups()
            if self._inner:
                inside = self._inner.sub(lambda pair: pair[1] or pair[2], inside)
                return str(inside + tail[:1] + self._unescape(tail[1:]))
            return str(inside.replace(quote * 2, quote) + tail)
        return self._unescape(cell) if self._escaped else cell

    def _unescape(self, text: str) -> str:
        return self._escaped.sub(r"\1", text) if self._escaped else text

    def cell(self, text: str, quoted: bool) -> str:
        """A raw cell that says ``text``, in quotes if asked for or needed."""
        _, quote, escape = self.dialect
        if not quote:
            return self._needs_escape.sub(lambda match: escape + match[0], text)
        if escape:
            text = text.replace(escape, escape * 2)
        if quoted or self._needs_quotes.search(text):
            return quote + text.replace(quote, quote * 2) + quote
        return text

    def can_hold(self, text: str) -> bool:
        """Whether a cell can say ``text``: without quotes and escapes, not every text has a form."""
        return bool(self.dialect.quotechar or self.dialect.escapechar) or not self._needs_quotes.search(text)

    def records(self, read: Callable[[int], str], path: Path) -> Iterator[Record]:
        """All records of a text that ``read`` gives piece by piece, about as many characters as asked for.

        :raises NoClosingQuote: for a quoted cell without end, naming the line where it begins.
        """
        return map(Record._make, self.rows(read, path))

    def rows(self, read: Callable[[int], str], path: Path, longest: int = LONGEST_RECORD) -> Iterator[Row]:
        """The same for those who have many to read; a record beyond ``longest`` characters is given up."""
        return cast(Iterator[Row], self.stretches(read, path, None, longest))

    def stretches(
        self, read: Callable[[int], str], path: Path, regular: re.Pattern[str] | None, longest: int = LONGEST_RECORD
    ) -> Iterator[Row | Stretch]:
        """The same, but records that ``regular`` matches come together, as many as follow one another in the text at
        hand. Where no such record is it matches all that is left, with empty groups."""
        rest, line, final = "", 1, False
        while not final:
            if len(rest) > longest:
                raise _no_closing_quote(path, line, f" in {longest >> 20} Mi characters")
            # Asking for as much again keeps the work linear however long a record grows.
            more = read(max(CHUNK, len(rest)))
            text, final = rest + more, not more
            try:
                position = yield from self._complete(text, final, regular)
            except Unterminated as error:
                start = line + _breaks(text, 0, error.position)
                raise _no_closing_quote(path, start) from None
            rest = text[position:]
            line += _breaks(text, 0, position)

    def _complete(self, text: str, final: bool, regular: re.Pattern[str] | None) -> Generator[Row | Stretch, None, int]:
        """The records that end in this text; returns where the last one does. Most are a line in which nothing but
        delimiters is special.

        :raises Unterminated: as :meth:`record` does.
        """
        delimiter, quote, escape = (character or "\r" for character in self.dialect)
        position, size = 0, len(text)
        while position < size:
            if regular and (stretch := regular.findall(text, position)):
                if not stretch[-1][0]:
                    stretch.pop()
                if stretch:
                    yield stretch
                    position += len("".join([parts[0] for parts in stretch]))
                    continue
            end = text.find("\n", position)
            line = text[position:end]
            if end < 0 or quote in line or "\r" in line or escape in line:
                found = self._closed(text, position, end) or self.record(text, position, final)
                if found is None:
                    break
                yield found
                position = found[2]
            else:
                yield text, position, end + 1, line.split(delimiter) if line else [], "\n", 1
                position = end + 1
        return position

    def _closed(self, text: str, position: int, end: int) -> Row | None:
        """The record at ``position``, which ends with the line feed at ``end`` or, if that is in quotes, a later one.
        It is left to :meth:`record` where quotes stand elsewhere than around cells or doubled, or with an escape."""
        delimiter, quote, escape = self.dialect
        if not quote or escape or end < 0:
            return None
        parts, breaks = text[position:end].split(quote), 1
        if not len(parts) % 2:
            start, odd = end, True
            while odd and (end := text.find("\n", end + 1)) >= 0:
                odd = odd != bool(text.count(quote, start, end) % 2)
                start = end
            parts = text[position:end].split(quote) if end >= 0 else [""]
            breaks = 1 + text.count("\n", position, end)
        line_end, last = "\n", parts[-1]
        if last.endswith("\r"):
            parts[-1], line_end = last[:-1], "\r\n"
        cells = _cells(parts, delimiter, quote)
        if not cells or text.find("\r", position, end + 1 - len(line_end)) >= 0:
            return None
        return text, position, end + 1, cells, line_end, breaks


def _cells(parts: list[str], delimiter: str, quote: str) -> list[str]:
    """The raw cells of a record that was split at its quotes; none if one of them stands elsewhere than around a cell
    or doubled in one."""
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return first.split(delimiter) if first else []
    if (first and first[-1] != delimiter) or (last and last[0] != delimiter):
        return []
    cells = first[:-1].split(delimiter) if first else []
    cell = quote + parts[1]
    for between, inside in zip(parts[2:-1:2], parts[3::2], strict=True):
        if not between:
            cell += quote + quote + inside
        elif between[0] == between[-1] == delimiter:
            cells.append(cell + quote)
            if len(between) > 1:
                cells += between[1:-1].split(delimiter)
            cell = quote + inside
        else:
            return []
    cells.append(cell + quote)
    return cells + last[1:].split(delimiter) if last else cells


def _breaks(text: str, start: int, stop: int) -> int:
    """How many line ends stand between two places."""
    count = text.count("\n", start, stop)
    if text.find("\r", start, stop) >= 0:
        count += text.count("\r", start, stop) - text.count("\r\n", start, stop)
    return count


def _no_closing_quote(path: Path, line: int, within: str = "") -> NoClosingQuote:
    return NoClosingQuote(
        f"a quoted cell that begins here has no closing quote{within}",
        path=path,
        line=line,
        hint="Name the character around cells with -O quotechar=..., or none with -O quotechar= .",
    )


class TextReader:
    """Decoded text of an open file, checked to be the very bytes it came from.

    Used as the ``read`` of :meth:`Scanner.records`.
    """

    def __init__(self, file: IO[bytes], path: Path, encoding: str) -> None:
        self._file = file
        self._path = path
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def __call__(self, size: int) -> str:
        """The next text, not empty before the end of the file.

        :raises FormatError: at the first byte that does not decode, naming its offset.
        """
        text, data = "", b"-"
        while not text and data:
            held = self._decoder.getstate()[0]
            data = self._file.read(size)
            try:
                text = self._decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                offset = self._file.tell() - len(error.object) + error.start
                raise undecodable(self._path, self._encoding, offset, error.object[error.start]) from None
            consumed = held + data
            left = self._decoder.getstate()[0]
            if text.encode(self._encoding) != consumed[: len(consumed) - len(left)]:
                raise FormatError(
                    f"some bytes do not come back the same from {self._encoding}",
                    path=self._path,
                    hint="Convert the file to UTF-8 first.",
                )
        return text
