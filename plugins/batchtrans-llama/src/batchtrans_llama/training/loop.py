"""The training loop: from rows to the adapter that translated the dev split best.

Short, and our own, because what matters is in its details: the output head is applied where a label is and nowhere
else, a step's loss is the mean over its supervised tokens however it was cut into micro-batches and spread over
processes, and what decides is text that the model generated, since the loss cannot see whether it learned to stop.
Devices, mixed precision, gradient scaling and several processes are accelerate's business.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import click
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list

from batchtrans import BatchtransError

from ..load import Loaded
from . import checkpoint
from .recipe import Recipe
from .rows import Row, epoch_batches, micro_batches
from .step import CompletionLoss, Stepper, make_batch

_LOG_STEPS = 10  #: steps between two readings of the loss, each of which waits for the device
_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


class Look(NamedTuple):
    """What a look at the dev split found: the score that decides (more is better) and what goes into metrics.jsonl."""

    score: float
    details: Mapping[str, float]


@dataclass(slots=True)
class Fitted:
    """How a training went. ``looks`` are pairs of step and score; ``best_step`` is whose weights the model has now.
    ``seconds`` are those of steps alone, without looks and checkpoints; ``peak_bytes`` is of GPU memory."""

    steps: int
    best_step: int
    looks: list[tuple[int, float]]
    seconds: float
    tokens: int
    peak_bytes: int
    why_ended: str


class Interrupted(Exception):
    """A signal came, and a checkpoint was saved after it. ``code`` is the exit code that the signal asks for."""

    def __init__(self, step: int, code: int) -> None:
        super().__init__(step)
        self.step = step
        self.code = code


def make_accelerator(device: str, dtype: str) -> Accelerator:
    """The processes and the precision of a training. Started by torchrun or ``accelerate launch``, each process takes
    the device of its rank; otherwise ``device`` (``cpu``, ``cuda:N``) is used.

    float16 takes GradScaler; bfloat16 and float32 need none.
    """
    if device.startswith("cuda:") and "LOCAL_RANK" not in os.environ:
        torch.cuda.set_device(device)
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision=_PRECISION[dtype],
        device_placement=False,
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )


def learning_rate(recipe: Recipe, width: int, step: int, total: int) -> float:
    """The rate of step 1 to ``total`` for a model of hidden size ``width``."""
    warm = math.ceil(recipe.warmup * total)
    highest = recipe.learning_rate(width)
    if step <= warm:
        return highest * step / warm
    passed = (step - 1 - warm) / max(1, total - warm)
    share = {"constant": 1.0, "linear": 1 - passed, "cosine": 0.5 * (1 + math.cos(math.pi * passed))}
    return highest * share[recipe.schedule]


@dataclass(slots=True)
class Training:
    """One training run: everything that stays the same while it goes on.

    ``work`` is the directory of checkpoints and metrics, ``look`` scores the model as it is (called in the main
    process, in evaluation mode), ``identity`` says which training this is.
    """

    loaded: Loaded
    rows: Sequence[Row]
    recipe: Recipe
    seed: int
    accelerator: Accelerator
    work: Path
    look: Callable[[], Look] | None
    identity: Mapping[str, Any]
    _loss: Any = field(init=False)
    _optimizer: Any = field(init=False)
    _prepared: Any = field(init=False)
    stepper: Stepper = field(init=False)
    _parameters: dict[str, Any] = field(init=False)
    _batches: tuple[int, list[list[int]]] = field(init=False, default=(-1, []))

    def __post_init__(self) -> None:
        model = self.loaded.model
        if self.recipe.checkpointing:
            # transformers 5.23 has a new name for it, and warns of the old one
            name = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
            enable = getattr(model, f"{name}_checkpointing_enable")
            enable(**{f"{name}_checkpointing_kwargs": {"use_reentrant": False}})
            model.enable_input_require_grads()
        self._parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._optimizer = torch.optim.AdamW(
            self._parameters.values(),
            weight_decay=self.recipe.weight_decay,
            fused=self.loaded.device.type == "cuda",
        )
        with warnings.catch_warnings():  # torch 2.13 has a new name for broadcast_buffers, and accelerate not yet
            warnings.simplefilter("ignore", FutureWarning)
            self._loss, self._prepared = self.accelerator.prepare(CompletionLoss(model), self._optimizer)
        on_cuda = self.loaded.device.type == "cuda"
        graphs = self.recipe.graphs and on_cuda and self.accelerator.num_processes == 1
        self.stepper = Stepper(self._loss, self.accelerator.backward, self.loaded.device, graphs)

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.rows) / self.recipe.batch)

    @property
    def total(self) -> int:
        """Optimiser steps of the whole training, if no early end comes."""
        wanted = math.ceil(self.recipe.epochs * self.steps_per_epoch)
        return max(1, min(wanted, self.recipe.steps or wanted))

    def fit(self, resume: bool) -> Fitted:
        """Train; the model then has the weights of the best look, or of the last step where there is no dev split. A
        checkpoint of the end is left, from which ``resume`` comes back here without a step.

        :raises Interrupted: on SIGINT or SIGTERM, after a checkpoint.
        :raises BatchtransError: if the loss is no number any more, or a checkpoint cannot be written.
        """
        state = self._restore() if resume else None
        run = _Run(self, state or checkpoint.State(0, {}))
        with _signals() as asked, _own_stream(self.loaded.device), run:
            if run.step == 0 and self.look is not None:
                run.take_look()
            while run.step < self.total and not run.why_ended:
                run.advance()
                if run.is_asked_to_stop(asked):
                    break
            run.save()  # at the end too: what comes after may take long, or fail
            if run.is_asked_to_stop(asked):
                raise Interrupted(run.step, run.stop_code)
        return run.finish()

    def batch(self, step: int) -> list[Row]:
        """The rows of a step (from 1), of all processes together."""
        epoch, index = divmod(step - 1, self.steps_per_epoch)
        if self._batches[0] != epoch:
            lengths = [len(row.ids) for row in self.rows]
            batches = epoch_batches(lengths, self.recipe.batch, self.recipe.bucketed, f"{self.seed} {epoch}")
            self._batches = (epoch, batches)
        return [self.rows[number] for number in self._batches[1][index]]

    def step(self, step: int) -> tuple[torch.Tensor, int]:
        """One optimiser step; the mean loss of this process's share times the number of processes, still on the
        device, and the tokens of all."""
        accelerator, recipe = self.accelerator, self.recipe
        batch = self.batch(step)
        supervised = sum(row.supervised for row in batch)
        mine = batch[accelerator.process_index :: accelerator.num_processes]
        # Gradients are averaged over processes, so each share is weighed by their number. A process that has no row of
        # a small last batch goes along with one that counts nothing: gradients must come from every one.
        weight = accelerator.num_processes / supervised if mine else 0.0
        torch.manual_seed(hash((self.seed, step, accelerator.process_index)) & 0x7FFF_FFFF)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(recipe, self.loaded.model.config.hidden_size, step, self.total)
        total = torch.zeros((), device=self.loaded.device)
        groups = micro_batches(mine or batch[:1], recipe.micro_tokens)
        for number, group in enumerate(groups, 1):
            inputs = make_batch(group, self.loaded.pad_id, size=len(groups[0]), rounded=self.stepper.graphs)
            with nullcontext() if number == len(groups) else accelerator.no_sync(self._loss):
                total += self.stepper.run(inputs, weight)
        accelerator.clip_grad_norm_(self._parameters.values(), recipe.clip or math.inf)
        self._prepared.step()
        self._prepared.zero_grad(set_to_none=not self.stepper.graphs)
        return total, sum(len(row.ids) for row in batch)

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the adapter's weights, on the CPU."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self._parameters.items()}

    def put(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Give the adapter these weights."""
        for name, value in self._parameters.items():
            value.data.copy_(weights[name])

    def tensors(self, best: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """All that a checkpoint must hold of this training, by prefixed name."""
        tensors = {f"adapter/{name}": value for name, value in self.weights().items()}
        tensors |= {f"best/{name}": value for name, value in best.items()}
        for name, parameter in self._parameters.items():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"{key}/{name}"] = value.detach().cpu()
        return tensors

    def _restore(self) -> checkpoint.State | None:
        state = checkpoint.load(self.work, self.identity)
        if state is None:
            return None
        named: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in state.tensors.items():
            kind, _, name = key.partition("/")
            named.setdefault(kind, {})[name] = value
        self.put(named.pop("adapter"))
        state.tensors = named.pop("best", {})
        for name, parameter in self._parameters.items():
            # The step count stays where AdamW keeps it: on the device if fused, else on the CPU.
            moments = {kind: values[name] for kind, values in named.items() if name in values}
            self._optimizer.state[parameter] = {kind: value.to(self.loaded.device) for kind, value in moments.items()}
        if self.accelerator.scaler is not None and state.scaler:
            self.accelerator.scaler.load_state_dict(dict(state.scaler))
        return state


class _Run:
    """What changes while a training goes on; also its metrics file and its progress bar."""

    def __init__(self, training: Training, state: checkpoint.State) -> None:
        self.training = training
        self.step = self._saved = state.step
        self.stop_code = 0
        self._best = dict(state.tensors)
        self._looks = [(int(step), score) for step, score in state.looks]
        self._seconds, self._tokens = state.seconds, state.tokens
        self._losses: list[torch.Tensor] = []
        self._since = time.monotonic()
        self._is_main = training.accelerator.is_main_process
        self._metrics = training.work / "metrics.jsonl"
        if self._is_main:
            training.work.mkdir(parents=True, exist_ok=True)
            with self._metrics.open("ab") as file:  # what a killed process wrote after its last checkpoint is not ours
                file.truncate(min(state.metrics, file.tell()))
        self._bar: Any = None

    def __enter__(self) -> _Run:
        if self._is_main and sys.stderr.isatty():
            from tqdm import tqdm

            total = self.training.total
            self._bar = tqdm(total=total, initial=self.step, unit=" steps", dynamic_ncols=True, file=sys.stderr)
        self.training.loaded.model.train()
        if self.training.loaded.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.training.loaded.device)
        return self

    def __exit__(self, *exception: Any) -> None:
        self.training.loaded.model.eval()
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        """One step, and what is due after it."""
        training, recipe = self.training, self.training.recipe
        self.step += 1
        loss, tokens = training.step(self.step)
        self._losses.append(loss)
        self._tokens += tokens
        last = self.step == training.total
        look_due = training.look is not None and (last or self._is_look_due())
        save_due = self.step % recipe.checkpoint == 0 and not last
        if self.step % _LOG_STEPS == 0 or look_due or save_due or last:
            self._flush()
        if look_due:
            self.take_look()
        if save_due:
            self.save()

    def _is_look_due(self) -> bool:
        every = self.training.steps_per_epoch / self.training.recipe.evaluations
        return int(self.step / every) > int((self.step - 1) / every)

    def _flush(self) -> None:
        """Read the losses off the device, look whether they are numbers, and write them down."""
        if not self._losses:
            return
        training = self.training
        mean = training.accelerator.reduce(torch.stack(self._losses).mean(), "mean").item()
        self._losses = []
        now = time.monotonic()
        self._seconds += now - self._since
        self._since = now
        if not math.isfinite(mean):
            raise BatchtransError(
                f"the loss is no number any more at step {self.step} of {training.total}",
                "Begin anew with a lower -O rate, or another -O dtype"
                + (" (--overwrite)." if checkpoint.exists(training.work) else "."),
            )
        rate = training._optimizer.param_groups[0]["lr"]
        speed = self._tokens / self._seconds
        self._write({"step": self.step, "loss": round(mean, 4), "rate": rate, "tokens": self._tokens,
                     "seconds": round(self._seconds, 3)})  # fmt: skip
        if self._bar is not None:
            self._bar.update(self.step - self._bar.n)
            self._bar.set_postfix_str(f"loss {mean:.3f}, {speed:,.0f} tokens/s")

    def take_look(self) -> None:
        """Score the model on the dev split; keep its weights if they are the best so far, end if patience is out."""
        training = self.training
        assert training.look is not None
        found: list[Any] = [None]
        if self._is_main:
            training.loaded.model.eval()
            look = training.look()
            training.loaded.model.train()
            self._write({"step": self.step, "dev": dict(look.details)})
            _say(f"step {self.step} of {training.total}: " + ", ".join(f"{k} {v:g}" for k, v in look.details.items()))
            found = [look.score]
        broadcast_object_list(found)
        if self.step and all(found[0] > score for step, score in self._looks if step):
            self._best = training.weights()
        self._looks.append((self.step, found[0]))
        self._since = time.monotonic()

    @property
    def why_ended(self) -> str:
        """That patience is out, in words; empty as long as it is not."""
        patience = self.training.recipe.patience
        trained = [score for step, score in self._looks if step]
        since_best = len(trained) - 1 - trained.index(max(trained)) if trained else 0
        return f"no gain on the dev split in {since_best} looks" if patience and since_best >= patience else ""

    def _best_look(self) -> tuple[int, float]:
        """The earliest of the highest looks after the first step; the look before it is only for comparison."""
        trained = [look for look in self._looks if look[0]] or self._looks
        return max(trained, key=lambda look: (look[1], -look[0]))

    def is_asked_to_stop(self, asked: list[int]) -> bool:
        """Whether a signal came, in any process: all must stop after the same step."""
        code = max(asked, default=0)
        if self.training.accelerator.num_processes > 1:
            flag = torch.tensor([code], device=self.training.accelerator.device)
            code = int(self.training.accelerator.gather(flag).max().item())
        self.stop_code = code
        return code > 0

    def save(self) -> None:
        """Write a checkpoint, unless there is one of this step."""
        if self.step == self._saved:
            return
        self._flush()
        training = self.training
        if self._is_main:
            scaler = training.accelerator.scaler
            state = checkpoint.State(
                self.step,
                training.tensors(self._best),
                scaler.state_dict() if scaler is not None else {},
                [list(look) for look in self._looks],
                self._metrics.stat().st_size,
                self._seconds,
                self._tokens,
            )
            checkpoint.save(training.work, state, training.identity)
        training.accelerator.wait_for_everyone()
        self._saved = self.step
        self._since = time.monotonic()

    def finish(self) -> Fitted:
        training = self.training
        if self._best:
            training.put(self._best)
        best_step = self._best_look()[0] if self._best else self.step
        device = training.loaded.device
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        why = self.why_ended or "all steps done"
        return Fitted(self.step, best_step, self._looks, self._seconds, self._tokens, peak, why)

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._is_main:
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


def _say(text: str) -> None:
    """A line on standard error, above a bar if there is one."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)
    else:
        click.echo(text, err=True)


@contextmanager
def _own_stream(device: Any) -> Iterator[None]:
    """On CUDA a stream of its own: what is captured as a graph must never have run on the default stream."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the exit codes of SIGINT and SIGTERM instead of dying; a second SIGINT is not waited for."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(128 + number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
