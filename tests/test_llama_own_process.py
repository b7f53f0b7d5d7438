"""A model in a process of its own answers as one that is not, and neither process outlives or hides what happens to the
other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

import tiny_model
from batchtrans import BackendError, Constraint, Request, Result, Usage
from batchtrans.testing import check_backend
from batchtrans_llama.asking import Prompts
from batchtrans_llama.backend import LlamaBackend
from batchtrans_llama.own_process import OwnProcess, _answer, _Asked, _Batch, _Ended, _Job, _Left, _Post
from batchtrans_llama.service import Service
from conftest import plugin_environment

OPTIONS = {"device": "cpu", "engine": "graph"}
SOURCES = [source for source, _ in tiny_model.PAIRS]
MANY = [Request(number, SOURCES[number % len(SOURCES)]) for number in range(4_000)]

#: Starts a model in a process of its own, says which one that is, and waits.
STARTS = """
import sys, time
from batchtrans_llama.backend import LlamaBackend
if __name__ == "__main__":
    backend = LlamaBackend({"model": sys.argv[1], "device": "cpu", "engine": "graph", "own-process": "yes"})
    backend.start("en", "es")
    print(backend._service._process.pid, flush=True)
    time.sleep(600)
"""


def started(own_process: str) -> LlamaBackend:
    backend = LlamaBackend({**OPTIONS, "model": str(tiny_model.model()), "own-process": own_process})
    backend.start("en", "es")
    return backend


def process_of(backend: LlamaBackend) -> psutil.Process:
    assert isinstance(backend._service, OwnProcess)
    return psutil.Process(backend._service._process.pid)


@pytest.fixture(scope="module")
def backend() -> Iterator[LlamaBackend]:
    started_there = started("yes")
    yield started_there
    started_there.stop()


def test_it_answers_what_a_model_in_the_same_process_answers(backend: LlamaBackend) -> None:
    here = started("no")
    asked = [*SOURCES, "", "Delete \ue000 now"]
    requests = [Request(number, source) for number, source in enumerate(asked)]
    requests.append(Request(len(asked), "Delete \ue000 now", constraint=Constraint()))
    requests.append(Request(len(asked) + 1, SOURCES[0], hypotheses=3))
    assert sorted(backend.translate(requests)) == sorted(here.translate(requests))
    assert backend.notes == here.notes
    assert process_of(backend).pid != os.getpid()
    for name in ("masks", "constrains", "hypotheses", "batch_size", "portion", "background"):
        assert getattr(backend, name) == getattr(here, name), name
    here.stop()


def test_the_contract_of_backends_holds() -> None:
    options = {**OPTIONS, "model": str(tiny_model.model()), "own-process": "yes"}
    check_backend(LlamaBackend(options), texts=SOURCES[:4])


def test_a_batch_that_is_left_early_does_not_hold_up_the_next(backend: LlamaBackend) -> None:
    for taken in (0, 1, 40):
        results = backend.translate(MANY)
        assert len([next(results) for _ in range(taken)]) == taken
        results.close()  # type: ignore[attr-defined]
        after = [Request(number, source) for number, source in enumerate(SOURCES)]
        assert [result.target for result in sorted(backend.translate(after))] == [text for _, text in tiny_model.PAIRS]


def test_a_batch_that_is_expected_is_answered_like_any_other(backend: LlamaBackend) -> None:
    plain = [Request(number, source) for number, source in enumerate([*SOURCES, "", " "])]
    batches = [plain, plain[::-1], [plain[0], Request(1, SOURCES[0], hypotheses=2)], plain[:2]]
    answers = [sorted(backend.translate(batch)) for batch in batches]
    for batch in batches[1:]:
        backend.expect(batch)
    for number in (0, 3, 1, 2, 1):  # another one first, out of order, one that was dropped, and one once more
        assert sorted(backend.translate(batches[number])) == answers[number]


def test_of_what_is_expected_and_never_asked_for_little_is_kept(backend: LlamaBackend) -> None:
    service = backend._service
    assert isinstance(service, OwnProcess)
    for number in range(5):
        backend.expect([Request(number, SOURCES[0])])
    assert len(service._expected) == 2
    answers = list(backend.translate([Request(9, SOURCES[0])]))
    assert [result.target for result in answers] == [tiny_model.PAIRS[0][1]]


def test_the_prompts_of_a_batch_are_made_while_another_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    here = started("no")
    service = here._service
    assert isinstance(service, Service)
    made: list[list[Request]] = []
    make, ready = service.prepare, threading.Event()

    def prepare(batch: Sequence[Request]) -> Prompts:
        made.append(list(batch))
        prompts = make(batch)
        ready.set()
        return prompts

    monkeypatch.setattr(service, "prepare", prepare)
    ours, theirs = multiprocessing.Pipe()
    post = _Post(theirs, service)
    first, second, dropped = ([Request(number, SOURCES[0])] for number in range(3))
    ours.send(_Batch(0, first, expected=False))
    ours.send(_Asked(0))
    ours.send(_Batch(1, second, expected=True))
    assert ready.wait(10) and made == [second]  # before anybody took the first one up
    ours.send(_Batch(2, dropped, expected=True))
    ours.send(_Left(2))
    ours.send(_Asked(1))
    for batch in (first, second):
        job = post.asked.get(timeout=10)
        assert isinstance(job, _Job) and job.batch.requests == batch
        _answer(theirs, service, job, post)
        results: list[Result] = []
        while not isinstance(message := ours.recv(), _Ended):
            results += message
        assert [result.target for result in results] == [tiny_model.PAIRS[0][1]]
        assert message.notes == service.notes
    assert made.count(second) == made.count(first) == 1
    ours.close()
    assert post.asked.get(timeout=10) is None
    here.stop()


def test_what_is_wrong_with_an_expected_batch_is_told_when_it_is_asked_for(backend: LlamaBackend) -> None:
    broken = [Request(0, SOURCES[0]), Request(1, "no character: \ud800")]
    backend.expect(broken)
    assert [result.target for result in backend.translate(broken[:1])] == [tiny_model.PAIRS[0][1]]
    with pytest.raises(Exception, match="TextEncodeInput"):
        list(backend.translate(broken))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_an_interrupt_while_a_batch_is_sent_leaves_nothing_to_wait_for() -> None:
    backend = started("yes")
    service, process = backend._service, process_of(backend)
    assert isinstance(service, OwnProcess)
    batch = [Request(number, "a text that fills the pipe " * 20) for number in range(20_000)]
    process.suspend()  # so that the pipe fills
    over = threading.Event()

    def interrupt() -> None:
        wait = 0.5
        while not over.wait(wait):  # once is not always enough: in a finaliser Python ignores the exception
            os.kill(os.getpid(), signal.SIGINT)
            wait = 30

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        backend.expect(batch)
    over.set()
    thread.join()
    process.resume()
    with pytest.raises(BackendError, match="ended by signal 15"):
        list(backend.translate(MANY[:10]))
    backend.stop()
    assert is_gone(process)


def test_what_the_process_takes_is_told() -> None:
    backend = LlamaBackend({**OPTIONS, "model": str(tiny_model.model()), "own-process": "yes"})
    meter = backend.meter("en", "es")
    assert meter.usage() == Usage()
    backend.start("en", "es")
    before = meter.usage()
    list(backend.translate(MANY[:100]))
    after = meter.usage()
    assert 0 < before.processor < after.processor
    assert 50e6 < before.resident <= after.resident and after.device is None
    backend.stop()


def test_an_error_of_a_batch_is_the_same_there_and_ends_that_batch_alone(backend: LlamaBackend) -> None:
    here = started("no")
    broken = [Request(0, SOURCES[0]), Request(1, "no character: \ud800")]
    errors = []
    for asked in (backend, here):
        with pytest.raises(Exception) as caught:
            list(asked.translate(broken))
        errors.append((type(caught.value), str(caught.value)))
        assert [result.target for result in asked.translate(broken[:1])] == [tiny_model.PAIRS[0][1]]
    assert errors[0] == errors[1]
    here.stop()


def test_an_error_of_loading_is_the_same_there() -> None:
    errors = []
    for where in ("yes", "no"):
        with pytest.raises(BackendError) as caught:
            LlamaBackend(
                {**OPTIONS, "model": str(tiny_model.model()), "attention": "triton", "own-process": where}
            ).start("en", "es")
        errors.append(str(caught.value))
    assert errors[0] == errors[1] and "triton" in errors[0]


def test_a_process_that_is_killed_is_named_and_what_to_try() -> None:
    backend = started("yes")
    results = backend.translate(MANY)
    first = next(results)
    process_of(backend).kill()
    with pytest.raises(BackendError, match=r"ended by signal 9\n.*own-process=no") as caught:
        list(results)
    assert isinstance(first, Result) and caught.value.exit_code == 3
    with pytest.raises(BackendError, match="ended by signal 9"):
        backend.expect(MANY)
    with pytest.raises(BackendError, match="ended by signal 9"):
        list(backend.translate(MANY))
    backend.stop()


def test_it_ends_when_it_is_stopped() -> None:
    backend = started("yes")
    process = process_of(backend)
    backend.stop()
    assert is_gone(process)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_process_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "starts.py"
    script.write_text(STARTS, encoding="utf-8")
    told = [sys.executable, str(script), str(tiny_model.model())]
    with subprocess.Popen(told, stdout=subprocess.PIPE, text=True, env=plugin_environment()) as parent:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(number)
    assert is_gone(process)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_ctrl_c_is_the_affair_of_the_run_alone(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = (f"{number},{SOURCES[number % len(SOURCES)]} {number}" for number in range(20_000))
    table.write_text("\n".join(["id,text", *rows]) + "\n", encoding="utf-8")
    told = [sys.executable, "-m", "batchtrans", "run", str(table), "--to", "es", "--column", "text"]
    told += ["--model", str(tiny_model.model()), "--device", "cpu", "-O", "engine=graph", "-O", "own-process=yes"]
    environment = plugin_environment()
    with subprocess.Popen(told, stderr=subprocess.PIPE, env=environment, text=True, start_new_session=True) as run:
        log = tmp_path / "table.es.csv.align.jsonl"
        while not (log.exists() and log.read_bytes().count(b"\n") > 40):
            assert run.poll() is None, run.stderr.read() if run.stderr else ""
            time.sleep(0.02)
        children = psutil.Process(run.pid).children()
        os.killpg(run.pid, signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130 and "Traceback" not in said, said
    assert all(is_gone(child) for child in children)


def is_gone(process: psutil.Process) -> bool:
    """Whether a process ends within some seconds; one that nobody has asked for its exit code has ended."""
    for _ in range(400):
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False
