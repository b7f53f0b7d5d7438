"""The commands that touch documents: from parsed options to outcomes, one refused file never stopping the others."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import click

from . import jobs as planning
from .costs import Clock, Seconds
from .errors import BackendError, BatchtransError, DocumentRefused, PluginError, Stopped, Terminated, UsageError
from .glossary import Glossary, load_glossary
from .pipeline import Job, LazyBackend, Outcome, Settings, Survey, back_up, last_run, replay_job, run_job, survey
from .planner import Planner, report
from .plugins import Registry, registry, resolve
from .report import Refused, RunProgress, exit_code, summary
from .textio import unwritable
from .types import Backend, Declared, Format, OpenOptions

#: Options with a flag of their own that belong to the backend, and to the format.
_BACKEND_FLAGS = ("model", "adapter", "device")
_FORMAT_FLAGS = ("into", "unit")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_@][A-Za-z0-9]+)*")


def run_command(given: Mapping[str, Any]) -> int:
    """``batchtrans run`` with its parsed options; the exit code."""
    found = registry()
    _warn(found)
    progress, refused = RunProgress(), Refused()
    with _told_what_is_kept(progress, given["fresh"]), ExitStack() as stack:
        jobs, unusable = _plan(given, found, stack)
        for name, error in unusable:
            refused.add(name, str(error), error.exit_code)
        if not jobs:
            return refused.exit_code
        if given["log"] and not given["fresh"]:
            planning.refuse_log_of_another(jobs[0])
        chosen = backend_name(given["backend_name"], found)
        formats = {job.format: _format(job.format, found) for job in jobs}
        values, backend_options = _options(given, found, list(formats), chosen)
        settings = Settings(
            given["source_lang"],
            given["target_lang"],
            values,
            given["redo"],
            given["mark"],
            given["memory"],
            given["force"],
            _max_error(given["max_error"], given["mark"]),
            given["glossary"],
        )
        glossary = None
        if settings.glossary:  # one that cannot be used is refused before any work
            glossary = load_glossary(settings.glossary, settings.source_lang, settings.target_lang)
        outputs = {job.output.resolve() for job in jobs}
        for path in settings.memory:
            if not path.is_file():
                raise UsageError(f"there is no memory file {path}")
            if path.resolve() in outputs:
                raise UsageError(f"the output would replace the memory {path}", "Give another output with -o.")
        per_format = {name: _for_format(settings, found.formats[name]) for name in formats}
        clock = Clock()
        surveyed = _survey(jobs, formats, per_format, refused)
        if not surveyed:
            return refused.exit_code
        reading = clock.read()
        replaced: list[Job] = []
        if given["fresh"] or given["overwrite"]:
            replaced += planning.foreign_outputs(list(surveyed))
        else:
            planning.refuse_foreign_outputs(list(surveyed))
        lazy = LazyBackend(
            lambda: create_backend(chosen, found, backend_options), settings.source_lang, settings.target_lang
        )
        stack.callback(lazy.stop)
        if given["dry_run"]:
            planner = Planner(lazy, formats, per_format, given["fresh"])
            return _dry_run(surveyed, planner, found, glossary, reading, refused)
        for job in replaced:
            click.echo(f"{job.output} was edited, or is not ours: it is kept as {back_up(job.output)}", err=True)
        if given["fresh"]:
            if any(contents.selected for contents in surveyed.values()):
                lazy.preview()  # a model that is not there must not cost the old log
            _set_aside(surveyed)
        outcomes = _run_jobs(surveyed, formats, per_format, lazy, found, glossary, progress, refused)
        for note in lazy.notes:
            click.echo(note, err=True)
        for outcome in outcomes:
            if outcome.job.to_stdout:
                _copy_to_stdout(outcome.job.output)
                click.echo(summary(outcome), err=True)
        if not outcomes:
            return refused.exit_code
        if refused.names:  # the reasons are far above by now
            click.echo(refused.summary(), err=True)
        return exit_code(outcomes, refused)


def _set_aside(jobs: Iterable[Job]) -> None:
    for job in jobs:
        if old := planning.set_aside(job.log):
            click.echo(f"{job.name}: the old log is now {old}", err=True)


def _warn(found: Registry) -> None:
    for name, why in found.broken.items():
        click.echo(f"batchtrans: warning: plugin {name} is skipped: {why}", err=True)


def _plan(given: Mapping[str, Any], found: Registry, stack: ExitStack) -> tuple[list[Job], planning.Unusable]:
    """The jobs, and the inputs that cannot be one. Standard input is spooled to a file first, and standard output is
    one until it is whole."""
    for option in ("source_lang", "target_lang"):
        if not _LANGUAGE.fullmatch(given[option]):
            raise UsageError(
                f"{given[option]!r} is not a language code", "Codes look like es, pt_BR, zh-Hant, sr@latin."
            )
    inputs, output, log = list(given["inputs"]), given["output"], given["log"]
    format_name = given["format_name"]
    if format_name is not None and format_name not in found.formats:
        raise UsageError(f"there is no format {format_name!r}", f"Installed: {', '.join(found.formats)}.")
    from_stdin = "-" in inputs
    to_stdout = output == "-" or (from_stdin and output is None)
    if (from_stdin or to_stdout) and len(inputs) > 1:
        raise UsageError("- stands for one document; give the other inputs in runs of their own")
    if not (from_stdin or to_stdout):
        return planning.plan(
            inputs,
            given["target_lang"],
            found,
            format_name=format_name,
            output=output,
            log=log,
            in_place=given["in_place"],
        )
    if given["in_place"]:
        raise UsageError("--in-place needs a file, not -")
    for needed, stream, name in ((from_stdin, sys.stdin, "input"), (to_stdout, sys.stdout, "output")):
        if needed and stream is None:  # the shell's <&- and >&-
            raise UsageError(f"standard {name} is closed", "Name a file, or connect it.")
    spool = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="batchtrans-")))
    if from_stdin:
        if format_name is None:
            format_name = "txt"
            others = "|".join(name for name in found.formats if name != format_name)
            click.echo(f"- is read as txt; if it is not that, say what it is: --format {others}", err=True)
        source = spool / "stdin"
        with source.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        inputs = [str(source)]
    target = str(spool / "stdout") if to_stdout else output
    jobs, unusable = planning.plan(inputs, given["target_lang"], found, format_name=format_name, output=target, log=log)
    if len(jobs) + len(unusable) > 1:
        raise UsageError(
            f"-o - is for one document, and {inputs[0]} names {len(jobs) + len(unusable)}",
            "Name a directory with -o, or one of the documents.",
        )
    return [replace(job, name="-" if from_stdin else job.name, to_stdout=to_stdout) for job in jobs], unusable


def _copy_to_stdout(path: Path) -> None:
    with path.open("rb") as file:
        try:
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise BatchtransError(
                f"standard output cannot be written: {error.strerror or error}", "Name a file with -o."
            ) from None


def backend_name(name: str | None, found: Registry) -> str:
    """The backend that was asked for, or the one that has models.

    :raises BackendError: where nobody asked and it is not installed.
    :raises UsageError: for a name that is none.
    """
    if name is None and "llama" not in found.backends:
        raise BackendError(
            "no translation model is installed",
            "pip install 'batchtrans-llama[cpu]' batchtrans-en-es brings one; --backend pseudo needs no model.",
        )
    name = name or "llama"
    if name not in found.backends:
        raise UsageError(f"there is no backend {name!r}", f"Installed: {', '.join(found.backends)}.")
    return name


def _format(name: str, found: Registry) -> Format:
    opener = resolve(found.formats[name])()
    assert isinstance(opener, Format)
    return opener


def create_backend(name: str, found: Registry, options: Mapping[str, str]) -> Backend:
    """A backend that is not started yet."""
    backend = resolve(found.backends[name])(options)
    assert isinstance(backend, Backend)
    return backend


def _options(
    given: Mapping[str, Any], found: Registry, formats: Sequence[str], backend: str
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Sort ``-O`` assignments and flags to the formats and the backend that declare them.

    :raises UsageError: for an option that none of them takes, naming those that they take.
    """
    of_formats = {option for name in formats for option in found.formats[name].options}
    of_backend = set(found.backends[backend].options)
    pairs = [assignment(text) for text in given["assignments"]]
    pairs += [("column", column) for column in given["columns"]]
    pairs += [(name, given[name]) for name in (*_FORMAT_FLAGS, *_BACKEND_FLAGS) if given.get(name) is not None]
    values: dict[str, tuple[str, ...]] = {}
    backend_options: dict[str, str] = {}
    for name, value in pairs:
        if name not in of_formats | of_backend:
            who = " and ".join([*(f"format {name}" for name in formats), f"backend {backend}"])
            known = ", ".join(sorted(of_formats | of_backend)) or "none"
            raise UsageError(f"{who} take no option {name!r}", f"Known options: {known}.")
        if name in of_formats:
            values[name] = (*values.get(name, ()), value)
        if name in of_backend:
            backend_options[name] = value
    if given.get("force") and "force" in of_backend:
        backend_options["force"] = "yes"
    return values, backend_options


def assignment(text: str) -> tuple[str, str]:
    """The key and the value of a ``-O``.

    :raises UsageError: for a text without them.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"-O {text}: not of the form KEY=VALUE")
    return name, value


def _max_error(text: str | None, mark: str) -> float | None:
    """The share of errors that ``--max-error`` names: ``2%`` or ``0.02``.

    :raises UsageError: for something else, or together with a ``--mark`` that leaves nothing to choose.
    """
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise UsageError(f"--max-error takes a percentage or a share below 1, not {text!r}", "Write 2% or 0.02.")
    if mark != "low":
        raise UsageError(f"--max-error chooses what to mark, --mark {mark} does not", "Leave one of them out.")
    return share


def _for_format(settings: Settings, declared: Declared) -> Settings:
    """The settings with those values alone that the format takes: the others do not concern its run line."""
    values = {name: given for name, given in settings.values.items() if name in declared.options}
    return replace(settings, values=values)


def _survey(
    jobs: Sequence[Job], formats: Mapping[str, Format], settings: Mapping[str, Settings], refused: Refused
) -> dict[Job, Survey]:
    """The jobs whose files can be read, with what is in them.

    Options that no format takes were refused before; what a format has against them here is that they do not fit this
    file (a table without the column, a catalogue in another language), which stops only itself, as a broken one does.
    """
    surveyed: dict[Job, Survey] = {}
    for job in jobs:
        with _reported(job, refused):
            try:
                surveyed[job] = survey(job, formats[job.format], settings[job.format])
            except UsageError as error:
                refused.add(job.name, str(error), error.exit_code)
    return surveyed


def _run_jobs(
    surveyed: Mapping[Job, Survey],
    formats: Mapping[str, Format],
    settings: Mapping[str, Settings],
    lazy: LazyBackend,
    found: Registry,
    glossary: Glossary | None,
    progress: RunProgress,
    refused: Refused,
) -> list[Outcome]:
    checks = [resolve(declared) for declared in found.checks.values()]
    outcomes: list[Outcome] = []
    for number, (job, contents) in enumerate(surveyed.items(), 1):
        with _reported(job, refused):
            _make_directory(job.output)
            progress.open(job, contents.segments, number, len(surveyed))
            try:
                opener = formats[job.format]
                asked = settings[job.format]
                outcome = run_job(job, opener, asked, lazy, contents, checks, glossary, progress.advance)
            finally:
                progress.end()
            outcomes.append(outcome)
            if not job.to_stdout:  # there it is written later, if it can be
                click.echo(summary(outcome), err=True)
    return outcomes


def _make_directory(output: Path) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(output, error) from None


def _dry_run(
    surveyed: Mapping[Job, Survey],
    planner: Planner,
    found: Registry,
    glossary: Glossary | None,
    reading: Seconds,
    refused: Refused,
) -> int:
    """Say what a run would do with these documents, which took so long to read; the exit code."""
    checks = [resolve(declared) for declared in found.checks.values()]
    startup = Seconds(process_time(), process_time())  # the processor was busy all the time
    plans = []
    for job, contents in surveyed.items():
        with _reported(job, refused):
            plans.append(planner.plan(job, contents, checks, glossary))
    if not plans:
        return refused.exit_code
    planner.settle(plans)
    click.echo(report(planner, plans, startup, reading), err=True)
    return exit_code([], refused)


@contextmanager
def _told_what_is_kept(progress: RunProgress, fresh: bool) -> Iterator[None]:
    """Ctrl-C and SIGTERM as an error that says it."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(err=True)  # behind the terminal's ^C
        raise Stopped(f"interrupted; {progress.kept(fresh)}", 130) from None
    except Terminated:
        raise Stopped(f"terminated; {progress.kept(fresh)}", 143) from None


@contextmanager
def _reported(job: Job, refused: Refused) -> Iterator[None]:
    """Tell what refuses one document and go on with the next; what concerns all of them passes through."""
    try:
        yield
    except DocumentRefused as error:
        refused.add(job.name, str(error), error.exit_code)
    except (BackendError, PluginError, UsageError):
        raise
    except BatchtransError as error:
        refused.add(job.name, str(error))
    except OSError as error:
        refused.add(job.name, f"{job.name}: {error.strerror or error}")
    except Exception as error:
        defect = "This is a defect of batchtrans or a plugin; the document is left as it was."
        refused.add(job.name, f"{job.name}: {type(error).__name__}: {error}\n  {defect}")


def replay_command(log: Path, output: Path | None, source: Path | None, overwrite: bool) -> int:
    """``batchtrans replay``; the exit code."""
    found = registry()
    header = last_run(log)
    if header["input"]["path"] == "-" and source is None:
        raise UsageError("the run read standard input", "Give that text as a file with --input.")
    if header["output"] == "-" and output is None:
        raise UsageError("the run wrote to standard output", "Give an output with -o.")
    options = OpenOptions(
        header["from"],
        header["to"],
        {name: tuple(values) for name, values in header["options"]["values"].items()},
        header["options"]["force"],
        header.get("detected", {}),
    )
    if header["format"] not in found.formats:
        raise UsageError(f"the log needs the format {header['format']!r}, which is not installed")
    source = source or Path(header["input"]["path"])
    if not source.is_file():
        raise UsageError(f"the run's input {source} is not there", "Say where it is with --input.")
    job = Job(str(source), source, output or Path(header["output"]), log, header["format"])
    if job.output.resolve() == source.resolve():
        raise UsageError(f"the run replaced its input {source} in place", "Give another output with -o.")
    if not overwrite:
        planning.refuse_foreign_outputs([job])
    outcome = replay_job(job, _format(job.format, found), options)
    click.echo(summary(outcome), err=True)
    return exit_code([outcome])
