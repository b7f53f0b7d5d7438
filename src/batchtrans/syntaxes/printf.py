"""The family of C's printf: a percent sign, perhaps the argument's number or name, flags, width, precision, a letter.

Its members differ in what may stand between the percent sign and the letter, in what the letters take, and in how
arguments without a number are counted; :mod:`.dialects` has them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from .base import EMPTY, IMPLIED, PREVIOUS, Argument, Builder, FormatString, Key, Unify, never

#: The named groups of a directive, empty where they did not take part.
Parts = Mapping[str, str]


class Reading(NamedTuple):
    """One directive by itself: the arguments it takes, each with its number or name (``None`` for the next one), the
    number from which counting goes on, whether there has to be an argument before it, the number from which
    counting goes on behind it, and why some programs refuse it."""

    takes: tuple[tuple[Key | None, str], ...] = ()
    start: int | None = None
    fault: str = ""
    refers_back: bool = False
    then: int | None = None
    misread: str = ""


Reader = Callable[[Parts], Reading]


class Printf(NamedTuple):
    """One member of the family: ``pattern`` matches a percent sign with the directive that follows it, or else alone,
    and ``read`` says what the directive takes."""

    pattern: re.Pattern[str]
    read: Reader
    first: int = 1  # the number of the first argument
    mixes: bool = False  # whether arguments by number, by name and in order may stand in one string
    gaps: bool = True  # whether numbers may be left out
    passes: bool = False  # whether counting goes on behind numbers; what has a name stands for all that is left
    unify: Unify = never

    def parse(self, text: str) -> FormatString:
        """Read a whole string."""
        if "%" not in text:
            return EMPTY
        builder = Builder(self.first, self.unify)
        styles: set[str] = set()
        for match in self.pattern.finditer(text):
            takes, start, fault, refers_back, then, misread = _read(self, match[0])
            builder.fail(fault)
            builder.misread(misread)
            if refers_back and builder.last is None:
                builder.fail("there is no argument before the first one")
            if start is not None:
                builder.next = start
            arguments = []
            for key, type in takes:
                if type != IMPLIED:
                    styles.add("by number" if start is not None else _STYLES[key.__class__])
                arguments.append(builder.take(key, type))
                if self.passes:
                    _pass(builder, key)
            builder.next = then or builder.next
            if match.end() - match.start() > 1:
                builder.add(match.start(), match.end(), *arguments)
        if len(styles) > 1 and not self.mixes:
            builder.fail(f"arguments are given {' and '.join(sorted(styles))}")
        if not self.gaps:
            builder.fail_on_gaps()
        return builder.done()


#: Above every number that a directive may have.
_BEHIND_ALL = 10_000


def _pass(builder: Builder, key: Key | None) -> None:
    """Let counting go on behind an argument that was just taken, by its number or as one of all that are left."""
    if isinstance(key, int):
        builder.next = max(builder.next, key + 1)
    elif key is not None:
        builder.next = _BEHIND_ALL
    elif builder.next > _BEHIND_ALL:
        builder.fail("there is no argument behind the last one")


_STYLES = {int: "by number", str: "by name", type(None): "in order"}


@lru_cache(maxsize=4096)  # the same few directives come again and again
def _read(syntax: Printf, directive: str) -> Reading:
    if directive == "%":
        return Reading(fault="a percent sign begins no directive; a literal one is doubled")
    match = syntax.pattern.match(directive)
    assert match is not None
    return Reading() if directive == "%%" else syntax.read(match.groupdict(""))


# How a directive is read


def pattern(*parts: str) -> re.Pattern[str]:
    """A percent sign, doubled or with these parts behind it, or else alone.

    Their groups: ``number``, ``name`` (in brackets) or ``previous`` say which argument is meant, those of ``STARS``
    are arguments themselves where they hold a star, and ``letter`` closes the directive.
    """
    return re.compile(f"%(?:%|{''.join(parts)})?", re.DOTALL | re.ASCII)


#: The groups that take an argument where they hold a star, perhaps with its number, and its type.
STARS = {"index": "integer", "vector": "scalar", "width": "integer", "precision": "integer"}


def letter(letters: str) -> str:
    """The part that is one of these letters."""
    return f"(?P<letter>[{letters}])"


def numbers(position: str) -> tuple[str, str, str, str]:
    """The parts with a number like ``position``: that of the argument, a star, and width and precision, each of which
    may be such a star."""
    star = rf"\*(?:{position}\$)?"
    number, width = rf"(?:(?P<number>{position})\$)?", rf"(?P<width>\d+|{star})?"
    return number, star, width, rf"(?P<precision>\.(?:\d+|{star})?)?"


def types(rows: str) -> dict[str, str]:
    """The type that each letter takes, from ``"integer: d i, text: s"``; a percent sign takes nothing."""
    pairs = (row.split(": ") for row in rows.split(", "))
    return {"%": "", **{letter: type for type, letters in pairs for letter in letters.split()}}


def typed(type_of: Callable[[Parts], str | None], *, resumes: bool = False) -> Reader:
    """The usual directive: its stars take theirs, then it takes one argument of the type that ``type_of`` says: none
    for an empty one, and for ``None`` its parts do not go together. ``resumes``: what is taken in order afterwards
    goes on behind a numbered argument."""

    def read(parts: Parts) -> Reading:
        takes: list[tuple[Key | None, str]] = []
        for group, type in STARS.items():
            if "*" in (text := parts.get(group, "")):
                star = text.strip(".*$v")
                takes.append((int(star) if star else None, type))
        own, fault = type_of(parts), ""
        if own is None:
            own, fault = "unknown", f"nothing is shown by {parts['letter']!r} with what stands before it"
        key, start = _meant(parts), None
        if resumes and isinstance(key, int):
            key, start = None, key
        if own:
            takes.append((f"%{parts['letter']}" if own == IMPLIED else key, own))
        return Reading(tuple(takes), start, fault, key is PREVIOUS)

    return read


def _meant(parts: Parts) -> Key | None:
    """The argument that a directive says it shows."""
    if parts.get("previous"):
        return PREVIOUS
    if number := parts.get("number"):
        return int(number)
    return parts["name"][1:-1] if parts.get("name") else None


def lettered(rows: str, *, resumes: bool = False) -> Reader:
    """The usual directive whose letter alone says its type; letters that are not in ``rows`` make no sense."""
    table = types(rows)
    return typed(lambda parts: table.get(parts["letter"]), resumes=resumes)


def doubtful(read: Reader, why: Callable[[Parts], str]) -> Reader:
    """The same directives, with what ``why`` says of those that not every version of gettext takes."""
    return lambda parts: read(parts)._replace(misread=why(parts))


def without_digits(parts: Parts) -> str:
    """The doubt of a point that no digits follow."""
    return "a precision has no digits" if parts["precision"] == "." else ""


def sized(type: str, size: str) -> str:
    """A type that comes in sizes, in this one."""
    return f"{size} {type}" if size and type in ("integer", "unsigned", "binary", "count") else type


# How a directive gets a number


def numbered(directive: str, arguments: Sequence[Argument]) -> str | None:
    """The directive with the numbers of the arguments that it takes, so that it may stand anywhere: ``%s`` becomes
    ``%2$s``, and ``%*d`` becomes ``%2$*1$d``. Boost's ``%2%`` has one already."""
    if directive[-1:] == "%":
        return directive
    *stars, own = (argument.key for argument in arguments)
    pieces = re.sub(r"^(%\|?)(?:\d+\$|<(?!PRI))?", rf"\g<1>{own}$", directive).split("*")
    if len(pieces) != len(stars) + 1:
        return None
    return "".join(f"{piece}*{star}$" for piece, star in zip(pieces, stars, strict=False)) + pieces[-1]


def numbered_without_stars(directive: str, arguments: Sequence[Argument]) -> str | None:
    """The same where a star cannot have a number."""
    return numbered(directive, arguments) if len(arguments) == 1 else None


def numbered_with_colon(directive: str, arguments: Sequence[Argument]) -> str | None:
    """The same as Object Pascal has it: ``%1:s``."""
    return re.sub(r"^%(?:\d*:)?", f"%{arguments[0].key}:", directive) if len(arguments) == 1 else None
