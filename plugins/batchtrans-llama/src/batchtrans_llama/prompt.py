"""The single place that says what a model sees.

Training and inference both come here for token ids, so that they cannot drift apart: the prompt ends in
``Spanish:`` without a trailing space, the completion is ``" " + target`` tokenised on its own, one BOS opens the
row, the EOS id closes it, and labels are cut by length. A tokenizer is any fast tokenizer of transformers.

A template may have a line with ``{terms}``, the terms of a glossary that a source has. For a source without any, the
prompt is that of the template without the line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from batchtrans import MASK_BASE, BackendError, UnsupportedPair, UsageError
from batchtrans.languages import base_language

PROMPT = (
    "Translate the following text from {source_language} to {target_language}:\n"
    "{source_language}: {source}\n"
    "{target_language}:"
)
#: The mask characters of our tokenizers, each an added token of its own; see ``batchtrans.MASK_BASE``.
MASKS = tuple(chr(MASK_BASE + number) for number in range(32))
#: The most terms that a prompt names, and the most characters of a term or its translation: beyond, it is a sentence.
MOST_TERMS, LONGEST_TERM = 16, 100
#: Terms of a glossary, each with its translation.
Terms: TypeAlias = Sequence[tuple[str, str]]
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
_FIELD = re.compile(r"\{(source|terms)\}")
_MASK = re.compile("[" + "".join(MASKS) + "]")
_LINE_BREAK = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


@dataclass(frozen=True, slots=True)
class _Frame:
    """A template for one language pair, ready to be filled: ids, and between them the texts that hold its fields."""

    parts: Sequence[list[int] | str]

    def texts(self, **values: str) -> list[str]:
        """The texts with their fields filled in; what a value says is never taken for a field."""
        held = (part for part in self.parts if isinstance(part, str))
        return [_FIELD.sub(lambda field: values[field[1]], part) for part in held]

    def joined(self, encoded: Iterator[list[int]]) -> list[int]:
        """The ids of one prompt; its next texts are taken from ``encoded``."""
        ids: list[int] = []
        for part in self.parts:
            ids += next(encoded) if isinstance(part, str) else part
        return ids


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
    if len(source.splitlines()) > 1:  # the same breaks, and the search for them with blanks takes 25 times as long
        source = _LINE_BREAK.sub(" ", source)
    return (source if source.isascii() else _NO_BREAK.sub(" ", source)).strip()


def takes_terms(template: str) -> bool:
    """Whether a template has a line for the terms of a glossary."""
    return "{terms}" in template


def without_terms(template: str) -> str:
    """The template for a source without terms: without the line that holds ``{terms}``."""
    return "\n".join(line for line in template.split("\n") if not takes_terms(line))


def template_fault(template: str) -> str:
    """What is wrong with a template, as the end of a sentence; empty if nothing is."""
    if template.count("{source}") != 1:
        return "does not hold {source} exactly once"
    if template.count("{terms}") > 1:
        return "holds {terms} more than once"
    lines = template.split("\n")
    if takes_terms(lines[-1]) or any(takes_terms(line) and "{source}" in line for line in lines):
        return "holds {terms} on a line that cannot be left out: its last one, or that of {source}"
    return ""


def terms_text(terms: Terms) -> str:
    """Terms as they stand in a prompt, ``file = archivo; folder = carpeta``; empty where none can.

    They are one line of text, whatever they hold. At most ``MOST_TERMS`` count, the first ones. A term that is longer
    than ``LONGEST_TERM``, or whose translation is, is left out whole: cut short it would be another term.
    """
    cleaned = dict.fromkeys(tuple(clean_source(_MASK.sub("", form)) for form in term) for term in terms)
    fitting = [term for term in cleaned if all(0 < len(form) <= LONGEST_TERM for form in term)]
    return "; ".join(" = ".join(term) for term in fitting[:MOST_TERMS])


def encode_prompt(
    tokenizer: Any, source: str, source_lang: str, target_lang: str, template: str = PROMPT, terms: Terms = ()
) -> list[int]:
    """Token ids of one prompt; see :func:`encode_prompts`."""
    return encode_prompts(tokenizer, [source], source_lang, target_lang, template, [terms])[0]


def encode_prompts(
    tokenizer: Any,
    sources: Sequence[str],
    source_lang: str,
    target_lang: str,
    template: str = PROMPT,
    terms: Sequence[Terms] | None = None,
) -> list[list[int]]:
    """Token ids of prompts, in the order of the sources: exactly one BOS, then the template around each source.

    ``template`` holds ``{source}`` once, may hold ``{source_language}`` and ``{target_language}``, and ``{terms}`` once
    on a line of its own: that line is left out for a source without ``terms``. These are the terms of each source, in
    order of appearance, each with its translation; see :func:`terms_text`. Special tokens count in the template and
    never in a source or a term, where they are text.

    :raises UsageError: for a template with a fault (:func:`template_fault`), or a language without a name.
    """
    if fault := template_fault(template):
        raise UsageError(f"the prompt template {fault}: {template!r}")
    named = [""] * len(sources)
    if terms is not None and takes_terms(template):
        named = [terms_text(each) for each in terms]
    plain = _frame(tokenizer, without_terms(template), source_lang, target_lang)
    full = _frame(tokenizer, template, source_lang, target_lang) if any(named) else plain
    texts: list[str] = []
    for source, names in zip(sources, named, strict=True):
        texts += (full if names else plain).texts(source=clean_source(source), terms=names)
    encoded = iter(_encode_texts(tokenizer, texts))
    return [(full if names else plain).joined(encoded) for names in named]


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
    terms: Sequence[Terms] | None = None,
) -> list[tuple[list[int], list[int]] | None]:
    """Ids and labels of training rows (source, target), in order; ``terms`` are those of each row's prompt.

    The prompt's labels are IGNORED, counted by its length and never found by comparing ids, so that a pad token
    that equals EOS cannot hide the EOS; the last label is always EOS. A row longer than ``max_length`` ids is
    ``None``: cut short it would teach the model to stop in the middle, or not at all.
    """
    prompts = encode_prompts(tokenizer, [source for source, _ in pairs], source_lang, target_lang, template, terms)
    completions = encode_completions(tokenizer, [target for _, target in pairs])
    rows: list[tuple[list[int], list[int]] | None] = []
    for prompt, completion in zip(prompts, completions, strict=True):
        fits = max_length is None or len(prompt) + len(completion) <= max_length
        rows.append((prompt + completion, [IGNORED] * len(prompt) + completion) if fits else None)
    return rows


def _frame(tokenizer: Any, template: str, source_lang: str, target_lang: str) -> _Frame:
    for field, code in (("{source_language}", source_lang), ("{target_language}", target_lang)):
        if field in template:
            template = template.replace(field, language_name(code))
    parts: list[list[int] | str] = []
    for number, piece in enumerate(_split_specials(tokenizer, template)):
        if number % 2:
            parts.append([tokenizer.convert_tokens_to_ids(piece)])
        elif _FIELD.search(piece):
            parts.append(piece)
        elif piece:
            parts += _encode_texts(tokenizer, [piece])
    bos = tokenizer.bos_token_id
    if bos is not None and (isinstance(parts[0], str) or parts[0][:1] != [bos]):
        parts.insert(0, [bos])
    return _Frame(parts)


def _split_specials(tokenizer: Any, text: str) -> list[str]:
    """The text cut at its special tokens: plain pieces (maybe empty) at even indices, tokens at odd ones."""
    specials = sorted(tokenizer.all_special_tokens, key=len, reverse=True)
    return re.split("(" + "|".join(map(re.escape, specials)) + ")", text) if specials else [text]


def _encode_texts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []  # transformers fails on an empty batch
    encoded: list[list[int]] = tokenizer(
        list(texts), add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
    )["input_ids"]
    return encoded
