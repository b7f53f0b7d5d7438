"""``batchtrans calibrate``: translate texts whose translation is known, and fit the model's confidence to the outcome.

The texts go the way of any run, ladder and judges included, so that what is measured is what a run will see. A half of
them, chosen by a hash of the source, is fitted to; the other half and the sets that are left out only report.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import click

from .calibration import (
    ERROR_BELOW,
    Calibration,
    area_under_curve,
    calibration_error,
    features_of,
    fit,
    reliability,
)
from .chrf import chrf
from .errors import UsageError
from .memory import Memory
from .pairs import read_units
from .pipeline import windows
from .plugins import registry
from .report import Progress
from .running import assignment, backend_name, create_backend
from .textio import AtomicFile
from .translator import Decision, Translator
from .types import Backend, Document, Location, OpenOptions, Piece, Segment, State

#: The shares of errors that a report tries to stay under.
BOUNDS = (0.02, 0.1, 0.3)


class _Pair(NamedTuple):
    source: str
    reference: str
    flags: frozenset[str]


class Observed(NamedTuple):
    """A translated text: what is known without its reference, and whether it is right."""

    source: str
    features: tuple[float, ...]
    right: bool


class _Sources(Document):
    """The sources of pairs as a document that has no translation yet."""

    bilingual = True

    def __init__(self, pairs: Sequence[_Pair], source_lang: str, target_lang: str) -> None:
        super().__init__(Path("pairs"), "pairs", OpenOptions(source_lang, target_lang))
        self._pairs = pairs

    def pieces(self) -> Iterator[Piece]:
        for number, pair in enumerate(self._pairs):
            place = Location(number + 1, 0, 0)
            yield Segment(str(number), b"", (pair.source,), ("",), place, ((0, 0),), flags=pair.flags)

    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        raise NotImplementedError("nothing is written of these")


def calibrate_command(given: Mapping[str, Any]) -> int:
    """The command with its parsed options; 0, whatever the confidence is worth.

    :raises UsageError: for files without pairs, a model that does not say how probable its texts are, too few of them.
    """
    found = registry()
    output: Path | None = given["output"]
    languages = given["source_lang"], given["target_lang"]
    taken: set[str] = set()
    pairs = [pair for path in given["inputs"] for pair in _read(path, languages, given["limit"], taken)]
    left_out = {path: _read(path, languages, given["limit"], taken) for path in given["left_out"]}
    name = backend_name(given["backend_name"], found)
    options = dict(assignment(text) for text in given["assignments"])
    options |= {key: given[key] for key in ("model", "adapter", "device") if given[key] is not None}
    if unknown := sorted(set(options) - set(found.backends[name].options)):
        raise UsageError(f"backend {name} takes no option {unknown[0]!r}")
    backend = create_backend(name, found, options)
    try:
        backend.start(*languages)
        output = output or backend.calibration_file
        if output is None:
            raise UsageError("there is no place for a calibration beside this model", "Name a file with -o.")
        if not os.access(output.resolve().parent, os.W_OK):
            raise UsageError(f"{output} cannot be written", "Name another file with -o.")
        observed = _observe("pairs", pairs, backend, languages)
        others = {str(path): _observe(str(path), held, backend, languages) for path, held in left_out.items()}
    finally:
        backend.stop()
    made = _calibrated(observed, others)
    with AtomicFile(output) as file:
        file.file.write(made.to_json().encode())
        file.commit()
    click.echo(_table(made))
    click.echo(f"written to {output}", err=True)
    return 0


def _read(path: Path, languages: tuple[str, str], limit: int | None, taken: set[str]) -> list[_Pair]:
    """The pairs of a file, each source once in all files; ``limit`` of them from all over the file."""
    skipped: Counter[str] = Counter()
    pairs = []
    for unit in read_units(path, *languages, skipped=skipped):
        for source, target in zip(unit.sources, unit.targets, strict=False):
            if source in taken:
                skipped["repeated"] += 1
            elif source.strip() and target.strip():
                taken.add(source)
                pairs.append(_Pair(source, target, unit.flags))
    if limit is not None and len(pairs) > limit:
        pairs = [pairs[number * len(pairs) // limit] for number in range(limit)]
    left_out = "".join(f", {count:,} {reason}" for reason, count in skipped.items() if count)
    click.echo(f"{path}: {len(pairs):,} pairs{left_out}", err=True)
    return pairs


def _observe(name: str, pairs: Sequence[_Pair], backend: Backend, languages: tuple[str, str]) -> list[Observed]:
    """Translate these texts as a run does; those that no model was asked for, or that it failed on, are counted."""
    document = _Sources(pairs, *languages)
    memory, progress = Memory(), Progress()
    translator = Translator(document, backend, memory)
    observed: list[Observed] = []
    skipped: Counter[str] = Counter()
    progress.begin(name, len(pairs))
    try:
        for window in windows(document.pieces()):
            for decisions in translator.decide(window):
                progress.advance(len(decisions))
                for decision in decisions:
                    _add(decision, pairs[int(decision.segment.id)], observed, skipped)
    finally:
        progress.end()
        memory.close()
    if pairs and not observed:
        raise UsageError("the model does not say how probable its translations are", "There is nothing to calibrate.")
    if skipped:
        click.echo(f"{name}: not used: {', '.join(f'{count:,} {why}' for why, count in skipped.items())}", err=True)
    return observed


def _add(decision: Decision, pair: _Pair, observed: list[Observed], skipped: Counter[str]) -> None:
    if not decision.written:
        skipped["left untranslated"] += 1
    elif all(record.origin == "copy" for record in decision.records):
        skipped["copied as they are"] += 1
    elif (features := features_of(decision.records)) is None:
        skipped["without a probability"] += 1
    else:
        right = chrf(decision.target[0], pair.reference) >= ERROR_BELOW
        observed.append(Observed(pair.source, features, right))


def _calibrated(observed: Sequence[Observed], others: Mapping[str, Sequence[Observed]]) -> Calibration:
    """Fitted to the half of the texts whose hash says so, with a report on all others."""
    halves: tuple[list[Observed], list[Observed]] = ([], [])
    for each in observed:
        halves[blake2b(each.source.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0] & 1].append(each)
    fitted, test = halves
    made = fit([each.features for each in fitted], [each.right for each in fitted])
    sets = {"test": test, **others}
    return replace(made, report={name: measured(made, rows) for name, rows in sets.items() if rows})


def measured(made: Calibration, observed: Sequence[Observed]) -> dict[str, Any]:
    """What a calibration is worth on texts that it was not fitted to. Of each bound: the least confidence, the share of
    texts that have it (coverage), and the share of those that are wrong."""
    confidences = [made.confidence(each.features) for each in observed]
    right = [each.right for each in observed]
    bounds = []
    for bound in BOUNDS:
        least = made.threshold(bound)
        sure = zip(confidences, right, strict=True) if least is not None else ()
        kept = [good for confidence, good in sure if confidence >= (least or 0.0)]
        bounds.append(
            {
                "bound": bound,
                "confidence": least,
                "coverage": len(kept) / len(right),
                "errors": kept.count(False) / len(kept) if kept else None,
            }
        )
    return {
        "segments": len(right),
        "errors": right.count(False) / len(right),
        "ece": calibration_error(confidences, right),
        "auroc": area_under_curve(confidences, right),
        "bins": [list(each) for each in reliability(confidences, right)],
        "bounds": bounds,
    }


def _table(made: Calibration) -> str:
    """The report for a terminal; behind each coverage, in parentheses, the errors among what it covers."""
    head = ["", "segments", "errors", "ECE", "AUROC", *(f"under {bound:.0%}" for bound in BOUNDS)]
    rows = [head]
    for name, values in made.report.items():
        area = values["auroc"]
        row = [name, f"{values['segments']:,}", f"{values['errors']:.1%}", f"{values['ece']:.3f}"]
        row.append("-" if area is None else f"{area:.3f}")
        for each in values["bounds"]:
            row.append(f"{each['coverage']:.1%}" + ("" if each["errors"] is None else f" ({each['errors']:.1%})"))
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"fitted to {made.segments:,} texts; error: {made.error}"]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append("  ".join(cells))
    return "\n".join(lines)
