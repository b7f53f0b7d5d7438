"""Few-shot prompts: what a base model does when it is shown how, instead of being trained.

A few-shot prompt is a template like any other, with the examples already in it, so that it is encoded, decoded and
trimmed by the same code as every prompt.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Sequence

from batchtrans import UsageError, protect

from ..prompt import clean_source, language_name, without_terms

SEED = 12345
#: Signs of which template fields, special tokens and masks are made.
_FRAME_SIGNS = re.compile("[{}<>\\[\\]\ue000-\uf8ff]")
_BOS = re.compile(r"<\|begin_of_text\|>|<\|startoftext\|>|<bos>|<s>")


def few_shot_template(template: str, examples: Sequence[tuple[str, str]], source_lang: str, target_lang: str) -> str:
    """``template`` with ``examples`` (source, target) before it, each as the template frames it and a blank line.

    An example with a sign that could be a field, a special token or a mask is passed over, line breaks become blanks,
    the language names are written out, and the line for terms is left out, since examples have none: what comes out has
    ``{source}`` once, like what went in.
    """
    template = without_terms(template)
    template = _BOS.sub("", template, count=1) if _BOS.match(template) else template  # every prompt gets its own BOS
    for field, code in (("{source_language}", source_lang), ("{target_language}", target_lang)):
        if field in template:
            template = template.replace(field, language_name(code))
    head, _, tail = template.partition("{source}")
    framed = [
        f"{head}{clean_source(source)}{tail} {clean_source(target)}\n\n"
        for source, target in examples
        if fits_a_frame(source, target)
    ]
    return "".join(framed) + template


def fits_a_frame(source: str, target: str) -> bool:
    """Whether a pair can be an example: text on both sides, without placeholders or signs of the frame."""
    return all(text.strip() and not _FRAME_SIGNS.search(text) and not protect.find(text) for text in (source, target))


def choose_shots(
    pairs: Sequence[tuple[str, str]], count: int, exclude: Collection[str] = (), seed: int = SEED
) -> list[tuple[str, str]]:
    """``count`` of the shorter half of the pairs that can be examples, drawn by ``seed``. No source is in ``exclude``:
    a test set must not be shown to the model.

    :raises UsageError: where there are too few.
    """
    forbidden = {clean_source(source) for source in exclude}
    distinct = {
        clean_source(source): target
        for source, target in pairs
        if fits_a_frame(source, target) and clean_source(source) not in forbidden
    }
    if len(distinct) < count:
        raise UsageError(
            f"{count} examples are wanted, and {len(distinct)} of {len(pairs)} pairs can be one",
            "An example has no placeholders, tags or brackets, and its source is not in the test set.",
        )
    ordered = sorted(distinct.items(), key=lambda pair: len(pair[0]) + len(pair[1]))
    return random.Random(seed).sample(ordered[: max(count, len(ordered) // 2)], count)
