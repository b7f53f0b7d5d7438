"""How well ``batchtrans run --dry-run`` foresees a run: processor time, time on the wall, memory, tokens.

    python tests/bench/bench_plan.py FILE... --engines ct2 hf [--limit N]

Each FILE (a catalogue, a table, a text) is planned with an empty cache of costs, again by what was kept, and
by what was kept of the FILE before it, then translated, each in a process of its own. All entries of a catalogue are
translated, whether they are or not. ``--limit`` takes that many entries of a catalogue, lines of a text. On a machine
that others use too, only processor time can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

_TIME = r"(?:(\d+) h )?(?:(\d+) min)?(?: ?(\d+(?:\.\d+)?) s)?"
_EXPECTED = re.compile(rf"^time: {_TIME} \({_TIME} of processor time\)", re.MULTILINE)
_TOKENS = re.compile(r"^tokens: ([\d,]+) of ([\d,]+) texts, expected of the model: ([\d,]+)", re.MULTILINE)
_MEMORY = re.compile(r"^memory: ([\d,]+) MB", re.MULTILINE)


class Cost(NamedTuple):
    """Seconds of processor time and on the wall, the largest resident size in MB, tokens in and out."""

    cpu: float
    wall: float
    memory: float
    tokens_out: int
    said: str


def run(arguments: list[str], directory: Path) -> Cost:
    """What a command took; its process alone."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(directory)}
    code = (
        "import os, resource, subprocess, sys, time, json; began = time.monotonic();"
        "done = subprocess.run(sys.argv[1:], stderr=subprocess.PIPE, text=True);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(json.dumps([used.ru_utime + used.ru_stime, time.monotonic() - began, used.ru_maxrss / 1e3 * 1.024,"
        " 0, done.stderr]))"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "batchtrans", "run", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return Cost(*json.loads(done.stdout))


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


def measure(path: Path, engine: str, earlier: Path | None, more: list[str], directory: Path) -> Path:
    """Print the rows of one file and engine; the cache of costs that it made."""
    output = directory / f"{engine}-{path.name}"
    words = [str(path), "--to", "es", "-o", str(output), "-O", f"engine={engine}", "--device", "cpu", *more]
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
            f"| {said.memory:.0f} / {true.memory:.0f} MB | {said.tokens_out:,} / {true.tokens_out:,} |",
            flush=True,
        )
    return cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--engines", nargs="+", default=["ct2", "hf"])
    parser.add_argument("--limit", type=int)
    given, more = parser.parse_known_args()
    print("| file | engine | costs | dry run, CPU | expected CPU | true CPU | error | wall | memory | tokens out |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for engine in given.engines:
            earlier = None
            for path in given.files:
                redo = ["--redo", "all"] if path.suffix == ".po" else []
                short = shortened(path, given.limit, directory)
                earlier = measure(short, engine, earlier, [*redo, *more], directory)


if __name__ == "__main__":
    main()
