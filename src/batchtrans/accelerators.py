"""Access keys of labels: taken out before translation, and put back with a letter that the menu has not used.

``_File``, ``Save &As`` and ``E~xit`` mark the letter that opens them. A model is asked for ``Save As``; the sign then
goes before the source's own letter if the translation has it, else before the first letter of a word that no other
label of the group uses. A text without letters to press, as Chinese, gets the source's letter behind it: ``(&S)``.

A *group* stands for a menu. Catalogues do not say what is in one, so it is the neighbouring labels with the same sign
and context: at most ``GAP`` entries without a key may stand between two of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .protect import find
from .syntaxes.prose import access_key
from .types import Segment

GAP = 2
#: Scripts whose letters stand on a key of the keyboard.
_LETTER = re.compile(
    "[^\\W\\d_\u0600-\u06ff\u0900-\u0dff\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]"
)
#: What stands behind the key in brackets, not before it.
_TAIL = re.compile(r"(?:\.\.\.|[…:：。])?$")


class Label(NamedTuple):
    """A label without its access key: the ``text``, the ``sign`` that marked the ``key`` (a lower-case letter)."""

    text: str
    sign: str
    key: str


def split(source: str, flags: frozenset[str] = frozenset()) -> Label | None:
    """The label that a source is: one access key, which is in no placeholder, and a capital (``_private`` has none)."""
    sign = access_key(source)
    if not sign or source.islower():
        return None
    place = source.index(sign)
    if any(span.start <= place < span.end for span in find(source, flags)):
        return None
    return Label(source[:place] + source[place + 1 :], sign, source[place + 1 : place + 2].lower())


def put_back(text: str, label: Label, taken: Iterable[str], flags: frozenset[str] = frozenset()) -> tuple[str, str]:
    """The translation of a label with an access key, and which one that is; one that is ``taken`` only if need be."""
    used = set(taken)
    spans = find(text, flags)
    places = [
        match.start()
        for match in _LETTER.finditer(text)
        if not any(span.start <= match.start() < span.end for span in spans)
    ]
    if not places:
        tail = _TAIL.search(text)
        cut = tail.start() if tail else len(text)
        return f"{text[:cut]}({label.sign}{label.key.upper()}){text[cut:]}", label.key
    firsts = [place for place in places if place == 0 or not text[place - 1].isalnum()]
    order = sorted([*firsts, *places], key=lambda place: not text[place].isascii())  # on every keyboard first
    own = [place for place in order if text[place].lower() == label.key]
    free = [place for place in order if text[place].lower() not in used]
    place = next((place for place in own if label.key not in used), (free or own or order)[0])
    return f"{text[:place]}{label.sign}{text[place:]}", text[place].lower()


def key_of(text: str, sign: str) -> str:
    """The access key that a finished text has with this sign, or nothing."""
    found = re.search(rf"{re.escape(sign)}(\w)", text.replace(sign * 2, ""))
    return found[1].lower() if found else ""


def groups(segments: Sequence[Segment]) -> list[list[int]]:
    """The indices of neighbouring labels that share sign and context, in order; only groups are given, not what stands
    between them."""
    found: list[list[int]] = []
    for index, segment in enumerate(segments):
        label = split(segment.source[0], segment.flags) if len(segment.source) == 1 else None
        if label is None:
            continue
        if found and index - found[-1][-1] <= GAP + 1:
            other = segments[found[-1][-1]]
            before = split(other.source[0], other.flags)
            if before and (before.sign, other.context) == (label.sign, segment.context):
                found[-1].append(index)
                continue
        found.append([index])
    return found
