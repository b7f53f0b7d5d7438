"""What is no translation to learn from, and why: one readable reason for each pair that is left out.

The bounds are wide. A model is harmed by systematic faults (texts that stayed in the source's language, lost
placeholders, broken encodings), hardly by a translation that is a little free.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from hashlib import blake2b

from batchtrans.checks import compare_placeholders, may_leave_out, repeated
from batchtrans.protect import Span, find

from ..language import LanguageJudge
from .read import Pair

#: The longest text of a pair in characters. Ours: that of the longest part a run sends to a model.
MAX_CHARACTERS = 1000
#: Times and characters by which one side may be longer than the other. Ours: those of the judges in a run.
LENGTH_RATIO, LENGTH_SLACK = 3, 20
#: The least likeness of the digits of both sides, zeros left out, from 0 to 1. OpusFilter's NonZeroNumeralsFilter.
NUMBER_LIKENESS = 0.5
#: Of a text that stayed as it was, so many small words make it untranslated. Ours: those of the judges in a run.
UNTRANSLATED_WORDS = 2

_DIGIT = re.compile(r"\d")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
#: Characters of scripts that say in one what takes about three letters elsewhere.
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]")
#: The bytes 80 to BF as Latin-1 and as cp1252 show them: what follows the first byte of a character in UTF-8.
_REST = "[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
#: UTF-8 that was read as Latin-1 or cp1252: the Latin letters and signs at once, which have a first byte that hardly
#: stands before such a sign in any language; other scripts by two characters in a row; what could not be read.
_MOJIBAKE = re.compile(
    f"[ÂÃ](?![»”’…–—]){_REST}|â[€\x80]{_REST}|(?:[Â-ß]{_REST}){{2}}|(?:[à-ï]{_REST}{{2}}){{2}}|\ufffd"
)


def keep(
    pairs: Iterable[Pair],
    source_lang: str,
    target_lang: str,
    counts: Counter[str],
    *,
    max_characters: int = MAX_CHARACTERS,
) -> Iterator[Pair]:
    """The pairs that are fit to learn from, in their order; ``counts`` gets each other one under one reason.

    Reasons are those of :func:`reason` and ``duplicate``, an equal source with an equal target seen before.
    """
    judge = LanguageJudge(source_lang, target_lang)
    seen: set[bytes] = set()
    for pair in pairs:
        why = reason(pair, judge, max_characters=max_characters)
        if not why:
            key = blake2b(f"{pair.source}\0{pair.target}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
            why = "duplicate" if key in seen else ""
            seen.add(key)
        if why:
            counts[why] += 1
        else:
            yield pair


def reason(pair: Pair, judge: LanguageJudge | None = None, *, max_characters: int = MAX_CHARACTERS) -> str:
    """Why a pair is not fit to learn from, or the empty string.

    The first that holds of: ``empty``, ``too long``, ``private-use characters``, ``mojibake``, ``length ratio``,
    ``untranslated``, ``placeholders differ`` (by gettext's rule, as a run compares them; a plural form may leave out
    what gettext lets it), ``numbers differ``, ``repeated``, ``wrong language`` (asks ``judge``).
    """
    source, target = pair.source, pair.target
    if not source.strip() or not target.strip():
        return "empty"
    if max(len(source), len(target)) > max_characters:
        return "too long"
    if _PRIVATE.search(source) or _PRIVATE.search(target):
        return "private-use characters"
    if _MOJIBAKE.search(source) or _MOJIBAKE.search(target):
        return "mojibake"
    if _is_uneven(source, target):
        return "length ratio"
    ours, theirs = find(source, pair.flags), find(target, pair.flags)
    if _is_untranslated(source, target, ours):
        return "untranslated"
    if ours or theirs:
        relaxed = pair.plural and may_leave_out(source, pair.flags)
        if any(compare_placeholders(ours, source, theirs, target, relaxed)):
            return "placeholders differ"
    if _numbers_differ(_outside(source, ours), _outside(target, theirs), pair.plural):
        return "numbers differ"
    if repeated(target) and not repeated(source):
        return "repeated"
    if judge is not None and judge.looks_foreign(target):
        return "wrong language"
    return ""


def _is_uneven(source: str, target: str) -> bool:
    lengths = [len(text) + 2 * len(_DENSE.findall(text)) for text in (source, target)]
    return max(lengths) > LENGTH_RATIO * min(lengths) + LENGTH_SLACK


def _is_untranslated(source: str, target: str, spans: Sequence[Span]) -> bool:
    """Whether both sides are the same but for case and blanks, and it is no name, code or number."""
    if source.casefold().split() != target.casefold().split():
        return False
    return sum(word.islower() for word in _outside(source, spans).split()) >= UNTRANSLATED_WORDS


def _outside(text: str, spans: Sequence[Span]) -> str:
    """The text with a blank for each of its placeholders."""
    for span in reversed(spans):
        text = f"{text[: span.start]} {text[span.end :]}"
    return text


def _numbers_differ(source: str, target: str, plural: bool) -> bool:
    """Whether the digits are too unlike. A plural form may say its number in a word or not at all."""
    ours, theirs = _digits(source), _digits(target)
    if ours == theirs or (plural and not theirs):
        return False
    return SequenceMatcher(None, ours, theirs, autojunk=False).ratio() < NUMBER_LIKENESS


def _digits(text: str) -> list[int]:
    """The digits of a text, of whatever script, without the zeros."""
    return [digit for digit in map(unicodedata.digit, _DIGIT.findall(text)) if digit]
