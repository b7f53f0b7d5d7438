"""From a window of requests to batches and back: duplicates once, like lengths together, halving on overload.

The scheduler knows nothing of segments. It owns the promise that every request gets exactly one result, whatever
a backend does short of failing as a whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from time import monotonic

from .errors import BackendError, Overload
from .types import Backend, Request, Result


@dataclass(frozen=True, slots=True)
class Batch:
    """The answers to one backend call, or the next of them where the backend gives them in portions: ``results`` for
    the requests sent, ``duplicates`` (request id to the id it is a duplicate of) with results of their own in
    ``results``; ``number`` counts from 1, ``ms`` is the wall time that it was waited for."""

    number: int
    results: list[Result]
    duplicates: dict[int, int]
    ms: float


class Scheduler:
    """Feeds a backend. Its batch bounds shrink when the backend reports overload and stay so."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.batches = 0
        self._size: int | None = None

    def translate(
        self, requests: Sequence[Request], *, alone: bool = False, ahead: bool = False
    ) -> Generator[Batch, None, None]:
        """Translate a window; every request has one result in exactly one batch.

        Batches come longest source first, so that a batch that does not fit is met at the start; inside a batch
        results stand in the order of the window. ``alone`` sends each request by itself. The backend is asked
        when the generator is; ``ahead`` lets it know of the first batch at once.

        :raises BackendError: if the backend as a whole fails.
        """
        unique, followers = self._distinct(requests)
        queue = deque([request] for request in unique) if alone else deque(self._cut(unique))
        if queue and ahead:
            with suppress(Exception):  # what is wrong is met again when it is asked for
                self.backend.expect(queue[0])
        return self._answered(queue, self._size, followers)

    def _answered(
        self, queue: deque[list[Request]], size: int | None, followers: Mapping[int, list[int]]
    ) -> Generator[Batch, None, None]:
        """The answers to batches that were cut for this bound."""
        while queue:
            if self._size != size:  # an overload, here or in a window before
                size, queue = self._size, deque(self._cut([request for group in queue for request in group]))
            group, started = queue.popleft(), monotonic()
            waiting = {request.id: request for request in group}
            for answers in self._ask(group, waiting):
                self.batches += 1
                yield self._batch(answers, followers, (monotonic() - started) * 1000)
                started = monotonic()
            rest = list(waiting.values())
            if rest and self._size != size:
                queue.appendleft(rest)
            elif rest:
                middle = (len(rest) + 1) // 2
                queue.extendleft(half for half in (rest[middle:], rest[:middle]) if half)

    def calls(self, requests: Sequence[Request]) -> list[list[Request]]:
        """What :meth:`translate` would ask a backend for that is not overloaded, call by call."""
        return self._cut(self._distinct(requests)[0])

    def _distinct(self, requests: Sequence[Request]) -> tuple[list[Request], dict[int, list[int]]]:
        """Each different text once, the longest first, and which other requests wait for its answer."""
        if self.backend.verbatim:  # the answer depends on the present target
            return sorted(requests, key=lambda request: -len(request.source)), {}
        first: dict[tuple[object, ...], Request] = {}
        followers: dict[int, list[int]] = {}
        for request in requests:
            key = (request.source, *request[3:])  # all but the id and the present target
            leader = first.setdefault(key, request)
            if leader is not request:
                followers.setdefault(leader.id, []).append(request.id)
        return sorted(first.values(), key=lambda request: -len(request.source)), followers

    def _cut(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Batches within the backend's bounds; the requests come longest first."""
        size = min(self.backend.batch_size, self._size or self.backend.batch_size)
        batches: list[list[Request]] = []
        first = 0
        while first < len(requests):
            longest = len(requests[first].source)
            count = min(size, self.backend.batch_chars // longest) if longest else size
            batches.append(list(requests[first : first + max(1, count)]))
            first += len(batches[-1])
        return batches

    def _ask(self, group: list[Request], waiting: dict[int, Request]) -> Iterator[list[Result]]:
        """One backend call: its results, in portions if the backend has it so. They are taken out of ``waiting``; what
        is left there is to be sent again in smaller batches (after an overload, with ``_size`` halved for good; after
        any other failure, to find the one request that causes it)."""
        answers: list[Result] = []
        portion = self.backend.portion
        error = "the backend gave no result"
        try:
            for result in self.backend.translate(group):
                if waiting.pop(result.id, None) is None:
                    raise BackendError(f"the backend answered request {result.id}, which was not asked or is answered")
                answers.append(_as_text(result))
                if portion and len(answers) >= portion:
                    yield answers
                    answers = []
        except Overload as overload:
            if len(group) == 1:
                error = f"too large for this machine's memory, even alone: {overload.what}"
            else:
                self._size = max(1, len(group) // 2)
                error = ""
        except BackendError:
            raise
        except Exception as failure:  # a fault in one request must not take its neighbours down
            error = "" if len(group) > 1 else f"the backend failed: {type(failure).__name__}: {failure}"
        if error:
            answers.extend(Result(request.id, "", error=error) for request in waiting.values())
            waiting.clear()
        if answers:
            yield answers

    def _batch(self, answers: list[Result], followers: Mapping[int, list[int]], ms: float) -> Batch:
        results, duplicates = list(answers), {}
        for answer in answers if followers else ():
            for follower in followers.get(answer.id, ()):
                results.append(answer._replace(id=follower))
                duplicates[follower] = answer.id
        results.sort(key=itemgetter(0))  # the id
        return Batch(self.batches, results, duplicates, ms)


def _as_text(result: Result) -> Result:
    """An answer that can be written to a file: without the hypotheses that cannot, or an error."""
    if not (_is_text(result.target) and (result.raw is None or _is_text(result.raw))):
        return Result(result.id, "", error="the backend's answer is no valid text")
    return result._replace(others=tuple(filter(_is_text, result.others))) if result.others else result


def _is_text(text: object) -> bool:
    """Whether this is a string without lone surrogates."""
    return isinstance(text, str) and (text.isascii() or text.encode("utf-8", "replace").decode() == text)
