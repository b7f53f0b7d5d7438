"""Repairs at the edges of a translation, where it is plain what the language wants and one character is at stake.

The last mark follows the source's, as the target writes it; what a Spanish sentence closes with ``?`` or ``!`` is also
opened; a first capital, and a text in capitals, stay so; a word written twice in a row is written once where no word of
the language is. Blanks and line breaks at the edges are :mod:`.parts`' business.

Which mark a language uses is that of the delimiters and punctuation of Unicode CLDR's exemplar characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from .languages import base_language
from .protect import Span, has_words

_WIDE = {".": "。", "!": "！", "?": "？", ":": "：", ";": "；", "…": "……"}
_ARABIC = {"?": "؟", ";": "؛"}
_URDU = {**_ARABIC, ".": "۔"}
_DANDA = {".": "।"}
_ETHIOPIC = {".": "።", ";": "፤"}
#: How a language writes a mark, where not as English does.
_MARKS = {
    "el": {"?": ";", ";": "·"},
    "zh": _WIDE,
    "yue": _WIDE,
    "ja": {**_WIDE, "…": "…"},
    **dict.fromkeys(("ar", "ckb", "dv", "fa", "ps", "sd", "ug"), _ARABIC),
    **dict.fromkeys(("ks", "ur"), _URDU),
    **dict.fromkeys(("as", "bho", "bn", "brx", "hi", "mai", "ne", "or", "pa", "sa"), _DANDA),
    **dict.fromkeys(("am", "ti"), _ETHIOPIC),
    "bo": {".": "།"},
    "dz": {".": "།"},
    "hy": {".": "։"},
    "km": {".": "។"},
    "mni": {".": "꯫"},
    "my": {".": "။"},
    "sat": {".": "᱾"},
}
_ENGLISH = frozenset(".!?:;…")
#: What a mark is in English terms where a language has another use for it.
_OWN = {language: {mark: kind for kind, mark in marks.items() if len(mark) == 1} for language, marks in _MARKS.items()}
#: Marks that a language does without at the end: a blank ends the sentence, or the mark stands in its last word.
_UNMARKED = {"th": ".!?;", "lo": ".!?;", "hy": "!?"}
#: What a mark is in English terms, whatever the language.
_KINDS = {
    **dict.fromkeys("。．｡۔।॥།།։።។៕။᱾꯫᙮᠃", "."),
    **dict.fromkeys("！՜", "!"),
    **dict.fromkeys("？؟\u037e՞፧", "?"),
    **dict.fromkeys("：፦៖", ":"),
    **dict.fromkeys("；؛፤\u0387", ";"),
    "⋯": "…",
}
#: What else says in a language that a sentence asks or calls, beside its last mark; in Armenian a full stop is often
#: typed as a colon.
_OTHERWISE = {
    "hy": {".": re.compile(":$"), "?": re.compile("՞"), "!": re.compile("[՜՛]")},
    "ja": {"?": re.compile("か。$")},
    "my": {"?": re.compile("(?:လား|လဲ|နည်း)။$")},
    **dict.fromkeys(("th", "lo"), dict.fromkeys(_UNMARKED["th"], re.compile("[^.!?:;…]$"))),
}
#: Marks before which a language sets a no-break space.
_SPACED = {"fr": "?!:;"}
_OPENING = "([{\"'«“„‘¿¡"
_CLOSING = ")]}\"'»”’“‘」』）》"
#: What may follow a text's last mark: what closes a quotation, blanks before that, and marks of direction.
_BEHIND = _CLOSING + " \u00a0\u202f\u200b\u200e\u200f\u202c\u2069"
_OPENED = {"?": "¿", "!": "¡"}
#: Languages in which a word twice in a row is a slip. Others have it in their grammar (French ``nous nous``).
_NEVER_TWICE = ("ca", "en", "es", "gl", "pt", "ro")
_TWICE = re.compile(r"\b([^\W\d_]{2,})( +)\1\b")
_FEW = 5  # letters of a text in capitals; a shorter one may be a name of its own
#: Languages whose capitals do not follow from the letters alone.
_OWN_CAPITALS = ("az", "de", "el", "lt", "tr")


def mend(source: str, target: str, language: str, spans: Sequence[Span] = (), source_language: str = "en") -> str:
    """The target, both texts without blanks at the edges; ``spans`` are the placeholders in it, which stay."""
    base = base_language(language)
    if not source or not target:
        return target
    if base in _NEVER_TWICE and not spans and not _TWICE.search(source):
        target = _TWICE.sub(r"\1", target)
    target = _capitals(source, target, base, spans)
    target = _last_mark(source, target, base, spans, source_language)
    return _opened(target) if base == "es" and not _ends_in(target, spans) else target


def end_mark(text: str, language: str = "") -> str:
    """The mark that a text ends with, as English has it: one of ``. ! ? : ; …``, or nothing."""
    text = text.rstrip().rstrip(_BEHIND)
    if text.endswith(("...", "……")):
        return "…"
    mark = text[-1:]
    if language and (own := _OWN.get(base_language(language))):
        mark = own.get(mark, mark)
    mark = _KINDS.get(mark, mark)
    return mark if mark in _ENGLISH else ""


def differing_ends(source: str, target: str, language: str = "", source_language: str = "en") -> tuple[str, str] | None:
    """The marks that the texts end with, as English has them, where neither says in the way of its own language what
    the other one says; ``None`` where one does."""
    ours, theirs = end_mark(source, source_language), end_mark(target, language)
    if ours == theirs or _says(target, ours, language) or _says(source, theirs, source_language):
        return None
    return ours, theirs


def _says(text: str, mark: str, language: str) -> bool:
    """Whether a text ends in the way in which its language says the same as a mark without writing it."""
    said = _OTHERWISE.get(base_language(language), {}).get(mark) if language else None
    return bool(said and said.search(text.rstrip().rstrip(_BEHIND)))


def _ends_in(target: str, spans: Sequence[Span]) -> bool:
    return any(span.end == len(target) for span in spans)


def _last_mark(source: str, target: str, base: str, spans: Sequence[Span], source_language: str) -> str:
    ours, theirs = end_mark(source, source_language), end_mark(target, base)
    if theirs != ours and _says(source, theirs, source_language):
        return target
    if (ours and ours in _UNMARKED.get(base, "")) or (theirs and _ends_in(target, spans)):
        return target
    if ours and ours == theirs:
        own = _MARKS.get(base, {}).get(ours)  # where a model wrote the English one
        return target[:-1] + own if own and target[-1] == ours and ours != "…" else target
    if ours and not theirs and _is_of_a_word(target[-1]):
        if ours in "?!" and base == "es" and _OPENED[ours] not in target and _is_several(target):
            return target  # which of its sentences asks?
        space = "\u00a0" if ours in _SPACED.get(base, "") else ""
        return target + space + _written(ours, base, source)
    if not ours and theirs == "." and target[-1] not in _BEHIND and not end_mark(target[:-1], base):
        return target[:-1]
    return target


def _written(mark: str, base: str, source: str) -> str:
    own = _MARKS.get(base, {}).get(mark)
    return own or ("..." if mark == "…" and source.rstrip(_CLOSING).endswith("...") else mark)


def _is_of_a_word(character: str) -> bool:
    """A letter or digit, or a vowel written around the letter before it, as the scripts of India do."""
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _is_several(text: str) -> bool:
    return bool(re.search(r"[.!?:;…]\s", text))


def _opened(target: str) -> str:
    """A Spanish text whose last sentence closes with ``?`` or ``!`` and is not opened, opened."""
    mark = target[-1:]
    opening = _OPENED.get(mark)
    if not opening or opening in target or target[:-1].endswith(("?", "!")):
        return target
    start = max((match.end() for match in re.finditer(r"[.!?:;…][\"»”)]*\s+", target)), default=0)
    start += len(target[start:]) - len(target[start:].lstrip("([{\"'«“„‘"))
    return target[:start] + opening + target[start:] if target[start:-1].strip() else target


def _capitals(source: str, target: str, base: str, spans: Sequence[Span]) -> str:
    if source.isupper() and base not in _OWN_CAPITALS and sum(map(str.isalpha, source)) >= _FEW:
        return _upper(target, spans)
    ours = source.lstrip(_OPENING)[:1]
    place = len(target) - len(target.lstrip(_OPENING))
    first = target[place : place + 1]
    inside = any(span.start <= place < span.end for span in spans)
    if ours.isupper() and first.islower() and not inside and len(first.upper()) == 1:
        capital = "İ" if base in ("az", "tr") and first == "i" else first.upper()
        return target[:place] + capital + target[place + 1 :]
    return target


def _upper(target: str, spans: Sequence[Span]) -> str:
    pieces: list[str] = []
    position = 0
    for span in spans:
        pieces += (target[position : span.start].upper(), target[span.start : span.end])
        position = span.end
    changed = "".join((*pieces, target[position:].upper()))
    return changed if has_words(target, spans) else target
