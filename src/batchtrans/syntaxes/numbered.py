"""The syntaxes in which nothing but a number marks an argument: Qt, KDE, Smalltalk, YCP."""

from __future__ import annotations

import re

from .base import EMPTY, Builder, FormatString, Rule

_DIGIT = re.compile("%(?:%|([1-9]))?")
_QT = re.compile("%(L?)(?:([0-9]{1,2})|n)")
_KDE = re.compile("%([1-9][0-9]*)")
#: An ampersand that begins no reference, which KDE takes for text, and a reference to an entity, which it defines.
_AMPERSAND = re.compile(r"&(?!#[0-9]+;|#[xX][0-9a-fA-F]+;)")


def digit(text: str) -> FormatString:
    """Smalltalk and YCP: ``%1`` to ``%9``, and ``%%``."""
    if "%" not in text:
        return EMPTY
    builder = Builder()
    for match in _DIGIT.finditer(text):
        if match[1]:
            builder.add(*match.span(), builder.take(int(match[1]), "any"))
        elif match[0] == "%":
            builder.fail("a percent sign without a digit")
        else:
            builder.add(*match.span())
    return builder.done()


def qt(text: str) -> FormatString:
    """``%1`` to ``%99``, ``%L1`` for one in the locale's digits, ``%n`` for the number of a plural; any other percent
    sign is text. The shape says whether the program needs more than the simplest kind of substitution."""
    if "%" not in text:
        return EMPTY._replace(shape=False)
    builder, needs_more = Builder(), False
    for match in _QT.finditer(text):
        localised, number = match.groups()
        needs_more |= number is not None and bool(localised or len(number) > 1)
        builder.add(*match.span(), builder.take("%n" if number is None else int(number), "any"))
    return builder.done(needs_more)


def no_more_needed(rule: Rule) -> Rule:
    """``rule``, and where the source needs the simplest kind of substitution only, so does the target."""

    def differ(source: FormatString, target: FormatString, relaxed: bool) -> str:
        if target.shape and not source.shape:
            return "a flag 'L' or a number of two digits, for which the program is not prepared"
        return rule(source, target, relaxed)

    return differ


def kde(text: str) -> FormatString:
    """``%1`` and so on; any other percent sign is text. One number may be left out, that of a plural."""
    if "%" not in text:
        return EMPTY
    builder = Builder()
    for match in _KDE.finditer(text):
        builder.add(*match.span(), builder.take(int(match[1][:6]), "any"))
    builder.fail_on_gaps(allowed=1)
    return builder.done()


def kuit(text: str) -> FormatString:
    """KDE's syntax in a text with tags, which have to be nested as in XML."""
    from xml.parsers.expat import ExpatError, ParserCreate

    read = kde(text)
    if "<" not in text and "&" not in text and "]]>" not in text:
        return read
    try:
        ParserCreate("UTF-8").Parse(f"<kuit>{_AMPERSAND.sub('&amp;', text)}</kuit>".encode(errors="replace"), True)
    except ExpatError as error:
        return read._replace(fault=read.fault or f"the tags are not those of XML: {error}")
    return read
