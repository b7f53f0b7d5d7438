"""From the inputs on the command line to jobs: which files, in which format, to which outputs and logs.

All that can be refused without reading a document is refused here, before any work.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from .alignment import read_history
from .errors import OutputConflict, UsageError
from .pipeline import Job
from .plugins import Registry
from .textio import sha256_file

LOG_SUFFIX = ".align.jsonl"

#: Inputs that cannot be a job, by the names that the user gave them, and why.
Unusable = list[tuple[str, UsageError]]


def plan(
    inputs: Sequence[str],
    target_lang: str,
    registry: Registry,
    *,
    format_name: str | None = None,
    output: str | None = None,
    log: Path | None = None,
    in_place: bool = False,
) -> tuple[list[Job], Unusable]:
    """The jobs for files, directories and globs, in the order given, and the inputs that cannot be one: not there, not
    to be read twice, or of no known format.

    :raises UsageError: for what concerns all of them, as two inputs with one output.
    """
    found, unusable = _expand(inputs, target_lang, registry)
    if not found and not unusable:
        raise UsageError("no input files", f"Name a file, or a directory with {_known_endings(registry)} files.")
    several = len(found) + len(unusable) > 1
    if log is not None and several:
        raise UsageError("--log names one log, but there are several inputs", "Leave it out: each output gets its own.")
    if several and output is not None and _looks_like_a_file(output, registry):
        raise UsageError(
            f"-o {output} looks like a file, but there are several inputs",
            f"Name a directory; if it is to be called so: -o {output}/",
        )
    if in_place and output is not None:
        raise UsageError("--in-place and -o exclude each other")
    jobs = []
    for source, relative in found:
        try:
            name = format_name or _format_of(source, registry)
        except UsageError as error:
            unusable.append((str(source), error))
            continue
        destination = source if in_place else _destination(source, relative, output, target_lang, several)
        journal = log or destination.with_name(destination.name + LOG_SUFFIX)
        jobs.append(Job(str(source), source, destination, journal, name, in_place))
    if not in_place:
        jobs = _without_own_outputs(jobs)
    _refuse_collisions(jobs)
    return jobs, unusable


def _without_own_outputs(jobs: list[Job]) -> list[Job]:
    """Leave out inputs that are what an earlier run made of another input here: a shell's ``*.po`` names both."""
    outputs = {job.output.resolve() for job in jobs}
    return [
        job
        for job in jobs
        if job.source.resolve() not in outputs or not job.source.with_name(job.source.name + LOG_SUFFIX).exists()
    ]


def _expand(inputs: Sequence[str], target_lang: str, registry: Registry) -> tuple[list[tuple[Path, Path]], Unusable]:
    """Each input file with its path below the directory it was found in, and the inputs that name none; a file named
    twice comes once."""
    found: dict[Path, tuple[Path, Path]] = {}
    unusable: Unusable = []
    for text in inputs:
        try:
            for file, relative in _named(text, target_lang, registry, unusable):
                found.setdefault(file.resolve(), (file, relative))
        except UsageError as error:
            unusable.append((text, error))
        except OSError as error:  # in a directory that may not be entered, or too long to be a name
            unusable.append(_unreadable(text, error))
    return list(found.values()), unusable


def _unreadable(name: str, error: OSError) -> tuple[str, UsageError]:
    return name, UsageError(f"{name}: {error.strerror or error}")


def _named(text: str, target_lang: str, registry: Registry, unusable: Unusable) -> Iterator[tuple[Path, Path]]:
    path = Path(text)
    if path.is_dir():
        for file in sorted(_below(path, unusable)):
            try:
                if _is_candidate(file, target_lang, registry):
                    yield file, file.relative_to(path)
            except OSError as error:
                unusable.append(_unreadable(str(file), error))
    elif path.is_file():
        yield path, Path(path.name)
    elif path.exists():
        raise UsageError(f"{text} is no file that can be read twice", "Give it as standard input: batchtrans run -")
    elif any(character in text for character in "*?["):
        matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]
        matches = [match for match in matches if match.is_file() and not _is_ours(match, target_lang)]
        if not matches:
            raise UsageError(f"nothing matches {text}")
        yield from ((match, Path(match.name)) for match in matches)
    else:
        raise UsageError(f"there is no file {text}")


def _below(directory: Path, unusable: Unusable) -> Iterator[Path]:
    """What is in a directory and in those below it, but for what is hidden; those that cannot be read are unusable."""

    def refuse(error: OSError) -> None:
        unusable.append(_unreadable(str(Path(error.filename)), error))

    for place, directories, names in os.walk(directory, onerror=refuse):
        directories[:] = (name for name in directories if not name.startswith("."))
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _is_candidate(path: Path, target_lang: str, registry: Registry) -> bool:
    """Whether a file found in a directory is an input: of a known format, and not an output of ours."""
    known = registry.format_for(path.suffix) is not None
    return known and path.is_file() and not _is_ours(path, target_lang)


def _is_ours(path: Path, target_lang: str) -> bool:
    """Whether a file is an output (for this language by its name, for any by the log beside it), a log or a backup."""
    log = path.with_name(path.name + LOG_SUFFIX)
    return path.name.endswith((LOG_SUFFIX, "~")) or path.stem.endswith(f".{target_lang}") or log.exists()


def _format_of(path: Path, registry: Registry) -> str:
    name = registry.format_for(path.suffix)
    if name is None:
        raise UsageError(
            f"{path}: no format reads {path.suffix or 'files without an ending'}",
            f"Known endings: {_known_endings(registry)}. Name the format with --format {'|'.join(registry.formats)}.",
        )
    return name


def _known_endings(registry: Registry) -> str:
    return ", ".join(ending for declared in registry.formats.values() for ending in declared.extensions)


def default_name(name: str, target_lang: str) -> str:
    """``input.po`` becomes ``input.es.po``; a template becomes a catalogue: ``app.pot``, ``app.es.po``."""
    stem, ending = os.path.splitext(name)
    return f"{stem}.{target_lang}{'.po' if ending.lower() == '.pot' else ending}"


def _looks_like_a_file(output: str, registry: Registry) -> bool:
    """Whether a name that is not taken yet was hardly meant for a directory."""
    path = Path(output)
    return not (path.exists() or _ends_as_directory(output)) and registry.format_for(path.suffix) is not None


def _ends_as_directory(output: str) -> bool:
    return output.endswith(("/", os.sep))


def _destination(source: Path, relative: Path, output: str | None, target_lang: str, several: bool) -> Path:
    name = default_name(source.name, target_lang)
    if output is None:
        return source.with_name(name)
    path = Path(output)
    if path.is_dir() or several or _ends_as_directory(output):
        if path.exists() and not path.is_dir():
            raise UsageError(f"-o {output} is a file, but there are several inputs", "Name a directory.")
        return path / relative.with_name(name)
    if not path.parent.is_dir():
        raise UsageError(f"-o {output}: there is no directory {path.parent}")
    if path.exists() and not path.is_file():
        raise UsageError(f"-o {output} is not a file that could be replaced", "Use -o - for standard output.")
    return path


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    taken: dict[Path, Job] = {}
    for job in jobs:
        key = job.output.resolve()
        if key in taken:
            raise UsageError(
                f"{taken[key].name} and {job.name} would both be written to {job.output}",
                "Give them different outputs with -o, in runs of their own.",
            )
        taken[key] = job
    sources = {job.source.resolve(): job for job in jobs}
    logs: set[Path] = set()
    for job in jobs:
        log = job.log.resolve()
        if log in sources or log in taken or log in logs:
            raise UsageError(
                f"the log {job.log} is also an input, an output or another log", "Give it a name of its own."
            )
        logs.add(log)
    for path, job in taken.items():
        if path in sources and not job.in_place:
            raise UsageError(
                f"the output {job.output} is the input {sources[path].name}", "To replace an input, use --in-place."
            )


def refuse_log_of_another(job: Job) -> None:
    """Refuse to go on with a log that was last written for another document which is still there: ``replay`` and all
    that reads the log's last run would take this one for it. A document that was renamed is the same one.

    :raises UsageError: naming the other document.
    """
    runs = read_history(job.log).runs if job.log.is_file() else []
    if not runs:
        return
    other = runs[-1].header["input"]["path"]
    if os.path.isfile(other) and not os.path.samefile(other, job.source):
        raise UsageError(
            f"{job.log} is the log of {other}",
            f"Leave --log out or name another one; its translations are known with --memory {job.log}.",
        )


def refuse_foreign_outputs(jobs: Sequence[Job]) -> None:
    """Refuse to overwrite an output that is not as a run of its log left it: edited since, or never ours.

    :raises OutputConflict: naming what to do instead.
    """
    for job in foreign_outputs(jobs):
        raise OutputConflict(
            f"{job.output} exists and is not what batchtrans wrote there (edited since, or from elsewhere)",
            "Write elsewhere with -o, continue the file itself with --in-place, or replace it with --overwrite.",
        )


def foreign_outputs(jobs: Sequence[Job]) -> Iterator[Job]:
    """The jobs with an output that is not as a run of its log left it."""
    for job in jobs:
        if job.in_place or not job.output.exists():
            continue
        if sha256_file(job.output) not in read_history(job.log).output_hashes():
            yield job


def set_aside(log: Path) -> Path | None:
    """Rename a log to the first free ``LOG.1``, ``LOG.2`` ... so that a fresh one can begin; its new name."""
    if not log.exists():
        return None
    number = 1
    while (old := log.with_name(f"{log.name}.{number}")).exists():
        number += 1
    log.rename(old)
    return old
