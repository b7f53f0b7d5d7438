"""What the user is told: the bar while a run goes on, the summary after it, the exit code."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from .pipeline import Job, Outcome


class Progress:
    """A bar of decided segments on standard error; silent where that is no terminal."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()
        self._bar: Any = None

    def begin(self, name: str, total: int) -> None:
        if self.shown:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=name, unit=" segments", dynamic_ncols=True, file=sys.stderr)

    def advance(self, count: int) -> None:
        if self._bar is not None:
            self._bar.update(count)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class RunProgress(Progress):
    """The bar of a run, which knows what is kept wherever the run stops."""

    def __init__(self) -> None:
        super().__init__()
        self._job: Job | None = None
        self._number = self._documents = self._decided = self._segments = 0

    def open(self, job: Job, segments: int, number: int, documents: int) -> None:
        """Begin a document, the one with this ``number`` from 1 of so many."""
        self._job, self._number, self._documents = job, number, documents
        self._decided, self._segments = 0, segments
        self.begin(job.name, segments)

    def advance(self, count: int) -> None:
        self._decided += count
        super().advance(count)

    def kept(self, fresh: bool) -> str:
        """What a run that stops here leaves behind, and how to go on from there."""
        job = self._job
        if job is None or (self._number == 1 and not self._decided):
            return "nothing new was translated; the same command goes on"
        if not _keeps_log(job):
            return "nothing is kept, since - has no log; --log FILE gives it one"
        place = f", document {self._number} of {self._documents}," if self._documents > 1 else ""
        command = "the same command"
        if fresh:  # which would set this log aside too; and an earlier output is none of this log's
            command += " with --overwrite in the place of --fresh"
        what = f"{self._decided:,} of {self._segments:,} segments of {job.name}{place} are kept in {job.log}"
        return f"{what}; {command} goes on from there"


def _keeps_log(job: Job) -> bool:
    """Whether a run leaves a log behind: that of a bare - goes with its spool."""
    return job.log.parent != job.output.parent or not job.to_stdout


_COUNTS = {
    "from memory": "from memory",
    "from duplicate": "repeated",
    "from copy": "copied as they are",
    "from kept": "kept",
    "by masked": "with the number masked",
    "by constrained": "with placeholders constrained",
    "by n-best": "by another hypothesis",
    "by plain": "by a second attempt",
    "by pieces": "in pieces",
}
_BY_HAND = "translate these by hand, or try another --model or --adapter"
#: What can be done about texts that were left untranslated, by the code of what is wrong with them.
_ADVICE = {
    "placeholders": f"{_BY_HAND}; a catalogue's flag no-c-format says that % is text",
    "format": f"{_BY_HAND}; a catalogue's flag no-c-format says that % is text",
    "newlines": _BY_HAND,
    "control": _BY_HAND,
    "empty": _BY_HAND,
    "truncated": "allow longer answers (-O length-cap=32+4*n for llama), or shorter texts (--unit line for txt)",
    "keep": "translate these by hand, or take the term off the list of those that stay",
    "unfit": "convert the input to UTF-8 where it lacks a character, else translate these by hand",
}


def summary(outcome: Outcome) -> str:
    """What became of one document, in a few lines."""
    counts, job = outcome.counts, outcome.job
    lines = [f"{job.name} -> {'standard output' if job.to_stdout else job.output}"]
    if outcome.up_to_date:
        lines.append("  up to date: nothing to translate")
    else:
        written = sum(counts[status] for status in ("ok", "repaired", "fuzzy"))
        details = [f"{counts[key]} {words}" for key, words in _COUNTS.items() if counts[key]]
        details += [f"{counts['repaired']} repaired"] if counts["repaired"] else []
        details += [f"{counts['fuzzy']} doubtful"] if counts["fuzzy"] else []
        line = f"  segments: {counts['segments']}, written: {written}"
        line += f" ({', '.join(details)})" if details else ""
        line += f", not selected: {counts['skipped']}" if counts["skipped"] else ""
        line += f", left untranslated: {counts['failed']}" if counts["failed"] else ""
        waited = "" if outcome.idle is None else f", the backend waited for work: {outcome.idle:.1f} s"
        lines.append(f"{line}; {outcome.seconds:.1f} s{waited}")
        if counts["skipped"] == counts["segments"] > 0:
            lines.append("  what is empty or translated is left as it is: --redo all translates it again")
    lines += [f"  line {line}: left untranslated: {why}" for line, why in outcome.problems]
    if counts["failed"] > len(outcome.problems):
        lines.append(f"  and {counts['failed'] - len(outcome.problems)} more; the log has all of them")
    lines += _advice(outcome.reasons)
    if outcome.off_glossary:
        where = ", ".join(map(str, outcome.lines_off))
        more = ", ..." if outcome.off_glossary > len(outcome.lines_off) else ""
        lines.append(f"  without a term of the glossary: {outcome.off_glossary}, on line {where}{more}")
    lines += [f"  changed beside the translations: {edit}" for edit in outcome.edits]
    lines += [f"  {note}" for note in outcome.notes]
    if _keeps_log(job):
        lines.append(f"  log: {job.log}")
    return "\n".join(lines)


def _advice(reasons: Collection[str]) -> list[str]:
    """What to try, each thing once."""
    by_text: dict[str, list[str]] = {}
    for code, text in _ADVICE.items():
        if code in reasons:
            by_text.setdefault(text, []).append(code)
    return [f"  to try ({', '.join(codes)}): {text}" for text, codes in by_text.items()]


#: How many refused inputs are named once more in the end.
_NAMED_REFUSED = 20


class Refused:
    """The inputs that are left out: each is told at once, with the reason. ``exit_code`` is what they ask for together
    where there is no other to go on with."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.exit_code = 0

    def add(self, name: str, why: str, code: int = 1) -> None:
        click.echo(f"batchtrans: error: {why}", err=True)
        self.names.append(name)
        self.exit_code = max(self.exit_code, code)

    def summary(self) -> str:
        """Which inputs these were, the first ones of many."""
        names, more = ", ".join(self.names[:_NAMED_REFUSED]), len(self.names) - _NAMED_REFUSED
        return f"refused, for the reasons above: {names}" + (f" and {more:,} more" if more > 0 else "")


def exit_code(outcomes: Sequence[Outcome], refused: Refused | None = None) -> int:
    """0 if no document was refused and every selected segment of them is written, else 1."""
    return 1 if (refused and refused.names) or any(outcome.counts["failed"] for outcome in outcomes) else 0
