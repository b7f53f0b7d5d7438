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
    asked = Asked(pairs, source_lang, mask_count(loaded.tokenizer), advance)
    size = len(asked.texts) if asker.engine.schedules else batch_size or BATCH[loaded.device.type]
    for number, answer in _answers(asker, asked.texts, size):
        asked.take(number, answer)
    return asked.hypotheses()


class Asked:
    """The segments of a test set as the ``texts`` that a model is asked for, placeholders masked, and their answers as
    hypotheses; ``advance`` is told of each segment that is through."""

    def __init__(self, pairs: Sequence[Pair], source_lang: str, masks: int, advance: Advance) -> None:
        self._pairs = pairs
        self._masks = masks
        self._advance = advance
        self._parts = [cut(pair.source, pair.flags, source_lang) for pair in pairs]
        asked = [(index, part) for index, parts in enumerate(self._parts) for part in parts if not part.copied]
        self.texts = [part.sent(masks) for _, part in asked]
        self._segments = [index for index, _ in asked]
        self._waiting = [0] * len(pairs)
        for index in self._segments:
            self._waiting[index] += 1
        self._answers: dict[int, Answer] = {}
        advance(self._waiting.count(0))

    def take(self, number: int, answer: Answer) -> None:
        """The answer to the text of this number."""
        self._answers[number] = answer
        self._waiting[self._segments[number]] -= 1
        self._advance(int(self._waiting[self._segments[number]] == 0))

    def hypotheses(self) -> list[Hypothesis]:
        """One for each segment, in order, when all answers are there."""
        in_order = iter([self._answers[number] for number in range(len(self.texts))])
        return [
            _joined(parts, in_order, self._masks, pair.flags)
            for parts, pair in zip(self._parts, self._pairs, strict=True)
        ]


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
            yield batch[0], too_large(overload)


def too_large(overload: Overload) -> Answer:
    """What is said of a text that does not fit into memory by itself."""
    return Answer("", "", False, "", 0, 0, None, None, f"too large for the memory: {overload.what}")


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
