"""One document from input to output: translate into the log, write from the log, verify, put in place.

The two passes meet in the alignment log alone, which is why a killed run goes on where it was and ``replay`` needs no
model. Both read the file as a stream; neither holds more than a window of it.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from . import __version__
from .alignment import SCHEMA, AlignmentLog, Run, Values, read_history, read_values
from .checks import Check
from .errors import BatchtransError, DocumentRefused, UsageError
from .glossary import Glossary
from .ladder import RUNGS
from .marking import Marking
from .memory import Memory, load_memory
from .output import Digest, merge, splice, verify
from .pairs import units_of_runs
from .textio import AtomicFile, sha256_file
from .translator import REDO, Decision, Translator
from .types import Backend, Document, Format, Meter, OpenOptions, Piece, Segment

#: A window is what is sorted by length together: large enough to fill batches, small enough for memory.
WINDOW_SEGMENTS = 4_096
WINDOW_BYTES = 4 << 20
#: Windows this many times as large go to a backend in the background: such a one keeps a device full, which it is not
#: at the end of a window.
BACKGROUND_WINDOWS = 2
#: And this many times to one that takes texts as they are, which need not be sorted: so that what a window holds stays
#: in the processor's cache until it is logged.
VERBATIM_WINDOWS = 1 / 4
#: How many more objects there may be before the garbage collector looks for cycles among them. A window has more than
#: its usual 700 many times over, and none of them in a cycle.
_UNCOLLECTED = 20_000
#: A segment's status is the first of these that one of its records has.
_STATUSES = ("failed", "fuzzy", "repaired", "ok", "skipped")
#: How many untranslated segments an outcome names; the log has all of them.
NAMED_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is asked to do, the same for all of its documents."""

    source_lang: str
    target_lang: str
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    redo: str = "new"
    mark: str = "low"
    memory: tuple[Path, ...] = ()
    force: bool = False
    max_error: float | None = None
    glossary: tuple[Path, ...] = ()

    def open_options(self, detected: Mapping[str, str] | None = None) -> OpenOptions:
        """What a format is told; ``detected`` is what a first reading found out."""
        return OpenOptions(self.source_lang, self.target_lang, self.values, self.force, detected or {})

    def for_log(self) -> dict[str, Any]:
        """The part of the settings that decides texts, as it stands in the run line."""
        return {
            "redo": self.redo,
            "mark": self.mark,
            "values": {name: list(values) for name, values in sorted(self.values.items())},
            "memory": [sha256_file(path) for path in self.memory],
            "force": self.force,
            **({} if self.max_error is None else {"max_error": self.max_error}),
            **({"glossary": [sha256_file(path) for path in self.glossary]} if self.glossary else {}),
        }


@dataclass(frozen=True, slots=True)
class Job:
    """One document to translate: ``source`` is read, ``output`` written, ``log`` appended to. ``name`` is what the
    user called the input. With ``in_place`` the output is the input, which is kept as ``NAME~``; with ``to_stdout``
    the output is a temporary file that is copied to standard output in the end."""

    name: str
    source: Path
    output: Path
    log: Path
    format: str
    in_place: bool = False
    to_stdout: bool = False


@dataclass(slots=True)
class Outcome:
    """What became of one document. ``counts`` has the segments by status (ok, repaired, fuzzy, failed, skipped) and
    by origin (``from mt`` ...) and, below the first rung of the ladder, by the last rung that any part of them needed
    (``by constrained`` ...); ``problems`` the first untranslated ones as (line, reason), and ``reasons`` the codes of
    what the judges found in any untranslated one. ``idle`` is how many of the ``seconds`` a backend in the background
    waited for something to do."""

    job: Job
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[int, str]] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)
    off_glossary: int = 0
    lines_off: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    edits: list[str] = field(default_factory=list)
    seconds: float = 0.0
    idle: float | None = None
    up_to_date: bool = False

    def add(self, decisions: Iterable[Decision]) -> None:
        for (written, status, origin, rung), times in Counter(map(self._kind, decisions)).items():
            self.counts["segments"] += times
            self.counts[status] += times
            if written:
                self.counts[f"from {origin}"] += times
                if rung:
                    self.counts[f"by {rung}"] += times

    def _kind(self, decision: Decision) -> tuple[bool, str, str, str]:
        """What is counted of a decision: whether it is written, its status, origin and last rung."""
        _, _, _, written, group = decision
        first = group[0]
        status, origin, rung = first.get("status", "ok"), first.get("origin", "mt"), first.get("rung", "")
        if len(group) > 1:
            status = min([values.get("status", "ok") for values in group], key=_STATUSES.index)
            rung = max([values.get("rung", "") for values in group], key=RUNGS.index)
        if len(group) > 1 or "checks" in first or status == "failed":
            self._remark(decision, status)
        return written, status, origin, rung

    def _remark(self, decision: Decision, status: str) -> None:
        """Note what the summary names: texts off the glossary, and untranslated ones with their reasons."""
        line, records = decision.segment.location.line, decision.records
        if decision.written:
            if any("glossary" in record.checks for record in records):
                self.off_glossary += 1
                if len(self.lines_off) < NAMED_PROBLEMS:
                    self.lines_off.append(line)
        elif status == "failed":
            self.reasons.update(code for record in records for code in record.checks)
            if len(self.problems) < NAMED_PROBLEMS:
                why = next((record.why for record in records if record.why), "no reason given")
                self.problems.append((line, why))


class LazyBackend:
    """A backend that is imported and started when the first document needs it, and then serves all of them."""

    def __init__(self, create: Callable[[], Backend], source_lang: str, target_lang: str) -> None:
        self._create = create
        self._languages = source_lang, target_lang
        self._backend: Backend | None = None
        self._started = False
        self._preview: Mapping[str, Any] | None = None
        self.fingerprint: dict[str, Any] = {}

    def preview(self) -> Mapping[str, Any]:
        """What of the fingerprint can be known without starting."""
        if self._preview is None:
            self._preview = self._created().preview(*self._languages)
        return self._preview

    def get(self) -> Backend:
        backend = self._created()
        if not self._started:
            self._started = True  # also if it fails: what it took by then is given back
            self.fingerprint = dict(backend.start(*self._languages))
            gc.freeze()  # what a model's libraries made stays, and need not be looked through again and again
        return backend

    def _created(self) -> Backend:
        if self._backend is None:
            self._backend = self._create()
        return self._backend

    def unstarted(self) -> tuple[Backend, Meter | None]:
        """The backend, and what measures requests before it starts; one without a preview starts quickly, and is
        started."""
        if not self.preview():
            self.get()
        return self._created(), self._created().meter(*self._languages)

    @property
    def notes(self) -> list[str]:
        """What the started backend wants the user to know."""
        return list(getattr(self._backend, "notes", ()))

    def stop(self) -> None:
        if self._backend is not None and self._started:
            self._backend.stop()


@dataclass(slots=True)
class _Journal:
    """The log of one document during a run. ``run`` is the run that is written or, if ``resumed``, gone on with;
    ``earlier`` are the runs before it; ``complete`` says that nothing is left to decide."""

    log: AlignmentLog
    run: Run
    earlier: list[Run]
    started_at: datetime
    resumed: bool = False
    complete: bool = False

    def groups(self) -> Iterator[list[Values]]:
        """The decisions of this run so far."""
        return read_values(self.log.path, Run(self.run.header, self.run.start, self.log.position()))


def _open_journal(log: AlignmentLog, header: dict[str, Any]) -> _Journal:
    """Go on with the last run of the log if it was the same and was killed or left nothing to try again; else begin
    a new one."""
    runs = log.history.runs
    started_at = _moment(log.history.started_at or header["time"])
    if runs and _same_run(runs[-1].header, header):
        end = runs[-1].end
        if end is None or not end["counts"].get("failed"):
            return _Journal(log, runs[-1], runs[:-1], started_at, resumed=True, complete=end is not None)
    log.append(header)
    log.sync()
    return _Journal(log, Run(header, log.position(), log.position()), runs, started_at)


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Let the garbage collector look through young objects less often."""
    usual = gc.get_threshold()
    if usual[0]:
        gc.set_threshold(max(usual[0], _UNCOLLECTED), *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def window_times(translator: Translator) -> float:
    """How many times as large as usual the windows for a translator should be."""
    if translator.works_ahead:
        return BACKGROUND_WINDOWS
    return VERBATIM_WINDOWS if translator.is_verbatim else 1


def windows(pieces: Iterable[Piece], times: float = 1) -> Iterator[list[Segment]]:
    """The segments of a document in windows bounded by number and by bytes, or so many ``times`` as large."""
    window: list[Segment] = []
    size, longest, largest = 0, times * WINDOW_SEGMENTS, times * WINDOW_BYTES
    for piece in pieces:
        if isinstance(piece, bytes):
            continue
        window.append(piece)
        source = piece.source
        size += len(piece.raw) + (len(source[0]) if len(source) == 1 else sum(map(len, source)))
        if size >= largest or len(window) >= longest:
            yield window
            window, size = [], 0
    if window:
        yield window


class Survey(NamedTuple):
    """What a first reading finds: how many segments a document has, how many of them a run would translate, and what
    the format ``detected``, by which it is to be opened from then on."""

    segments: int
    selected: int
    detected: Mapping[str, str]


def survey(job: Job, opener: Format, settings: Settings) -> Survey:
    """Read a document to its end, so that a broken one is refused before any model is loaded.

    :raises BatchtransError: if the document is refused.
    """
    document = opener.open(job.source, settings.open_options())
    found = Counter(document.states())
    return Survey(sum(found.values()), sum(found[state] for state in REDO[settings.redo]), document.detected)


@_seldom_collected()
def run_job(
    job: Job,
    opener: Format,
    settings: Settings,
    lazy: LazyBackend,
    found: Survey,
    checks: Sequence[Check] = (),
    glossary: Glossary | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> Outcome:
    """Translate one document; ``glossary`` has the terms of the files that the settings name, ``progress`` is told how
    many more segments are decided.

    :raises BatchtransError: if the document is refused; its output is then as it was before.
    """
    started = monotonic()
    outcome = Outcome(job)
    options = settings.open_options(found.detected)
    document = opener.open(job.source, options)
    header = _run_header(document, job, settings)
    replaced = job.in_place and not document.bilingual and _was_replaced(job, settings)
    if replaced or (found.selected and _is_up_to_date(job, header, lazy.preview())):
        outcome.up_to_date = True
        return outcome
    backend = lazy.get() if found.selected else None
    header["backend"] = lazy.fingerprint if backend else {}
    marking = Marking(settings.mark, backend.calibration, settings.max_error) if backend else Marking(settings.mark)
    outcome.notes += [marking.note] if marking.note else []
    with closing(AlignmentLog(job.log, job.source)) as log, closing(Memory()) as memory:
        if log.history.torn:
            outcome.notes.append(f"{job.log}: dropped {log.history.torn} bytes that a killed run left unfinished")
        journal = _open_journal(log, header)
        if journal.complete and _stands(job, journal.run):
            outcome.up_to_date = True
            return outcome
        _remember(memory, settings, journal, header)
        changed = False
        if not journal.complete:
            translator = Translator(
                document, backend, memory, redo=settings.redo, marking=marking, glossary=glossary, checks=checks
            )
            changed = _translate(document, translator, journal, memory, outcome, progress)
            outcome.idle = translator.idle if translator.works_ahead else None
        if journal.resumed:  # what the killed run decided counts too
            changed = _recount(document, journal, outcome)
        _write(document, opener, options, job, journal, outcome, changed)
    outcome.notes.extend(document.notes)  # some are known only after a full reading
    outcome.seconds = monotonic() - started
    return outcome


def recall(
    job: Job, document: Document, settings: Settings, preview: Mapping[str, Any], memory: Memory, *, fresh: bool = False
) -> bool:
    """Fill the memory with what :func:`run_job` would know before it asks for anything, as far as the ``preview`` of a
    fingerprint tells which earlier runs count; with ``fresh`` none does. Whether the document is up to date. Nothing is
    written.

    :raises BatchtransError: if the document is refused.
    """
    if job.in_place and not document.bilingual and not fresh and _was_replaced(job, settings):
        return True
    for path in settings.memory:
        memory.learn(load_memory(path, settings.source_lang, settings.target_lang), "memory")
    runs = [] if fresh else read_history(job.log).runs
    header = _run_header(document, job, settings)
    same = [run for run in runs if run.header["to"] == header["to"] and _fits(run.header["backend"], preview)]
    last = runs[-1] if runs and _same_run({**runs[-1].header, "backend": {}}, header) else None
    if last is None or last not in same or (last.end and last.end["counts"].get("failed")):
        memory.learn(units_of_runs(job.log, same), "memory")
        return False
    if last.end and _stands(job, last):
        return True
    memory.learn(units_of_runs(job.log, same[:-1]), "memory")
    memory.learn(units_of_runs(job.log, [last]), "duplicate")
    for group in read_values(job.log, last):
        memory.settle(group[0]["segment"])
    return False


def replay_job(job: Job, opener: Format, options: OpenOptions) -> Outcome:
    """Write an output again from the last run of its log, without a model.

    :raises UsageError: if the log's run did not come to its end or belongs to another input.
    """
    started = monotonic()
    outcome = Outcome(job)
    document = opener.open(job.source, options)
    with closing(AlignmentLog(job.log)) as log:
        run = log.history.runs[-1]
        if run.end is None:
            raise UsageError(f"{job.log} ends in the middle of a run", "Let `batchtrans run` finish it first.")
        if sha256_file(job.source) != run.header["input"]["sha256"]:
            raise UsageError(
                f"{job.source} is not the file that {job.log} was written for", "Give the input as it was then."
            )
        started_at = _moment(log.history.started_at or run.header["time"])
        journal = _Journal(log, run, [], started_at, resumed=True, complete=True)
        changed = _recount(document, journal, outcome)
        _write(document, opener, options, job, journal, outcome, changed)
    outcome.seconds = monotonic() - started
    return outcome


def _run_header(document: Document, job: Job, settings: Settings) -> dict[str, Any]:
    """The run line, but for the backend's fingerprint: everything that decides the output, so that two equal lines
    promise equal bytes."""
    return {
        "type": "run",
        "schema": SCHEMA,
        "tool": f"batchtrans {__version__}",
        "time": _now(),
        "input": {"path": os.fsencode(job.name).decode("utf-8", "backslashreplace"), "sha256": sha256_file(job.source)},
        "output": "-" if job.to_stdout else os.fsencode(job.output).decode("utf-8", "backslashreplace"),
        "format": job.format,
        "encoding": document.encoding,
        **({"detected": dict(document.detected)} if document.detected else {}),
        "from": settings.source_lang,
        "to": settings.target_lang,
        "backend": {},
        "options": settings.for_log(),
    }


def _now() -> str:
    """The time for a run line: SOURCE_DATE_EPOCH if set, else the clock; ISO 8601, UTC, whole seconds."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), timezone.utc) if epoch else datetime.now(timezone.utc)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _same_run(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two run lines ask for the same thing; when, and by which path to the same bytes, does not matter."""

    def essence(header: dict[str, Any]) -> dict[str, Any]:
        rest = {key: value for key, value in header.items() if key not in ("time", "tool", "output")}
        return {**rest, "input": header["input"]["sha256"]}

    return essence(one) == essence(other)


def _is_up_to_date(job: Job, header: dict[str, Any], preview: Mapping[str, Any]) -> bool:
    """Whether the log's last run was this one, as far as ``preview`` can tell, and nothing is left of it to do."""
    runs = read_history(job.log).runs if preview else []
    if not runs or not _same_run({**runs[-1].header, "backend": {}}, header):
        return False
    return _fits(runs[-1].header["backend"], preview) and _stands(job, runs[-1])


def _fits(fingerprint: Mapping[str, Any], preview: Mapping[str, Any]) -> bool:
    """Whether a fingerprint is one of which this much was known beforehand."""
    return all(fingerprint.get(name) == value for name, value in preview.items())


def _was_replaced(job: Job, settings: Settings) -> bool:
    """Whether a text to be replaced in place is its own translation already.

    :raises DocumentRefused: if it was translated in place before and is now neither that translation nor its original.
    """
    runs = [run for run in read_history(job.log).runs if run.end]
    sha256 = sha256_file(job.source)
    if not runs or any(run.header["input"]["sha256"] == sha256 for run in runs):
        return False
    if runs[-1].end and (runs[-1].end["output"]["sha256"], runs[-1].header["to"]) == (sha256, settings.target_lang):
        return True
    raise DocumentRefused(
        f"{job.name} was translated in place before; to do it again would translate translations",
        f"The original is {job.source.name}~. Translate that, or use --fresh if this text is a new one.",
    )


def _stands(job: Job, run: Run) -> bool:
    """Whether a run came to its end with nothing left to try again, and its output is in place byte for byte."""
    if run.end is None or run.end["counts"].get("failed") or not job.output.exists():
        return False
    return bool(sha256_file(job.output) == run.end["output"]["sha256"])


def _remember(memory: Memory, settings: Settings, journal: _Journal, header: dict[str, Any]) -> None:
    """Fill the memory as an uninterrupted run would have it: the user's files, earlier runs, this run so far."""
    for path in settings.memory:
        memory.learn(load_memory(path, settings.source_lang, settings.target_lang), "memory")
    # Another model's texts are not this model's: they are taken only where the user names the log with --memory.
    same = [
        run for run in journal.earlier if (run.header["backend"], run.header["to"]) == (header["backend"], header["to"])
    ]
    memory.learn(units_of_runs(journal.log.path, same), "memory")
    if journal.resumed:
        memory.learn(units_of_runs(journal.log.path, [journal.run]), "duplicate")
        for group in journal.groups():
            memory.settle(group[0]["segment"])


def _translate(
    document: Document,
    translator: Translator,
    journal: _Journal,
    memory: Memory,
    outcome: Outcome,
    progress: Callable[[int], object],
) -> bool:
    """First pass: decide every segment that the journal has not, and log it. Whether any target changed."""
    progress(memory.settled_count())
    changed = False
    with closing(translator.decide_all(windows(document.pieces(), window_times(translator)))) as decided:
        for decisions in decided:
            journal.log.write_groups(decision.group for decision in decisions)
            changed = changed or any([decision.changed for decision in decisions])
            outcome.add(decisions)
            journal.log.share()
            progress(len(decisions))
    journal.log.sync()
    return changed


def _recount(document: Document, journal: _Journal, outcome: Outcome) -> bool:
    """Count what the log says of every segment of the document. Whether any target changed."""
    outcome.counts.clear()
    outcome.problems.clear()
    outcome.reasons.clear()
    changed = False

    def decisions() -> Iterator[Decision]:
        nonlocal changed
        for piece in merge(document, journal.groups()):
            if not isinstance(piece, bytes):
                changed = changed or piece.changed
                yield piece

    outcome.add(decisions())
    return changed


def _write(
    document: Document,
    opener: Format,
    options: OpenOptions,
    job: Job,
    journal: _Journal,
    outcome: Outcome,
    changed: bool,
) -> None:
    """Second pass: splice, verify, close the run in the log, put the output in place."""
    edits = document.finish(journal.started_at) if changed else ()
    outcome.edits = [edit.why for edit in edits]
    with AtomicFile(job.output, tells_of=[job.source]) as output:
        digest = Digest() if changed else None
        sha256 = splice(document, merge(document, journal.groups()), edits, output.file, digest)
        output.close()
        # Where nothing was to change it should be the input, byte for byte; if not, that may be right (a new encoding).
        if changed or sha256_file(output.path) != journal.run.header["input"]["sha256"]:
            verify(opener, output.path, replace(options, detected=document.detected), digest or Digest.of(document))
        if not journal.complete:
            end = {"counts": dict(outcome.counts), "edits": outcome.edits, "output": {"sha256": sha256}}
            waited = {} if outcome.idle is None else {"idle": round(outcome.idle, 1)}
            journal.log.append({"type": "end", **end, **waited})
            journal.log.sync()
        if job.in_place:
            if sha256 == journal.run.header["input"]["sha256"]:
                return  # it stands there already
            back_up(job.source)
        output.commit()


def back_up(source: Path) -> Path:
    """Copy a file that is about to be replaced to ``NAME~``, or ``NAME~1`` and so on: no backup replaces another."""
    backup, number = source.with_name(source.name + "~"), 0
    while backup.exists():
        if sha256_file(backup) == sha256_file(source):
            return backup
        number += 1
        backup = source.with_name(f"{source.name}~{number}")
    with AtomicFile(backup, like=source) as copy, source.open("rb") as file:
        shutil.copyfileobj(file, copy.file)
        copy.commit()
    return backup


def last_run(log: Path) -> dict[str, Any]:
    """The run line of the last run in a log.

    :raises BatchtransError: if there is no such log or no run in it.
    """
    history = read_history(log)
    if not history.runs:
        raise BatchtransError(f"{log} holds no run", "Give the log of a finished `batchtrans run`.")
    return history.runs[-1].header
