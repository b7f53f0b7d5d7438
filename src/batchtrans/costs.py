"""What translating costs, from a short measurement: processor time, time on the wall, tokens, memory.

What a model does with a batch is a matter of four numbers that add up: batches, texts, tokens, and the longest text of
each batch, which says how many steps it takes. What it generates goes with what it is asked, so that tokens of the
sources are enough. Each of the four has a price in seconds, none of them negative, fitted to batches that were timed; a
price list is kept in the user's cache for a model on a machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, process_time
from typing import Any, NamedTuple

from .errors import BatchtransError
from .protect import masks_in
from .textio import AtomicFile
from .types import Meter, Usage

#: Of the price list; a list of another version is not read.
VERSION = 2
#: A plan of so many texts has all that decides prices.
_ENOUGH = 128
#: Rounds of the descent, which ends earlier where nothing moves any more.
_ROUNDS = 1_000


class Work(NamedTuple):
    """What a backend is asked for: ``texts``, their ``tokens``, those of ``masked`` texts among them, in how many
    ``batches``; ``steps`` is the sum of each batch's longest text, ``weight`` the tokens with those that fill a batch
    up where it is padded, ``largest`` the tokens of the largest batch, filled up. Tokens are those of the sources."""

    texts: int = 0
    masked: int = 0
    tokens: int = 0
    batches: int = 0
    steps: int = 0
    weight: int = 0
    largest: int = 0

    def prices(self) -> tuple[float, ...]:
        """What has a price, in the order of a price list."""
        return self.batches, self.texts, self.weight, self.steps


def work_of(meter: Meter, texts: Sequence[str]) -> Work:
    """The work of one call of a backend."""
    batches = [batch for batch in meter.batches(texts) if batch]
    full = [len(batch) * max(batch) for batch in batches]
    tokens = sum(map(sum, batches))
    weight = sum(full) if meter.pads else tokens
    masked = sum(map(sum, meter.batches([text for text in texts if masks_in(text)])))
    return Work(
        len(texts), masked, tokens, len(batches), sum(max(batch) for batch in batches), weight, max(full, default=0)
    )


def together(works: Iterable[Work]) -> Work:
    """Several pieces of work as one."""
    columns = zip(Work._fields, zip(Work(), *works, strict=True), strict=True)
    return Work(*(max(column) if name == "largest" else sum(column) for name, column in columns))


class Seconds(NamedTuple):
    """A time: on the wall, and of the processor, all threads together."""

    wall: float = 0.0
    cpu: float = 0.0

    def plus(self, other: Seconds, times: float = 1.0) -> Seconds:
        """This and so many ``times`` the other."""
        return Seconds(self.wall + times * other.wall, self.cpu + times * other.cpu)


class Clock:
    """Measures from when it is made: this process, and what ``usage`` tells of others."""

    def __init__(self, usage: Callable[[], Usage] = Usage) -> None:
        self._usage = usage
        self._wall, self._cpu = monotonic(), self._processor()

    def read(self) -> Seconds:
        """The time since then."""
        return Seconds(monotonic() - self._wall, self._processor() - self._cpu)

    def _processor(self) -> float:
        return process_time() + self._usage().processor


def peak_bytes() -> int:
    """The largest resident size that this process has had; 0 where the system does not say."""
    with suppress(OSError, ValueError, StopIteration):  # Linux; what getrusage says there a child takes over
        lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    try:
        import resource
    except ImportError:  # pragma: no cover - Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Timed(NamedTuple):
    """A measured piece of work: its time, and the tokens that were generated."""

    work: Work
    seconds: Seconds
    generated: int


@dataclass(frozen=True, slots=True)
class Costs:
    """A price list. ``wall`` and ``cpu`` are seconds for each of :meth:`Work.prices`, ``generated`` tokens for each
    text and token; ``start`` is the loading of the model, ``judging`` what the processor does with an answer.

    ``again`` says how many texts need more than one attempt, for each token of unmasked texts and of masked ones, and
    ``again_each`` what such a text costs then; ``again_start`` comes once, where anything has to be loaded for it.
    ``memory`` is in bytes: after loading, for each token of the largest batch, and with all that second attempts load.
    ``device`` is memory of a device of its own. In the ``background`` the backend works while the processor judges.
    ``texts`` were measured, on a ``day`` as ISO 8601, from ``plan``, all that was to be done then.
    """

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    generated: tuple[float, ...]
    start: Seconds
    judging: Seconds
    again: tuple[float, float]
    again_each: Seconds
    again_start: Seconds
    memory: tuple[float, float, float]
    device: int | None
    background: bool
    texts: int
    day: str
    plan: Work

    def fit(self, work: Work) -> bool:
        """Whether they tell what this work costs: they were measured on as much, or on enough, and not on texts with
        far fewer masks, of which more need a second attempt."""
        share = self.plan.masked / max(1, self.plan.tokens)
        return self.plan.texts >= min(_ENOUGH, work.texts) and work.masked <= 2 * share * work.tokens

    def estimate(self, work: Work, beside: Seconds | None = None, alone: float = 1.0) -> Estimate:
        """What this work costs, without the start; ``beside`` it the processor has so much more to do. In the
        background, ``alone`` is the share of what takes less time for which the other has nothing to do: a window of
        each document, its first and its last."""
        first = Seconds(_sum(self.wall, work.prices()), _sum(self.cpu, work.prices()))
        beside = (beside or Seconds()).plus(self.judging, work.texts)
        seconds = first.plus(beside)
        if self.background:
            shorter, longer = sorted((first.wall, beside.wall))
            seconds = seconds._replace(wall=longer + alone * shorter)
        again = self.again[0] * (work.tokens - work.masked) + self.again[1] * work.masked
        seconds = seconds.plus(self.again_each, again).plus(self.again_start, min(1.0, again))
        loaded, each, both = self.memory
        memory = max(loaded + each * work.largest, both if again >= 1 else 0.0)
        return Estimate(round(_sum(self.generated, (work.texts, work.tokens))), seconds, round(memory), self.device)

    def to_json(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Costs:
        """:raises ValueError: for something else than a price list of this version."""
        values = json.loads(text)
        if not isinstance(values, dict) or values.pop("version", None) != VERSION:
            raise ValueError("no price list of this version")
        times = {name: Seconds(*values[name]) for name in ("start", "judging", "again_each", "again_start")}
        lists = {name: tuple(values[name]) for name in ("wall", "cpu", "generated", "again", "memory")}
        return cls(**{**values, **times, **lists, "plan": Work(*values["plan"])})


class Estimate(NamedTuple):
    """What is expected: tokens that are ``generated``, the time, the memory of the process and of a device in bytes."""

    generated: int
    seconds: Seconds
    memory: int
    device: int | None


def _sum(prices: Sequence[float], amounts: Sequence[float]) -> float:
    return sum(price * amount for price, amount in zip(prices, amounts, strict=True))


def fit(rows: Sequence[Sequence[float]], values: Sequence[float]) -> tuple[float, ...]:
    """Prices, none of them negative, of which the sum over each row comes close to its value: the squared error in
    proportion to the value is least. By coordinate descent, see Franc, Hlavac, Navara, "Sequential coordinate-wise
    algorithm for the non-negative least squares problem" (2005). Then all are scaled, so that the sum is right.
    """
    least = 1e-6 * max(values) or 1.0
    weights = [1 / max(value, least) for value in values]
    size = len(rows[0])
    scales = [max(row[index] for row in rows) or 1.0 for index in range(size)]
    scaled = [[cell / scale for cell, scale in zip(row, scales, strict=True)] for row in rows]
    square = [
        [sum(w * row[i] * row[j] for row, w in zip(scaled, weights, strict=True)) for j in range(size)]
        for i in range(size)
    ]
    gradient = [
        -sum(w * row[i] * value for row, value, w in zip(scaled, values, weights, strict=True)) for i in range(size)
    ]
    prices = [0.0] * size
    for _ in range(_ROUNDS):
        moved = 0.0
        for index in range(size):
            if square[index][index] > 0:
                price = max(0.0, prices[index] - gradient[index] / square[index][index])
                step = price - prices[index]
                prices[index] = price
                gradient = [slope + step * cell for slope, cell in zip(gradient, square[index], strict=True)]
                moved = max(moved, abs(step))
        if moved <= 1e-9 * max(prices):
            break
    prices = [price / scale for price, scale in zip(prices, scales, strict=True)]
    found = sum(_sum(prices, row) for row in rows)
    return tuple(price * sum(values) / found for price in prices) if found else tuple(prices)


def load(meter: Meter) -> Costs | None:
    """The price list that was kept for this backend, if there is one that can be read."""
    try:
        return Costs.from_json(_place(meter.identity).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def keep(meter: Meter, costs: Costs) -> None:
    """Keep a price list; one that was kept before is replaced. A cache that cannot be written is done without."""
    place = _place(meter.identity)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with AtomicFile(place) as file:
            file.file.write(costs.to_json().encode())
            file.commit()
    except (OSError, BatchtransError):
        pass


def _place(identity: Mapping[str, Any]) -> Path:
    """A file below ``batchtrans/costs`` in the user's cache (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    return root / "batchtrans" / "costs" / f"{name}.json"
