"""The syntaxes of format strings: which parts of a text a program reads, and whether a translation may replace it.

One table, :data:`SYNTAXES`, says for each of gettext's flags how its strings are parsed and by which rule two of them
are compared. The rules are those of ``msgfmt --check``; where this module asks for more than gettext does,
``docs/placeholders.md`` says so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from . import braces, dialects, fluent, icu, lisp, names, newer, numbered, printf
from .base import (
    Argument,
    Directive,
    FormatString,
    Number,
    Parser,
    Rule,
    any_of_them,
    named_ones,
    none_of_them,
    one_number,
    one_of_them,
    same_arguments,
)

__all__ = [
    "OWN_CASES",
    "SYNTAXES",
    "Argument",
    "Difference",
    "Directive",
    "FormatString",
    "Number",
    "Syntax",
    "chosen",
    "compare",
    "parse",
    "selected",
    "syntax",
]


class Syntax(NamedTuple):
    """A row of the table. Without ``number`` the syntax has no numbers for its arguments, or nothing else."""

    parse: Parser
    rule: Rule
    number: Number | None = None


class Difference(NamedTuple):
    """Why a translation must not stand for its source: it is no string of the syntax (``invalid``), or its arguments
    are others."""

    message: str
    invalid: bool = False


_any, _named, _none, _one = map(same_arguments, (any_of_them, named_ones, none_of_them, one_of_them))
_javascript = same_arguments(any_of_them, fits_all="any")

#: By the flag of a catalogue's entry. All but ICU's and Fluent's are gettext's; those of :mod:`.newer` came after 0.21.
SYNTAXES = {
    "awk-format": Syntax(dialects.AWK.parse, _any, printf.numbered),
    "boost-format": Syntax(dialects.BOOST.parse, _any, printf.numbered),
    "c++-format": Syntax(newer.cpp, _any, newer.numbered_in_braces),
    "c-format": Syntax(dialects.C.parse, _any, printf.numbered),
    "csharp-format": Syntax(braces.csharp, _any),
    "d-format": Syntax(newer.D.parse, _none, printf.numbered),
    "elisp-format": Syntax(dialects.ELISP.parse, _any, printf.numbered_without_stars),
    "fluent-format": Syntax(fluent.fluent, _none),
    "gcc-internal-format": Syntax(dialects.gcc, _any, printf.numbered),
    "gfc-internal-format": Syntax(dialects.gfc, _any, printf.numbered),
    "go-format": Syntax(newer.GO.parse, _none, newer.numbered_in_brackets),
    "icu-message-format": Syntax(icu.icu, _none),
    "java-format": Syntax(braces.java, _any),
    "java-printf-format": Syntax(dialects.JAVA.parse, _any, printf.numbered),
    "javascript-format": Syntax(dialects.JAVASCRIPT.parse, _javascript, printf.numbered),
    "kde-format": Syntax(numbered.kde, _one),
    "kde-kuit-format": Syntax(numbered.kuit, _one),
    "librep-format": Syntax(dialects.LIBREP.parse, _any, printf.numbered),
    "lisp-format": Syntax(lisp.lisp, lisp.same_lists),
    "lua-format": Syntax(dialects.LUA.parse, _none),
    "modula2-format": Syntax(newer.MODULA2.parse, _any),
    "objc-format": Syntax(dialects.OBJC.parse, _any, printf.numbered),
    "object-pascal-format": Syntax(dialects.OBJECT_PASCAL.parse, _any, printf.numbered_with_colon),
    "ocaml-format": Syntax(newer.OCAML.parse, _any, printf.numbered),
    "perl-brace-format": Syntax(names.perl, _any),
    "perl-format": Syntax(dialects.PERL.parse, _any, printf.numbered),
    "php-format": Syntax(dialects.PHP.parse, _any, printf.numbered),
    "python-brace-format": Syntax(braces.python, _any),
    "python-format": Syntax(dialects.PYTHON.parse, _named),
    "qt-format": Syntax(numbered.qt, numbered.no_more_needed(_none)),
    "qt-plural-format": Syntax(numbered.qt, _named),
    "ruby-format": Syntax(dialects.RUBY.parse, _named, printf.numbered),
    "rust-format": Syntax(newer.rust, same_arguments(one_number), newer.numbered_in_braces),
    "scheme-format": Syntax(lisp.scheme, lisp.same_lists),
    "sh-format": Syntax(names.shell, _any),
    "sh-printf-format": Syntax(newer.sh_printf, _any, printf.numbered),
    "smalltalk-format": Syntax(numbered.digit, _any),
    "tcl-format": Syntax(dialects.TCL.parse, _any, printf.numbered_without_stars),
    "ycp-format": Syntax(numbered.digit, _any),
}
#: Syntaxes in which a translation may have more cases than its source, or fewer.
OWN_CASES = ("fluent-format", "icu-message-format")
_UNKNOWN = Syntax(names.unknown, _none)


@lru_cache
def selected(flags: frozenset[str]) -> tuple[str, ...]:
    """The flags among these that name a syntax, in order. gettext checks what is only ``possible-``, too; a flag that
    ends in ``-format`` and is not known selects what can be done without knowing it."""
    found = {flag.removeprefix("possible-") for flag in flags if flag.endswith("-format")}
    return tuple(sorted(flag for flag in found if not flag.startswith(("no-", "impossible-"))))


def chosen(text: str, flags: frozenset[str]) -> tuple[str, ...]:
    """The syntaxes of a text: those of its flags, or the one that cannot be mistaken."""
    if formats := selected(flags):
        return formats
    if "{" in text:
        for looks, flag in ((icu.LOOKS, "icu-message-format"), (fluent.LOOKS, "fluent-format")):
            if looks.search(text) and not parse(text, flag).fault:
                return (flag,)
    return ()


def syntax(flag: str) -> Syntax:
    """The syntax of a flag that :func:`selected` gave."""
    return SYNTAXES.get(flag, _UNKNOWN)


@lru_cache(maxsize=1024)  # a source is read once for each of its forms, parts and attempts
def parse(text: str, flag: str) -> FormatString:
    """A text as a program reads it that knows the syntax of the flag."""
    return syntax(flag).parse(text)


def compare(source: str, target: str, flag: str, *, relaxed: bool = False) -> Difference | None:
    """Why ``target`` must not stand for ``source`` in a syntax, by gettext's rule, or ``None``.

    ``relaxed`` is for a plural form that so few numbers select that it may leave arguments out. Of a source that is
    not valid itself, which gettext does not check, the directives that could be recognised have to stay.
    """
    ours, theirs = parse(source, flag), parse(target, flag)
    if ours.fault:
        return _compare_faulty(source, ours, target, theirs)
    if theirs.fault:
        return Difference(theirs.fault, invalid=True)
    if difference := syntax(flag).rule(ours, theirs, relaxed):
        return Difference(difference)
    return Difference(theirs.misread, invalid=True) if theirs.misread and not ours.misread else None


def _compare_faulty(source: str, ours: FormatString, target: str, theirs: FormatString) -> Difference | None:
    if ours.arguments:
        difference = _none(ours, theirs, False)
    else:
        kept, found = (
            [text[directive.start : directive.end] for directive in read.directives]
            for text, read in ((source, ours), (target, theirs))
        )
        difference = "" if kept == found else f"{' '.join(found) or 'nothing'} instead of {' '.join(kept) or 'nothing'}"
    return Difference(difference) if difference else None
