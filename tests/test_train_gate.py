"""The gate of a training: accepted is what translated better, stopped by itself and kept placeholders."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

pytest.importorskip("sacrebleu")

from batchtrans_llama.data.read import Pair
from batchtrans_llama.evaluation.compare import compare
from batchtrans_llama.evaluation.output import Hypothesis, Output
from batchtrans_llama.training.gate import Verdict, judge

WORDS = [*"abcdefghijklmno"]
PAIRS = [Pair(f"the text number {one} of {two}", f"el texto {one} de {two}") for one in WORDS for two in WORDS]
WRONG = "nada de eso"


def output(name: str, pairs: Sequence[Pair], wrong: int = 0, run_on: int = 0, capped: int = 0) -> Output:
    """The references themselves, but that the first ``wrong`` are wrong, the first ``run_on`` run on, the first
    ``capped`` were ended by the length cap."""
    hypotheses = []
    for number, pair in enumerate(pairs):
        text = WRONG if number < wrong else pair.target
        cut = number < run_on
        stops = ("max_tokens",) if number < capped else ("boundary",) if cut else ("eos",)
        hypotheses.append(Hypothesis(text, text + "\nEnglish: more" if cut else text, stops, cut, 5, -0.1))
    return Output(name, hypotheses)


def verdict(new: Output, *others: Output, pairs: Sequence[Pair] = PAIRS, incumbent: str | None = None) -> Verdict:
    comparison = compare(pairs, [new, *others], "en", "es")
    return judge(comparison, new.name, [other.name for other in others], incumbent)


def failed(found: Verdict) -> list[str]:
    assert found.accepted == all(passed for passed, _ in found.reasons)
    assert str(found).splitlines()[-1] == found.to_json()["verdict"] == ("ACCEPT" if found.accepted else "REJECT")
    return [text for passed, text in found.reasons if not passed]


def test_what_is_better_than_every_rival_is_accepted() -> None:
    found = verdict(output("new", PAIRS), output("adapter", PAIRS, 20), output("base", PAIRS, 80), incumbent="adapter")
    assert found.accepted and not failed(found)
    assert [text.partition(" of ")[2].split(":")[0] for _, text in found.reasons[:2]] == ["adapter", "base"]
    assert all("p = 0.001" in text for _, text in found.reasons[:2])


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (20, 0), (30, 30), (5, 6)])
def test_what_is_not_shown_to_be_better_is_rejected(ours: int, theirs: int) -> None:
    """Equal, worse, and better by no more than chance does."""
    found = verdict(output("new", PAIRS, ours), output("base", PAIRS, 90), output("few", PAIRS, theirs))
    assert len(failed(found)) == 1 and " of few: " in failed(found)[0]


@pytest.mark.parametrize(("many", "missed", "passes"), [(60, 1, True), (60, 2, False), (225, 1, True), (225, 2, False)])
def test_one_answer_in_two_hundred_may_run_on_or_be_capped(many: int, missed: int, passes: bool) -> None:
    pairs = PAIRS[:many]
    base = output("base", pairs, many // 2)
    capped = failed(verdict(output("new", pairs, capped=missed), base, pairs=pairs))
    assert [text.partition("% ")[2] for text in capped] == ([] if passes else ["of the answers end by EOS"])
    run_on = failed(verdict(output("new", pairs, run_on=missed), base, pairs=pairs))
    wanted = ["of the answers end by EOS", "of the answers run on"]
    assert [text.partition("% ")[2] for text in run_on] == ([] if passes else wanted)


def with_placeholders(count: int) -> list[Pair]:
    return [Pair(pair.source + " {x}", pair.target + " {x}") for pair in PAIRS[:count]] + PAIRS[count:120]


@pytest.mark.parametrize(
    ("count", "broken", "passes"), [(10, 1, True), (10, 2, False), (100, 5, True), (100, 6, False)]
)
def test_placeholders_are_right_in_nearly_all_segments_that_have_some(count: int, broken: int, passes: bool) -> None:
    """One in twenty may be wrong, and a single one of however few; segments without any do not count."""
    pairs = with_placeholders(count)
    found = failed(verdict(output("new", pairs, broken), output("base", pairs, 110), pairs=pairs))
    assert [text.partition(" are")[0] for text in found] == ([] if passes else ["placeholders"])


def test_no_more_placeholders_may_be_broken_than_before() -> None:
    pairs = with_placeholders(60)
    old = output("adapter", pairs, 30)
    assert verdict(output("new", pairs, 12), old, pairs=pairs, incumbent="adapter").accepted
    assert not verdict(output("new", pairs, 12), old, pairs=pairs).accepted
