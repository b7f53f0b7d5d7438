"""CTranslate2 as a decode engine: batches of like length, several at a time, each on a thread of its own.

CTranslate2 has one length limit, one list of forbidden tokens and no stop boundary per batch. So rows that hold the
same masks go together, and cap and boundary of each are looked after token by token, in :class:`_Row`.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from ..load import Loaded
from ..rules import BEYOND, Decoded, Rules, common_prefix

#: Rows decoded together where nobody says otherwise. Half of them take a tenth more processor time each, twice as many
#: too: their lengths differ more, and a prompt is read at once only up to the length of the batch's shortest.
BATCH = 64
#: Most batches at a time: with more threads than that, several work on one, since each batch has a cache of its own.
THREADS = 8
#: And so many tokens at most, prompts and caps, since each takes memory: 64 KB in the embedded model, 256 KB in
#: Llama-3.2-1B. CTranslate2 keeps keys and values once for each query head.
_TOKENS = 8192
#: A prompt keeps at least so many tokens behind the part that all share: with one, CTranslate2 gives the prompt's
#: tokens back as if they were the answer's.
_LEAST = 2


class Ct2Engine:
    """Greedy decoding by a CTranslate2 ``Generator``, on the processor."""

    name = "ct2"
    schedules = True

    def __init__(self, loaded: Loaded, guards: bool = True, eos: bool = True, batch: int | None = None) -> None:
        self.notes: list[str] = []
        self._generator = loaded.model
        self._rules = Rules(loaded, guards, eos)
        self._batch = batch or BATCH
        self._prefix: list[int] | None = None
        self._calls: list[list[BaseException]] = []
        weakref.finalize(self, _settle, self._generator, self._calls)  # at the end of the process at the latest

    def decode(self, prompts: Sequence[list[int]], caps: Sequence[int]) -> list[Decoded]:
        answers = dict(self.stream(prompts, caps))
        return [answers[index] for index in range(len(prompts))]

    def stream(self, prompts: Sequence[list[int]], caps: Sequence[int]) -> Iterator[tuple[int, Decoded]]:
        if not prompts:
            return
        prefix = self._shared(prompts)
        rows = [_Row(index, *asked, self._rules) for index, asked in enumerate(zip(prompts, caps, strict=True))]
        for row in self._run(self._batches(rows, len(prefix)), prefix):
            yield row.index, self._rules.cut(row.ids, row.logprobs, row.cap)

    def _shared(self, prompts: Sequence[list[int]]) -> list[int]:
        """The beginning of all prompts so far, whose keys and values CTranslate2 keeps. It only ever gets shorter, so
        that few are kept."""
        known = prompts[0] if self._prefix is None else self._prefix
        most = max(0, min(map(len, prompts)) - _LEAST)
        self._prefix = known[: min(most, common_prefix([*prompts, known]))]
        return self._prefix

    def _batches(self, rows: list[_Row], prefix: int) -> Iterator[list[_Row]]:
        """Rows with the same masks together, the longest first; as many batches as there are threads even if there are
        few rows."""
        size = max(1, min(self._batch, -(-len(rows) // self._generator.num_generators)))

        def kind(row: _Row) -> tuple[list[int], bool]:
            return row.masks, len(row.prompt) - prefix < _LEAST  # such a prompt has no place beside longer ones

        rows.sort(key=lambda row: (kind(row), -len(row.prompt), -row.cap))
        for _, group in groupby(rows, kind):
            alike = list(group)
            left = iter(alike)
            for count in portions([len(row.prompt) + row.cap for row in alike], size):
                yield list(islice(left, count))

    def _run(self, batches: Iterator[list[_Row]], prefix: list[int]) -> Iterator[_Row]:
        """Decode batches, one more under way than there are threads, and give their rows back as they are done."""
        under_way: deque[tuple[list[_Row], list[Any]]] = deque()
        ended: list[BaseException] = []  # why all rows are to end
        self._calls.append(ended)
        try:
            for batch in islice(batches, self._generator.num_generators + 1):
                under_way.append((batch, self._begin(batch, prefix, ended)))
            while under_way:
                batch, results = under_way[0]
                for result in results:
                    result.result()
                if ended:
                    raise ended[0]
                under_way.popleft()
                for following in islice(batches, 1):
                    under_way.append((following, self._begin(following, prefix, ended)))
                yield from batch
        finally:
            _settle(self._generator, [ended])
            self._calls.remove(ended)

    def _begin(self, batch: list[_Row], prefix: list[int], ended: list[BaseException]) -> list[Any]:
        """Hand a batch over; the results to wait for."""

        def add(step: Any) -> bool:
            try:
                return bool(ended) or batch[step.batch_id].add(step.token_id, step.log_prob)
            except BaseException as error:  # one that passed through CTranslate2 would abort the process
                ended.append(error)
                return True

        results: list[Any] = self._generator.generate_batch(
            [[str(token) for token in row.prompt[len(prefix) :]] for row in batch],
            asynchronous=True,
            static_prompt=[str(token) for token in prefix],
            include_prompt_in_result=False,
            max_length=max(row.cap for row in batch),
            min_length=1,  # no text is translated by nothing
            end_token=sorted(self._rules.eos_ids),
            suppress_sequences=[[str(mask)] for mask in self._rules.masks if mask not in batch[0].masks],
            return_scores=True,
            callback=add,
        )
        return results


def portions(needs: Sequence[int], size: int) -> Iterator[int]:
    """How many rows each batch takes, of rows that may need so many tokens each, prompt and cap, the longest first."""
    start = 0
    while start < len(needs):
        count = min(len(needs) - start, size, max(1, _TOKENS // needs[start]))
        yield count
        start += count


def _settle(generator: Any, calls: list[list[BaseException]]) -> None:
    """End all rows of some calls, and wait until no thread has a callback any more: if the interpreter ended while one
    still had, the process would be aborted."""
    for ended in calls:
        ended.append(GeneratorExit())
    while generator.num_active_batches:
        time.sleep(0.001)


class _Row:
    """One prompt, and what has been generated for it: ``ids`` and ``logprobs``, EOS included."""

    def __init__(self, index: int, prompt: list[int], cap: int, rules: Rules) -> None:
        self.index = index
        self.prompt = prompt
        self.cap = cap
        self.masks = [mask for mask in rules.masks if mask in prompt]
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self._rules = rules
        self._has_text = False
        self._since = 0  # tokens from the boundary on

    def add(self, token: int, logprob: float) -> bool:
        """Take the next token; whether the row ends with it. EOS is CTranslate2's own business."""
        self.ids.append(token)
        self.logprobs.append(logprob)
        self._has_text = self._has_text or not self._rules.blank[token]
        self._since += bool(self._since or (self._has_text and self._rules.breaks[token]))
        return self._since > BEYOND or len(self.ids) >= self.cap
