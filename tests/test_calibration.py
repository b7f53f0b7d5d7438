"""Confidence: the numbers by their definitions and on data whose truth is known, and what a run does with them."""

from __future__ import annotations

import csv
import json
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans import calibration as calibrated
from batchtrans import cli as cli_module
from batchtrans.alignment import AlignmentRecord
from batchtrans.calibration import (
    NAMES,
    UNSURE,
    Calibration,
    Step,
    area_under_curve,
    calibration_error,
    features_of,
    fit,
    load_calibration,
    reliability,
    upper_bound,
)
from batchtrans.chrf import chrf
from batchtrans.errors import BackendError, UsageError
from batchtrans.marking import Marking
from conftest import ROOT, Cli
from test_docs import options_table

TEXT = st.text("ab cdñ.", max_size=30)


# The score


@given(TEXT, TEXT)
def test_chrf_is_that_of_sacrebleu(hypothesis: str, reference: str) -> None:
    metrics = pytest.importorskip("sacrebleu.metrics")
    theirs = metrics.CHRF().sentence_score(hypothesis, [reference]).score
    assert chrf(hypothesis, reference) == pytest.approx(theirs, abs=1e-9)


def test_chrf_of_equal_texts_is_100_and_of_strangers_0() -> None:
    assert chrf("Abra el archivo", "Abra  el\narchivo") == pytest.approx(100)
    assert chrf("abc", "xyz") == chrf("", "xyz") == chrf("abc", " ") == 0


# What a confidence is worth


ROWS = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.booleans()), min_size=1, max_size=60)


@given(ROWS)
def test_the_area_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[float, bool]]) -> None:
    confidences, right = zip(*rows, strict=True)
    good = [confidence for confidence, is_right in rows if is_right]
    bad = [confidence for confidence, is_right in rows if not is_right]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in good for b in bad]
    area = area_under_curve(confidences, right)
    assert area == pytest.approx(sum(wins) / len(wins)) if wins else area is None


def test_the_area_by_hand() -> None:
    assert area_under_curve([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == 0.75
    assert area_under_curve([0.5, 0.5], [True, False]) == 0.5


def test_the_calibration_error_by_hand() -> None:
    confidences, right = [0.1, 0.3, 0.8, 1.0], [False, True, True, True]
    assert reliability(confidences, right, 2) == [(pytest.approx(0.2), 0.5), (pytest.approx(0.9), 1.0)]
    assert calibration_error(confidences, right, 2) == pytest.approx((0.3 + 0.1) / 2)
    assert calibration_error([0.0, 1.0], [False, True]) == 0


@given(ROWS, st.integers(1, 12))
def test_the_bins_of_a_calibration_error_have_equal_mass(rows: list[tuple[float, bool]], bins: int) -> None:
    confidences, right = zip(*rows, strict=True)
    ranked = sorted(rows, key=lambda row: row[0])
    expected = 0.0
    for number in range(bins):
        part = ranked[len(rows) * number // bins : len(rows) * (number + 1) // bins]
        if part:
            gap = sum(confidence for confidence, _ in part) / len(part) - sum(good for _, good in part) / len(part)
            expected += abs(gap) * len(part) / len(rows)
    assert calibration_error(confidences, right, bins) == pytest.approx(expected)
    sizes = [len(rows) * (number + 1) // bins - len(rows) * number // bins for number in range(bins)]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 500), st.data())
def test_a_bound_is_above_what_was_found_and_nearer_the_more_was_seen(count: int, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, count))
    assert errors / count < upper_bound(errors, count) <= 1 + 1e-9 or errors == count
    assert upper_bound(10 * errors, 10 * count) <= upper_bound(errors, count) + 1e-9


def test_all_steps_of_a_curve_hold_together() -> None:
    share = (1 - calibrated.SURE) / calibrated.STEPS
    assert upper_bound(0, 400) == pytest.approx((z := NormalDist().inv_cdf(1 - share)) ** 2 / (400 + z**2), rel=1e-3)


def test_a_bound_holds_19_times_of_20() -> None:
    chance = random.Random(3)
    for share in (0.02, 0.1, 0.3):
        held = [upper_bound(sum(chance.random() < share for _ in range(400)), 400) >= share for _ in range(400)]
        assert sum(held) / len(held) > 0.9


# Fitting


def made_up(count: int, seed: int, slope: float = 1.5) -> tuple[list[tuple[float, ...]], list[bool], list[float]]:
    """Rows of which two features decide, by a logistic curve; with the true probability of each."""
    chance = random.Random(seed)
    rows, right, truth = [], [], []
    for _ in range(count):
        row = tuple(chance.gauss(3.0, 2.0) for _ in NAMES)
        probability = 1 / (1 + math.exp(-(0.5 + slope * (row[0] - 3) / 2 - 0.7 * (row[3] - 3) / 2)))
        rows.append(row)
        truth.append(probability)
        right.append(chance.random() < probability)
    return rows, right, truth


def test_the_truth_is_recovered() -> None:
    made = fit(*made_up(8_000, 1)[:2])
    rows, right, truth = made_up(3_000, 2)
    confidences = [made.confidence(row) for row in rows]
    assert made.weights[0] == pytest.approx(1.5, abs=0.2) and made.weights[3] == pytest.approx(-0.7, abs=0.2)
    assert made.intercept == pytest.approx(0.5, abs=0.2)
    assert max(abs(ours - theirs) for ours, theirs in zip(confidences, truth, strict=True)) < 0.12
    assert calibration_error(confidences, right) < 0.03
    best, ours = area_under_curve(truth, right), area_under_curve(confidences, right)
    assert best is not None and ours == pytest.approx(best, abs=0.01)


def test_the_fit_is_where_the_penalised_likelihood_is_greatest() -> None:
    rows, right, _ = made_up(400, 5)
    made = fit(rows, right)

    def penalised(weights: tuple[float, ...], intercept: float) -> float:
        other = Calibration(made.centre, made.scale, weights, intercept, 0, ())
        chances = [other.confidence(row) for row in rows]
        fitted = sum(math.log(chance if good else 1 - chance) for chance, good in zip(chances, right, strict=True))
        return fitted - sum(weight**2 for weight in weights) / 2

    best = penalised(made.weights, made.intercept)
    for place in range(len(NAMES)):
        for change in (-0.01, 0.01):
            weights = tuple(weight + change * (place == index) for index, weight in enumerate(made.weights))
            assert penalised(weights, made.intercept) < best
    assert max(penalised(made.weights, made.intercept + change) for change in (-0.01, 0.01)) < best


@pytest.mark.parametrize("bound", [0.05, 0.1, 0.3])
def test_a_threshold_keeps_the_errors_under_its_bound(bound: float) -> None:
    made = fit(*made_up(3_000, 7, slope=3.0)[:2])
    rows, right, _ = made_up(5_000, 8, slope=3.0)
    least = made.threshold(bound)
    assert least is not None
    kept = [good for row, good in zip(rows, right, strict=True) if made.confidence(row) >= least]
    assert len(kept) > 0.1 * len(rows) and kept.count(False) / len(kept) <= bound


def test_a_bound_that_nothing_reaches_has_no_threshold() -> None:
    chance = random.Random(4)
    rows = [tuple(chance.random() for _ in NAMES) for _ in range(400)]
    made = fit(rows, [chance.random() < 0.5 for _ in rows])
    assert made.threshold(0.02) is None and made.threshold(0.99) == made.curve[-1].confidence


def test_the_curve_says_what_it_covers() -> None:
    rows, right, _ = made_up(500, 9)
    made = fit(rows, right)
    confidences = [made.confidence(row) for row in rows]
    for step in made.curve:
        kept = [good for value, good in zip(confidences, right, strict=True) if value >= step.confidence]
        assert step.coverage == pytest.approx(len(kept) / len(rows))
        assert step.errors == pytest.approx(kept.count(False) / len(kept))
    assert made.curve[-1].coverage == 1 and len(made.curve) <= calibrated.STEPS


def test_a_feature_that_never_varies_does_no_harm() -> None:
    rows, right, _ = made_up(300, 11)
    made = fit([(*row[:-1], 0.0) for row in rows], right)
    assert made.weights[-1] == 0 and math.isfinite(made.confidence((1e3,) * len(NAMES)))


@pytest.mark.parametrize("right", [[True] * 300, [True] * 295 + [False] * 5])
def test_one_kind_alone_cannot_be_fitted_to(right: list[bool]) -> None:
    with pytest.raises(UsageError, match="too few"):
        fit([(0.0,) * len(NAMES)] * 300, right)
    with pytest.raises(UsageError, match="too few"):
        fit(*made_up(99, 1)[:2])


def test_a_calibration_comes_back_from_its_file(tmp_path: Path) -> None:
    rows, right, _ = made_up(300, 12)
    made = fit(rows, right)
    path = tmp_path / "calibration.json"
    path.write_text(made.to_json())
    read = load_calibration(path)
    assert read == made and read.identity() == made.identity()
    assert load_calibration(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"features": ["mean"]},
        {"weights": [1]},
        {"curve": [[1]]},
        {"intercept": "x"},
        {"scale": [0] * len(NAMES)},
    ],
    ids=str,
)
def test_a_broken_calibration_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    rows, right, _ = made_up(300, 12)
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({**json.loads(fit(rows, right).to_json()), **change}))
    with pytest.raises(BackendError, match="calibration"):
        load_calibration(path)
    path.write_text("{")
    with pytest.raises(BackendError, match="cannot be read"):
        load_calibration(path)


# Features


def record(source: str = "Open the file", target: str = "Abra el archivo", **more: object) -> AlignmentRecord:
    return AlignmentRecord("1", source, target, **{"logprob": (-0.5, -2.0), "tokens": (9, 4), **more})  # type: ignore[arg-type]


def test_the_features_of_one_part_by_hand() -> None:
    values = dict(zip(NAMES, features_of([record(checks=("end", UNSURE), tries=2)]) or (), strict=True))
    assert values == {
        "mean": -0.5, "mean_square": 0.25, "least": -2.0, "sum": math.sqrt(2),
        "words": math.log(4), "mean_words": -0.5 * math.log(4),
        "pieces": math.log(5 / 16), "names": 0.0, "sentence": 0.0,
        "ratio": pytest.approx(math.log(16 / 14)), "kept": 0.0, "doubts": 1.0, "tries": 1.0,
    }  # fmt: skip


def test_names_and_sentences_are_seen_in_the_source() -> None:
    values = dict(zip(NAMES, features_of([record("See Ada Lovelace, London. ", "A")]) or (), strict=True))
    assert (values["names"], values["sentence"]) == (3 / 4, 1.0)
    assert dict(zip(NAMES, features_of([record("開く。")]) or (), strict=True))["sentence"] == 1.0


def test_parts_weigh_by_their_tokens_and_copies_not_at_all() -> None:
    parts = [record(), record(logprob=(-2.0, -3.0), tokens=(9, 12)), record("42", "42", origin="copy", logprob=None)]
    values = features_of(parts)
    assert values is not None and values[0] == pytest.approx((4 * -0.5 + 12 * -2.0) / 16)
    assert values[NAMES.index("least")] == -3.0
    assert features_of([record(), record(logprob=None)]) is None
    assert features_of([record("42", "42", origin="copy", logprob=None)]) is None


# Marking


MADE = Calibration(
    (0.0,) * len(NAMES),
    (1.0,) * len(NAMES),
    (4.0, *(0.0,) * (len(NAMES) - 1)),
    3.0,
    500,
    (Step(0.9, 0.3, 0.01, 0.02), Step(0.4, 1, 0.2, 0.25)),
)


def marked(marking: Marking, logprob: tuple[float, float] | None) -> tuple[bool, float | None]:
    (weighed,) = marking.weigh([record(logprob=logprob)])
    return marking.is_marked(bool(weighed.checks)), weighed.confidence


def test_an_unsure_translation_is_marked() -> None:
    assert marked(Marking("low", MADE), (-0.5, -1.0)) == (False, pytest.approx(0.7311, abs=1e-4))
    assert marked(Marking("low", MADE), (-1.0, -1.0))[0] and not marked(Marking("none", MADE), (-1.0, -1.0))[0]


def test_without_a_calibration_less_than_an_even_chance_is_unsure() -> None:
    assert marked(Marking("low"), (-0.6, -9.0)) == (False, None) and marked(Marking("low"), (-0.7, -0.7)) == (
        True,
        None,
    )
    assert marked(Marking("low"), None) == (False, None)


def test_a_bound_chooses_the_threshold_and_counts_what_has_no_confidence() -> None:
    marking = Marking("low", MADE, 0.02)
    assert marking.note == "--max-error 2%: translations with a confidence under 0.900 are marked"
    assert marked(marking, (-0.5, -1.0))[0] and not marked(marking, (-0.1, -1.0))[0]
    assert marked(marking, None) == (True, None) and not marked(Marking("low", MADE), None)[0]
    assert not marked(Marking("low", MADE, 0.3), (-0.8, -1.0))[0]
    assert marking.is_unsure(0.89) and not marking.is_unsure(None)


def test_a_bound_that_is_out_of_reach_marks_all_and_says_so() -> None:
    marking = Marking("low", MADE, 0.001)
    assert marked(marking, (-0.0001, -0.0001))[0] and "all translations are marked" in marking.note
    with pytest.raises(UsageError, match="calibration"):
        Marking("low", None, 0.1)


def test_a_copy_is_never_unsure() -> None:
    copied = record("42", "42", origin="copy", logprob=None)
    assert Marking("low", MADE, 0.001).weigh([copied]) == [copied]


# The command line


NOISY = """
    from hashlib import blake2b
    from pathlib import Path

    from batchtrans import Backend, Declared, Result, hookimpl
    from batchtrans.calibration import load_calibration

    @hookimpl
    def batchtrans_backends():
        return [Declared("noisy", "noisy:Noisy", "says how sure it is", {"model": "its calibration"})]

    def chance(text, salt):
        return blake2b(text.encode(), digest_size=2, salt=salt).digest()[0] / 256

    class Noisy(Backend):
        def start(self, source_lang, target_lang):
            self.calibration_file = Path(self.options.get("model", "calibration.json"))
            self.calibration = load_calibration(self.calibration_file)
            known = self.calibration and self.calibration.identity()
            return {"backend": "noisy", "calibration": known}

        def translate(self, requests):
            for request in requests:
                sure = chance(request.source, b"sure")
                right = chance(request.source, b"right") < sure
                text = request.source.replace("e", "a") if right else "Zyx" + "w vu" * (len(request.source) // 4)
                mean = sure - 1.001
                yield Result(request.id, text, tokens_out=9, logprob_mean=mean, logprob_min=3 * mean)
"""


@pytest.fixture
def noisy(plugin: Callable[[str, str], Path]) -> Path:
    return plugin("noisy", NOISY)


def sentences(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    words = ["the", "open", "file", "seven", "letters", "here", "been", "green", "yellow", "never", "eleven", "trees"]
    return [" ".join(chance.choice(words) for _ in range(6)).capitalize() for _ in range(count)]


def write_pairs(path: Path, texts: list[str]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("source", "target"), *((text, text.replace("e", "a")) for text in texts)])


def test_a_model_is_calibrated_and_a_run_keeps_to_the_bound(cli: Cli, noisy: Path, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.csv", sentences(1_500, 1))
    write_pairs(tmp_path / "held.csv", sentences(300, 2))
    done = cli("calibrate", "pairs.csv", "--to", "es", "--backend", "noisy", "--left-out", "held.csv", plugins=(noisy,))
    assert done.returncode == 0, done.stderr.decode()
    made = json.loads((tmp_path / "calibration.json").read_text())
    assert set(made["report"]) == {"test", "held.csv"}
    for values in made["report"].values():
        assert values["ece"] < 0.1 and values["auroc"] > 0.75
    assert made["report"]["test"]["ece"] < 0.05
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("fitted to ") and [line.split()[0] for line in lines[2:]] == ["test", "held.csv"]
    texts = [text for text in sentences(600, 3) if text.replace("e", "a") != text]
    (tmp_path / "a.po").write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\nLanguage: es\\n"\n\n'
        + "\n".join(f'msgid "{text}"\nmsgstr ""\n' for text in dict.fromkeys(texts))
    )
    run = ("run", "a.po", "--to", "es", "--backend", "noisy", "--fresh")
    assert cli(*run, "--max-error", "20%", "--dry-run", plugins=(noisy,)).returncode == 0
    done = cli(*run, "--max-error", "20%", plugins=(noisy,))
    assert done.returncode == 0 and b"translations with a confidence under 0." in done.stderr, done.stderr.decode()
    records = [json.loads(line) for line in (tmp_path / "a.es.po.align.jsonl").read_bytes().splitlines()[1:-1]]
    kept = [each for each in records if each.get("status") != "fuzzy"]
    wrong = [each for each in kept if each["target"] != each["source"].replace("e", "a")]
    assert 0.1 < len(kept) / len(records) < 0.9 and len(wrong) / len(kept) < 0.2
    assert all(0 <= each["confidence"] <= 1 for each in records)
    unsure = [each for each in records if "unsure" in each.get("checks", ())]
    assert unsure and all(each["status"] == "fuzzy" for each in unsure)
    done = cli(*run, "--max-error", "0.01%", plugins=(noisy,))
    assert b"all translations are marked" in done.stderr
    assert (tmp_path / "a.es.po").read_text().count("#, fuzzy") == len(records)


def test_the_page_has_the_options_and_the_features() -> None:
    page = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert options_table(cli_module.calibrate) in page
    assert tuple(re.findall(r"^\| `(\w+)` \| ", page, re.M))[: len(NAMES)] == NAMES


def test_a_bound_holds_for_what_is_taken_from_an_earlier_run(cli: Cli, noisy: Path, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.csv", sentences(800, 1))
    cli("calibrate", "pairs.csv", "--to", "es", "--backend", "noisy", plugins=(noisy,))
    (tmp_path / "a.txt").write_text("\n".join(sentences(100, 5)) + "\n")
    run = ("run", "a.txt", "--to", "es", "--backend", "noisy")
    assert cli(*run, plugins=(noisy,)).returncode == 0
    assert cli(*run, "--max-error", "0.1", plugins=(noisy,)).returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "a.es.txt.align.jsonl").read_bytes().splitlines()]
    last = max(number for number, line in enumerate(lines) if line["type"] == "run")
    assert lines[last]["options"]["max_error"] == 0.1
    later = [line for line in lines[last:] if line["type"] == "record"]
    assert {line["origin"] for line in later} == {"memory"}
    least = load_calibration(tmp_path / "calibration.json").threshold(0.1)  # type: ignore[union-attr]
    assert least is not None and all(line.get("status") == "fuzzy" for line in later if line["confidence"] < least)
    assert any("status" not in line for line in later)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "a.txt", "--to", "es", "--backend", "noisy", "--max-error", "2%"], 2, "has no calibration"),
        (
            ["run", "a.txt", "--to", "es", "--backend", "noisy", "--max-error", "2%", "--dry-run"],
            2,
            "has no calibration",
        ),
        (
            ["run", "a.txt", "--to", "es", "--backend", "noisy", "--max-error", "2"],
            2,
            "a percentage or a share below 1",
        ),
        (["run", "a.txt", "--to", "es", "--backend", "noisy", "--max-error", "x%"], 2, "Write 2% or 0.02"),
        (["run", "a.txt", "--to", "es", "--mark", "none", "--max-error", "2%"], 2, "--mark none does not"),
        (["calibrate", "pairs.csv", "--to", "es", "--backend", "noisy"], 2, "too few to calibrate"),
        (["calibrate", "pairs.csv", "--to", "es", "--backend", "pseudo"], 2, "no place for a calibration"),
        (
            ["calibrate", "pairs.csv", "--to", "es", "--backend", "pseudo", "-o", "c.json"],
            2,
            "does not say how probable",
        ),
        (["calibrate", "pairs.csv", "--to", "es", "--backend", "noisy", "-O", "x=1"], 2, "takes no option 'x'"),
        (["calibrate", "pairs.csv", "--to", "es", "--backend", "noisy", "-o", "none/c.json"], 2, "cannot be written"),
        (["calibrate", "none.csv", "--to", "es", "--backend", "noisy"], 2, "there is no file none.csv"),
        (["run", "a.txt", "--to", "es", "--backend", "noisy", "--model", "bad.json"], 3, "cannot be read"),
    ],
)
def test_what_cannot_be_calibrated_says_why(
    arguments: list[str], code: int, message: str, cli: Cli, noisy: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("Open the file\n")
    (tmp_path / "bad.json").write_text("{")
    write_pairs(tmp_path / "pairs.csv", sentences(20, 1))
    done = cli(*arguments, plugins=(noisy,))
    assert done.returncode == code and message in done.stderr.decode(), done.stderr.decode()
    assert not (tmp_path / "c.json").exists()
