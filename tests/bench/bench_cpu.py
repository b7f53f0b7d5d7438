"""The embedded model, on a processor or a GPU: how fast by each engine, what a small file costs from start to end, and
what eight bits lose.

    python tests/bench/bench_cpu.py speed SET... --arms hf:64 ct2:64 apertium --segments 1000 --rounds 2
    python tests/bench/bench_cpu.py speed SET... --device cuda --arms hf:512 graph:1024
    python tests/bench/bench_cpu.py start --rounds 5
    python tests/bench/bench_cpu.py quality SET...

SET is a file of translations by people that ``batchtrans eval`` reads. ``speed`` takes segments of them evenly and
sorts them by length; an arm is an engine with its batch, or Apertium (Debian's apertium-eng-spa, texts as paragraphs).
Each arm and round is a process of its own and the arms take turns, so that a busy machine meets all alike. Loading and
a first text are not counted, Apertium's start is, which is short. Of several rounds the one with the least processor
time counts. ``start`` times whole commands on a catalogue of ten entries of the sample: the first one, which converts
the model, and later ones. ``quality`` gives chrF of whole sets in int8 and in float32.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from batchtrans.pairs import read_units

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "input.po"


class Cost(NamedTuple):
    """Seconds of processor time and on the wall, and tokens generated, where there are tokens."""

    cpu: float
    wall: float
    tokens: int


def pairs_of(sets: Sequence[Path]) -> list[tuple[str, str]]:
    """The pairs of some files, without those of several forms."""
    units = (unit for path in sets for unit in read_units(path, "en", "es"))
    return [(unit.sources[0], unit.targets[0]) for unit in units if len(unit.sources) == 1]


def backend(engine: str, batch: str = "64", dtype: str = "auto", device: str = "cpu") -> Any:
    from batchtrans_llama.backend import LlamaBackend

    started = LlamaBackend({"engine": engine, "device": device, "max-batch": batch, "dtype": dtype})
    started.start("en", "es")
    return started


def translate(started: Any, texts: Sequence[str]) -> list[Any]:
    """The results in the order of the texts."""
    from batchtrans import Request

    found = {result.id: result for result in started.translate(Request(*each) for each in enumerate(texts))}
    return [found[number] for number in range(len(texts))]


def processor_time() -> float:
    """Of this process and the children it has waited for."""
    return sum(os.times()[:4])


def measure_arm(arm: str, texts: Sequence[str], device: str = "cpu") -> Cost:
    """What one arm takes for the texts, in this process; on a GPU less what is recorded at first."""
    engine, _, batch = arm.partition(":")
    started = None if engine == "apertium" else backend(engine, batch or "64", device=device)
    if started is not None:
        translate(started, texts if device != "cpu" else texts[:1])
    cpu, wall = processor_time(), perf_counter()
    if started is None:
        text = "".join(" ".join(text.split()) + "\n\n" for text in texts)
        done = subprocess.run(["apertium", "-u", "eng-spa"], input=text, capture_output=True, text=True, check=True)
        assert len(done.stdout.split("\n\n")) == len(texts) + 1
    tokens = sum(result.tokens_out for result in translate(started, texts)) if started is not None else 0
    return Cost(processor_time() - cpu, perf_counter() - wall, tokens)


def speed(given: argparse.Namespace) -> None:
    sources = list(dict.fromkeys(source for source, _ in pairs_of(given.sets)))
    step = len(sources) / min(given.segments, len(sources))
    texts = sorted((sources[int(place * step)] for place in range(min(given.segments, len(sources)))), key=len)
    costs: dict[str, list[Cost]] = {arm: [] for arm in given.arms}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "texts.json"
        file.write_text(json.dumps(texts), encoding="utf-8")
        for _ in range(given.rounds):
            for arm in given.arms:
                command = [sys.executable, __file__, "arm", arm, str(file), given.device]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                costs[arm].append(Cost(*json.loads(done.stdout.splitlines()[-1])))
                print(f"{arm}: {costs[arm][-1]}", file=sys.stderr, flush=True)
    print(f"{len(texts)} segments, threads: {os.environ.get('OMP_NUM_THREADS', os.cpu_count())}")
    print("| arm | segments/s | segments per CPU second | tokens per CPU second |\n|---|---|---|---|")
    for arm, rounds in costs.items():
        best = min(rounds)
        wall = min(cost.wall for cost in rounds)
        tokens = f"{best.tokens / best.cpu:.0f}" if best.tokens else ""
        print(f"| {arm} | {len(texts) / wall:.1f} | {len(texts) / best.cpu:.2f} | {tokens} |")


def ten_entries(path: Path) -> None:
    """A catalogue of the header and every eighth entry of the sample that is to be translated, ten of them."""
    head, *entries = SAMPLE.read_text(encoding="utf-8").split("\n\n")
    empty = [entry for entry in entries if 'msgstr ""' in entry.splitlines() and "#~" not in entry]
    path.write_text("\n\n".join([head, *empty[:: len(empty) // 10][:10]]) + "\n", encoding="utf-8")


def start(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as directory:
        ten_entries(Path(directory) / "ten.po")
        environment = {**os.environ, "XDG_CACHE_HOME": directory}
        command = [sys.executable, "-m", "batchtrans", "run", "ten.po", "--to", "es", "--device", "cpu", "--fresh"]
        for number in range(1 + given.rounds):
            cpu, wall = processor_time(), perf_counter()
            done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=True)
            kind = "converted" if number == 0 else "later"
            print(f"{kind}: {processor_time() - cpu:.2f} s CPU, {perf_counter() - wall:.2f} s")
        print(done.stderr)


def quality(given: argparse.Namespace) -> None:
    from sacrebleu.metrics import CHRF

    engines = {"int8": backend("ct2"), "float32": backend("hf" if given.reference == "hf" else "ct2", dtype="float32")}
    for path in given.sets:
        pairs = pairs_of([path])[: given.segments]
        print(path.name, len(pairs), end=" ", flush=True)
        texts = {}
        for name, started in engines.items():
            texts[name] = [result.target for result in translate(started, [source for source, _ in pairs])]
            score = CHRF().corpus_score(texts[name], [[target for _, target in pairs]]).score
            print(f"{name} {score:.2f}", end=" ", flush=True)
        equal = sum(map(str.__eq__, texts["int8"], texts["float32"]))
        print(f"equal texts {equal / len(pairs):.1%}", flush=True)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("speed", "quality"):
        one = commands.add_parser(name)
        one.add_argument("sets", nargs="+", type=Path)
        one.add_argument("--segments", type=int, default=1000)
    speeds, qualities = (commands.choices[name] for name in ("speed", "quality"))
    speeds.add_argument("--device", default="cpu")
    speeds.add_argument("--arms", nargs="+", default=["hf:64", "ct2:64", "apertium"])
    qualities.add_argument("--reference", choices=["hf", "ct2"], default="hf", help="engine that computes in float32")
    starts = commands.add_parser("start")
    for one in (speeds, starts):
        one.add_argument("--rounds", type=int, default=2)
    arm = commands.add_parser("arm")
    arm.add_argument("arm")
    arm.add_argument("texts", type=Path)
    arm.add_argument("device")
    return parser.parse_args(words)


def main() -> None:
    given = arguments()
    if given.command == "arm":
        print(json.dumps(measure_arm(given.arm, json.loads(given.texts.read_text(encoding="utf-8")), given.device)))
    else:
        {"speed": speed, "start": start, "quality": quality}[given.command](given)


if __name__ == "__main__":
    main()
