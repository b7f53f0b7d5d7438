"""Regular records: those on one line with as many cells as the table's first record, in which quotes stand only around
cells or doubled in one. Nearly all records of nearly all tables are, and one expression takes them apart.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .csv_columns import Table
from .csv_scan import Dialect

#: Records of more cells are parted sooner at their delimiters.
_WIDEST = 48

#: What rendering needs to know: how many delimiters stand before the cell in its slot, whether the source cell is
#: quoted, whether the target cell is there, and whether the record must stay as it is.
Slot = tuple[int, bool, bool, bool]


class Place(NamedTuple):
    """A column in a regular record: its tag, which of the record's parts are the text before its slot, the slot and the
    source, and what rendering needs where the source is not quoted and where it is."""

    tag: str
    before: int
    slot: int
    source: int
    plain: Slot
    quoted: Slot


class Layout(NamedTuple):
    """How regular records are taken apart. ``pattern`` matches a record, with its whole text as the first of its parts,
    or all that is left of a text, in parts that are empty. The part ``rest`` is what stands behind all slots."""

    pattern: re.Pattern[str]
    places: tuple[Place, ...]
    rest: int


def layout(table: Table, dialect: Dialect) -> Layout | None:
    """The layout of a table's regular records; ``None`` where no column is chosen, cells may hold escapes, or there are
    too many of them."""
    if dialect.escapechar or not table.columns or table.width > _WIDEST:
        return None
    slots = {column.target for column in table.columns}
    chosen = slots.union(column.source for column in table.columns)
    filled = _filled(table, slots)
    pattern, parts, rest = "((", 2, 1
    at: dict[int, int] = {}
    for index in range(max(table.width, *(target + 1 for target in slots))):
        there = index < table.width
        delimiter = re.escape(dialect.delimiter) if there and index else ""
        cell = _cell(dialect, empty=index not in filled) if there else ""
        if index not in chosen:
            pattern += delimiter + cell
            continue
        at[index], parts = parts, parts + 1
        if index not in slots:
            pattern += f"{delimiter}({cell})"
        else:
            pattern += f"{delimiter})({cell})(" if table.replace else f")({delimiter}{cell})("
            rest, parts = parts, parts + 1
    places, before = [], 1
    for source, tag, target in table.columns:
        delimiters = int(not table.replace and target > 0)
        plain, quoted = ((delimiters, quoted, target < table.width, False) for quoted in (False, True))
        places.append(Place(tag, before, at[target], at[source], plain, quoted))
        before = at[target] + 1
    return Layout(re.compile(rf"{pattern}\r?\n))|(?s:.+)"), tuple(places), rest)


def _filled(table: Table, slots: set[int]) -> set[int]:
    """The cells that are not empty in a regular record: an empty one right before a slot would belong to it, and a
    record of nothing but one is a blank line."""
    filled = {0} if table.width == 1 else set()
    if not table.replace:
        filled |= {min(slot, table.width) - 1 for slot in slots}
    return filled if table.replace else filled - slots


def _cell(dialect: Dialect, *, empty: bool) -> str:
    """The expression for a raw cell."""
    delimiter, quote = re.escape(dialect.delimiter), re.escape(dialect.quotechar)
    plain = rf"[^{delimiter}\r\n{quote}]{'*' if empty else '+'}"
    if not quote:
        return plain
    inside = rf"[^\r\n{quote}]*"
    return rf"(?:{quote}{inside}(?:{quote}{quote}{inside})*{quote}|{plain})"
