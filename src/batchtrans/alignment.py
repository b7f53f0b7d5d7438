"""The alignment log: what became of every segment, appended before the output is written and never rewritten.

The file is JSON Lines. A ``run`` line opens each run, one ``record`` line per part of a segment follows in groups (a
group is one segment), and an ``end`` line with totals and the output's hash closes it. It is the only store of
results: resuming, reusing, replaying and exporting all read it. ``docs/alignment-log.md`` has the schema.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from .background import Syncer
from .errors import BatchtransError, DocumentRefused
from .textio import no_more_open_than, sync_directory, unwritable
from .types import Segment

#: What a line of the log has: of a record the fields that differ from their default.
Values = dict[str, Any]

SCHEMA = 1
_BLOCK = 1 << 17  # bytes of a log that are parsed at a time
_RUN_LINE = b'{"type":"run",'  # how every log begins
_TYPES = ("run", "record", "end")
#: Statuses whose target stands in the output.
WRITTEN = frozenset({"ok", "repaired", "fuzzy"})


class AlignmentRecord(NamedTuple):
    """One part of one plural form of one segment. Fields equal to their default are left out of the log.

    ``source`` and ``target`` include the white space at the part's edges: the joined parts of a form are its text.
    ``state`` is the segment's own where it was kept (``done``, ``fuzzy`` ...), ``tries`` how often the backend was
    asked, and ``rung`` where on the ladder it ended, empty for the first rung. ``raw`` is the backend's text before
    trimming and unmasking, where it differs from ``target``. ``tokens`` are those in and out, ``logprob`` the mean and
    least natural log-probability, ``ms`` the batch's wall time.
    """

    segment: str
    source: str
    target: str = ""
    status: str = "ok"
    origin: str = "mt"
    why: str = ""
    form: int | None = None
    forms: int = 1
    part: int = 0
    parts: int = 1
    line: int = 0
    span: tuple[int, int] = (0, 0)
    key: str = ""
    row: int | None = None
    column: str = ""
    context: str = ""
    flags: tuple[str, ...] = ()
    state: str = ""
    tries: int = 1
    rung: str = ""
    raw: str | None = None
    masks: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    stop: str = ""
    tokens: tuple[int, int] = (0, 0)
    logprob: tuple[float, float] | None = None
    confidence: float | None = None
    alignment: tuple[tuple[int, int], ...] = ()
    batch: int = 0
    ms: float = 0.0

    def values(self) -> Values:
        """What one line of the log has of the record."""
        fields = zip(self._fields, self, _DEFAULTS, strict=True)
        return {"type": "record", **{name: value for name, value, default in fields if value != default}}

    @classmethod
    def from_values(cls, values: Values) -> AlignmentRecord:
        """The record of one line; keys of later schemas are ignored."""
        known: dict[str, Any] = {}
        for name, value in values.items():
            if name in _NAMES:
                known[name] = tuple(value) if isinstance(value, list) else value
        return cls(**known)


_NAMES = frozenset(AlignmentRecord._fields)
#: The fields' defaults; those without one are never left out.
_DEFAULTS = tuple(AlignmentRecord._field_defaults.get(name) for name in AlignmentRecord._fields)


def values_of(
    segment: Segment,
    source: str,
    target: str,
    status: str,
    origin: str,
    why: str = "",
    state: str = "",
    form: int | None = None,
    forms: int = 1,
) -> Values:
    """What the log has of a segment that was decided as a whole, or of one of its forms: what the ``values()`` of its
    record would be, in a quarter of the time."""
    identity, _, _, _, (line, start, end, key, row, column), _, _, context, _, flags, _ = segment
    values: Values = {"type": "record", "segment": identity, "source": source}
    # One by one, for a loop over the fields takes four times as long, and this is done for every segment.
    if target:
        values["target"] = target
    if status != "ok":
        values["status"] = status
    if origin != "mt":
        values["origin"] = origin
    if why:
        values["why"] = why
    if form is not None:
        values["form"] = form
    if forms != 1:
        values["forms"] = forms
    if line:
        values["line"] = line
    if start or end:
        values["span"] = (start, end)
    if key:
        values["key"] = key
    if row is not None:
        values["row"] = row
    if column:
        values["column"] = column
    if context:
        values["context"] = context
    if flags:
        values["flags"] = tuple(sorted(flags))
    if state:
        values["state"] = state
    return values


@dataclass(slots=True)
class Run:
    """One run in a log: its ``run`` line, where its records begin and end in the file, its ``end`` line if any."""

    header: dict[str, Any]
    start: int
    stop: int
    end: dict[str, Any] | None = None


@dataclass(slots=True)
class History:
    """What a log holds: its runs, and ``length``, the bytes up to the last whole group of records.

    ``torn`` says how many bytes after that a killed writer left behind.
    """

    runs: list[Run] = field(default_factory=list)
    length: int = 0
    torn: int = 0

    @property
    def started_at(self) -> str | None:
        """The time of the first run line, ISO 8601 in UTC: the only clock that outputs know."""
        return self.runs[0].header["time"] if self.runs else None

    def output_hashes(self) -> set[str]:
        """SHA-256 of every output that a run in this log has finished."""
        return {run.end["output"]["sha256"] for run in self.runs if run.end and run.end.get("output")}


def read_history(path: Path) -> History:
    """Read the frame of a log: run and end lines, and where the last whole group of records ends.

    :raises BatchtransError: if the file is not an alignment log or of a later schema.
    """
    history = History()
    if not path.exists():
        return history
    position, count = 0, 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            values = _parse(line, path)
            position += len(line)
            kind = values.get("type")
            if kind == "record":
                _require_run(history, path)
                count = 0 if _closes_group(values) else count + 1
            elif kind == "run":
                if values.get("schema", 0) > SCHEMA:
                    raise BatchtransError(f"{path} was written by a later version of batchtrans", "Update batchtrans.")
                history.runs.append(Run(values, position, position))
                count = 0
            elif kind == "end":
                _require_run(history, path).end = values
                count = 0
            if count == 0:
                history.length = position
                history.runs[-1].stop = position
    history.torn = path.stat().st_size - history.length
    if not history.runs and not is_log(path):
        raise _not_a_log(path)
    return history


def is_log(path: Path) -> bool:
    """Whether a file begins with a line of a log, or with what a killed run wrote of its first one."""
    with path.open("rb") as file:
        line = file.readline()
    if not line.endswith(b"\n"):
        return _RUN_LINE.startswith(line[: len(_RUN_LINE)])
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(values, dict) and values.get("type") in _TYPES


def _parse(line: bytes, path: Path) -> dict[str, Any]:
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        values = None
    if not isinstance(values, dict) or values.get("type") not in _TYPES:
        raise _not_a_log(path)
    return values


def _parse_lines(lines: bytes, path: Path) -> list[Values]:
    """The same for many at once."""
    try:
        found: list[Values] = orjson.loads(b"[%s]" % lines.replace(b"\n", b","))
        if all([values["type"] in _TYPES for values in found]):
            return found
    except (orjson.JSONDecodeError, KeyError, TypeError):
        pass
    raise _not_a_log(path)


def _not_a_log(path: Path) -> BatchtransError:
    return BatchtransError(
        f"{path} is not an alignment log", "An alignment log is what `batchtrans run` writes beside its output."
    )


def _require_run(history: History, path: Path) -> Run:
    if not history.runs:
        raise BatchtransError(f"{path} does not begin with a run line", "It is damaged; move it out of the way.")
    return history.runs[-1]


def _closes_group(values: Mapping[str, Any]) -> bool:
    """Whether this record is the last part of the last form of its segment."""
    if "parts" not in values and "forms" not in values:
        return True
    last_part = values.get("part", 0) == values.get("parts", 1) - 1
    return bool(last_part and (values.get("form") or 0) == values.get("forms", 1) - 1)


def read_groups(path: Path, run: Run) -> Iterator[list[AlignmentRecord]]:
    """The groups of records of one run, each the parts of all forms of one segment, in the order of the log."""
    for group in read_values(path, run):
        yield [AlignmentRecord.from_values(values) for values in group]


def read_values(path: Path, run: Run) -> Iterator[list[Values]]:
    """The same as the lines have it.

    :raises BatchtransError: for a line that is none of a log, which :func:`read_history` has not seen there.
    """
    group: list[Values] = []
    with path.open("rb") as file:
        file.seek(run.start)
        left, rest = run.stop - run.start, b""
        while left > 0:
            block = file.read(min(left, _BLOCK))
            if not block:
                raise _not_a_log(path)  # something has cut it off since
            left -= len(block)
            lines, _, rest = (rest + block).rpartition(b"\n")
            for values in _parse_lines(lines, path):
                if values["type"] != "record":
                    continue
                group.append(values)
                if ("parts" not in values and "forms" not in values) or _closes_group(values):
                    yield group
                    group = []


def is_doubtful(group: Iterable[AlignmentRecord]) -> bool:
    """Whether a written segment failed a soft check or needed the ladder below its first rung."""
    return any(record.checks or record.rung not in ("", "masked") for record in group)


def forms_of(group: Iterable[AlignmentRecord], field_name: str = "target") -> tuple[str, ...]:
    """The whole texts of a group, one per plural form, from its parts."""
    texts: dict[int, str] = {}
    for record in group:
        texts[record.form or 0] = texts.get(record.form or 0, "") + getattr(record, field_name)
    return tuple(texts[form] for form in sorted(texts))


class AlignmentLog:
    """An open log, appended to by one process at a time. What :meth:`share` gave to the system survives this process;
    nothing is known to be on the disk before :meth:`sync`.

    ``history`` is what the log held when it was opened; what a killed run left after the last whole group is gone. A
    new one is no more open than its ``document``.

    :raises DocumentRefused: if another process has the log open, or ``path`` is no regular file.
    :raises BatchtransError: if it cannot be read and written.
    """

    def __init__(self, path: Path, document: Path | None = None) -> None:
        self.path = path
        created = not path.exists()
        if not created and not path.is_file():
            raise DocumentRefused(f"{path} is not a file, so it cannot be a log")
        try:  # it is opened to others later: who could open it before it is closed to them could go on reading
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            if created:
                os.chmod(path, no_more_open_than(path, *([document] if document else ())))
        except OSError as error:
            raise unwritable(path, error, option="--log") from None
        self._file: IO[bytes] = os.fdopen(descriptor, "r+b")
        _lock(self._file, path)
        self.history = read_history(path)
        self._file.truncate(self.history.length)
        self._file.seek(self.history.length)
        self._syncer = Syncer(self._file.fileno())
        if created:
            sync_directory(path.parent)

    def append(self, values: Mapping[str, Any]) -> None:
        """A run or end line."""
        with self._writing():
            self._file.write(orjson.dumps(values) + b"\n")

    def write_groups(self, groups: Iterable[Iterable[Values]]) -> None:
        """All records of some segments, each in order of form and part."""
        if records := [values for group in groups for values in group]:
            # In one call, which is quicker. What parts two records is in no text: there a backslash precedes a quote.
            lines = orjson.dumps(records)[1:-1].replace(b'},{"type":', b'}\n{"type":')
            with self._writing():
                self._file.write(lines + b"\n")

    def share(self) -> None:
        """Give everything appended so far to the system, and have it brought to the disk in the background.

        :raises BatchtransError: if that fails, or failed with what was appended before.
        """
        with self._writing():
            self._file.flush()
            self._syncer.ask()

    def sync(self) -> None:
        """Bring everything appended so far to the disk.

        :raises BatchtransError: if that fails, or failed in the background.
        """
        with self._writing():
            self._file.flush()
            self._syncer.close()
            self._syncer.check()
            os.fsync(self._file.fileno())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BatchtransError(
                f"{self.path} cannot be written: {error.strerror or error}",
                "Make room, or mend the disk, and run the same command again: it goes on after what the log has.",
            ) from None

    def position(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._syncer.close()
        with suppress(OSError):  # what cannot be written now could not be written before, which was told then
            self._file.close()


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows refuses a second writer by itself
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise DocumentRefused(
            f"another run is writing {path}", "Wait for it, or give this run another --log."
        ) from None
