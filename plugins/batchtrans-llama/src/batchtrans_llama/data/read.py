"""Pairs from whatever holds translations: files of every kind that batchtrans reads, Parquet, datasets."""

from __future__ import annotations

from typing import NamedTuple


class Pair(NamedTuple):
    """One form of one unit: a text and its translation.

    ``context`` and ``document`` say where it belongs and are never shown to a model; ``flags`` are gettext's.
    ``plural`` says that it is a form of a plural entry, which may leave the number out of its source.
    """

    source: str
    target: str
    context: str = ""
    document: str = ""
    flags: frozenset[str] = frozenset()
    plural: bool = False
