"""The judges: what is wrong with a translation, and the repairs that cannot make it worse.

A *hard* problem means that the text must not be written: it would break a program or a catalogue. A *soft* one is a
doubt, written into the log and, by ``--mark low``, made visible as a fuzzy entry.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from . import syntaxes
from .placeholders import compare_formats, compare_others, compare_placeholders, listed, may_leave_out
from .protect import Span, find, has_words
from .syntaxes.prose import access_key
from .types import Problem

__all__ = ["Check", "compare_placeholders", "judge", "judge_form", "may_leave_out", "repair", "repeated"]

Check = Callable[[str, str, frozenset[str]], Iterable[Problem]]

_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+(?:[.,\u00a0\u202f]\d+)*")
_END = re.compile(r"(\.\.\.|[.!?:;…])[\s\"'»”)]*$")
_END_FAMILY = {"...": "…", "…": "…", "。": ".", "！": "!", "？": "?", "：": ":", "；": ";", "؟": "?", "।": "."}


def judge(
    source: str,
    target: str,
    flags: frozenset[str] = frozenset(),
    *,
    relaxed: bool = False,
    further: Sequence[Check] = (),
    against: str | None = None,
) -> list[Problem]:
    """Everything that the judges find in ``target`` as a translation of ``source``, hard problems first.

    ``relaxed`` lets a plural form leave out directives of its source (see :meth:`Document.relaxed`). ``further`` are
    checks from plugins. ``against`` is the text whose directives count where it is not the source: msgid_plural, with
    which gettext compares every form.
    """
    ours, theirs = find(source, flags), find(target, flags)
    problems = list(_hard(source, target, flags, relaxed, ours, theirs, against))
    for check in further:
        problems.extend(check(source, target, flags))
    problems.extend(_soft(source, target, ours, theirs))
    return sorted(problems, key=lambda problem: not problem.hard)


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
            yield Problem("newlines", f"one of source and translation {name}s with a newline, the other not", hard=True)
    if strange := sorted({f"U+{ord(c):04X}" for c in target if _is_control(c) and c not in source}):
        yield Problem("control", f"control characters {', '.join(strange)}", hard=True)
    formats = syntaxes.chosen(source, flags)
    yield from compare_formats(source if against is None else against, target, formats, relaxed)
    yield from compare_others(ours, source, theirs, target, formats)


def _is_control(character: str) -> bool:
    code = ord(character)
    return (code < 32 and character not in "\t\n\r") or 127 <= code < 160 or 0xE000 <= code <= 0xF8FF or code == 0xFFFD


def judge_form(plural: str, target: str, flags: frozenset[str], relaxed: bool) -> Iterator[Problem]:
    """gettext compares the directives of every plural form with msgid_plural, whichever text it translates."""
    yield from compare_formats(plural, target, syntaxes.selected(flags), relaxed)


def _soft(source: str, target: str, ours: Sequence[Span], theirs: Sequence[Span]) -> Iterator[Problem]:
    words = _WORD.findall(source)
    if source == target and has_words(source, ours) and sum(word.islower() for word in words) >= 2:
        yield Problem("unchanged", "the translation is the source")
    mark, other = _end_mark(source), _end_mark(target)
    if mark != other:
        yield Problem("end", f"the source ends in {mark or 'no mark'!r}, the translation in {other or 'no mark'!r}")
    code = [
        Counter(text[span.start : span.end] for span in spans if span.kind == "code")
        for text, spans in ((source, ours), (target, theirs))
    ]
    if code[0] != code[1]:
        yield Problem("code", f"code differs: {listed((code[0] - code[1] or code[1] - code[0]).elements())}")
    if (lost := _numbers(source) - _numbers(target)) or (lost := _numbers(target) - _numbers(source)):
        yield Problem("numbers", f"numbers differ: {listed(lost)}")
    if (sign := access_key(source)) and target.replace(sign * 2, "").count(sign) != 1:
        yield Problem("accelerator", f"the source marks one key with {sign!r}, the translation none or several")
    if (pair := _doubled(target)) and not _doubled(source):
        yield Problem("doubled", f"a word is doubled: {pair}")
    if repeated(target) and not repeated(source):
        yield Problem("repetition", "the translation repeats itself")
    if len(target) > 3 * len(source) + 20 or len(source) > 3 * len(target) + 20:
        yield Problem("length", f"{len(target)} characters for {len(source)}")


def _end_mark(text: str) -> str:
    match = _END.search(text.rstrip())
    mark = match.group(1) if match else text.rstrip()[-1:]
    mark = _END_FAMILY.get(mark, mark)
    return mark if mark in {"…", ".", "!", "?", ":", ";"} else ""


def _numbers(text: str) -> Counter[str]:
    """Digit groups with the separators taken out: ``1,024.5`` and ``1.024,5`` are the same number here."""
    return Counter(re.sub(r"\D", "", number) for number in _NUMBER.findall(text))


def _doubled(text: str) -> str:
    match = re.search(r"\b([^\W\d_]{2,})\s+\1\b", text, re.IGNORECASE)
    return match.group(0) if match else ""


def repeated(text: str) -> bool:
    """Whether a run of four words, or a run of eight characters back to back, comes again and again."""
    words = text.lower().split()
    runs = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    return any(count >= 3 for count in runs.values()) or bool(re.search(r"(.{4,40}?)\1{3}", text))


def repair(source: str, target: str) -> str:
    """Make end mark and first capital those of the source, where that is one character at the edge."""
    ours, theirs = _end_mark(source), _end_mark(target)
    if ours != theirs:
        wanted = ours in {".", ":", "…"} or (ours == "!" and "¡" in target)  # Spanish sets marks in pairs
        if not theirs and wanted and target[-1:].isalnum():
            target += "..." if source.endswith("...") else ours
        elif not ours and theirs == "." and target.endswith(".") and not target.endswith(".."):
            target = target[:-1]
    first, answer = source[:1], target[:1]
    if first.isupper() and answer.islower() and len(answer.upper()) == 1:
        target = answer.upper() + target[1:]
    return target
