"""Decoding under a constraint, beside whatever engine a model has: for the few texts that need it.

The reference's ``generate`` with an automaton for each row: greedy, or beam search where several hypotheses are wanted.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from batchtrans import Constraint

from .automaton import Alphabet, Automaton
from .load import Loaded
from .rules import Decoded, Rules, is_out_of_memory


class ConstrainedRow(NamedTuple):
    """A prompt, how many tokens its answer may take (at least 1, and the masks' ``room``), what the answer has to obey,
    and the numbers of the masks that it has to hold."""

    prompt: list[int]
    cap: int
    constraint: Constraint
    masks: Sequence[int]


class _Processor:
    """The automata as a logits processor of ``generate``, whose rows are prompts, or beams of them. A line break where
    the row may end counts as EOS. Notes the log-probability of the best token of each row and step."""

    def __init__(self, alphabet: Alphabet, automata: Sequence[Automaton], width: int) -> None:
        self._alphabet = alphabet
        self._automata = automata
        self._width = width
        self.steps: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        rows = input_ids[:, self._width :].tolist()
        beams = len(rows) // len(self._automata)
        allowed = [self._automata[number // beams].allowed(tuple(ids)) for number, ids in enumerate(rows)]
        everything = torch.ones(self._alphabet.size, dtype=torch.bool)
        table = torch.stack([everything if row is None else row for row in allowed]).to(scores.device)
        end = self._alphabet.eos[0]
        ends = scores[:, [*self._alphabet.eos, *self._alphabet.breaks]].logsumexp(dim=-1)
        scores = scores.masked_fill(~table, -math.inf)
        scores[:, end] = torch.where(table[:, end], ends, scores[:, end])
        self.steps.append(scores.amax(dim=-1) - scores.logsumexp(dim=-1))  # [rows]
        return scores


class ConstrainedEngine:
    """Decodes a model's prompts under constraints; see the module. The model has to have an EOS token."""

    def __init__(self, loaded: Loaded) -> None:
        self._rules = Rules(loaded)
        self._alphabet = Alphabet(loaded, self._rules)
        self._model = loaded.model
        self.device = loaded.device
        self._pad = loaded.pad_id

    def stream(self, rows: Sequence[ConstrainedRow], hypotheses: int, size: int) -> Iterator[tuple[int, list[Decoded]]]:
        """``hypotheses`` answers to each row with its index, the likeliest first, longest prompts first; at most
        ``size`` answers are decoded together, and fewer where memory is short. A row that does not fit by itself has
        one answer that says so."""
        queue = deque(sorted(range(len(rows)), key=lambda index: -len(rows[index].prompt)))
        size = max(1, size // hypotheses)
        while queue:
            batch = [queue.popleft() for _ in range(min(size, len(queue)))]
            answers = self._decode_if_it_fits([rows[index] for index in batch], hypotheses)
            if answers is not None:
                yield from zip(batch, answers, strict=True)
            elif len(batch) > 1:
                size = (len(batch) + 1) // 2
                queue.extendleft(reversed(batch))
            else:
                yield batch[0], [Decoded([], [], "memory")]

    def _decode_if_it_fits(self, rows: Sequence[ConstrainedRow], hypotheses: int) -> list[list[Decoded]] | None:
        import torch

        try:
            return self.decode(rows, hypotheses)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here, with the exception and the tensors its frames held gone, can the memory be given back.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def decode(self, rows: Sequence[ConstrainedRow], hypotheses: int = 1) -> list[list[Decoded]]:
        """The answers to all rows together, in their order. Of several hypotheses the log-probabilities of the tokens
        are not known."""
        if not rows:
            return []
        automata = [Automaton(self._alphabet, row.constraint, row.masks, row.cap) for row in rows]
        generated, steps = self._generate(rows, automata, hypotheses)
        answers = []
        for number, ids in enumerate(generated):
            ids = self._own(ids)
            answer = self._rules.cut(ids, steps[number] if steps else [], rows[number // hypotheses].cap)
            answers.append(answer)
        return [answers[first : first + hypotheses] for first in range(0, len(answers), hypotheses)]

    def _own(self, ids: list[int]) -> list[int]:
        """A row up to its EOS, without the padding behind it."""
        ends = [place for place, token in enumerate(ids) if token in self._rules.eos_ids]
        return ids[: ends[0] + 1] if ends else ids

    def _generate(
        self, rows: Sequence[ConstrainedRow], automata: Sequence[Automaton], hypotheses: int
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Token ids after the prompts, and their log-probabilities where there is one hypothesis."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        width = max(len(row.prompt) for row in rows)
        ids = [[self._pad] * (width - len(row.prompt)) + row.prompt for row in rows]
        real = [[0] * (width - len(row.prompt)) + [1] * len(row.prompt) for row in rows]
        processor = _Processor(self._alphabet, automata, width)
        settings = GenerationConfig(
            do_sample=False,
            num_beams=hypotheses,
            num_return_sequences=hypotheses,
            max_new_tokens=max(row.cap for row in rows),
            eos_token_id=self._alphabet.eos,
            pad_token_id=self._pad,
        )
        with torch.inference_mode():
            output = self._model.generate(
                torch.tensor(ids, device=self.device),
                attention_mask=torch.tensor(real, device=self.device),
                generation_config=settings,
                logits_processor=LogitsProcessorList([processor]),
            )
            steps = torch.stack(processor.steps, dim=1).tolist() if hypotheses == 1 else []
        return output[:, width:].tolist(), steps
