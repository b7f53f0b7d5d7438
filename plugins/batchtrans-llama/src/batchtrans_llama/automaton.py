"""What may come next while an answer is decoded under a constraint.

An automaton per row says after each token which tokens may follow. Every mask of the source has to come exactly once
and after those that must precede it; EOS has to wait for the last of them; no token may write a character that could be
taken for a placeholder, break the line, or leave half a UTF-8 character behind. As the length cap comes near, only
tokens are left that bring the answer closer to its end, so that the masks always fit.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from batchtrans import Constraint

from .load import Loaded
from .rules import Rules
from .stop import LINE_BREAK

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")  # how SentencePiece vocabularies write a single byte
_LONGEST = 4  # bytes of a character in UTF-8
#: What no answer may hold: control characters but the tab, private ones, and the sign of a broken character.
_UNFIT = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd]")
_OPENING, _CLOSING = '(«“"¿¡', '.,;!?…)»”"'
#: How a token begins that may stand right behind a mask, by the mask's guard.
_BEHIND = {1: re.compile(rf"[{re.escape(_CLOSING)}]*(?:\s|$)"), 2: re.compile(r"\s")}


class State(NamedTuple):
    """Where a row is: which masks are ``written`` (a bit each), the first bytes of a character that is not complete
    (``pending``), whether there is any ``text``, and whether it has ``ended``. ``guard`` is how far
    what follows must keep from the mask just written, and ``tail`` how far a mask would be from what stands before it;
    both as in ``Constraint``."""

    written: int = 0
    pending: bytes = b""
    text: bool = False
    ended: bool = False
    guard: int = 0
    tail: int = 2


class Alphabet:
    """What each token of a model's vocabulary writes, and so which tokens may follow an incomplete character.

    Ids that write nothing of their own (special tokens, a padded embedding) are never ``fit``.
    """

    def __init__(self, loaded: Loaded, rules: Rules) -> None:
        tokenizer, size = loaded.tokenizer, loaded.vocab_size
        known = min(size, len(tokenizer))
        texts = tokenizer.batch_decode(
            [[number] for number in range(known)], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.size = size
        self.eos = sorted(rules.eos_ids)
        self.masks = rules.masks
        self.breaks = [number for number, breaks in enumerate(rules.breaks) if breaks]
        self.fragments: dict[int, bytes] = {}  # tokens that are not whole characters
        self._whole: list[tuple[int, str]] = []
        for number, text in enumerate(texts):
            if number in special or number in self.masks or not text:
                continue
            if "\ufffd" in text:
                self.fragments[number] = _bytes_of(tokenizer.convert_ids_to_tokens(number))
            elif not _UNFIT.search(text) and not LINE_BREAK.search(text):
                self._whole.append((number, text))
        self.texts = dict(self._whole)
        self.blanks = [number for number, text in self._whole if text == " "]
        self._tables: dict[tuple[bytes, int, str, int], Any] = {}

    def fit(self, pending: bytes, slack: int, without: str, guard: int = 0) -> Any:
        """[vocabulary], bool: the tokens that may follow ``pending`` and then need at most ``slack`` more bytes to
        complete a character, without any of these characters, and behind a mask with this ``guard``."""
        import torch

        key = (pending, min(slack, _LONGEST - 1), without, guard)
        if key not in self._tables:
            following = self._behind(guard, without) if guard else self._following(pending, without)
            table = torch.zeros(self.size, dtype=torch.bool)
            table[[number for number, left in following if left <= slack]] = True
            self._tables[key] = table
        return self._tables[key]

    def _behind(self, guard: int, without: str) -> list[tuple[int, int]]:
        """The tokens that keep a mask apart from what follows."""
        unwanted = set(without)
        fits = _BEHIND[guard].match
        return [(number, 0) for number, text in self._whole if fits(text) and unwanted.isdisjoint(text)]

    def _following(self, pending: bytes, without: str) -> list[tuple[int, int]]:
        """The tokens that may follow, each with the number of bytes that are then missing."""
        unwanted = set(without)
        found = [] if pending else [(number, 0) for number, text in self._whole if unwanted.isdisjoint(text)]
        for number, more in self.fragments.items():
            after = _after(pending, more)
            if after is not None and unwanted.isdisjoint(after[0]) and _is_viable(after[1]):
                found.append((number, _missing(after[1])))
        return found


def _bytes_of(token: str) -> bytes:
    """The bytes of a token that is part of a character: a byte of SentencePiece, or GPT-2's letters for bytes."""
    if match := _BYTE_TOKEN.fullmatch(token):
        return bytes([int(match[1], 16)])
    letters = _byte_letters()
    return bytes(letters[letter] for letter in token) if all(letter in letters for letter in token) else b"\xff"


@cache
def _byte_letters() -> dict[str, int]:
    """Byte-level BPE writes a printable byte as its Latin-1 letter and the others as letters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


def _after(pending: bytes, more: bytes) -> tuple[str, bytes] | None:
    """The characters that are complete once ``more`` follows, and what is pending then; ``None`` if that is no text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(pending + more)
    except UnicodeDecodeError:
        return None
    return None if _UNFIT.search(text) or LINE_BREAK.search(text) else (text, decoder.getstate()[0])


def _missing(pending: bytes) -> int:
    """How many bytes complete a character that begins like this."""
    if not pending:
        return 0
    first = pending[0]
    return (4 if first >= 0xF0 else 3 if first >= 0xE0 else 2) - len(pending)


@cache
def _is_viable(pending: bytes) -> bool:
    """Whether some character that may be written begins like this."""
    if not pending:
        return True
    following = (_after(pending, bytes([byte])) for byte in range(0x80, 0xC0))
    return any(after is not None and _is_viable(after[1]) for after in following)


def room(constraint: Constraint, held: Sequence[int]) -> int:
    """How many tokens the masks of a row take at least: one each, and a blank before each if some stand apart."""
    return len(held) * (2 if any(map(any, constraint.apart)) else 1)


class Automaton:
    """The constraint on one row. ``held`` are the numbers of the masks in its source; ``cap`` is how many tokens it may
    take. As long as ``cap`` is no less than their :func:`room`, there is always a token that may come next."""

    def __init__(self, alphabet: Alphabet, constraint: Constraint, held: Sequence[int], cap: int) -> None:
        self._alphabet = alphabet
        self._without = constraint.without
        self._bits = {alphabet.masks[number]: 1 << number for number in held}
        self._before = dict.fromkeys(self._bits, 0)
        for one, other in constraint.order:
            self._before[alphabet.masks[other]] |= 1 << one
        apart = constraint.apart or ((0, 0),) * (max(held, default=-1) + 1)
        self._apart = {alphabet.masks[number]: apart[number] for number in held}
        self._room = room(constraint, held[:1])
        self._cap = cap
        self._ending = frozenset((*alphabet.eos, *alphabet.breaks))
        self._states: dict[tuple[int, ...], State] = {(): State()}

    def state(self, ids: tuple[int, ...]) -> State:
        """The state after these tokens. What was asked for before is remembered, for the beams that go on from it."""
        found = self._states.get(ids)
        if found is None:
            found = self._states[ids] = self._step(self.state(ids[:-1]), ids[-1])
        return found

    def _step(self, state: State, token: int) -> State:
        if state.ended or token in self._ending:
            return state._replace(ended=True)
        if token in self._bits:
            written = state.written | self._bits[token]
            return State(written, text=True, guard=self._apart[token][1], tail=0)
        text, pending = self._alphabet.texts.get(token), b""
        if text is None:
            text, pending = _after(state.pending, self._alphabet.fragments.get(token, b"")) or ("", b"")
        guard = 0 if any(map(str.isspace, text)) else state.guard
        return State(state.written, pending, state.text or bool(text.strip()), False, guard, _tail(state.tail, text))

    def allowed(self, ids: tuple[int, ...]) -> Any:
        """[vocabulary], bool: what may come after these tokens; ``None`` where the row has ended."""
        state = self.state(ids)
        if state.ended:
            return None
        missing = len(self._bits) - state.written.bit_count()
        slack = self._cap - len(ids) - 1 - missing * self._room  # tokens left for bytes when this one is written
        masks = [] if state.pending else [token for token in self._bits if self._may_follow(state, token)]
        allowed = self._alphabet.fit(state.pending, slack, self._without, state.guard).clone()
        allowed[masks] = True
        if slack < 0 and missing and not masks and not state.pending:
            allowed[self._alphabet.blanks] = True
        allowed[self._alphabet.eos] = missing == 0 and state.text and not state.pending
        return allowed

    def _may_follow(self, state: State, token: int) -> bool:
        """Whether a mask may come now: not for a second time, not too early, not too close."""
        if state.written & self._bits[token] or self._before[token] & ~state.written:
            return False
        return not state.guard and state.tail >= self._apart[token][0]


def _tail(tail: int, text: str) -> int:
    """How far apart a mask stands behind ``text``; ``tail`` is what it was before it."""
    rest = text.rstrip(_OPENING)
    if not rest:
        return min(tail, 1) if text else tail
    return 0 if not rest[-1].isspace() else 2 if rest == text else 1
