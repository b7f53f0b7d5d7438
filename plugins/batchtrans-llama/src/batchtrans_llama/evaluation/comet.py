"""COMET by a command: its packages cannot share an environment with ours, and nothing else stands for it.

The command runs in whatever environment has COMET, for example::

    --comet-cmd 'comet-score -s {source} -t {target} -r {reference} --quiet --only_system'
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batchtrans import UsageError

from .command import CommandFailed, run, words_of
from .output import Output

if TYPE_CHECKING:
    from ..data.read import Pair

_FIELDS = ("{source}", "{target}", "{reference}")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_TIMEOUT = 7200.0


class Comet:
    """The command for one test set. ``{source}``, ``{target}`` and ``{reference}`` in it become files with a line for
    each segment; the last number it prints is the score.

    :raises UsageError: for a template without these.
    """

    def __init__(self, template: str, pairs: Sequence[Pair], timeout: float = _TIMEOUT) -> None:
        lacking = [field for field in _FIELDS if field not in template]
        if lacking:
            raise UsageError(
                f"--comet-cmd does not hold {' and '.join(lacking)}",
                "Files take their place, as in: comet-score -s {source} -t {target} -r {reference} --only_system",
            )
        self._words = words_of(template, "--comet-cmd")
        self._pairs = pairs
        self._timeout = timeout

    def __call__(self, output: Output) -> tuple[float | None, str]:
        """The score of an output, or ``None`` and why there is none."""
        texts = {
            "{source}": [pair.source for pair in self._pairs],
            "{target}": [hypothesis.text for hypothesis in output.hypotheses],
            "{reference}": [pair.target for pair in self._pairs],
        }
        with tempfile.TemporaryDirectory(prefix="batchtrans-comet-") as directory:
            words = self._words
            for field, lines in texts.items():
                path = Path(directory) / f"{field[1:-1]}.txt"
                path.write_text("".join(" ".join(line.split()) + "\n" for line in lines), encoding="utf-8")
                words = [word.replace(field, str(path)) for word in words]
            try:
                printed = run(words, "", self._timeout)
            except CommandFailed as failure:
                return None, str(failure)
        numbers = _NUMBER.findall(printed)
        return (float(numbers[-1]), "") if numbers else (None, f"{self._words[0]} printed no number")
