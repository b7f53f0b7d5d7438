"""Work in the background: a thread that runs generators one after another while their results are used elsewhere, and
one that brings a file to the disk.

A backend that decodes on a device leaves the processor idle, and a processor that judges and logs leaves the device
idle. With the backend on a thread of its own each works while the other does.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")

#: How long a thread may keep the interpreter while another waits for it, in seconds. With the usual 5 ms the one that
#: feeds a device would come too late for its next step, which takes 10.
_SWITCH = 0.0005


class Line:
    """Generators are run in the order in which they come, to their ends; what they yield is kept until it is taken.

    Whoever gives them bounds what that can be. A line that is closed ends the generator that is under way at its next
    item and runs no other. ``idle`` is how many seconds it stood still between one generator and the next.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Generator[Any, None, None], SimpleQueue[_Found]] | None] = SimpleQueue()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._switch = sys.getswitchinterval()
        self.idle = 0.0

    def run(self, items: Generator[T, None, None]) -> Iterator[T]:
        """Queue a generator at once; its items, and the exception that ends it, come from the iterator."""
        if self._thread is None:
            sys.setswitchinterval(min(_SWITCH, self._switch))
            self._thread = threading.Thread(target=self._work, name="batchtrans-backend", daemon=True)
            self._thread.start()
        found: SimpleQueue[_Found] = SimpleQueue()
        self._jobs.put((items, found))
        return _taken(found)

    def close(self) -> None:
        """End the thread; waits for the item that is under way."""
        self._closed.set()
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()
            sys.setswitchinterval(self._switch)

    def _work(self) -> None:
        ended: float | None = None
        while (job := self._jobs.get()) is not None:
            if ended is not None:
                self.idle += monotonic() - ended
            items, found = job
            try:
                for item in items:
                    found.put((item, None))
                    if self._closed.is_set():
                        break
                items.close()
            except BaseException as error:  # whatever it is, it belongs to the one who takes the items
                found.put((None, error))
            else:
                found.put(None)
            if self._closed.is_set():
                return
            ended = monotonic()


class Syncer:
    """Brings an open file to the disk whenever it is asked to, without anyone waiting for the disk. What is asked while
    it works is done together, by the next time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._asked = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None

    def ask(self) -> None:
        """Have everything that was written so far brought to the disk.

        :raises OSError: if that failed with what was written before.
        """
        self.check()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="batchtrans-sync", daemon=True)
            self._thread.start()
        self._asked.set()

    def check(self) -> None:
        """:raises OSError: if what was written could not be brought to the disk; the system says so only once."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the thread, after what it was asked for."""
        if self._thread is not None:
            self._closed = True
            self._asked.set()
            self._thread.join()
            self._thread, self._closed = None, False

    def _work(self) -> None:
        while self._error is None and not self._closed:
            self._asked.wait()
            self._asked.clear()
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                self._error = error


#: An item, or what ended the generator; nothing at its end.
_Found = tuple[Any, BaseException | None] | None


def _taken(found: SimpleQueue[_Found]) -> Iterator[Any]:
    while (one := found.get()) is not None:
        item, error = one
        if error is not None:
            raise error
        yield item
