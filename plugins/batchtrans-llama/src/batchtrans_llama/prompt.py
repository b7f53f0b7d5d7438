"""The single place that says what a model sees.

Training and inference both come here for token ids, so that they cannot drift apart: the prompt ends in
``Spanish:`` without a trailing space, the completion is ``" " + target`` tokenised on its own, one BOS opens the
row, the EOS id closes it, and labels are cut by length. A tokenizer is any fast tokenizer of transformers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batchtrans import MASK_BASE, BackendError, UnsupportedPair, UsageError
from batchtrans.languages import base_language

PROMPT = (
    "Translate the following text from {source_language} to {target_language}:\n"
    "{source_language}: {source}\n"
    "{target_language}:"
)
#: The mask characters of our tokenizers, each an added token of its own; see ``batchtrans.MASK_BASE``.
MASKS = tuple(chr(MASK_BASE + number) for number in range(32))
#: The label of a token that carries no loss, as in torch's cross entropy.
IGNORED = -100

_LANGUAGES = {
    "af": "Afrikaans", "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech",
    "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "eo": "Esperanto",
    "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "ga": "Irish", "gl": "Galician", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian",
    "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay", "nb": "Norwegian", "nl": "Dutch",
    "nn": "Norwegian Nynorsk", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili",
    "ta": "Tamil", "te": "Telugu", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
_NO_BREAK = re.compile("[\u00a0\u2007\u202f]")
_LINE_BREAK = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


@dataclass(frozen=True, slots=True)
class _Frame:
    """A template for one language pair, ready to take sources: ids, text, (the source), text, ids."""

    lead: list[int]
    before: str
    after: str
    trail: list[int]


def language_name(code: str) -> str:
    """The English name of a language code, BCP 47 (``pt-BR``) or gettext style (``pt_BR``), without its territory.

    :raises UnsupportedPair: for a language that the table does not hold.
    """
    name = _LANGUAGES.get(base_language(code))
    if name is None:
        raise UnsupportedPair(
            f"the prompt has no name for the language {code!r}",
            f"Known codes: {' '.join(_LANGUAGES)}. A prompt template may also write the language names out.",
        )
    return name


def prompt_hash(template: str = PROMPT) -> str:
    """sha256 (hex) of a prompt template, for logs and for the file that stands beside an adapter."""
    return hashlib.sha256(template.encode("utf-8")).hexdigest()


def mask_count(tokenizer: Any) -> int:
    """How many consecutive mask characters from U+E000 on a tokenizer has as added tokens of one id; 0 for a
    tokenizer that is not ours."""
    added = tokenizer.get_added_vocab()
    return next((number for number, mask in enumerate(MASKS) if mask not in added), len(MASKS))


def clean_source(source: str) -> str:
    """The source as it stands in the prompt: one line, no blanks at its edges, plain spaces for no-break ones.

    A tokenizer that makes other tokens of a word behind a no-break space hides the word from the model.
    """
    return _NO_BREAK.sub(" ", _LINE_BREAK.sub(" ", source)).strip()


def encode_prompt(tokenizer: Any, source: str, source_lang: str, target_lang: str, template: str = PROMPT) -> list[int]:
    """Token ids of one prompt; see :func:`encode_prompts`."""
    return encode_prompts(tokenizer, [source], source_lang, target_lang, template)[0]


def encode_prompts(
    tokenizer: Any, sources: Sequence[str], source_lang: str, target_lang: str, template: str = PROMPT
) -> list[list[int]]:
    """Token ids of prompts, in the order of the sources: exactly one BOS, then the template around each source.

    ``template`` holds ``{source}`` once and may hold ``{source_language}`` and ``{target_language}``. Special
    tokens count in the template and never in a source, where they are text.

    :raises UsageError: for a template without ``{source}``, or a language without a name.
    """
    frame = _frame(tokenizer, template, source_lang, target_lang)
    texts = [frame.before + clean_source(source) + frame.after for source in sources]
    return [frame.lead + ids + frame.trail for ids in _encode_texts(tokenizer, texts)]


def encode_completion(tokenizer: Any, target: str) -> list[int]:
    """Token ids of one completion; see :func:`encode_completions`."""
    return encode_completions(tokenizer, [target])[0]


def encode_completions(tokenizer: Any, targets: Sequence[str]) -> list[list[int]]:
    """Token ids of completions: a space, the target without blanks at its edges, and the EOS id.

    :raises BackendError: for a tokenizer without an EOS token.
    """
    if tokenizer.eos_token_id is None:
        raise BackendError(
            "the tokenizer has no EOS token, so a model could not learn where to stop",
            "Set eos_token in its tokenizer_config.json.",
        )
    texts = [" " + target.strip() for target in targets]
    return [[*ids, tokenizer.eos_token_id] for ids in _encode_texts(tokenizer, texts)]


def encode_example(
    tokenizer: Any,
    source: str,
    target: str,
    source_lang: str,
    target_lang: str,
    template: str = PROMPT,
    max_length: int | None = None,
) -> tuple[list[int], list[int]] | None:
    """Ids and labels of one training row; see :func:`encode_examples`."""
    return encode_examples(tokenizer, [(source, target)], source_lang, target_lang, template, max_length)[0]


def encode_examples(
    tokenizer: Any,
    pairs: Sequence[tuple[str, str]],
    source_lang: str,
    target_lang: str,
    template: str = PROMPT,
    max_length: int | None = None,
) -> list[tuple[list[int], list[int]] | None]:
    """Ids and labels of training rows (source, target), in order.

    The prompt's labels are IGNORED, counted by its length and never found by comparing ids, so that a pad token
    that equals EOS cannot hide the EOS; the last label is always EOS. A row longer than ``max_length`` ids is
    ``None``: cut short it would teach the model to stop in the middle, or not at all.
    """
    prompts = encode_prompts(tokenizer, [source for source, _ in pairs], source_lang, target_lang, template)
    completions = encode_completions(tokenizer, [target for _, target in pairs])
    rows: list[tuple[list[int], list[int]] | None] = []
    for prompt, completion in zip(prompts, completions, strict=True):
        fits = max_length is None or len(prompt) + len(completion) <= max_length
        rows.append((prompt + completion, [IGNORED] * len(prompt) + completion) if fits else None)
    return rows


def _frame(tokenizer: Any, template: str, source_lang: str, target_lang: str) -> _Frame:
    if template.count("{source}") != 1:
        raise UsageError(f"the prompt template does not hold {{source}} exactly once: {template!r}")
    for field, code in (("{source_language}", source_lang), ("{target_language}", target_lang)):
        if field in template:
            template = template.replace(field, language_name(code))
    head, tail = template.split("{source}")
    *lead, before = _split_specials(tokenizer, head)
    after, *trail = _split_specials(tokenizer, tail)
    lead_ids, trail_ids = _encode_pieces(tokenizer, lead), _encode_pieces(tokenizer, trail)
    bos = tokenizer.bos_token_id
    if bos is not None and lead_ids[:1] != [bos]:
        lead_ids.insert(0, bos)
    return _Frame(lead_ids, before, after, trail_ids)


def _split_specials(tokenizer: Any, text: str) -> list[str]:
    """The text cut at its special tokens: plain pieces (maybe empty) at even indices, tokens at odd ones."""
    specials = sorted(tokenizer.all_special_tokens, key=len, reverse=True)
    return re.split("(" + "|".join(map(re.escape, specials)) + ")", text) if specials else [text]


def _encode_pieces(tokenizer: Any, pieces: Sequence[str]) -> list[int]:
    specials = set(tokenizer.all_special_tokens)
    ids: list[int] = []
    for piece in pieces:
        if piece in specials:
            ids.append(tokenizer.convert_tokens_to_ids(piece))
        elif piece:
            ids.extend(_encode_texts(tokenizer, [piece])[0])
    return ids


def _encode_texts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []  # transformers fails on an empty batch
    encoded: list[list[int]] = tokenizer(
        list(texts), add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
    )["input_ids"]
    return encoded
