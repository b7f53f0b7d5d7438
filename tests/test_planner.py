"""``run --dry-run``: it counts what a run would do, foresees what it costs, and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from batchtrans import Backend, Meter, Request, Result
from batchtrans import costs as pricing
from batchtrans.formats.txt import TxtFormat
from batchtrans.measuring import Sample
from batchtrans.memory import Memory
from batchtrans.pipeline import Job, LazyBackend, Settings, run_job, survey
from batchtrans.planner import Plan, Planner, report
from batchtrans.translator import Translator
from conftest import SAMPLES, Cli
from test_translator import Catalogue, segment

METERED = """
    from batchtrans import Backend, Declared, Meter, Result, hookimpl

    @hookimpl
    def batchtrans_backends():
        return [Declared("metered", "metered:Metered", "counts words", {"name": "part of the identity"})]

    class Words(Meter):
        timed = 4
        def __init__(self, options):
            self.identity = {"backend": "metered", **options}
        def batches(self, sources):
            return [[len(source.split()) for source in sources]]

    class Metered(Backend):
        masks = 32
        started = False
        def preview(self, source_lang, target_lang):
            return {"backend": "metered"}
        def meter(self, source_lang, target_lang):
            return Words(self.options)
        def start(self, source_lang, target_lang):
            if self.options.get("name") == "broken":
                raise AssertionError("started")
            return {"backend": "metered", "loaded": True}
        def translate(self, requests):
            for request in requests:
                words = len(request.source.split())
                yield Result(request.id, "el " + request.source, stop="eos", tokens_in=words, tokens_out=2 * words)
"""


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def run(cli: Cli, plugin: Callable[[str, str], Path]) -> Callable[..., str]:
    """What a run with the backend above says; it must end with this exit code."""
    plugins = (plugin("metered", METERED),)

    def run(*arguments: str | Path, code: int = 0) -> str:
        done = cli("run", *arguments, "--to", "es", "--backend", "metered", plugins=plugins)
        said = done.stderr.decode()
        assert done.returncode == code, said
        assert "Traceback" not in said and not done.stdout
        return said

    return run


def files(directory: Path) -> dict[str, bytes]:
    paths = (path for path in directory.rglob("*") if path.is_file() and "cache" not in path.parts)
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


TEXT = "a house\ntwo big houses\n12\na house\n\nthe white house\n"


def test_it_counts_and_writes_nothing(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    said = run("a.txt", "-o", "out/", "--dry-run")
    assert "a.txt -> out/a.es.txt" in said
    assert "segments: 5, to translate: 3, repeated: 1, copied as they are: 1" in said
    assert "texts: 3, tokens: 8, expected: 16 in " in said
    assert "tokens: 8 of 3 texts, expected of the model: 16" in said
    assert re.search(r"^time: \S+ s \(\S+ s of processor time\); .* of it to start$", said, re.MULTILINE)
    assert re.search(r"^memory: [\d,]+ MB$", said, re.MULTILINE)
    assert "measured now on" in said
    assert files(tmp_path) == {"a.txt": TEXT.encode()}


def test_what_was_measured_is_kept_and_nothing_is_started(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    run("a.txt", "--dry-run", "-O", "name=one")
    assert "measured on 2" in run("a.txt", "--dry-run", "-O", "name=one")
    assert "measured now" in run("a.txt", "--dry-run", "-O", "name=two")


def test_more_texts_than_were_ever_measured_are_measured_anew(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("a house\n")
    (tmp_path / "many.txt").write_text("".join(f"house {chr(97 + n % 26)}{chr(97 + n // 26)} is\n" for n in range(200)))
    run("few.txt", "--dry-run")
    assert "measured now" in run("many.txt", "--dry-run")
    assert "measured on 2" in run("many.txt", "--dry-run")
    assert "measured on 2" in run("few.txt", "--dry-run")


def test_what_an_earlier_run_or_a_memory_knows_is_not_asked_for(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    run("a.txt")
    before = files(tmp_path)
    assert "up to date: nothing to translate" in run("a.txt", "--dry-run")
    (tmp_path / "a.txt").write_text(TEXT + "a new house\n")
    assert "to translate: 1, from memory: 4, copied as they are: 1" in run("a.txt", "--dry-run")
    assert "to translate: 4, repeated: 1, copied as they are: 1" in run("a.txt", "--dry-run", "--fresh")
    (tmp_path / "b.txt").write_text("a house\nan old house\n")
    memory = ("--memory", "a.es.txt.align.jsonl")
    assert "to translate: 1, from memory: 1" in run("b.txt", "--dry-run", *memory)
    after = files(tmp_path)
    assert {name: after[name] for name in before if name != "a.txt"} == {
        n: d for n, d in before.items() if n != "a.txt"
    }
    assert set(after) - set(before) == {"b.txt"}


def test_an_interrupted_run_is_seen(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    run("a.txt")
    log = tmp_path / "a.es.txt.align.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3]) + b'{"type":"rec')
    (tmp_path / "a.es.txt").unlink()
    torn = log.read_bytes()
    said = run("a.txt", "--dry-run")
    assert "segments: 5, to translate: 2, done before: 2" in said
    assert log.read_bytes() == torn


def test_several_documents_are_added_up_and_a_refused_one_is_named(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a house\n")
    (tmp_path / "b.txt").write_text("a big house\n")
    assert "all 2 documents\n  segments: 2, to translate: 2" in run("a.txt", "b.txt", "--dry-run")
    (tmp_path / "c.txt").write_bytes(b"\xff\n")
    said = run("a.txt", "c.txt", "--dry-run", code=1)
    assert "c.txt" in said and "a.txt -> a.es.txt" in said


def test_what_a_run_would_refuse_is_refused(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a house\n")
    (tmp_path / "a.es.txt").write_text("not ours\n")
    assert "is not what batchtrans wrote there" in run("a.txt", "--dry-run", code=2)
    assert "to translate: 1" in run("a.txt", "--dry-run", "--overwrite")
    assert (tmp_path / "a.es.txt").read_text() == "not ours\n"


def test_a_text_that_was_translated_in_place_is_up_to_date(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a house\n")
    run("a.txt", "--in-place")
    assert "up to date" in run("a.txt", "--in-place", "--dry-run")
    (tmp_path / "a.txt").write_text("otra casa\n")
    assert "was translated in place before" in run("a.txt", "--in-place", "--dry-run", code=2)


@pytest.mark.parametrize("backend", ["pseudo", "identity"])
def test_without_a_meter_no_time_is_given(cli: Cli, tmp_path: Path, backend: str) -> None:
    done = cli("run", SAMPLES / "input.po", "--to", "es", "-o", "out.po", "--backend", backend, "--dry-run")
    assert done.returncode == 0
    assert b"no time is given" in done.stderr and b"to translate: " in done.stderr
    assert not list(tmp_path.glob("out*"))


def test_where_nothing_is_selected_no_backend_is_asked(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n")
    done = cli("run", "a.txt", "--to", "es", "--backend", "pseudo", "--dry-run")
    assert done.returncode == 0 and b"nothing to ask a model for" in done.stderr


@pytest.mark.parametrize("name", ["input.po", "input.txt"])
def test_it_counts_what_the_run_does(run: Callable[..., str], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes((SAMPLES / name).read_bytes())
    planned = run(name, "--dry-run")
    done = run(name)

    def count(text: str, pattern: str) -> int:
        found = re.search(pattern, text)
        return int(found[1]) if found else 0

    for planned_words, words in (
        (r"segments: (\d+)", r"segments: (\d+)"),
        (r"repeated: (\d+)", r"(\d+) repeated"),
        (r"not selected: (\d+)", r"not selected: (\d+)"),
    ):
        assert count(planned, planned_words) == count(done, words)


# With a clock that only the backend moves


class Clockwork(Backend):
    """Takes a set time for what it is asked: half a second for a call, and so on. A text with ``hard`` in it is lost at
    first, and what is asked for then takes longer once."""

    masks = 32
    constrains = True
    batch_size = 4
    prices = (0.5, 0.1, 0.01, 0.02)

    def __init__(self) -> None:
        super().__init__({})
        self.now = 0.0
        self.loaded = False

    def preview(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        return {"backend": "clockwork"}

    def meter(self, source_lang: str, target_lang: str) -> Meter:
        return Gauge()

    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        self.now += 3
        return self.preview(source_lang, target_lang)

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        batch = list(requests)
        if any(request.constraint is not None for request in batch):
            self.now += len(batch) * 2 + (0 if self.loaded else 10)
            self.loaded = True
        else:
            work = pricing.work_of(Gauge(), [request.source for request in batch])
            self.now += sum(price * amount for price, amount in zip(self.prices, work.prices(), strict=True))
        for request in batch:
            lost = "hard" in request.source and request.constraint is None
            words = len(request.source.split())
            yield Result(
                request.id, "perdido" if lost else f"el {request.source}", stop="eos", tokens_out=2 * words + 1
            )


class Gauge(Meter):
    timed = 4
    pads = True
    identity: Mapping[str, Any] = {"backend": "clockwork"}

    def batches(self, sources: Sequence[str]) -> list[list[int]]:
        return [[len(source.split()) for source in sources]]


@pytest.mark.parametrize("hard", [0, 8])
def test_the_estimate_is_what_the_run_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard: int) -> None:
    backend = Clockwork()
    monkeypatch.setattr(pricing, "monotonic", lambda: backend.now)
    monkeypatch.setattr(pricing, "process_time", lambda: 2 * backend.now)
    lines = [" ".join(["house"] * (1 + number % 7)) + f" {chr(97 + number // 7)}" for number in range(32)]
    lines[:hard] = [f"hard {{name}} {line}" for line in lines[:hard]]
    source = tmp_path / "a.txt"
    source.write_text("\n".join(lines) + "\n")
    job = Job("a.txt", source, tmp_path / "a.es.txt", tmp_path / "a.log", "txt")
    settings = Settings("en", "es")
    found = survey(job, TxtFormat(), settings)
    planner = Planner(LazyBackend(lambda: backend, "en", "es"), {"txt": TxtFormat()}, {"txt": settings})
    plan = planner.plan(job, found, [], None)
    planner.settle([plan])
    assert planner.costs is not None and planner.costs.start.wall == pytest.approx(3)
    expected = planner.costs.estimate(plan.work)

    backend = Clockwork()
    lazy = LazyBackend(lambda: backend, "en", "es")
    lazy.get()
    began = backend.now
    outcome = run_job(job, TxtFormat(), settings, lazy, found)
    assert outcome.counts["ok"] + outcome.counts["fuzzy"] + outcome.counts["repaired"] == 32
    near = 0.15 if hard else 0.05  # how often a text comes again is known from a few
    assert expected.seconds.wall == pytest.approx(backend.now - began, rel=near)
    assert expected.seconds.cpu == pytest.approx(2 * expected.seconds.wall)
    generated = sum(2 * len(line.split()) + 1 for line in lines)
    assert expected.generated == pytest.approx(generated, rel=0.02)
    said = report(planner, [plan], pricing.Seconds(), pricing.Seconds())
    assert "measured now on" in said


def test_long_times_are_given_in_minutes_and_hours() -> None:
    planner = Planner(LazyBackend(Clockwork, "en", "es"), {}, {})
    planner.meter, planner.costs = Gauge(), None
    job = Job("a.txt", Path("a.txt"), Path("a.es.txt"), Path("log"), "txt")
    plan = Plan(job)
    plan.counts.update(segments=1, asked=1)
    plan.work, plan.windows = pricing.Work(texts=1), 1
    zero = pricing.Seconds()
    planner.costs = pricing.Costs(
        (0, 90, 0, 0),
        (0, 7500, 0, 0),
        (0, 0),
        zero,
        zero,
        (0, 0),
        zero,
        zero,
        (5e6, 0, 0),
        2_000_000,
        True,
        1,
        "2026-01-01",
        plan.work,
    )
    said = report(planner, [plan], zero, zero)
    assert "time: 1 min 30 s (2 h 05 min of processor time)" in said
    assert "memory: 5 MB, on the device 2 MB" in said
    assert "measured on 2026-01-01 on 1 texts" in said


def test_a_sample_comes_from_all_lengths_and_holds_each_text_once() -> None:
    sample = Sample()
    translator = Translator(Catalogue(), Clockwork(), Memory())
    texts = [f"house {'x' * number}" for number in range(64)]
    sample.offer(translator, [segment(text) for text in texts])
    batches = [[unit.segment.source[0] for unit in batch] for batch in sample.batches(4)]
    seen = [text for batch in batches for text in batch]
    assert len(seen) == len(set(seen))
    assert {len(text) // 18 for batch in batches[:8] for text in batch} == {0, 1, 2, 3}
    for batch in batches:
        assert max(map(len, batch)) - min(map(len, batch)) <= 3


def test_a_sample_of_many_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from batchtrans import measuring

    monkeypatch.setattr(measuring, "_RESERVOIR", 10)
    sample = Sample()
    translator = Translator(Catalogue(), Clockwork(), Memory())
    sample.offer(translator, (segment(f"house {number}") for number in range(500)))
    held = [unit.segment.source[0] for batch in sample.batches(3) for unit in batch]
    assert len(held) <= 10
    assert any(int(text.split()[1]) > 250 for text in held)
