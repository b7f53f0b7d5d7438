"""What a training is asked for, and the pairs it gets: read, filtered, split.

Everything that is left out is counted under its reason, and nothing that is held out, or nearly that, is trained on.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchtrans import UsageError
from batchtrans.textio import sha256_file

from ..data.filters import keep
from ..data.read import Pair, read_pairs
from ..data.split import LEAST, Split, split, without_overlap
from ..language import check_language
from ..options import Settings
from .recipe import Recipe

#: The sizes of the held-out splits where nobody says otherwise: a share of the pairs, within bounds.
_TEST_SHARE, _MOST_TEST = 5, 500
_DEV_SHARE, _MOST_DEV = 10, 200


@dataclass(frozen=True, slots=True)
class Job:
    """What the command line asks for. ``dev`` and ``test`` are a number of pairs, a file, or empty for the default;
    ``prompt`` is a file, ``chat`` for the tokenizer's chat template, or empty."""

    inputs: tuple[str, ...]
    source_lang: str
    target_lang: str
    output: Path
    settings: Settings
    recipe: Recipe
    columns: tuple[str, str] | None = None
    dev: str = ""
    test: str = ""
    chat: bool = False
    seed: int = 1
    resume: bool = False
    overwrite: bool = False
    force: bool = False
    glossary: tuple[Path, ...] = ()

    @property
    def work(self) -> Path:
        """Where checkpoints and metrics stand while the training goes on."""
        return self.output.with_name(self.output.name + ".training")


@dataclass(frozen=True, slots=True)
class Data:
    """The pairs of each split, what was left out and why, and the hashes of the files they came from."""

    train: list[Pair]
    dev: list[Pair]
    test: list[Pair]
    read: int
    dropped: Counter[str]
    files: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def sha256(self) -> str:
        """The hash of all pairs in their splits."""
        digest = hashlib.sha256()
        for pairs in (self.train, self.dev, self.test):
            for pair in pairs:
                digest.update(json.dumps([pair.source, pair.target]).encode("utf-8"))
            digest.update(b"\n")
        return digest.hexdigest()

    def summary(self) -> str:
        """One sentence for the user."""
        return (
            f"pairs: {self.read:,} read, {len(self.train):,} to train, {len(self.dev):,} dev, {len(self.test):,} test"
            f"{left_out(self.dropped)}"
        )


def read_data(job: Job) -> Data:
    """Read, filter and split.

    :raises UsageError: where nothing usable is left, or the targets are in another language.
    """
    counts: Counter[str] = Counter()
    pairs = _read(job, job.inputs, counts)
    notes: list[str] = []
    given = {name: _read_held_out(job, name, value, notes) for name, value in _files(job).items()}
    parts = Split(pairs, [], [], {}, "")
    sizes = {name: size for name, size in _sizes(job, len(pairs)).items() if name not in given}
    if any(sizes.values()):
        parts = split(pairs, dev=sizes.get("dev", 0), test=sizes.get("test", 0), seed=job.seed)
        counts.update(parts.counts)
        notes += [parts.warning] if parts.warning else []
    train = parts.train
    for name, held in given.items():
        train = without_overlap(train, held, counts, name)
    test = given.get("test", parts.test)
    dev = given.get("dev", parts.dev)
    if given:  # what decides when to stop must not be what judges
        dev = without_overlap(dev, test, counts, "test")
    if len(test) < LEAST:
        raise UsageError(
            f"{len(test)} test pairs show nothing about an adapter",
            f"At least {LEAST} are needed: hold more out with --test N, or give a file of them.",
        )
    if job.recipe.pairs and len(train) > job.recipe.pairs:
        counts[f"beyond the recipe's {job.recipe.pairs:,}"] += len(train) - job.recipe.pairs
        train = random.Random(job.seed).sample(train, job.recipe.pairs)
    if not train:
        raise UsageError("no pair is left to train on", "Hold fewer out with --dev and --test.")
    read = counts.pop("read")
    return Data(train, dev, test, read, counts, _hashes([*job.inputs, *_files(job).values()]), tuple(notes))


def _read_held_out(job: Job, name: str, value: str, notes: list[str]) -> list[Pair]:
    """The pairs of a split that is a file of its own; what is left out of it is a note."""
    counts: Counter[str] = Counter()
    pairs = _read(job, [value], counts)
    notes.append(f"--{name} {value}: {len(pairs):,} pairs{left_out(counts)}")
    return pairs


def left_out(counts: Counter[str]) -> str:
    """The end of a sentence: how many pairs were left out, and why."""
    counted = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common() if count and reason != "read")
    return f"; left out: {counted}" if counted else ""


def _read(job: Job, inputs: Sequence[str], counts: Counter[str]) -> list[Pair]:
    """The pairs of the inputs that pass the filters; what does not is counted.

    The language is looked at before anything is filtered: with --from and --to swapped nearly all would go.

    :raises UsageError: where none passes.
    """
    languages = (job.source_lang, job.target_lang)
    pairs = list(read_pairs(inputs, *languages, columns=job.columns, counts=counts, force=job.force))
    if not job.force:
        check_language(pairs, *languages)
    kept = list(keep(pairs, *languages, counts))
    if not kept:
        raise UsageError(
            f"no pair in {', '.join(inputs)} can be used{left_out(counts)}",
            "Are --from and --to right, and is anything translated in it?",
        )
    return kept


def _files(job: Job) -> dict[str, str]:
    """The held-out splits that are files of their own."""
    return {name: value for name, value in (("dev", job.dev), ("test", job.test)) if value and not value.isdigit()}


def _sizes(job: Job, pairs: int) -> dict[str, int]:
    """How many pairs to hold out for each split."""
    usual = {
        "dev": min(_MOST_DEV, max(LEAST, pairs // _DEV_SHARE)),
        "test": min(_MOST_TEST, max(LEAST, pairs // _TEST_SHARE)),
    }
    asked = {"dev": job.dev, "test": job.test}
    return {name: int(asked[name]) if asked[name].isdigit() else size for name, size in usual.items()}


def _hashes(inputs: Iterable[str]) -> dict[str, str]:
    """sha256 of each input that is a file; a directory or a name on the hub has none."""
    return {name: sha256_file(Path(name)) if Path(name).is_file() else "" for name in inputs}
