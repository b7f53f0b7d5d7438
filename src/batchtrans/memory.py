"""Translations that are known already: from this run, from earlier runs in the log, and from files given by the user.

A match is exact: the same source for every plural form, the same context. The store is a temporary database on disk,
so that a million rows do not have to fit in memory; it is filled anew from the logs and files each time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import orjson

from .errors import UsageError
from .pairs import Unit, read_units


class Known(NamedTuple):
    """A known translation: one text per plural form, where it came from (``memory``, ``duplicate``, ``copy``), whether
    the judges doubted it, and how sure the model was."""

    targets: tuple[str, ...]
    origin: str
    doubtful: bool = False
    confidence: float | None = None


#: Statements let other threads work, and wait for them afterwards: that takes longer than a row.
_TOGETHER = 256
_INSERT = "INSERT OR IGNORE INTO known VALUES " + ", ".join(["(?, ?, ?, ?, ?)"] * _TOGETHER)
_SELECT = "SELECT targets, origin, doubtful, confidence FROM known WHERE key = ?"


class Memory:
    """An exact-match store. Later additions do not replace earlier ones."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("")  # a temporary file that vanishes with the connection
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute(
            "CREATE TABLE known (key BLOB PRIMARY KEY, targets BLOB, origin TEXT, doubtful INT, confidence REAL)"
            " WITHOUT ROWID"
        )
        self._base.execute("CREATE TABLE decided (segment TEXT PRIMARY KEY) WITHOUT ROWID")
        self._fresh: dict[bytes, Known] = {}  # what is not in the base yet

    def add(self, context: str, sources: tuple[str, ...], known: Known) -> None:
        self._fresh.setdefault(_key(context, sources), known)
        if len(self._fresh) == _TOGETHER:
            rows = [(key, orjson.dumps(one.targets), *one[1:]) for key, one in self._fresh.items()]
            self._base.execute(_INSERT, [*chain.from_iterable(rows)])
            self._fresh.clear()

    def learn(self, units: Iterable[Unit], origin: str) -> None:
        """Add what files and logs hold."""
        for unit in units:
            self.add(unit.context, unit.sources, Known(unit.targets, origin, unit.doubtful, unit.confidence))

    def find(self, context: str, sources: tuple[str, ...]) -> Known | None:
        key = _key(context, sources)
        row = self._base.execute(_SELECT, (key,)).fetchone()
        if row is None:
            return self._fresh.get(key)
        return Known(tuple(orjson.loads(row[0])), row[1], bool(row[2]), row[3]) if row else None

    def settle(self, segment: str) -> None:
        """Remember that the run that is being resumed has decided this segment."""
        self._base.execute("INSERT OR IGNORE INTO decided VALUES (?)", (segment,))

    def settled(self, segment: str) -> bool:
        return self._base.execute("SELECT 1 FROM decided WHERE segment = ?", (segment,)).fetchone() is not None

    def settled_count(self) -> int:
        return int(self._base.execute("SELECT count(*) FROM decided").fetchone()[0])

    def close(self) -> None:
        self._base.close()


def _key(context: str, sources: tuple[str, ...]) -> bytes:
    text = "\0".join((context, *sources))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def load_memory(path: Path, source_lang: str, target_lang: str) -> Iterator[Unit]:
    """The translations of a memory file, of any kind that :func:`batchtrans.pairs.read_units` reads.

    It may have none. The Language of a catalogue's header is not asked: too many still have that of their template.
    A table's column for the context is remarks as often as not, so that its texts match without one.

    :raises UsageError: for a file of another kind or without the two languages.
    :raises FormatError: for a file that cannot be read.
    """
    if not path.exists():
        raise UsageError(f"there is no memory file {path}")
    kind = path.suffix.lower()
    units = read_units(path, source_lang, target_lang, may_be_empty=True, force=kind in (".po", ".pot"))
    return (unit._replace(context="") for unit in units) if kind in (".csv", ".tsv") else units
