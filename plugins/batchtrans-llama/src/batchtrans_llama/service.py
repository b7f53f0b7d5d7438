"""A model at work: loaded, with its engine and its prompt; requests in, results out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from batchtrans import Constraint, Request, Result, Usage

from .asking import BATCH, Answer, Asker, Prompts
from .engines import reference_model, start
from .generate import HfEngine
from .load import Loaded
from .locate import Located
from .options import Settings
from .prompt import mask_count

#: The most answers to one request; each costs as much as a segment.
HYPOTHESES = 8


class Facts(NamedTuple):
    """What is known of a model once it is loaded, as plain values.

    ``fingerprint`` is how its weights stand in memory and what they are computed with; the engine is called ``engine``,
    ``schedules`` says whether it forms batches itself, and ``batch`` how many texts it is given together otherwise.
    ``masks`` is how many mask characters the tokenizer has; ``constrains`` says whether answers can be held to a
    constraint, and ``hypotheses`` how many there can be to one text.
    """

    fingerprint: Mapping[str, Any]
    engine: str
    schedules: bool
    batch: int
    masks: int
    constrains: bool
    hypotheses: int


class Service:
    """A located model, loaded for one language pair.

    :raises BackendError: as ``engines.start``.
    :raises UsageError: for options that contradict one another, or a language without a name in the prompt.
    """

    def __init__(self, found: Located, settings: Settings, source_lang: str, target_lang: str) -> None:
        self.loaded, engine = start(found, settings)
        reference = reference_model(found, settings, self.loaded, engine) if settings.eos else None
        pair, cap = (source_lang, target_lang), settings.length_cap
        self._asker = Asker(self.loaded, found.template, *pair, cap, engine=engine, reference=reference)
        self._most = settings.max_batch
        masks = mask_count(self.loaded.tokenizer)
        self.facts = Facts(
            loaded_fingerprint(self.loaded, engine.name),
            engine.name,
            engine.schedules,
            settings.max_batch or BATCH[self.loaded.device.type],
            masks,
            masks > 0 and reference is not None,
            1 if reference is None else HYPOTHESES,
        )

    @property
    def notes(self) -> list[str]:
        """Remarks for the user; an engine may add to them while it decodes."""
        return [*self.loaded.notes, *self._asker.engine.notes]

    def prepare(self, batch: Sequence[Request]) -> Prompts:
        """The prompts of a batch, for :meth:`translate`; on any thread."""
        plain = _plain(batch)
        return self._asker.prompts([request.source for request in plain], [request.terms for request in plain])

    def translate(self, batch: Sequence[Request], prepared: Prompts | None = None) -> Iterator[Result]:
        """See :meth:`batchtrans.Backend.translate`; all of the batch is asked for together, as far as it is alike."""
        yield from (Result(request.id, "") for request in batch if not request.source.strip())
        if plain := _plain(batch):
            answers = self._asker.stream_prompts(*(prepared or self.prepare(plain)))
            yield from (_result(plain[index].id, answer) for index, answer in answers)
        special = [request for request in batch if request.source.strip() and _is_special(request)]
        for count in sorted({request.hypotheses for request in special}):
            yield from self._constrained([request for request in special if request.hypotheses == count], count)

    def _constrained(self, batch: list[Request], hypotheses: int) -> Iterator[Result]:
        """Requests with a constraint, or for more than one answer."""
        sources = [request.source for request in batch]
        constraints = [request.constraint or Constraint() for request in batch]
        terms = [request.terms for request in batch]
        asked = self._asker.stream_constrained(sources, constraints, hypotheses, self._most, terms)
        for index, answers in asked:
            ended = tuple(answer.text for answer in answers[1:] if answer.stop != "max_tokens")
            yield _result(batch[index].id, answers[0])._replace(others=ended)

    def usage(self) -> Usage:
        """See :meth:`batchtrans.Meter.usage`; of this process there is nothing to say but what it takes of a GPU."""
        if self.loaded.device.type != "cuda":
            return Usage()
        import torch

        return Usage(device=int(torch.cuda.max_memory_reserved(self.loaded.device)))

    def close(self) -> None:
        """Give the model's memory back."""
        on_cuda = self.loaded.device.type == "cuda"
        del self.loaded, self._asker
        if on_cuda and (torch := sys.modules.get("torch")):
            torch.cuda.empty_cache()


def loaded_fingerprint(loaded: Loaded, engine: str = HfEngine.name) -> dict[str, Any]:
    """How the weights stand in memory, and what they are computed with."""
    return {
        "weights": loaded.weights,
        "quant": loaded.quant,
        "dtype": loaded.dtype,
        "device": loaded.device.type,
        "engine": engine,
    }


def _plain(batch: Sequence[Request]) -> list[Request]:
    """The requests for which one answer is wanted that obeys nothing but the engine's rules."""
    return [request for request in batch if request.source.strip() and not _is_special(request)]


def _is_special(request: Request) -> bool:
    return request.constraint is not None or request.hypotheses > 1


def _result(number: int, answer: Answer) -> Result:
    if answer.error:
        return Result(number, "", tokens_in=answer.tokens_in, error=answer.error)
    return Result(
        number,
        answer.text,
        raw=answer.raw,
        stop="boundary" if answer.cut else answer.stop,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        logprob_mean=answer.logprob_mean,
        logprob_min=answer.logprob_min,
    )
