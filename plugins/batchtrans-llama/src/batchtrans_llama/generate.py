"""The reference decode engine: transformers' greedy ``generate`` over a left-padded batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from .load import Loaded
from .rules import BEYOND, Decoded, Rules, follow


class HfEngine:
    """``generate`` of transformers. ``guards=False`` decodes on to EOS or cap: what a model does by itself;
    ``eos=False`` to the cap."""

    name = "hf"
    schedules = False

    def __init__(self, loaded: Loaded, guards: bool = True, eos: bool = True) -> None:
        import torch

        self.notes: list[str] = []
        self._model = loaded.model
        self._device = loaded.device
        self._pad = loaded.pad_id
        self._rules = Rules(loaded, guards, eos)
        self._breaks = torch.tensor(self._rules.breaks, device=self._device)
        self._blank = torch.tensor(self._rules.blank, device=self._device)
        self._masks = torch.tensor(self._rules.masks, dtype=torch.long, device=self._device)

    def stream(self, prompts: Sequence[list[int]], caps: Sequence[int]) -> Iterator[tuple[int, Decoded]]:
        yield from enumerate(self.decode(prompts, caps))

    def decode(self, prompts: Sequence[list[int]], caps: Sequence[int]) -> list[Decoded]:
        return self._generate(prompts, caps)

    def _generate(self, prompts: Sequence[list[int]], caps: Sequence[int], **more: Any) -> list[Decoded]:
        """``more`` are further arguments of ``generate``."""
        import torch

        if not prompts:
            return []
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
                **more,
            )
            generated = output[:, width:].tolist()
            logprobs = greedy.logprobs()
        return [self._rules.cut(*row) for row in zip(generated, logprobs, caps, strict=True)]

    def _config(self, max_new_tokens: int) -> Any:
        from transformers import GenerationConfig

        return GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_new_tokens,
            min_new_tokens=1,  # no text is translated by nothing
            eos_token_id=sorted(self._rules.eos_ids) or None,
            pad_token_id=self._pad,
        )

    def _stopper(self, caps: Sequence[int]) -> Any:
        import torch

        return _RowStop(torch.tensor(caps, device=self._device), self._breaks, self._blank)


class MixedEngine(HfEngine):
    """The same for a model of ``load.load_mixed``, whose rows have an adapter each."""

    def decode_mixed(self, prompts: Sequence[list[int]], caps: Sequence[int], adapters: Sequence[str]) -> list[Decoded]:
        """Continuations as by :meth:`decode`, each by the adapter of that name. What the base does is computed for all
        rows at once, what each adapter adds for its rows alone."""
        return self._generate(prompts, caps, adapter_names=list(adapters))


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
        self._has_text, self._since = follow(self._breaks[token], self._blank[token], self._has_text, self._since)
        return (self._since > BEYOND) | (self._caps <= self._length)
