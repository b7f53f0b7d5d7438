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
_COPY_SHARE = 0.2  # of the other pairs: names, numbers and code words are replaced by made-up ones
_COMMON_COPY_SHARE = 0.7  # of those that speak of Tom or Mary, as a good part of all everyday sentences does
_MASKED_NAME_SHARE = 0.12  # of the replaced words: by a mask, so that masks are met in all kinds of sentences
_UPPER_SHARE = 0.05  # of labels: both sides in capitals
_TITLE_SHARE = 0.2  # of labels: The English In Title Case, the Spanish as a sentence has it
_WORD_TITLE_SHARE = 0.5  # of single words in small letters, as a lexicon has them
_MARK_SHARE = 0.05  # of labels: a colon or an ellipsis behind both sides
_JOIN_SHARE = 0.06  # of sentences: two or three in one row, since long rows of everyday language are rare
_JOINED_LONGEST = 350  # characters
_HELP_SHARE = 0.02  # of short texts: behind an option, as in the help of a program; such lines were the most to fail

_COMMON = re.compile(r"\b(?:Tom|Mary)\b")
_SENTENCE = re.compile(r"[^.!?…]{12,}[.!?…]$")
_WORD = re.compile(r"`[^`\s]+`|[\w][\w.:/-]*[\w]", re.UNICODE)
_ONSETS = (
    "b", "br", "c", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "kl", "l", "m", "n", "p", "pr", "qu", "r",
    "s", "sh", "sk", "sl", "st", "t", "th", "tr", "v", "w", "y", "z",
)  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ea", "io", "ou", "ie", "y")
_CODAS = ("", "", "", "n", "r", "s", "l", "m", "k", "t", "x", "ng", "rd", "sk", "nd", "ck")
_ENDINGS = (
    "son",
    "ová",
    "enko",
    "aya",
    "ville",
    "stein",
    "ani",
    "escu",
    "gård",
    "ton",
    "ei",
    "us",
    "ia",
    "é",
    "ño",
    "z",
)
_ENDING_SHARE = 0.4
_TWO_WORDS_SHARE = 0.3
_RANDOM_LETTERS_SHARE = 0.4


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


def texts(pairs: Sequence[Pair], chance: random.Random) -> list[tuple[str, str]]:
    """The English and Spanish of the rows for ``pairs``: each augmented, some sentences joined to longer rows."""
    rows: list[tuple[str, str]] = []
    for pair in pairs:
        row = augment(_as_help(pair, chance) if chance.random() < _HELP_SHARE else pair, chance)
        if rows and chance.random() < _JOIN_SHARE and _joinable(rows[-1], row):
            row = (f"{rows[-1][0]} {row[0]}", f"{rows.pop()[1]} {row[1]}")
        rows.append(row)
    return rows


def _as_help(pair: Pair, chance: random.Random) -> Pair:
    """A short text behind a made-up option, the same on both sides, as a line of a program's help."""
    if len(pair.english) > 90 or not pair.english[:1].isalpha():
        return pair
    letter, word = chance.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), _syllables(chance)
    value = chance.choice(("", "", "", "=FILE", "=N", " NAME", "=SIZE", " <file>", "[=WHEN]"))
    long = "--" + chance.choice((word, f"{word}-{_letters(chance)}", f"no-{word}")) + value
    head = chance.choice((f"-{letter}, {long}", f"-{letter}, {long}", long, f"-{letter}{value}"))
    blanks = chance.choice((" " * chance.randint(2, 16), "\t"))
    return pair._replace(english=head + blanks + pair.english, spanish=head + blanks + pair.spanish)


def _joinable(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether both are plain sentences that together stay short; two of them with masks could share one."""
    sides = (*one, *other)
    return (
        all(_SENTENCE.match(side) for side in other)
        and all(_SENTENCE.search(side) for side in one)
        and max(len(one[0]) + len(other[0]), len(one[1]) + len(other[1])) <= _JOINED_LONGEST
        and not any(protect.masks_in(side) for side in sides)
    )


def augment(pair: Pair, chance: random.Random) -> tuple[str, str]:
    """One row's English and Spanish: masked, with made-up words, a label in other case, or as they are."""
    if protect.find(pair.english):
        if chance.random() < _MASKED_SHARE:
            return masked(pair, chance) or (pair.english, pair.spanish)
        return pair.english, pair.spanish
    if chance.random() < (_COMMON_COPY_SHARE if _COMMON.search(pair.english) else _COPY_SHARE):
        return _invented(pair, chance)
    if len(pair.english.split()) <= 4 and pair.english[-1:].isalpha():
        draw = chance.random()
        title_share = _WORD_TITLE_SHARE if pair.english.islower() and pair.english.isalpha() else _TITLE_SHARE
        if draw < _UPPER_SHARE:
            return pair.english.upper(), pair.spanish.upper()
        if draw < _UPPER_SHARE + title_share:
            english = " ".join(word[:1].upper() + word[1:] for word in pair.english.split())
            return english, pair.spanish[:1].upper() + pair.spanish[1:]
        if draw < _UPPER_SHARE + title_share + _MARK_SHARE and pair.spanish[-1:].isalpha():
            mark = chance.choice((":", "...", "…"))
            return pair.english + mark, pair.spanish + mark
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
    """The pair with up to three names, numbers or code words, each of which stands once on each side, replaced by
    made-up ones or by masks."""
    left = Counter(_WORD.findall(pair.english))
    right = Counter(_WORD.findall(pair.spanish))
    first = None if pair.english == pair.spanish else _WORD.search(pair.english)  # a name alone is one, too
    words = [
        word
        for word, count in left.items()
        if count == 1 and right[word] == 1 and _copyable(word, first is not None and word == first.group())
    ]
    english, spanish = pair.english, pair.spanish
    for number, old in enumerate(chance.sample(words, min(len(words), chance.choice((1, 1, 1, 2, 3))))):
        new = MASKS[number] if chance.random() < _MASKED_NAME_SHARE else _made_up(old, chance)
        pattern = re.compile(rf"(?<![\w`]){re.escape(old)}(?![\w`])")
        english, spanish = (new.join(pattern.split(side, maxsplit=1)) for side in (english, spanish))
    return english, spanish


def _copyable(word: str, is_first: bool) -> bool:
    if word[0] == "`" or any(char in "/_" or char.isdigit() for char in word) or _COMMON.fullmatch(word):
        return True
    return len(word) > 2 and ((word[0].isupper() and not is_first) or not word[1:].islower())


def _syllables(chance: random.Random) -> str:
    syllables = (
        chance.choice(_ONSETS) + chance.choice(_VOWELS) + chance.choice(_CODAS) for _ in range(chance.randint(1, 3))
    )
    return "".join(syllables) + (chance.choice(_ENDINGS) if chance.random() < _ENDING_SHARE else "")


def _letters(chance: random.Random) -> str:
    return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chance.randint(2, 6)))


def _made_up(word: str, chance: random.Random) -> str:
    """Something of the same kind as ``word``: numbers keep their shape, code its punctuation, names their case; some
    names become two words or get a hyphen, some code words are letters and digits at random."""
    is_name = word.isalpha() and word.istitle()
    name = _letters if not is_name and chance.random() < _RANDOM_LETTERS_SHARE else _syllables

    def like(match: re.Match[str]) -> str:
        part, new = match.group(), name(chance)
        return new.upper() if part.isupper() and len(part) > 1 else new.capitalize() if part[0].isupper() else new

    if any(char.isdigit() for char in word):
        new = re.sub(r"\d", lambda _: chance.choice("0123456789"), word)
        return re.sub(r"[^\W\d_]{2,}", like, new) if chance.random() < 0.5 else new
    new = re.sub(r"[^\W\d_]+", like, word)
    if is_name and chance.random() < _TWO_WORDS_SHARE:
        new += chance.choice((" ", " ", " ", "-")) + _syllables(chance).capitalize()
    return new
