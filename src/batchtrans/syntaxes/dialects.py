"""The members of printf's family. What is valid here is what ``msgfmt`` 0.21 takes for valid; letters that only the
languages themselves know are recognised too, as faults, so that they are kept. What later versions added has types of
its own, and what they refuse is a doubt, so that a translation is right for all of them."""

from __future__ import annotations

import re

from .base import IMPLIED, FormatString, Key, any_or
from .printf import (
    Parts,
    Printf,
    Reading,
    doubtful,
    letter,
    lettered,
    numbers,
    pattern,
    sized,
    typed,
    types,
    without_digits,
)

_NUMBER, _STAR, _WIDTH, _PRECISION = numbers(_POSITION := r"0*[1-9]\d{0,3}")  # more arguments than that are a mistake
_PLAIN_NUMBER, _PLAIN_STAR, _, _PLAIN_PRECISION = numbers(_PLAIN_POSITION := r"[1-9]\d{0,3}")
_NEXT_WIDTH, _NEXT_PRECISION = r"(?P<width>\d+|\*)?", r"(?P<precision>\.(?:\d+|\*)?)?"  # a star has no number
_DIGITS, _FRACTION = r"\d*", r"(?:\.\d*)?"


def _localized(type: str, flags: str) -> str:
    """The type of what is shown in the digits of the language, which gettext knows since 0.22."""
    return f"localized {type}" if type and "I" in flags else type


# C and Objective-C

_C_TYPES = types(
    "integer: d i, unsigned: o u x X, binary: b, float: a A e E f F g G, char: c, wide char: C, text: s, wide text: S, "
    "pointer: p, count: n, object: @, implied: m"
)
_C_SIZES = {
    "": "",
    "hh": "char",
    "h": "short",
    "l": "long",
    "j": "maximal",
    "z": "size",
    "Z": "size",
    "t": "difference",
}
_C_PLAIN_SIZES = ("", "hh", "h", "l", "ll", "L", "q", "j", "z", "Z", "t")
_C_MACRO = "<PRI(?P<macro>[diouxX](?:(?:LEAST|FAST)?(?:8|16|32|64)|MAX|PTR))>"


def _c_size(letters: str) -> str:
    """Of several letters the last one counts, together with its like before it. C23 has sizes in bits."""
    if letters.startswith("w"):
        return letters
    if re.search("[Lq]$|[lLq]l$", letters):
        return "long long"
    return _C_SIZES["hh" if letters.endswith("hh") else letters[-1:]]


def _c(parts: Parts) -> str | None:
    if macro := parts["macro"]:
        return f"{'maximal' if macro[1:] == 'MAX' else macro[1:]} {_C_TYPES[macro[0]]}"
    type, size = _C_TYPES[parts["letter"]], _c_size(parts["size"])
    if size.startswith("w"):
        return f"{size} {type}" if type and type not in ("char", "text") else None
    if type in ("char", "text") and size.startswith("long"):
        return f"wide {type}"
    if type == "float":
        return "long float" if size == "long long" else type
    return sized(type, size)


def _c_doubt(parts: Parts) -> str:
    """A size that makes no difference to the letter, as in ``%lf``, or none at all, is refused since 0.22."""
    size, type = parts["size"], _C_TYPES.get(parts["letter"], "")
    fitting = {"char": ("", "l"), "text": ("", "l"), "float": ("", "L", "ll", "q")}.get(type, _C_PLAIN_SIZES)
    return "" if size in fitting or size.startswith("w") else f"{size} is no size of {parts['letter']}"


def _c_like(letters: str) -> Printf:
    size = "(?P<size>wf?(?:8|16|32|64)|[hlLqjzZt]*)"
    end = f"(?:{_C_MACRO}|{size}{letter(letters)})"
    return Printf(pattern(_NUMBER, "[-+ #0'I]*", _WIDTH, _PRECISION, end), doubtful(typed(_c), _c_doubt), gaps=False)


C = _c_like("dioubxXaAeEfFgGcCsSpnm%")
OBJC = _c_like("dioubxXaAeEfFgGcCsSpnm%@")

# GCC's own messages, in C and in Fortran

_GCC_TYPES = {
    **types("integer: d i, unsigned: o u x, char: c, text: s, pointer: p, declaration: D, implied: m"),
    **{operand: f"operand {operand}" for operand in "ACEFHIJKLOPQSTVXZefv@"},
    **dict.fromkeys("<>'", ""),
}
_GCC_SIZES = {"": "", "l": "long", "ll": "long long", "w": "wide"}
_GCC_LATER_SIZES = {"z": "size", "t": "difference"}
_GFC_TYPES = types("integer: d i, unsigned: u, text: s, char: c, location: L, current location: C")


def _gcc(parts: Parts) -> str | None:
    flags, length = parts["flags"], parts["precision"]
    size = re.sub("[q+#]", "", flags)
    later = _GCC_LATER_SIZES.get(size)
    if not (later or size in _GCC_SIZES) or any(flags.count(flag) > 1 for flag in "q+#"):
        return None
    if length.endswith("$") and int(length[2:-1]) + 1 != int(parts["number"] or 0):
        return None  # a text's length is the argument before it
    type = _GCC_TYPES[parts["letter"]]
    return f"{later} {type}" if later else sized(type, _GCC_SIZES[size])


_GCC = Printf(
    pattern(
        _NUMBER, rf"(?P<flags>[q+#lwzt]*)(?P<precision>\.(?:\d+|{_STAR})(?=s))?",
        "(?P<letter>(?<=%)[<>'m]|[diouxcspACDEFHIJKLOPQSTVXZefv@])",
    ),
    typed(_gcc),
)  # fmt: skip


def gcc(text: str) -> FormatString:
    """``%<`` and ``%>`` quote, and one closes what the other has opened."""
    read = _GCC.parse(text)
    quotes = [text[found.start : found.end] for found in read.directives if not found.arguments]
    signs = "".join(quote for quote in quotes if quote in ("%<", "%>"))
    return read._replace(misread="%< and %> are not in pairs") if signs.replace("%<%>", "") else read


_GFC = Printf(
    pattern(_NUMBER, "(?P<size>l(?=[diu]))?", letter("diuscCL")),
    typed(lambda parts: sized(_GFC_TYPES[parts["letter"]], "long" if parts["size"] else ""), resumes=True),
    mixes=True,
    gaps=False,
)


def gfc(text: str) -> FormatString:
    """``%C``, the current location, is counted like an argument, but none is given for it."""
    read = _GFC.parse(text)
    given = [type for _, type in sorted(read.arguments.items()) if type != "current location"]
    arguments: dict[Key, str] = dict(enumerate(given, 1))
    if len(given) < len(read.arguments):
        arguments["%C"] = IMPLIED
    return read._replace(arguments=arguments)


# Perl

_PERL_TYPES = types(
    "integer: d i, unsigned: b o u x X, float: e E f F g G, char: c, text: s, pointer: p, count: n, scalar: _, "
    "perl integer: D, perl unsigned: U O"
)
_PERL_SIZES = {"h": "short", "l": "long", "ll": "long long", "q": "long long", "L": "long long", "V": "perl", "": ""}


def _perl(parts: Parts) -> str | None:
    type, size = _PERL_TYPES[parts["letter"]], _PERL_SIZES[parts["size"]]
    if type == "float" and size:
        return None if size in ("short", "long") else f"{size} float"
    return "scalar" if parts["vector"] else _localized(sized(type, size), parts["flags"])


PERL = Printf(
    pattern(
        _PLAIN_NUMBER, "(?P<flags>[-+ #0I]*)", rf"(?P<vector>(?:{_PLAIN_STAR})?v)?",
        rf"(?P<width>[1-9]\d*|{_PLAIN_STAR})?", _PLAIN_PRECISION, "(?P<size>ll|[hlqLV])?",
        letter("diDbouxXUOeEfFgGcspn_%"),
    ),
    typed(_perl),
    mixes=True,
)  # fmt: skip

# Java's Formatter

_JAVA_TYPES = types("any: b B h H s S, char: c C, integer: d o x X, float: e E f g G a A, date: t T, : n")
#: The flags that go with a letter, and whether width and precision do.
_JAVA_FLAGS = {
    conversion: fitting
    for conversions, fitting in {
        "bBhHsS": ("-#", True, True),
        "cCtT%": ("-", True, False),
        "n": ("", False, False),
        "d": ("-+ 0,(", True, False),
        "oxX": ("-+ 0(#", True, False),
        "eEfgG": ("-+ 0,(#", True, True),
        "aA": ("-+ 0#", True, True),
    }.items()
    for conversion in conversions
}


def _java(parts: Parts) -> str | None:
    conversion = parts["letter"][0]
    flags, width, precision = _JAVA_FLAGS[conversion]
    fits = set(parts["flags"]) <= set(flags) and (width or not parts["width"]) and (precision or not parts["precision"])
    return _JAVA_TYPES[conversion] if fits else None


JAVA = Printf(
    pattern(
        rf"(?:(?P<number>{_POSITION})\$|(?P<previous><))?(?P<flags>[-+ #0,(]*)(?P<width>\d*)(?P<precision>\.\d+)?",
        "(?P<letter>[tT][aAbBcCdDeFhHIjklLmMNpQrRsSTyYzZ]|[bBhHsScCdoxXeEfgGaAn%])",
    ),
    typed(_java),
    mixes=True,
)

# Python and Ruby: arguments may have names

_PYTHON_TYPES = types("integer: d i o u x X, float: e E f g G, char: c, text: s r")


def _python(parts: Parts) -> str | None:
    """A percent sign with a name asks for that argument, and does not show it."""
    type = _PYTHON_TYPES.get(parts["letter"])
    return "hidden" if type == "" and parts["name"] else type


PYTHON = Printf(
    pattern(
        r"(?P<name>\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))?", "[-+ #0]*", _NEXT_WIDTH, _NEXT_PRECISION, "[hlL]?",
        letter("diouxXeEfFgGcsra%"),
    ),
    typed(_python),
)  # fmt: skip

_TAG = rf"(?:{_POSITION}\$|<[^>]*>)"  # the number or the name of the argument; Ruby takes it almost anywhere
_ruby_typed = lettered("integer: b B d i o u x X, float: a A e E f g G, char: c, text: s, inspected: p, : \n")


def _ruby(parts: Parts) -> Reading:
    tags = re.findall(_TAG, parts["before"] + parts["between"] + parts["behind"])
    if parts["braced"]:
        tags.append(parts["braced"])
    if len(tags) > 1:
        return Reading(fault="an argument has two names or numbers")
    tag = tags[0] if tags else ""
    number, name = (tag[:-1], "") if tag.endswith("$") else ("", tag)
    stars = [part for part in (parts["width"], parts["precision"]) if "*" in part]
    if (name and stars) or (number and not all(star.endswith("$") for star in stars)):
        return Reading(fault="an argument and its width or precision are given in different ways")
    return _ruby_typed({**parts, "letter": parts["letter"] or "s", "number": number, "name": name})


RUBY = Printf(
    pattern(
        rf"(?P<before>(?:{_TAG}|[-+ #0])*)(?P<width>\d+(?![$\d])|{_STAR})?(?P<between>{_TAG}*)",
        rf"(?P<precision>\.(?:\d+(?![$\d])|{_STAR}|(?!\d)))?(?P<behind>{_TAG}*)",
        r"(?:(?P<letter>[bBdiouxXaAeEfgGcsp%\n])|(?P<braced>\{[^}]*\}))",
    ),
    _ruby,
)

# Boost

_BOOST_TYPES = types("any: s S, integer: d i o u x X, float: e E f g G, char: c C, pointer: p, : n t T")
_boost_typed = typed(lambda parts: _BOOST_TYPES[(parts["letter"] or "s")[0]])


def _boost(parts: Parts) -> Reading:
    return _boost_typed({**parts, "number": parts["number"] or parts["alone"]})


BOOST = Printf(
    pattern(
        rf"(?P<alone>{_PLAIN_POSITION})%|(?P<bar>\|)?", _PLAIN_NUMBER, "[-+ #0'=_hl]*", _WIDTH, _PRECISION, "[hlL]*",
        r"(?P<letter>[diouxXeEfgGcCsSpnt]|T.|(?(bar)(?=\|)|(?!)))(?(bar)\|)",  # between bars there need be none
    ),
    _boost,
    unify=any_or,
)  # fmt: skip

# Object Pascal

_PASCAL_TYPES = types("integer: d u x, float: e f g m n, text: s, pointer: p")
_pascal_typed = typed(lambda parts: "" if parts["index"] else _PASCAL_TYPES[parts["letter"].lower()])


def _pascal(parts: Parts) -> Reading:
    return _pascal_typed({**parts, "number": parts["number"] or ("0" if parts["colon"] else "")})


OBJECT_PASCAL = Printf(
    pattern(
        r"(?:(?P<number>\d{0,4})(?P<colon>:)|(?P<index>\*):)?-?(?P<width>\d+|\*)?(?P<precision>\.(?:\d+|\*)?)?",
        letter("dDuUxXeEfFgGmMnNsSpP"),
    ),
    doubtful(_pascal, without_digits),
    first=0,
    mixes=True,
)

# Those without peculiarities

AWK = Printf(
    pattern(_NUMBER, "[-+ #0]*", _WIDTH, _PRECISION, letter("diouxXeEfgGcs%")),
    lettered("integer: d i, unsigned: o u x X, float: e E f g G, char: c, text: s"),
)
ELISP = Printf(
    pattern(_NUMBER, "[-+ #0]*", _NEXT_WIDTH, _NEXT_PRECISION, letter("dioxXeEfgGcsS%")),
    lettered("integer: d i o x X, float: e E f g G, char: c, text: s, object: S", resumes=True),
    mixes=True,
)
_JAVASCRIPT_TYPES = types("integer: b d o x X, float: f, char: c, text: s, any: j")
JAVASCRIPT = Printf(
    pattern(_NUMBER, "(?P<flags>[-+ 0I]*)", _DIGITS, r"(?P<precision>\.\d*)?", letter("bdoxXfcsj%")),
    doubtful(
        typed(lambda parts: _localized(_JAVASCRIPT_TYPES[parts["letter"]], parts["flags"])),
        without_digits,
    ),
)
LIBREP = Printf(
    pattern(_NUMBER, "[-+ 0^]*", _DIGITS, _FRACTION, letter("doxXcsS%")),
    lettered("integer: d o x X, char: c, text: s, object: S", resumes=True),
    mixes=True,
)
_LUA_TYPES = types("integer: d i o u x X, float: a A e E f g G, char: c, text: s, quoted: q")
LUA = Printf(
    pattern("(?P<flags>[-+ #]*)", _DIGITS, _FRACTION, letter("diouxXaAeEfgGcsq")),
    typed(lambda parts: None if parts["flags"] else _LUA_TYPES[parts["letter"]]),
)
PHP = Printf(
    pattern(_NUMBER, "(?:[- 0]|'[\x00-\x7f])*", _DIGITS, r"(?:\.\d+)?", "l?", letter("bcdeEfFgGhHosuxX")),
    lettered("integer: b d o u x X, float: e f, char: c, text: s"),
    mixes=True,
)
_TCL_TYPES = types("integer: d i, unsigned: o u x X, float: e E f g G, char: c, text: s")
TCL = Printf(
    pattern(_NUMBER, "[-+ #0]*", _NEXT_WIDTH, _NEXT_PRECISION, "(?P<size>[hl]?)", letter("diouxXeEfgGcs")),
    typed(lambda parts: sized(_TCL_TYPES[parts["letter"]], "short" if parts["size"] == "h" else ""), resumes=True),
)
