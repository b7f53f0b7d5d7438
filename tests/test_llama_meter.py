"""What the backend knows of texts before it loads a model is what the engines do with them afterwards."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import tiny_model
from batchtrans import BackendError, Request, Usage
from batchtrans_llama import devices
from batchtrans_llama.backend import LlamaBackend
from batchtrans_llama.meter import LlamaMeter
from conftest import Cli
from test_llama_run import LINES, llama

__all__ = ["llama"]  # a fixture

SOURCES = [*(source for source, _ in tiny_model.PAIRS), "a\u00a0house\nof two lines", "\ue000 and \ue001", "a" * 60]


def backend(engine: str = "hf", **options: str) -> LlamaBackend:
    return LlamaBackend({"model": str(tiny_model.model()), "device": "cpu", "engine": engine, **options})


def meter(engine: str = "hf", **options: str) -> LlamaMeter:
    made = backend(engine, **options).meter("en", "es")
    assert isinstance(made, LlamaMeter)
    return made


def test_tokens_are_those_that_the_model_gets_without_the_prompt() -> None:
    started = backend()
    (tokens,) = started.meter("en", "es").batches(SOURCES)
    started.start("en", "es")
    answers = started.translate(Request(number, source) for number, source in enumerate(SOURCES))
    given = {answer.id: answer.tokens_in for answer in answers}
    prompts = [given[number] - count for number, count in enumerate(tokens)]
    assert min(prompts) > 10
    assert max(prompts) - min(prompts) <= 1, "the first token may be joined with the blank before it"


@pytest.mark.parametrize("engine", ["hf", "graph", "ct2"])
@pytest.mark.parametrize("options", [{}, {"max-batch": "3"}])
def test_what_a_meter_sets_is_what_the_start_sets(engine: str, options: dict[str, str]) -> None:
    if engine == "ct2":
        pytest.importorskip("ctranslate2")
    one = backend(engine, **options)
    one.meter("en", "es")
    before = one.masks, one.batch_size, one.batch_chars, one.portion, one.background
    one.start("en", "es")
    assert before == (one.masks, one.batch_size, one.batch_chars, one.portion, one.background)


@pytest.mark.parametrize("batch", [None, "3"])
def test_batches_are_those_of_ctranslate2(monkeypatch: pytest.MonkeyPatch, batch: str | None) -> None:
    pytest.importorskip("ctranslate2")
    from batchtrans_llama.ct2.engine import Ct2Engine

    sources = [
        f"{'the house ' * (number % 11)}{number}{chr(0xE000) if number % 5 == 0 else ''}" for number in range(90)
    ]
    one = backend("ct2", **({"max-batch": batch} if batch else {}))
    foreseen = one.meter("en", "es").batches(sources)
    one.start("en", "es")
    seen: list[int] = []
    begin = Ct2Engine._begin

    def watched(self: Ct2Engine, rows: list, prefix: list[int], ended: list) -> list:
        seen.append(len(rows))
        return begin(self, rows, prefix, ended)

    monkeypatch.setattr(Ct2Engine, "_begin", watched)
    list(one.translate(Request(number, source) for number, source in enumerate(sources)))
    assert sorted(seen) == sorted(map(len, foreseen))


def test_what_decides_the_time_is_in_the_identity() -> None:
    json.dumps(meter().identity)
    assert meter().identity == meter().identity
    others = [
        meter(**{name: value}).identity
        for name, value in (("max-batch", "8"), ("dtype", "bfloat16"), ("length-cap", "9+1*n"), ("eos", "off"))
    ]
    others.append(meter("graph").identity)
    assert all(other != meter().identity for other in others)
    assert len({json.dumps(other, sort_keys=True) for other in others}) == len(others)


def test_the_number_of_threads_is_in_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "3 threads" in meter().identity["device"]


def test_a_device_is_known_by_the_driver_or_by_its_own_name() -> None:
    assert devices.device_name("cuda:4096") == "cuda:4096", "no machine has so many"


def test_memory_of_a_device_is_asked_for_only_where_there_is_one() -> None:
    assert meter().usage() == Usage()


def test_a_model_that_is_not_there_is_said_before_any_work() -> None:
    with pytest.raises(BackendError, match="/no/such"):
        LlamaBackend({"model": "/no/such"}).meter("en", "es")


def test_a_dry_run_measures_once_and_then_loads_no_model(
    cli: Cli, llama: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "input.txt").write_text("".join(f"{source}\n" for source, _ in LINES), encoding="utf-8")
    options = ("--to", "es", "--device", "cpu", "-O", "engine=hf", "--model", str(tiny_model.model()))

    def said(*more: str) -> str:
        done = cli("run", "input.txt", *options, *more, plugins=llama, PYTHONPROFILEIMPORTTIME="1")
        assert done.returncode == 0, done.stderr.decode()
        return done.stderr.decode()

    first = said("--dry-run")
    again = said("--dry-run")
    assert "measured now on" in first and re.search(r"^measured on \d", again, re.MULTILINE)
    assert "torch.nn" in first and "torch" not in again
    assert not list(tmp_path.glob("input.es*"))
    counts = re.compile(r"^tokens: (\d+) of (\d+) texts, expected of the model: (\d+)$", re.MULTILINE)
    found, kept = counts.search(first), counts.search(again)
    assert found and kept and found[0] == kept[0]
    assert int(found[2]) == len(LINES)
    said()
    log = (tmp_path / "input.es.txt.align.jsonl").read_text(encoding="utf-8")
    true = sum(json.loads(line).get("tokens", [0, 0])[1] for line in log.splitlines())
    assert int(found[3]) == pytest.approx(true, rel=0.15)
