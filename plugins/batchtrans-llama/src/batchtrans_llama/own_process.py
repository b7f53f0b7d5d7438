"""A model at work in a process of its own. What feeds the device, and turns texts into tokens and back, does not wait
there until the run, which judges and logs meanwhile, lets go of the interpreter.

The two talk through a pipe. One way go batches of requests, each with a number, then the number of the one that is
wanted, so that a batch can be sent, and made into prompts there, while another is answered; and that no more results of
one are wanted. Results come the other way, some at a time, and after the last of a batch an :class:`_Ended`, or the
exception that ended it.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic, process_time
from typing import Any, NamedTuple

from batchtrans import BackendError, BatchtransError, Request, Result, Usage
from batchtrans.costs import peak_bytes

from .asking import Prompts
from .locate import Located
from .options import Settings
from .service import Facts, Service

#: Results are sent when there are so many, or so many seconds after the last ones: less than a few steps of a device.
_MOST, _DELAY = 32, 0.03
#: How long what prepares a batch may keep the interpreter, in seconds: who feeds the device takes it up several times
#: in a step of some ten milliseconds.
_SWITCH = 0.0001
#: Batches that are expected at a time; of those beyond, the oldest is taken to be forgotten.
_EXPECTED = 2
_PATIENCE = 5.0  # seconds that a process gets to end by itself


class _Batch(NamedTuple):
    """Requests under the number by which they will be asked for: later, if they are ``expected``."""

    number: int
    requests: list[Request]
    expected: bool


class _Asked(NamedTuple):
    """The batch of this number is to be answered."""

    number: int


class _Left(NamedTuple):
    """Nothing of the batch of this number is wanted, or nothing more."""

    number: int


class _Ended(NamedTuple):
    """After the last result of a batch: the notes by then, and what the process has taken."""

    notes: list[str]
    usage: Usage


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
        self._usage = Usage()
        self._sending = Lock()  # a batch that is expected comes from another thread
        self._numbers = count()
        self._expected: dict[int, list[Request]] = {}
        try:
            self.facts: Facts = self._receive()
            for _ in self._results():  # of loading: none, but the notes
                pass
        except BaseException:
            self.close()
            raise

    def expect(self, batch: Sequence[Request]) -> None:
        """See :meth:`batchtrans.Backend.expect`: the batch is sent, and made into prompts there.

        :raises BackendError: if the process has ended.
        """
        number, requests = next(self._numbers), list(batch)
        self._send(_Batch(number, requests, expected=True))
        self._expected[number] = requests
        for oldest in list(self._expected)[:-_EXPECTED]:
            if self._expected.pop(oldest, None) is not None:  # else it was asked for just now
                self._send(_Left(oldest))

    def translate(self, batch: Sequence[Request]) -> Iterator[Result]:
        """See :meth:`Service.translate`. A generator that is closed early waits for the step that is under way."""
        number = self._ask(list(batch))
        try:
            for results in self._results():
                yield from results
        except GeneratorExit:
            with suppress(Exception):  # what is wrong there is not of interest any more
                self._send(_Left(number))
                for _ in self._results():
                    pass
            raise

    def _ask(self, batch: list[Request]) -> int:
        """Have a batch answered; its number."""
        for number, expected in list(self._expected.items()):
            if expected == batch and self._expected.pop(number, None) is not None:  # else it was dropped just now
                break
        else:
            number = next(self._numbers)
            self._send(_Batch(number, batch, expected=False))
        self._send(_Asked(number))
        return number

    def usage(self) -> Usage:
        """See :meth:`batchtrans.Meter.usage`; as it was after the last batch."""
        return self._usage

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
        self.notes, self._usage = message

    def _send(self, message: _Batch | _Asked | _Left) -> None:
        try:
            with self._sending:
                self._pipe.send(message)
        except OSError:
            raise self._gone() from None
        except BaseException:  # Ctrl-C: half a message may stand in the pipe, and the next be read as its other half
            self._process.terminate()
            raise

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
    sys.setswitchinterval(_SWITCH)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            service = Service(found, settings, source_lang, target_lang)
        except Exception as error:
            pipe.send(_portable(error))
            return
        pipe.send(service.facts)
        pipe.send(_end(service))
        post = _Post(pipe, service)
        while (job := post.asked.get()) is not None:
            if isinstance(job, BaseException):
                raise job
            _answer(pipe, service, job, post)


class _Job(NamedTuple):
    """A batch, and its prompts if they are being made."""

    batch: _Batch
    prompts: Future[Prompts] | None


class _Post:
    """What comes through the pipe while the process answers, received by a thread; another one makes the prompts of
    what is expected. ``asked`` gives what is to be answered, in order, ``None`` when nobody is there any more, and the
    exception if receiving failed. ``left`` is the number of the batch of which no more is wanted."""

    def __init__(self, pipe: Connection, service: Service) -> None:
        self.asked: SimpleQueue[_Job | BaseException | None] = SimpleQueue()
        self.left: int | None = None
        self._ahead = ThreadPoolExecutor(1, "batchtrans-ahead")
        Thread(target=self._receive, args=(pipe, service), name="batchtrans-post", daemon=True).start()

    def _receive(self, pipe: Connection, service: Service) -> None:
        jobs: dict[int, _Job] = {}
        try:
            while True:
                message = pipe.recv()
                if isinstance(message, _Batch):
                    prompts = self._ahead.submit(service.prepare, message.requests) if message.expected else None
                    jobs[message.number] = _Job(message, prompts)
                elif isinstance(message, _Asked):
                    self.asked.put(jobs.pop(message.number))
                elif (job := jobs.pop(message.number, None)) is None:
                    self.left = message.number
                elif job.prompts is not None:
                    job.prompts.cancel()
        except (EOFError, OSError):
            self.asked.put(None)
        except BaseException as error:
            self.asked.put(error)


def _answer(pipe: Connection, service: Service, job: _Job, post: _Post) -> None:
    ready: list[Result] = []
    sent = monotonic()
    try:
        prompts = job.prompts.result() if job.prompts is not None else None
        for result in service.translate(job.batch.requests, prompts):
            ready.append(result)
            if len(ready) < _MOST and monotonic() - sent < _DELAY:
                continue
            pipe.send(ready)
            ready, sent = [], monotonic()
            if post.left == job.batch.number:
                break
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:
        pipe.send(ready)
        pipe.send(_portable(error))
    else:
        pipe.send(ready)
        pipe.send(_end(service))


def _end(service: Service) -> _Ended:
    return _Ended(service.notes, Usage(process_time(), peak_bytes(), service.usage().device))


def _portable(error: Exception) -> Exception:
    """An exception as it can be sent; where it came from is printed if it is none that a user should see."""
    if not isinstance(error, BatchtransError):
        traceback.print_exception(error)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return BackendError(f"{type(error).__name__}: {error}")
    return error
