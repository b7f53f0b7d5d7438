"""The reference decode engine: transformers' greedy ``generate`` over a left-padded batch.

Every engine takes prompts as token ids with a length cap each and gives back the generated ids up to the first of
EOS, stop boundary and cap, so that a row's answer does not depend on its neighbours. Some tokens after the boundary are
decoded too, so that the log shows what a model that runs on went on with. A mask character that the prompt does not
hold is never generated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .load import Loaded
from .prompt import MASKS, mask_count
from .stop import token_classes

_BEYOND = 8  # tokens decoded after the boundary, enough for the first words of the next line


@dataclass(frozen=True, slots=True)
class Decoded:
    """One row's answer: ``ids`` without EOS, the natural logarithm of the probability of each generated token (EOS
    included, when it came), and ``stop``: ``eos``, ``boundary`` or ``max_tokens``."""

    ids: list[int]
    logprobs: list[float]
    stop: str


class Engine(Protocol):
    """What decodes. ``name`` goes into the fingerprint."""

    name: str

    def decode(self, prompts: Sequence[list[int]], caps: Sequence[int]) -> list[Decoded]:
        """Greedy continuations in the order of the prompts, at most ``caps[i]`` tokens each (at least 1)."""


class HfEngine:
    """``generate`` of transformers. ``guards=False`` decodes on to EOS or cap: what a model does by itself."""

    name = "hf"

    def __init__(self, loaded: Loaded, guards: bool = True) -> None:
        import torch

        self._model = loaded.model
        self._device = loaded.device
        self._eos = loaded.eos_ids
        self._pad = loaded.pad_id
        breaks, blank = token_classes(loaded.tokenizer, loaded.model.config.vocab_size)
        self._breaks = breaks if guards else [False] * len(breaks)
        self._blank = blank
        self._breaks_table = torch.tensor(self._breaks, device=self._device)
        self._blank_table = torch.tensor(self._blank, device=self._device)
        masks = MASKS[: mask_count(loaded.tokenizer)]
        self._masks = torch.tensor(
            [loaded.tokenizer.convert_tokens_to_ids(mask) for mask in masks], dtype=torch.long, device=self._device
        )

    def decode(self, prompts: Sequence[list[int]], caps: Sequence[int]) -> list[Decoded]:
        import torch

        width = max(map(len, prompts))
        rows = [[self._pad] * (width - len(prompt)) + prompt for prompt in prompts]
        real = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        ids = torch.tensor(rows, device=self._device)  # [rows, width]
        foreign = ~(ids[:, :, None] == self._masks).any(dim=1)  # [rows, masks]
        greedy = _Greedy(self._masks, foreign)
        with torch.inference_mode():
            output = self._model.generate(
                ids,
                attention_mask=torch.tensor(real, device=self._device),
                generation_config=self._config(max(caps)),
                logits_processor=_as_list("LogitsProcessorList", greedy),
                stopping_criteria=_as_list("StoppingCriteriaList", self._stopper(caps)),
            )
            generated = output[:, width:].tolist()
            logprobs = greedy.logprobs()
        return [self._cut(*row) for row in zip(generated, logprobs, caps, strict=True)]

    def _config(self, max_new_tokens: int) -> Any:
        from transformers import GenerationConfig

        return GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_new_tokens,
            min_new_tokens=1,  # no text is translated by nothing
            eos_token_id=sorted(self._eos) or None,
            pad_token_id=self._pad,
        )

    def _stopper(self, caps: Sequence[int]) -> Any:
        import torch

        return _RowStop(torch.tensor(caps, device=self._device), self._breaks_table, self._blank_table)

    def _cut(self, ids: list[int], logprobs: list[float], cap: int) -> Decoded:
        """The part of a row that is its own; the rest is padding while longer rows went on."""
        has_text, last = False, -1
        for position, token in enumerate(ids[:cap]):
            if token in self._eos:
                return Decoded(ids[:position], logprobs[: position + 1], "eos")
            has_text = has_text or not self._blank[token]
            if last < 0 and has_text and self._breaks[token]:
                last = position + _BEYOND
            if position == last:
                return Decoded(ids[: position + 1], logprobs[: position + 1], "boundary")
        return Decoded(ids[:cap], logprobs[:cap], "max_tokens" if last < 0 else "boundary")


def _as_list(kind: str, item: Any) -> Any:
    import transformers

    return getattr(transformers, kind)([item])


class _Greedy:
    """A logits processor that rules out the ``masks`` that are ``foreign`` to a row, and notes the log-probability of
    the token that greedy decoding takes: one number per row and step, where keeping the scores themselves would take
    a vocabulary per row and step."""

    def __init__(self, masks: Any, foreign: Any) -> None:
        self._masks = masks  # [masks], token ids
        self._foreign = foreign  # [rows, masks]
        self._steps: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        scores[:, self._masks] = scores[:, self._masks].masked_fill(self._foreign, -math.inf)
        self._steps.append(scores.amax(dim=-1) - scores.logsumexp(dim=-1))  # [rows]
        return scores

    def logprobs(self) -> list[list[float]]:
        """A list of all steps for each row."""
        import torch

        rows: list[list[float]] = torch.stack(self._steps, dim=1).tolist()
        return rows


class _RowStop:
    """A stopping criterion with a cap of its own for each row, and the line break after text as boundary. EOS is
    ``generate``'s own business. It keeps state of one call of ``generate`` and serves no second one."""

    def __init__(self, caps: Any, breaks: Any, blank: Any) -> None:
        self._caps = caps  # [rows]
        self._breaks = breaks  # [vocabulary]
        self._blank = blank
        self._length = 0
        self._has_text = caps < 0  # [rows], all false
        self._since = caps * 0  # [rows], tokens from the boundary on

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        token = input_ids[:, -1]
        self._length += 1
        self._has_text = self._has_text | ~self._blank[token]
        passed = (self._since > 0) | (self._breaks[token] & self._has_text)
        self._since = self._since + passed
        return (self._since > _BEYOND) | (self._caps <= self._length)
