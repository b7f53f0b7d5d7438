"""Pseudo-localisation: text that reads as the source but is accented and longer, as translations are.

It shows, before any translation exists, which strings of a program never went through its catalogue, which fonts lack
letters, and where a label has no room.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..types import MASK_BASE, Backend, Request, Result

_ACCENTED = str.maketrans(
    "AaBbCcDdEeGgHhIiJjKkLlNnOoRrSsTtUuWwYyZz",
    "ÀáƁƀÇčĎđÉëĠğĤħÎïĴĵĶķĹľŃñÖóŔřŠšŢťÛúŴŵÝýŽž",
)
#: Share of letters added, the usual growth from English to most European languages.
GROWTH = 0.3
_FILLER = "ëlöńğéř"


class PseudoBackend(Backend):
    """Accents every letter outside masks and adds about 30 % to the length."""

    masks = 0xF8FF - MASK_BASE + 1
    batch_size = 1024
    batch_chars = 1 << 22

    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        return {"backend": "pseudo", "growth": GROWTH}

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        for request in requests:
            yield Result(request.id, pseudo(request.source), stop="eos")


def pseudo(text: str) -> str:
    """The pseudo-translation of one text; masks and everything that is not an ASCII letter stay.

    The filler is set inside the last word, so that an end mark stays the end mark.
    """
    letters = sum(map(str.isalpha, text))
    extra = max(1, round(letters * GROWTH)) if letters else 0
    filler = (_FILLER * (extra // len(_FILLER) + 1))[:extra]
    accented = text.translate(_ACCENTED)
    last = max((index for index, character in enumerate(accented) if character.isalpha()), default=-1)
    return accented[: last + 1] + filler + accented[last + 1 :]
