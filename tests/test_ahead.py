"""A backend on a thread of its own decides what it decides without one, and is asked for nothing twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchtrans import MASK_BASE, BackendError, Location, Request, Result, Segment
from batchtrans.memory import Memory
from batchtrans.translator import Decision, Translator
from test_translator import Catalogue, Scripted

M0 = chr(MASK_BASE)


class Background(Scripted):
    """A scripted backend that says which threads asked it, and whether two did at once."""

    background = True
    batch_size = 3

    def __init__(self, answer: object, masks: int = 32) -> None:
        super().__init__(answer, masks)  # type: ignore[arg-type]
        self.threads: set[int] = set()
        self.busy = threading.Lock()
        self.expected: list[list[Request]] = []

    def expect(self, requests: Sequence[Request]) -> None:
        assert threading.get_ident() not in self.threads
        self.expected.append(list(requests))

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        assert self.busy.acquire(blocking=False), "it was asked twice at once"
        try:
            self.threads.add(threading.get_ident())
            requests = list(requests)
            if requests in self.expected:
                self.expected.remove(requests)
            yield from super().translate(requests)
        finally:
            self.busy.release()


def answer(request: Request) -> str:
    """Loses the placeholder of some texts at first, and of a few always."""
    if "never" in request.source or ("hard" in request.source and M0 in request.source):
        return "perdido" if M0 in request.source or "%" in request.source else ""
    return f"el {request.source}"


def segments(texts: list[str]) -> list[Segment]:
    flags = frozenset({"c-format"})
    return [
        Segment(str(number), b"", (text,), ("",), Location(number, 0, 0), ((0, 0),), flags=flags)
        for number, text in enumerate(texts)
    ]


def decide(backend: Scripted, texts: list[str], size: int) -> list[Decision]:
    waiting = iter(segments(texts))
    windows = iter(lambda: list(islice(waiting, size)), [])
    translator = Translator(Catalogue(), backend, Memory())
    return [decision for decisions in translator.decide_all(windows) for decision in decisions]


def essence(decisions: list[Decision]) -> dict[str, object]:
    """What is decided, without batches and times; whose answer a duplicate got depends on who was first."""
    return {
        decision.segment.id: (
            decision.target,
            decision.state,
            [(record.status, record.rung, record.why, record.checks) for record in decision.records],
        )
        for decision in decisions
    }


TEXTS = st.sampled_from(
    ["an apple", "a hard %s case", "a never %d case", "two %s apples", "12", "", "a house", "hard house", "never %s"]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(TEXTS, max_size=24), st.integers(1, 7))
def test_it_decides_the_same_and_every_segment_once(texts: list[str], size: int) -> None:
    expected = decide(Scripted(answer), texts, size)
    backend = Background(answer)
    found = decide(backend, texts, size)
    assert len(found) == len(texts)
    assert essence(found) == essence(expected)
    assert threading.get_ident() not in backend.threads
    assert not backend.expected  # all of it was asked for, as it was announced


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["an apple", "a house", "two %s apples"]), max_size=24), st.integers(1, 5))
def test_a_text_under_way_is_not_asked_for_again(texts: list[str], size: int) -> None:
    backend = Background(answer)
    found = decide(backend, texts, size)
    assert Counter(backend.sent) == dict.fromkeys({text.replace("%s", M0) for text in texts}, 1)
    origins = Counter(decision.records[0].origin for decision in found)
    assert origins["mt"] == len(set(texts)) and origins["duplicate"] == len(texts) - len(set(texts))


def test_the_next_window_is_asked_for_before_the_answers_to_the_last_are_judged() -> None:
    asked = threading.Event()

    def watch(request: Request) -> str:
        if request.source == "window two":
            asked.set()
        return f"el {request.source}"

    backend = Background(watch)
    announced: list[str] = []
    backend.expect = lambda requests: announced.extend(request.source for request in requests)  # type: ignore[method-assign]
    translator = Translator(Catalogue(), backend, Memory())
    windows = iter([segments(["window one"]), segments(["window two"])])
    with closing(translator.decide_all(windows)) as decided:
        first = next(decided)
        assert first[0].target == ("el window one",)
        assert announced == ["window two"]
        assert asked.wait(10)


def test_a_backend_that_fails_as_a_whole_stops_the_run_after_what_it_had_answered() -> None:
    def fail(request: Request) -> str:
        if request.source == "broken":
            raise BackendError("the device is gone")
        return f"el {request.source}"

    before = threading.active_count()
    translator = Translator(Catalogue(), Background(fail), Memory())
    found: list[Decision] = []
    with (
        pytest.raises(BackendError, match="gone"),
        closing(translator.decide_all([segments(["a house"]), segments(["broken"])])) as decided,
    ):
        for decisions in decided:
            found += decisions
    assert [decision.target for decision in found] == [("el a house",)]
    assert threading.active_count() == before


def test_who_stops_listening_leaves_no_thread() -> None:
    before = threading.active_count()
    translator = Translator(Catalogue(), Background(answer), Memory())
    with closing(translator.decide_all([segments([f"house {n}"]) for n in range(50)])) as decided:
        next(decided)
    assert threading.active_count() == before
