from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans import Backend, BackendError, Overload, Request, Result
from batchtrans.scheduler import Scheduler


class Upper(Backend):
    """Upper-cases; overloads above ``limit`` requests, fails on a source in ``poison``, and counts what it is sent."""

    batch_size = 8

    def __init__(
        self, limit: int = 10**9, poison: frozenset[str] = frozenset(), answer_before_failing: int = 0
    ) -> None:
        super().__init__({})
        self.limit, self.poison, self.early = limit, poison, answer_before_failing
        self.calls: list[list[str]] = []

    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        return {}

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        group = list(requests)
        self.calls.append([request.source for request in group])
        for index, request in enumerate(group):
            if len(group) > self.limit and index == self.early:
                raise Overload("too many")
            if request.source in self.poison:
                raise RuntimeError("poison")
            yield Result(request.id, request.source.upper())


def requests(sources: Iterable[str]) -> list[Request]:
    return [Request(number, source) for number, source in enumerate(sources)]


def answers(scheduler: Scheduler, asked: list[Request], **options: bool) -> dict[int, Result]:
    results = [result for batch in scheduler.translate(asked, **options) for result in batch.results]
    assert len(results) == len({result.id for result in results}) == len(asked)
    return {result.id: result for result in results}


WORDS = st.lists(st.text("abc ", min_size=1, max_size=6), max_size=60)


@given(WORDS, st.integers(1, 9), st.integers(0, 3), st.sets(st.text("abc", min_size=1, max_size=2), max_size=3))
def test_every_request_gets_its_own_answer(words: list[str], limit: int, early: int, poison: set[str]) -> None:
    asked = requests(words)
    found = answers(Scheduler(Upper(limit, frozenset(poison), early)), asked)
    for request in asked:
        result = found[request.id]
        if request.source in poison:
            assert "poison" in result.error and not result.target
        else:
            assert result.target == request.source.upper() and not result.error


def test_duplicates_are_sent_once_and_named() -> None:
    backend = Upper()
    (batch,) = Scheduler(backend).translate(requests(["a", "b", "a", "a"]))
    assert sorted(backend.calls[0]) == ["a", "b"]
    assert batch.duplicates == {2: 0, 3: 0}
    assert [result.target for result in batch.results] == ["A", "B", "A", "A"]


def test_same_text_in_another_context_is_another_request() -> None:
    backend = Upper()
    asked = [Request(0, "May", context="month"), Request(1, "May", context="verb"), Request(2, "May", form=1)]
    assert len(answers(Scheduler(backend), asked)) == 3
    assert backend.calls == [["May", "May", "May"]]


def test_longest_first_within_both_bounds() -> None:
    backend = Upper()
    backend.batch_chars = 12
    answers(Scheduler(backend), requests(["a", "bbbb", "cc", "dddd", "eee", "ffff", "gggg"]))
    assert backend.calls[0] == ["bbbb", "dddd", "ffff"]
    assert all(len(call[0]) * len(call) <= 12 for call in backend.calls)


def test_overload_halves_all_later_batches_and_keeps_what_was_answered() -> None:
    backend = Upper(limit=3, answer_before_failing=2)
    answers(Scheduler(backend), requests(f"{number:03}" for number in range(32)))
    assert max(map(len, backend.calls[3:])) <= 3
    sent = [source for call in backend.calls for source in call]
    assert len(backend.calls) < 20 and len(sent) < 32 + 8 + 4


def test_an_overload_holds_for_a_window_that_was_begun_before_it() -> None:
    backend = Upper(limit=2)
    scheduler = Scheduler(backend)
    windows = [requests(f"{word} {number:03}" for number in range(16)) for word in ("a", "b", "c")]
    for window in [scheduler.translate(window, ahead=True) for window in windows]:
        assert sum(len(batch.results) for batch in window) == 16
    assert [len(call) for call in backend.calls] == [8, 4, *[2] * 24]


def test_what_is_wrong_with_a_batch_that_is_expected_is_of_no_interest_yet() -> None:
    class Refusing(Upper):
        def expect(self, requests: Sequence[Request]) -> None:
            raise ValueError("no")

    assert {result.target for result in answers(Scheduler(Refusing()), requests("ab"), ahead=True).values()} == {
        "A",
        "B",
    }


def test_one_request_too_large_is_an_error_of_its_own() -> None:
    found = answers(Scheduler(Upper(limit=0)), requests(["a", "b"]))
    assert all("memory" in result.error for result in found.values())


def test_a_backend_that_gives_answers_bit_by_bit_is_read_in_portions() -> None:
    backend = Upper()
    backend.portion = 3
    asked = requests(["a", "b", "a", "c", "d", "e", "f", "g"])
    batches = list(Scheduler(backend).translate(asked))
    assert len(backend.calls) == 1
    assert [batch.number for batch in batches] == [1, 2, 3]
    assert [len(batch.results) for batch in batches] == [4, 3, 1]
    assert batches[0].duplicates == {2: 0}
    assert sorted(result.id for batch in batches for result in batch.results) == list(range(8))


@given(WORDS, st.integers(1, 9), st.integers(0, 3), st.integers(1, 4))
def test_portions_change_no_answer_whatever_fails(words: list[str], limit: int, early: int, portion: int) -> None:
    backend = Upper(limit, frozenset({"a", "bb"}), early)
    backend.portion = portion
    asked = requests(words)
    assert answers(Scheduler(backend), asked) == answers(Scheduler(Upper(limit, frozenset({"a", "bb"}), early)), asked)


def test_alone_sends_one_by_one() -> None:
    backend = Upper()
    answers(Scheduler(backend), requests(["a", "b", "c"]), alone=True)
    assert list(map(len, backend.calls)) == [1, 1, 1]


def test_a_missing_answer_is_an_error_and_an_unasked_one_stops_the_backend() -> None:
    class Silent(Upper):
        def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
            return iter(())

    class Confused(Upper):
        def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
            yield Result(99, "?")

    assert "no result" in answers(Scheduler(Silent()), requests(["a"]))[0].error
    with pytest.raises(BackendError, match="99"):
        list(Scheduler(Confused()).translate(requests(["a"])))
