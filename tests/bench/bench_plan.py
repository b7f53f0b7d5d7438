"""How well ``batchtrans run --dry-run`` foresees a run: processor time, time on the wall, memory, tokens.

    python tests/bench/bench_plan.py FILE... --engines ct2 hf [--limit N] [--device cuda] [options of batchtrans run]

Each FILE (a catalogue, a table, a text) is planned with an empty cache of costs, again by what was kept, and
by what was kept of the FILE before it, then translated, each in a process of its own. All entries of a catalogue are
translated, whether they are or not. ``--limit`` takes that many entries of a catalogue, lines of a text. On a machine
that others use too, only processor time can be compared; on a GPU the time on the wall is what counts, since the model
has a process of its own there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import psutil

_TIME = r"(?:(\d+) h )?(?:(\d+) min)?(?: ?(\d+(?:\.\d+)?) s)?"
_EXPECTED = re.compile(rf"^time: {_TIME} \({_TIME} of processor time\)", re.MULTILINE)
_TOKENS = re.compile(r"^tokens: ([\d,]+) of ([\d,]+) texts, expected of the model: ([\d,]+)", re.MULTILINE)
_MEMORY = re.compile(r"^memory: ([\d,]+) MB", re.MULTILINE)


class Cost(NamedTuple):
    """Seconds of processor time and on the wall, the largest resident size of all processes together in MB, tokens out,
    and what was said."""

    cpu: float
    wall: float
    memory: float
    tokens_out: int
    said: str


def run(arguments: list[str], directory: Path) -> Cost:
    """What a command took, with the processes that it started."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(directory)}
    command = [sys.executable, "-m", "batchtrans", "run", *arguments]
    before, began, memory = os.times(), monotonic(), 0
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(command, stderr=said, env=environment) as process:
            while process.poll() is None:
                memory = max(memory, resident(psutil.Process(process.pid)))
                sleep(0.05)
        wall, after = monotonic() - began, os.times()
        said.seek(0)
        text = said.read()
    if process.returncode and "left untranslated" not in text:
        raise SystemExit(text)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(cpu, wall, memory / 1e6, 0, text)


def resident(process: psutil.Process) -> int:
    """The resident size of a process and those below it, in bytes."""
    total = 0
    with suppress(psutil.Error):  # one may end meanwhile
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += one.memory_info().rss
    return total


def foreseen(cost: Cost) -> Cost:
    """What a dry run said."""
    time, memory, tokens = (pattern.search(cost.said) for pattern in (_EXPECTED, _MEMORY, _TOKENS))
    if time is None or memory is None or tokens is None:
        raise SystemExit(cost.said)
    numbers = [float(text or 0) for text in time.groups()]
    wall, cpu = (3600 * h + 60 * m + s for h, m, s in (numbers[:3], numbers[3:]))
    return Cost(cpu, wall, int(memory[1].replace(",", "")), int(tokens[3].replace(",", "")), "")


def shortened(path: Path, limit: int | None, directory: Path) -> Path:
    """The file, or the first part of it with so many entries or lines."""
    if limit is None:
        return path
    data = path.read_bytes()
    separator = b"\n\n" if path.suffix == ".po" else b"\n"
    short = directory / path.name
    short.write_bytes(separator.join(data.split(separator)[: limit + 1]) + b"\n")
    return short


def tokens_of(log: Path) -> int:
    records = (json.loads(line) for line in log.read_bytes().splitlines())
    return sum(record.get("tokens", [0, 0])[1] for record in records if record.get("origin") != "duplicate")


def measure(path: Path, engine: str, device: str, earlier: Path | None, more: list[str], directory: Path) -> Path:
    """Print the rows of one file and engine; the cache of costs that it made."""
    output = directory / f"{engine}-{path.name}"
    words = [str(path), "--to", "es", "-o", str(output), "-O", f"engine={engine}", "--device", device, *more]
    cache = directory / f"cache-{engine}-{path.stem}"
    if not (directory / f"cache-{engine}").exists():  # the model is converted before anything is timed
        run([*words, "--dry-run"], directory / f"cache-{engine}")
    cache.mkdir()
    if (converted := directory / f"cache-{engine}" / "batchtrans" / "ct2").exists():
        (cache / "batchtrans").mkdir()
        (cache / "batchtrans" / "ct2").symlink_to(converted)
    first = run([*words, "--dry-run"], cache)
    again = run([*words, "--dry-run"], cache)
    others = run([*words, "--dry-run"], earlier) if earlier else None
    true = run(words, cache)
    true = true._replace(tokens_out=tokens_of(Path(f"{output}.align.jsonl")))
    rows = {"measured on it": first, "kept": again, **({"of the file before": others} if others else {})}
    for name, cost in rows.items():
        said = foreseen(cost)
        print(
            f"| {path.name} | {engine} | {name} | {cost.cpu:.1f} s | {said.cpu:.1f} s | {true.cpu:.1f} s "
            f"| {said.cpu / true.cpu - 1:+.1%} | {said.wall:.1f} / {true.wall:.1f} s "
            f"| {said.wall / true.wall - 1:+.1%} "
            f"| {said.memory:.0f} / {true.memory:.0f} MB | {said.tokens_out:,} / {true.tokens_out:,} |",
            flush=True,
        )
    return cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--engines", nargs="+", default=["ct2", "hf"])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--device", default="cpu")
    given, more = parser.parse_known_args()
    heads = (
        "file | engine | costs | dry run, CPU | expected CPU | true CPU | error | wall | error | memory | tokens out"
    )
    print(f"| {heads} |\n|{'---|' * len(heads.split('|'))}")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for engine in given.engines:
            earlier = None
            for path in given.files:
                redo = ["--redo", "all"] if path.suffix == ".po" else []
                short = shortened(path, given.limit, directory)
                earlier = measure(short, engine, given.device, earlier, [*redo, *more], directory)


if __name__ == "__main__":
    main()
