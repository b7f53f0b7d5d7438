"""Fluent's patterns: ``{ $user }``, ``{ -brand }``, and selections, which are texts within the syntax within a text.

Its directives are the placeables, and the stretches of syntax around the texts of a selection, so that those are left
to translate. What is read is the value of a message, as the Fluent syntax guide and its grammar (1.0) have it.
"""

from __future__ import annotations

import re

from .base import EMPTY, Builder, FormatString

#: What only this syntax has.
LOOKS = re.compile(r"\{\s*[^\s{}][^{}]*?->\s*\*?\[")

_NAME = r"[A-Za-z][\w-]*"
_CALL = r"\((?:[^()\"{}]|\"(?:[^\"\\\n]|\\.)*\")*\)"
_LITERAL = r"\"(?:[^\"\\\n]|\\.)*\"|-?\d+(?:\.\d+)?"
_REFERENCE = rf"\$?-?{_NAME}(?:\.{_NAME})?(?:{_CALL})?"
#: A placeable, or the beginning of a selection.
_OPEN = re.compile(rf"\{{\s*(?:(?P<literal>{_LITERAL})|(?P<reference>{_REFERENCE}))\s*(?:(?P<end>\}})|->)", re.ASCII)
_VARIANT = re.compile(r"[^\S\n]*\n\s*(?P<default>\*)?\[\s*(?P<key>[\w.-]+)\s*\][^\S\n]*")
_MARK = re.compile(r"\{|(?<!\s)\s*\}|(?<!\s)(?=[^\S\n]*\n\s*\*?\[)")
_CLOSE = re.compile(r"\s*\}")
_VARIABLE = re.compile(r"\$[A-Za-z][\w-]*", re.ASCII)
_TARGET = re.compile(rf"-?{_NAME}(?:\.{_NAME})?", re.ASCII)
#: Variants of numbers, which every language has its own of.
_NUMBERS = re.compile(r"zero|one|two|few|many|other|[\d.]+")
_DEEPEST = 20  # selections within selections


class _Fault(Exception):
    """Why a pattern is not valid."""


class _Reader:
    """Reads one pattern; recursion follows its selections."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.builder = Builder()
        self.at = 0

    def pattern(self, depth: int) -> None:
        """Read up to the end of the text, of a variant, or of the selection around it."""
        if depth > _DEEPEST:
            raise _Fault("selections within selections go too deep")
        while mark := _MARK.search(self.text, self.at):
            self.at = mark.start()
            if mark[0] == "{":
                self.placeable(depth)
            elif mark[0] or depth:
                return
            else:
                self.at += 1
        self.at = len(self.text)

    def placeable(self, depth: int) -> None:
        start = self.at
        match = _OPEN.match(self.text, start)
        if not match:
            raise _Fault("'{' begins no placeable")
        self.at = match.end()
        keys = _keys(match["reference"] or "")
        if not match["end"]:
            self.variants(start, keys, depth)
            return
        self.builder.add(start, self.at, *(self.builder.take(key, "any") for key in keys))

    def variants(self, start: int, keys: list[str], depth: int) -> None:
        arguments = [self.builder.take(key, "any") for key in keys]
        found: list[str] = []
        defaults = 0
        while variant := _VARIANT.match(self.text, self.at):
            found.append(variant["key"])
            defaults += bool(variant["default"])
            self.at = variant.end()
            self.builder.add(start, self.at, *arguments)
            self.pattern(depth + 1)
            start = self.at
        close = _CLOSE.match(self.text, self.at)
        if not close or defaults != 1:
            raise _Fault("a selection has not one default variant, or does not end")
        self.at = close.end()
        self.builder.add(start, self.at, *arguments)
        if not all(map(_NUMBERS.fullmatch, found)):  # then their names are the program's
            self.builder.take(f"{' '.join(keys)}, select", " ".join(sorted(found)))


def _keys(reference: str) -> list[str]:
    """The variables of an expression, or what it refers to; a term's own arguments are the language's."""
    variables = [] if reference.startswith("-") else _VARIABLE.findall(reference)
    return variables or _TARGET.findall(reference)[:1]


def fluent(text: str) -> FormatString:
    """Variables, terms, messages and functions, each by its name; selections with their texts."""
    if "{" not in text and "}" not in text:
        return EMPTY
    reader = _Reader(text)
    try:
        reader.pattern(0)
        if reader.at < len(text):
            raise _Fault("'}' closes nothing")
    except _Fault as fault:
        reader.builder.fail(str(fault))
    return reader.builder.done()
