"""``batchtrans eval``: from pairs and names of systems to a table, a page and a file of numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from batchtrans import UsageError
from batchtrans.report import Progress
from batchtrans.textio import AtomicFile

from ..data.read import Pair, read_pairs
from ..language import LanguageJudge
from ..options import Settings
from .comet import Comet
from .compare import Comparison, compare
from .examples import Example, side_by_side, worst
from .metrics import segment_chrf
from .output import Output
from .report import write_report
from .systems import FileSystem, System, parse_against, resolve, run_systems
from .table import table

#: Segments side by side on the page.
EXAMPLES = 30


@dataclass(frozen=True, slots=True)
class Job:
    """What the command line asks for. ``limit`` and ``worst`` are numbers of segments, 0 for all and for none."""

    inputs: tuple[str, ...]
    source_lang: str
    target_lang: str
    settings: Settings
    against: tuple[str, ...] = ()
    columns: tuple[str, str] | None = None
    shots: str | None = None
    limit: int = 0
    worst: int = 0
    comet_command: str | None = None
    json_file: Path | None = None
    html_file: Path | None = None
    mixed: bool = False


def eval_command(job: Job) -> int:
    """Translate, measure, print and write; 0, however good the systems are.

    :raises BatchtransError: where the input, a system or the machine does not allow it.
    """
    _refuse_outputs(job)
    specs = parse_against(job.against)
    pairs = _read(job, job.inputs, columns=job.columns)
    examples = [(pair.source, pair.target) for pair in _read(job, [job.shots])] if job.shots else []
    systems = resolve(
        specs,
        job.settings,
        job.source_lang,
        job.target_lang,
        sources=[pair.source for pair in pairs],
        examples=examples,
    )
    pairs, systems = _limited(pairs, systems, job.limit)
    comet = Comet(job.comet_command, pairs) if job.comet_command else None
    progress = Progress()
    outputs = run_systems(systems, pairs, job.source_lang, job.target_lang, job.settings, progress, mixed=job.mixed)
    notes = list(dict.fromkeys(_notes(outputs)))
    for note in notes:
        click.echo(note, err=True)
    comparison = _compared(job, pairs, outputs, comet, progress)
    click.echo(table(comparison))
    for output in outputs if job.worst else ():
        _print_worst(output.name, worst(pairs, output, job.worst))
    if job.json_file:
        _write_json(job.json_file, job, comparison, pairs, outputs)
    if job.html_file:
        _write_page(job.html_file, job, comparison, pairs, outputs, notes)
    return 0


def _compared(
    job: Job, pairs: Sequence[Pair], outputs: Sequence[Output], comet: Comet | None, progress: Progress
) -> Comparison:
    judge = LanguageJudge(job.source_lang, job.target_lang)
    progress.begin("scores", 2 * len(outputs) * len(pairs))
    try:
        return compare(
            pairs,
            outputs,
            job.source_lang,
            job.target_lang,
            looks_foreign=judge.looks_foreign,
            comet=comet,
            advance=progress.advance,
        )
    finally:
        progress.end()


def _refuse_outputs(job: Job) -> None:
    """What cannot be written is said before any work."""
    inputs = {Path(name).resolve() for name in (*job.inputs, job.shots) if name}
    for path in filter(None, (job.json_file, job.html_file)):
        if path.resolve() in inputs:
            raise UsageError(f"the output would replace the input {path}")
        if path.is_dir():
            raise UsageError(f"{path} is a directory")
        if not path.resolve().parent.is_dir():
            raise UsageError(f"there is no directory {path.resolve().parent} to write {path.name} into")
    if job.json_file and job.html_file and job.json_file.resolve() == job.html_file.resolve():
        raise UsageError("--json and --html name one file")


def _read(job: Job, inputs: Sequence[str], *, columns: tuple[str, str] | None = None) -> list[Pair]:
    """The pairs of some files; what is in them and not used is said."""
    counts: Counter[str] = Counter()
    pairs = list(
        read_pairs(inputs, job.source_lang, job.target_lang, columns=columns, counts=counts, force=job.settings.force)
    )
    counts.pop("read", None)
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common() if count)
    names = ", ".join(inputs)
    if not pairs:
        raise UsageError(
            f"there is no pair in {names}" + (f" (left out: {left_out})" if left_out else ""),
            "Are --from and --to right, and is anything translated in it?",
        )
    click.echo(f"{names}: {len(pairs):,} pairs" + (f"; left out: {left_out}" if left_out else ""), err=True)
    return pairs


def _limited(pairs: list[Pair], systems: list[System], limit: int) -> tuple[list[Pair], list[System]]:
    """The first ``limit`` pairs, and files of other systems as far as they belong to them."""
    if not limit:
        return pairs, systems
    cut = [
        replace(system, lines=system.lines[:limit]) if isinstance(system, FileSystem) else system for system in systems
    ]
    return pairs[:limit], cut


def _notes(outputs: Iterable[Output]) -> Iterable[str]:
    for output in outputs:
        yield from output.notes
        errors = Counter(hypothesis.error for hypothesis in output.hypotheses if hypothesis.error)
        for error, count in errors.most_common(3):
            yield f"{output.name}: {count:,} segments have no translation: {error}"


def _print_worst(name: str, examples: Sequence[Example]) -> None:
    click.echo(f"\nworst of {name}, by chrF++ of the segment")
    for example in examples:
        click.echo(f"\n{example.scores[name]:6.1f}  segment {example.number}")
        for label, text in (("source", example.source), ("wanted", example.reference), ("got", example.texts[name])):
            click.echo(f"  {label:7} {json.dumps(text, ensure_ascii=False)}")


def _write_json(path: Path, job: Job, comparison: Comparison, pairs: Sequence[Pair], outputs: Sequence[Output]) -> None:
    """The numbers, and every segment with what became of it."""
    values = {
        "inputs": list(job.inputs),
        **comparison.to_json(),
        "translations": [
            {
                "source": pair.source,
                "reference": pair.target,
                "systems": {
                    output.name: _segment(comparison, number, index, pair, output)
                    for number, output in enumerate(outputs)
                },
            }
            for index, pair in enumerate(pairs)
        ],
    }
    with AtomicFile(path) as file:
        text = json.dumps(values, indent=1, ensure_ascii=False)
        file.file.write(text.encode("utf-8", "backslashreplace") + b"\n")  # half a surrogate pair as JSON writes it
        file.commit()


def _segment(comparison: Comparison, number: int, index: int, pair: Pair, output: Output) -> Mapping[str, Any]:
    hypothesis = output.hypotheses[index]
    values = {
        "text": hypothesis.text,
        **({"raw": hypothesis.raw} if hypothesis.raw != hypothesis.text else {}),
        "stops": list(hypothesis.stops),
        "logprob": hypothesis.logprob,
        **({"error": hypothesis.error} if hypothesis.error else {}),
        "chrf": round(segment_chrf(hypothesis.text, pair.target), 2),
        "flags": comparison.flags[number][index]._asdict(),
    }
    return values


def _write_page(
    path: Path, job: Job, comparison: Comparison, pairs: Sequence[Pair], outputs: Sequence[Output], notes: Sequence[str]
) -> None:
    title = f"Evaluation, {job.source_lang} to {job.target_lang}: {', '.join(output.name for output in outputs)}"
    write_report(
        path,
        title,
        comparison=comparison,
        examples=side_by_side(pairs, outputs, EXAMPLES),
        facts={"Test set": {"files": ", ".join(job.inputs), "segments": len(pairs), "sha256": comparison.sha256}},
        notes=notes,
    )
