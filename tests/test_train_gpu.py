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
    from accelerate.state import AcceleratorState

    from batchtrans_llama.data.read import Pair
    from batchtrans_llama.load import load_to_train
    from batchtrans_llama.prompt import PROMPT
    from batchtrans_llama.training import loop
    from batchtrans_llama.training.recipe import DEFAULT
    from batchtrans_llama.training.rows import make_rows

    AcceleratorState._reset_state(True)
    recipe = replace(DEFAULT, epochs=1000, steps=30, batch=6, evaluations=0, rate=1e-2, scaled_rate=False, **changes)
    loaded = load_to_train(tiny_model.nf4_base(), None, recipe.lora(), "nf4", "cuda:0", dtype, quant)
    pairs = [Pair(source, target) for source, target in tiny_model.PAIRS]
    rows = make_rows(loaded.tokenizer, pairs, ("en", "es"), PROMPT, 32, loaded.context, Counter())
    training = loop.Training(loaded, rows, recipe, 1, loop.make_accelerator("cuda:0", dtype), work, None, {})
    fitted = training.fit(False)
    records = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
    return fitted, [record["loss"] for record in records], training


def test_replayed_steps_learn_what_plain_steps_learn(tmp_path: Path) -> None:
    import torch

    _, plain, one = fit(tmp_path / "plain", graphs=False, dropout=0.0, micro_tokens=100)
    _, replayed, other = fit(tmp_path / "replayed", dropout=0.0, micro_tokens=100)
    assert not other.stepper.note and other.stepper.graphs
    assert other.stepper._captured
    assert replayed == pytest.approx(plain, rel=1e-3)
    for name, value in one.weights().items():
        assert torch.allclose(value, other.weights()[name], atol=2e-3), name


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
