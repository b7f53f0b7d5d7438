"""Which columns of a table are read, and where each translation goes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import UsageError
from ..types import OpenOptions
from .csv_scan import Record, Scanner

_NUMBER = re.compile(r"\s*[-+]?[\d.,]*\d[\d.,]*%?\s*")
_YEAR = re.compile(r"\s*(?:1[5-9]|20|21)\d\d\s*")


class Column(NamedTuple):
    """A chosen column: its index from 0, its name (or number) in ids, and the index of the column for its target."""

    source: int
    tag: str
    target: int


class Table(NamedTuple):
    """What is done with a table: ``columns`` in the order of their targets, how many cells the first record has,
    whether it is a header, whether targets replace sources, and the header's new raw cells."""

    columns: tuple[Column, ...]
    width: int
    header: bool
    replace: bool
    added: tuple[str, ...] = ()


def choose(
    path: Path, scanner: Scanner, first: Record | None, following: Sequence[Record], options: OpenOptions
) -> Table:
    """Read the options ``column``, ``into`` and ``header`` against the first records of the table.

    :raises UsageError: if a column is not given, not there or not clear, or cannot take the translation.
    """
    into = options.one("into") or "append"
    if first is None:
        return Table((), 0, False, into == "replace")
    wanted = tuple(dict.fromkeys(options.values.get("column", ())))
    cells = [scanner.value(cell) for cell in first.cells]
    header = _has_header(options.one("header") or "auto", cells, wanted)
    names = cells if header else [""] * len(cells)
    columns = _Columns(path, names, _samples(scanner, first, following, header))
    sources = sorted({columns.find(name) for name in wanted})
    if not sources:
        raise columns.error("a table needs --column, once for each column to translate")
    if into == "replace":
        chosen = tuple(Column(index, columns.tag(index), index) for index in sources)
        return Table(chosen, len(names), header, True)
    targets = _targets(columns, sources, into, options.target_lang, header)
    if len(set(targets)) < len(targets) or set(targets) & set(sources):
        raise columns.error("the translations would go into a column that is itself translated, or into one twice")
    chosen = tuple(
        Column(index, columns.tag(index), target) for target, index in sorted(zip(targets, sources, strict=True))
    )
    quoted = scanner.is_quoted(first.cells[sources[0]])
    raw = tuple(scanner.cell(name, quoted) for name in columns.added) if header else ()
    return Table(chosen, len(names), header, False, raw)


def _targets(columns: _Columns, sources: list[int], into: str, target_lang: str, header: bool) -> list[int]:
    if into == "append":
        if not header:
            raise columns.error(
                "a table without header cannot tell its new column; "
                f"use --into replace, or --into NUMBER (up to {len(columns.names) + 1})"
            )
        return [columns.place(f"{columns.names[index] or index + 1}_{target_lang}") for index in sources]
    if len(sources) > 1:
        raise UsageError(
            f"--into {into} takes the translation of one column, not of {len(sources)}",
            "Use --into append or --into replace, or run once for each column.",
        )
    if into in columns.names:
        return [columns.place(into)]
    if into.isdecimal() and 1 <= int(into) <= len(columns.names):
        return [int(into) - 1]
    if into.isdecimal() and (header or int(into) != len(columns.names) + 1):
        raise columns.error(f"--into {into}: there is no such column")
    if not into.isdecimal() and not header:
        raise columns.error(f"--into {into}: without a header, columns have numbers only")
    return [columns.place(into)]


class _Columns:
    """The columns of one table by name and number."""

    def __init__(self, path: Path, names: list[str], samples: list[str]) -> None:
        self.path = path
        self.names = names
        self.samples = samples
        self.added: list[str] = []

    def find(self, wanted: str) -> int:
        """The index of the column of that name, or else of that number."""
        count = self.names.count(wanted) if wanted else 0
        if count == 1:
            return self.names.index(wanted)
        if count > 1:
            raise self.error(f"--column {wanted}: {count} columns have that name; give its number")
        if wanted.isdecimal() and 1 <= int(wanted) <= len(self.names):
            return int(wanted) - 1
        raise self.error(f"--column {wanted}: there is no such column")

    def place(self, name: str) -> int:
        """The index of the column ``name``, which is added at the end where it does not exist."""
        if self.names.count(name) > 1:
            raise self.error(f"{name}: more than one column has that name; use --into with its number")
        if name in self.names:
            return self.names.index(name)
        if name not in self.added:
            self.added.append(name)
        return len(self.names) + self.added.index(name)

    def tag(self, index: int) -> str:
        """What stands for a column in ids: its name, or its number where the name is empty or not the only one."""
        name = self.names[index]
        return name if name and self.names.count(name) == 1 else f"#{index + 1}"

    def error(self, what: str) -> UsageError:
        """A usage error that lists the columns, each with a sample value."""
        lines = [f"{self.path}: {what}", "The columns are:"]
        lines += [
            f"  {number:>3}  {name or '(no name)'}" + (f"  such as {sample!r}" if sample else "")
            for number, (name, sample) in enumerate(zip(self.names, self.samples, strict=True), 1)
        ]
        return UsageError("\n".join(lines))


def _has_header(option: str, cells: list[str], wanted: Sequence[str]) -> bool:
    """``auto`` takes the first record for data if it holds a number that is no year, unless a name is found there."""
    if option not in ("yes", "no", "auto"):
        raise UsageError(f"-O header={option}: header is yes, no or auto")
    if option != "auto":
        return option == "yes"
    if any(name in cells and not name.isdecimal() for name in wanted):
        return True
    return not any(_NUMBER.fullmatch(cell) and not _YEAR.fullmatch(cell) for cell in cells)


def _samples(scanner: Scanner, first: Record, following: Sequence[Record], header: bool) -> list[str]:
    """For each column the first cell that says something, shortened."""
    rows = [record.cells for record in (following if header else [first, *following])]
    samples = []
    for index in range(len(first.cells)):
        texts = (scanner.value(row[index]).strip() for row in rows if index < len(row))
        text = next((text for text in texts if text), "")
        samples.append(text if len(text) <= 40 else text[:37] + "...")
    return samples
