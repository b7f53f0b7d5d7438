"""Checkpoints: a training that was stopped, by whatever means, goes on as if it had not been.

A checkpoint is a directory ``step-NNNNNNNN`` that appears whole or not at all: it is written under another name,
brought to the disk, and renamed. Tensors are stored as safetensors and numbers as JSON; nothing in it can run code.
The random numbers of a step are drawn from a seed made of the run's seed, the step and the process, so that no
generator's state need be stored.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchtrans import BatchtransError, UsageError
from batchtrans.textio import sync_directory

_STATE = "state.json"
_PREFIX = "step-"


@dataclass(slots=True)
class State:
    """Where a training stands after ``step`` optimiser steps.

    ``tensors`` holds the adapter's weights, the optimiser's moments and the best adapter so far, each by a prefixed
    parameter name. ``scaler`` is GradScaler's state, empty without one. ``looks`` are the dev scores so far, as
    [step, score]. ``metrics`` is how many bytes of metrics.jsonl belong to it. ``seconds`` and ``tokens`` are what the
    steps took.
    """

    step: int
    tensors: Mapping[str, Any]
    scaler: Mapping[str, Any] = field(default_factory=dict)
    looks: list[list[float]] = field(default_factory=list)
    metrics: int = 0
    seconds: float = 0.0
    tokens: int = 0


def save(directory: Path, state: State, identity: Mapping[str, Any]) -> None:
    """Write a checkpoint and remove the older ones. ``identity`` is what must be equal for a training to go on.

    :raises BatchtransError: where it cannot be written; the checkpoint before it is still there then.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    temporary = directory / f".{_PREFIX}{state.step:08}.tmp"
    final = directory / f"{_PREFIX}{state.step:08}"
    numbers = {
        "identity": identity,
        "step": state.step,
        "scaler": state.scaler,
        "looks": state.looks,
        "metrics": state.metrics,
        "seconds": state.seconds,
        "tokens": state.tokens,
    }
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file(
            {name: tensor.contiguous() for name, tensor in state.tensors.items()}, temporary / "state.safetensors"
        )
        (temporary / _STATE).write_text(json.dumps(numbers), encoding="utf-8")
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
        sync_directory(directory)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise _unwritable(directory, error) from error
    for older in directory.glob(f"{_PREFIX}*"):  # half removed ones too
        if older != final:
            shutil.rmtree(older, ignore_errors=True)


def _unwritable(directory: Path, error: Exception) -> BatchtransError:
    free = shutil.disk_usage(directory).free >> 20
    return BatchtransError(
        f"{directory}: the checkpoint cannot be written: {error} ({free} MiB are free there)",
        "Make room, then go on with --resume.",
    )


def load(directory: Path, identity: Mapping[str, Any]) -> State | None:
    """The newest checkpoint, its tensors on the CPU; ``None`` where there is none.

    :raises UsageError: if it belongs to another training, naming what differs.
    :raises BatchtransError: if it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = _steps(directory)
    if not found:
        return None
    try:
        numbers = json.loads((found[-1] / _STATE).read_text(encoding="utf-8"))
        known = numbers.pop("identity")
        if differing := _differing(known, identity):
            raise UsageError(
                f"{directory} holds a training that was begun otherwise: {', '.join(differing)}",
                "Go on with the options and files of then, or begin anew with --overwrite.",
            )
        return State(tensors=load_file(found[-1] / "state.safetensors"), **numbers)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BatchtransError(
            f"{found[-1]}: the checkpoint cannot be read: {error}", "Begin anew with --overwrite."
        ) from error


def _differing(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The names under which two identities differ; of a part that is a mapping itself the names in it."""
    names: list[str] = []
    for name in sorted({*known, *wanted}):
        one, other = known.get(name), wanted.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            names += [f"{name} ({', '.join(inner)})"] if (inner := _differing(one, other)) else []
        elif one != other:
            names.append(name)
    return names


def exists(directory: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return bool(_steps(directory))


def _steps(directory: Path) -> list[Path]:
    """The complete checkpoints, oldest first."""
    return sorted(path for path in directory.glob(f"{_PREFIX}*") if (path / _STATE).is_file())
