"""From texts to what a loaded model answers: prompts out of texts, an engine that decodes, answers out of its tokens.

The backend and the evaluation both ask here, so that a model is measured as it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from batchtrans import Constraint, Overload

from .automaton import room
from .constrained import ConstrainedEngine, ConstrainedRow
from .generate import HfEngine
from .load import Loaded
from .options import LengthCap
from .prompt import MASKS, Terms, encode_prompt, encode_prompts, language_name
from .rules import Decoded, Engine, is_out_of_memory
from .stop import line_heads, trim

#: Segments decoded together where nobody says otherwise, by the type of the device.
BATCH = {"cpu": 32, "cuda": 128}
_DIGITS = 4  #: of a log-probability; beyond them float32 already depends on the shape of the batch
#: The ids of prompts, and how many tokens the answer to each may take.
Prompts: TypeAlias = tuple[list[list[int]], list[int]]


class Answer(NamedTuple):
    """What a model answered to one text.

    ``text`` is trimmed at the stop boundary, ``raw`` is all it wrote, and ``cut`` says whether something but blanks
    stood after the boundary. ``stop`` is the engine's: ``eos``, ``boundary`` or ``max_tokens``. The log-probabilities
    are natural logarithms over ``tokens_out`` tokens, EOS included. A text with an ``error`` was not asked.
    """

    text: str
    raw: str
    cut: bool
    stop: str
    tokens_in: int
    tokens_out: int
    logprob_mean: float | None
    logprob_min: float | None
    error: str = ""


class Asker:
    """A loaded model with its prompt for one language pair.

    ``engine`` decodes, the reference if none is given; with ``guards=False`` that one lets the model run on to EOS or
    the length cap: what it does by itself. ``reference`` gives the model as torch has it, if need be.

    :raises UsageError: for a template without ``{source}`` or a language without a name in the prompt.
    """

    def __init__(
        self,
        loaded: Loaded,
        template: str,
        source_lang: str,
        target_lang: str,
        length_cap: LengthCap,
        *,
        guards: bool = True,
        engine: Engine | None = None,
        reference: Callable[[], Loaded] | None = None,
    ) -> None:
        self._tokenizer = loaded.tokenizer
        self._context = loaded.context
        self._template = template
        self._pair = (source_lang, target_lang)
        self._cap = length_cap
        self._heads = _heads(template, source_lang, target_lang)
        self._dropped = _unprinted_ids(loaded.tokenizer)
        self._reference = reference or (lambda: loaded)
        self._constrained: ConstrainedEngine | None = None
        self.engine: Engine = engine or HfEngine(loaded, guards=guards)

    def ask(self, sources: Sequence[str]) -> list[Answer]:
        """The answers to texts with something in them, in their order; placeholders are masked already.

        :raises Overload: where they do not fit into memory together.
        """
        answers = dict(self.stream(sources))
        return [answers[index] for index in range(len(sources))]

    def stream(self, sources: Sequence[str], terms: Sequence[Terms] | None = None) -> Iterator[tuple[int, Answer]]:
        """The same with the index of its text each, in any order, as the engine finishes them. ``terms`` are those of
        a glossary that each text has."""
        yield from self.stream_prompts(*self.prompts(sources, terms))

    def stream_prompts(self, prompts: Sequence[list[int]], caps: Sequence[int]) -> Iterator[tuple[int, Answer]]:
        """The same for what :meth:`prompts` made of the texts."""
        fitting = [index for index, cap in enumerate(caps) if cap > 0]
        yield from ((index, self.too_long(len(prompts[index]))) for index, cap in enumerate(caps) if cap <= 0)
        for place, decoded in self._decode([prompts[index] for index in fitting], [caps[index] for index in fitting]):
            index = fitting[place]
            yield index, self.answer(len(prompts[index]), decoded)

    def stream_constrained(
        self,
        sources: Sequence[str],
        constraints: Sequence[Constraint],
        hypotheses: int = 1,
        batch_size: int | None = None,
        terms: Sequence[Terms] | None = None,
    ) -> Iterator[tuple[int, list[Answer]]]:
        """Answers that obey a constraint each, with the index of their text: so many ``hypotheses``, the likeliest
        first, or one with an error. ``batch_size`` of them are decoded together."""
        self._constrained = engine = self._constrained or ConstrainedEngine(self._reference())
        prompts, caps = self.prompts(sources, terms)
        masks = [[number for number, mask in enumerate(MASKS) if mask in source] for source in sources]
        least = [max(1, room(constraint, held)) for constraint, held in zip(constraints, masks, strict=True)]
        fitting = [index for index, prompt in enumerate(prompts) if len(prompt) + least[index] <= self._context]
        yield from ((index, [self.too_long(len(prompts[index]))]) for index in {*range(len(sources))} - {*fitting})
        rows = [
            ConstrainedRow(prompts[index], max(caps[index], least[index]), constraints[index], masks[index])
            for index in fitting
        ]
        for place, answers in engine.stream(rows, hypotheses, batch_size or BATCH[engine.device.type]):
            index = fitting[place]
            yield index, [self.answer(len(prompts[index]), decoded) for decoded in answers]

    def prompts(self, sources: Sequence[str], terms: Sequence[Terms] | None = None) -> Prompts:
        """The prompts for texts, and how many tokens each answer may take; none, for a text that is too long.

        A text is asked for without its terms where they would take the room of its answer.
        """
        prompts = encode_prompts(self._tokenizer, sources, *self._pair, self._template, terms)
        caps = [self._cap.tokens(length) for length in token_counts(self._tokenizer, sources)]
        for index, cap in enumerate(caps):
            if terms is not None and terms[index] and len(prompts[index]) + cap > self._context:
                prompts[index] = encode_prompt(self._tokenizer, sources[index], *self._pair, self._template)
        return prompts, [min(cap, self._context - len(prompt)) for prompt, cap in zip(prompts, caps, strict=True)]

    def too_long(self, tokens: int) -> Answer:
        """What is said of a prompt of so many tokens that has no room for an answer."""
        error = f"the prompt has {tokens} tokens, too many for a model that takes {self._context} with the answer"
        return Answer("", "", False, "", tokens, 0, None, None, error)

    def _decode(self, prompts: list[list[int]], caps: list[int]) -> Iterator[tuple[int, Decoded]]:
        try:
            yield from self.engine.stream(prompts, caps)
            return
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            message = str(error).split("\n")[0]
        # Only here, with the exception and the tensors its frames held gone, can the memory be given back.
        if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise Overload(f"{len(prompts)} segments do not fit into memory: {message}", "Use a smaller -O max-batch.")

    def answer(self, tokens_in: int, answer: Decoded) -> Answer:
        """What a model answered to a prompt of so many tokens."""
        if answer.stop == "memory":
            error = f"a prompt of {tokens_in} tokens and its answer are too large for this machine's memory"
            return Answer("", "", False, "", tokens_in, 0, None, None, error)
        kept = [token for token in answer.ids if token not in self._dropped]
        raw = self._tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        text, cut = trim(raw, self._heads)
        tokens = len(answer.ids) + (answer.stop == "eos")
        if not answer.logprobs:
            return Answer(text, raw, cut, answer.stop, tokens_in, tokens, None, None)
        mean = round(sum(answer.logprobs) / tokens, _DIGITS)
        return Answer(text, raw, cut, answer.stop, tokens_in, tokens, mean, round(min(answer.logprobs), _DIGITS))


def _heads(template: str, source_lang: str, target_lang: str) -> tuple[str, ...]:
    """The line heads of a template; a language that it does not name needs no name."""
    source = language_name(source_lang) if "{source_language}" in template else ""
    target = language_name(target_lang) if "{target_language}" in template else ""
    return line_heads(template, source, target)


def _unprinted_ids(tokenizer: Any) -> frozenset[int]:
    """The ids of special tokens, which are not text; mask characters are, whatever the tokenizer calls them."""
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(number for number, token in added if token.special and token.content not in MASKS)


def token_counts(tokenizer: Any, sources: Sequence[str]) -> list[int]:
    """How many tokens each text has by itself."""
    encoded = tokenizer(list(sources), add_special_tokens=False, split_special_tokens=True, return_attention_mask=False)
    return [len(ids) for ids in encoded["input_ids"]]
