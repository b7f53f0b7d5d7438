"""Random LLaMA models of many shapes and requests for them, to hold one decode engine against another.

The weights are drawn so wide that the best token leads by far: what two engines add up in another order then hardly
ever changes it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import tiny_model
from batchtrans_llama.load import Loaded
from batchtrans_llama.rules import Decoded

_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
#: What each shape has beside the tiny model's own values (4 query heads, 2 key heads, head_dim 16, tied head).
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "mha": {"num_key_value_heads": 4},
    "mqa": {"num_key_value_heads": 1},
    "head_dim 64": {"head_dim": 64},
    "head_dim 128, untied": {"head_dim": 128, "num_attention_heads": 2, "tie_word_embeddings": False},
    "llama3 rope": {"rope_parameters": _LLAMA3},
    "biases": {"attention_bias": True, "mlp_bias": True, "num_hidden_layers": 1},
}


class Requests(NamedTuple):
    """Prompts and their length caps."""

    prompts: list[list[int]]
    caps: list[int]


@cache
def tokenizer() -> Any:
    return tiny_model.build_tokenizer()


def random_model(shape: str = "plain", device: str = "cpu", dtype: str = "float32", **loaded: Any) -> Loaded:
    """A model of one of the SHAPES with random weights, the same ones each time."""
    import torch
    from transformers import GenerationConfig, LlamaForCausalLM

    config = tiny_model.tiny_config(tokenizer(), **{"initializer_range": 0.3, **SHAPES[shape]})
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.2)
    model.generation_config = GenerationConfig()  # as load() leaves it
    model.to(device=device, dtype=getattr(torch, dtype))
    values = {
        "quant": "none",
        "weights": "full",
        "eos_ids": frozenset({tokenizer().eos_token_id}),
        "pad_id": tokenizer().pad_token_id,
        "context": config.max_position_embeddings,
        "vocab_size": config.vocab_size,
        "notes": [],
    }
    return Loaded(model, tokenizer(), torch.device(device), dtype, **{**values, **loaded})


def requests(
    count: int, seed: int = 0, prefix: int = 9, longest: int = 40, cap: int = 40, vocabulary: int = 0
) -> Requests:
    """Random prompts of 1 to ``longest`` tokens behind a common prefix, with caps of 1 to ``cap`` tokens. Some hold
    mask characters."""
    chooser = random.Random(seed)
    size = vocabulary or len(tokenizer())
    common = [chooser.randrange(size) for _ in range(prefix)]
    prompts = [common + [chooser.randrange(size) for _ in range(chooser.randint(1, longest))] for _ in range(count)]
    return Requests(prompts, [chooser.randint(1, cap) for _ in prompts])


def differences(ours: Sequence[Decoded], theirs: Sequence[Decoded], tolerance: float = 1e-3) -> list[int]:
    """Where two engines' answers differ in a token, the stop, or by more than the tolerance in a log-probability."""
    assert len(ours) == len(theirs)
    return [
        index
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True))
        if (one.ids, one.stop, len(one.logprobs)) != (other.ids, other.stop, len(other.logprobs))
        or any(abs(a - b) > tolerance for a, b in zip(one.logprobs, other.logprobs, strict=True))
    ]
