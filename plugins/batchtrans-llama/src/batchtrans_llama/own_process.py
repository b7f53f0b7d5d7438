"""A model at work in a process of its own. What feeds the device, and turns texts into tokens and back, does not wait
there until the run, which judges and logs meanwhile, lets go of the interpreter.

The two talk through a pipe. Requests go one way: a batch, or ``None`` when no more results of it are wanted. Results
come the other way, some at a time, and after the last of a batch an :class:`_Ended`, or the exception that ended it.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any, NamedTuple

from batchtrans import BackendError, BatchtransError, Request, Result

from .locate import Located
from .options import Settings
from .service import Facts, Service

#: Results are sent when there are so many, or so many seconds after the last ones: less than a few steps of a device.
_MOST, _DELAY = 32, 0.03
_PATIENCE = 5.0  # seconds that a process gets to end by itself


class _Ended(NamedTuple):
    """After the last result of a batch: the notes by then, and the memory of the device."""

    notes: list[str]
    device_bytes: int | None


class OwnProcess:
    """What :class:`Service` is, elsewhere. The process ends with this one, however that ends.

    :raises BackendError: as :class:`Service`, or if the process ends before the model is loaded.
    """

    def __init__(self, found: Located, settings: Settings, source_lang: str, target_lang: str) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA cannot be used in a fork
        self._pipe, theirs = context.Pipe()
        told = (theirs, found, settings, source_lang, target_lang)
        self._process = context.Process(target=_serve, args=told, name="batchtrans-llama", daemon=True)
        with _without_interrupts():
            self._process.start()
        theirs.close()  # or the end of the process would not be seen
        self.notes: list[str] = []
        self._device_bytes: int | None = None
        try:
            self.facts: Facts = self._receive()
            for _ in self._results():  # of loading: none, but the notes
                pass
        except BaseException:
            self.close()
            raise

    def translate(self, batch: Sequence[Request]) -> Iterator[Result]:
        """See :meth:`Service.translate`. A generator that is closed early waits for the step that is under way."""
        self._send(list(batch))
        try:
            for results in self._results():
                yield from results
        except GeneratorExit:
            with suppress(Exception):  # what is wrong there is not of interest any more
                self._send(None)
                for _ in self._results():
                    pass
            raise

    def device_bytes(self) -> int | None:
        """See :meth:`Service.device_bytes`."""
        return self._device_bytes

    def close(self) -> None:
        """End the process; one that does not end by itself is made to."""
        self._pipe.close()
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def _results(self) -> Iterator[list[Result]]:
        """What comes of the batch under way, to its end."""
        while not isinstance(message := self._receive(), _Ended):
            yield message
        self.notes, self._device_bytes = message

    def _send(self, message: list[Request] | None) -> None:
        try:
            self._pipe.send(message)
        except OSError:
            raise self._gone() from None

    def _receive(self) -> Any:
        """The next message; an exception is raised."""
        try:
            message = self._pipe.recv()
        except (EOFError, OSError):
            raise self._gone() from None
        if isinstance(message, BaseException):
            raise message
        return message

    def _gone(self) -> BackendError:
        self._process.join(_PATIENCE)
        code = self._process.exitcode
        how = "without a word" if code is None else f"by signal {-code}" if code < 0 else f"with code {code}"
        return BackendError(
            f"the process that runs the model ended {how}",
            "It may have been out of memory. What is translated is kept: the same command goes on from there, with -O "
            "own-process=no in one process, with -O max-batch=N in smaller batches.",
        )


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that is started here is not interrupted by Ctrl-C, which goes to all processes of a terminal: it ends
    with the one that started it."""
    if not hasattr(signal, "pthread_sigmask"):  # pragma: no cover - Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, found: Located, settings: Settings, source_lang: str, target_lang: str) -> None:
    """What the process does: load, then answer until nobody is there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            service = Service(found, settings, source_lang, target_lang)
        except Exception as error:
            pipe.send(_portable(error))
            return
        pipe.send(service.facts)
        pipe.send(_Ended(service.notes, service.device_bytes()))
        while True:
            if (batch := pipe.recv()) is not None:  # None came too late for the batch that it was meant for
                _answer(pipe, service, batch)


def _answer(pipe: Connection, service: Service, batch: list[Request]) -> None:
    ready: list[Result] = []
    sent = monotonic()
    try:
        for result in service.translate(batch):
            ready.append(result)
            if len(ready) < _MOST and monotonic() - sent < _DELAY:
                continue
            pipe.send(ready)
            ready, sent = [], monotonic()
            if pipe.poll():
                pipe.recv()  # nothing but None comes now
                break
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:
        pipe.send(ready)
        pipe.send(_portable(error))
    else:
        pipe.send(ready)
        pipe.send(_Ended(service.notes, service.device_bytes()))


def _portable(error: Exception) -> Exception:
    """An exception as it can be sent; where it came from is printed if it is none that a user should see."""
    if not isinstance(error, BatchtransError):
        traceback.print_exception(error)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return BackendError(f"{type(error).__name__}: {error}")
    return error
