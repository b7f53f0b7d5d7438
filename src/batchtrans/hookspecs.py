"""The hooks through which formats, backends, models, checks and commands come in, built-in ones included.

Each hook returns declarations (:class:`batchtrans.Declared`): a name, an import string, a one-line summary and the
options it takes. A hook must not import what it declares, so that ``batchtrans --help`` stays quick whatever is
installed. A distribution offers its hooks by an entry point in the group ``batchtrans`` that names a module.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from .types import Declared

hookspec = pluggy.HookspecMarker("batchtrans")


@hookspec
def batchtrans_formats() -> Iterable[Declared]:  # type: ignore[empty-body]
    """File formats. ``target`` is a subclass of :class:`batchtrans.Format`; ``extensions`` are the endings it reads."""


@hookspec
def batchtrans_backends() -> Iterable[Declared]:  # type: ignore[empty-body]
    """Translation backends. ``target`` is a subclass of :class:`batchtrans.Backend`."""


@hookspec
def batchtrans_models() -> Iterable[Declared]:  # type: ignore[empty-body]
    """Models that ship with a distribution. ``name`` is the language pair, such as ``en-es``; ``target`` is a
    function without arguments that returns the directory (:class:`pathlib.Path`) with ``base/`` and ``adapter/``."""


@hookspec
def batchtrans_checks() -> Iterable[Declared]:  # type: ignore[empty-body]
    """Further checks. ``target`` is a function ``check(source: str, target: str, flags: frozenset[str])`` that
    yields :class:`batchtrans.Problem`; it is called for every text before it is written."""


@hookspec
def batchtrans_commands() -> Iterable[Declared]:  # type: ignore[empty-body]
    """Subcommands. ``target`` is a :class:`click.Command`, imported when it is called or its help is shown."""
