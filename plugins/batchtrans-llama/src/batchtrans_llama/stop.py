"""Where a translation ends when the model does not say so itself.

A source is one line, so its translation is one line: the first line break after text is the boundary. Blank lines
before the text are skipped, unless what follows them is the prompt's own frame (``English:``), which means that the
model wrote no translation and began the next example.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_FIELD = re.compile(r"\{(source|terms|source_language|target_language)\}")
_SHORTEST_HEAD = 4  # characters; a shorter piece of a template could begin any sentence


class Trimmed(NamedTuple):
    """A text without what stands after the boundary, and whether anything but blanks was ``cut``."""

    text: str
    cut: bool


def line_heads(template: str, source_language: str, target_language: str) -> tuple[str, ...]:
    """How the lines of a prompt begin, up to the source or the terms: what a model that runs on begins lines with."""
    names = {"source": "\0", "terms": "\0", "source_language": source_language, "target_language": target_language}
    frame = _FIELD.sub(lambda match: names[match[1]], template)
    heads = (line.partition("\0")[0].strip() for line in frame.split("\n"))
    return tuple(dict.fromkeys(head for head in heads if len(head) >= _SHORTEST_HEAD))


def trim(raw: str, heads: tuple[str, ...]) -> Trimmed:
    """Cut ``raw`` at the stop boundary and take the blanks off its edges."""
    body = raw.lstrip()
    if LINE_BREAK.search(raw, 0, len(raw) - len(body)) and body.startswith(heads):
        return Trimmed("", True)
    body = body.rstrip()
    match = LINE_BREAK.search(body)
    return Trimmed(body[: match.start()].rstrip(), True) if match else Trimmed(body, False)


def token_classes(tokenizer: Any, size: int) -> tuple[list[bool], list[bool]]:
    """For each of ``size`` token ids: does its text break the line, and is its text nothing but blanks?

    Decoded one by one, so that it holds for byte-level and SentencePiece vocabularies alike. Ids beyond the
    tokenizer's own (a padded embedding) do neither.
    """
    known = min(size, len(tokenizer))
    texts = tokenizer.batch_decode(
        [[number] for number in range(known)], skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    padding = [False] * (size - known)
    breaks = [LINE_BREAK.search(text) is not None for text in texts] + padding
    blank = [not text.strip() for text in texts] + padding
    return breaks, blank
