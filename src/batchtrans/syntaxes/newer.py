"""The syntaxes that gettext has learnt since 0.21: C++, D, Go, Modula-2, OCaml, Rust, and the shell's printf.

What is valid is what msgfmt 1.0 takes for valid. Where a letter stands for one of several types, only the same several
types are the same to us.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .base import EMPTY, Argument, Builder, Directive, FormatString, Key, any_or
from .printf import Parts, Printf, Reading, letter, lettered, numbers, pattern, typed, types

_POSITION = r"0*[1-9]\d{0,3}"
_NUMBER, _, _WIDTH, _PRECISION = numbers(_POSITION)
_DIGITS, _FRACTION = r"\d*", r"(?:\.\d*)?"

# C++ and Rust: fields in braces

_CPP_INDEX = r"(?:0|[1-9]\d{0,8})"
_CPP_PART = rf"(?:\d+|\{{{_CPP_INDEX}?\}})"
_CPP_SPECIFIER = (
    rf"(?:[^{{}}]?[<>^])?(?P<flags>[-+ ]?#?0?)(?P<width>{_CPP_PART})?(?P<precision>\.{_CPP_PART})?"
    r"(?P<locale>L?)(?P<type>[bBdoxXaAeEfFgGcsp]?)"
)
_CPP = re.compile(
    rf"\{{\{{|\}}\}}|(?P<field>\{{(?P<index>{_CPP_INDEX})?(?::{_CPP_SPECIFIER})?\}})|\{{[^{{}}]*\}}|[{{}}]",
    re.DOTALL | re.ASCII,
)
_CPP_TYPES = types("integer: b B d o x X, float: a A e E f F g G, char: c, text: s, pointer: p")
_INDEX = re.compile(r"\{(\d*)\}")


def cpp(text: str) -> FormatString:
    """``{}``, ``{0:>8}``, ``{:{}.2f}`` of ``std::format``; all arguments have a number, or none."""
    if "{" not in text and "}" not in text:
        return EMPTY
    builder = Builder(first=0, unify=any_or)
    in_order: set[bool] = set()
    for match in _CPP.finditer(text):
        found = match[0]
        if found in ("{{", "}}"):
            builder.add(*match.span())
        elif len(found) == 1:
            builder.fail(f"{found!r} is not part of a field; a literal one is doubled")
        elif not match["field"]:
            builder.fail(f"{found} is no replacement field")
            builder.add(*match.span(), builder.take(found, "any"))
        else:
            parts = match.groupdict("")
            inner = _INDEX.findall(parts["width"] + parts["precision"])
            in_order.update(not key for key in (parts["index"], *inner))
            wanted = [(parts["index"], _cpp_type(parts)), *((key, "width") for key in inner)]
            taken = [builder.take(int(key) if key else None, type) for key, type in wanted]
            builder.add(*match.span(), *reversed(taken))  # the one that is shown comes last
    if len(in_order) > 1:
        builder.fail("arguments are given by number and in order")
    return builder.done()


def _cpp_type(parts: Parts) -> str:
    """What the field can show: numbers keep their type whatever the flags; others take some flags for some types."""
    type = _CPP_TYPES[parts["type"]] if parts["type"] else "any"
    restricted = "".join(sign for sign in (parts["flags"], parts["precision"] and ".", parts["locale"]) if sign)
    return type if type in ("integer", "float") or not restricted else f"{type} with {restricted}"


_RUST_NAME = r"(?:[^\W\d_]\w*|_\w+)"
_RUST = re.compile(
    rf"\{{\{{|\}}\}}|\{{(?:(?P<number>\d{{1,9}})|(?P<name>{_RUST_NAME}))?"
    r"(?P<rest>(?::(?:.?[<>^])?[-+]?#?0?\d*(?:\.\d+)?\??)?\s*)\}|\{[^{}]*\}|[{}]",
    re.DOTALL,
)


def rust(text: str) -> FormatString:
    """``{}``, ``{0}``, ``{name:>8}`` of the crate formatx, which knows less than ``format!`` does."""
    if "{" not in text and "}" not in text:
        return EMPTY
    builder = Builder(first=0)
    in_order: set[bool] = set()
    for match in _RUST.finditer(text):
        found = match[0]
        if found == "}":
            builder.misread("'}' closes nothing; a literal one is doubled")
        elif found in ("{{", "}}"):
            builder.add(*match.span())
        elif found == "{" or match["rest"] is None:
            builder.fail(f"{found} is no argument; a literal brace is doubled")
            if len(found) > 1:
                builder.add(*match.span(), builder.take(found, "any"))
        else:
            key: Key | None = match["name"] or (int(match["number"]) if match["number"] else None)
            if not isinstance(key, str):
                in_order.add(key is None)
            builder.add(*match.span(), builder.take(key, "any"))
    if len(in_order) > 1:
        builder.fail("arguments are given by number and in order")
    return builder.done()


def numbered_in_braces(directive: str, arguments: Sequence[Argument]) -> str | None:
    """The field with the number of its argument: ``{:>8}`` becomes ``{1:>8}``."""
    return re.sub(r"^\{\d*", f"{{{arguments[-1].key}", directive) if len(arguments) == 1 else None


# Go

_GO_INDEX = rf"\[{_POSITION}\]"
_GO_TYPES = types(
    "any: v, name of a type: T, boolean: t, char: c U, text: s, char or text: q, float: e E f F g G, integer: O, "
    "integer or pointer: d o, integer or float or pointer: b, integer or float or text or pointer: x X"
)


def _go(parts: Parts) -> Reading:
    """A number in brackets says which argument is next; what follows without one is the one behind that."""
    takes: list[tuple[Key | None, str]] = []
    current: int | None = None
    for group, type in (("width", "integer"), ("precision", "integer"), ("index", _GO_TYPES[parts["letter"]])):
        text = parts[group].strip(".")
        if group != "index" and "*" not in text:
            continue
        if number := text.strip("*[]"):
            current = int(number)
        if type:
            takes.append((current, type))
            current = current + 1 if current else None
    return Reading(tuple(takes), then=current)


def _shared(one: str, other: str) -> str | None:
    """What can be shown in both of two ways."""
    if "any" in (one, other):
        return None if _GO_TYPES["T"] in (one, other) else any_or(one, other)
    return " or ".join(type for type in one.split(" or ") if type in other.split(" or ")) or None


GO = Printf(
    pattern(
        rf"[-+ #0]*(?P<width>\d+|(?:{_GO_INDEX})?\*)?(?P<precision>\.(?:\d+|(?:{_GO_INDEX})?\*)?)?",
        rf"(?P<index>{_GO_INDEX})?",
        letter("vTtcUsqeEfFgGOdobxX%"),
    ),
    _go,
    mixes=True,
    unify=_shared,
)  # fmt: skip


def numbered_in_brackets(directive: str, arguments: Sequence[Argument]) -> str | None:
    """The directive with the number of its argument, as Go has it: ``%6.2[1]f``."""
    if len(arguments) != 1:
        return None
    return re.sub(rf"(?:{_GO_INDEX})?([A-Za-z])$", rf"[{arguments[0].key}]\1", directive)


# The shell's printf

_SH_TYPES = types("char: c, text: s, integer: i d, unsigned: u o x X, float: e E f F g G a A")
_SH_ESCAPE = re.compile(r"\\(?:(?P<valid>[\\abfnrtv]|[0-7]{1,3})|.?)", re.DOTALL)


def _sh(parts: Parts) -> str | None:
    flags, conversion = parts["flags"], parts["letter"]
    return (
        None
        if ("#" in flags and conversion in "csidu") or ("0" in flags and conversion in "cs")
        else _SH_TYPES[conversion]
    )


_SH = Printf(
    pattern(_NUMBER, "(?P<flags>[-+ #0]*)", _DIGITS, _FRACTION, letter("csiduoxXeEfFgGaA")),
    typed(_sh),
)


def sh_printf(text: str) -> FormatString:
    """``%s`` and ``%1$s``, and the escapes of POSIX, which a translation may add or leave out."""
    read = _SH.parse(text)
    if "\\" not in text:
        return read
    escapes = list(_SH_ESCAPE.finditer(text))
    wrong = next((f"{match[0]} is no escape of POSIX's printf" for match in escapes if not match["valid"]), "")
    directives = sorted((*read.directives, *(Directive(*match.span()) for match in escapes)))
    return read._replace(directives=tuple(directives), fault=read.fault or wrong)


# Those without peculiarities

MODULA2 = Printf(
    pattern("-?0?", _DIGITS, letter("scdux")),
    lettered("text: s, char: c, integer: d, cardinal: u x"),
)

_OCAML_TYPES = {
    **types("integer: d i u x X o, text: s, OCaml text: S, char: c, OCaml char: C, float: f e E g G h H, "
            "OCaml float: F, boolean: B, printer: a, printer of the next: t, : ! @"),
    **{f"{size}{conversion}": f"{name} integer"
       for size, name in (("l", "32-bit"), ("n", "native"), ("L", "64-bit")) for conversion in "diuxXo"},
    ",": "",
}  # fmt: skip
_ocaml_typed = typed(lambda parts: _OCAML_TYPES.get(parts["letter"], f"format {parts['letter']}"))


def _ocaml(parts: Parts) -> Reading:
    """``%t`` takes what it prints behind the function that does."""
    read = _ocaml_typed(parts)
    if parts["letter"] != "t":
        return read
    key = read.takes[-1][0]
    return read._replace(takes=(*read.takes, (key + 1 if isinstance(key, int) else None, "printed")))


OCAML = Printf(
    pattern(
        _NUMBER, "[-+ 0#]*", _WIDTH, _PRECISION,
        r"(?P<letter>[lnL][diuxXo]|[diuxXosScCfeEgGhHFBat!%@,]|\{(?:[^%]|%[^{}])*%\}|\((?:[^%]|%[^()])*%\))",
    ),
    _ocaml,
)  # fmt: skip

_D_TYPES = types("any: s, raw: r, char: c, integer: d u b o, hexadecimal: x X, float: e E f F g G a A")


def _d(parts: Parts) -> Reading:
    """The separator of digits may be arguments too: how many digits, and which sign."""
    separator, conversion = parts["separator"], parts["letter"]
    takes: list[tuple[Key | None, str]] = [
        (int(star) if (star := parts[group].strip(".*$")) else None, "width")
        for group in ("width", "precision")
        if "*" in parts[group]
    ]
    takes += [(None, "width")] if "*" in separator else []
    takes += [(None, "char")] if "?" in separator else []
    own = _D_TYPES.get(conversion, f"compound {conversion}")
    first, colon, last = parts["several"].rstrip("$").partition(":")
    if last:
        return Reading((*takes, *((number, own) for number in range(int(first), int(last) + 1))))
    key = first + colon or (int(parts["number"]) if parts["number"] else None)
    return Reading((*takes, (key, own)))


D = Printf(
    pattern(
        rf"(?:(?P<several>{_POSITION}:(?:{_POSITION})?\$)|(?P<number>{_POSITION})\$)?", "[-+ 0#=]*", _WIDTH, _PRECISION,
        r"(?P<separator>,(?:\d+|\*)?\??)?(?P<letter>[srcduboxXeEfFgGaA]|\((?:[^%]|%[^()])*%\))",
    ),
    _d,
    mixes=True,
    passes=True,
    unify=any_or,
)  # fmt: skip
