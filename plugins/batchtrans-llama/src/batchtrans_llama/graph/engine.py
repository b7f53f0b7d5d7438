"""The host's side of the engine: which request sits in which slot, what is prefilled when, and whose token is whose.

The requests of a run stand in a queue, longest first. A slot that becomes free is given to the next of them, its prompt
is prefilled, and it joins the others. The host runs one step ahead of what it has read: a slot is seen to be done one
step late, and while the host works the device has a step to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from ..load import Loaded
from ..rules import Decoded, Rules, common_prefix, is_out_of_memory
from .model import Llama
from .slots import CAP, FOREIGN, POSITION, STATES, TOKEN, Slots, Vocabulary

#: Slots where nobody says otherwise. From some hundred rows on a step is bound by arithmetic; more rows still help the
#: matrix products of a large GPU.
_SLOTS = {"cpu": 32, "small": 256, "large": 1024}
_TYPICAL = 256  # tokens of a slot for which the number of slots is found: prompt and answer of a long sentence
_CPU_BYTES = 1 << 30  # of cache on CPU, where the engine runs for tests


class GraphEngine:
    """Greedy decoding in slots over a static cache, recorded as CUDA graphs; on CPU the same without recording.

    ``slots`` bounds how many requests are decoded together; the free memory does too. ``attention`` is ``auto``,
    ``sdpa`` or ``triton``, ``compile`` ``auto``, ``yes`` or ``no``. A step takes up to ``chunk`` prompt tokens;
    ``packed`` says whether they stand side by side, in multiples of ``unit``, or padded in rows. ``memory`` is how many
    bytes the cache may take. All follow from the device where they are not given. ``record=False`` does without CUDA
    graphs.

    :raises BackendError: for a model that is no Llama, or a forced choice that this machine cannot run.
    """

    name = "graph"
    schedules = True

    def __init__(
        self,
        loaded: Loaded,
        guards: bool = True,
        eos: bool = True,
        *,
        slots: int | None = None,
        attention: str = "auto",
        compile: str = "auto",
        packed: bool | None = None,
        chunk: int | None = None,
        unit: int | None = None,
        record: bool = True,
        memory: int | None = None,
    ) -> None:
        self.notes: list[str] = []
        self.rules = Rules(loaded, guards, eos)
        device = next(loaded.model.parameters()).device
        _make_current(device)
        self._llama = llama = Llama(loaded.model, attention, self.notes)
        self._words = Vocabulary(self.rules, device)
        self._packed = llama.kernels is not None if packed is None else packed
        self.slots, self._budget = self._find_slots(slots, memory)
        self._chunk = chunk or max(256, min((2 if self._packed else 8) * self.slots, 8192))
        self._unit = unit or max(1, self._chunk // 2)
        self._record = record and device.type == "cuda"
        if compile == "yes":
            llama.compile(self.slots, self.notes)
        self._memory: Any = None
        self._tables: list[Slots] = []
        self.steps = self.rows = self.live = 0  # what was done: steps, their rows, and those that were somebody's
        how = "Triton" if llama.kernels else "SDPA"
        self.notes.append(f"engine graph: up to {self.slots} segments decoded together, attention by {how}")

    def _find_slots(self, most: int | None, memory: int | None) -> tuple[int, int]:
        """How many slots, and how many bytes of cache.

        A step of n slots takes n rows of logits (and, without kernels, three of them in float32), and the inner states
        of one layer for its tokens, 3 n if prompts are packed, else 9 n; nine tenths of what is free, less that, is for
        the cache, which takes 2 * layers * key heads * head_dim * bytes a number for each token. The slots are halved
        until each has 256 tokens.
        """
        llama, cuda = self._llama, self._llama.device.type == "cuda"
        large = cuda and torch.cuda.get_device_capability(llama.device) >= (8, 0)
        count = most or _SLOTS["large" if large else "small" if cuda else "cpu"]
        if memory is not None or not cuda:
            return count, _CPU_BYTES if memory is None else memory
        row = llama.head.out_features * (llama.dtype.itemsize + (0 if llama.kernels else 12))
        row += (3 if self._packed else 9) * llama.inner_bytes
        while True:
            cache = int(0.9 * _free_bytes(llama.device)) - count * row
            if count == 1 or cache >= count * _TYPICAL * llama.token_bytes:
                return count, max(0, cache)
            count //= 2

    def decode(self, prompts: Sequence[list[int]], caps: Sequence[int]) -> list[Decoded]:
        found = dict(self.stream(prompts, caps))
        return [found[index] for index in range(len(prompts))]

    def stream(self, prompts: Sequence[list[int]], caps: Sequence[int]) -> Iterator[tuple[int, Decoded]]:
        """See ``Engine``. Where memory runs out the slots are halved, and what is not answered begins anew."""
        _make_current(self._llama.device)  # the thread may be another one than that which made the engine
        need = [len(prompt) + cap for prompt, cap in zip(prompts, caps, strict=True)]
        left = dict.fromkeys(sorted(range(len(prompts)), key=lambda index: -need[index]))
        prefix = common_prefix([prompt[:-1] for prompt in prompts])
        while left:
            length, count, group = self._plan([*left], need)
            try:
                queue = _Queue(self.rules, prompts, caps, group, prefix)
                for index, answer in self._run(self._table(length, count), queue):
                    del left[index]
                    yield index, answer
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Only here, with the exception and the tensors its frames held gone, can the memory be given back.
            if not self._shrink(length, count):
                del left[group[0]]
                yield group[0], Decoded([], [], "memory")

    def _plan(self, left: list[int], need: list[int]) -> tuple[int, int, list[int]]:
        """The length and number of slots for the neediest requests, and which requests use them. Much shorter ones
        wait for shorter slots if those are more, or quicker to read, and there are enough requests to fill them."""
        length = round_up(need[left[0]])
        most = self._budget // (length * self._llama.token_bytes) - 1  # and the bin
        count = max(1, min(self.slots, most, 1 << (len(left) - 1).bit_length()))
        short = sum(2 * need[index] <= need[left[0]] for index in left)
        apart = short > count and (most < self.slots or not self._llama.kernels)
        return length, count, left[: len(left) - short] if apart else left

    def _table(self, length: int, count: int) -> Slots:
        """Slots of at least this length and number: made before, or new."""
        for table in self._tables:
            if length <= table.length <= 2 * length and table.count >= count:
                return table
        numbers = (count + 1) * length * self._llama.token_bytes // self._llama.dtype.itemsize
        if self._memory is None or len(self._memory) < numbers:
            self._release()
            self._memory = torch.zeros(numbers, dtype=self._llama.dtype, device=self._llama.device)
        shape = (count, length, self._chunk, self._unit if self._packed else None)
        self._tables.append(Slots(self._llama, self._words, self._memory, *shape, self._record))
        return self._tables[-1]

    def _release(self) -> None:
        self._tables.clear()
        self._memory = None
        if self._llama.device.type == "cuda":
            torch.cuda.empty_cache()

    def _shrink(self, length: int, count: int) -> bool:
        """Halve the slots after memory ran out; whether that was possible."""
        self._release()
        if count == 1:
            return False
        if count == self.slots:
            self.slots = count // 2
        self._budget = min(self._budget, (count // 2 + 1) * length * self._llama.token_bytes)
        self.notes.append(f"memory ran out with {count} segments decoded together: {count // 2} from there on")
        return True

    def _run(self, slots: Slots, queue: _Queue) -> Iterator[tuple[int, Decoded]]:
        """Decode a queue of requests; each is given out when it is finished."""
        flight: deque[tuple[Any, Any, Any]] = deque()  # steps not read yet: who was in which slot, output, event
        queue.open(slots)
        while queue.left or flight:
            if queue.left and len(flight) < 2 and self._launch(slots, queue, flight) and len(flight) < 2:
                continue
            running, out, event = flight[0]
            while queue.answers and not (event and event.query()):
                yield queue.answers.popleft()  # while the device works
            if event:
                event.synchronize()
            flight.popleft()
            queue.read(running, out)
        yield from queue.answers

    def _launch(self, slots: Slots, queue: _Queue, flight: deque[tuple[Any, Any, Any]]) -> bool:
        """Fill free slots and do a step, if there is anything to do."""
        queue.seat()
        fed = queue.feed(slots)
        live = queue.live()
        if not len(live) and not (fed and fed[0]):
            return False
        b = slots.bucket(live[-1] + 1 if len(live) else 1)
        if fed is None and queue.joined == queue.count and (smaller := slots.bucket(len(live))) < b:
            queue.compact(slots, live, smaller)
            b = smaller
        running = np.where(queue.holder < queue.joined, queue.holder, -1)[:b]
        flight.append((running, *slots.step(b, *(fed or (0, 1)), letter=fed is not None)))
        self.steps, self.rows, self.live = self.steps + 1, self.rows + b, self.live + len(live)
        return True


class _Queue:
    """The requests of one run by rank, longest prompt first, and how far each is. Ranks below ``seated`` have or had a
    slot, ranks below ``joined`` decode or did; of the own tokens of all prompts, one after another, ``sent`` are on
    the device. ``holder`` says whose each slot is, -1 for nobody's."""

    def __init__(
        self, rules: Rules, prompts: Sequence[list[int]], caps: Sequence[int], group: list[int], prefix: int
    ) -> None:
        self._rules = rules
        self._order = sorted(group, key=lambda index: -len(prompts[index]))
        chosen = [prompts[index] for index in self._order]
        self._prefix, self.count = np.array(chosen[0][:prefix], np.int64), len(chosen)
        # The last token of a prompt is its first decode step; those before it, behind the prefix, are its own.
        self._own = np.array([len(prompt) for prompt in chosen]) - 1 - prefix
        self._ends = np.cumsum(self._own)
        self._starts = self._ends - self._own
        self._ids = np.fromiter(chain.from_iterable(prompt[prefix:-1] for prompt in chosen), np.int64, self._ends[-1])
        self._ranks = np.repeat(np.arange(self.count), self._own)
        self._places = np.arange(len(self._ids)) - self._starts[self._ranks] + prefix
        self._first = np.zeros((STATES, self.count), dtype=np.int64)
        self._first[TOKEN], self._first[POSITION] = [prompt[-1] for prompt in chosen], self._own + prefix
        self._first[CAP] = self._caps = np.array([caps[index] for index in self._order])
        bit = {token: 1 << number for number, token in enumerate(rules.masks)}
        masks = bit.keys()  # few prompts have any
        own = [0 if masks.isdisjoint(prompt) else sum(bit[token] for token in masks & prompt) for prompt in chosen]
        self._first[FOREIGN] = sum(bit.values()) - np.array(own)
        self._heads = np.cumsum(self._caps) - self._caps  # of each answer in the two below
        self._tokens, self._logprobs = np.zeros(self._caps.sum(), np.int64), np.zeros(self._caps.sum())
        self._counts, self._done = np.zeros(self.count, np.int64), np.zeros(self.count, bool)
        self._seats = np.zeros(self.count, np.int64)
        self.seated = self.joined = self._sent = 0
        self.left = self.count
        self.answers: deque[tuple[int, Decoded]] = deque()

    def open(self, slots: Slots) -> None:
        """Begin with empty slots, the prefix in all that will be used."""
        slots.clear()
        self.holder = np.full(slots.count, -1)
        for start in range(0, len(self._prefix), slots.chunk):
            part = self._prefix[start : start + slots.chunk]
            slots.letter()[2][:, : len(part)] = part, np.zeros_like(part), np.arange(start, start + len(part))
            places = -(-len(part) // slots.unit) * slots.unit if slots.unit else len(part)
            _, event = slots.step(slots.buckets[0], places, 1 if slots.unit else places, letter=True)
            if event:
                event.synchronize()  # a long prefix takes more letters than there are
        slots.share(len(self._prefix), min(slots.count, self.count))

    def seat(self) -> None:
        """Give free slots to the next requests, the lowest first."""
        free = np.flatnonzero(self.holder < 0)[: self.count - self.seated]
        ranks = np.arange(self.seated, self.seated + len(free))
        self.holder[free], self._seats[ranks] = ranks, free
        self.seated += len(free)

    def live(self) -> Any:
        """The slots whose holders decode, as far as is known."""
        return np.flatnonzero((self.holder >= 0) & (self.holder < self.joined))

    def feed(self, slots: Slots) -> tuple[int, int] | None:
        """Put into a letter what those with a slot need to begin, if that is enough to be worth it: how many places for
        prompt tokens the next step has, and in rows of which width."""
        waiting = self.seated - self.joined
        ready = int(self._ends[self.seated - 1]) - self._sent if waiting else 0
        few = waiting < slots.count // 16 and not (slots.unit and ready >= slots.unit)
        if not waiting or (few and self.seated < self.count):
            return None
        end, places, width = self._portion(slots, ready)
        begin, states, new = slots.letter()
        first, self.joined = self.joined, int(np.searchsorted(self._ends[: self.seated], end, side="right"))
        seats = self._seats[first : self.joined]
        begin[seats], states[:, seats] = 1, self._first[:, first : self.joined]
        start, self._sent = self._sent, end
        ranks, at = self._ranks[start:end], np.arange(end - start)
        if width > 1:
            at += start - np.maximum(self._starts[ranks], start) + (ranks - ranks[0]) * width
        new[:, at] = self._ids[start:end], self._seats[ranks], self._places[start:end]
        return places, width

    def _portion(self, slots: Slots, ready: int) -> tuple[int, int, int]:
        """Up to which token the next portion goes, how many places it has, and the width of its rows: 1 if packed, else
        the longest part of a prompt in it."""
        if not ready:
            return self._sent, 0, 1
        if slots.unit:
            places = max(slots.unit, min(ready, slots.chunk) // slots.unit * slots.unit)
            return self._sent + min(ready, places), places, 1
        rank = int(self._ranks[self._sent])
        following = int(self._own[rank + 1]) if rank + 1 < self.seated else 0
        width = min(max(int(self._ends[rank]) - self._sent, following), slots.chunk)
        rows = min(slots.chunk // width, self.seated - rank)
        return min(int(self._ends[rank + rows - 1]), self._sent + slots.chunk), rows * width, width

    def compact(self, slots: Slots, live: Any, b: int) -> None:
        """Move what decodes into the first ``b`` slots."""
        source = live[live >= b]
        target = np.flatnonzero(self.holder[:b] < 0)[: len(source)]
        slots.move(source, target)
        ranks = self.holder[source]
        self.holder[target], self.holder[source], self._seats[ranks] = ranks, -1, target

    def read(self, running: Any, out: Any) -> None:
        """Take in what a step gave to those that were ``running`` in its slots and are not known to be done."""
        rows = np.flatnonzero(running >= 0)
        rows = rows[~self._done[running[rows]]]
        ranks = running[rows]
        at = self._heads[ranks] + self._counts[ranks]
        self._tokens[at], self._logprobs[at] = out[0, rows], out[1, rows]
        self._counts[ranks] += 1
        ended = ranks[out[2, rows] > 0]
        self._done[ended] = True
        self.holder[self._seats[ended]] = -1
        self.left -= len(ended)
        for rank in ended:
            part = slice(self._heads[rank], self._heads[rank] + self._counts[rank])
            answer = self._rules.cut(self._tokens[part].tolist(), self._logprobs[part].tolist(), int(self._caps[rank]))
            self.answers.append((self._order[rank], answer))


def round_up(length: int) -> int:
    """A slot's length for so many tokens: 64, 96, 128, 192, 256, ... so that few lengths need graphs of their own."""
    size = 64
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def _make_current(device: Any) -> None:
    """Streams and kernels are those of the thread's current device."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def _free_bytes(device: Any) -> int:
    """What this process may still take of the GPU's memory, its own cached blocks included."""
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    share = getattr(torch.cuda, "get_per_process_memory_fraction", lambda _: 1.0)(device)
    return int(min(free, share * total - torch.cuda.memory_reserved(device)))
