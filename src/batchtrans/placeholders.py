"""Whether the placeholders of a text have come through its translation.

Those of a declared syntax are compared by its rule, see :mod:`.syntaxes`; all others have to be the same ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from . import syntaxes
from .protect import Span, find
from .syntaxes.prose import percent_directives
from .types import Problem

#: Characters of placeholders that a backend must not add, though a person might.
_SIGNS = frozenset("%{}<>\\$~&")
#: How a directive says which argument it shows: ``%2$s``, ``{2:d}``, Go's ``%[2]d``, Java's ``%<s`` for the last one.
_NUMBER = re.compile(r"\d+\$|(?<=\{)\d+(?=[:}])|\[\d+\]|\d+:|(?<=%)<(?=.)")
_ARGUMENT = re.compile(r"\bargument (\d+)")
#: What shows an argument of the program, as the directives of a declared syntax do.
_ARGUMENTS = ("printf", "brace", "variable")
#: What is kept while a text is translated, but may be called otherwise in a good translation.
_NOT_COMPARED = ("code",)


def may_leave_out(plural: str, flags: frozenset[str]) -> bool:
    """Whether a relaxed plural form may leave out any of the arguments of ``plural``."""
    for flag in syntaxes.chosen(plural, flags):
        read, rule = syntaxes.parse(plural, flag), syntaxes.syntax(flag).rule
        without = (
            read._replace(arguments={key: type for key, type in read.arguments.items() if key != left_out})
            for left_out in read.arguments
        )
        if read.directives and all(rule(read, rest, True) for rest in without):
            return False
    return True


def compare_placeholders(
    source_spans: Sequence[Span], source: str, target_spans: Sequence[Span], target: str, relaxed: bool = False
) -> Iterator[Problem]:
    """How the placeholders of two texts differ; ``relaxed`` lets a plural form leave out arguments."""
    kinds = sorted({span.kind for span in (*source_spans, *target_spans)})
    formats = tuple(kind for kind in kinds if kind.endswith("-format"))
    yield from compare_formats(source, target, formats, relaxed)
    yield from compare_undeclared(source_spans, source, target_spans, target, relaxed)
    yield from compare_others(source_spans, source, target_spans, target, formats)


def compare_formats(source: str, target: str, formats: Iterable[str], relaxed: bool = False) -> Iterator[Problem]:
    """How the directives of two texts differ in the syntaxes of these flags."""
    for flag in formats:
        if difference := syntaxes.compare(source, target, flag, relaxed=relaxed):
            if difference.invalid:
                yield Problem("format", f"the translation is not valid as {flag}: {difference.message}", hard=True)
            else:
                yield Problem("placeholders", _quoting(difference.message, (source, target), flag), hard=True)


def compare_undeclared(
    source_spans: Sequence[Span], source: str, target_spans: Sequence[Span], target: str, relaxed: bool = False
) -> Iterator[Problem]:
    """How the arguments of two texts differ that no flag declares. ``relaxed`` lets a plural form leave them out, as
    most syntaxes would that a flag could name."""
    ours, theirs = ([span for span in spans if span.kind in _ARGUMENTS] for spans in (source_spans, target_spans))
    if not ours and not theirs:
        return
    wanted, found = _texts(ours, source, ()), _texts(theirs, target, ())
    if wanted == found:
        return
    differing = list(_compare_directives(wanted.pop("printf", []), found.pop("printf", []), relaxed))
    # What touches a word in one text only (``%d archivos`` for ``%dfiles``) is no difference to a program.
    if differing and any(_compare_directives(percent_directives(source), percent_directives(target), relaxed)):
        yield from differing
    for kind in sorted({*wanted, *found}):
        yield from _compare_texts(wanted.get(kind, []), found.get(kind, []), relaxed)


def compare_others(
    source_spans: Sequence[Span], source: str, target_spans: Sequence[Span], target: str, formats: Sequence[str]
) -> Iterator[Problem]:
    """How the placeholders of two texts differ that show no argument: addresses, tags and the like."""
    wanted, found = (
        _texts((span for span in spans if span.kind not in _ARGUMENTS), text, formats)
        for spans, text in ((source_spans, source), (target_spans, target))
    )
    if wanted == found:
        return
    for kind in sorted({*wanted, *found}):
        ours, theirs = wanted.get(kind, []), found.get(kind, [])
        yield from _compare_texts(ours, theirs)
        if kind == "tag" and are_nested(ours) and not are_nested(theirs):
            yield Problem("placeholders", "a tag is closed before it is opened, or within another one", hard=True)


def _compare_texts(ours: Sequence[str], theirs: Sequence[str], relaxed: bool = False) -> Iterator[Problem]:
    """How placeholders differ that have to be the same ones."""
    if not relaxed and (missing := Counter(ours) - Counter(theirs)):
        yield Problem("placeholders", f"the translation lacks {listed(missing.elements())}", hard=True)
    if invented := Counter(theirs) - Counter(ours):
        yield Problem("placeholders", f"the translation adds {listed(invented.elements())}", hard=True)


def compare_strictly(source: str, target: str, flags: frozenset[str]) -> Iterator[Problem]:
    """What a person may do with placeholders and a backend may not: show one twice or in another way, drop one where
    gettext lets it, write what would be one in another syntax. The cases of ICU's and Fluent's messages are
    each language's own."""
    if _SIGNS.isdisjoint(source) and _SIGNS.isdisjoint(target):
        return  # of what is left, the others have to be the same ones anyway
    counts, signs = [], []
    formats = [flag for flag in syntaxes.chosen(source, flags) if flag not in syntaxes.OWN_CASES]
    for text in (source, target):
        counts.append(Counter(name for name, _ in _named(text, flags, formats)))
        inside = Counter(character for span in find(text, flags) for character in text[span.start : span.end])
        signs.append(Counter(character for character in text if character in _SIGNS) - inside)
    if more := counts[1] - counts[0]:
        added = _only_in(target, source, more, flags, formats)
        yield Problem("placeholders", f"the translation adds {listed(added)}", hard=True)
    if less := counts[0] - counts[1]:
        lost = _only_in(source, target, less, flags, formats)
        yield Problem("placeholders", f"the translation lacks {listed(lost)}", hard=True)
    if invented := signs[1] - signs[0]:
        found = listed(invented.elements())
        yield Problem("placeholders", f"the translation adds a character that begins placeholders: {found}", hard=True)


def _named(text: str, flags: frozenset[str], formats: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each placeholder of a text: what it is counted as, and how it stands there."""
    for span in find(text, flags):
        if not span.kind.endswith("-format") and span.kind not in _NOT_COMPARED:
            yield span.kind, text[span.start : span.end]
    for flag in formats:
        for directive in syntaxes.parse(text, flag).directives:
            yield _directive(text, directive), text[directive.start : directive.end]


def _only_in(
    text: str, other: str, names: Iterable[str], flags: frozenset[str], formats: Sequence[str]
) -> Iterator[str]:
    """The placeholders of these names that only one text has, as they stand there; shapes with their kind."""
    ours, theirs = (
        Counter((name, shown) for name, shown in _named(each, flags, formats) if name in names)
        for each in (text, other)
    )
    return (shown if " " in name else f"{shown} ({name})" for name, shown in (ours - theirs).elements())


def _quoting(message: str, texts: Iterable[str], flag: str) -> str:
    """A message with the directives that show the arguments that it numbers: ``argument 1 (%d)``."""
    shown = {
        str(argument.key): text[directive.start : directive.end]
        for text in texts
        for directive in syntaxes.parse(text, flag).directives
        for argument in directive.arguments
        if isinstance(argument.key, int)
    }
    return _ARGUMENT.sub(lambda m: f"{m[0]} ({shown[m[1]]})" if m[1] in shown else m[0], message)


def _directive(text: str, found: syntaxes.Directive) -> str:
    """A directive without its number, and what it shows."""
    keys = ",".join(str(argument.key) for argument in found.arguments)
    return f"{_NUMBER.sub('', text[found.start : found.end])} ({keys})"


def _texts(spans: Iterable[Span], text: str, formats: Sequence[str]) -> dict[str, list[str]]:
    """The placeholders that are not those of ``formats``, by kind. Of directives within them (``<a href="%1$s">``) it
    only counts which argument they show."""
    directives = [directive for flag in formats for directive in syntaxes.parse(text, flag).directives]
    texts: dict[str, list[str]] = {}
    for span in spans:
        if span.kind in formats or span.kind in _NOT_COMPARED:
            continue
        pieces: list[str] = []
        position = span.start
        for directive in directives:
            if position <= directive.start < span.end:
                keys = ",".join(str(argument.key) for argument in directive.arguments)
                pieces += (text[position : directive.start], f"%{{{keys}}}")
                position = directive.end
        texts.setdefault(span.kind, []).append("".join(pieces) + text[position : span.end])
    return texts


def _compare_directives(ours: Sequence[str], theirs: Sequence[str], relaxed: bool) -> Iterator[Problem]:
    """How undeclared percent directives differ."""
    yield from compare_formats(" ".join(ours), " ".join(theirs), [_flag_of((*ours, *theirs))], relaxed)


def _flag_of(directives: Iterable[str]) -> str:
    """The flag that undeclared percent directives would have."""
    begins = {directive[:2] for directive in directives if not directive.startswith("%<PRI")}
    return "python-format" if "%(" in begins else "ruby-format" if "%<" in begins else "objc-format"


def are_nested(tags: Iterable[str]) -> bool:
    """Whether each of these tags that opens something is closed, in the reverse order."""
    opened: list[str] = []
    for tag in tags:
        name = re.match(r"</?([\w:.-]+)", tag)
        if name is None or tag.endswith("/>"):
            continue
        if not tag.startswith("</"):
            opened.append(name[1])
        elif not opened or opened.pop() != name[1]:
            return False
    return not opened


def listed(items: Iterable[str], most: int = 5) -> str:
    """The first few items, for a message."""
    texts = list(items)
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
