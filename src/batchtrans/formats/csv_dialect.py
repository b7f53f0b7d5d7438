"""How a table is written: what parts its cells, and whether a quote in it stands around a cell or belongs to the text.

Tables parted by tabs come in both kinds. Spreadsheets put a cell in quotes where it holds a tab, a line break or a
quote; corpora, databases and most scripts write every text as it is, one record to a line. Read in the wrong way, a
quote that opens someone's speech swallows the rows up to the one that ends it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .csv_scan import LONGEST_RECORD, Dialect, NoClosingQuote, Row, Scanner, Stretch, TextReader, Unterminated

_SAMPLE = 1 << 16
_DELIMITERS = ",;\t|"
_BREAK = re.compile(r"\r\n|\n|\r")
#: While it is not known what quotes mean, a record beyond this counts as one with a quote that nobody closed.
_LONGEST_DOUBT = 1 << 21


class TableFile(NamedTuple):
    """A file with a table in it: its text is what follows ``start`` bytes of byte order mark."""

    path: Path
    encoding: str
    start: int

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], str]]:
        """What reads the text, as :meth:`Scanner.rows` wants it."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            yield TextReader(file, self.path, self.encoding)

    def rows(self, scanner: Scanner, longest: int = LONGEST_RECORD) -> Iterator[Row]:
        """All records; a quoted cell may have about ``longest`` characters.

        :raises FormatError: for bytes that do not decode, and as :class:`NoClosingQuote`.
        """
        with self.opened() as read:
            yield from scanner.rows(read, self.path, longest)

    def stretches(self, scanner: Scanner, regular: re.Pattern[str] | None) -> Iterator[Row | Stretch]:
        """The same, with ``regular`` records together."""
        with self.opened() as read:
            yield from scanner.stretches(read, self.path, regular)

    def sample(self) -> tuple[str, bool]:
        """The beginning of the text, and whether that is all of it."""
        with self.opened() as read:
            text = read(_SAMPLE)
            return text, len(text) < _SAMPLE and not read(1)


def find_dialect(file: TableFile, given: Mapping[str, str], names: Sequence[str]) -> Dialect:
    """The dialect of a table: what is ``given`` of it by field, and what its text tells of the rest.

    ``names`` are column names to look for. The delimiter is a tab in ``.tsv``, else found by :func:`sniff`. Where that
    is a tab, :func:`quotes_are_text` says whether there is a quotechar.

    :raises FormatError: for bytes that do not decode.
    """
    dialect = Dialect(**given)
    if "delimiter" not in given:
        if file.path.suffix.lower() == ".tsv":
            delimiter = "\t"
        else:
            delimiter = sniff(*file.sample(), names, dialect.quotechar, dialect.escapechar)
        dialect = dialect._replace(delimiter=delimiter)
    if dialect.delimiter == "\t" and "quotechar" not in given and quotes_are_text(file, dialect):
        return dialect._replace(quotechar="")
    return dialect


def sniff(sample: str, complete: bool, names: Sequence[str], quotechar: str, escapechar: str) -> str:
    """The delimiter of a table, judged by its first lines.

    Taken is the one of comma, semicolon, tab and bar that parts the first record so that every column asked for by
    name is there, then the one by which most records have as many cells as the first one, then the one that gives
    most cells. A table of one column is read with commas. ``complete`` says that the sample is the whole text.
    """
    best, best_rank = ",", (0, 0.0, 0)
    for delimiter in _DELIMITERS:
        scanner = Scanner(Dialect(delimiter, quotechar, escapechar))
        rows = list(_sample_rows(scanner, sample, complete))
        if not rows or len(rows[0]) < 2:
            continue
        header = {scanner.value(cell) for cell in rows[0]}
        alike = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        rank = (sum(name in header for name in names), round(alike, 2), len(rows[0]))
        if rank > best_rank:
            best, best_rank = delimiter, rank
    return best


def _sample_rows(scanner: Scanner, sample: str, complete: bool) -> Iterator[list[str]]:
    position = 0
    while position < len(sample):
        try:
            found = scanner.record(sample, position, complete)
        except Unterminated:
            return
        if found is None:
            return
        position = found.stop
        if found.cells:
            yield found.cells


def quotes_are_text(file: TableFile, dialect: Dialect) -> bool:
    """Whether the quotes in a table belong to its texts, judged by every record that has one.

    They do not in a file as a writer of quotes leaves it: closed, doubled in cells, and in no cell without quotes
    around it. The one exception is a file that is as good line by line: a cell in quotes runs over several lines, and
    all lines of such cells have, quotes and all, as many cells as is usual in the table.

    In any other file the majority decides. For text speaks a record in which a cell goes on after its closing quote or
    has none, or that has the usual number of cells only if its quotes are text, or that runs over several lines with
    that number; for quotes around cells one that has that number only so, or doubled quotes in a cell in quotes. Where
    none speaks, quotes are text. If the file has ``\\"`` in cells in quotes, they stand around cells.

    The file is read to its end, unless it has no quotes, and no more of it is held than one record.

    :raises FormatError: for bytes that do not decode.
    """
    with file.opened() as read:
        if not any(dialect.quotechar in text for text in iter(lambda: read(1 << 18), "")):
            return False
    dialects = [dialect] if dialect.escapechar else [dialect, dialect._replace(escapechar="\\")]
    return all(_is_majority_for_text(file, each) for each in dialects)


def _is_majority_for_text(file: TableFile, dialect: Dialect) -> bool:
    scanner, width = Scanner(dialect), _usual_width(file, dialect)
    delimiter, quote, escape = (re.escape(character) for character in dialect)
    inside = rf"[^{delimiter}{quote}{escape}\r\n]*"
    cell = rf"(?:{quote}{inside}{quote}|{inside})"
    says_nothing = re.compile(rf"{cell}(?:{delimiter}{cell})*")  # the usual record, told from the others quickly
    votes: Counter[str] = Counter()
    try:
        for around, start, stop, cells, end, _ in file.rows(scanner, _LONGEST_DOUBT):
            text = around[start : stop - len(end)]
            if dialect.quotechar in text and not says_nothing.fullmatch(text):
                votes[_vote(scanner, _BREAK.split(text), cells, width)] += 1
    except NoClosingQuote:
        votes["text"] += 1
    if not (votes["text"] or votes["inside"]):
        return votes["lines"] > 0 and not votes["around"]
    return votes["text"] + votes["lines"] > votes["around"] or not votes["around"]


def _vote(scanner: Scanner, lines: Sequence[str], cells: Sequence[str], width: int) -> str:
    """What a record with quotes in it says of them: that they are ``text``, perhaps so since its ``lines`` are records
    too, stand ``around`` cells, or ``inside`` of some that have none around them; or nothing."""
    delimiter, quote, _ = scanner.dialect
    stray = any(map(scanner.goes_on, cells))
    even = all(line and line.count(delimiter) == width - 1 for line in lines)
    if stray or even != (len(cells) == width):
        return "text" if stray or even else "around"
    if even and len(lines) > 1 and width > 1:
        return "lines"
    quoted = [cell for cell in cells if scanner.is_quoted(cell)]
    if any(quote * 2 in cell[1:-1] for cell in quoted):
        return "around"
    return "inside" if any(quote in cell and not scanner.is_quoted(cell) for cell in cells) else ""


def _usual_width(file: TableFile, dialect: Dialect) -> int:
    """How many cells most of the first records have, of as many the earliest: of those without quotes, which are the
    same in either reading, else of those with them, else of the lines."""
    sample, complete = file.sample()
    rows = list(_sample_rows(Scanner(dialect), sample, complete))
    lines = _sample_rows(Scanner(dialect._replace(quotechar="")), sample, complete)
    without = [row for row in rows if not any(dialect.quotechar in cell for cell in row)]
    widths = Counter(map(len, without or rows or lines))
    return widths.most_common(1)[0][0] if widths else 1
