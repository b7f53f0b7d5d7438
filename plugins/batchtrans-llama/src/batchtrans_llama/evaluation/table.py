"""A comparison as a table, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .bootstrap import SAMPLES, SEED
from .compare import METRICS, Comparison
from .metrics import Interval, Scores


class Column(NamedTuple):
    """A heading, what stands under it (empty for a raw line where ``raw`` is ``None``), and what that means."""

    heading: str
    cell: Callable[[Scores], str]
    raw: Callable[[Scores], str] | None
    meaning: str


def _interval(interval: Interval) -> str:
    return f"{interval.score:.1f} ±{(interval.high - interval.low) / 2:.1f}"


def _quality(heading: str, field: str, meaning: str) -> Column:
    return Column(
        heading, lambda s: _interval(getattr(s.trimmed, field)), lambda s: _interval(getattr(s.raw, field)), meaning
    )


def _share(heading: str, name: str, meaning: str) -> Column:
    def cell(scores: Scores) -> str:
        share = scores.shares[name]
        return "-" if share is None else f"{share:.1%}"

    return Column(heading, cell, None, meaning)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


COLUMNS = (
    Column("system", lambda s: s.name, lambda s: f"{s.name} (raw)", "what translated; raw: all that a model wrote"),
    _quality("BLEU", "bleu", "BLEU of the set, and half the width of its 95 % interval"),
    _quality("chrF", "chrf", "chrF, likewise"),
    _quality("chrF++", "chrf_words", "chrF with words, likewise"),
    _quality("TER", "ter", "edits per 100 words of the references, likewise; less is better"),
    Column("COMET", lambda s: "n/a" if s.comet is None else f"{s.comet:.4f}", None, "what --comet-cmd says"),
    _share("stop", "stop_eos", "texts that the model ended by itself, with EOS"),
    _share("overgen", "over_generated", "texts that went on after the translation"),
    _share("cap", "hit_cap", "texts that only the length cap ended"),
    _share("repeat", "repeated", "texts that repeat themselves"),
    _share("copy", "copied", "sentences left as the source has them"),
    _share("empty", "empty", "segments without a text"),
    _share("lang", "wrong_language", "texts that look like the source's language"),
    _share("phold", "placeholders", "placeholders right, of the texts that have any"),
    _share("nums", "numbers", "numbers right, of the texts that have any"),
    Column(
        "len",
        lambda s: f"{s.length:.2f}",
        lambda s: f"{s.raw_length:.2f}",
        "length of all texts; the references have 1",
    ),
    Column("seg/s", lambda s: _number(s.speed, 1), None, "segments per second, without loading the model"),
)


def rows(comparison: Comparison) -> list[list[str]]:
    """The cells of each system in the order of COLUMNS, and of its raw text where that scores otherwise."""
    lines = []
    for scores in comparison.systems:
        lines.append([column.cell(scores) for column in COLUMNS])
        if scores.raw != scores.trimmed:
            lines.append([column.raw(scores) if column.raw else "" for column in COLUMNS])
    return lines


def table(comparison: Comparison) -> str:
    """The comparison for a terminal: the test set, the table, the differences with their p-values, the signatures."""
    cells = [[column.heading for column in COLUMNS], *rows(comparison)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [f"test set: {described(comparison)}", ""]
    lines += [_line(row, widths) for row in cells]
    lines += ["", *differences(comparison), *missing(comparison)]
    lines += [f"{metric}: {comparison.signatures[metric]}" for metric in METRICS]
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()


def described(comparison: Comparison) -> str:
    """The test set in a few words."""
    text = f"{comparison.segments:,} segments, {comparison.source_lang} to {comparison.target_lang}"
    if comparison.overlap is not None:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in comparison.overlap.items())
        text += f", shared with the training data: {counts or 'nothing'}"
    return f"{text}, sha256 {comparison.sha256[:12]}"


def differences(comparison: Comparison) -> list[str]:
    """A sentence for each system but the first, and how the p-values were found."""
    first, *others = comparison.systems
    lines = []
    for scores in others:
        items = [comparison.difference(scores.name, metric) for metric in ("chrF++", "BLEU", "TER")]
        found = ", ".join(f"{item.metric} {item.delta:+.2f} (p={item.p:.3f})" for item in items)
        lines.append(f"{scores.name} against {first.name}: {found}")
    if lines:
        lines.append(f"p-values: paired bootstrap, {SAMPLES} resamples, seed {SEED}")
    return lines


def missing(comparison: Comparison) -> list[str]:
    """Why numbers are missing: segments that failed, COMET that is not there."""
    lines = [f"{s.name}: {s.failed:,} segments have no translation" for s in comparison.systems if s.failed]
    reasons = dict.fromkeys(s.comet_note for s in comparison.systems if s.comet is None)
    return lines + [f"COMET n/a: {reason}" for reason in reasons]
