"""The syntaxes in which nothing but a name marks an argument: ``{name}`` of Perl's ``__x``, ``$name`` of the shell; and
what is done about a syntax that is not known at all."""

from __future__ import annotations

import re

from .base import EMPTY, Builder, FormatString

_PERL = re.compile(r"\{([A-Za-z_]\w*)\}", re.ASCII)
_SHELL = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\}|\{[^}]*\}|[^\s{])?", re.ASCII)
#: A word in which a directive of whatever kind could begin, braces with what they hold.
_WORD = re.compile(r"(?<!\S)(?=\S*[%$~\\{}])(?:[^\s{}]|\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}|[{}])+")


def perl(text: str) -> FormatString:
    """``{name}``; any other brace is text."""
    if "{" not in text:
        return EMPTY
    builder = Builder()
    for match in _PERL.finditer(text):
        builder.add(*match.span(), builder.take(match[1], "any"))
    return builder.done()


def shell(text: str) -> FormatString:
    """``$name`` and ``${name}``. What else the shell would do at a dollar sign is refused, for safety's sake."""
    if "$" not in text:
        return EMPTY
    builder = Builder()
    for match in _SHELL.finditer(text):
        name = match[1] or match[2]
        if not name:
            builder.fail(f"{match[0]} is no plain variable")
        if len(match[0]) > 1:
            builder.add(*match.span(), builder.take(name or match[0], "any"))
    return builder.done()


def unknown(text: str) -> FormatString:
    """A syntax of another version of gettext: each word that may hold a directive is an argument of its own type, so
    that all of them have to stay, in their order."""
    builder = Builder()
    for match in _WORD.finditer(text):
        builder.add(*match.span(), builder.take(None, match[0]))
    return builder.done()
