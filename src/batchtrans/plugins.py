"""Finding plugins: every declaration is collected cheaply, and what it declares is imported when it is used.

Entry points of the group ``batchtrans`` are loaded one by one. One that fails is put on record with its error and
skipped, so that a broken distribution never takes the command line down with it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from . import builtin, hookspecs
from .errors import PluginError
from .types import Declared

GROUP = "batchtrans"
KINDS = ("formats", "backends", "models", "checks", "commands")


@dataclass(slots=True)
class Registry:
    """What the installed plugins declare, by kind and name; ``origin`` says which distribution declared it.

    ``broken`` maps the name of an entry point that could not be used to the reason.
    """

    formats: dict[str, Declared] = field(default_factory=dict)
    backends: dict[str, Declared] = field(default_factory=dict)
    models: dict[str, Declared] = field(default_factory=dict)
    checks: dict[str, Declared] = field(default_factory=dict)
    commands: dict[str, Declared] = field(default_factory=dict)
    origin: dict[tuple[str, str], str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def format_for(self, suffix: str) -> str | None:
        """The name of the format that reads files with this ending (``.po``), the first declared one."""
        suffix = suffix.lower()
        return next((name for name, declared in self.formats.items() if suffix in declared.extensions), None)


@cache
def registry() -> Registry:
    """All that is installed, found once per process."""
    return collect(sorted(entry_points(group=GROUP), key=lambda point: point.name))


def collect(points: list[EntryPoint]) -> Registry:
    """Register the built-in plugin and then each entry point, keeping the failures of each to itself."""
    found = Registry()
    manager = pluggy.PluginManager("batchtrans")
    manager.add_hookspecs(hookspecs)
    _register(manager, found, "batchtrans", lambda: builtin)
    for point in points:
        name = point.dist.name if point.dist else point.name
        _register(manager, found, name, point.load)
    return found


def _register(manager: pluggy.PluginManager, found: Registry, name: str, load: Callable[[], Any]) -> None:
    module = None
    try:
        module = load()
        manager.register(module, name)
        declared = _declarations(manager, name)
    except Exception as error:
        found.broken[name] = f"{type(error).__name__}: {error}"
        if module is not None and manager.is_registered(module):
            manager.unregister(module)
        return
    for kind, items in declared.items():
        known = getattr(found, kind)
        for item in items:
            if item.name in known:
                taken = found.origin[kind, item.name]
                found.broken[name] = f"{kind[:-1]} {item.name!r} is already declared by {taken}; that one is used"
                continue
            known[item.name] = item
            found.origin[kind, item.name] = name


def _declarations(manager: pluggy.PluginManager, name: str) -> dict[str, list[Declared]]:
    """What one plugin declares; its hooks are called alone, so that an exception has a culprit."""
    declared = {}
    for kind in KINDS:
        caller = getattr(manager.hook, f"batchtrans_{kind}")
        items = [item for hook in caller.get_hookimpls() if hook.plugin_name == name for item in hook.function() or ()]
        for item in items:
            if not isinstance(item, Declared):
                raise TypeError(f"batchtrans_{kind} must return batchtrans.Declared objects, not {item!r}")
        declared[kind] = items
    manager.check_pending()
    return declared


def resolve(declared: Declared) -> Any:
    """Import what a declaration points at.

    :raises PluginError: naming the declaration, if the module or the attribute is not there or fails to import.
    """
    module, _, attribute = declared.target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise PluginError(
            f"the plugin behind {declared.name!r} ({declared.target}) cannot be imported: "
            f"{type(error).__name__}: {error}",
            "Install what it needs; `batchtrans plugins` lists all of them.",
        ) from error
