"""Pairs from whatever holds translations: files of every kind that batchtrans reads, Parquet, datasets.

Everything streams. A directory here is read here; only a name that is no path goes to the hub.
"""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from batchtrans import BackendError, BatchtransError, FormatError, UsageError
from batchtrans.pairs import ENDINGS, ROW_HINT, Unit, is_readable, read_units, row_texts

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(?::[\w.-]+)?")
_GLOB = re.compile(r"[*?\[]")
_PATIENCE = 20  # seconds for the hub to answer
_BATCH = 1024  # rows of a Parquet file that are held at once
#: What `save_to_disk` leaves in the directory of a data set, and in that of a dictionary of its splits.
_DATASET_FILES = ("dataset_info.json", "dataset_dict.json")


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


class _Job(NamedTuple):
    source_lang: str
    target_lang: str
    columns: tuple[str, str] | None
    skipped: Counter[str]
    force: bool


def read_pairs(
    inputs: Sequence[str],
    source_lang: str,
    target_lang: str,
    *,
    columns: tuple[str, str] | None = None,
    counts: Counter[str],
    force: bool = False,
) -> Iterator[Pair]:
    """The pairs of all inputs, in the order given.

    An input is a file that :func:`batchtrans.pairs.read_units` reads, a .parquet file, a data set saved by
    ``datasets``, a directory or pattern of such files, or a data set of the hub as ``owner/name`` or
    ``owner/name:config``. ``columns`` name source and target in tables, JSON Lines and data sets. ``force`` takes
    files that say they are in another language.

    ``counts`` gets ``read``, how many texts there were, and under their reasons those that are left out:
    ``untranslated``, ``fuzzy``, and ``doubtful`` by the judges of a log. Of a directory or pattern, files without
    translations between the two languages are left out whole and counted as one each; a log in a directory, which
    is beside the output that it tells of, is not read.

    :raises UsageError: for an input that is not there, of another kind, or without translations.
    :raises FormatError: for a file that cannot be read.
    :raises BackendError: where a package is missing, or the hub does not answer.
    """
    skipped: Counter[str] = Counter()
    job = _Job(source_lang, target_lang, columns, skipped, force)
    for name in inputs:
        for pair in _read(name, job):
            counts["read"] += 1
            yield pair
    counts["read"] += skipped.total()
    counts.update(skipped)


def _read(name: str, job: _Job) -> Iterator[Pair]:
    path = Path(name).expanduser()
    if path.is_file() or _is_dataset(path):
        yield from _read_path(path, job)
    elif path.is_dir():
        yield from _read_files(name, _in_directory(path), job)
    elif _GLOB.search(name):
        yield from _read_files(name, map(Path, sorted(glob.glob(str(path), recursive=True))), job)
    elif _HUB_ID.fullmatch(name) and not _is_known(path):
        yield from _read_hub(name, job)
    else:
        raise UsageError(f"there is no file {name}")


def _read_files(name: str, paths: Iterable[Path], job: _Job) -> Iterator[Pair]:
    """The pairs of those of these paths that hold translations."""
    found = False
    why = f"It could be {', '.join(ENDINGS)} or .parquet."
    for path in _translations(paths):
        try:
            for pair in _read_path(path, job):
                found = True
                yield pair
        except UsageError as error:
            job.skipped["files without such translations"] += 1
            why = str(error)
    if not found:
        raise UsageError(f"there is no file with translations in {name}", why)


def _in_directory(directory: Path) -> Iterator[Path]:
    """What a directory holds, but neither hidden files nor the logs that runs leave beside their outputs."""
    for path in sorted(directory.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
        if not hidden and not path.name.endswith(".align.jsonl"):
            yield path


def _translations(paths: Iterable[Path]) -> Iterator[Path]:
    """Of these paths the data sets and the files that can be read; what lies in a data set belongs to that."""
    sets: set[Path] = set()
    for path in paths:
        if sets.isdisjoint(path.parents):
            if _is_dataset(path):
                sets.add(path)
            if path in sets or (path.is_file() and _is_known(path)):
                yield path


def _is_known(path: Path) -> bool:
    return is_readable(path) or path.suffix.lower() == ".parquet"


def _is_dataset(path: Path) -> bool:
    return any((path / name).is_file() for name in _DATASET_FILES)


def _read_path(path: Path, job: _Job) -> Iterator[Pair]:
    if path.is_dir():
        yield from _read_dataset(path, job)
    elif path.suffix.lower() == ".parquet":
        yield from _read_parquet(path, job)
    else:
        units = read_units(
            path, job.source_lang, job.target_lang, columns=job.columns, skipped=job.skipped, force=job.force
        )
        for unit in units:
            if unit.doubtful:
                job.skipped["doubtful"] += 1
            else:
                yield from _forms(unit, job.skipped)


def _forms(unit: Unit, skipped: Counter[str]) -> Iterator[Pair]:
    """One pair for each form that has both sides; a catalogue may have more or fewer than its header's rule."""
    plural = len(unit.sources) > 1 or len(unit.targets) > 1
    for source, target in zip(unit.sources, unit.targets, strict=False):
        yield Pair(source, target, unit.context, unit.document, unit.flags, plural)
    if odd := abs(len(unit.targets) - len(unit.sources)):
        skipped["plural forms against the header"] += odd


def _rows(rows: Iterable[Mapping[str, Any]], name: str, job: _Job) -> Iterator[Pair]:
    """The pairs of rows with named values, as JSON Lines have them."""
    empty = True
    for number, row in enumerate(rows, 1):
        try:
            texts = row_texts(row, job.source_lang, job.target_lang, job.columns)
        except ValueError as error:
            raise FormatError(f"row {number}: {error}", path=name, hint=ROW_HINT) from None
        if texts.source and texts.target:
            empty = False
            document = f"{name}#{texts.document}" if texts.document else name
            yield Pair(texts.source, texts.target, texts.context, document, texts.flags)
        else:
            job.skipped["untranslated"] += 1
    if empty:
        raise UsageError(f"no translations in {name}")


def _read_parquet(path: Path, job: _Job) -> Iterator[Pair]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise _missing("pyarrow") from None
    try:
        with parquet.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=_BATCH)
            yield from _rows((row for batch in batches for row in batch.to_pylist()), str(path), job)
    except (ArrowException, OSError) as error:
        raise FormatError(f"not readable as Parquet: {_first_line(error)}", path=path) from None


def _read_dataset(path: Path, job: _Job) -> Iterator[Pair]:
    """A data set that `save_to_disk` wrote, of a dictionary all splits."""
    datasets = _datasets()
    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"not readable as a data set: {_first_line(error)}", path=path) from None
    splits = loaded.items() if isinstance(loaded, Mapping) else [("", loaded)]
    for split, rows in splits:
        yield from _rows(rows, f"{path}/{split}" if split else str(path), job)


def _read_hub(name: str, job: _Job) -> Iterator[Pair]:
    """A data set of the hub, all its splits, streamed; nothing of it is kept and no code of it is run."""
    datasets = _datasets()
    from huggingface_hub import HfApi, constants

    what = f"{name} is no file here, and as a data set of the hub it cannot be read"
    if constants.HF_HUB_OFFLINE or datasets.config.HF_DATASETS_OFFLINE:
        raise BackendError(f"{what}: the hub must not be asked (HF_HUB_OFFLINE)")
    identity, _, configuration = name.partition(":")
    try:
        HfApi().dataset_info(identity, timeout=_PATIENCE)  # says at once what loading would try again and again
        splits = datasets.load_dataset(identity, configuration or None, streaming=True)
        for split, rows in splits.items():
            yield from _rows(rows, f"{name}/{split}", job)
    except BatchtransError:
        raise
    except Exception as error:  # of the hub's client, of its HTTP library, of datasets: they share no base class
        raise BackendError(f"{what}: {_first_line(error)}") from None


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise _missing("datasets") from None
    datasets.disable_progress_bars()
    return datasets


def _missing(package: str) -> BackendError:
    return BackendError(
        f"the package {package} is not installed", "It comes with: pip install 'batchtrans-llama[datasets]'"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
