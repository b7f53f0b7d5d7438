"""The embedded model through the real command line, on the samples: what a new user sees first."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from batchtrans import protect
from batchtrans.alignment import AlignmentRecord, read_groups, read_history
from conftest import SAMPLES, Cli

pytestmark = pytest.mark.model
pytest.importorskip("batchtrans_en_es", reason="the embedded model is not installed")
pytest.importorskip("torch", reason="the llama backend is not installed")

#: Sample texts that are the same in Spanish: names.
SAME_IN_SPANISH = {"Total", "Error", "No", "Normal", "Manual", "Visual", "Final", "Local", "General"}


def records(log: Path) -> list[AlignmentRecord]:
    return [record for group in read_groups(log, read_history(log).runs[-1]) for record in group]


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four samples, translated in one run, and their logs."""
    directory = tmp_path_factory.mktemp("samples")
    for ending in ("po", "csv", "txt", "srt"):
        shutil.copy(SAMPLES / f"input.{ending}", directory)
    command = [sys.executable, "-m", "batchtrans", "run", "input.po", "input.csv", "input.txt", "input.srt"]
    done = subprocess.run(
        [*command, "--to", "es", "--column", "name", "--column", "description"],
        cwd=directory, capture_output=True, timeout=900,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr.decode()
    return directory


def test_at_most_three_in_a_hundred_segments_are_left_untranslated(translated: Path) -> None:
    ends = [read_history(log).runs[-1].end for log in translated.glob("*.align.jsonl")]
    counts = [end["counts"] for end in ends if end]
    assert len(counts) == 4
    selected = sum(count["segments"] - count.get("skipped", 0) for count in counts)
    assert sum(count.get("failed", 0) for count in counts) <= 0.03 * selected


def test_no_translation_is_its_source_but_names_and_codes(translated: Path) -> None:
    for log in translated.glob("*.align.jsonl"):
        for record in records(log):
            if record.status in ("ok", "repaired", "fuzzy") and record.origin not in ("copy", "kept"):
                same = record.source.strip() == record.target.strip()
                assert not same or record.source.strip() in SAME_IN_SPANISH, record.source


def test_every_translation_ended_by_itself_and_kept_its_placeholders(translated: Path) -> None:
    for log in translated.glob("*.align.jsonl"):
        made = [record for record in records(log) if record.origin == "mt" and record.status != "failed"]
        assert made
        assert sum(record.stop == "eos" for record in made) >= 0.99 * len(made)
        for record in made:
            for placeholder in record.masks:
                assert placeholder in record.target or record.form is not None
            assert not protect.masks_in(record.target)


def test_msgfmt_accepts_the_catalogue(translated: Path) -> None:
    command = ["msgfmt", "--check", "--use-fuzzy", "-o", "/dev/null", "input.es.po"]
    done = subprocess.run(command, cwd=translated, capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()


def test_a_second_run_is_up_to_date_without_loading_the_model(translated: Path) -> None:
    code = (
        "import sys; from batchtrans.cli import main; code = main(sys.argv[1:]);"
        "print('torch' in sys.modules, file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "run", "input.po", "--to", "es"]
    done = subprocess.run(command, cwd=translated, capture_output=True, timeout=120)
    assert done.returncode == 0 and b"up to date" in done.stderr, done.stderr.decode()
    assert done.stderr.split()[-1] == b"False"


def test_the_untuned_base_runs_on_but_nothing_after_the_boundary_is_written(cli: Cli, tmp_path: Path) -> None:
    lines = ["The file was not found.", "Open the window.", "I lost my keys this morning.", "Save your changes first."]
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n")
    done = cli("run", "a.txt", "--to", "es", "--adapter", "none")
    assert done.returncode in (0, 1), done.stderr.decode()
    assert len((tmp_path / "a.es.txt").read_text().splitlines()) == len(lines)
    log = [json.loads(line) for line in (tmp_path / "a.es.txt.align.jsonl").read_text().splitlines()[1:-1]]
    asked = [record for record in log if record.get("origin", "mt") == "mt"]
    assert len(asked) == len(lines)
    first = [record for record in asked if record.get("rung") != "n-best"]  # other hypotheses come without a reason
    assert first and all(record["stop"] in ("boundary", "max_tokens") for record in first)
    assert any("\n" in record["raw"] for record in first)
    assert not any("\n" in record.get("target", "").rstrip("\n") for record in asked)


def test_a_pair_without_a_model_is_refused_before_any_work(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    done = cli("run", "a.txt", "--to", "fr")
    assert done.returncode == 2
    assert b"en-es" in done.stderr and b"--model" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
