"""The ``llama`` backend: finds and loads a model, and turns requests into questions and answers into results."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from batchtrans import Backend, Constraint, Meter, Request, Result
from batchtrans.calibration import FILE, load_calibration

from .asking import BATCH, Answer, Asker
from .engines import reference_model, start
from .generate import HfEngine
from .load import Loaded
from .locate import Located, locate, refuse_rejected
from .meter import LlamaMeter
from .options import Settings, parse
from .prompt import mask_count, prompt_hash, takes_terms

_CHARS_PER_SEGMENT = 512
#: The most answers to one request; each costs as much as a segment.
HYPOTHESES = 8
#: What one call takes of an engine that schedules: any window of a document.
_WINDOW = 1 << 16
#: Answers that such an engine gives before they are judged and logged: about a step's worth, so that the device has
#: another step to do meanwhile.
_PORTION = 32


class LlamaBackend(Backend):
    """LLaMA-family models through transformers or CTranslate2, with or without a LoRA adapter; greedy decoding only.

    ``notes`` are remarks for the user; an engine may add to them while it decodes.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        """Check the option values, without loading anything.

        :raises UsageError: for a value out of range.
        """
        super().__init__(options)
        self._settings = parse(options)
        self._loaded: Loaded | None = None
        self._asker: Asker | None = None
        self._found: dict[tuple[str, str], Located] = {}
        self._notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        return self._notes + (self._asker.engine.notes if self._asker else [])

    def preview(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        return located_fingerprint(self._locate(source_lang, target_lang), self._settings)

    def _locate(self, source_lang: str, target_lang: str) -> Located:
        """The model for a pair, found once: its fingerprint takes a reading of all its weights."""
        pair = (source_lang, target_lang)
        if pair not in self._found:
            found = locate(self._settings, source_lang, target_lang)
            refuse_rejected(found, self._settings.force)
            self._found[pair] = found
        self.takes_terms = takes_terms(self._found[pair].template)
        return self._found[pair]

    def meter(self, source_lang: str, target_lang: str) -> Meter:
        found = self._locate(source_lang, target_lang)
        made = LlamaMeter(found, self._settings, located_fingerprint(found, self._settings))
        self.masks = mask_count(made.tokenizer)
        self._set_bounds(made.engine, made.engine != "hf", made.batch)
        return made

    def _set_bounds(self, name: str, schedules: bool, batch: int) -> None:
        """What one call gets, and how its answers are taken, by an engine's name and kind and its batch."""
        self.batch_size = _WINDOW if schedules else batch
        self.batch_chars = sys.maxsize if schedules else batch * _CHARS_PER_SEGMENT
        self.portion = _PORTION if schedules else None
        self.background = name == "graph"  # elsewhere the processor itself decodes

    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        settings = self._settings
        found = self._locate(source_lang, target_lang)
        loaded, engine = start(found, settings)
        self._notes = [*found.notes, *loaded.notes]
        self._loaded = loaded
        self.calibration_file = calibration_file(found)
        self.calibration = load_calibration(self.calibration_file)
        pair = source_lang, target_lang
        reference = reference_model(found, settings, loaded, engine) if settings.eos else None
        self._asker = Asker(loaded, found.template, *pair, settings.length_cap, engine=engine, reference=reference)
        self.masks = mask_count(loaded.tokenizer)
        self.constrains = self.masks > 0 and reference is not None
        self.hypotheses = HYPOTHESES if reference is not None else 1
        self._set_bounds(engine.name, engine.schedules, settings.max_batch or BATCH[loaded.device.type])
        return {**located_fingerprint(found, settings), **loaded_fingerprint(loaded, engine.name)}

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        remaining = iter(requests)
        while batch := list(islice(remaining, self.batch_size)):
            yield from self._translate_batch(batch)

    def _translate_batch(self, batch: list[Request]) -> Iterator[Result]:
        assert self._asker is not None, "translate() before start()"
        yield from (Result(request.id, "") for request in batch if not request.source.strip())
        batch = [request for request in batch if request.source.strip()]
        if plain := [request for request in batch if not _is_special(request)]:
            terms = [request.terms for request in plain]
            answers = self._asker.stream([request.source for request in plain], terms)
            yield from (_result(plain[index].id, answer) for index, answer in answers)
        special = [request for request in batch if _is_special(request)]
        for count in sorted({request.hypotheses for request in special}):
            yield from self._constrained([request for request in special if request.hypotheses == count], count)

    def _constrained(self, batch: list[Request], hypotheses: int) -> Iterator[Result]:
        """Requests with a constraint, or for more than one answer."""
        assert self._asker is not None
        sources = [request.source for request in batch]
        constraints = [request.constraint or Constraint() for request in batch]
        terms = [request.terms for request in batch]
        size = self._settings.max_batch
        for index, answers in self._asker.stream_constrained(sources, constraints, hypotheses, size, terms):
            ended = tuple(answer.text for answer in answers[1:] if answer.stop != "max_tokens")
            yield _result(batch[index].id, answers[0])._replace(others=ended)

    def stop(self) -> None:
        if self._loaded is None:
            return
        on_cuda = self._loaded.device.type == "cuda"
        self._notes = self.notes
        self._loaded = self._asker = None
        if on_cuda:
            import torch

            torch.cuda.empty_cache()


def calibration_file(found: Located) -> Path:
    """Where the calibration of a model with its adapter stands, if it has one."""
    return (found.adapter.directory if found.adapter is not None else found.base) / FILE


def located_fingerprint(found: Located, settings: Settings) -> dict[str, Any]:
    """What the files and options say, before a device is chosen; an option given by hand counts as it is."""
    given = {
        "quant": settings.quant,
        "dtype": settings.dtype,
        "device": settings.device.partition(":")[0],
        "engine": settings.engine,
    }
    calibration = load_calibration(calibration_file(found))
    return {
        "backend": "llama",
        "model": found.name,
        "revision": found.revision,
        "base": found.base_fingerprint,
        "adapter": found.adapter.sha256() if found.adapter is not None else None,
        "prompt": prompt_hash(found.template),
        "length_cap": str(settings.length_cap),
        **{name: value for name, value in given.items() if value != "auto"},
        **({} if settings.eos else {"eos": "off"}),
        **({} if calibration is None else {"calibration": calibration.identity()}),
    }


def loaded_fingerprint(loaded: Loaded, engine: str = HfEngine.name) -> dict[str, Any]:
    """How the weights stand in memory, and what they are computed with."""
    return {
        "weights": loaded.weights,
        "quant": loaded.quant,
        "dtype": loaded.dtype,
        "device": loaded.device.type,
        "engine": engine,
    }


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
