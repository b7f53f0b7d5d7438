"""What many tests need: the real command line in a process of its own, and small plugins installed for one test."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from batchtrans.cli import main

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples"
DATA = ROOT / "tests" / "data"

Cli = Callable[..., "subprocess.CompletedProcess[bytes]"]

if "PYTEST_XDIST_WORKER" in os.environ:
    # There is a worker for each processor: torch, CTranslate2 and numpy take one thread, here and in what is started.
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run ``batchtrans`` with these arguments in ``tmp_path``; ``plugins`` are directories put on the path."""
    return partial(run_cli, tmp_path)


def run_cli(
    directory: Path,
    *arguments: str | Path,
    plugins: tuple[Path, ...] = (),
    stdin: bytes | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "batchtrans", *map(str, arguments)],
        cwd=directory,
        input=stdin,
        capture_output=True,
        env=plugin_environment(*plugins, **environment),
        timeout=300,
    )


class Done(NamedTuple):
    """How a command ended: its exit code, and what it wrote."""

    code: int
    out: str
    said: str


def run_here(*arguments: str | Path) -> Done:
    """The command line in this process, which spares what every new one takes to import and load."""
    out, said = io.StringIO(), io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with redirect_stdout(out), redirect_stderr(said):
            code = main(list(map(str, arguments)))
    finally:
        signal.signal(signal.SIGTERM, before)
    return Done(code, out.getvalue(), said.getvalue())


def plugin_environment(*plugins: Path, **environment: str) -> dict[str, str]:
    """The environment of a process that finds these plugin directories before everything else."""
    path = os.pathsep.join([*map(str, plugins), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path, **environment}


@pytest.fixture
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Install a one-module distribution: its directory, to be passed to :func:`cli` as ``plugins``."""

    return lambda name, code: install(tmp_path_factory.mktemp(name), name, code)


def install(directory: Path, name: str, code: str) -> Path:
    """Make a directory that holds this module as a distribution."""
    (directory / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    info = directory / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[batchtrans]\n{name} = {name}\n")
    return directory


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Converted models are kept in a cache of this run, and none of the user's is taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _fixed_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times in outputs come from here, so that outputs of two runs can be compared."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    yield
