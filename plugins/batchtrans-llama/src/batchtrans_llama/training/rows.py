"""From pairs to what the model is trained on: lines, masks, token ids with labels, batches.

A row shows the model what it will be asked at translation time: one line (``run`` sends lines and sentences, never a
text with line breaks), placeholders as mask characters where the tokenizer has them, the prompt in front, and EOS as
the last label of every row.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from batchtrans import protect, segmentation
from batchtrans.glossary import Glossary

from ..data.read import Pair
from ..prompt import IGNORED, MASKS, encode_examples

#: Rows are sorted by length within so many batches: enough to save nearly all padding, few enough that an epoch's
#: order stays close to a random one.
_BUCKETS = 50
_ENCODED_AT_ONCE = 2_000


class Row(NamedTuple):
    """One example: ``ids`` of prompt and completion, and as many ``labels``, ``IGNORED`` for the prompt's; whether the
    prompt names terms of a glossary."""

    ids: list[int]
    labels: list[int]
    has_terms: bool = False

    @property
    def supervised(self) -> int:
        """How many labels carry loss."""
        return sum(label != IGNORED for label in self.labels)


def make_rows(
    tokenizer: Any,
    pairs: Iterable[Pair],
    languages: tuple[str, str],
    template: str,
    masks: int,
    context: int,
    counts: Counter[str],
    glossary: Glossary | None = None,
) -> list[Row]:
    """Encode pairs. A row longer than ``context`` tokens is dropped and counted, never cut: cut short it would teach
    the model to stop in the middle. ``masks`` is how many mask characters the tokenizer has.

    A row's prompt names those terms of the ``glossary`` that its target keeps to, so that the model learns to obey.
    """
    texts = [text for pair in pairs for text in _lines(pair, languages, masks)]
    rows = []
    for start in range(0, len(texts), _ENCODED_AT_ONCE):
        chunk = texts[start : start + _ENCODED_AT_ONCE]
        terms = [glossary.kept_pairs(*text) if glossary is not None else [] for text in chunk]
        encoded = encode_examples(tokenizer, chunk, *languages, template, context, terms)
        rows += [Row(*example, bool(told)) for example, told in zip(encoded, terms, strict=True) if example is not None]
    if dropped := len(texts) - len(rows):
        counts["longer than the model's context"] += dropped
    return rows


def _lines(pair: Pair, languages: tuple[str, str], masks: int) -> Iterator[tuple[str, str]]:
    """A pair line by line, or sentence by sentence for a long text, where both sides have as many; else on one line."""
    sources, targets = map(segmentation.split, (pair.source, pair.target), languages)
    if len(sources) != len(targets):
        sources, targets = [pair.source], [pair.target]
    for source, target in zip(sources, targets, strict=True):
        one, other = segmentation.unwrap(source.strip()), segmentation.unwrap(target.strip())
        if one and other:
            yield mask_pair(one, other, pair.flags, range(masks)) or (one, other)


def mask_pair(source: str, target: str, flags: frozenset[str], numbers: Sequence[int]) -> tuple[str, str] | None:
    """A pair with a mask in the place of each placeholder, the same on both sides; ``None`` where there is no
    placeholder, where the sides differ, or where ``numbers``, the masks to use in the order of the source, are too few.

    Equal placeholders are matched in order of occurrence.
    """
    left, right = protect.find(source, flags), protect.find(target, flags)
    names = [source[span.start : span.end] for span in left]
    others = [target[span.start : span.end] for span in right]
    if not names or len(names) > len(numbers) or Counter(names) != Counter(others):
        return None
    waiting: dict[str, list[int]] = {}
    for name, number in zip(names, numbers, strict=False):
        waiting.setdefault(name, []).append(number)
    return (
        _replace(source, left, numbers[: len(names)]),
        _replace(target, right, [waiting[name].pop(0) for name in others]),
    )


def _replace(text: str, spans: Sequence[protect.Span], numbers: Sequence[int]) -> str:
    parts, position = [], 0
    for span, number in zip(spans, numbers, strict=True):
        parts += [text[position : span.start], MASKS[number]]
        position = span.end
    return "".join(parts) + text[position:]


def epoch_batches(lengths: Sequence[int], size: int, bucketed: bool, seed: str) -> list[list[int]]:
    """One epoch: every row's index once, in batches of ``size`` (the last may be smaller) in random order.

    ``bucketed`` puts rows of like length together. The same arguments give the same batches, in every process.
    """
    chance = random.Random(seed)
    order = list(range(len(lengths)))
    chance.shuffle(order)
    if bucketed:
        span = size * _BUCKETS
        windows = (order[start : start + span] for start in range(0, len(order), span))
        order = [index for window in windows for index in sorted(window, key=lambda number: lengths[number])]
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    if bucketed:
        chance.shuffle(batches)
    return batches


def micro_batches(rows: Sequence[Row], tokens: int) -> list[list[Row]]:
    """A step's rows, longest first, in as few groups as keep each near ``tokens`` padded tokens. All groups have the
    same number of rows but for the last, which may have fewer."""
    ordered = sorted(rows, key=lambda row: -len(row.ids))
    groups = max(1, math.ceil(len(ordered) * len(ordered[0].ids) / tokens))
    size = math.ceil(len(ordered) / groups)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
