"""The syntaxes with fields in braces: Python's ``str.format``, C#, Java's MessageFormat.

What is valid is what ``msgfmt`` 0.21 takes for valid. It knows less than the languages do: Python's ``{}`` and
``{a!r}`` are faults here, and kept all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .base import EMPTY, Argument, Builder, FormatString, any_or

# Python

_NAME, _ITEM = r"[A-Za-z_]\w*", r"(?:[A-Za-z_]\w*|\d+)"
_FIELD = rf"{_ITEM}(?:\.{_NAME}|\[{_ITEM}\])*"
_STANDARD = r"(?:[\x00-\x7f]?[<>=^])?[-+ ]?#?0?\d*(?:\.\d*)?[bcdoxXneEfFgG%]?"
_PYTHON = re.compile(r"\{\{|\}\}|\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}|[{}]", re.DOTALL)
#: A field, and a format specification that is itself a field or one of the standard ones.
_PYTHON_FIELD = re.compile(rf"\{{({_FIELD}(?::(?:\{{{_FIELD}\}}|{_STANDARD}))?)\}}", re.ASCII | re.DOTALL)


def python(text: str) -> FormatString:
    """``{name.attribute[item]:specification}``. What stands between the braces is the argument, as in gettext."""
    if "{" not in text and "}" not in text:
        return EMPTY
    builder = Builder()
    for match in _PYTHON.finditer(text):
        found = match[0]
        if found == "}":
            builder.misread("'}' closes nothing; a literal one is doubled")
        elif found in ("{{", "}}"):
            builder.add(*match.span())
        elif found == "{":
            builder.fail("'{' is not closed; a literal one is doubled")
        elif field := _PYTHON_FIELD.fullmatch(found):
            builder.add(*match.span(), builder.take(field[1], "any"))
        else:
            builder.fail(f"{found} is no replacement field")
            builder.add(*match.span(), builder.take(found, "any"))
    return builder.done()


# C#

_CSHARP = re.compile(r"\{\{|\}\}|\{(?:([0-9]{1,9})(?:,-?[0-9]+)?(?::[^}]*)?\})?|\}")


def csharp(text: str) -> FormatString:
    """``{0,10:format}``."""
    if "{" not in text and "}" not in text:
        return EMPTY
    builder = Builder(first=0)
    for match in _CSHARP.finditer(text):
        if match[0] in ("{", "}"):
            builder.fail(f"{match[0]!r} is not part of an item; a literal one is doubled")
        elif match[1]:
            builder.add(*match.span(), builder.take(int(match[1]), "any"))
        else:
            builder.add(*match.span())
    return builder.done()


# Java

#: A literal apostrophe, quoted text, a brace.
_JAVA_MARK = re.compile(r"''|'(?:[^']|'')*(?:'|\Z)|[{}]")
_BRACE = re.compile("[{}]")
_JAVA_ELEMENT = re.compile(r"([0-9]{1,9})(?:,(number|choice|date|time)(?:,(.*))?)?", re.DOTALL)
_DEEPEST = 20  # choices within choices
_JAVA_TYPES = {None: "any", "number": "number", "choice": "number", "date": "date", "time": "date"}
#: A named style, or a pattern with a digit in each of its parts.
_NUMBER_STYLE = re.compile(r"currency|percent|integer|[^;]*[#0][^;]*(?:;[^;]*[#0].*)?", re.DOTALL)
_LIMIT = re.compile(r"(?:''|'(?:[^']|'')*(?:'|\Z)|(?!\\u2264)[^'<#|])*", re.DOTALL)
_MARK = re.compile(r"[<#]|\\u2264")
_CHOICE = re.compile(r"(?:''|'(?:[^']|'')*(?:'|\Z)|[^'|])*", re.DOTALL)


def java(text: str) -> FormatString:
    """``{0,number,#.##}``, ``{0,choice,0#none|1#one|2#{0} files}``; an apostrophe begins and ends quoted text."""
    if "{" not in text and "}" not in text and "'" not in text:
        return EMPTY
    builder = Builder(first=0, unify=any_or)
    for start, end, element in _java_parts(text, builder):
        if element is not None:
            builder.add(start, end, *_java_arguments(element, builder))
        elif end - start > 2:
            builder.add(start, end)
            if not _BRACE.search(text, start, end):
                builder.misread("an apostrophe begins quoted text; a literal one is doubled")
    return builder.done()


def _java_parts(message: str, builder: Builder) -> Iterator[tuple[int, int, str | None]]:
    """The elements of a message, each with what stands between its braces, and its quoted stretches, with ``None``."""
    position = 0
    while mark := _JAVA_MARK.search(message, position):
        start, position = mark.span()
        if mark[0] == "}":
            builder.fail("'}' closes nothing")
        elif mark[0] == "{":
            depth = 1
            while depth and (brace := _BRACE.search(message, position)):
                depth += 1 if brace[0] == "{" else -1
                position = brace.end()
            if depth:
                builder.fail("'{' is not closed")
                return
            yield start, position, message[start + 1 : position - 1]
        else:
            yield start, position, None


def _java_arguments(element: str, builder: Builder, depth: int = 0) -> Iterator[Argument]:
    """The arguments of an element: its own, and those in the messages of a choice."""
    match = _JAVA_ELEMENT.fullmatch(element)
    if not match or depth > _DEEPEST:
        builder.fail(f"{{{element}}} is no format element")
        return
    number, kind, style = match.groups()
    yield builder.take(int(number), _JAVA_TYPES[kind])
    if kind == "number" and style is not None and not _NUMBER_STYLE.fullmatch(style):
        builder.fail(f"{style!r} is no number style")
    if kind == "choice" and style:
        for message in _java_choices(style, builder):
            for _, _, inner in _java_parts(message, builder):
                if inner is not None:
                    yield from _java_arguments(inner, builder, depth + 1)


def _java_choices(style: str, builder: Builder) -> Iterator[str]:
    """The messages of ``limit#message|limit<message``."""
    position = 0
    while position < len(style):
        limit = _LIMIT.match(style, position)
        assert limit is not None
        if limit.end() == position:
            builder.fail("a choice has no limit")
            return
        if limit.end() == len(style):
            return
        if not (mark := _MARK.match(style, limit.end())):
            builder.fail(f"the limit {limit[0]} has no message")
            return
        message = _CHOICE.match(style, mark.end())
        assert message is not None
        yield message[0]
        position = message.end() + 1
