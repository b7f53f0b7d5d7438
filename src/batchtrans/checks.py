"""The judges: what is wrong with a translation, and the repairs that cannot make it worse.

A *hard* problem means that the text must not be written: it would break a program or a catalogue. A *soft* one is a
doubt, written into the log and, by ``--mark low``, made visible as a fuzzy entry.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from .protect import Span, find, has_words, takes_argument
from .types import Problem

Check = Callable[[str, str, frozenset[str]], Iterable[Problem]]

_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+(?:[.,\u00a0\u202f]\d+)*")
_END = re.compile(r"(\.\.\.|[.!?:;…])[\s\"'»”)]*$")
_END_FAMILY = {"...": "…", "…": "…", "。": ".", "！": "!", "？": "?", "：": ":", "；": ";", "؟": "?", "।": "."}
_POSITION = re.compile(r"%(\d+)\$")


def judge(
    source: str,
    target: str,
    flags: frozenset[str] = frozenset(),
    *,
    relaxed: bool = False,
    further: Sequence[Check] = (),
) -> list[Problem]:
    """Everything that the judges find in ``target`` as a translation of ``source``, hard problems first.

    ``relaxed`` lets a plural form leave out directives of its source (see ``Document.plural_relaxed``). ``further``
    are checks from plugins.
    """
    problems = list(_hard(source, target, flags, relaxed))
    for check in further:
        problems.extend(check(source, target, flags))
    problems.extend(_soft(source, target, flags))
    return sorted(problems, key=lambda problem: not problem.hard)


def _hard(source: str, target: str, flags: frozenset[str], relaxed: bool) -> Iterator[Problem]:
    if source.strip() and not target.strip():
        yield Problem("empty", "the translation is empty", hard=True)
        return
    for name, edge in (("begin", slice(0, 1)), ("end", slice(-1, None))):
        if (source[edge] == "\n") != (target[edge] == "\n"):
            yield Problem("newlines", f"one of source and translation {name}s with a newline, the other not", hard=True)
    if strange := sorted({f"U+{ord(c):04X}" for c in target if _is_control(c) and c not in source}):
        yield Problem("control", f"control characters {', '.join(strange)}", hard=True)
    yield from compare_placeholders(find(source, flags), source, find(target, flags), target, relaxed)
    for flag, signs in (("c-format", "%"), ("python-format", "%"), ("python-brace-format", "{}"), ("java-format", "'")):
        if flag in flags and not _loose(source, flags, signs) and (loose := _loose(target, flags, signs)):
            yield Problem("format", f"'{loose}' means something in {flag}; a sign that does not is doubled", hard=True)


def _is_control(character: str) -> bool:
    code = ord(character)
    return (code < 32 and character not in "\t\n\r") or 127 <= code < 160 or 0xE000 <= code <= 0xF8FF or code == 0xFFFD


def _loose(text: str, flags: frozenset[str], signs: str) -> str:
    """The first of these signs outside the directives and not doubled, with what follows it; empty if there is none."""
    for span in reversed(find(text, flags)):
        text = text[: span.start] + "\0" * (span.end - span.start) + text[span.end :]
    found = re.search(f"[{signs}]", text.replace("''", ""))
    return text.replace("''", "")[found.start() :][:4] if found else ""


def may_leave_out(plural: str, flags: frozenset[str]) -> bool:
    """Whether a relaxed plural form may leave out arguments of ``plural``: in Python only named ones, and none of a
    format that is not parsed here."""
    for span in find(plural, flags):
        directive = plural[span.start : span.end]
        unnamed = span.kind == "python-format" and takes_argument(directive) and not directive.startswith("%(")
        if unnamed or span.kind == "other-format":
            return False
    return True


def judge_form(plural: str, target: str, flags: frozenset[str], relaxed: bool) -> Iterator[Problem]:
    """gettext compares the directives of every plural form with msgid_plural, whichever text it translates."""
    ours = [span for span in find(plural, flags) if span.kind.endswith("-format")]
    theirs = [span for span in find(target, flags) if span.kind.endswith("-format")]
    yield from compare_placeholders(ours, plural, theirs, target, relaxed and may_leave_out(plural, flags))


def compare_placeholders(
    source_spans: Sequence[Span], source: str, target_spans: Sequence[Span], target: str, relaxed: bool = False
) -> Iterator[Problem]:
    """Compare the placeholders of two texts by gettext's rule.

    Directives of a format are arguments: unnumbered ones keep their order, numbered and named ones are free, and the
    words of a format that is not parsed keep theirs. All other placeholders (tags, addresses) are a multiset.
    """
    wanted, found = _texts(source_spans, source), _texts(target_spans, target)
    for kind in sorted(set(wanted) | set(found)):
        ours, theirs = wanted.get(kind, []), found.get(kind, [])
        if kind in ("c-format", "python-format", "printf"):
            if len({bool(_POSITION.match(text)) for text in theirs if takes_argument(text)}) > 1:
                yield Problem("format", "directives with and without argument numbers", hard=True)
            ours, theirs = _arguments(ours), _arguments(theirs)
        missing, invented = Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)
        if relaxed and not invented and kind.endswith("-format"):
            continue
        if kind == "other-format" and ours != theirs and not (missing or invented):
            yield Problem("placeholders", "the placeholders are in another order", hard=True)
        if missing:
            yield Problem("placeholders", f"lost: {_listed(missing)}", hard=True)
        if invented:
            yield Problem("placeholders", f"invented: {_listed(invented)}", hard=True)


def _texts(spans: Iterable[Span], text: str) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for span in spans:
        texts.setdefault(span.kind, []).append(text[span.start : span.end])
    return texts


def _arguments(directives: Iterable[str]) -> list[str]:
    """Directives as ``position:conversion`` (``name:conversion`` for named ones), each once; ``%%`` is none, and ``%m``
    is itself."""
    arguments = []
    counter = 0
    for directive in directives:
        if not takes_argument(directive):
            arguments += [] if directive == "%%" else [directive]
            continue
        if directive.startswith("%("):
            arguments.append(f"{directive[2 : directive.index(')')]}:{directive[-1]}")
            continue
        explicit = _POSITION.match(directive)
        for _ in range(directive.count("*")):
            counter += 1
            arguments.append(f"{counter}:*")
        counter += 1
        number = explicit.group(1) if explicit else str(counter)
        arguments.append(f"{number}:{_conversion(directive)}")
    return sorted(set(arguments))


def _conversion(directive: str) -> str:
    """Length modifier and conversion letter; ``i`` is ``d``, as both take an int."""
    text = re.sub(r"^%(?:\d+\$)?[-+ #0'I]*[\d*]*(?:\.[\d*]*)?", "", directive)
    return text[:-1] + "d" if text.endswith("i") else text


def _listed(items: Iterable[str], most: int = 5) -> str:
    """The first few items, for a message."""
    texts = list(items)
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def _soft(source: str, target: str, flags: frozenset[str]) -> Iterator[Problem]:
    spans = find(source, flags)
    words = _WORD.findall(source)
    if source == target and has_words(source, spans) and sum(word.islower() for word in words) >= 2:
        yield Problem("unchanged", "the translation is the source")
    ours, theirs = _end_mark(source), _end_mark(target)
    if ours != theirs:
        yield Problem("end", f"the source ends in {ours or 'no mark'!r}, the translation in {theirs or 'no mark'!r}")
    if (lost := _numbers(source) - _numbers(target)) or (lost := _numbers(target) - _numbers(source)):
        yield Problem("numbers", f"numbers differ: {_listed(lost)}")
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
