"""Commands of others: text in, text out, never through a shell, and never without an end."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from batchtrans import UsageError


class CommandFailed(Exception):
    """A command that gave no answer; the message says which and why."""


def words_of(command: str, option: str) -> list[str]:
    """The words of a command line, split as a shell would.

    :raises UsageError: for an empty command, or one with an open quote.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{option} {command!r} cannot be read: {error}") from None
    if not words:
        raise UsageError(f"{option} names no command")
    return words


def run(words: Sequence[str], text: str, timeout: float) -> str:
    """What a command prints when ``text`` is its standard input, both in UTF-8.

    :raises CommandFailed: where it is not there, ends with another exit code than 0, prints no UTF-8, or has not ended
        after ``timeout`` seconds; then everything that it started is ended too.
    """
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that it can be ended together with what it starts
        )
    except OSError as error:
        raise CommandFailed(f"{words[0]} cannot be run: {error.strerror}") from None
    with process:
        try:
            printed, complaints = process.communicate(text.encode("utf-8"), timeout)
        except BaseException as error:
            _end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise CommandFailed(f"{words[0]} did not end within {timeout:g} s") from None
            raise
    if process.returncode != 0:
        reason = (complaints.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
        raise CommandFailed(f"{words[0]} ended with exit code {process.returncode}: {reason}")
    try:
        return printed.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{words[0]} printed no UTF-8: {error.reason} at byte {error.start}") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started; the command itself may have ended already."""
    if not hasattr(os, "killpg"):
        process.kill()
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
