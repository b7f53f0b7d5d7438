"""The training loop: what is interrupted goes on, what is best is kept, what fails is said."""

from __future__ import annotations

import gc
import io
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tiny_model
import tiny_training
from batchtrans import BatchtransError, UsageError
from batchtrans_llama.data.read import Pair
from batchtrans_llama.prompt import PROMPT
from batchtrans_llama.training import checkpoint
from batchtrans_llama.training.recipe import DEFAULT, Recipe, with_options
from batchtrans_llama.training.rows import make_rows
from tiny_training import environment, files_no_larger_than, options, train

pytest.importorskip("accelerate")


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty directory with pairs."""
    monkeypatch.chdir(tmp_path)
    tiny_training.write_csv(tmp_path / "pairs.csv")


def recipe(**changes: Any) -> Recipe:
    """A short training whose every step can be told from the others: dropout is on, rows are many."""
    values = {"epochs": 100, "steps": 12, "batch": 8, "rate": 1e-2, "scaled_rate": "no", "evaluations": 0, **changes}
    return with_options(DEFAULT, {name.replace("_", "-"): str(value) for name, value in values.items()})


def training(work: Path, wanted: Recipe, look: Any = None, identity: Any = None, base: Path | None = None) -> Any:
    import torch
    from accelerate.state import AcceleratorState

    from batchtrans_llama.load import load_to_train
    from batchtrans_llama.training import loop

    AcceleratorState._reset_state(True)
    base = base or tiny_model.nf4_base()
    torch.manual_seed(1)
    loaded = load_to_train(base, None, wanted.lora(), wanted.quantisation, "cpu")
    pairs = [Pair(source, target) for source, target in tiny_training.PAIRS[:60]]
    rows = make_rows(loaded.tokenizer, pairs, ("en", "es"), PROMPT, 32, loaded.context, Counter())
    return loop.Training(loaded, rows, wanted, 1, loop.make_accelerator("cpu", "float32"), work, look, identity or {})


def metrics(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def losses(directory: Path) -> dict[int, float]:
    """The loss by step; no step may be there twice."""
    found = [(record["step"], record["loss"]) for record in metrics(directory) if "loss" in record]
    steps = [step for step, _ in found]
    assert steps == sorted(set(steps))
    return dict(found)


def weights(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(path)
    return found


def assert_close(one: dict[str, Any], other: dict[str, Any], atol: float = 1e-5) -> None:
    import torch

    assert one.keys() == other.keys() and one
    for name, value in one.items():
        assert torch.allclose(value, other[name], rtol=1e-4, atol=atol), name


# What is interrupted goes on


class PowerCut(Exception):
    """Ends a training in the middle of a step, as a killed process ends: nothing is saved, nothing is tidied up."""


class Rows(list[Any]):
    """Rows of which no more than ``left`` can be read."""

    left = 10**9

    def __getitem__(self, index: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise PowerCut
        return super().__getitem__(index)


@pytest.mark.parametrize(("rows", "saved"), [(39, 0), (44, 5), (68, 5), (80, 10), (91, 10)])
def test_a_training_that_ends_anywhere_goes_on_from_its_last_checkpoint(tmp_path: Path, rows: int, saved: int) -> None:
    """Looks, patience, dropout and the optimiser's moments are as if nothing had happened."""
    whole = training(tmp_path / "whole", recipe(evaluations=2, patience=3), looks(1.0, 5.0, 7.0, 6.0))
    fitted = whole.fit(False)
    assert (fitted.steps, fitted.best_step) == (12, 8)
    assert fitted.looks == [(0, 1.0), (4, 5.0), (8, 7.0), (12, 6.0)]

    wanted, work = recipe(evaluations=2, patience=3, checkpoint=5), tmp_path / "cut"
    first = training(work, wanted, looks(1.0, 5.0, 7.0, 6.0))
    first.rows = Rows(first.rows)
    first.rows.left = rows
    with pytest.raises(PowerCut):
        first.fit(False)
    assert [path.name for path in work.glob("*step*")] == ([f"step-{saved:08}"] if saved else [])
    again = looks(*(score for step, score in fitted.looks if step > saved or not saved))
    second = training(work, wanted, again)
    resumed = second.fit(bool(saved))
    assert (resumed.steps, resumed.best_step, resumed.looks) == (fitted.steps, fitted.best_step, fitted.looks)
    assert resumed.tokens == fitted.tokens
    assert_close(second.weights(), whole.weights())
    assert [record["dev"]["score"] for record in metrics(work) if "dev" in record] == [1.0, 5.0, 7.0, 6.0]
    assert losses(work)[12] == pytest.approx(losses(tmp_path / "whole")[12], rel=1e-4)


def test_a_training_that_was_done_comes_back_without_a_step(tmp_path: Path) -> None:
    """Whatever failed after its last step, or after patience ran out, nothing is trained again."""
    for steps, scores, patience in ((4, (1.0, 2.0, 3.0, 1.0), 0), (12, (1.0, 2.0, 1.5, 1.9), 2)):
        work, wanted = tmp_path / str(steps), recipe(evaluations=4, patience=patience, steps=steps, checkpoint=3)
        done = training(work, wanted, looks(*scores))
        fitted = done.fit(False)
        written = (work / "metrics.jsonl").read_bytes()
        again = training(work, wanted, looks())
        again.rows = Rows(again.rows)
        again.rows.left = 0
        assert again.fit(True) == fitted
        assert_close(again.weights(), done.weights(), atol=0)
        assert (work / "metrics.jsonl").read_bytes() == written


def looks(*scores: float) -> Callable[[], Any]:
    """Looks at the dev split that find these scores, and no more of them."""
    from batchtrans_llama.training.loop import Look

    found = iter(scores)

    def look() -> Look:
        score = next(found)
        return Look(score, {"score": score})

    return look


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_after_the_step_with_a_checkpoint(tmp_path: Path, number: int, code: int) -> None:
    from batchtrans_llama.training import loop

    def raise_it() -> loop.Look:
        os.kill(os.getpid(), number)
        return loop.Look(1.0, {"score": 1.0})

    before = signal.getsignal(number)
    stopped = training(tmp_path, recipe(evaluations=2), raise_it)
    with pytest.raises(loop.Interrupted) as caught:
        stopped.fit(False)
    assert (caught.value.step, caught.value.code) == (1, code)  # it came before the first step
    assert checkpoint.exists(tmp_path) and signal.getsignal(number) is before


def test_a_second_interrupt_is_not_waited_for(tmp_path: Path) -> None:
    def twice() -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        training(tmp_path, recipe(evaluations=2), twice).fit(False)
    assert not checkpoint.exists(tmp_path)


# The best is kept, and patience ends


def test_the_weights_of_the_best_look_are_kept(tmp_path: Path) -> None:
    import torch

    seen: list[dict[str, Any]] = []
    whole = training(tmp_path / "a", recipe(evaluations=2))

    def look() -> Any:
        seen.append(whole.weights())
        return looks(3.0 if len(seen) == 2 else 1.0)()

    whole.look = look
    fitted = whole.fit(False)
    assert (fitted.best_step, fitted.steps, len(seen)) == (4, 12, 4)
    assert_close(whole.weights(), seen[1], atol=0)
    assert not all(torch.equal(value, seen[3][name]) for name, value in whole.weights().items())
    assert not whole.loaded.model.training


@pytest.mark.parametrize(
    ("scores", "patience", "steps", "best"),
    [
        ([9.0, 1.0, 0.5, 0.7], 2, 12, 4),  # what the base had before is no gain of the training
        ([0.0, 1.0, 1.0], 1, 8, 4),  # the earliest of equal ones
        ([0.0, 1.0, 0.5, 2.0], 2, 12, 12),
        ([0.0, 1.0, 0.5, 0.5], 0, 12, 4),
    ],
)
def test_patience_counts_looks_without_gain(
    tmp_path: Path, scores: list[float], patience: int, steps: int, best: int
) -> None:
    fitted = training(tmp_path, recipe(evaluations=2, patience=patience), looks(*scores)).fit(False)
    assert (fitted.steps, fitted.best_step) == (steps, best)
    assert fitted.looks == list(zip(range(0, steps + 1, 4), scores, strict=True))
    ended = steps < 12 or (patience == 2 and best == 4)
    assert fitted.why_ended == (f"no gain on the dev split in {patience} looks" if ended else "all steps done")


def test_without_looks_the_last_step_counts(tmp_path: Path) -> None:
    done = training(tmp_path, recipe(steps=25))
    fitted = done.fit(False)
    assert (fitted.steps, fitted.best_step, fitted.looks, fitted.why_ended) == (25, 25, [], "all steps done")
    assert list(losses(tmp_path)) == [10, 20, 25]
    record = metrics(tmp_path)[-1]
    assert set(record) == {"step", "loss", "rate", "tokens", "seconds"}
    assert record["tokens"] == fitted.tokens == sum(len(row.ids) for step in range(1, 26) for row in done.batch(step))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_shows_loss_and_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    training(tmp_path, recipe(evaluations=2), looks(1.0, 2.0, 3.0, 4.0)).fit(False)
    bar = terminal.getvalue().replace("\r", "\n").splitlines()[-1]
    assert re.search(r"100%\|.*\| 12/12 \[\S+<\S+, .*steps.*loss \d+\.\d{3}, [\d,]+ tokens/s\]", bar), bar
    assert "step 8 of 12: score 3\n" in terminal.getvalue()


@pytest.mark.parametrize(
    ("changes", "total"),
    [({"epochs": 2, "steps": 0}, 16), ({"epochs": 0.5, "steps": 0}, 4), ({"epochs": 3, "steps": 20}, 20),
     ({"epochs": 1, "steps": 20}, 8), ({"epochs": 0, "steps": 0}, 1)],
)  # fmt: skip
def test_epochs_and_steps_bound_the_training(tmp_path: Path, changes: dict[str, Any], total: int) -> None:
    assert training(tmp_path, recipe(**changes)).total == total


# Checkpoints, and a loss that is none


def test_a_checkpoint_that_is_damaged_is_said(tmp_path: Path) -> None:
    state = checkpoint.State(3, {}, looks=[[0, 1.0]], metrics=7, seconds=1.5, tokens=9)
    checkpoint.save(tmp_path, state, {"seed": 1})
    assert checkpoint.load(tmp_path, {"seed": 1}) == state
    for name in ("state.safetensors", "state.json"):
        path = tmp_path / "step-00000003" / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(BatchtransError, match="cannot be read") as caught:
            checkpoint.load(tmp_path, {"seed": 1})
        assert caught.value.hint == "Begin anew with --overwrite." and not isinstance(caught.value, UsageError)
        path.write_bytes(content)


def test_what_differs_from_the_training_that_was_begun_is_named(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, checkpoint.State(1, {}), {"recipe": {"r": 8, "rate": 1.0}, "seed": 1, "base": "x"})
    with pytest.raises(UsageError, match="Go on with the options and files of then") as caught:
        checkpoint.load(tmp_path, {"recipe": {"r": 8, "rate": 2.0}, "seed": 2, "base": "x"})
    assert caught.value.what.endswith("holds a training that was begun otherwise: recipe (rate), seed")


def test_a_new_checkpoint_replaces_the_old_one_and_what_a_killed_process_left(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, checkpoint.State(1, {}), {})
    (tmp_path / ".step-00000002.tmp").mkdir()
    (tmp_path / ".step-00000002.tmp" / "state.json").write_text("half written")
    (tmp_path / "step-00000000").mkdir()
    (tmp_path / "step-00000000" / "state.safetensors").write_text("half removed")
    checkpoint.save(tmp_path, checkpoint.State(2, {}), {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


def test_a_base_with_a_weight_that_is_no_number_is_said(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    base = tiny_model.copy_of(tiny_model.full_base(), "infinite")
    tensors = load_file(base / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"][3, 5] = torch.inf
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    broken = training(tmp_path, recipe(quantisation="none"), base=base)
    with pytest.raises(BatchtransError, match="the loss is no number any more at step 10 of 12") as caught:
        broken.fit(False)
    assert caught.value.hint == "Begin anew with a lower -O rate, or another -O dtype."
    assert not checkpoint.exists(tmp_path) and (tmp_path / "metrics.jsonl").read_text() == ""


# The real command line


def test_a_loss_that_is_no_number_leaves_no_adapter(there: None) -> None:
    done = train("pairs.csv", "-o", "out", *options(rate="1e30", checkpoint=1))
    assert done.code == 1 and not Path("out").exists()
    assert "error: the loss is no number any more at step 2 of 12" in done.said
    assert "Begin anew with a lower -O rate, or another -O dtype (--overwrite)." in done.said


@contextmanager
def once(path: str, act: Callable[[], object]) -> Iterator[None]:
    """Do something as soon as a file is there."""
    done = threading.Event()

    def watch() -> None:
        while not Path(path).exists() and not done.wait(0.001):
            pass
        if Path(path).exists():
            act()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_full_disk_loses_no_step_that_was_saved(there: None) -> None:
    """The second checkpoint is larger than the first, since there is a best look by then, and does not fit."""
    Path("more.csv").write_text("en,es\n" + Path("pairs.csv").read_text(), encoding="utf-8")
    wanted = options(checkpoint=2, evaluations=3.5)
    with files_no_larger_than(500_000):
        full = train("pairs.csv", "-o", "out", "--test", "20", *wanted)
    assert full.code == 1 and "out.training: the checkpoint cannot be written: " in full.said
    assert "MiB are free there)\n  Make room, then go on with --resume." in full.said
    assert sorted(os.listdir("out.training")) == ["metrics.jsonl", "step-00000002"] and not Path("out").exists()

    for arguments, differs in (
        (["pairs.csv", *options(checkpoint=2, evaluations=3.5, rate=2e-3)], "recipe (rate)"),
        (["pairs.csv", *wanted, "--seed", "2"], "pairs, seed"),
        (["more.csv", *wanted], "pairs"),
    ):
        other = train(*arguments, "-o", "out", "--test", "20", "--resume")
        assert other.code == 2 and f"holds a training that was begun otherwise: {differs}\n" in other.said
    none = train("pairs.csv", "-o", "new", *wanted, "--resume")
    assert none.code == 2 and "there is no training to go on with: new.training holds no checkpoint" in none.said

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    small = (6_000, limit[1])
    with once(".out.tmp/adapter_model.safetensors", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, small)):
        full = train("pairs.csv", "-o", "out", "--test", "20", *wanted, "--resume")
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert full.code == 1 and "error: out cannot be written: [Errno 27] File too large" in full.said
    assert "  Make room, then go on with --resume." in full.said
    with files_no_larger_than(100_000):
        full = train("pairs.csv", "-o", "out", "--test", "20", *wanted, "--resume")
    assert full.code == 1 and ".out.tmp: the adapter cannot be written: " in full.said
    assert sorted(os.listdir(".")) == ["more.csv", "out.training", "pairs.csv"]
    assert checkpoint.exists(Path("out.training"))

    done = train("pairs.csv", "-o", "out", "--test", "20", *wanted, "--resume")
    assert done.code in (0, 1) and "\nstep " not in done.said and not Path("out.training").exists()
    assert list(losses(Path("out"))) == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_after_the_training_leaves_what_resume_needs(there: None, number: int, code: int) -> None:
    callbacks, gc.callbacks[:] = gc.callbacks[:], []  # hypothesis', in which an exception is only printed
    try:
        with once(".out.tmp/batchtrans.json", lambda: os.kill(os.getpid(), number)):
            stopped = train("pairs.csv", "-o", "out", *options(steps=3))
    finally:
        gc.callbacks[:] = callbacks
    assert stopped.code == code and stopped.out == ""
    assert ("interrupted; --resume goes on from the last checkpoint" in stopped.said) == (code == 130)
    assert sorted(os.listdir(".")) == ["out.training", "pairs.csv"]
    assert sorted(os.listdir("out.training")) == ["metrics.jsonl", "step-00000003"]


def test_what_is_there_is_replaced_only_when_asked(there: None) -> None:
    Path("out").mkdir()
    Path("out", "mine.txt").write_text("mine")
    refused = train("pairs.csv", "-o", "out", *options())
    assert refused.code == 2 and "out is there already\n  Name another directory with -o" in refused.said
    done = train("pairs.csv", "-o", "out", *options(steps=2), "--overwrite")
    assert done.code in (0, 1) and Path("out~/mine.txt").read_text() == "mine"
    assert "mine.txt" not in os.listdir("out") and Path("out/batchtrans.json").is_file()
    Path("out.training/step-00000001").mkdir(parents=True)
    Path("out.training/step-00000001/state.json").write_text("{}")
    again = train("pairs.csv", "-o", "out", *options(steps=1), "--overwrite")
    assert again.code in (0, 1) and not Path("out.training").exists()
    assert sorted(os.listdir(".")) == ["out", "out~", "pairs.csv"]


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    """Python with these arguments in a process of its own, in the present directory."""
    command = [sys.executable, *map(str, arguments)]
    with open("said", "wb") as said, open("printed", "wb") as printed:
        return subprocess.Popen(command, stdout=printed, stderr=said, env=environment())


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < until, Path("said").read_text()
        time.sleep(0.01)


def saved() -> int:
    """The step of the last checkpoint in ``out.training``."""
    return max((int(path.name[5:]) for path in Path("out.training").glob("step-*")), default=0)


def test_killed_and_interrupted_it_ends_as_if_left_alone(there: None) -> None:
    import torch

    base = tiny_model.nf4_base()
    wanted = options(steps=150, batch=16, checkpoint=5, rate=2e-3, dropout=0.1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = train("pairs.csv", "-o", "alone", "--test", "20", *wanted)
    finally:
        torch.set_num_threads(threads)
    command = ["train", "pairs.csv", "--to", "es", "--device", "cpu", "--base", base, "-o", "out", "--test", "20",
               *wanted]  # fmt: skip

    process = start("-m", "batchtrans", *command)
    wait_until(lambda: saved() >= 5, process)
    time.sleep(random.uniform(0, 0.3))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    before = saved()
    refused = train("pairs.csv", "-o", "out", "--test", "20", *wanted)
    assert refused.code == 2 and "out.training holds a training that was not finished" in refused.said
    assert "Go on with it by --resume, or begin anew with --overwrite." in refused.said

    process = start("-m", "batchtrans", *command, "--resume")
    wait_until(lambda: saved() > before, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    said = Path("said").read_text()
    assert f"interrupted: saved at step {saved()} of 150; --resume goes on from there" in said
    assert "Traceback" not in said and "Warning" not in said
    assert 10 <= saved() < 150 and not Path("out").exists()
    assert losses(Path("out.training"))

    process = start("-m", "batchtrans", *command, "--resume")
    assert process.wait(120) == alone.code, Path("said").read_text()
    assert Path("printed").read_text().splitlines()[-1] == alone.out.splitlines()[-1]
    assert not Path("out.training").exists()
    assert_close(weights(Path("out/adapter_model.safetensors")), weights(Path("alone/adapter_model.safetensors")))
    one, other = losses(Path("out")), losses(Path("alone"))
    assert max(one) == max(other) == 150 and one[150] == pytest.approx(other[150], rel=1e-4)
    cards = [json.loads(Path(name, "batchtrans.json").read_text()) for name in ("out", "alone")]
    assert cards[0]["training"]["tokens"] == cards[1]["training"]["tokens"]
    assert cards[0]["scores"]["systems"][0]["trimmed"] == cards[1]["scores"]["systems"][0]["trimmed"]


# Two processes

TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2")
FIT = """
import sys
from pathlib import Path
from safetensors.torch import save_file
sys.path.insert(0, {tests!r})
import test_train_loop
base, work = Path(sys.argv[1]), Path(sys.argv[2])
done = test_train_loop.training(work, test_train_loop.even(17), base=base)
done.fit(False)
save_file(done.weights(), work / f"rank{{done.accelerator.process_index}}.safetensors")
"""


def even(steps: int) -> Recipe:
    """Without dropout, which each process draws for itself. Of 60 rows in batches of 59 every second step has one."""
    return recipe(steps=steps, dropout=0.0, rate=2e-3, schedule="constant", warmup=0.0, batch=59)


def test_two_processes_train_one_adapter_and_one_process_goes_on_with_it(tmp_path: Path, there: None) -> None:
    alone = training(tmp_path / "alone", even(25))
    alone.fit(False)
    (tmp_path / "fit.py").write_text(FIT.format(tests=str(Path(__file__).parent)))
    process = start(*TORCHRUN, "fit.py", tiny_model.nf4_base(), "both")
    assert process.wait(120) == 0, Path("said").read_text()
    ranks = [weights(tmp_path / "both" / f"rank{rank}.safetensors") for rank in (0, 1)]
    assert_close(ranks[0], ranks[1], atol=0)
    assert losses(tmp_path / "both")[10] == pytest.approx(losses(tmp_path / "alone")[10], rel=1e-4)
    again = training(tmp_path / "both", even(25))
    again.fit(True)
    assert_close(again.weights(), alone.weights(), atol=1e-4)
    assert list(losses(tmp_path / "both")) == [10, 17, 20, 25]


def test_a_signal_to_one_process_stops_both(there: None) -> None:
    import psutil

    base = tiny_model.nf4_base()
    wanted = ["-o", "out", "--test", "20", *options(steps=400, checkpoint=5, rate=1e-3, dropout=0)]
    process = start(*TORCHRUN, "-m", "batchtrans", "train", "pairs.csv", "--to", "es", "--device", "cpu",
                    "--base", base, *wanted)  # fmt: skip
    wait_until(lambda: saved() >= 5, process)
    workers = psutil.Process(process.pid).children()
    (second,) = (worker for worker in workers if worker.environ()["RANK"] == "1")
    second.send_signal(signal.SIGINT)
    process.wait(60)
    assert not any(worker.is_running() for worker in workers)
    said = Path("said").read_text()
    step = saved()
    assert said.count(f"interrupted: saved at step {step} of 400; --resume goes on from there") == 1
    assert said.count("pairs: 150 read") == 1
    # The launcher ends the other process, which is on its way out too, as soon as it sees the first one go.
    first = re.search(r"Root Cause.*?exitcode *: (-?\d+)", said, re.DOTALL)
    assert first and first[1] == "130"
    assert sorted(os.listdir("out.training")) == ["metrics.jsonl", f"step-{step:08}"]
