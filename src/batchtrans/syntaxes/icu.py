"""ICU's MessageFormat: ``{n, plural, one {# file} other {# files}}``, texts within the syntax within a text.

Its directives are the stretches of syntax around those texts, so that the texts themselves are left to translate.
"""

from __future__ import annotations

import re

from .base import EMPTY, Builder, FormatString, any_or

#: What only this syntax has; a braced word alone could be many others.
LOOKS = re.compile(r"\{\s*\w+\s*,\s*(?:plural|select|selectordinal|number|date|time|spellout|ordinal|duration)\s*[,}]")

_ARGUMENT = re.compile(r"\{\s*(\w+)\s*(?:\}|,\s*(\w+)\s*(\}|,))")
_STYLE = re.compile(r"(?:[^{}']|'[^']*')*\}")
_OFFSET = re.compile(r"\s*(?:offset:\s*\d+)?")
_END = re.compile(r"\s*\}")
_CASE = re.compile(r"\s*(=\d+|\w+)\s*\{")
#: Quoted text, a literal apostrophe being none, and the signs that mean something.
_MARK = re.compile(r"''|'[{}#|](?:[^']|'')*(?:'|\Z)|[{}#]")
_DEEPEST = 20  # messages within messages


class _Fault(Exception):
    """Why a string is not valid."""


class _Reader:
    """Reads one string; recursion follows its braces."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.builder = Builder(unify=any_or)
        self.at = 0

    def message(self, depth: int, plural: bool) -> int | None:
        """Read up to the brace that closes the message; where that is, or ``None`` at the end of the string."""
        if depth > _DEEPEST:
            raise _Fault("messages within messages go too deep")
        while mark := _MARK.search(self.text, self.at):
            self.at = mark.end()
            if mark[0] == "}":
                return mark.start()
            if mark[0] == "{":
                self.at = mark.start()
                self.argument(depth)
            elif (mark[0] == "#" and plural) or len(mark[0]) > 2:
                self.builder.add(*mark.span())
        return None

    def argument(self, depth: int) -> None:
        start = self.at
        match = _ARGUMENT.match(self.text, start)
        if not match:
            raise _Fault("'{' begins no argument")
        name, kind, rest = match[1], match[2] or "any", match[3]
        self.at = match.end()
        if kind in ("plural", "select", "selectordinal"):
            self.cases(start, name, kind, depth)
            return
        if rest == ",":
            style = _STYLE.match(self.text, self.at)
            if not style:
                raise _Fault(f"the style of {name} does not end")
            self.at = style.end()
        self.builder.add(start, self.at, self.builder.take(name, kind))

    def cases(self, start: int, name: str, kind: str, depth: int) -> None:
        """The messages of a choice. What stands before each of them and behind the last is one directive."""
        argument = self.builder.take(name, kind)
        offset = _OFFSET.match(self.text, self.at)
        self.at = offset.end() if offset else self.at
        cases = []
        while case := _CASE.match(self.text, self.at):
            cases.append(case[1])
            self.at = case.end()
            self.builder.add(start, self.at, argument)
            closing = self.message(depth + 1, kind != "select")
            if closing is None:
                raise _Fault("a message does not end")
            start = closing
        end = _END.match(self.text, self.at)
        if not end or "other" not in cases:
            raise _Fault(f"{name} has no case 'other', or does not end")
        self.at = end.end()
        self.builder.add(start, self.at, argument)
        if kind == "select":  # their names are the program's; those of numbers are the language's
            self.builder.take(f"{name}, {kind}", " ".join(sorted(cases)))


def icu(text: str) -> FormatString:
    """Arguments by name or number; those that choose by ``plural`` or ``select`` with their messages."""
    if "{" not in text and "}" not in text:
        return EMPTY
    reader = _Reader(text)
    try:
        if reader.message(0, False) is not None:
            raise _Fault("'}' closes nothing")
    except _Fault as fault:
        reader.builder.fail(str(fault))
    return reader.builder.done()
