"""The backend's options: from the words of the command line to checked values."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchtrans import UsageError

from .prompt import template_fault

DTYPES = ("float32", "bfloat16", "float16")
_CAP = re.compile(r"\s*(\d+(?:\.\d+)?)\s*\+\s*(\d+(?:\.\d+)?)\s*\*\s*n\s*")
_YES = {"yes": True, "true": True, "1": True, "on": True, "no": False, "false": False, "0": False, "off": False}


@dataclass(frozen=True, slots=True)
class LengthCap:
    """The most tokens that a translation of ``n`` source tokens may take: ``base + factor * n``, rounded up.

    The default follows the longest targets of real pairs: Spanish needs up to twice the tokens of a short string.
    """

    base: float = 16
    factor: float = 2.2

    def tokens(self, source_tokens: int) -> int:
        return max(1, math.ceil(self.base + self.factor * source_tokens))

    def __str__(self) -> str:
        return f"{self.base:g}+{self.factor:g}*n"


@dataclass(frozen=True, slots=True)
class Flags:
    """How the command that is run is told the base model, and, where it can be, to go on all the same: what a message
    tells the user to try."""

    model: str = "--model"
    force: str = "--force"


@dataclass(frozen=True, slots=True)
class Settings:
    """Option values as the rest of the package uses them. An empty ``model`` means the embedded one, an empty
    ``adapter`` the one that belongs to the model, ``own_process=None`` as the engine has it, and ``template`` is the
    text of the prompt file, if one is given."""

    model: str = ""
    adapter: str = ""
    device: str = "auto"
    dtype: str = "auto"
    quant: str = "auto"
    engine: str = "auto"
    attention: str = "auto"
    compile: str = "auto"
    eos: bool = True
    own_process: bool | None = None
    max_batch: int | None = None
    revision: str | None = None
    local_only: bool = False
    length_cap: LengthCap = LengthCap()
    template: str | None = None
    force: bool = False
    flags: Flags = Flags()


def parse(options: Mapping[str, str]) -> Settings:
    """Check all option values at once, before anything is loaded.

    :raises UsageError: for a value out of range, naming the option and what it may be.
    """
    device = options.get("device") or "auto"
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise _bad("device", device, "auto, cpu, cuda or cuda:N")
    return Settings(
        model=options.get("model", ""),
        adapter=options.get("adapter", ""),
        device=device,
        dtype=_choice(options, "dtype", ("auto", *DTYPES)),
        quant=_choice(options, "quant", ("auto", "nf4", "none")),
        engine=_choice(options, "engine", ("auto", "hf", "graph", "ct2")),
        attention=_choice(options, "attention", ("auto", "sdpa", "triton")),
        compile=_choice(options, "compile", ("auto", "yes", "no")),
        eos=_choice(options, "eos", ("on", "off")) == "on",
        own_process={"auto": None, "yes": True, "no": False}[_choice(options, "own-process", ("auto", "yes", "no"))],
        max_batch=_max_batch(options.get("max-batch")),
        revision=options.get("revision") or None,
        local_only=_flag(options, "local-only"),
        length_cap=_length_cap(options.get("length-cap")),
        template=_template(options.get("prompt")),
        force=_flag(options, "force"),
    )


def _bad(name: str, value: str, allowed: str) -> UsageError:
    return UsageError(f"the option {name} cannot be {value!r}", f"It may be {allowed}.")


def _choice(options: Mapping[str, str], name: str, allowed: Sequence[str]) -> str:
    value = options.get(name) or allowed[0]
    if value not in allowed:
        raise _bad(name, value, f"{', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def _flag(options: Mapping[str, str], name: str) -> bool:
    value = options.get(name) or "no"
    if value.lower() not in _YES:
        raise _bad(name, value, "yes or no")
    return _YES[value.lower()]


def _max_batch(value: str | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,5}", value):
        raise _bad("max-batch", value, "a whole number from 1 on")
    return int(value)


def _length_cap(value: str | None) -> LengthCap:
    if value is None:
        return LengthCap()
    match = _CAP.fullmatch(value)
    if match is None:
        raise _bad("length-cap", value, "A+B*n with two numbers, for example 16+2.2*n")
    return LengthCap(float(match[1]), float(match[2]))


def _template(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        template = Path(value).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the prompt file {value} cannot be read: {error}") from None
    template = template.removesuffix("\n")
    if fault := template_fault(template):
        raise UsageError(
            f"the prompt file {value} {fault}",
            "A template may also use {source_language} and {target_language}, and {terms} on a line before the last.",
        )
    return template


def assignments(texts: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """The ``KEY=VALUE`` words of ``-O`` by their keys, the last one counting.

    :raises UsageError: for a word without a key or an equals sign, and for a key that is not known.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"-O {text}: not of the form KEY=VALUE")
        if name not in known:
            raise UsageError(f"there is no option {name!r}", f"Known options: {', '.join(sorted(known))}.")
        found[name] = value
    return found
