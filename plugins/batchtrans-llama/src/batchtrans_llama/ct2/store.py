"""The converted models in the user's cache: made once, whole or not at all, by one process at a time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batchtrans import BackendError

#: Written last; says how long each file is.
_LIST = "files.json"


def directory() -> Path:
    """``batchtrans/ct2`` in the user's cache (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "batchtrans" / "ct2"


def key(*parts: str) -> str:
    """The name of a converted model, from everything that decides what is in it."""
    return hashlib.sha256(json.dumps(parts).encode("utf-8")).hexdigest()[:32]


def find(name: str) -> Path | None:
    """The converted model of that name; ``None`` where there is none, or one with a file that is not as long as it
    was."""
    model = directory() / name
    try:
        sizes = json.loads((model / _LIST).read_bytes())
        whole = all((model / file).stat().st_size == size for file, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return None
    return model if whole else None


def make(name: str, write: Callable[[Path], None]) -> Path:
    """The converted model of that name, by ``write``, which fills an empty directory, if there is none yet.

    A second process waits for the first one and then finds its model. What a killed process left is removed: a model
    has its name only from the moment when all of it is on the disk.

    :raises BackendError: where the cache cannot be written.
    """
    model, half = directory() / name, directory() / f"{name}.tmp"
    try:
        directory().mkdir(parents=True, exist_ok=True)
        with _locked(directory() / f"{name}.lock"):
            if found := find(name):
                return found
            for left in (half, model):
                if left.exists():
                    shutil.rmtree(left)
            half.mkdir()
            write(half)
            sizes = {path.name: path.stat().st_size for path in half.iterdir()}
            (half / _LIST).write_text(json.dumps(sizes), encoding="utf-8")
            for path in (*half.iterdir(), half):
                _sync(path)
            half.rename(model)
            _sync(directory())
    except OSError as error:
        raise BackendError(
            f"the converted model cannot be kept in {directory()}: {error.strerror or error}",
            "Make room there, or set XDG_CACHE_HOME to a directory that can be written; -O engine=hf needs none.",
        ) from None
    return model


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however that ends. The file stays: if it were removed, a process that
    waits for it and one that comes later would hold two."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
