"""What translates a test set: the base model, the base with examples, adapters, files of others, commands.

Every system gives one hypothesis for each segment, so that whatever wrote it is measured alike. Models are loaded one
after another, and systems that differ in nothing but the prompt share one.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from batchtrans import BackendError, UsageError
from batchtrans.parts import cut
from batchtrans.segmentation import unwrap

from ..backend import located_fingerprint
from ..card import Adapter
from ..engines import start
from ..load import Loaded, load_mixed
from ..locate import Located, locate
from ..options import Settings
from ..rules import Engine
from ..service import loaded_fingerprint
from .command import CommandFailed, run, words_of
from .decoding import decode_texts
from .mixed import decode_mixed
from .output import Hypothesis, Output
from .shots import choose_shots, few_shot_template

if TYPE_CHECKING:
    from ..data.read import Pair

#: How long a command may take for a whole test set, in seconds.
COMMAND_TIMEOUT = 3600.0
_BASE = re.compile(r"base(?:-([1-9]\d?)shot)?")


class Progress(Protocol):
    """Told how far a system is; ``batchtrans.report.Progress`` is one."""

    def begin(self, name: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def end(self) -> None: ...


class Spec(NamedTuple):
    """A system as ``--against`` names it. ``kind`` is ``base``, ``adapter``, ``directory``, ``file`` or ``cmd``;
    ``value`` is the directory, the file or the command, ``shots`` the number of examples."""

    name: str
    kind: str
    value: str = ""
    shots: int = 0


@dataclass(frozen=True, slots=True)
class ModelSystem:
    """A model with an adapter or without one, asked with ``found.template``; ``shots`` are the examples in it."""

    name: str
    found: Located
    shots: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What another system wrote, one line for each segment."""

    name: str
    path: Path
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CommandSystem:
    """A command that translates what it reads."""

    name: str
    words: tuple[str, ...]
    timeout: float = COMMAND_TIMEOUT


System = ModelSystem | FileSystem | CommandSystem


def parse_against(values: Sequence[str]) -> list[Spec]:
    """The systems that ``--against`` names, in order. A value is cut at commas, unless it begins with ``file:`` or
    ``cmd:``.

    :raises UsageError: for a name that means nothing, and for one system named twice.
    """
    specs: list[Spec] = []
    for value in values:
        whole = value.startswith(("file:", "cmd:"))
        for item in [value] if whole else value.split(","):
            if item.strip():
                specs.append(_spec(item.strip()))
    for spec in specs:
        if specs.count(spec) > 1:
            raise UsageError(f"--against names {spec.name} twice")
    return _with_own_names(specs)


def _spec(item: str) -> Spec:
    kind, colon, value = item.partition(":")
    if colon and kind == "file":
        return Spec(Path(value).name, "file", value)
    if colon and kind == "cmd":
        return Spec(Path(words_of(value, "cmd:")[0]).name, "cmd", value)
    if item == "adapter":
        return Spec(item, "adapter")
    if match := _BASE.fullmatch(item):
        return Spec(item, "base", shots=int(match[1] or 0))
    if Path(item).expanduser().is_dir():
        return Spec(item, "directory", item)
    raise UsageError(
        f"--against does not know {item!r}, and there is no such directory",
        "It takes base, base-5shot, adapter, a directory, file:PATH and cmd:COMMAND, separated by commas.",
    )


def _with_own_names(specs: Sequence[Spec]) -> list[Spec]:
    """The same with a number behind each name that came before: two files may have one name."""
    named: list[Spec] = []
    for spec in specs:
        name, number = spec.name, 1
        while any(other.name == name for other in named):
            number += 1
            name = f"{spec.name}-{number}"
        named.append(spec._replace(name=name))
    return named


def resolve(
    specs: Sequence[Spec],
    settings: Settings,
    source_lang: str,
    target_lang: str,
    *,
    sources: Sequence[str],
    examples: Sequence[tuple[str, str]] = (),
) -> list[System]:
    """Find everything that the systems need, so that what is not there is said before anything is loaded. Without
    ``specs`` these are the base and its adapter, if it has one.

    ``sources`` are those of the test set, and ``examples`` the pairs that few-shot prompts draw from.

    :raises UsageError: for a file with another number of lines, a command that is not there, examples that lack.
    :raises BackendError: for a model or adapter that cannot be used.
    """
    resolved: list[System] = []
    own = None if specs else locate(settings, source_lang, target_lang)
    for spec in specs or parse_against(["base,adapter" if own and own.adapter else "base"]):
        if spec.kind == "file":
            resolved.append(_file_system(spec, len(sources)))
        elif spec.kind == "cmd":
            resolved.append(_command_system(spec))
        elif spec.kind == "directory":
            found = locate(_for_directory(settings, Path(spec.value).expanduser()), source_lang, target_lang)
            resolved.append(ModelSystem(spec.name, found))
        else:
            own = own or locate(settings, source_lang, target_lang)
            resolved.append(_own_system(spec, own, source_lang, target_lang, sources, examples))
    return resolved


def _own_system(
    spec: Spec,
    own: Located,
    source_lang: str,
    target_lang: str,
    sources: Sequence[str],
    examples: Sequence[tuple[str, str]],
) -> ModelSystem:
    if spec.kind == "adapter":
        if own.adapter is None:
            raise UsageError(f"{own.name} has no adapter to evaluate", "Name one with --adapter.")
        return ModelSystem(spec.name, own)
    bare = replace(own, adapter=None)
    if not spec.shots:
        return ModelSystem(spec.name, bare)
    if not examples:
        raise UsageError(
            f"{spec.name} needs examples to show",
            "Give a file of translations with --shots; the test set itself is never shown.",
        )
    shots = choose_shots(examples, spec.shots, sources)
    template = few_shot_template(own.template, shots, source_lang, target_lang)
    return ModelSystem(spec.name, replace(bare, template=template), tuple(shots))


def _for_directory(settings: Settings, directory: Path) -> Settings:
    """An adapter's directory stands for that adapter on the base, a model's for the model as it is."""
    if (directory / "adapter_config.json").is_file():
        return replace(settings, adapter=str(directory))
    return replace(settings, model=str(directory), adapter="", revision=None)


def _file_system(spec: Spec, segments: int) -> FileSystem:
    path = Path(spec.value).expanduser()
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if lines[-1] == "":
        lines.pop()
    if len(lines) != segments:
        raise UsageError(
            f"{path} has {len(lines)} lines, and the test set {segments} segments",
            "The output of another system has one line for each segment, in order.",
        )
    return FileSystem(spec.name, path, tuple(line.removesuffix("\r") for line in lines))


def _command_system(spec: Spec) -> CommandSystem:
    words = words_of(spec.value, "cmd:")
    if shutil.which(words[0]) is None:
        raise UsageError(f"there is no command {words[0]}", "It is run as it stands, without a shell.")
    return CommandSystem(spec.name, tuple(words))


def run_systems(
    systems: Sequence[System],
    pairs: Sequence[Pair],
    source_lang: str,
    target_lang: str,
    settings: Settings,
    progress: Progress,
    *,
    mixed: bool = False,
) -> list[Output]:
    """Translate the sources of ``pairs`` by every system, in order. Models are asked without guards, by the engine that
    the settings name; by the reference, if they name none. With ``mixed`` adapters of one base are decoded together.

    :raises BackendError: where a model cannot be loaded or a command fails.
    :raises UsageError: where nothing can be ``mixed``.
    """
    outputs: dict[str, Output] = {}
    for system in systems:
        if isinstance(system, FileSystem):
            outputs[system.name] = _from_file(system)
        elif isinstance(system, CommandSystem):
            outputs[system.name] = _from_command(system, pairs, source_lang)
    models = [system for system in systems if isinstance(system, ModelSystem)]
    if mixed:
        together = _to_mix(models, settings)
        outputs |= _from_mixed(together, pairs, source_lang, target_lang, settings, progress)
        models = [system for system in models if system not in together]
    while models:
        base, adapter = _weights(models[0])
        together = [system for system in models if _weights(system) == (base, adapter)]
        models = [system for system in models if system not in together]
        loaded, engine = start(together[0].found, _measured(settings), guards=False)
        for system in together:
            outputs[system.name] = _from_model(
                system, loaded, engine, pairs, source_lang, target_lang, settings, progress
            )
        del engine
        _free(loaded)
        del loaded
    return [outputs[system.name] for system in systems]


def _measured(settings: Settings) -> Settings:
    """The settings with the reference where they leave the engine open: a measurement should not depend on what else is
    installed, nor on eight bits."""
    return replace(settings, engine="hf") if settings.engine == "auto" else settings


def _weights(system: ModelSystem) -> tuple[Path, Adapter | None]:
    return system.found.base, system.found.adapter


def _from_model(
    system: ModelSystem,
    loaded: Loaded,
    engine: Engine,
    pairs: Sequence[Pair],
    source_lang: str,
    target_lang: str,
    settings: Settings,
    progress: Progress,
) -> Output:
    progress.begin(system.name, len(pairs))
    began = time.monotonic()
    try:
        hypotheses = decode_texts(
            loaded,
            system.found.template,
            source_lang,
            target_lang,
            pairs,
            batch_size=settings.max_batch,
            length_cap=settings.length_cap,
            engine=engine,
            advance=progress.advance,
        )
    finally:
        progress.end()
    seconds = time.monotonic() - began
    described = {
        **located_fingerprint(system.found, settings),
        **loaded_fingerprint(loaded, engine.name),
        "shots": [list(shot) for shot in system.shots],
    }
    return Output(system.name, hypotheses, seconds, described, (*system.found.notes, *loaded.notes, *engine.notes))


def _to_mix(models: Sequence[ModelSystem], settings: Settings) -> list[ModelSystem]:
    """The systems whose adapters stand beside one base, with the numbers that the first of them was trained on.

    :raises UsageError: where there are not two, or an engine is asked for that cannot decode them together.
    """
    if settings.engine not in ("auto", "hf"):
        raise UsageError(f"engine={settings.engine} has an adapter merged into its weights", "Leave --mixed or -O out.")
    adapted = [system for system in models if system.found.adapter is not None]

    def form(system: ModelSystem) -> tuple[Path, str]:
        return system.found.base, system.found.adapter.quantisation if system.found.adapter else ""

    together = [system for system in adapted if form(system) == form(adapted[0])]
    if len(together) < 2:
        raise UsageError("--mixed needs two adapters of one base", "Name their directories with --against.")
    return together


def _from_mixed(
    systems: Sequence[ModelSystem],
    pairs: Sequence[Pair],
    source_lang: str,
    target_lang: str,
    settings: Settings,
    progress: Progress,
) -> dict[str, Output]:
    """The outputs of some systems that differ in their adapters; each gets an equal part of the time."""
    names = {f"adapter{number}": system for number, system in enumerate(systems)}
    adapters = {name: system.found.adapter for name, system in names.items() if system.found.adapter is not None}
    loaded = load_mixed(systems[0].found.base, adapters, settings.device, settings.dtype, settings.quant)
    progress.begin("mixed", len(systems) * len(pairs))
    began = time.monotonic()
    try:
        found = decode_mixed(
            loaded,
            {name: system.found.template for name, system in names.items()},
            source_lang,
            target_lang,
            pairs,
            batch_size=settings.max_batch,
            length_cap=settings.length_cap,
            advance=progress.advance,
        )
    finally:
        progress.end()
    seconds = time.monotonic() - began
    note = f"decoded together: {', '.join(system.name for system in systems)}, in {seconds:.1f} s"
    outputs = {}
    for name, system in names.items():
        described = {
            **located_fingerprint(system.found, settings),
            **loaded_fingerprint(loaded),
            "mixed": [other.name for other in systems],
            "shots": [],
        }
        notes = (*system.found.notes, *loaded.notes, note)
        outputs[system.name] = Output(system.name, found[name], seconds / len(systems), described, notes)
    _free(loaded)
    return outputs


def _free(loaded: Loaded) -> None:
    """Give the memory of a model back before the next one comes."""
    import gc

    loaded.model = None
    gc.collect()
    if loaded.device.type == "cuda":
        import torch

        torch.cuda.empty_cache()


def _from_file(system: FileSystem) -> Output:
    described = {"file": str(system.path), "sha256": hashlib.sha256(system.path.read_bytes()).hexdigest()}
    return Output(system.name, [Hypothesis(line, line) for line in system.lines], None, described)


def _from_command(system: CommandSystem, pairs: Sequence[Pair], source_lang: str) -> Output:
    """Each part of a text as a line, and an empty line after it: translators that work on running text take words
    from one line into the next."""
    texts = [cut(pair.source, pair.flags, source_lang) for pair in pairs]
    asked = [unwrap(part.core) for parts in texts for part in parts if not part.copied]
    began = time.monotonic()
    try:
        printed = run(system.words, "".join(f"{text}\n\n" for text in asked), system.timeout) if asked else ""
    except CommandFailed as failure:
        raise BackendError(str(failure), f"It was run as: {' '.join(system.words)}") from None
    seconds = time.monotonic() - began
    answers = _answers(printed, len(asked))
    if answers is None:
        raise BackendError(
            f"{system.words[0]} did not answer the {len(asked)} texts one by one",
            "It gets each text on a line of its own with an empty line after it, and must print the same.",
        )
    remaining = iter(answers)
    joined = [
        "".join(part.source if part.copied else part.put_back(next(remaining)) for part in parts) for parts in texts
    ]
    return Output(system.name, [Hypothesis(text, text) for text in joined], seconds, {"command": list(system.words)})


def _answers(printed: str, count: int) -> list[str] | None:
    """The answers in what a command printed: every other line where it kept the lines, else what stands between empty
    lines; ``None`` where their number is another."""
    lines = printed.split("\n")
    if len(lines) == 2 * count + 1 and not any(line.strip() for line in lines[1::2]):
        return [line.strip() for line in lines[:-1:2]]
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", printed.strip("\n"))] if printed.strip() else []
    return blocks if len(blocks) == count else None
