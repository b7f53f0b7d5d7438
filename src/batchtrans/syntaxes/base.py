"""What every syntax yields, and the usual rule by which two strings of one syntax are compared.

A parser reads a whole string and gives a :class:`FormatString`: where its directives stand, which arguments they
consume and as what, and, if the program that formats it would refuse it, why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

#: The position of an argument, or its name.
Key = int | str
#: The type of what the program adds without being given an argument: ``%m``, the last error's text, in C. Its key is
#: the directive.
IMPLIED = "implied"
#: The key of the argument that was taken last.
PREVIOUS = "<"


class Argument(NamedTuple):
    """One argument that a directive consumes; ``type`` is what it has to be, in the syntax's own terms."""

    key: Key
    type: str


class Directive(NamedTuple):
    """``text[start:end]`` is read by the program. It consumes no argument where it stands for a literal sign (``%%``),
    and more than one where width or precision are arguments too (``%*d``)."""

    start: int
    end: int
    arguments: tuple[Argument, ...] = ()

    @property
    def position(self) -> int | None:
        """The position of the argument that is shown, if it has one."""
        key = self.arguments[-1].key if self.arguments else None
        return key if isinstance(key, int) else None


class FormatString(NamedTuple):
    """A string as its program reads it.

    ``arguments`` maps each argument to its type. ``fault`` says why the string is none of its syntax, and is empty for
    a valid one; the directives of a faulty string are those that could be recognised. ``misread`` says what is valid
    but comes out otherwise than it stands there. ``shape`` is what the syntax's own rule compares beyond arguments.
    """

    directives: tuple[Directive, ...] = ()
    arguments: Mapping[Key, str] = {}
    fault: str = ""
    misread: str = ""
    shape: object = None


#: What a string without any directive is.
EMPTY = FormatString()

Parser = Callable[[str], FormatString]
#: What two types of one argument come to, or ``None`` where it cannot be both.
Unify = Callable[[str, str], str | None]
#: How two valid strings differ, empty if they do not; the third argument says whether the target may leave arguments
#: out.
Rule = Callable[[FormatString, FormatString, bool], str]
#: Writes a directive with the numbers of the arguments that it takes, or says ``None`` where that is not possible.
Number = Callable[[str, Sequence[Argument]], str | None]


def never(one: str, other: str) -> str | None:
    """Two types of one argument are one too many."""
    return None


def any_or(one: str, other: str) -> str | None:
    """An argument that may be anything is what another directive says of it."""
    return other if one == "any" else one if other == "any" else None


class Builder:
    """Collects the directives of one string, and the first fault."""

    def __init__(self, first: int = 1, unify: Unify = never) -> None:
        self.next = first
        self._first = first
        self._unify = unify
        self.last: Key | None = None  # the argument taken last
        self._fault = self._misread = ""
        self._directives: list[Directive] = []
        self._arguments: dict[Key, str] = {}

    def fail(self, reason: str) -> None:
        """Note why the string is not valid, if there is a reason and none was noted before."""
        self._fault = self._fault or reason

    def misread(self, reason: str) -> None:
        """Note the first thing that comes out otherwise than it stands there."""
        self._misread = self._misread or reason

    def take(self, key: Key | None, type: str) -> Argument:
        """The argument with this position or name, the one taken last (``PREVIOUS``), or the next one in order."""
        if key is PREVIOUS:
            key = self.last
        if key is None:
            key = self.next
            self.next += 1
        known = self._arguments.setdefault(key, type)
        if known != type:
            both = self._unify(known, type)
            if both is None:
                self.fail(f"argument {key} is both {known} and {type}")
            else:
                self._arguments[key] = both
        self.last = key
        return Argument(key, type)

    def add(self, start: int, end: int, *arguments: Argument) -> None:
        """Note a directive and the arguments that it took."""
        self._directives.append(Directive(start, end, arguments))

    def fail_on_gaps(self, allowed: int = 0) -> None:
        """Fail if more than so many positions below the highest one are not referred to."""
        positions = {key for key in self._arguments if isinstance(key, int)}
        if positions and max(positions) - self._first + 1 - len(positions) > allowed:
            self.fail(f"argument {next(n for n in count(self._first) if n not in positions)} is left out")

    def done(self, shape: object = None) -> FormatString:
        """The string that was read."""
        return FormatString(tuple(self._directives), self._arguments, self._fault, self._misread, shape)


Omission = Callable[[Sequence[Key]], bool]


def none_of_them(missing: Sequence[Key]) -> bool:
    """No argument may be left out."""
    return False


def any_of_them(missing: Sequence[Key]) -> bool:
    """Any arguments may be left out."""
    return True


def named_ones(missing: Sequence[Key]) -> bool:
    """Arguments with names may be left out; of others the program would say that there are too many."""
    return all(isinstance(key, str) for key in missing)


def one_of_them(missing: Sequence[Key]) -> bool:
    """One argument may be left out: the number."""
    return len(missing) == 1


def one_number(missing: Sequence[Key]) -> bool:
    """One argument may be left out, and any with names."""
    return sum(isinstance(key, int) for key in missing) <= 1


def same_arguments(optional: Omission, *, fits_all: str = "") -> Rule:
    """The usual rule: the same arguments with the same types.

    ``optional`` says which of them a relaxed target may leave out together, which is never one that the program adds
    by itself. In a relaxed target the type ``fits_all`` may also stand for another one, and another one for it.
    """

    def differ(source: FormatString, target: FormatString, relaxed: bool) -> str:
        ours, theirs = source.arguments, target.arguments
        if ours == theirs:
            return ""
        missing = [key for key in ours if key not in theirs]
        if missing and not (relaxed and optional(missing) and IMPLIED not in map(ours.__getitem__, missing)):
            return f"the translation lacks {listed(missing)}"
        if invented := [key for key in theirs if key not in ours]:
            return f"the translation adds {listed(invented)}"
        for key, type in theirs.items():
            if type != ours[key] and not (relaxed and fits_all in (type, ours[key])):
                return f"argument {key} is {type} in the translation, {ours[key]} in the source"
        return ""

    return differ


def listed(keys: Sequence[Key]) -> str:
    """Arguments as a message names them."""
    return ", ".join(f"argument {key}" if isinstance(key, int) else key for key in keys)
