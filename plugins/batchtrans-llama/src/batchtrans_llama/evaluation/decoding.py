"""A test set through a loaded model: cut, masked, decoded and joined as ``run`` does on its first rung.

No repair, no second try: what is measured is the model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from batchtrans import Overload
from batchtrans.parts import Part, cut

from ..asking import BATCH, Answer, Asker
from ..load import Loaded
from ..options import LengthCap
from ..prompt import mask_count
from ..rules import Engine
from .output import Advance, Hypothesis

if TYPE_CHECKING:
    from ..data.read import Pair


def decode_texts(
    loaded: Loaded,
    template: str,
    source_lang: str,
    target_lang: str,
    pairs: Sequence[Pair],
    *,
    batch_size: int | None = None,
    length_cap: LengthCap | None = None,
    guards: bool = False,
    engine: Engine | None = None,
    advance: Advance = lambda count: None,
) -> list[Hypothesis]:
    """Translate the sources of ``pairs``, with their flags, and give a hypothesis for each, in order.

    The model is decoded greedily, by the reference or another ``engine``, and must be in evaluation mode; an adapter
    may stand beside its layers. Without ``guards`` the reference lets it run on to EOS or the length cap, so that
    ``raw`` shows what it does by itself. A batch that does not fit into memory is halved, and the later ones with it.
    An engine that schedules gets all texts at once.
    """
    asker = Asker(loaded, template, source_lang, target_lang, length_cap or LengthCap(), guards=guards, engine=engine)
    masks = mask_count(loaded.tokenizer)
    texts = [cut(pair.source, pair.flags, source_lang) for pair in pairs]
    asked = [(index, part.sent(masks)) for index, parts in enumerate(texts) for part in parts if not part.copied]
    waiting = [0] * len(pairs)
    for index, _ in asked:
        waiting[index] += 1
    advance(waiting.count(0))
    answers: dict[int, Answer] = {}
    size = len(asked) if asker.engine.schedules else batch_size or BATCH[loaded.device.type]
    for number, answer in _answers(asker, [text for _, text in asked], size):
        answers[number] = answer
        waiting[asked[number][0]] -= 1
        advance(int(waiting[asked[number][0]] == 0))
    in_order = iter([answers[number] for number in range(len(asked))])
    return [_joined(parts, in_order, masks, pair.flags) for parts, pair in zip(texts, pairs, strict=True)]


def _answers(asker: Asker, texts: Sequence[str], size: int) -> Iterator[tuple[int, Answer]]:
    """The answer to each text with its number; longest texts first, so that a batch too large is met at the start."""
    queue = deque(sorted(range(len(texts)), key=lambda number: -len(texts[number])))
    while queue:
        batch = [queue.popleft() for _ in range(min(size, len(queue)))]
        left = dict(enumerate(batch))
        try:
            for place, answer in asker.stream([texts[number] for number in batch]):
                yield left.pop(place), answer
        except Overload as overload:
            if len(batch) > 1:
                size = (len(batch) + 1) // 2
                queue.extendleft(reversed(left.values()))
                continue
            yield batch[0], Answer("", "", False, "", 0, 0, None, None, f"too large for the memory: {overload.what}")


def _joined(parts: Sequence[Part], answers: Iterator[Answer], masks: int, flags: frozenset[str]) -> Hypothesis:
    """The parts of one segment with the next of the answers put back."""
    given = [None if part.copied else next(answers) for part in parts]
    asked = [answer for answer in given if answer is not None]
    if error := next((answer.error for answer in asked if answer.error), ""):
        return Hypothesis("", "", error=error)
    texts, raws = [], []
    for part, answer in zip(parts, given, strict=True):
        if answer is None:
            texts.append(part.source)
            raws.append(part.source)
            continue
        masked = part.sent(masks) == part.text
        text, raw = (
            part.unmask(side, flags, len(parts) == 1) if masked else side for side in (answer.text, answer.raw.strip())
        )
        texts.append(part.put_back(text))
        raws.append(part.lead + raw + part.trail if answer.cut else texts[-1])
    tokens = sum(answer.tokens_out for answer in asked)
    logprob = sum((answer.logprob_mean or 0.0) * answer.tokens_out for answer in asked) / tokens if tokens else None
    return Hypothesis(
        "".join(texts),
        "".join(raws),
        tuple(answer.stop for answer in asked),
        any(answer.cut for answer in asked),
        tokens,
        logprob,
    )
