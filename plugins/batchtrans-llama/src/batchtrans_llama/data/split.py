"""Training, dev and test pairs that do not know each other: whole documents are held out, never single lines.

Neighbouring texts of one document share their words, so lines that are held out at random measure memory. What cannot
be told by documents is told by contexts, and what has neither by stretches of consecutive pairs. Then whatever is
trained on and has its source in a held-out split too, or nearly, is dropped.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from batchtrans import UsageError

from .read import Pair

#: Fewer pairs are no test, and no training.
LEAST = 20
#: A split may have so many times the pairs that were asked for, and is short below the other.
_MOST, _SHORT = 1.2, 0.8
#: A document with more than this share of all pairs is held out in parts: the rest would not stand for it.
_NEARLY_ALL = 0.9
#: A group with more than this share is held out only if there is no other.
_TOO_MUCH = 0.5
#: The longest stretch of consecutive pairs that is a group, and how many groups there should be at least.
_LONGEST_STRETCH, _ENOUGH_GROUPS = 20, 20


class Split(NamedTuple):
    """The pairs of each split in their order; how many were dropped for being in another split, by reason; and what
    the user should know about it."""

    train: list[Pair]
    dev: list[Pair]
    test: list[Pair]
    counts: dict[str, int]
    warning: str


#: A group is the numbers of its pairs, in order.
_Group = list[int]


def split(pairs: Sequence[Pair], *, dev: int, test: int, seed: int) -> Split:
    """Hold out about ``dev`` and ``test`` pairs, at most a fifth more where the groups are small enough.

    Groups are documents where there are several, else contexts, else stretches of up to 20 consecutive pairs; parts of
    a document only where whole ones do not give enough. Which are held out depends on ``seed`` and on their first
    texts, not on paths. Of dev is dropped what has its source in test, of train what has it in either, compared by
    letters and digits and then, as ``near``, by letters alone.

    :raises UsageError: if less than 20 pairs are left to train on, or to test on where so many were asked for.
    """
    groups = _by_document(pairs)
    size = max(1, min(_LONGEST_STRETCH, len(pairs) // _ENOUGH_GROUPS, _least(dev, test) // 4))
    while True:
        held = _choose(groups, pairs, dev, test, seed)
        large = max(groups, key=len, default=[])
        enough = all(len(numbers) >= _needed(asked) for numbers, asked in zip(held, (test, dev), strict=True))
        if len(large) <= max(size, _NEARLY_ALL * len(pairs) if enough else 0):
            break
        # One that is nearly everything is cut alone; where there is not enough, all that are too large to be held out.
        bound = len(large) - 1 if enough else min(len(large) - 1, int(_MOST * max(dev, test)))
        groups = [part for group in groups for part in ([group] if len(group) <= bound else _parts(group, pairs, size))]
    return _without_leaks(pairs, held, dev, test)


def without_overlap(train: Iterable[Pair], held: Iterable[Pair], counts: Counter[str], name: str) -> list[Pair]:
    """The pairs whose source is not, and not nearly, one of the held-out pairs; ``name`` is that split's for the
    reasons in ``counts``: ``in the NAME split``, ``near the NAME split``."""
    exact, near = set[str](), set[str]()
    for pair in held:
        key = _normalised(pair.source)
        exact.add(key)
        near.add(_letters(key))
    near.discard("")
    kept = []
    for pair in train:
        key = _normalised(pair.source)
        if key in exact:
            counts[f"in the {name} split"] += 1
        elif _letters(key) in near:
            counts[f"near the {name} split"] += 1
        else:
            kept.append(pair)
    return kept


def _without_leaks(pairs: Sequence[Pair], held: tuple[set[int], set[int]], dev: int, test: int) -> Split:
    """The split with these numbers in test and dev, ``dev`` and ``test`` having been asked for."""
    sides: list[list[Pair]] = [[], [], []]
    for number, pair in enumerate(pairs):
        sides[0 if number in held[0] else 1 if number in held[1] else 2].append(pair)
    in_test, in_dev, train = sides
    counts: Counter[str] = Counter()
    in_dev = without_overlap(in_dev, in_test, counts, "test")
    train = without_overlap(without_overlap(train, in_test, counts, "test"), in_dev, counts, "dev")
    if len(train) < LEAST or len(in_test) < min(LEAST, test):
        left_out = f"; {counts.total()} are left out for being in two of them" if counts else ""
        raise UsageError(
            f"too few pairs to split: of {len(pairs)}, {len(train)} are left to train on, {len(in_dev)} are dev and "
            f"{len(in_test)} test{left_out}",
            f"At least {LEAST} training pairs and {LEAST} test pairs are needed: "
            "give more pairs, hold fewer out, or give files of their own to test on.",
        )
    warnings = [_shared(train, [*in_dev, *in_test]), _short("dev", in_dev, dev), _short("test", in_test, test)]
    return Split(train, in_dev, in_test, dict(counts), "; ".join(filter(None, warnings)))


def _shared(train: Iterable[Pair], held: Iterable[Pair]) -> str:
    """What to say where a document and context is both trained on and held out."""
    if {(pair.document, pair.context) for pair in train}.isdisjoint((pair.document, pair.context) for pair in held):
        return ""
    return (
        "there are too few documents and contexts to hold whole ones out: dev and test are parts of what is trained "
        "on, and easier than a new document"
    )


def _short(name: str, pairs: Sequence[Pair], asked: int) -> str:
    return f"{name} has {len(pairs)} pairs, not {asked}" if len(pairs) < _SHORT * asked else ""


def _by_document(pairs: Sequence[Pair]) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for number, pair in enumerate(pairs):
        groups.setdefault(pair.document, []).append(number)
    return list(groups.values())


def _parts(group: _Group, pairs: Sequence[Pair], size: int) -> list[_Group]:
    """A document in parts of about ``size`` pairs: contexts as they come, several small ones together; or where it
    has only one context, stretches of consecutive pairs."""
    contexts: dict[str, _Group] = {}
    for number in group:
        contexts.setdefault(pairs[number].context, []).append(number)
    atoms = list(contexts.values()) if len(contexts) > 1 else [[number] for number in group]
    parts: list[_Group] = []
    for atom in atoms:
        if parts and len(parts[-1]) + len(atom) <= size:
            parts[-1] = parts[-1] + atom
        else:
            parts.append(atom)
    return parts


def _choose(
    groups: Sequence[_Group], pairs: Sequence[Pair], dev: int, test: int, seed: int
) -> tuple[set[int], set[int]]:
    """The numbers of the test and the dev pairs: groups in the order of their hash, as long as they fit."""
    ranked = sorted(groups, key=lambda group: (_rank(pairs[group[0]], seed), group[0]))
    most = len(pairs) if len(groups) == 1 else int(_TOO_MUCH * len(pairs))
    chosen: list[set[int]] = []
    taken: set[int] = set()
    for asked in (test, dev):
        held: set[int] = set()
        for group in ranked:
            if len(held) >= asked:
                break
            if group[0] not in taken and len(group) <= most and len(held) + len(group) <= int(_MOST * asked):
                held.update(group)
                taken.update(group)
        chosen.append(held)
    return chosen[0], chosen[1]


def _rank(pair: Pair, seed: int) -> bytes:
    text = f"{seed}\0{pair.context}\0{pair.source}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _needed(asked: int) -> float:
    """How many pairs are enough where ``asked`` were asked for."""
    return max(_SHORT * asked, min(LEAST, asked))


def _least(dev: int, test: int) -> int:
    """The smaller of the splits that were asked for."""
    return min((asked for asked in (dev, test) if asked), default=0)


class _Kept(dict[int, str | None]):
    """For ``str.translate``: letters of any script with their marks, digits if asked for, and nothing else."""

    def __init__(self, digits: bool) -> None:
        super().__init__()
        self._digits = digits

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        category = unicodedata.category(character)
        kept = category[0] in "LM" or (self._digits and category[0] == "N")
        self[code] = character if kept else None
        return self[code]


_LETTERS_AND_DIGITS, _LETTERS = _Kept(digits=True), _Kept(digits=False)


def _normalised(text: str) -> str:
    """Letters and digits of a text without regard to case; of a text that has none, the text."""
    return text.casefold().translate(_LETTERS_AND_DIGITS) or " ".join(text.split())


def _letters(key: str) -> str:
    return key.translate(_LETTERS)
