"""The device's side of the engine: a static cache with a state for each slot, and the step that moves all of them on.

A step decodes one token for slots [0, b) and, behind them in the same matrix products, writes keys and values of c
prompt tokens. It reads and writes fixed memory and never asks the host, so that CUDA can record it once for each (b, c)
and replay it. Without CUDA the same function is called directly.
"""

from __future__ import annotations

from typing import Any

import torch

from ..rules import BEYOND, Rules, follow
from .model import Attend, Llama, sdpa

#: The rows of the state. A slot's TOKEN stands at POSITION and is not in the cache yet; COUNT tokens are generated of
#: at most CAP; TEXT and SINCE are the rules' (see ``rules.follow``); DONE slots are idle; bit i of FOREIGN rules out
#: mask i.
TOKEN, POSITION, COUNT, CAP, TEXT, SINCE, DONE, FOREIGN = range(8)
STATES = 8
_BREAK, _BLANK, _EOS = 1, 2, 4  # bits of a token's kind


class Vocabulary:
    """The rules as tables on the device: what kind each token is, and which may be ruled out."""

    def __init__(self, rules: Rules, device: Any) -> None:
        kinds = [_BREAK * b + _BLANK * w for b, w in zip(rules.breaks, rules.blank, strict=True)]
        for token in rules.eos_ids:
            kinds[token] |= _EOS
        self.kinds = torch.tensor(kinds, device=device)  # [vocabulary]
        # The tokens that are not always allowed: which of them end an answer, and which mask each is, if it is one.
        ruled = sorted(rules.eos_ids | set(rules.masks))
        self._ruled = torch.tensor(ruled, dtype=torch.long, device=device)
        self._ends = torch.tensor([token in rules.eos_ids for token in ruled], device=device)
        bits = [1 << rules.masks.index(token) if token in rules.masks else 0 for token in ruled]
        self._bits = torch.tensor(bits, dtype=torch.long, device=device)

    def rule_out(self, logits: Any, state: Any) -> Any:
        """Take from logits [b, vocabulary] EOS as a first token, and masks that are foreign to their row."""
        if len(self._ruled):
            first, foreign = (state[COUNT] == 0)[:, None], state[FOREIGN][:, None] & self._bits > 0
            out = first & self._ends | foreign  # [b, ruled]
            logits[:, self._ruled] = logits[:, self._ruled].masked_fill(out, float("-inf"))
        return logits


class Slots:
    """``count`` slots of ``length`` tokens over a cache [2, layers, count + 1, KV, length, D], a part of ``memory``;
    the last slot is a bin for what idle rows write. A step takes up to ``chunk`` prompt tokens: side by side and a
    multiple of ``unit``, or, without a unit, in rows of equal length, by a step that is never recorded."""

    def __init__(
        self,
        llama: Llama,
        words: Vocabulary,
        memory: Any,
        count: int,
        length: int,
        chunk: int,
        unit: int | None,
        record: bool,
    ) -> None:
        self.count, self.length, self.unit = count, length, unit
        self.chunk = -(-chunk // unit) * unit if unit else chunk
        self.buckets = sorted({max(1, count // part) for part in (1, 2, 4, 8)})
        self._llama, self._words, device = llama, words, llama.device
        shape = torch.Size((2, llama.layers, count + 1, llama.kv_heads, length, llama.head_dim))
        self._cache = memory[: shape.numel()].view(shape)
        self._rotary = llama.rotary(length)
        self._state = torch.zeros(STATES, count, dtype=torch.long, device=device)
        self._rows = torch.arange(count, device=device)
        self._inbox = torch.zeros((1 + STATES) * count + 3 * chunk, dtype=torch.long, device=device)
        self._begin, self._coming, self._new = self._parts(self._inbox)
        self._out = torch.zeros(3, count, dtype=torch.double, device=device)  # token, log-probability, done
        self._graphs: dict[tuple[int, int], Any] = {}
        self._cuda, self._records = device.type == "cuda", record
        self._ring = [(self._on_host(self._inbox), self._on_host(self._out)) for _ in range(4)]
        self._turn = 0
        self.clear()

    def _on_host(self, like: Any) -> Any:
        return torch.zeros(like.shape, dtype=like.dtype, pin_memory=self._cuda)

    def _parts(self, inbox: Any) -> tuple[Any, Any, Any]:
        """What the host sends, in one copy: which slots begin [count], with which states [8, count], and prompt tokens
        as id, slot, position [3, chunk]."""
        begin, states, new = inbox.split((self.count, STATES * self.count, 3 * self.chunk))
        return begin, states.view(STATES, self.count), new.view(3, self.chunk)

    def bucket(self, rows: int) -> int:
        """The smallest batch size that holds so many rows."""
        return next(b for b in self.buckets if b >= rows)

    def letter(self) -> tuple[Any, Any, Any]:
        """The parts of the inbox as numpy arrays, to be filled for the next step: nobody begins, all tokens are bound
        for the bin."""
        begin, states, new = (part.numpy() for part in self._parts(self._ring[self._turn][0]))
        begin[:], new[:], new[1] = 0, 0, self.count
        return begin, states, new

    def step(self, b: int, c: int = 0, width: int = 1, letter: bool = False) -> tuple[Any, Any]:
        """One step, of prompt tokens in rows of ``width``, with the letter that was filled if there is one. What comes
        back is the host's copy of token, log-probability and done, float64 [3, count], good for three steps, and the
        event after which it may be read."""
        inbox, out = self._ring[self._turn]
        self._turn = (self._turn + 1) % len(self._ring)
        recorded = self._records and bool(self.unit or not c)
        with torch.no_grad():
            if recorded and (b, c) not in self._graphs:
                self._graphs[b, c] = self._record(b, c)
            if letter:
                self._inbox.copy_(inbox, non_blocking=True)
            if recorded:
                self._graphs[b, c].replay()
            else:
                self._step(b, c, width)
            out.copy_(self._out, non_blocking=True)
        event = torch.cuda.Event() if self._cuda else None
        if event:
            event.record()
        return out.numpy(), event

    def _step(self, b: int, c: int, width: int) -> None:
        state, words = self._state[:, :b], self._words
        state.copy_(torch.where(self._begin[:b] > 0, self._coming[:, :b], state))
        self._begin.zero_()
        done = state[DONE] > 0
        new = self._new[:, :c]
        ids = torch.cat([state[TOKEN], new[0]])  # [b + c]
        slots = torch.cat([torch.where(done, self.count, self._rows[:b]), new[1]])
        positions = torch.cat([torch.where(done, 0, state[POSITION]), new[2]])
        attend = self._attend(b, width, slots, positions)
        hidden = self._llama.forward(ids, slots, positions, self._cache, self._rotary, attend, b)  # [b, hidden]
        token, logprob = self._pick(words.rule_out(self._llama.head(hidden), state))  # [b]
        kind, count = words.kinds[token], state[COUNT] + 1
        text, since = follow(kind & _BREAK > 0, kind & _BLANK > 0, state[TEXT] > 0, state[SINCE])
        done = done | (kind & _EOS > 0) | (since > BEYOND) | (count >= state[CAP])
        after = [token, state[POSITION] + 1, count, state[CAP], text.long(), since, done.long(), state[FOREIGN]]
        state.copy_(torch.stack(after))
        self._out[:, :b] = torch.stack([token.double(), logprob.double(), done.double()])

    def _attend(self, b: int, width: int, slots: Any, positions: Any) -> Attend:
        llama = self._llama
        if llama.kernels:
            return lambda q, k, v: llama.kernels.attention(q, k, v, slots, positions)
        shared = (self.length, llama.dtype, llama.heads // llama.kv_heads)
        old = sdpa(None, positions[:b].view(b, 1), *shared)
        if len(slots) == b:
            return old
        new = sdpa(slots[b::width], positions[b:].view(-1, width), *shared)
        return lambda q, k, v: torch.cat([old(q[:b], k, v), new(q[b:], k, v)]) if len(q) > b else old(q, k, v)

    def _pick(self, logits: Any) -> tuple[Any, Any]:
        """The greedy tokens [b] and their log-probabilities [b]."""
        if self._llama.kernels:
            token, logprob = self._llama.kernels.pick(logits)
            return token, logprob
        scores = logits.float()
        top, token = scores.max(-1)
        return token, top - scores.logsumexp(-1)

    def _record(self, b: int, c: int) -> Any:
        """A step as a CUDA graph. It is run before, for what is made at a first call, with all slots idle and all
        prompt tokens bound for the bin, so that nothing changes."""
        state = self._state.clone()
        self.clear()
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self._step(b, c, 1)
        torch.cuda.current_stream().wait_stream(stream)
        pool = next(iter(self._graphs.values())).pool() if self._graphs else None
        with torch.cuda.graph(graph, pool=pool):
            self._step(b, c, 1)
        self._state.copy_(state)
        return graph

    def clear(self) -> None:
        """Make all slots idle, and the inbox empty."""
        self._inbox.zero_()
        self._new[1] = self.count
        self._state[DONE] = 1

    def share(self, tokens: int) -> None:
        """Make the first tokens of slot 0 the beginning of every slot."""
        self._cache[:, :, 1:, :, :tokens] = self._cache[:, :, :1, :, :tokens]

    def move(self, source: Any, target: Any) -> None:
        """Move slots (numpy arrays of their numbers) into others, which are idle."""
        source, target = (torch.from_numpy(numbers).to(self._llama.device) for numbers in (source, target))
        self._state[:, target] = self._state[:, source]
        self._state[DONE, source] = 1
        for layer in self._cache.flatten(0, 1):  # one by one: the copy on the way stays small
            layer[target] = layer[source]
