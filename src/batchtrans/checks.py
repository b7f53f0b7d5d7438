"""The judges: what is wrong with a translation.

A *hard* problem means that the text must not be written: it would break a program or a catalogue. A *soft* one is a
doubt, written into the log and, by ``--mark low``, made visible as a fuzzy entry.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from . import syntaxes
from .edges import differing_ends
from .placeholders import (
    compare_formats,
    compare_others,
    compare_placeholders,
    compare_undeclared,
    listed,
    may_leave_out,
)
from .protect import Span, find, has_words
from .syntaxes.prose import access_key, emphases
from .types import Problem

__all__ = ["Check", "Foreign", "compare_placeholders", "judge", "judge_form", "may_leave_out", "repeated"]

Check = Callable[[str, str, frozenset[str]], Iterable[Problem]]

Foreign = Callable[[str], bool]

_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+(?:[.,\u00a0\u202f]\d+)*")
_NOT_DIGIT = re.compile(r"\D")
#: What is in names that every language writes the same: PostgreSQL, YouTube, iPhone.
_INNER_CAPITAL = re.compile("[a-zà-öø-ÿ][A-ZÀ-ÖØ-Þ]")
_DOUBLED = re.compile(r"\b([^\W\d_]{2,})\s+\1\b", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd]")
_ACCENTED = re.compile(r"[^\W\d_\x00-\x7f]")
#: Writing systems that need about a third of the characters.
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]")


def judge(
    source: str,
    target: str,
    flags: frozenset[str] = frozenset(),
    *,
    relaxed: bool = False,
    further: Sequence[Check] = (),
    against: str | None = None,
    foreign: Foreign | None = None,
    soft: bool = True,
    language: str = "",
    source_language: str = "en",
) -> list[Problem]:
    """Everything that the judges find in ``target`` as a translation of ``source``, hard problems first.

    ``relaxed`` lets a plural form leave out directives of its source (see :meth:`Document.relaxed`). ``further`` are
    checks from plugins. ``against`` is the text whose arguments count where it is not the source: msgid_plural, with
    which gettext compares every form. ``foreign`` tells whether a text is in the source's language, see
    :mod:`.languages`. Without ``soft`` our own judges look for hard problems only. ``language`` is the target's and
    ``source_language`` the source's, which say what their end marks mean.
    """
    ours, theirs = find(source, flags), find(target, flags)
    problems = list(_hard(source, target, flags, relaxed, ours, theirs, against))
    for check in further:
        problems.extend(check(source, target, flags))
    if soft:
        problems.extend(_soft(source, target, ours, theirs, differing_ends(source, target, language, source_language)))
        if foreign is not None and _is_in_doubt(source, target) and foreign(target):
            problems.append(Problem("language", "the translation seems to be in the source's language"))
    return sorted(problems, key=lambda problem: not problem.hard) if problems else problems


def _is_in_doubt(source: str, target: str) -> bool:
    """Whether it takes a closer look to see that a text is not in its source's language: accents that the source has
    none of settle that, which is so for most texts and a hundred times as quick."""
    return not (source.isascii() and _ACCENTED.search(target))


def _hard(
    source: str,
    target: str,
    flags: frozenset[str],
    relaxed: bool,
    ours: Sequence[Span],
    theirs: Sequence[Span],
    against: str | None,
) -> Iterator[Problem]:
    if source.strip() and not target.strip():
        yield Problem("empty", "the translation is empty", hard=True)
        return
    for name, edge in (("begin", slice(0, 1)), ("end", slice(-1, None))):
        if (source[edge] == "\n") != (target[edge] == "\n"):
            which = ("source", "translation") if source[edge] == "\n" else ("translation", "source")
            yield Problem("newlines", f"the {which[0]} {name}s with a newline, the {which[1]} does not", hard=True)
    if strange := sorted({f"U+{ord(c):04X}" for c in _CONTROL.findall(target) if c not in source}):
        yield Problem("control", f"control characters that the source does not have: {', '.join(strange)}", hard=True)
    formats = syntaxes.chosen(source, flags)
    counting, held = (source, ours) if against is None else (against, find(against, flags))
    yield from compare_formats(counting, target, formats, relaxed)
    if ours or theirs or held:
        yield from compare_undeclared(held, counting, theirs, target, relaxed)
        yield from compare_others(ours, source, theirs, target, formats)


def judge_form(plural: str, target: str, flags: frozenset[str], relaxed: bool) -> Iterator[Problem]:
    """gettext compares the directives of every plural form with msgid_plural, whichever text it translates."""
    yield from compare_formats(plural, target, syntaxes.selected(flags), relaxed)


def _soft(
    source: str, target: str, ours: Sequence[Span], theirs: Sequence[Span], ends: tuple[str, str] | None
) -> Iterator[Problem]:
    if source == target:
        if has_words(source, ours) and sum(word.islower() for word in _WORD.findall(source)) >= 2:
            yield Problem("unchanged", "the translation is the source, unchanged")
        return  # nothing below can differ
    if ends:
        yield Problem("end", "the source ends {}, the translation {}".format(*map(_ending, ends)))
    if (ours or theirs) and (code := _differing_code(source, target, ours, theirs)):
        yield Problem("code", f"another name in backquotes: {code}")
    if emphasis := _changed(emphases(source), emphases(target)):
        yield Problem("markup", f"inline markup: the translation {emphasis}")
    if numbers := _changed(_numbers(source), _numbers(target)):
        yield Problem("numbers", f"the translation {numbers}")
    if names := _changed(_names(source, ours), _names(target, theirs)):
        yield Problem("names", f"the translation {names}")
    if (sign := access_key(source)) and _alone(target, sign) != 1:
        yield Problem("accelerator", f"the source marks one key with {sign!r}, the translation none or several")
    elif "&&" in source and _alone(source, "&") != _alone(target, "&"):
        yield Problem("accelerator", "the source writes '&&' for a sign, the translation one that marks a key, or none")
    if (pair := _doubled(target)) and not _doubled(source):
        yield Problem("doubled", f"a word is doubled: {pair}")
    if repeated(target) and not repeated(source):
        yield Problem("repetition", "the translation repeats itself")
    long, short = sorted((_breadth(source), _breadth(target)), reverse=True)
    if long > 2 * short + 20:
        yield Problem("length", f"{len(target)} characters for {len(source)} of the source")


def _ending(mark: str) -> str:
    return f"in {mark!r}" if mark else "without a mark"


def _differing_code(source: str, target: str, ours: Sequence[Span], theirs: Sequence[Span]) -> str:
    one, other = (
        Counter(text[span.start : span.end] for span in spans if span.kind == "code")
        for text, spans in ((source, ours), (target, theirs))
    )
    return "" if one == other else listed((one - other or other - one).elements())


def _changed(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """What was lost of ours, or else what is new in theirs, in words; empty if nothing, in whatever order."""
    if ours == theirs:
        return ""
    lost, new = Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)
    return f"lacks {listed(lost)}" if lost else f"adds {listed(new)}" if new else ""


def _numbers(text: str) -> list[str]:
    """Digit groups with the separators taken out: ``1,024.5`` and ``1.024,5`` are the same number here."""
    return [_NOT_DIGIT.sub("", number) for number in _NUMBER.findall(text)]


def _names(text: str, spans: Sequence[Span]) -> list[str]:
    """The words with a capital inside, each once, but for those within placeholders."""
    if not _INNER_CAPITAL.search(text):
        return []
    words = (word for word in _WORD.finditer(text) if _INNER_CAPITAL.search(word[0]))
    free = (word[0] for word in words if not any(span.start <= word.start() < span.end for span in spans))
    return list(dict.fromkeys(free))


def _breadth(text: str) -> int:
    """The length of a text in characters of an alphabet."""
    return len(text) if text.isascii() else len(text) + 2 * len(_DENSE.findall(text))


def _alone(text: str, sign: str) -> int:
    """How often a sign stands in a text and is not doubled, which writes the sign itself."""
    return text.replace(sign * 2, "").count(sign)


def _doubled(text: str) -> str:
    words = _WORD.findall(text.lower())
    if not any(map(str.__eq__, words, words[1:])):  # the search goes through the text once for each of its words
        return ""
    match = _DOUBLED.search(text)
    return match.group(0) if match else ""


#: Four equal stretches of this many characters make a repetition. Of those stretches' beginnings one in so many
#: is looked at: the run of equal characters at their distance is longer than that.
_PERIODS = (4, 40)
_STEP = 3 * _PERIODS[0] - 4 + 1


def repeated(text: str) -> bool:
    """Whether four words in a row come three times, or four equal stretches of 4 to 40 characters back to back."""
    words = text.lower().split()
    if len(words) - len(set(words)) >= 5:  # three times the same four words, even overlapping, leave five to spare
        runs = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
        if any(count >= 3 for count in runs.values()):
            return True
    least, most = _PERIODS
    for start in range(0, len(text) - 2 * least + 1, _STEP):
        piece = text[start : start + least]
        found = text.find(piece, start + 1, start + most + least)
        while found >= 0:
            if least <= found - start and _run(text, start, found - start) >= 3 * (found - start):
                return True
            found = text.find(piece, found + 1, start + most + least)
    return False


def _run(text: str, start: int, distance: int) -> int:
    """How many characters in a row, that at ``start`` among them, are equal to those at this distance behind them."""
    first, last = start, start
    while first > 0 and text[first - 1] == text[first - 1 + distance]:
        first -= 1
    while last + distance < len(text) and text[last] == text[last + distance]:
        last += 1
    return last - first
