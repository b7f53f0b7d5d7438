"""What a command may import: the help must answer before anything heavy is loaded."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from batchtrans import plugins

HEAVY = (
    "torch",
    "transformers",
    "pandas",
    "datasets",
    "tqdm",
    "polib",
    "pysbd",
    "peft",
    "bitsandbytes",
    "numpy",
    "sacrebleu",
    "sqlite3",
    "accelerate",
    "safetensors",
    "pyarrow",
    "py3langid",
)


def of_llama(command: str) -> Any:
    """The help of a command that the llama backend's distribution brings, where that is installed."""
    missing = command not in plugins.registry().commands
    return pytest.param([command, "--help"], marks=pytest.mark.skipif(missing, reason="batchtrans-llama is missing"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["check", "--help"],
        ["calibrate", "--help"],
        ["plugins"],
        of_llama("eval"),
        of_llama("train"),
        of_llama("merge"),
    ],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from batchtrans.cli import main; code = main(sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_the_core_never_imports_torch() -> None:
    code = (
        "import importlib, pkgutil, sys, batchtrans\n"
        "for module in pkgutil.walk_packages(batchtrans.__path__, 'batchtrans.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
