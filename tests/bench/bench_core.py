"""What the engine itself costs: processor time and memory of whole processes, beside the usual tools on the same files.

The ``identity`` backend translates nothing, so that what is left is reading, deciding, logging, writing and reading
back. Files are generated; each job is a process of its own, its figures are those the system keeps of it. Jobs of one
file take turns, so that a busy machine meets all of them alike; of several rounds the one with the least processor
time counts.

    python tests/bench/bench_core.py help csv po txt --rounds 3
    python tests/bench/bench_core.py csv --size 1000000 --growth 100000

``--growth`` measures the same with fewer records too, and, for both sizes, two runs with an index that could grow: one
that goes on with half of its log (``resumed``), and one of the ``pseudo`` backend, which changes every text and keeps
it in mind in case it comes again (``duplicates``).
"""

from __future__ import annotations

import argparse
import filecmp
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

WORDS = [
    *("file", "window", "server", "message", "account", "network", "change", "option", "folder", "screen", "report"),
    *("letter", "garden", "market", "station", "morning", "answer", "please", "select", "remove", "update", "because"),
    *("between", "without", "several", "every", "other"),
]

CSV_COPY = """
import csv, sys
source, target = open(sys.argv[1], newline="", encoding="utf-8"), open(sys.argv[2], "w", newline="", encoding="utf-8")
with source as rows, target as out:
    csv.writer(out).writerows(csv.reader(rows))
"""
POLIB_COPY = """
import polib, sys
polib.pofile(sys.argv[1]).save(sys.argv[2])
"""
PYPO_COPY = """
import sys
from translate.storage import pypo
pypo.pofile.parsefile(sys.argv[1]).savefile(sys.argv[2])
"""
CSVL10N_COPY = """
import sys
from translate.storage import csvl10n
with open(sys.argv[1], "rb") as file:
    table = file.read().replace(b"id,text,price,note", b"id,source,location,translator_comments", 1)  # names it knows
csvl10n.csvfile.parsestring(table).savefile(sys.argv[2])
"""
TEXT_COPY = """
import sys
source, target = open(sys.argv[1], newline="", encoding="utf-8"), open(sys.argv[2], "w", newline="", encoding="utf-8")
with source as lines, target as out:
    for line in lines:
        out.write(line)
"""


class Cost(NamedTuple):
    """Of one process: seconds of processor time (user and system), seconds on the wall, largest resident MB."""

    cpu: float
    wall: float
    memory: float


def measure(command: Sequence[str]) -> Cost:
    """Run a command to its end, its output thrown away.

    :raises SystemExit: if the command fails.
    """
    started = perf_counter()
    process = os.posix_spawnp(
        command[0],
        list(command),
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    return Cost(usage.ru_utime + usage.ru_stime, perf_counter() - started, usage.ru_maxrss / 1024)


def sentence(number: int) -> str:
    """A sentence of eight words that no other number gives."""
    chosen = [WORDS[(number * step + step) % len(WORDS)] for step in (1, 3, 5, 7, 11, 13)]
    return f"{' '.join(chosen)} {number} times.".capitalize()


def write_csv(path: Path, rows: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write("id,text,price,note\n")
        for number in range(rows):
            quoted = f'"{sentence(number)}, or ""so""."' if number % 7 == 0 else sentence(number)
            file.write(f"A-{number},{quoted},{number % 1000}.50,{WORDS[number % len(WORDS)]}\n")


def write_po(path: Path, entries: int) -> None:
    header = r"""msgid ""
msgstr ""
"Project-Id-Version: bench\n"
"Language: es\n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Content-Transfer-Encoding: 8bit\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"
"""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(header)
        for number in range(entries):
            target = sentence(number + 7) if number % 2 else ""
            file.write(f'\n#: src/file{number % 100}.c:{number}\nmsgid "{sentence(number)}"\nmsgstr "{target}"\n')


def write_txt(path: Path, lines: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        for number in range(lines):
            file.write(f"{sentence(number)}\n")


class Subject(NamedTuple):
    """A kind of file: how it is written, how large by default, the options of the run, and the peers: what each is
    called, which module it needs, and its code."""

    write: Callable[[Path, int], None]
    size: int
    options: tuple[str, ...]
    peers: tuple[tuple[str, str, str], ...]


SUBJECTS = {
    "csv": Subject(
        write_csv,
        1_000_000,
        ("--column", "text", "--into", "replace"),
        (
            ("csv.reader to csv.writer", "csv", CSV_COPY),
            ("translate-toolkit csvl10n, load and save", "translate", CSVL10N_COPY),
        ),
    ),
    "po": Subject(
        write_po,
        200_000,
        ("--redo", "all"),
        (
            ("polib, load and save", "polib", POLIB_COPY),
            ("translate-toolkit pypo, load and save", "translate", PYPO_COPY),
        ),
    ),
    "txt": Subject(write_txt, 1_000_000, (), (("Python, line by line", "io", TEXT_COPY),)),
}


def run_command(source: Path, backend: str, subject: Subject) -> list[str]:
    command = [sys.executable, "-m", "batchtrans", "run", str(source), "--to", "es", "--backend", backend]
    return [*command, *subject.options]


def bench_file(kind: str, size: int, rounds: int, directory: Path, *, indexes: bool) -> None:
    subject = SUBJECTS[kind]
    source, output = directory / f"big.{kind}", directory / f"big.es.{kind}"
    subject.write(source, size)
    print(f"{kind}: {size:,} records, {source.stat().st_size / 1e6:.0f} MB")
    jobs = {"batchtrans run --backend identity": [*run_command(source, "identity", subject), "--fresh"]}
    for name, module, code in subject.peers:
        if find_spec(module) is None:
            print(f"  {name:42} not installed")
        else:
            jobs[name] = [sys.executable, "-c", code, str(source), str(directory / "peer")]
    costs: dict[str, list[Cost]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, command in jobs.items():
            costs[name].append(measure(command))
            for log in directory.glob("*.align.jsonl.*"):
                log.unlink()
    if not filecmp.cmp(source, output, shallow=False):  # what this process holds counts to its children's memory
        sys.exit(f"{output} is not its input")
    for name, all_costs in costs.items():
        show(name, min(all_costs))
    log = output.with_name(output.name + ".align.jsonl")
    print(f"  log: {log.stat().st_size / 1e6:.0f} MB, {log.stat().st_size / size:.0f} bytes a record", flush=True)
    if indexes:
        bench_indexes(source, output, log, subject)


def bench_indexes(source: Path, output: Path, log: Path, subject: Subject) -> None:
    """The runs whose memory could grow with the records; ``log`` is that of a complete run."""
    with log.open("r+b") as file:
        file.seek(log.stat().st_size // 2)
        file.readline()
        file.truncate(file.tell())
    output.unlink()
    show("resumed", measure(run_command(source, "identity", subject)))
    if not filecmp.cmp(source, output, shallow=False):  # what this process holds counts to its children's memory
        sys.exit(f"{output} is not its input")
    show("duplicates", measure([*run_command(source, "pseudo", subject), "--fresh"]))


def show(name: str, cost: Cost) -> None:
    print(f"  {name:42} {cost.cpu:6.1f} s CPU {cost.wall:6.1f} s wall {cost.memory:6.0f} MB", flush=True)


def bench_help(rounds: int) -> None:
    jobs = {
        "batchtrans --help": [sys.executable, "-m", "batchtrans", "--help"],
        "batchtrans run --help": [sys.executable, "-m", "batchtrans", "run", "--help"],
        "python -c 'import click'": [sys.executable, "-c", "import click"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    costs: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(max(rounds, 11)):
        for name, command in jobs.items():
            costs[name].append(measure(command).cpu * 1000)
    print(f"start-up, CPU milliseconds of {max(rounds, 11)} runs")
    for name, values in costs.items():
        print(f"  {name:36} min {min(values):4.0f}  median {statistics.median(values):4.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="+", choices=["help", *SUBJECTS])
    parser.add_argument("--size", type=int, help="records in each file; default: those of docs/results.md")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--growth", type=int, help="measure with so many records first, and runs with an index")
    given = parser.parse_args()
    for name in given.subjects:
        if name == "help":
            bench_help(given.rounds)
            continue
        size = given.size or SUBJECTS[name].size
        for records in (given.growth, size) if given.growth else (size,):
            with tempfile.TemporaryDirectory(prefix="batchtrans-bench-") as directory:
                bench_file(name, records, given.rounds, Path(directory), indexes=bool(given.growth))


if __name__ == "__main__":
    main()
