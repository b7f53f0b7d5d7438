"""Generators on a thread of their own: nothing lost, nothing reordered, nothing left running."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchtrans import background
from batchtrans.background import Line, Syncer


def give(items: list[int], error: Exception | None = None) -> Generator[int, None, None]:
    yield from items
    if error is not None:
        raise error


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(), max_size=5), max_size=5), st.randoms())
def test_every_generator_gives_its_items_in_order_whichever_is_asked_first(
    jobs: list[list[int]], chance: object
) -> None:
    with closing(Line()) as line:
        running = [line.run(give(items)) for items in jobs]
        order = list(range(len(jobs)))
        chance.shuffle(order)
        found = {number: list(running[number]) for number in order}
    assert [found[number] for number in range(len(jobs))] == jobs


def test_a_generator_runs_before_its_items_are_asked_for_and_not_on_the_callers_thread() -> None:
    ran = threading.Event()
    threads: list[threading.Thread] = []

    def items() -> Generator[int, None, None]:
        threads.append(threading.current_thread())
        ran.set()
        yield 1

    with closing(Line()) as line:
        found = line.run(items())
        assert ran.wait(10)
        assert threads != [threading.current_thread()]
        assert list(found) == [1]


def test_what_it_stands_still_between_generators_is_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 13.5, 20.0, 20.25, 30.0])  # the end of the first, the beginning of the second, and so on
    monkeypatch.setattr(background, "monotonic", lambda: next(clock))
    line = Line()
    for _ in range(3):
        assert list(line.run(give([1]))) == [1]
    line.close()
    assert line.idle == 3.75


def test_a_line_that_never_ran_was_not_idle() -> None:
    line = Line()
    line.close()
    assert line.idle == 0


def test_an_error_comes_after_the_items_before_it_and_the_next_generator_runs() -> None:
    with closing(Line()) as line:
        broken, whole = line.run(give([1, 2], ValueError("three"))), line.run(give([4]))
        assert [next(broken), next(broken)] == [1, 2]
        with pytest.raises(ValueError, match="three"):
            next(broken)
        assert list(whole) == [4]


def test_a_closed_line_ends_what_is_under_way_at_its_next_item_and_leaves_no_thread() -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless() -> Generator[int, None, None]:
        try:
            while True:
                begun.set()
                yield 1
        finally:
            ended.set()

    def never() -> Generator[int, None, None]:
        raise AssertionError("it must not run")
        yield 1

    before, interval = threading.active_count(), sys.getswitchinterval()
    line = Line()
    line.run(endless())
    line.run(never())
    assert begun.wait(10)
    line.close()
    assert ended.is_set()
    assert threading.active_count() == before
    assert sys.getswitchinterval() == interval


def test_a_line_that_was_never_used_is_closed_without_a_thread() -> None:
    before = threading.active_count()
    Line().close()
    assert threading.active_count() == before


def test_what_a_disk_refuses_is_told_at_the_next_time() -> None:
    reading, writing = os.pipe()  # a pipe cannot be brought to a disk
    syncer = Syncer(writing)
    try:
        syncer.ask()
        with pytest.raises(OSError, match="Invalid argument"):
            while True:
                syncer.ask()
    finally:
        syncer.close()
        os.close(reading)
        os.close(writing)


def test_a_closed_syncer_has_done_its_work_and_left_no_thread() -> None:
    reading, writing = os.pipe()
    syncer = Syncer(writing)
    syncer.ask()
    syncer.close()
    os.close(reading)
    os.close(writing)
    with pytest.raises(OSError, match="Invalid argument"):
        syncer.ask()
    assert "batchtrans-sync" not in {thread.name for thread in threading.enumerate()}
