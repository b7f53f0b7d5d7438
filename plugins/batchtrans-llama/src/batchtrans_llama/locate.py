"""Which model: from ``--model``, ``--adapter`` and the language pair to directories on this machine.

Nothing here imports torch, so a language pair without a model, a wrong path or a closed hub page is reported at once.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from batchtrans import BackendError, UnsupportedPair, UsageError, plugins
from batchtrans.languages import base_language

from .card import Adapter, Merged, read_adapter, read_json, read_merged
from .fingerprint import fingerprint
from .manifest import check_manifest
from .options import Flags, Settings
from .prompt import PROMPT, language_name

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_BASE = "base"  # the directory of the base where an adapter stands beside it
_ADAPTER = "--adapter"
_EMBEDDED = "batchtrans/"  # how the adapters of embedded models name their base; not on the hub
_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model"]


@dataclass(frozen=True, slots=True)
class Located:
    """A base model and maybe its adapter, on this machine.

    ``name`` is the model as the user knows it, ``revision`` the commit of a hub model, ``template`` the prompt it is
    asked with. ``notes`` are remarks for the user.
    """

    name: str
    base: Path
    base_fingerprint: str
    adapter: Adapter | None
    revision: str | None
    template: str
    notes: list[str] = field(default_factory=list)


def locate(settings: Settings, source_lang: str, target_lang: str) -> Located:
    """Find base, adapter and prompt for a language pair.

    ``model`` may be a directory with ``base/`` and ``adapter/``, as embedded models have it; without ``model`` the
    base is what the adapter names, or the embedded model of the pair.

    :raises UnsupportedPair: where no model fits the pair.
    :raises UsageError: for options that contradict one another.
    :raises BackendError: for a model that is not there, cannot be fetched, or does not belong to the adapter.
    """
    notes: list[str] = []
    given = _given_adapter(settings)
    if settings.model:
        name = settings.model
        root, revision = _directory(settings.model, settings, settings.revision)
    elif given is not None and _names_base(given, source_lang, target_lang, settings.flags):
        name = given.base_name
        root, revision = _directory(name, settings, settings.revision)
    else:
        name, root = _embedded(source_lang, target_lang, notes, settings.flags)
        revision = None
        check_manifest(root)
    base, own = (root / _BASE, root / "adapter") if (root / _BASE / "config.json").is_file() else (root, None)
    if given is None and own is not None and not settings.adapter:
        given = read_adapter(own)
    _check_base(base, name)
    merged = read_merged(base) if given is None else None
    template = _template(settings, given.prompt if given else merged.prompt if merged else "")
    found = Located(name, base, fingerprint(base), given, revision, template, notes)
    if given is not None:
        _check_adapter(found, given, settings)
    _check_pair(found, merged, source_lang, target_lang, settings)
    return found


def _given_adapter(settings: Settings) -> Adapter | None:
    if settings.adapter in ("", "none"):
        return None
    directory, _ = _directory(settings.adapter, replace(settings, revision=None), None, _ADAPTER)
    return read_adapter(directory)


def refuse_rejected(found: Located, force: bool) -> None:
    """An adapter that its training rejected is measured and merged, but not used without being asked for twice.

    :raises BackendError: for one, unless ``force``.
    """
    if found.adapter is None or found.adapter.verdict != "REJECT":
        return
    what = f"the adapter {found.adapter.directory} was rejected: its training did not show that it is better"
    if not force:
        raise BackendError(
            what, f"{found.adapter.directory / 'report.html'} has the reasons; --force uses it all the same."
        )
    found.notes.append(f"{what}; used all the same (--force)")


def _template(settings: Settings, trained: str) -> str:
    """The prompt: the one given, else the one that the model was ``trained`` with, else the standard one."""
    if settings.template is None:
        return trained or PROMPT
    if trained and trained != settings.template and not settings.force:
        raise UsageError(
            f"the adapter {settings.adapter or settings.model} was trained with a prompt of its own",
            _or_force("Leave the option prompt out", settings.flags, "asks with another prompt"),
        )
    return settings.template


def _check_base(base: Path, name: str) -> None:
    if (base / "adapter_config.json").is_file() and not (base / "config.json").is_file():
        raise BackendError(f"{name} is an adapter, not a model", "Name it with --adapter.")
    read_json(base / "config.json", f"{name} is not a model directory")
    if any(base.glob("*.safetensors")):
        return
    raise BackendError(
        f"{name} has no weights in safetensors",
        "Pickled weights (pytorch_model.bin) are refused, since they can run code when they are loaded. "
        "Convert them where you trust them: load and save_pretrained in transformers.",
    )


def _check_adapter(found: Located, adapter: Adapter, settings: Settings) -> None:
    """An adapter belongs to one base: PEFT itself loads it silently onto any of the same shape."""
    if adapter.plain:
        found.notes.append(
            f"{adapter.directory}: a plain adapter without batchtrans.json; "
            + (f"made for {adapter.base_name}" if adapter.base_name else "it does not say which base it was made for")
            + ", asked with the "
            + ("prompt of the given file" if settings.template is not None else "standard prompt")
        )
        wrong = bool(adapter.base_name) and not _same_name(adapter.base_name, found)
        what = f"the adapter {adapter.directory} was made for {adapter.base_name}, not for {found.name}"
    else:
        wrong = adapter.base_fingerprint != found.base_fingerprint
        what = (
            f"the adapter {adapter.directory} was made for a base with other weights or another tokenizer "
            f"than {found.name}"
        )
    if not wrong:
        return
    if not settings.force:
        raise BackendError(what, _or_force(f"Name its own base with {settings.flags.model}", settings.flags, "goes on"))
    found.notes.append(f"{what}; used all the same ({settings.flags.force})")


def _or_force(step: str, flags: Flags, does: str) -> str:
    """What to try, and what the command does without it where it can be forced to."""
    return f"{step}; {flags.force} {does} all the same." if flags.force else f"{step}."


def _same_name(name: str, found: Located) -> bool:
    """A base is the same if its hub id or path is, or at least the last part of it: models are moved and copied. A part
    ``base``, as every model with an adapter beside it has, says nothing without the one before it."""
    here = Path(name).expanduser()
    if here.is_dir() and here.resolve() == found.base.resolve():
        return True
    return _last_part(name) in (_last_part(found.name), _last_part(str(found.base)))


def _last_part(name: str) -> list[str]:
    parts = re.split(r"[/\\]", name.lower().rstrip("/\\"))
    return parts[-2:] if parts[-1] == _BASE else parts[-1:]


def _check_pair(found: Located, merged: Merged | None, source_lang: str, target_lang: str, settings: Settings) -> None:
    adapter = found.adapter
    card = merged if adapter is None or adapter.plain else adapter
    if card is not None and not settings.force:
        trained = (card.source_lang, card.target_lang)
        if (base_language(source_lang), base_language(target_lang)) != tuple(map(base_language, trained)):
            raise UnsupportedPair(
                f"{found.name} translates from {trained[0]} to {trained[1]}, not from {source_lang} to {target_lang}",
                f"Name a model for this pair with {settings.flags.model}, or an adapter with --adapter.",
            )
    for placeholder, code in (("{source_language}", source_lang), ("{target_language}", target_lang)):
        if placeholder in found.template:
            language_name(code)


def _embedded(source_lang: str, target_lang: str, notes: list[str], flags: Flags) -> tuple[str, Path]:
    """The installed model for a pair: for exactly this one, else for the languages without their territories."""
    models = plugins.registry().models
    exact = f"{source_lang}-{target_lang}".replace("_", "-").lower()
    general = f"{base_language(source_lang)}-{base_language(target_lang)}"
    declared = next((models[name] for name in models if name.lower() == exact), None)
    if declared is None and (declared := models.get(general)) is not None:
        notes.append(f"there is no embedded model for {source_lang} to {target_lang}; the one for {general} is used")
    if declared is None:
        raise UnsupportedPair(
            f"there is no embedded model for {source_lang} to {target_lang}",
            f"Embedded pairs: {' '.join(sorted(models)) or 'none is installed (pip install batchtrans-en-es)'}. "
            f"For another pair name a model with {flags.model}, a hub id or a directory.",
        )
    return declared.name, Path(plugins.resolve(declared)())


def _names_base(adapter: Adapter, source_lang: str, target_lang: str, flags: Flags) -> bool:
    """Whether an adapter says where its base is; one for an embedded model is told by its fingerprint too."""
    if not adapter.base_name or adapter.base_name.startswith(_EMBEDDED):
        return False
    if adapter.plain:
        return True
    try:
        _, root = _embedded(source_lang, target_lang, [], flags)
    except UnsupportedPair:
        return True
    return adapter.base_fingerprint != fingerprint(root / _BASE)


def _directory(
    name: str, settings: Settings, revision: str | None, option: str | None = None
) -> tuple[Path, str | None]:
    """The directory of a model or adapter, fetched from the hub if its name is not a path, and the hub's commit.
    ``option`` is what names it, if not the one for models."""
    option = option or settings.flags.model
    path = Path(name).expanduser()
    if path.is_dir():
        if revision is not None:
            raise UsageError(f"the option revision is for models on the hub, and {name} is a directory")
        return path, None
    if not _HUB_ID.fullmatch(name):
        what = "An adapter" if option == _ADAPTER else "A model"
        hint = f"{what} is named by its directory or by its hub id, OWNER/NAME. {_without(option)}"
        raise BackendError(f"there is no directory {name}", hint)
    return _fetch(name, revision, settings.local_only, option)


def _fetch(name: str, revision: str | None, local_only: bool, option: str) -> tuple[Path, str]:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub import errors as hub
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        directory = snapshot_download(name, revision=revision, allow_patterns=_HUB_FILES, local_files_only=local_only)
    except hub.GatedRepoError:
        raise _unavailable(name, "is gated: its licence must be accepted first", option, login=True) from None
    except hub.RevisionNotFoundError:
        raise _unavailable(name, f"has no revision {revision!r}", option) from None
    except hub.RepositoryNotFoundError:
        raise _unavailable(name, "is not on the hub, or not open to everyone", option, login=True) from None
    except hub.LocalEntryNotFoundError as error:
        if local_only or constants.HF_HUB_OFFLINE:
            why = "is not on this machine, and the hub must not be asked (local-only, HF_HUB_OFFLINE)"
        else:
            why = f"is not on this machine, and the hub does not answer ({_first_line(error.__cause__ or error)})"
        raise _unavailable(name, why, option) from None
    except (hub.HFValidationError, OSError) as error:
        raise _unavailable(name, f"cannot be fetched ({_first_line(error)})", option) from None
    return Path(directory), Path(directory).name


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def _unavailable(name: str, why: str, option: str, login: bool = False) -> BackendError:
    what = "adapter" if option == _ADAPTER else "model"
    page = f"https://huggingface.co/{name}"
    step = f"Read and accept the licence at {page}, then log in: hf auth login. " if login else f"Its page: {page} "
    return BackendError(f"the {what} {name} {why}", step + _without(option))


def _without(option: str) -> str:
    """What there is that nobody has to name."""
    if pairs := " ".join(sorted(plugins.registry().models)):
        return f"Without {option} the embedded model is used ({pairs}), which needs no download."
    return "The package batchtrans-en-es holds a model that needs no download."
