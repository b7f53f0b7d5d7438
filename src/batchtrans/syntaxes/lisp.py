"""Lisp's ``format`` and Scheme's: a tilde, parameters, modifiers, a letter.

A directive takes the next arguments, jumps among them, or encloses a part of the string to be used once, never, or for
each item of a list. What the string asks for is therefore a description of argument lists, see :mod:`.lists`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .base import EMPTY, Builder, FormatString
from .lists import ANYTHING, NOTHING, Item, Items, both, either, ended, repeated, require

_PARAMETERS = r"(?:[-+]?[0-9]{1,9}|'.|[vV#])?"
_DIRECTIVE = re.compile(rf"~({_PARAMETERS}(?:,{_PARAMETERS})*)([:@]*)(.)", re.DOTALL)
_PARAMETER = re.compile(r"('.|[^,]*)(?:,|\Z)", re.DOTALL)


def _by_letter(rows: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    return {letter: row for letters, row in rows.items() for letter in letters}


#: Letters, the kinds of their parameters (i integer, c character, x either, * any number of those), what they take.
_COMMON = {
    "as": ("iiic", "object"), "dbox": ("icci", "integer"), "r": ("iicci", "integer"), "p": ("", "object"),
    "f": ("iiicc", "real"), "eg": ("iiiiccc", "real"), "$": ("iiic", "real"),
    "%&|~": ("i", ""), "*": ("i", ""), "^": ("xxx", ""), "\n": ("", ""), "?": ("", ""),
    "(": ("", ""), ")": ("", ""), "[": ("i", ""), "]": ("", ""), "{": ("i", ""), "}": ("", ""), ";": ("", ""),
}  # fmt: skip
_SCHEME = _by_letter({
    **_COMMON, "c": ("i", "character"), "i": ("iiicc", "complex"), "y": ("", "object"), "k": ("", ""), "_/": ("i", ""),
    "t": ("iic", ""), "!q": ("", ""),
})  # fmt: skip
_LISP = _by_letter({
    **_COMMON, "w": ("", "object"), "c": ("", "character"), "i": ("i", ""), "t": ("ii", ""), "_": ("", ""),
    "/": ("*", "object"), "!": ("*", "function"), "<": ("iiic", ""), ">": ("", ""),
})  # fmt: skip
_KINDS = {"i": "integer or nil", "c": "character or nil", "x": "character or integer or nil"}
#: Arguments, and brackets within brackets, beyond which a string is a mistake.
_MOST, _DEEPEST = 200, 50


class _Fault(Exception):
    """Why a string is not valid."""


@dataclass(slots=True)
class _State:
    """How far the arguments are used up (``None``: that depends), what is known of their list, and what is known of it
    where ``~^`` has ended the string."""

    position: int | None = 0
    items: Items | None = ANYTHING
    escape: Items | None = None

    def take(self, type: str, inside: Items | None = None) -> None:
        """The next argument is used."""
        if self.position is not None:
            self.items = require(self.items, self.position, type, inside)
            self.go(self.position + 1)

    def move(self, places: int | None) -> None:
        """The next argument is one so many places further on."""
        if self.position is not None:
            self.go(None if places is None else max(0, self.position + places))

    def go(self, position: int | None) -> None:
        """The next argument is the one there."""
        if position is not None and position > _MOST:
            raise _Fault("too many arguments")
        self.position = position


class _Reader:
    """Reads one string; recursion follows its brackets."""

    def __init__(self, text: str, directives: dict[str, tuple[str, str]]) -> None:
        self.text = text
        self.directives = directives
        self.builder = Builder()
        self.at = self.depth = 0
        self.jumps = self.brackets = False

    def upto(self, state: _State, end: str, parts: str | None = None) -> tuple[str, str]:
        """Read until the closing ``end`` or, where the bracket has ``parts``, a separator with parameters of those
        kinds; which of the two, and its modifiers."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _Fault("too many brackets within brackets")
        while (tilde := self.text.find("~", self.at)) >= 0:
            letter, modifiers, parameters = self.directive(tilde)
            kinds = parts if letter == ";" else self.directives[letter][0]
            self.check(letter, kinds or "", parameters, state)
            if letter == end or (letter == ";" and parts is not None):
                self.depth -= 1
                return letter, modifiers
            if letter in ";)]}>":
                raise _Fault(f"~{letter} closes nothing")
            self.obey(letter, modifiers, parameters, state)
        if end:
            raise _Fault(f"~{end} is missing")
        return "", ""

    def directive(self, tilde: int) -> tuple[str, str, list[str]]:
        """The directive there: its letter, modifiers and parameters."""
        match = _DIRECTIVE.match(self.text, tilde)
        letter = match[3].lower() if match else ""
        if match is None or letter not in self.directives:
            raise _Fault(f"no directive begins with {self.text[tilde : tilde + 5]!r}")
        self.at = match.end()
        if letter == "/" and "*" in self.directives["/"][0]:
            self.at = self.text.find("/", self.at) + 1
            if not self.at:
                raise _Fault("the name of a function does not end")
        self.builder.add(tilde, self.at)
        return letter, match[2], _PARAMETER.findall(match[1])[:-1] if match[1] else []

    def check(self, letter: str, kinds: str, parameters: list[str], state: _State) -> None:
        """Parameters must be of these kinds. ``v`` takes an argument for one, which can only be nil if it is one too
        many."""
        for index, parameter in enumerate(parameters):
            kind = "x" if kinds == "*" else kinds[index : index + 1]
            if parameter in ("v", "V"):
                if kind:
                    state.take(_KINDS[kind])
                else:
                    state.take("list", NOTHING)
            elif parameter and (not kind or kind == ("i" if parameter[0] == "'" else "c")):
                raise _Fault(f"parameter {index + 1} of ~{letter} is wrong")

    def obey(self, letter: str, modifiers: str, parameters: list[str], state: _State) -> None:
        """What a directive does to the arguments."""
        type = self.directives[letter][1]
        if letter == "p" and ":" in modifiers:
            state.move(-1)
        if type:
            if not (letter == "c" and parameters and self.directives["c"][0]):  # Scheme's ~65C is the character 65
                state.take(type)
        elif letter == "*":
            self.jump(modifiers, parameters, state)
        elif letter in "?k":
            state.take("format string")
            if "@" in modifiers:
                state.position = None
            else:
                state.take("list", ANYTHING)
        elif letter == "^":
            self.leave(state)
        elif letter == "(":
            self.upto(state, ")")
        elif letter == "[":
            self.brackets = True
            self.choose(modifiers, parameters, state)
        elif letter == "{":
            self.brackets = True
            self.repeat(modifiers, state)
        elif letter == "<":
            self.justify(state)

    def jump(self, modifiers: str, parameters: list[str], state: _State) -> None:
        """``~n*`` skips, ``~n:*`` goes back, ``~n@*`` goes to an argument."""
        given = parameters[0] if parameters else ""
        number = int(given) if given.lstrip("+-").isdigit() else None if given else int("@" not in modifiers)
        if number is not None and number < 0:
            raise _Fault("a negative number of arguments")
        self.jumps |= bool(modifiers)
        if "@" in modifiers:
            state.go(number)
        else:
            state.move(number and (-number if ":" in modifiers else number))

    def leave(self, state: _State) -> None:
        """``~^`` ends the string if there are no more arguments. Where there have to be, it never does."""
        if state.position is None or state.items is None:
            state.escape = either(state.escape, state.items)
            return
        item = state.items.at(state.position)
        if item and item.required:
            return
        state.escape = either(state.escape, ended(state.items, state.position))
        state.items = require(state.items, state.position)

    def choose(self, modifiers: str, parameters: list[str], state: _State) -> None:
        """``~[a~;b~]`` uses one of its parts, by a number; ``~:[a~;b~]`` by nil or not, ``~@[a~]`` only if not nil."""
        if ":" in modifiers and "@" in modifiers:
            raise _Fault("~:@[ does not exist")
        if parameters and modifiers:
            raise _Fault("a parameter before ~:[ or ~@[")
        if "@" in modifiers:
            self.choose_if(state)
            return
        if not any(parameters):
            state.take("object")
        start = replace(state, escape=None)
        ends: list[_State] = []
        default = False
        while True:
            part = replace(start)
            letter, separator = self.upto(part, "]", parts="")
            ends.append(part)
            if letter == "]":
                break
            if default or (":" in modifiers and len(ends) > 1):
                raise _Fault("too many parts between ~[ and ~]")
            default = ":" in separator
        if ":" in modifiers and len(ends) != 2:
            raise _Fault("~:[ has two parts")
        if ":" not in modifiers and not default:
            ends.append(start)
        self.join(state, ends)

    def join(self, state: _State, ends: list[_State]) -> None:
        """What holds after one of several parts of the string was used."""
        possible = [end for end in ends if end.items is not None]
        positions = {end.position for end in possible}
        state.position = positions.pop() if len(positions) == 1 else None
        state.items = None
        for end in ends:
            state.items = either(state.items, end.items)
            state.escape = either(state.escape, end.escape)

    def choose_if(self, state: _State) -> None:
        """The argument is used up if it is nil, and left to the part between the brackets if it is not."""
        nil, part = replace(state, escape=None), replace(state, escape=None)
        nil.take("list", NOTHING)
        self.upto(part, "]")
        self.join(state, [nil, part])

    def repeat(self, modifiers: str, state: _State) -> None:
        """``~{body~}`` uses its body for the items of a list, ``~@{`` for those that are left of this one, ``~:{`` for
        lists with the items of one round each. Without a body it is an argument, too."""
        start, body = self.at, _State()
        self.upto(body, "}")
        if self.text[start : self.at].rpartition("~")[0] == "":
            state.take("format string")
            body.items = ANYTHING
        inside = either(body.items, body.escape)
        if ":" in modifiers:
            rounds = inside and Items((), (Item(False, "list", inside),))
        else:
            rounds = repeated(inside, body.position)
        if "@" not in modifiers:
            if rounds is None:
                state.items = None
            state.take("list", rounds)
        elif state.position is not None:
            before = (Item(True, "object"),) * state.position
            state.items = both(state.items, rounds and Items(before + rounds.first, rounds.loop))
            state.position = None

    def justify(self, state: _State) -> None:
        """``~<left~;right~>`` lays out its parts, all of them or those before one that ``~^`` ends."""
        outer, state.escape = state.escape, None
        while self.upto(state, ">", parts="i")[0] != ">":
            pass
        if state.escape is not None:
            state.items, state.position = either(state.items, state.escape), None
        state.escape = outer


def _read(text: str, directives: dict[str, tuple[str, str]]) -> FormatString:
    if "~" not in text:
        return EMPTY._replace(shape=(ANYTHING, ()))
    reader, state, items = _Reader(text, directives), _State(), None
    try:
        reader.upto(state, "")
        items = either(state.items, state.escape)
        if items is None:
            raise _Fault("no arguments satisfy it")
    except (_Fault, OverflowError) as fault:
        reader.builder.fail(str(fault))
    read = reader.builder.done()
    # gettext loses its way where a string goes back and branches or loops: there the directives themselves count
    exact = reader.jumps and reader.brackets
    texts = tuple(text[directive.start : directive.end] for directive in read.directives) if exact else ()
    return read._replace(shape=(items, texts))


def scheme(text: str) -> FormatString:
    """Scheme's ``format``, as Guile has it."""
    return _read(text, _SCHEME)


def lisp(text: str) -> FormatString:
    """Common Lisp's ``format``."""
    return _read(text, _LISP)


def same_lists(source: FormatString, target: FormatString, relaxed: bool) -> str:
    """The same argument lists must satisfy both, in a relaxed target too: gettext lets that ask for more arguments than
    the program gives, and never for less."""
    return "" if source.shape == target.shape else "it asks for other arguments"
