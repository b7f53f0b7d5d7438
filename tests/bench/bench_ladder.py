"""The ladder on catalogues that people have translated: where placeholders come right, what plural forms are like
beside the people's, and what the constraint costs.

    python tests/bench/bench_ladder.py CATALOGUE... --exclude pairs.tsv --limit 1500
    python tests/bench/bench_ladder.py speed CATALOGUE... --exclude pairs.tsv --limit 300

CATALOGUE is a complete .po file; it is not changed. Its finished entries with placeholders or plural forms are emptied
in a copy, which ``batchtrans run`` translates with the embedded model, and the log says by which rung each string was
written. What stands in a file given by ``--exclude`` (source TAB anything, one a line; what the model was trained on)
is left out, and of the rest ``--limit`` entries are taken evenly. ``speed`` decodes strings with placeholders by the
reference with and without their constraints, in turns, and without them by CTranslate2 where that is installed; of
several rounds the one with the least processor time counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from bench_cpu import Cost, backend, processor_time

from batchtrans import Document, OpenOptions, Request, Segment, State, plugins, syntaxes
from batchtrans import parts as cutting
from batchtrans.alignment import AlignmentRecord, read_groups, read_history
from batchtrans.chrf import chrf
from batchtrans.ladder import RUNGS
from batchtrans.protect import find, has_words

PAIR = ("en", "es")
#: Whose translations are the translators' names.
CREDITS = ("translator-credits", "translator_credits", "Your names", "Your emails")
RUNG_NAMES = {"": "as decoded", "masked": "plural, number masked", "pieces": "in pieces"}


class Form(NamedTuple):
    """One string: its source and plural form, what a person and what the ladder made of it, the rung that it ended on,
    and whether it was written."""

    where: str
    source: str
    human: str
    ours: str
    number: int | None
    placeholders: tuple[str, ...]
    rung: str
    written: bool
    repaired: bool


def opened(path: Path) -> Document:
    registry = plugins.registry()
    return plugins.resolve(registry.formats["po"])().open(path, OpenOptions(*PAIR, force=True))


def known_sources(files: Iterable[Path]) -> set[str]:
    """The first columns, with single blanks."""
    known: set[str] = set()
    for path in files:
        with path.open(encoding="utf-8") as lines:
            known.update(" ".join(line.split("\t", 1)[0].split()) for line in lines)
    return known


def is_asked(piece: Segment, known: set[str]) -> bool:
    """Whether an entry is finished, not known, and has words and something that must come through."""
    if piece.state is not State.DONE or piece.source[0] in CREDITS:
        return False
    if any(" ".join(text.split()) in known for text in piece.source):
        return False
    spans = [find(text, piece.flags) for text in piece.source]
    return (len(piece.source) > 1 or any(spans)) and has_words(piece.source[0], spans[0])


def chosen(catalogues: Sequence[Path], exclude: Sequence[Path], limit: int) -> dict[Path, list[Segment]]:
    """The entries that are asked for, by catalogue: at most ``limit``, taken evenly, each text once."""
    known = known_sources(exclude)
    found: dict[tuple[str, ...], tuple[Path, Segment]] = {}
    for path in catalogues:
        for piece in opened(path).pieces():
            if isinstance(piece, Segment) and is_asked(piece, known):
                found.setdefault(piece.source, (path, piece))
    everything = list(found.values())
    step = max(1.0, len(everything) / limit)
    sample = [everything[int(place * step)] for place in range(min(limit, len(everything)))]
    by_path: dict[Path, list[Segment]] = defaultdict(list)
    for path, segment in sample:
        by_path[path].append(segment)
    print(
        f"{len(catalogues)} catalogues, {len(everything)} entries that are not known, {len(sample)} of them asked for"
    )
    return by_path


def write_emptied(path: Path, segments: Sequence[Segment], target: Path) -> None:
    """A catalogue of these entries without their translations; nothing else is in it but the header."""
    document, wanted = opened(path), {segment.id for segment in segments}
    with target.open("wb") as file:
        header = True
        for piece in document.pieces():
            if isinstance(piece, bytes):
                if header:
                    file.write(piece)
            else:
                header = False
                if piece.id in wanted:
                    file.write(_FLAG if is_c_format(piece) else b"")
                    file.write(document.render(piece, ("",) * len(piece.target), State.NEW) + b"\n")


_FLAG = b"#, c-format\n"


def is_c_format(segment: Segment) -> bool:
    """Whether an entry without flags, as msgunfmt gives them, has directives of C in source and
    translation alike: then its catalogue will have said so."""
    if segment.flags or not syntaxes.parse(segment.source[-1], "c-format").arguments:
        return False
    return not any(
        syntaxes.parse(text, "c-format").fault or syntaxes.compare(segment.source[-1], text, "c-format", relaxed=True)
        for text in (*segment.source, *segment.target)
    )


def translated(by_path: dict[Path, list[Segment]], directory: Path, options: Sequence[str]) -> Iterator[Form]:
    for path, segments in by_path.items():
        emptied = directory / f"{path.stem}.empty.po"
        write_emptied(path, segments, emptied)
        output = directory / f"{path.stem}.out.po"
        command = [sys.executable, "-m", "batchtrans", "run", str(emptied), "--from", PAIR[0], "--to", PAIR[1]]
        done = subprocess.run(
            [*command, "-o", str(output), "--mark", "none", *options], capture_output=True, text=True, check=False
        )
        if done.returncode not in (0, 1):
            sys.exit(done.stderr)
        log = Path(f"{output}.align.jsonl")
        people = {segment.id: segment for segment in segments}
        for group in read_groups(log, read_history(log).runs[-1]):
            yield from forms(path.stem, people[group[0].segment], group)


def forms(name: str, person: Segment, group: Sequence[AlignmentRecord]) -> Iterator[Form]:
    by_form: dict[int | None, list[AlignmentRecord]] = defaultdict(list)
    for record in group:
        by_form[record.form].append(record)
    for number, records in by_form.items():
        yield Form(
            f"{name}:{person.location.line}",
            "".join(record.source for record in records),
            person.target[number or 0] if (number or 0) < len(person.target) else "",
            "".join(record.target for record in records),
            number,
            tuple(mask for record in records for mask in record.masks),
            max((record.rung for record in records), key=RUNGS.index),
            all(record.status != "failed" for record in records),
            any(record.status == "repaired" and not record.rung for record in records),
        )


def share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / max(whole, 1):.1f} %)"


def report_rungs(strings: Sequence[Form]) -> None:
    """By which rung the strings with placeholders were written."""
    ours = [form for form in strings if form.placeholders]
    counts = Counter(form.rung if form.written else "left" for form in ours)
    print(f"\nStrings with placeholders: {len(ours)}, placeholders: {sum(len(form.placeholders) for form in ours)}")
    print("| right by | strings | right so far |\n|---|---|---|")
    so_far = 0
    for rung in RUNGS:
        so_far += counts[rung]
        print(f"| {RUNG_NAMES.get(rung, rung)} | {share(counts[rung], len(ours))} | {100 * so_far / len(ours):.2f} % |")
    print(f"| left untranslated | {share(counts['left'], len(ours))} | |")


def number_shown(source: str, text: str) -> bool:
    """Whether a form has all the placeholders of its entry's plural text, the number among them."""
    wanted, found = ([text[span.start : span.end] for span in find(text)] for text in (source, text))
    return len(found) >= len(wanted)


def report_plurals(strings: Sequence[Form], plural_texts: dict[str, str]) -> None:
    """The forms of plural entries beside those of people."""
    entries: dict[str, list[Form]] = defaultdict(list)
    for form in strings:
        if form.number is not None:
            entries[form.where].append(form)
    flat = [form for group in entries.values() for form in group]
    if not flat:
        return
    exact = [form.ours == form.human for form in flat]
    kept = {where: [(number_shown(plural_texts[where], f.human), number_shown(plural_texts[where], f.ours)) for f in fs]
            for where, fs in entries.items()}  # fmt: skip
    pairs = [pair for group in kept.values() for pair in group]
    human_kept = sum(human for human, _ in pairs)
    print(f"\nPlural entries: {len(entries)}, forms: {len(flat)}")
    print(f"- forms that are the person's, letter by letter: {share(sum(exact), len(flat))}")
    all_exact = sum(all(form.ours == form.human for form in group) for group in entries.values())
    print(f"- entries of which all forms are: {share(all_exact, len(entries))}")
    for number in sorted({form.number or 0 for form in flat}):
        some = [form for form in flat if form.number == number]
        print(f"- chrF of form {number}, mean: {sum(chrf(f.ours, f.human) for f in some) / len(some):.1f}")
    print(f"- number kept where the person kept it: {share(sum(h and o for h, o in pairs), human_kept)}")
    both_out = sum(not human and not ours for human, ours in pairs)
    print(f"- left out where the person left it out: {share(both_out, len(pairs) - human_kept)}")
    same = sum(len({form.ours for form in group}) == 1 for group in entries.values())
    theirs = sum(len({form.human for form in group}) == 1 for group in entries.values())
    print(f"- entries with all forms alike: {same}, the person's: {theirs}")


def quality(given: argparse.Namespace) -> None:
    by_path = chosen(given.catalogues, given.exclude, given.limit)
    options = ["-O", f"engine={given.engine}", *(["--model", given.model] if given.model else [])]
    with tempfile.TemporaryDirectory() as scratch:
        directory = given.keep or Path(scratch)
        directory.mkdir(exist_ok=True)
        strings = list(translated(by_path, directory, options))
    plural_texts = {
        f"{path.stem}:{segment.location.line}": segment.source[1]
        for path, segments in by_path.items()
        for segment in segments
        if len(segment.source) > 1
    }
    report_rungs(strings)
    report_plurals(strings, plural_texts)
    low = [form for form in strings if form.placeholders and (not form.written or form.rung in ("pieces", "n-best"))]
    for form in low[: given.show]:
        end = RUNG_NAMES.get(form.rung, form.rung) if form.written else "left"
        print(f"\n{form.where} {end}\n  {form.source!r}\n  {form.ours!r}")
    for form in [form for form in strings if form.number is not None and form.ours != form.human][: given.show]:
        print(f"\n{form.where} form {form.number}\n  {form.source!r}\n  {form.human!r}\n  {form.ours!r}")


def speed(given: argparse.Namespace) -> None:
    by_path = chosen(given.catalogues, given.exclude, given.limit)
    requests: list[Request] = []
    for segment in (segment for segments in by_path.values() for segment in segments):
        (part, *more) = cutting.cut(segment.source[0], segment.flags, PAIR[0])
        if part.placeholders and not more:
            constraint = part.constraint(segment.flags, True)
            requests.append(Request(len(requests), part.text, flags=segment.flags, constraint=constraint))
    free = [request._replace(constraint=None) for request in requests]
    arms = {"hf, constrained": ("hf", requests), "hf": ("hf", free)}
    if find_spec("ctranslate2"):
        arms["ct2"] = ("ct2", free)
    started = {engine: backend(engine, given.batch) for engine in {engine for engine, _ in arms.values()}}
    costs: dict[str, list[Cost]] = {arm: [] for arm in arms}
    for engine, asked in arms.values():
        list(started[engine].translate(asked[:2]))  # what is loaded at the first text
    for _ in range(given.rounds):
        for arm, (engine, asked) in arms.items():
            cpu = processor_time()
            tokens = sum(result.tokens_out for result in started[engine].translate(asked))
            costs[arm].append(Cost(processor_time() - cpu, 0.0, tokens))
            print(f"{arm}: {costs[arm][-1]}", file=sys.stderr, flush=True)
    print(f"{len(requests)} strings of one part with placeholders, batches of {given.batch}")
    print("| arm | tokens | CPU ms per token |\n|---|---|---|")
    for arm, rounds in costs.items():
        best = min(rounds)
        print(f"| {arm} | {best.tokens} | {1000 * best.cpu / best.tokens:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments = sys.argv[1:]
    what = speed if arguments[:1] == ["speed"] else quality
    parser.add_argument("catalogues", nargs="+", type=Path, metavar="CATALOGUE")
    parser.add_argument("--exclude", action="append", default=[], type=Path, metavar="FILE", help="pairs to leave out")
    parser.add_argument(
        "--limit", type=int, default=1500 if what is quality else 300, help="how many entries to ask for"
    )
    if what is quality:
        parser.add_argument("--engine", default="auto")
        parser.add_argument("--model", default="", help="another one than the embedded model")
        parser.add_argument("--keep", type=Path, help="directory for the catalogues and logs")
        parser.add_argument(
            "--show", type=int, default=0, metavar="N", help="print N strings of the lower rungs, and N forms"
        )
    else:
        parser.add_argument("--batch", default="32")
        parser.add_argument("--rounds", type=int, default=2)
    what(parser.parse_args(arguments[1:] if what is speed else arguments))


if __name__ == "__main__":
    main()
