"""What this machine can run: the answer to "why does it not work here?"."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from . import __version__
from .plugins import registry

#: Packages that decide what can run, what is missing without them, and what brings them.
_PACKAGES = {
    "ctranslate2": ("quick translation on processors", "pip install 'batchtrans-llama[cpu]'"),
    "torch": ("GPUs, other models and training", "pip install 'batchtrans-llama[torch]'"),
    "transformers": ("GPUs, other models and training", "pip install 'batchtrans-llama[torch]'"),
    "peft": ("training, and adapters beside 4-bit weights", "pip install 'batchtrans-llama[torch]'"),
    "bitsandbytes": ("training, and 4-bit weights on a GPU", "pip install 'batchtrans-llama[torch]'"),
    "pysbd": ("splitting long texts", "pip install pysbd"),
    "tqdm": ("the progress bar", "pip install tqdm"),
}
#: The decode engines of the llama backend, and what each needs.
_ENGINES = {"ct2": ("ctranslate2",), "hf": ("torch", "transformers"), "graph": ("torch", "transformers")}


def examine() -> Iterator[str]:
    """One line per finding."""
    yield f"batchtrans {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield f"processors: {os.cpu_count()}"
    for name, (purpose, remedy) in _PACKAGES.items():
        installed = _version(name)
        yield f"{name} {installed}" if installed else f"{name} is missing: needed for {purpose} ({remedy})"
    devices = list(_devices())
    yield from devices
    found = registry()
    if "llama" in found.backends:
        engines = _engines(on_cuda=any(line.startswith("cuda:") for line in devices))
        yield f"engines of the llama backend: {', '.join(engines) or 'none, so that it cannot translate'}"
    if found.models:
        yield f"models: {', '.join(found.models)}"
    else:
        yield "no embedded model: pip install batchtrans-en-es brings English to Spanish"
    yield f"backends: {', '.join(found.backends)}; formats: {', '.join(found.formats)}"
    for name, why in found.broken.items():
        yield f"broken plugin {name}: {why}"
    msgfmt = shutil.which("msgfmt")
    yield f"msgfmt: {msgfmt}" if msgfmt else "msgfmt is missing (package gettext): useful to check catalogues"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _engines(on_cuda: bool) -> Iterator[str]:
    for name, packages in _ENGINES.items():
        if all(map(_version, packages)) and (on_cuda or name != "graph"):
            yield name


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
