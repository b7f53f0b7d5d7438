"""Turn pairs into training rows: placeholders behind masks, made-up names and numbers, one draw an epoch.

Base and adapter training share this, so that both see masks as the engine sends them: placeholders are found by
``batchtrans.protect``, the very code that masks at run time.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from batchtrans import protect
from batchtrans_llama.prompt import MASKS
from batchtrans_llama.training.rows import mask_pair
from data import weight

_MASKED_SHARE = 0.6  # of the pairs that have placeholders: the rest show placeholders as they are
_IN_ORDER_SHARE = 0.75  # of the masked rows: masks 0, 1, 2, ... as at run time; the others teach all of them
_COPY_SHARE = 0.12  # of the other pairs: a name, number or code word is replaced by a made-up one

_WORD = re.compile(r"`[^`\s]+`|[\w][\w.:/-]*[\w]", re.UNICODE)
_ONSETS = (
    "b", "br", "c", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "kl", "l", "m", "n", "p", "pr", "qu", "r",
    "s", "sh", "sk", "sl", "st", "t", "th", "tr", "v", "w", "y", "z",
)  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ea", "io", "ou", "ie", "y")
_CODAS = ("", "", "", "n", "r", "s", "l", "m", "k", "t", "x", "ng", "rd", "sk", "nd", "ck")


class Pair(NamedTuple):
    """A training pair and how often an epoch shows it."""

    english: str
    spanish: str
    weight: float


def read_pairs(path: Path, limit: int | None = None) -> list[Pair]:
    """The pairs of a file of data.py, in its order; ``limit`` takes that many, evenly spread over the file."""
    with path.open(encoding="utf-8", newline="\n") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    step = max(1, len(rows) // limit) if limit else 1
    return [Pair(english, spanish, weight(source)) for english, spanish, source in rows[::step]]


def epoch(pairs: list[Pair], seed: int) -> list[Pair]:
    """One shuffled epoch: each pair as often as its weight says, the fraction by lot."""
    chance = random.Random(seed)
    drawn = [pair for pair in pairs for _ in range(int(pair.weight) + (chance.random() < pair.weight % 1))]
    chance.shuffle(drawn)
    return drawn


def augment(pair: Pair, chance: random.Random) -> tuple[str, str]:
    """One row's English and Spanish: masked, with a made-up word, or as they are."""
    if protect.find(pair.english):
        if chance.random() < _MASKED_SHARE:
            return masked(pair, chance) or (pair.english, pair.spanish)
    elif chance.random() < _COPY_SHARE:
        return _invented(pair, chance)
    return pair.english, pair.spanish


def masked(pair: Pair, chance: random.Random) -> tuple[str, str] | None:
    """The pair with a mask in the place of each placeholder, the same on both sides; None where they differ.

    Masks are numbered in the order of the English, or drawn from all of them so that none stays unknown. ``chance`` is
    asked only about a pair that can be masked.
    """
    in_order = _masked_by(pair, range(len(MASKS)))
    if in_order is None or chance.random() < _IN_ORDER_SHARE:
        return in_order
    return _masked_by(pair, chance.sample(range(len(MASKS)), len(protect.find(pair.english))))


def _masked_by(pair: Pair, numbers: Sequence[int]) -> tuple[str, str] | None:
    return mask_pair(pair.english, pair.spanish, frozenset(), numbers)


def _invented(pair: Pair, chance: random.Random) -> tuple[str, str]:
    """The pair with one name, number or code word that stands once on each side replaced by a made-up one."""
    left = Counter(_WORD.findall(pair.english))
    right = Counter(_WORD.findall(pair.spanish))
    first = _WORD.search(pair.english)
    words = [
        word
        for word, count in left.items()
        if count == 1 and right[word] == 1 and _copyable(word, first is not None and word == first.group())
    ]
    if not words:
        return pair.english, pair.spanish
    old = chance.choice(words)
    new = _made_up(old, chance)
    pattern = re.compile(rf"(?<![\w`]){re.escape(old)}(?![\w`])")
    return pattern.sub(lambda _: new, pair.english, count=1), pattern.sub(lambda _: new, pair.spanish, count=1)


def _copyable(word: str, is_first: bool) -> bool:
    if word[0] == "`" or any(char in "/_" or char.isdigit() for char in word):
        return True
    return len(word) > 2 and ((word[0].isupper() and not is_first) or not word[1:].islower())


def _name(chance: random.Random) -> str:
    syllables = (
        chance.choice(_ONSETS) + chance.choice(_VOWELS) + chance.choice(_CODAS) for _ in range(chance.randint(1, 3))
    )
    return "".join(syllables)


def _made_up(word: str, chance: random.Random) -> str:
    """Something of the same kind as ``word``: numbers keep their shape, code its punctuation, names their case."""
    if any(char.isdigit() for char in word):
        return re.sub(r"\d", lambda _: chance.choice("0123456789"), word)

    def like(match: re.Match[str]) -> str:
        part, name = match.group(), _name(chance)
        return name.upper() if part.isupper() and len(part) > 1 else name.capitalize() if part[0].isupper() else name

    return re.sub(r"[^\W\d_]+", like, word)
