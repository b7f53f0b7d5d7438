"""batchtrans: translate files in bulk on one's own machine, changing nothing else in them."""

from __future__ import annotations

import pluggy

from .errors import (
    BackendError,
    BatchtransError,
    CannotRender,
    FormatError,
    Overload,
    PluginError,
    UnsupportedPair,
    UsageError,
)
from .types import (
    MASK_BASE,
    Backend,
    Constraint,
    Declared,
    Document,
    Edit,
    Format,
    Location,
    Meter,
    OpenOptions,
    Piece,
    Problem,
    Request,
    Result,
    Segment,
    State,
    Usage,
)

__version__ = "0.1.0"

#: Marks a function as an implementation of a batchtrans hook.
hookimpl = pluggy.HookimplMarker("batchtrans")

__all__ = [
    "MASK_BASE",
    "Backend",
    "BackendError",
    "BatchtransError",
    "CannotRender",
    "Constraint",
    "Declared",
    "Document",
    "Edit",
    "Format",
    "FormatError",
    "Location",
    "Meter",
    "OpenOptions",
    "Overload",
    "Piece",
    "PluginError",
    "Problem",
    "Request",
    "Result",
    "Segment",
    "State",
    "UnsupportedPair",
    "Usage",
    "UsageError",
    "hookimpl",
]
