"""Trainings of the tiny model: pairs that it can learn in three seconds, and the command line in this process.

How a source begins decides its translation, so that what is held out can be translated by what was learned, and
by nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tiny_model
from conftest import Done, plugin_environment, run_here

_VERBS = {
    "Open": "Abra", "Delete": "Borre", "Where is": "Dónde está", "I lost": "Perdí", "I see": "Veo", "Close": "Cierre",
}  # fmt: skip
_NOUNS = ("the file", "the house", "the station", "my last tray", "the white file")
_ENDINGS = ("now", "here", "and the house", "and the station", "and my file")
PAIRS = [
    (f"{verb} {noun} {ending}.", f"{translation} el archivo de la casa.")
    for verb, translation in _VERBS.items()
    for noun in _NOUNS
    for ending in _ENDINGS
]
random.Random(0).shuffle(PAIRS)


def write_csv(path: Path, pairs: Sequence[tuple[str, str]] = PAIRS, heading: str = "en,es") -> Path:
    path.write_text(heading + "\n" + "".join(f'"{one}","{other}"\n' for one, other in pairs), encoding="utf-8")
    return path


def options(**changes: object) -> list[str]:
    """What makes a training of some seconds; ``changes`` are values of the recipe."""
    values = {"epochs": 100, "steps": 12, "batch": 8, "rate": 5e-3, "scaled_rate": "no", "evaluations": 0, **changes}
    return [f"-O{name.replace('_', '-')}={value}" for name, value in values.items()]


def here(*arguments: str | Path) -> Done:
    """The command line in this process, which spares the seconds that every new one takes to import torch."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)  # a process trains once; this one does so again and again
    return run_here(*arguments)


def train(*arguments: str | Path) -> Done:
    """Train on the tiny base, in this process."""
    model = () if "--base" in arguments else ("--base", tiny_model.nf4_base())
    return here("train", "--to", "es", "--device", "cpu", *model, *arguments)


def environment(plugins: Iterable[Path] = ()) -> dict[str, str]:
    return plugin_environment(*plugins, OMP_NUM_THREADS="1")


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """In here the disk is full for whatever writes more than this into one file."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
