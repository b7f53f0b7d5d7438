"""Training on a CUDA device: steps as CUDA graphs, the types that cards compute in, 4-bit weights in memory."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tiny_model

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


def fit(work: Path, dtype: str = "float32", quant: str = "none", **changes: Any) -> tuple[Any, list[float], Any]:
    """Thirty steps on the tiny model's pairs: what came out, the losses, and the training."""
    import torch
    from accelerate.state import AcceleratorState

    from batchtrans_llama.data.read import Pair
    from batchtrans_llama.load import load_to_train
    from batchtrans_llama.prompt import PROMPT
    from batchtrans_llama.training import loop
    from batchtrans_llama.training.recipe import DEFAULT
    from batchtrans_llama.training.rows import make_rows

    AcceleratorState._reset_state(True)
    torch.manual_seed(0)  # of the new adapter's weights
    settings = {"epochs": 1000, "steps": 30, "batch": 6, "evaluations": 0, "rate": 1e-2, "scaled_rate": False}
    recipe = replace(DEFAULT, **{**settings, **changes})
    loaded = load_to_train(tiny_model.nf4_base(), None, recipe.lora(), "nf4", "cuda:0", dtype, quant)
    pairs = [Pair(source, target) for source, target in tiny_model.PAIRS]
    rows = make_rows(loaded.tokenizer, pairs, ("en", "es"), PROMPT, 32, loaded.context, Counter())
    training = loop.Training(loaded, rows, recipe, 1, loop.make_accelerator("cuda:0", dtype), work, None, {})
    fitted = training.fit(False)
    records = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
    return fitted, [record["loss"] for record in records], training


def test_a_replayed_step_has_the_gradients_of_a_plain_one(tmp_path: Path) -> None:
    import torch

    from batchtrans_llama.training.step import make_batch

    _, _, plain = fit(tmp_path / "plain", graphs=False, dropout=0.0, steps=3)
    _, _, replayed = fit(tmp_path / "replayed", dropout=0.0, steps=3)
    batches = [make_batch(plain.batch(1)[:count], 0, size=6, rounded=True) for count in (6, 2, 5, 6, 3)]
    with torch.cuda.stream(torch.cuda.Stream()):
        replayed.put(plain.weights())
        for batch in batches:
            losses, gradients = [], []
            for training in (plain, replayed):
                training.loaded.model.train()
                training._optimizer.zero_grad(set_to_none=False)
                losses.append(training.stepper.run(batch, 0.5).item())
                gradients.append({name: value.grad.clone() for name, value in training._parameters.items()})
            assert losses[0] == pytest.approx(losses[1], rel=1e-5)
            for name, expected in gradients[0].items():
                assert (gradients[1][name] - expected).norm() <= 1e-4 * expected.norm() + 1e-9, name
    assert replayed.stepper.graphs and not replayed.stepper.note
    assert replayed.stepper._captured


def test_replayed_steps_learn_what_plain_steps_learn(tmp_path: Path) -> None:
    _, plain, _ = fit(tmp_path / "plain", graphs=False, dropout=0.0, micro_tokens=100, rate=1e-3)
    _, replayed, _ = fit(tmp_path / "replayed", dropout=0.0, micro_tokens=100, rate=1e-3)
    assert replayed == pytest.approx(plain, rel=5e-3)


def test_dropout_is_drawn_anew_in_every_replay(tmp_path: Path) -> None:
    import torch

    _, _, training = fit(tmp_path, dropout=0.5)
    batch = training.batch(1)
    from batchtrans_llama.training.step import make_batch

    inputs = make_batch(batch, training.loaded.pad_id, size=len(batch), rounded=True)
    training.loaded.model.train()
    with torch.cuda.stream(torch.cuda.Stream()):
        losses = []
        for seed in (1, 2, 1):
            torch.manual_seed(seed)
            losses.append(training.stepper.run(inputs, 1.0).item())
    assert losses[0] == pytest.approx(losses[2]) and losses[0] != pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("quant", ["none", "nf4"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_types_train_with_float32_adapters(tmp_path: Path, dtype: str, quant: str) -> None:
    import torch

    fitted, losses, training = fit(tmp_path, dtype, quant)
    assert losses[-1] < 0.8 * losses[0]
    assert (training.accelerator.scaler is not None) == (dtype == "float16")
    assert {value.dtype for value in training._parameters.values()} == {torch.float32}
    assert fitted.peak_bytes > 0 and not training.stepper.note
