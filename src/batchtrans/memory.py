"""Translations that are known already: from this run, from earlier runs in the log, and from files given by the user.

A match is exact: the same source for every plural form, the same context. The store is a temporary database on disk,
so that a million rows do not have to fit in memory; it is filled anew from the logs and files each time.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .alignment import WRITTEN, Run, forms_of, is_doubtful, read_groups, read_history
from .errors import FormatError, UsageError
from .forms import form_sources
from .plugins import registry, resolve
from .textio import sniff_bom
from .types import OpenOptions, Segment, State

_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


class Known(NamedTuple):
    """A known translation: one text per plural form, where it came from (``memory``, ``duplicate``, ``copy``), and
    whether the judges doubted it."""

    targets: tuple[str, ...]
    origin: str
    doubtful: bool = False


class Memory:
    """An exact-match store. Later additions do not replace earlier ones."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("")  # a temporary file that vanishes with the connection
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute(
            "CREATE TABLE known (key BLOB PRIMARY KEY, targets TEXT, origin TEXT, doubtful INT) WITHOUT ROWID"
        )
        self._base.execute("CREATE TABLE decided (segment TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, context: str, sources: tuple[str, ...], known: Known) -> None:
        self._base.execute(
            "INSERT OR IGNORE INTO known VALUES (?, ?, ?, ?)",
            (_key(context, sources), json.dumps(known.targets), known.origin, known.doubtful),
        )

    def find(self, context: str, sources: tuple[str, ...]) -> Known | None:
        row = self._base.execute(
            "SELECT targets, origin, doubtful FROM known WHERE key = ?", (_key(context, sources),)
        ).fetchone()
        return Known(tuple(json.loads(row[0])), row[1], bool(row[2])) if row else None

    def settle(self, segment: str) -> None:
        """Remember that the run that is being resumed has decided this segment."""
        self._base.execute("INSERT OR IGNORE INTO decided VALUES (?)", (segment,))

    def settled(self, segment: str) -> bool:
        return self._base.execute("SELECT 1 FROM decided WHERE segment = ?", (segment,)).fetchone() is not None

    def close(self) -> None:
        self._base.close()


def _key(context: str, sources: tuple[str, ...]) -> bytes:
    text = "\0".join((context, *sources))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


Pair = tuple[str, tuple[str, ...], tuple[str, ...]]  # context, sources, targets


def load_memory(path: Path, source_lang: str, target_lang: str) -> Iterator[tuple[Pair, bool]]:
    """The pairs of a memory file, each with whether it is doubtful: an alignment log, a .po, a TMX, or a CSV/TSV.

    A CSV gives the columns named ``source`` and ``target`` or after the two languages, else its first two.

    :raises UsageError: for a file of another kind or without the two languages.
    :raises FormatError: for a file that cannot be read.
    """
    if not path.exists():
        raise UsageError(f"there is no memory file {path}")
    name = path.name.lower()
    if name.endswith(".jsonl"):
        runs = [run for run in read_history(path).runs if run.header.get("to") == target_lang]
        yield from from_runs(path, runs, found_done=True)
    elif name.endswith((".po", ".pot")):
        yield from ((pair, False) for pair in _from_po(path, source_lang, target_lang))
    elif name.endswith(".tmx"):
        yield from ((pair, False) for pair in _from_tmx(path, source_lang, target_lang))
    elif name.endswith((".csv", ".tsv")):
        yield from ((pair, False) for pair in _from_csv(path, source_lang, target_lang))
    else:
        raise UsageError(
            f"{path} is no memory that batchtrans reads", "Give an alignment log, .po, .tmx, .csv or .tsv."
        )


def from_runs(path: Path, runs: Sequence[Run], *, found_done: bool = False) -> Iterator[tuple[Pair, bool]]:
    """What these runs of a log translated, the latest run first, each with whether it is doubtful.

    ``found_done`` adds what they found translated already. What a run only passed through (fuzzy entries, texts that
    were not selected, copies) is no translation to learn from.
    """
    for run in reversed(runs):
        for group in read_groups(path, run):
            origins = {record.origin for record in group}
            made = origins - {"copy", "kept"} and all(record.status in WRITTEN for record in group)
            found = found_done and group[0].state == State.DONE.value
            if made or found:
                yield (group[0].context, forms_of(group, "source"), forms_of(group)), is_doubtful(group)


def _from_po(path: Path, source_lang: str, target_lang: str) -> Iterator[Pair]:
    opener = resolve(registry().formats["po"])()
    document = opener.open(path, OpenOptions(source_lang, target_lang, force=True))
    for piece in document.pieces():
        if isinstance(piece, Segment) and piece.state is State.DONE:
            yield piece.context, form_sources(piece, document), piece.target


def _from_tmx(path: Path, source_lang: str, target_lang: str) -> Iterator[Pair]:
    from xml.etree import ElementTree

    try:
        for _, element in ElementTree.iterparse(path):
            if element.tag.rpartition("}")[2] != "tu":
                continue
            texts: dict[str, str] = {}
            for variant in element.iter():
                if variant.tag.rpartition("}")[2] == "tuv":
                    lang = variant.get(_XML_LANG) or variant.get("lang") or ""
                    texts[_base_lang(lang)] = "".join(
                        "".join(part.itertext()) for part in variant if part.tag.rpartition("}")[2] == "seg"
                    )
            source, target = texts.get(_base_lang(source_lang)), texts.get(_base_lang(target_lang))
            if source and target:
                yield "", (source,), (target,)
            element.clear()
    except ElementTree.ParseError as error:
        raise FormatError(f"not well-formed XML: {error}", path=path, line=error.position[0]) from None


def _base_lang(code: str) -> str:
    return code.replace("_", "-").split("-")[0].lower()


def _from_csv(path: Path, source_lang: str, target_lang: str) -> Iterator[Pair]:
    encoding = (sniff_bom(path)[1] or "utf-8").removesuffix("-le").removesuffix("-be")
    delimiter = "\t" if path.name.lower().endswith(".tsv") else ","
    csv.field_size_limit(1 << 30)
    try:
        with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as file:
            rows = csv.reader(file, delimiter=delimiter)
            header = [name.strip().lower() for name in next(rows, [])]
            columns = _pair_columns(header, source_lang.lower(), target_lang.lower())
            if columns is None and len(header) < 2:
                raise UsageError(f"{path} has one column; a memory needs a source and a target column")
            first, second = columns or (0, 1)
            if columns is None:
                file.seek(0)
            for row in rows:
                if len(row) > max(first, second) and row[first] and row[second]:
                    yield "", (row[first],), (row[second],)
    except UnicodeDecodeError as error:
        raise FormatError(f"not {error.encoding}", path=path, offset=error.start, hint="Save it as UTF-8.") from None


def _pair_columns(header: list[str], source_lang: str, target_lang: str) -> tuple[int, int] | None:
    for source, target in (("source", "target"), (source_lang, target_lang)):
        if source in header and target in header:
            return header.index(source), header.index(target)
    return None
