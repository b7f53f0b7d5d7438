"""What this machine can run: the answer to "why does it not work here?"."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from . import __version__
from .plugins import registry

#: Packages that decide what can run, and what is missing without them.
_PACKAGES = {
    "torch": "the llama backend",
    "transformers": "the llama backend",
    "peft": "adapters",
    "bitsandbytes": "4-bit models",
    "pysbd": "splitting long texts",
    "tqdm": "the progress bar",
}


def examine() -> Iterator[str]:
    """One line per finding."""
    yield f"batchtrans {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield f"processors: {os.cpu_count()}"
    for name, purpose in _PACKAGES.items():
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            yield f"{name} is missing: needed for {purpose}"
    yield from _devices()
    found = registry()
    if found.models:
        yield f"models: {', '.join(found.models)}"
    else:
        yield "no embedded model: pip install batchtrans-en-es brings English to Spanish"
    yield f"backends: {', '.join(found.backends)}; formats: {', '.join(found.formats)}"
    for name, why in found.broken.items():
        yield f"broken plugin {name}: {why}"
    msgfmt = shutil.which("msgfmt")
    yield f"msgfmt: {msgfmt}" if msgfmt else "msgfmt is missing (package gettext): useful to check catalogues"


def _devices() -> Iterator[str]:
    try:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch
    except ImportError:
        return
    if not torch.cuda.is_available():
        yield "no CUDA device: translation runs on the processor"
        return
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        dtype = "bfloat16" if device.major >= 8 else "float16"
        capability, memory = f"{device.major}.{device.minor}", device.total_memory >> 30
        yield f"cuda:{index}: {device.name}, {memory} GiB, capability {capability}, computes in {dtype}"
