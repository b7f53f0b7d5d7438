"""Everything that can go wrong, as one tree of exceptions.

::

    BatchtransError            exit 1
    ├── UsageError             exit 2   the command line asks for something impossible
    │   ├── UnsupportedPair    exit 2   no model for this pair of languages
    │   ├── OutputConflict     exit 2   an output would overwrite work that is not ours
    │   └── DocumentRefused    exit 2   what is asked is impossible with one document; the others can be done
    ├── FormatError            exit 1   a file cannot be read as what it claims to be
    ├── VerifyError            exit 1   an output failed its own re-reading and was not put in place
    ├── PluginError            exit 3   a plugin cannot be loaded or breaks its contract
    ├── BackendError           exit 3   no usable backend or model
    │   └── Overload                    a batch does not fit in memory; the scheduler halves it
    ├── Stopped                exit 130 by Ctrl-C, 143 by SIGTERM, with what is kept
    └── CannotRender                    one target does not fit its slot; the segment stays as it was

A message says what is wrong, where, and what to try. Only the command line turns it into text and exit code.
"""

from __future__ import annotations

from pathlib import Path


class BatchtransError(Exception):
    """Base of every error that a user may see.

    ``hint`` is the next thing to try, a sentence of its own; it is part of ``str(error)``.
    """

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n  {self.hint}" if self.hint else self.what


class UsageError(BatchtransError):
    exit_code = 2


class UnsupportedPair(UsageError):
    pass


class OutputConflict(UsageError):
    pass


class DocumentRefused(UsageError):
    pass


class FormatError(BatchtransError):
    """A file that its format refuses: ``path``, ``line`` (from 1) or byte ``offset`` (from 0) where known, and the bare
    ``reason``."""

    def __init__(
        self, what: str, *, path: Path | str, line: int | None = None, offset: int | None = None, hint: str = ""
    ) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}, byte {offset}" if offset is not None else f"{path}"
        super().__init__(f"{where}: {what}", hint)
        self.path = Path(path)
        self.reason = what
        self.line = line
        self.offset = offset


class VerifyError(BatchtransError):
    pass


class PluginError(BatchtransError):
    exit_code = 3


class BackendError(BatchtransError):
    exit_code = 3


class Overload(BackendError):
    pass


class Stopped(BatchtransError):
    """A run that was interrupted or terminated, and says how to go on."""

    def __init__(self, what: str, exit_code: int) -> None:
        super().__init__(what)
        self.exit_code = exit_code


class CannotRender(BatchtransError):
    pass


class Terminated(BaseException):
    """SIGTERM, raised so that files and logs are closed on the way out; like ``KeyboardInterrupt``, which is SIGINT, it
    is none of the errors that stop one document or plugin alone."""
