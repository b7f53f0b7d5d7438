"""A LlamaForCausalLM over flat tokens: token i of a step belongs to slot ``slots[i]`` and stands at ``positions[i]``.

Shapes: t tokens, D numbers a head, H query heads, KV key heads of which each serves G = H / KV query heads. The cache
is [2 (keys, values), layers, slots, KV, length, D].
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from batchtrans import BackendError

#: Rotary tables of these kinds do not depend on the longest sequence of a batch.
_ROPES = ("default", "linear", "llama3", "yarn")
#: cuDNN's attention is left out: it makes a plan for every new shape.
_SDPA = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

#: q [t, H, D], keys and values [slots, KV, length, D] -> [t, H * D]
Attend = Callable[[Any, Any, Any], Any]


class Layer(NamedTuple):
    """The parts of one layer; ``qkv`` and ``gate_up`` give the outputs of their projections side by side."""

    norm: Any
    qkv: Any
    out: Any
    norm_mlp: Any
    gate_up: Any
    down: Any


class Llama:
    """The model's own weights, norms, rotary table and head. Plain projections of the same input are joined, and the
    model's modules made views of the joined weight, so that it goes on working and nothing is held twice.

    :raises BackendError: for an architecture that is not this one.
    """

    def __init__(self, model: Any, attention: str, notes: list[str]) -> None:
        if reason := unfit(model):
            raise BackendError(f"engine=graph cannot run this model: {reason}", "Use -O engine=hf.")
        model = _without_peft(model)
        config, decoder = model.config, model.model
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim, self.eps = config.head_dim, config.rms_norm_eps
        self.dtype, self.device = decoder.norm.weight.dtype, decoder.norm.weight.device
        self.embed, self.norm, self.head = decoder.embed_tokens, decoder.norm, model.lm_head
        self._act, self._rotary = decoder.layers[0].mlp.act_fn, decoder.rotary_emb
        self._layers = [
            Layer(
                layer.input_layernorm.weight,
                _join([layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]),
                layer.self_attn.o_proj,
                layer.post_attention_layernorm.weight,
                _join([layer.mlp.gate_proj, layer.mlp.up_proj]),
                layer.mlp.down_proj,
            )
            for layer in decoder.layers
        ]
        self.layers = len(self._layers)
        self.token_bytes = 2 * self.layers * self.kv_heads * self.head_dim * self.dtype.itemsize
        self.inner_bytes = (4 * config.intermediate_size + 8 * config.hidden_size) * self.dtype.itemsize
        self.kernels = self._choose_kernels(attention, notes)
        self._before, self._after, self._compiled = before, after, False

    def _choose_kernels(self, attention: str, notes: list[str]) -> Any:
        """The module with the Triton kernels, or ``None`` for PyTorch's own functions.

        :raises BackendError: if Triton is forced and cannot run.
        """
        large = self.device.type == "cuda" and torch.cuda.get_device_capability(self.device) >= (8, 0)
        if attention == "sdpa" or (attention == "auto" and not large):
            return None
        reason = "" if large or os.environ.get("TRITON_INTERPRET") else "it needs a GPU of compute capability 8.0"
        if self.head_dim not in (16, 32, 64, 128, 256) or "SiLU" not in type(self._act).__name__:
            reason = "the kernels take heads of 16 to 256 numbers and the activation SiLU"
        if not reason:
            try:
                from . import kernels

                kernels.pick(torch.zeros(1, 8, dtype=self.dtype, device=self.device))
                return kernels
            except Exception as error:  # no Triton, no C compiler, no driver that it finds
                reason = f"{type(error).__name__}: {error}".strip().split("\n")[0]
        if attention == "triton":
            raise BackendError(f"attention=triton cannot run here: {reason}", "Use -O attention=sdpa.")
        notes.append(f"attention without Triton: {reason}")
        return None

    def compile(self, rows: int, notes: list[str]) -> None:
        """Let torch.compile fuse what stands between the matrix products, which is tried with so many rows."""
        layer = self._layers[0]
        try:
            if type(layer.qkv) is not torch.nn.Linear:
                raise BackendError("weights in 4 bits, or with an adapter beside them, are not compiled")
            self._before, self._after = torch.compile(before), torch.compile(after)
            with torch.no_grad():
                wide = (len(layer.norm), self.heads * self.head_dim, self.head_dim)
                x, o, cos = (torch.zeros(rows, size, dtype=self.dtype, device=self.device) for size in wide)
                self._before(x, layer.norm, self.eps, layer.qkv, cos, cos, self.heads, self.kv_heads)
                self._after(x, o, layer.out, layer.norm_mlp, self.eps, layer.gate_up, self._act, layer.down)
            self._compiled = True
        except Exception as error:  # no C compiler, an unsupported GPU
            self._before, self._after = before, after
            notes.append(f"compile=yes was not possible: {type(error).__name__}: {error}".split("\n")[0])

    def rotary(self, length: int) -> tuple[Any, Any]:
        """Cosine and sine [length, D] of each position, by the model's own module."""
        like = torch.zeros(1, dtype=self.dtype, device=self.device)
        cos, sin = self._rotary(like, torch.arange(length, device=self.device)[None])
        return cos[0].contiguous(), sin[0].contiguous()

    def forward(
        self, ids: Any, slots: Any, positions: Any, cache: Any, rotary: tuple[Any, Any], attend: Attend, keep: int
    ) -> Any:
        """Write keys and values of all t tokens into the cache; the last hidden states of the first ``keep`` tokens,
        [keep, hidden]. The others are there for their keys and values only, so the last layer leaves them out."""
        x = self.embed(ids)  # [t, hidden]
        for number, layer in enumerate(self._layers):
            keys, values = cache[0, number], cache[1, number]
            q = self._project(layer, x, rotary, keys, values, slots, positions)  # [t, H, D]
            if number + 1 == self.layers:
                x, q = x[:keep], q[:keep]
            if len(x):
                x = self._finish(layer, x, attend(q, keys, values))
        return self.norm(x)

    def _project(
        self, layer: Layer, x: Any, rotary: tuple[Any, Any], keys: Any, values: Any, slots: Any, positions: Any
    ) -> Any:
        if self.kernels and not self._compiled:
            y = layer.qkv(self.kernels.rms_norm(x, layer.norm, self.eps))
            return self.kernels.rope_store(y, *rotary, keys, values, slots, positions, self.heads)
        cos, sin = rotary[0][positions], rotary[1][positions]  # [t, D]
        q, k, v = self._before(x, layer.norm, self.eps, layer.qkv, cos, sin, self.heads, self.kv_heads)
        # What is no number would get past any mask, and into who has the slot next.
        keys[slots, :, positions], values[slots, :, positions] = k.nan_to_num(), v.nan_to_num()
        return q

    def _finish(self, layer: Layer, x: Any, o: Any) -> Any:
        if self._compiled or not self.kernels:
            return self._after(x, o, layer.out, layer.norm_mlp, self.eps, layer.gate_up, self._act, layer.down)
        x = _add(layer.out, x, o)
        y = layer.gate_up(self.kernels.rms_norm(x, layer.norm_mlp, self.eps))
        return _add(layer.down, x, self.kernels.silu_mul(y))


def unfit(model: Any) -> str:
    """Why :class:`Llama` cannot run a model; empty if it can."""
    model = _without_peft(model)
    name = type(model).__name__
    if name != "LlamaForCausalLM":
        return f"it is a {name}, not a LlamaForCausalLM"
    kind = (model.config.rope_parameters or {}).get("rope_type", "default")
    return "" if kind in _ROPES else f"its rotary embedding ({kind}) depends on the length of the text"


def _without_peft(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def before(x: Any, norm: Any, eps: float, qkv: Any, cos: Any, sin: Any, heads: int, kv_heads: int) -> Any:
    """Norm, projections, rotation: x [t, hidden] -> q [t, H, D], k and v [t, KV, D]."""
    y = qkv(F.rms_norm(x, norm.shape, norm, eps)).unflatten(1, (heads + 2 * kv_heads, -1))
    qk, v = y.split((heads + kv_heads, kv_heads), 1)
    low, high = qk.chunk(2, -1)
    qk = qk * cos[:, None] + torch.cat((-high, low), -1) * sin[:, None]
    return qk[:, :heads], qk[:, heads:], v


def after(x: Any, o: Any, out: Any, norm: Any, eps: float, gate_up: Any, act: Any, down: Any) -> Any:
    """Output projection, residual, norm, gated MLP, residual: x [t, hidden], o [t, H * D] -> [t, hidden]."""
    x = x + out(o)
    gate, up = gate_up(F.rms_norm(x, norm.shape, norm, eps)).chunk(2, -1)
    return x + down(act(gate) * up)


def _add(linear: Any, x: Any, y: Any) -> Any:
    """``x + linear(y)``; a plain product adds into ``x`` itself, which saves a reading and a writing of it."""
    if type(linear) is torch.nn.Linear and linear.bias is None:
        return x.addmm_(y, linear.weight.t())
    return x + linear(y)


def _join(parts: list[Any]) -> Any:
    """Projections of the same input as one; 4-bit weights, and those with an adapter beside them, are called as they
    are."""
    if any(type(part) is not torch.nn.Linear for part in parts):
        return lambda x: torch.cat([part(x) for part in parts], -1)
    has_bias = parts[0].bias is not None
    joined = torch.nn.Linear(parts[0].in_features, sum(part.out_features for part in parts), has_bias, device="meta")
    joined.weight = torch.nn.Parameter(torch.cat([part.weight.data for part in parts]), requires_grad=False)
    if has_bias:
        joined.bias = torch.nn.Parameter(torch.cat([part.bias.data for part in parts]), requires_grad=False)
    start = 0
    for part in parts:
        end = start + part.out_features
        part.weight.data = joined.weight.data[start:end]
        if has_bias:
            part.bias.data = joined.bias.data[start:end]
        start = end
    return joined


def sdpa(slots: Any, positions: Any, length: int, dtype: Any, groups: int) -> Attend:
    """Attention by PyTorch's own function for tokens that stand as ``positions`` [rows, width], one after another: row
    i reads slot ``slots[i]``, or slot i where ``slots`` is ``None``, and each token its keys up to its own position.
    The query heads of a key head are folded into the query axis, so that no key is repeated."""
    rows, width = positions.shape
    beyond = torch.arange(length, device=positions.device) > positions[:, None, :, None]  # [rows, 1, width, length]
    bias = torch.zeros(beyond.shape, dtype=dtype, device=positions.device).masked_fill_(beyond, float("-inf"))
    bias = bias.expand(-1, groups, -1, -1).reshape(rows, 1, groups * width, length)

    def attend(q: Any, keys: Any, values: Any) -> Any:
        kv, D = keys.shape[1], keys.shape[3]
        k, v = (t[:rows] if slots is None else t[slots] for t in (keys, values))  # [rows, KV, length, D]
        folded = q.reshape(rows, width, kv, groups, D).permute(0, 2, 3, 1, 4).reshape(rows, kv, groups * width, D)
        with sdpa_kernel(_SDPA):
            o = F.scaled_dot_product_attention(folded, k, v, attn_mask=bias.expand(-1, kv, -1, -1))
        return o.view(rows, kv, groups, width, D).permute(0, 3, 1, 2, 4).reshape(rows * width, kv * groups * D)

    return attend
