"""The ``llama`` backend: prompts out of requests, an engine that decodes, translations out of its tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from batchtrans import Backend, Overload, Request, Result

from .generate import Decoded, Engine, HfEngine
from .load import Loaded, load
from .locate import Located, locate
from .options import parse
from .prompt import MASKS, encode_prompts, language_name, mask_count, prompt_hash
from .stop import line_heads, trim

_BATCH = {"cpu": 32, "cuda": 128}
_CHARS_PER_SEGMENT = 512
_DIGITS = 4  #: of a log-probability; beyond them float32 already depends on the shape of the batch


class LlamaBackend(Backend):
    """LLaMA-family models through transformers, with or without a LoRA adapter; greedy decoding only.

    ``notes`` are remarks for the user, complete after :meth:`start`.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        """Check the option values, without loading anything.

        :raises UsageError: for a value out of range.
        """
        super().__init__(options)
        self._settings = parse(options)
        self._loaded: Loaded | None = None
        self._engine: Engine | None = None
        self._found: dict[tuple[str, str], Located] = {}
        self.notes: list[str] = []

    def preview(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        return self._located_fingerprint(self._locate(source_lang, target_lang))

    def _locate(self, source_lang: str, target_lang: str) -> Located:
        """The model for a pair, found once: its fingerprint takes a reading of all its weights."""
        pair = (source_lang, target_lang)
        if pair not in self._found:
            self._found[pair] = locate(self._settings, source_lang, target_lang)
        return self._found[pair]

    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        settings = self._settings
        found = self._locate(source_lang, target_lang)
        loaded = load(found.base, found.adapter, settings.device, settings.dtype, settings.quant)
        self.notes = [*found.notes, *loaded.notes]
        self._loaded = loaded
        self._engine = HfEngine(loaded)
        self._pair = (source_lang, target_lang)
        self._template = found.template
        self._heads = _heads(found.template, source_lang, target_lang)
        self._dropped = _unprinted_ids(loaded.tokenizer)
        self.masks = mask_count(loaded.tokenizer)
        self.batch_size = settings.max_batch or _BATCH[loaded.device.type]
        self.batch_chars = self.batch_size * _CHARS_PER_SEGMENT
        return self._fingerprint(found, loaded)

    def _fingerprint(self, found: Located, loaded: Loaded) -> Mapping[str, Any]:
        assert self._engine is not None
        return {
            **self._located_fingerprint(found),
            "weights": loaded.weights,
            "quant": loaded.quant,
            "dtype": loaded.dtype,
            "device": loaded.device.type,
            "engine": self._engine.name,
        }

    def _located_fingerprint(self, found: Located) -> dict[str, Any]:
        """What the files and options say, before a device is chosen; an option given by hand counts as it is."""
        settings = self._settings
        given = {"quant": settings.quant, "dtype": settings.dtype, "device": settings.device.partition(":")[0]}
        return {
            "backend": "llama",
            "model": found.name,
            "revision": found.revision,
            "base": found.base_fingerprint,
            "adapter": found.adapter.sha256() if found.adapter is not None else None,
            "prompt": prompt_hash(found.template),
            "length_cap": str(settings.length_cap),
            **{name: value for name, value in given.items() if value != "auto"},
        }

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        remaining = iter(requests)
        while batch := list(islice(remaining, self.batch_size)):
            yield from self._translate_batch(batch)

    def _translate_batch(self, batch: list[Request]) -> Iterator[Result]:
        assert self._loaded is not None and self._engine is not None, "translate() before start()"
        tokenizer, context = self._loaded.tokenizer, self._loaded.context
        yield from (Result(request.id, "") for request in batch if not request.source.strip())
        batch = [request for request in batch if request.source.strip()]
        sources = [request.source for request in batch]
        if not sources:
            return
        prompts = encode_prompts(tokenizer, sources, *self._pair, self._template)
        lengths = _token_counts(tokenizer, sources)
        rows = []
        for request, prompt, length in zip(batch, prompts, lengths, strict=True):
            cap = min(self._settings.length_cap.tokens(length), context - len(prompt))
            if cap > 0:
                rows.append((request, prompt, cap))
                continue
            error = f"the source has {length} tokens, too many for a model that takes {context} with the prompt"
            yield Result(request.id, "", tokens_in=len(prompt), error=error)
        if not rows:
            return
        decoded = self._decode([prompt for _, prompt, _ in rows], [cap for _, _, cap in rows])
        for (request, prompt, _), answer in zip(rows, decoded, strict=True):
            yield self._result(request, len(prompt), answer)

    def _decode(self, prompts: list[list[int]], caps: list[int]) -> list[Decoded]:
        import torch

        assert self._engine is not None
        try:
            return self._engine.decode(prompts, caps)
        except torch.cuda.OutOfMemoryError as error:
            message = str(error).split("\n")[0]
        except (MemoryError, RuntimeError) as error:
            message = str(error).split("\n")[0]
            if not isinstance(error, MemoryError) and "allocate memory" not in message:
                raise
        # Only here, with the exception and the tensors its frames held gone, can the memory be given back.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise Overload(f"{len(prompts)} segments do not fit into memory: {message}", "Use a smaller -O max-batch.")

    def _result(self, request: Request, tokens_in: int, answer: Decoded) -> Result:
        assert self._loaded is not None
        kept = [token for token in answer.ids if token not in self._dropped]
        raw = self._loaded.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        text, cut = trim(raw, self._heads)
        return Result(
            request.id,
            text,
            raw=raw,
            stop="boundary" if cut else answer.stop,
            tokens_in=tokens_in,
            tokens_out=len(answer.logprobs),
            logprob_mean=round(sum(answer.logprobs) / len(answer.logprobs), _DIGITS),
            logprob_min=round(min(answer.logprobs), _DIGITS),
        )

    def stop(self) -> None:
        if self._loaded is None:
            return
        on_cuda = self._loaded.device.type == "cuda"
        self._loaded = self._engine = None
        if on_cuda:
            import torch

            torch.cuda.empty_cache()


def _heads(template: str, source_lang: str, target_lang: str) -> tuple[str, ...]:
    """The line heads of a template; a language that it does not name needs no name."""
    source = language_name(source_lang) if "{source_language}" in template else ""
    target = language_name(target_lang) if "{target_language}" in template else ""
    return line_heads(template, source, target)


def _unprinted_ids(tokenizer: Any) -> frozenset[int]:
    """The ids of special tokens, which are not text; mask characters are, whatever the tokenizer calls them."""
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(number for number, token in added if token.special and token.content not in MASKS)


def _token_counts(tokenizer: Any, sources: list[str]) -> list[int]:
    encoded = tokenizer(sources, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False)
    return [len(ids) for ids in encoded["input_ids"]]
