"""The ``llama`` backend: finds and loads a model, and turns requests into questions and answers into results."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from batchtrans import Backend, Meter, Request, Result, Usage
from batchtrans.calibration import FILE, load_calibration

from .engines import likely_engine
from .locate import Located, locate, refuse_rejected
from .meter import LlamaMeter
from .options import Settings, parse
from .own_process import OwnProcess
from .prompt import mask_count, prompt_hash, takes_terms
from .service import Service

_CHARS_PER_SEGMENT = 512
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
        self._service: Service | OwnProcess | None = None
        self._found: dict[tuple[str, str], Located] = {}
        self._notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        return self._notes + (self._service.notes if self._service else [])

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
        made = LlamaMeter(found, self._settings, located_fingerprint(found, self._settings), self._usage)
        self.masks = mask_count(made.tokenizer)
        self._set_bounds(made.engine, made.engine != "hf", made.batch)
        return made

    def _usage(self) -> Usage:
        return self._service.usage() if self._service else Usage()

    def _set_bounds(self, name: str, schedules: bool, batch: int) -> None:
        """What one call gets, and how its answers are taken, by an engine's name and kind and its batch."""
        self.batch_size = _WINDOW if schedules else batch
        self.batch_chars = sys.maxsize if schedules else batch * _CHARS_PER_SEGMENT
        self.portion = _PORTION if schedules else None
        self.background = name == "graph"  # elsewhere the processor itself decodes

    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        settings = self._settings
        found = self._locate(source_lang, target_lang)
        self._notes = list(found.notes)
        self.calibration_file = calibration_file(found)
        self.calibration = load_calibration(self.calibration_file)
        kind = OwnProcess if self._has_own_process(found) else Service
        self._service = kind(found, settings, source_lang, target_lang)
        facts = self._service.facts
        self.masks, self.constrains, self.hypotheses = facts.masks, facts.constrains, facts.hypotheses
        self._set_bounds(facts.engine, facts.schedules, facts.batch)
        return {**located_fingerprint(found, settings), **facts.fingerprint}

    def _has_own_process(self, found: Located) -> bool:
        """Whether the model gets a process of its own: where a device does the work, and not the processor."""
        if self._settings.own_process is not None:
            return self._settings.own_process
        engine, on_cuda = likely_engine(found, self._settings)
        return on_cuda and engine == "graph"

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        assert self._service is not None, "translate() before start()"
        remaining = iter(requests)
        while batch := list(islice(remaining, self.batch_size)):
            yield from self._service.translate(batch)

    def expect(self, requests: Sequence[Request]) -> None:
        if isinstance(self._service, OwnProcess):
            self._service.expect(requests)

    def stop(self) -> None:
        if self._service is not None:
            self._notes, service, self._service = self.notes, self._service, None
            service.close()


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
