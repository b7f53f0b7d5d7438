"""``batchtrans check``: the judges of a run, put to the translations that a file holds already.

A file is read as what it is: by its format where source and target stand in one segment (catalogues, the columns of a
table), by the readers of pairs otherwise (XLIFF, TMX, tables, JSON Lines), or as the last run of an alignment log.
What msgfmt does not check, untranslated and fuzzy entries, is not checked here either unless it is asked for.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from . import checks as judges
from . import protect
from .alignment import WRITTEN, AlignmentRecord, Run, forms_of, is_log, read_groups, read_history
from .errors import FormatError, UsageError
from .findings import ERROR, RULES, WARNING, Checked, Finding, as_json, as_line, as_sarif
from .forms import form_sources
from .glossary import Glossary, load_glossary
from .languages import foreign_judge
from .pairs import declared_language, is_readable, read_units
from .plugins import Registry, registry, resolve
from .running import assignment
from .textio import AtomicFile
from .types import Document, OpenOptions, Problem, Segment, State

#: The language of what says none: its texts are judged by what holds in all of them.
UNKNOWN = "und"
_TABLES = (".csv", ".tsv")
#: A flag that begins so, in the manner of Weblate, keeps the check behind it from its entry.
_IGNORE = "ignore-"


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for. ``target_lang`` is the language of files that do not name one. Without ``only``
    all checks are made but those of ``skip``; ``severity`` is the least one that is reported."""

    source_lang: str = "en"
    target_lang: str = UNKNOWN
    format_name: str | None = None
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    severity: str = WARNING
    fuzzy: bool = False
    untranslated: bool = False
    glossary: tuple[Path, ...] = ()

    def reports(self, finding: Finding) -> bool:
        """Whether a finding is one of those that were asked for."""
        if finding.check in self.skip or (self.only and finding.check not in self.only):
            return False
        return finding.severity == ERROR or self.severity == WARNING


def check_command(files: Sequence[Path], given: Mapping[str, Any]) -> int:
    """``batchtrans check`` with its parsed options; the exit code: 1 for errors (with ``strict`` for warnings too).

    :raises UsageError: for an option or a file that it cannot do anything with.
    """
    found = registry()
    for name, why in found.broken.items():
        click.echo(f"batchtrans: warning: plugin {name} is skipped: {why}", err=True)
    output: Path | None = given["output"]
    if output and output.resolve() in {path.resolve() for path in files}:
        raise UsageError(f"the report would replace the input {output}")
    checker = Checker(_request(given, found), found)
    shape = given["output_format"]
    direct = shape == "text" and output is None
    findings: list[Finding] = []
    total: Counter[str] = Counter()
    for finding in (finding for path in files for finding in checker.check(path)):
        total[finding.severity] += 1
        if direct:
            click.echo(as_line(finding))
        else:
            findings.append(finding)
    if not direct:
        _write(output, _rendered(shape, checker.checked, findings), files)
    segments = sum(file.segments for file in checker.checked)
    click.echo(
        f"files: {len(files)}, segments: {segments}, errors: {total[ERROR]}, warnings: {total[WARNING]}", err=True
    )
    return 1 if total[ERROR] or (given["strict"] and total[WARNING]) else 0


def _rendered(shape: str, checked: Sequence[Checked], findings: Sequence[Finding]) -> bytes:
    if shape == "text":
        return "".join(f"{as_line(finding)}\n" for finding in findings).encode("utf-8", "backslashreplace")
    import orjson

    report = as_json(checked, findings) if shape == "json" else as_sarif(findings)
    return orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _write(output: Path | None, data: bytes, files: Sequence[Path]) -> None:
    if output is None:
        sys.stdout.buffer.write(data)
        return
    with AtomicFile(output, tells_of=files) as file:
        file.file.write(data)
        file.commit()


def _request(given: Mapping[str, Any], found: Registry) -> Request:
    """The options, those of formats by name.

    :raises UsageError: for a check or a format that is not there.
    """
    only, skip = (
        frozenset(name.strip() for text in given[option] for name in text.split(",") if name.strip())
        for option in ("only", "skip")
    )
    known = {*RULES, *found.checks}
    if unknown := sorted((only | skip) - known):
        raise UsageError(f"there is no check {', '.join(unknown)}", f"There are {', '.join(sorted(known))}.")
    if given["format_name"] is not None and given["format_name"] not in found.formats:
        raise UsageError(f"there is no format {given['format_name']!r}", f"Installed: {', '.join(found.formats)}.")
    values: dict[str, tuple[str, ...]] = {}
    pairs = [*map(assignment, given["assignments"]), *(("column", column) for column in given["columns"])]
    pairs += [("into", given["into"])] if given["into"] else []
    for key, value in pairs:
        values[key] = (*values.get(key, ()), value)
    return Request(
        given["source_lang"],
        given["target_lang"] or UNKNOWN,
        given["format_name"],
        values,
        only,
        skip,
        given["severity"],
        given["fuzzy"],
        given["untranslated"],
        given["glossary"],
    )


class Checker:
    """Judges files by one request. ``checked`` says of the files so far what was looked at in them."""

    def __init__(self, request: Request, found: Registry) -> None:
        self.request = request
        self.checked: list[Checked] = []
        self._found = found
        self._by_language: dict[str, tuple[Sequence[judges.Check], judges.Foreign | None]] = {}
        self._further = [resolve(declared) for declared in found.checks.values()]

    def check(self, path: Path) -> Iterator[Finding]:
        """The findings in one file that the request wants; a file that cannot be read is a finding too.

        :raises UsageError: for a file without translations, or with texts that cannot be told apart.
        """
        left_out: Counter[str] = Counter()
        try:
            for finding in self._read(path, left_out):
                if self.request.reports(finding):
                    yield finding
        except FormatError as error:
            line = error.line or _line_of(path, error.offset or 0)
            finding = Finding(str(path), line, "", None, "syntax", ERROR, error.reason)
            if self.request.reports(finding):
                yield finding
        self.checked.append(Checked(str(path), left_out.pop("segments", 0), dict(left_out)))

    def _read(self, path: Path, left_out: Counter[str]) -> Iterator[Finding]:
        request = self.request
        name = path.name.lower()
        if name.endswith(".jsonl") and is_log(path):
            return self._log(path, left_out)
        columns = request.values.get("column", ())
        readable = is_readable(path) and not name.endswith((".po", ".pot"))
        if request.format_name is None and readable and not (columns and name.endswith(_TABLES)):
            return self._pairs(path, columns, left_out)
        return self._document(path, left_out)

    def _judged(self, language: str, source: str, target: str, flags: frozenset[str], **options: Any) -> list[Problem]:
        """``language`` is that of the target, or unknown."""
        checks, foreign = self._checks(language)
        options.setdefault("source_language", self.request.source_lang)
        return judges.judge(source, target, flags, further=checks, foreign=foreign, language=language, **options)

    def _checks(self, language: str) -> tuple[Sequence[judges.Check], judges.Foreign | None]:
        """The checks of plugins and glossary, and what tells whether a text is in the source's language: the same for
        all files in one language."""
        if language not in self._by_language:
            request, checks = self.request, self._further
            if request.glossary:
                checks = [*checks, self._glossary(language).check]
            foreign = None if language == UNKNOWN else foreign_judge(request.source_lang, language)
            self._by_language[language] = checks, foreign
        return self._by_language[language]

    def _glossary(self, language: str) -> Glossary:
        try:
            return load_glossary(self.request.glossary, self.request.source_lang, language)
        except FormatError as error:  # not a fault of the file that is judged
            raise UsageError(error.what, error.hint) from None

    # Logs

    def _log(self, path: Path, left_out: Counter[str]) -> Iterator[Finding]:
        """What the last run of a log wrote, or found translated; lines are those of the log."""
        for run in read_history(path).runs[-1:]:
            for line, group in _numbered_groups(path, run):
                first = group[0]
                if first.state == State.FUZZY.value and not self.request.fuzzy:
                    left_out["fuzzy"] += 1
                    continue
                if not (first.state == State.DONE.value or all(record.status in WRITTEN for record in group)):
                    left_out["untranslated"] += 1
                    continue
                left_out["segments"] += 1
                texts = zip(forms_of(group, "source"), forms_of(group), strict=True)
                for number, (source, target) in enumerate(texts):
                    form = number if first.form is not None else None
                    # A log does not say how many numbers select a form: each may leave its number out.
                    flags, relaxed = frozenset(first.flags), first.forms > 1
                    own = {"source_language": run.header["from"], "relaxed": relaxed}
                    problems = self._judged(run.header["to"], source, target, flags, **own)
                    yield from _findings(path, line, first.segment, form, problems)

    # Pairs

    def _pairs(self, path: Path, columns: tuple[str, ...], left_out: Counter[str]) -> Iterator[Finding]:
        request = self.request
        into = request.values.get("into", ())
        if len(columns) != len(into) or len(columns) > 1:
            raise UsageError(f"{path}: --column and --into name the two texts of a pair, once each")
        target_lang = declared_language(path) or request.target_lang
        if target_lang == UNKNOWN and path.suffix.lower() == ".tmx":
            raise UsageError(f"{path} may hold many languages", "Say which with --to (and --from).")
        units = read_units(
            path,
            request.source_lang,
            target_lang,
            columns=(columns[0], into[0]) if columns else None,
            skipped=left_out,
            may_be_empty=True,
            force=True,
            fuzzy=request.fuzzy,
            named=True,
        )
        for number, unit in enumerate(units, 1):
            left_out["segments"] += 1
            problems = self._judged(target_lang, unit.sources[0], unit.targets[0], unit.flags)
            yield from _findings(path, max(unit.line, 1), unit.id or str(number), None, problems)

    # Documents

    def _document(self, path: Path, left_out: Counter[str]) -> Iterator[Finding]:
        document = self._open(path)
        for line, problem in document.faults():
            yield from _findings(path, line, "", None, [problem])
        for piece in document.pieces():
            if not isinstance(piece, Segment) or piece.state is State.SKIP:
                continue
            # An entry counts as untranslated by its first form, as to msgfmt.
            if piece.state is State.NEW and not piece.target[0]:
                left_out["untranslated"] += 1
                if self.request.untranslated:
                    problem = Problem("untranslated", "there is no translation")
                    yield from _findings(path, document.target_lines(piece)[0], piece.id, None, [problem])
            elif piece.state is State.FUZZY and not self.request.fuzzy:
                left_out["fuzzy"] += 1
            else:
                left_out["segments"] += 1
                yield from self._segment(path, document, piece)

    def _open(self, path: Path) -> Document:
        """The document, opened for the language that it declares.

        :raises UsageError: for a format that is not there, an option that it does not take, a file in one language.
        """
        request, found = self.request, self._found
        name = request.format_name or found.format_for(path.suffix)
        if name is None:
            raise UsageError(f"{path}: no format reads this file", f"Name one with --format {'|'.join(found.formats)}.")
        values = dict(request.values)
        if unknown := sorted(set(values) - set(found.formats[name].options)):
            known = ", ".join(found.formats[name].options) or "none"
            raise UsageError(f"format {name} takes no option {unknown[0]!r}", f"Known options: {known}.")
        if "column" in values and "into" not in values and request.target_lang == UNKNOWN:
            raise UsageError(
                f"{path}: the column of the translations is not known",
                "Name it with --into, or with --to the language that is in its name (name_es).",
            )
        options = OpenOptions(request.source_lang, request.target_lang, values, force=True)
        opener = resolve(found.formats[name])()
        document: Document = opener.open(path, options)
        if document.declared_lang and document.declared_lang != request.target_lang:
            options = OpenOptions(request.source_lang, document.declared_lang, values, force=True)
            document = opener.open(path, options)
        if not document.bilingual:
            raise UsageError(f"{path} holds one language; there is no translation to judge")
        return document

    def _segment(self, path: Path, document: Document, segment: Segment) -> Iterator[Finding]:
        if protect.asks_for_translators(segment.source[0], segment.context):
            return
        sources = form_sources(segment, document)
        plural = segment.source[1] if len(segment.source) > 1 else None
        if len(segment.target) != len(sources):
            message = f"{len(segment.target)} plural forms, the header says {len(sources)}"
            problem = Problem("plurals", message, hard=True)
            yield from _findings(path, document.target_lines(segment)[-1], segment.id, None, [problem])
            return
        relaxed = (False,) if plural is None else document.relaxed(segment)
        language, lines = document.target_lang, tuple[int, ...]()
        for number, (source, target, loose) in enumerate(zip(sources, segment.target, relaxed, strict=True)):
            problems = self._judged(language, source, target, segment.flags, relaxed=loose, against=plural)
            if problems := [problem for problem in problems if _IGNORE + problem.code not in segment.flags]:
                lines = lines or document.target_lines(segment)
                yield from _findings(path, lines[number], segment.id, None if plural is None else number, problems)


def _findings(path: Path, line: int, segment: str, form: int | None, problems: Iterable[Problem]) -> Iterator[Finding]:
    for problem in problems:
        severity = ERROR if problem.hard else WARNING
        yield Finding(str(path), line, segment, form, problem.code, severity, problem.message)


def _numbered_groups(path: Path, run: Run) -> Iterator[tuple[int, list[AlignmentRecord]]]:
    """The groups of a run, each with the line of the log on which it begins."""
    line = _line_of(path, run.start)
    for group in read_groups(path, run):
        yield line, group
        line += len(group)


def _line_of(path: Path, offset: int) -> int:
    line = 1
    with path.open("rb") as file:
        while offset > 0 and (data := file.read(min(offset, 1 << 20))):
            line += data.count(b"\n")
            offset -= len(data)
    return line
