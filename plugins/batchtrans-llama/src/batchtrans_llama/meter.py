"""How long texts are and what decides how long they take, for a plan: found out without loading the model."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

from batchtrans import Meter, Usage

from .asking import BATCH, token_counts
from .ct2 import engine as ct2
from .devices import device_name, threads
from .engines import likely_engine
from .load import read_tokenizer
from .locate import Located
from .options import Settings
from .prompt import MASKS, clean_source
from .tokenizer import PlainTokenizer, is_plain

#: What decodes; another version is another speed.
_PACKAGES = ("batchtrans-llama", "ctranslate2", "torch", "transformers")
#: Texts that fill the slots of ``engine=graph`` twice.
_SLOTS = 2_048


class LlamaMeter(Meter):
    """Measures texts for one located model. ``engine`` and ``on_cuda`` are what a start will most likely choose: for
    ``graph`` it is taken for granted that it can run the model. ``tokenizer`` is the model's own, and ``usage`` tells
    what the started model has taken."""

    def __init__(
        self, found: Located, settings: Settings, fingerprint: Mapping[str, Any], usage: Callable[[], Usage]
    ) -> None:
        self.engine, self.on_cuda = likely_engine(found, settings)
        self.tokenizer = PlainTokenizer(found.base) if is_plain(found.base) else read_tokenizer(found.base)
        self.batch = settings.max_batch or BATCH["cuda" if self.on_cuda else "cpu"]
        self.pads = self.engine == "hf"
        self.timed = _SLOTS if self.engine == "graph" else self.batch
        self.identity = {
            **fingerprint,
            "engine": self.engine,
            "device": device_name(settings.device) if self.on_cuda else f"{_processor()}, {threads()} threads",
            "batch": settings.max_batch,
            "attention": settings.attention,
            "compile": settings.compile,
            "packages": {name: _version(name) for name in _PACKAGES},
            "python": platform.python_version(),
        }
        self._usage = usage
        self._cap = settings.length_cap
        self._most = settings.max_batch or ct2.BATCH

    def batches(self, sources: Sequence[str]) -> list[list[int]]:
        tokens = token_counts(self.tokenizer, [clean_source(source) for source in sources])
        if self.engine != "ct2":
            return [tokens]
        size = max(1, min(self._most, -(-len(tokens) // min(threads(), ct2.THREADS))))
        by_masks: dict[str, list[int]] = {}
        for source, count in zip(sources, tokens, strict=True):
            by_masks.setdefault("".join(sorted(set(source).intersection(MASKS))), []).append(count)
        batches = []
        for counts in by_masks.values():
            left = iter(sorted(counts, reverse=True))
            needs = [count + self._cap.tokens(count) for count in sorted(counts, reverse=True)]
            batches += [list(islice(left, portion)) for portion in ct2.portions(needs, size)]
        return batches

    def usage(self) -> Usage:
        return self._usage()


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
