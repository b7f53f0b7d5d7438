"""Prices: they fit what was timed, are never negative, and are kept for what they were measured on alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchtrans import Meter
from batchtrans import costs as pricing
from batchtrans.costs import Costs, Seconds, Work, fit, together, work_of

COSTS = Costs(
    wall=(0.5, 0.1, 0.01, 0.02),
    cpu=(1.0, 0.2, 0.02, 0.04),
    generated=(2.0, 1.5),
    start=Seconds(3.0, 4.0),
    judging=Seconds(0.001, 0.002),
    again=(0.0, 0.0),
    again_each=Seconds(),
    again_start=Seconds(),
    memory=(1e8, 1e5, 3e8),
    device=None,
    background=False,
    texts=200,
    day="2026-11-24",
    plan=Work(texts=1000, masked=1000, tokens=10_000),
)
WORK = Work(texts=100, masked=200, tokens=1000, batches=4, steps=60, weight=1200, largest=400)


class Words(Meter):
    """A token is a word; two texts to a batch."""

    def __init__(self, name: str = "words", pads: bool = False) -> None:
        self.identity = {"name": name}
        self.pads = pads

    def batches(self, sources: Sequence[str]) -> list[list[int]]:
        lengths = [len(source.split()) for source in sources]
        return [lengths[start : start + 2] for start in range(0, len(lengths), 2)]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


ROWS = st.lists(st.tuples(*[st.integers(0, 500)] * 4), min_size=1, max_size=12)


@settings(deadline=None)
@given(ROWS, st.tuples(*[st.floats(0, 5)] * 4))
def test_prices_are_never_negative_and_add_up_to_what_was_timed(
    rows: list[tuple[int, ...]], true: tuple[float, ...]
) -> None:
    values = [sum(price * cell for price, cell in zip(true, row, strict=True)) for row in rows]
    assume(sum(values) > 1e-3)
    prices = fit(rows, values)
    assert all(price >= 0 for price in prices)
    found = sum(price * cell for row in rows for price, cell in zip(prices, row, strict=True))
    assert found == pytest.approx(sum(values))


def test_the_prices_that_made_the_times_are_found_again() -> None:
    true = (0.5, 0.1, 0.01, 0.02)
    rows = [(1, 8, 64, 9), (1, 32, 900, 31), (2, 64, 300, 14), (1, 32, 400, 20), (3, 96, 200, 9)]
    values = [sum(price * cell for price, cell in zip(true, row, strict=True)) for row in rows]
    assert fit(rows, values) == pytest.approx(true, rel=1e-3)


def test_nothing_that_was_timed_costs_nothing() -> None:
    assert fit([(1, 2, 3, 4)], [0.0]) == (0.0, 0.0, 0.0, 0.0)


def test_work_counts_texts_tokens_batches_and_their_longest() -> None:
    texts = ["a b c", "a", "a \ue000", "a b c d"]
    assert work_of(Words(), texts) == Work(4, 2, 10, 2, 7, 10, 8)
    assert work_of(Words(pads=True), texts).weight == 2 * 3 + 2 * 4
    assert work_of(Words(), []) == Work()


@given(st.lists(st.tuples(*[st.integers(0, 99)] * 7)))
def test_pieces_of_work_add_up_but_for_the_largest_batch(pieces: list[tuple[int, ...]]) -> None:
    works = [Work(*piece) for piece in pieces]
    whole = together(works)
    assert whole[:-1] == tuple(sum(column) for column in zip(Work(), *works, strict=True))[:-1]
    assert whole.largest == max((work.largest for work in works), default=0)


def test_an_estimate_is_the_sum_of_the_prices() -> None:
    expected = COSTS.estimate(WORK)
    assert expected.seconds.wall == pytest.approx(4 * 0.5 + 100 * 0.1 + 1200 * 0.01 + 60 * 0.02 + 100 * 0.001)
    assert expected.seconds.cpu == pytest.approx(4 * 1.0 + 100 * 0.2 + 1200 * 0.02 + 60 * 0.04 + 100 * 0.002)
    assert expected.generated == 100 * 2 + 1000 * 1.5
    assert expected.memory == 1e8 + 400 * 1e5


def test_second_attempts_cost_by_their_share_and_once_for_what_is_loaded() -> None:
    again = replace(COSTS, again=(0.001, 0.01), again_each=Seconds(2, 3), again_start=Seconds(5, 7), memory=(1, 0, 9))
    more = again.estimate(WORK).seconds.cpu - COSTS.estimate(WORK).seconds.cpu
    assert more == pytest.approx((0.8 + 2) * 3 + 7)
    assert again.estimate(WORK).memory == 9
    little = Work(texts=10, tokens=100)
    few = again.estimate(little).seconds.cpu - COSTS.estimate(little).seconds.cpu
    assert few == pytest.approx(0.1 * 3 + 0.1 * 7), "they are not certain to be needed"
    assert again.estimate(little).memory == 1


def test_in_the_background_the_longer_one_of_the_two_counts_and_one_window_of_the_other() -> None:
    background = replace(COSTS, background=True)
    judging = 100 * 0.001
    alone = COSTS.estimate(WORK).seconds.wall - judging
    assert background.estimate(WORK, alone=0.25).seconds.wall == pytest.approx(alone + judging / 4)
    beside = background.estimate(WORK, Seconds(500, 1), alone=0.25)
    assert beside.seconds.wall == pytest.approx(500 + judging + alone / 4)
    assert background.estimate(WORK).seconds.wall == pytest.approx(alone + judging)  # one window
    assert background.estimate(WORK).seconds.cpu == COSTS.estimate(WORK).seconds.cpu


@pytest.mark.parametrize(
    ("texts", "masked", "fits"),
    [(10, 0, True), (10, 2, True), (10, 3, False), (100_000, 0, True), (5000, 1000, True), (5000, 1001, False)],
)
def test_prices_fit_work_of_the_same_kind(texts: int, masked: int, fits: bool) -> None:
    assert COSTS.fit(Work(texts=texts, masked=10 * masked, tokens=10 * texts)) is fits


def test_prices_from_few_texts_fit_few() -> None:
    few = replace(COSTS, plan=Work(texts=10))
    assert few.fit(Work(texts=10)) and not few.fit(Work(texts=11)) and not few.fit(Work(texts=11_000))


def test_a_price_list_is_kept_for_what_it_was_measured_on() -> None:
    assert pricing.load(Words()) is None
    pricing.keep(Words(), COSTS)
    assert pricing.load(Words()) == COSTS
    assert pricing.load(Words("others")) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 0}', '{"version": 1, "wall": [1]}', "\xff"])
def test_what_cannot_be_read_is_no_price_list(tmp_path: Path, text: str) -> None:
    pricing.keep(Words(), COSTS)
    (file,) = (tmp_path / "batchtrans" / "costs").iterdir()
    file.write_text(text, encoding="latin-1")
    assert pricing.load(Words()) is None


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "batchtrans").write_text("a file where the directory should be")
    pricing.keep(Words(), COSTS)
    assert pricing.load(Words()) is None
