"""Triton kernels for what stands between the matrix products: five launches that read and write each number once.

Sums are taken in float32; what PyTorch's own modules round to 16 bits on the way is rounded here too.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl


@triton.jit
def _rms_norm(X, W, Y, eps, N: tl.constexpr, BLOCK: tl.constexpr):
    row, column = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    inside = column < N
    x = tl.load(X + row * N + column, mask=inside, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, 0) / N + eps)
    normed = (x * scale).to(Y.dtype.element_ty).to(tl.float32)
    w = tl.load(W + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(Y + row * N + column, (normed * w).to(Y.dtype.element_ty), mask=inside)


@triton.jit
def _silu_mul(X, Y, N, BLOCK: tl.constexpr):
    row, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < N
    gate = tl.load(X + row * 2 * N + column, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(X + row * 2 * N + N + column, mask=inside, other=0.0).to(tl.float32)
    gated = (gate / (1.0 + tl.exp(-gate))).to(Y.dtype.element_ty).to(tl.float32)
    tl.store(Y + row * N + column, (gated * up).to(Y.dtype.element_ty), mask=inside)


@triton.jit
def _rope_store(X, COS, SIN, K, V, SLOT, POSITION, slot_stride, head_stride,
                H: tl.constexpr, KV: tl.constexpr, D: tl.constexpr, HEADS: tl.constexpr):  # fmt: skip
    """One program per token. X holds its H queries, KV keys, KV values: queries are rotated in place, keys are
    rotated into the cache, values copied into it."""
    token = tl.program_id(0).to(tl.int64)
    head, d = tl.arange(0, HEADS)[:, None], tl.arange(0, D // 2)[None, :]
    at = X + token * (H + 2 * KV) * D + head * D + d
    inside = head < H + 2 * KV
    low, high = tl.load(at, mask=inside).to(tl.float32), tl.load(at + D // 2, mask=inside).to(tl.float32)
    place = tl.load(POSITION + token) * D
    cos, sin = tl.load(COS + place + d).to(tl.float32), tl.load(SIN + place + d).to(tl.float32)
    turned = (low * cos - high * sin).to(X.dtype.element_ty)
    turned_high = (high * cos + low * sin).to(X.dtype.element_ty)
    tl.store(at, turned, mask=head < H)
    tl.store(at + D // 2, turned_high, mask=head < H)
    base = tl.load(SLOT + token) * slot_stride + place + d
    key, value = (head >= H) & (head < H + KV), (head >= H + KV) & inside
    tl.store(K + base + (head - H) * head_stride, turned, mask=key)
    tl.store(K + base + (head - H) * head_stride + D // 2, turned_high, mask=key)
    tl.store(V + base + (head - H - KV) * head_stride, low.to(X.dtype.element_ty), mask=value)
    tl.store(V + base + (head - H - KV) * head_stride + D // 2, high.to(X.dtype.element_ty), mask=value)


@triton.jit
def _attention(Q, K, V, OUT, SLOT, POSITION, q_stride, slot_stride, head_stride, scale,
               G: tl.constexpr, ROWS: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """One program per token and key head: its G query heads against the position + 1 keys of its slot, with the
    running softmax of Milakov and Gimelshein (2018)."""
    token, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    length = tl.load(POSITION + token).to(tl.int32) + 1
    base = tl.load(SLOT + token) * slot_stride + head * head_stride
    g, d, n = tl.arange(0, ROWS)[:, None], tl.arange(0, D), tl.arange(0, BLOCK)
    q = tl.load(Q + token * q_stride + (head * G + g) * D + d[None, :], mask=g < G, other=0.0)
    top, total = tl.full([ROWS], -1e30, tl.float32), tl.zeros([ROWS], tl.float32)
    mixed = tl.zeros([ROWS, D], tl.float32)
    for start in range(0, length, BLOCK):
        valid = start + n < length
        k = tl.load(K + base + (start + n)[None, :] * D + d[:, None], mask=valid[None, :], other=0.0)
        score = tl.where(valid[None, :], tl.dot(q, k, input_precision="ieee") * scale, -1e30)
        new = tl.maximum(top, tl.max(score, 1))
        weight, shrink = tl.exp(score - new[:, None]), tl.exp(top - new)
        v = tl.load(V + base + (start + n)[:, None] * D + d[None, :], mask=valid[:, None], other=0.0)
        total = total * shrink + tl.sum(weight, 1)
        mixed = mixed * shrink[:, None] + tl.dot(weight.to(v.dtype), v, input_precision="ieee")
        top = new
    o = OUT + (token * tl.num_programs(1) + head) * G * D + g * D + d[None, :]
    tl.store(o, (mixed / total[:, None]).to(OUT.dtype.element_ty), mask=g < G)


@triton.jit
def _pick(X, TOKEN, LOGPROB, N, BLOCK: tl.constexpr):
    """The first largest of N logits, and its log-probability, in one reading."""
    row = tl.program_id(0).to(tl.int64)
    top, total, best = -1e30, 0.0, 0
    for start in range(0, N, BLOCK):
        column = start + tl.arange(0, BLOCK)
        x = tl.load(X + row * N + column, mask=column < N, other=float("-inf")).to(tl.float32)
        here = tl.max(x, 0)
        best = tl.where(here > top, start + tl.argmax(x, 0), best)
        new = tl.maximum(top, here)
        total = total * tl.exp(top - new) + tl.sum(tl.exp(x - new), 0)
        top = new
    tl.store(TOKEN + row, best)
    tl.store(LOGPROB + row, -tl.log(total))


def _power(n: int) -> int:
    return 1 << (n - 1).bit_length()


def rms_norm(x: Any, weight: Any, eps: float) -> Any:
    """``x`` [tokens, hidden], normed and scaled."""
    y = torch.empty_like(x)
    _rms_norm[(len(x),)](x, weight, y, eps, N=x.shape[1], BLOCK=_power(x.shape[1]), num_warps=8)
    return y


def silu_mul(x: Any) -> Any:
    """``x`` [tokens, 2 * inner], gate beside up -> silu(gate) * up [tokens, inner]."""
    y = x.new_empty(len(x), x.shape[1] // 2)
    _silu_mul[(len(x), -(-y.shape[1] // 2048))](x, y, y.shape[1], BLOCK=2048, num_warps=8)
    return y


def rope_store(x: Any, cos: Any, sin: Any, keys: Any, values: Any, slots: Any, positions: Any, heads: int) -> Any:
    """``x`` [tokens, (heads + 2 kv) * D] -> the rotated queries [tokens, heads, D], a view of it; keys and values go
    to their slots and positions in [slots, kv, length, D]. ``cos`` and ``sin`` are tables [length, D]."""
    _, kv, _, D = keys.shape
    _rope_store[(len(x),)](x, cos, sin, keys, values, slots, positions, keys.stride(0), keys.stride(1), H=heads, KV=kv,
                           D=D, HEADS=_power(heads + 2 * kv), num_warps=4)  # fmt: skip
    return x[:, : heads * D].unflatten(1, (heads, D))


def attention(q: Any, keys: Any, values: Any, slots: Any, positions: Any) -> Any:
    """``q`` [tokens, heads, D] over each token's own slot up to its position -> [tokens, heads * D]."""
    _, kv, _, D = keys.shape
    G = q.shape[1] // kv
    o = q.new_empty(len(q), q.shape[1] * D)
    _attention[(len(q), kv)](q, keys, values, o, slots, positions, q.stride(0), keys.stride(0), keys.stride(1), D**-0.5,
                             G=G, ROWS=max(16, _power(G)), D=D, BLOCK=32, num_warps=1, num_stages=2)  # fmt: skip
    return o


def pick(logits: Any) -> tuple[Any, Any]:
    """``logits`` [rows, vocabulary] -> the greedy tokens and their log-probabilities, [rows] each."""
    token = torch.empty(len(logits), dtype=torch.long, device=logits.device)
    logprob = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
    _pick[(len(logits),)](logits, token, logprob, logits.shape[1], BLOCK=8192, num_warps=8)
    return token, logprob
