"""Two adapters in one batch beside each merged into the base by itself: processor time per token, and equal tokens.

    python tests/bench/bench_mixed.py SET --segments 96 --batch 32 [--model DIR] [--other ADAPTER]

The model is the embedded one, or a directory with base/ and adapter/. Without another adapter one is made of it, with
half of its effect. All is in float32, on the processor. Texts are sorted by length. Arms: merged, each adapter after
the other; beside, the same with the adapter beside its layers, alone; mixed, both in one batch. Loading is timed apart.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

from batchtrans.pairs import read_units


def halved(adapter: Path, directory: Path) -> Path:
    """A copy of an adapter with half of its effect."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(adapter, directory)
    file = directory / "adapter_model.safetensors"
    tensors = {name: tensor * (0.5 if "lora_B" in name else 1) for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    return directory


class Arm:
    """What one arm took, in seconds of processor time, and its answers for each adapter."""

    def __init__(self) -> None:
        self.loading = self.decoding = 0.0
        self.answers: dict[str, list[Any]] = {"one": [], "other": []}

    def begin(self, make: Callable[[], Any], template: str, texts: Sequence[str]) -> tuple[Any, list[Any], list[int]]:
        """Load, and decode a first text that does not count; the engine, prompts and caps."""
        from batchtrans_llama.asking import Asker
        from batchtrans_llama.generate import MixedEngine
        from batchtrans_llama.options import LengthCap

        began = process_time()
        loaded = make()
        self.loading += process_time() - began
        prompts, caps = Asker(loaded, template, "en", "es", LengthCap()).prompts(texts)
        engine = MixedEngine(loaded)
        engine.decode(prompts[:1], caps[:1])
        return engine, prompts, caps

    def decode(self, work: Callable[[], list[Any]]) -> list[Any]:
        began = process_time()
        decoded = work()
        self.decoding += process_time() - began
        return decoded


def batches(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--segments", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--model", default="")
    parser.add_argument("--other", type=Path)
    given = parser.parse_args()

    from batchtrans_llama.card import read_adapter
    from batchtrans_llama.load import load, load_mixed
    from batchtrans_llama.locate import locate
    from batchtrans_llama.options import Settings

    found = locate(Settings(model=given.model), "en", "es")
    assert found.adapter is not None
    sources = list(dict.fromkeys(unit.sources[0] for unit in read_units(given.set, "en", "es")))
    step = max(1, len(sources) // given.segments)
    texts = sorted(sources[::step][: given.segments], key=len, reverse=True)
    with tempfile.TemporaryDirectory() as name:
        other = read_adapter(given.other or halved(found.adapter.directory, Path(name) / "other"))
        adapters = {"one": found.adapter, "other": other}

        arms = {arm: Arm() for arm in ("merged", "beside", "mixed")}
        for key, adapter in adapters.items():
            load_arm = {
                "merged": partial(load, found.base, adapter, "cpu", "float32"),
                "beside": partial(load_mixed, found.base, {key: adapter}, "cpu", "float32"),
            }
            for arm, make in load_arm.items():
                engine, prompts, caps = arms[arm].begin(make, found.template, texts)
                for part in batches(len(prompts), given.batch):
                    arms[arm].answers[key] += arms[arm].decode(partial(engine.decode, prompts[part], caps[part]))
        mixed = arms["mixed"]
        make = partial(load_mixed, found.base, adapters, "cpu", "float32")
        engine, prompts, caps = mixed.begin(make, found.template, texts)
        for part in batches(len(prompts), given.batch // 2):
            rows, limits = prompts[part], caps[part]
            names = ["one"] * len(rows) + ["other"] * len(rows)
            decoded = mixed.decode(partial(engine.decode_mixed, 2 * rows, 2 * limits, names))
            mixed.answers["one"] += decoded[: len(rows)]
            mixed.answers["other"] += decoded[len(rows) :]
        report(arms, len(texts))


def report(arms: dict[str, Arm], count: int) -> None:
    print(f"{count} texts for each of two adapters")
    print("| arm | loading, CPU | decoding, CPU | tokens | ms of CPU per token | rows with the tokens of merged |")
    print("|---|---|---|---|---|---|")
    for name, arm in arms.items():
        tokens = sum(len(row.logprobs) for rows in arm.answers.values() for row in rows)
        same = sum(_same(rows, arms["merged"].answers[key]) for key, rows in arm.answers.items())
        print(
            f"| {name} | {arm.loading:.1f} s | {arm.decoding:.1f} s | {tokens:,} | {1000 * arm.decoding / tokens:.2f} "
            f"| {same} of {2 * count} |"
        )


def _same(rows: Sequence[Any], others: Sequence[Any]) -> int:
    return sum(row.ids == other.ids for row, other in zip(rows, others, strict=True))


if __name__ == "__main__":
    main()
