"""Several adapters of one base over a test set, in batches that have rows of all of them.

The base is loaded once and its products are computed for all rows together. Each adapter stands beside the layers,
where it would else be merged into them: that costs more per token and less to load, and pays for many adapters and few
texts.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from batchtrans import Overload

from ..asking import BATCH, Asker
from ..generate import MixedEngine
from ..load import Loaded
from ..options import LengthCap
from ..prompt import mask_count
from ..rules import Decoded, is_out_of_memory
from .decoding import Asked, too_large
from .output import Advance, Hypothesis

if TYPE_CHECKING:
    from ..data.read import Pair


class _Row(NamedTuple):
    """A text for one adapter: the text's number, its prompt and length cap."""

    adapter: str
    number: int
    prompt: list[int]
    cap: int


def decode_mixed(
    loaded: Loaded,
    templates: Mapping[str, str],
    source_lang: str,
    target_lang: str,
    pairs: Sequence[Pair],
    *,
    batch_size: int | None = None,
    length_cap: LengthCap | None = None,
    advance: Advance = lambda count: None,
) -> dict[str, list[Hypothesis]]:
    """As ``decode_texts``, for each adapter of a model of ``load_mixed``; ``templates`` are their prompts, by their
    names. ``advance`` is told of each segment once for each adapter."""
    engine = MixedEngine(loaded, guards=False)
    cap = length_cap or LengthCap()
    askers = {
        name: Asker(loaded, text, source_lang, target_lang, cap, engine=engine) for name, text in templates.items()
    }
    asked = {name: Asked(pairs, source_lang, mask_count(loaded.tokenizer), advance) for name in templates}
    rows: list[_Row] = []
    for name, asker in askers.items():
        for number, (prompt, tokens) in enumerate(zip(*asker.prompts(asked[name].texts), strict=True)):
            if tokens > 0:
                rows.append(_Row(name, number, prompt, tokens))
            else:
                asked[name].take(number, asker.too_long(len(prompt)))
    rows.sort(key=lambda row: (-len(row.prompt), row.number))  # so that the adapters take a text side by side
    for batch in _batches(rows, batch_size or BATCH[loaded.device.type], engine):
        for row, answer in batch:
            asker = askers[row.adapter]
            given = too_large(answer) if isinstance(answer, Overload) else asker.answer(len(row.prompt), answer)
            asked[row.adapter].take(row.number, given)
    return {name: each.hypotheses() for name, each in asked.items()}


def _batches(rows: Sequence[_Row], size: int, engine: MixedEngine) -> Iterator[list[tuple[_Row, Decoded | Overload]]]:
    """Each row with its answer, batch by batch. One that does not fit into memory is halved, and the later ones too; a
    row that does not fit by itself comes with the reason."""
    queue = deque(rows)
    while queue:
        batch = [queue.popleft() for _ in range(min(size, len(queue)))]
        try:
            columns = ([row.prompt for row in batch], [row.cap for row in batch], [row.adapter for row in batch])
            yield list(zip(batch, engine.decode_mixed(*columns), strict=True))
            continue
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            message = str(error).split("\n")[0]
        if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
            torch.cuda.empty_cache()  # only here, with the exception and the tensors its frames held gone
        if len(batch) == 1:
            yield [(batch[0], Overload(message))]
        else:
            size = (len(batch) + 1) // 2
            queue.extendleft(reversed(batch))
