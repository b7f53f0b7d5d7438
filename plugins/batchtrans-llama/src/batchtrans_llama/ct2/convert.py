"""A LLaMA checkpoint as CTranslate2 stores one: the same tensors under other names, in 8 bits by row or in float32.

CTranslate2's own converter goes through transformers and torch. Its specification of a decoder takes numpy arrays as
well, and that is all that is used of it here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

#: Counted up when what is written changes, so that models converted before are not used any more.
VERSION = 1
_ROPES = ("default", "linear", "llama3")


class Tensors(Protocol):
    """Float32 tensors by the names that transformers gives them."""

    def __contains__(self, name: str) -> bool: ...

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]: ...


def unfit(config: Mapping[str, Any]) -> str:
    """Why CTranslate2 cannot run a model of this config.json; empty where it can."""
    if config.get("model_type") != "llama":
        return f"it is of the type {config.get('model_type')}, not llama"
    if (activation := config.get("hidden_act", "silu")) != "silu":
        return f"its activation is {activation}"
    if (kind := _rope(config)[0]) not in _ROPES:
        return f"its positions are scaled by {kind}"
    return ""


def convert(config: Mapping[str, Any], tensors: Tensors, directory: Path, dtype: str) -> None:
    """Write the model of a config.json and its merged tensors into an empty directory, in ``int8`` or ``float32``.

    The vocabulary is the token ids as numbers: texts are made into tokens elsewhere.
    """
    import ctranslate2
    import numpy as np

    heads, key_heads = config["num_attention_heads"], config.get("num_key_value_heads")
    specs = ctranslate2.specs
    scales = np.array(_slowdown(config), dtype=np.float32)
    model = specs.TransformerDecoderModelSpec.from_config(
        config["num_hidden_layers"],
        heads,
        activation=specs.Activation.SWISH,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,  # all of a head
        rotary_interleave=False,
        rotary_base=_rope(config)[1],
        # A factor for each frequency of its own: "Su" is the one scaling that takes them as they are.
        rotary_scaling_type=specs.attention_spec.RotaryScalingType.Su,
        num_heads_kv=None if key_heads in (None, heads) else key_heads,
        head_dim=_head_dim(config),
    )
    writer = _Writer(tensors, dtype)
    decoder = model.decoder
    decoder.scale_embeddings = False
    decoder.layer_norm.gamma = tensors["model.norm.weight"]
    writer.put(decoder.embeddings, ["model.embed_tokens"])
    tied = bool(config.get("tie_word_embeddings")) or "lm_head.weight" not in tensors
    writer.put(decoder.projection, ["model.embed_tokens" if tied else "lm_head"])
    for number, layer in enumerate(decoder.layer):
        _put_layer(writer, layer, f"model.layers.{number}.")
        layer.self_attention.rotary_scaling_long_factor = scales
        layer.self_attention.rotary_scaling_short_factor = scales
    model.register_vocabulary([str(number) for number in range(config["vocab_size"])])
    model.config.unk_token = model.config.bos_token = model.config.eos_token = "0"  # never asked for
    model.config.layer_norm_epsilon = config.get("rms_norm_eps", 1e-6)
    model.validate()
    model.optimize()  # tensors that are equal are stored once
    model.save(str(directory))


class _Writer:
    """Puts tensors into a specification, in 8 bits where it has a place for their scales."""

    def __init__(self, tensors: Tensors, dtype: str) -> None:
        self.tensors = tensors
        self._quantise = dtype == "int8"

    def put(self, spec: Any, names: Sequence[str]) -> None:
        """The weights of some linear layers as one, their outputs side by side, and their biases if they have any."""
        import numpy as np

        weight = np.concatenate([self.tensors[f"{name}.weight"] for name in names])
        spec.weight, scales = quantise(weight) if self._quantise else (weight, None)
        if scales is not None:
            spec.weight_scale = scales
        if f"{names[0]}.bias" in self.tensors:
            spec.bias = np.concatenate([self.tensors[f"{name}.bias"] for name in names])


def _put_layer(writer: _Writer, layer: Any, scope: str) -> None:
    attention, mlp = scope + "self_attn.", scope + "mlp."
    layer.self_attention.layer_norm.gamma = writer.tensors[scope + "input_layernorm.weight"]
    layer.ffn.layer_norm.gamma = writer.tensors[scope + "post_attention_layernorm.weight"]
    writer.put(layer.self_attention.linear[0], [attention + name for name in ("q_proj", "k_proj", "v_proj")])
    writer.put(layer.self_attention.linear[1], [attention + "o_proj"])
    writer.put(layer.ffn.linear_0, [mlp + "gate_proj"])
    writer.put(layer.ffn.linear_0_noact, [mlp + "up_proj"])
    writer.put(layer.ffn.linear_1, [mlp + "down_proj"])


def quantise(weight: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A matrix [rows, columns] in 8 bits, and the scale of each row, by which it was multiplied."""
    import numpy as np

    largest = np.abs(weight).max(axis=1)
    scales = (127 / np.where(largest == 0, 127, largest)).astype(np.float32)
    return np.rint(weight * scales[:, None]).astype(np.int8), scales


def _head_dim(config: Mapping[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _rope(config: Mapping[str, Any]) -> tuple[str, float, Mapping[str, Any]]:
    """The kind of position scaling, the base of the frequencies, and the parameters: transformers writes them into one
    field since its version 5, into two before."""
    parameters = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = parameters.get("rope_type") or parameters.get("type") or "default"
    base = parameters.get("rope_theta") or config.get("rope_theta") or 10000.0
    return kind, float(base), parameters


def _slowdown(config: Mapping[str, Any]) -> list[float]:
    """By how much each frequency of the positions is divided: for ``llama3`` the short waves not at all, the long ones
    by the factor, those between by something between (as in transformers' modeling_rope_utils.py)."""
    kind, base, parameters = _rope(config)
    size = _head_dim(config)
    if kind == "default":
        return [1.0] * (size // 2)
    factor = float(parameters["factor"])
    if kind == "linear":
        return [factor] * (size // 2)
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    waves = parameters["original_max_position_embeddings"]
    slowdown = []
    for number in range(0, size, 2):
        turns = waves * base ** (-number / size) / (2 * math.pi)  # within the context that was trained first
        share = min(1.0, max(0.0, (turns - low) / (high - low)))
        slowdown.append(1 / (share + (1 - share) / factor))
    return slowdown
