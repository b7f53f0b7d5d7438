"""Plural rules of languages as gettext writes them, and a small evaluator of their C expressions.

The forms of the first group of languages are those of the GNU gettext manual (section "Plural forms", the table that
``msginit`` uses too); the others follow the cardinal rules of Unicode CLDR 47, reduced to whole numbers. Where the two
disagree (Irish, Hebrew, Romance languages with a form for millions) the gettext manual wins, because existing
catalogues follow it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

MAX_LENGTH = 1000  #: characters of an expression
MAX_DEPTH = 50  #: nesting of an expression
MAX_FORMS = 20  #: plural forms of one language; the richest known has six
CHECKED = 1000  #: numbers from 0 to this one are tried, as msgfmt does

_OFTEN = 5  # msgl-check.c of gettext has the same constant
_LARGE = (10_000, 100_000, 1_000_000)  # Romance languages have a form for millions
_LONGEST_RANGE = 100_000  # numbers of a range that are tried
_WORD = 1 << 64  # gettext computes in unsigned long
_SLAVIC = "(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2)"


class PluralForms(NamedTuple):
    """How many plural forms there are, and the C expression in ``n`` that selects one (from 0)."""

    nplurals: int
    formula: str

    def header(self) -> str:
        """The value of the header field ``Plural-Forms``."""
        return f"nplurals={self.nplurals}; plural={self.formula};"


_GETTEXT = {
    PluralForms(1, "0"): "ja ko th vi zh",
    PluralForms(2, "(n != 1)"): "bg ca da de el en eo es et fi fo he hu it nb nl nn no pt sv tr",
    PluralForms(2, "(n > 1)"): "fr pt_BR",
    PluralForms(3, "(n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2)"): "lv",
    PluralForms(3, "(n==1 ? 0 : n==2 ? 1 : 2)"): "ga",
    PluralForms(3, "(n==1 ? 0 : (n==0 || (n%100 > 0 && n%100 < 20)) ? 1 : 2)"): "ro",
    PluralForms(3, "(n%10==1 && n%100!=11 ? 0 : n%10>=2 && (n%100<10 || n%100>=20) ? 1 : 2)"): "lt",
    PluralForms(3, _SLAVIC): "be hr ru sr uk",
    PluralForms(3, "(n==1) ? 0 : (n>=2 && n<=4) ? 1 : 2"): "cs sk",
    PluralForms(3, "(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2)"): "pl",
    PluralForms(4, "(n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3)"): "sl",
    PluralForms(6, "(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5)"): "ar",
}
_CLDR = {
    PluralForms(1, "0"): "bm bo dz id ig ii jbo jv km lo ms my nqo sah sg su to tpi wo yo yue",
    PluralForms(2, "(n != 1)"): (
        "af an ast az bem brx ce chr ckb dv ee eu fur fy gl gsw ha haw ia io ka kk kl ks ku ky lb lg lij ml mn mr "
        "nd ne nr ny om or os pap ps rm sc scn sd sn so sq ss st sw syr ta te tig tk tn ts ug ur uz ve vo xh yi"
    ),
    PluralForms(2, "(n > 1)"): "ak am as bho bn doi fa ff gu guw hi hy kab kn ln mg nso pa pcm si ti wa zu",
    PluralForms(2, "(n%10==4 || n%10==6 || n%10==9)"): "ceb fil",
    PluralForms(2, "(n%10!=1 || n%100==11)"): "is mk",
    PluralForms(3, _SLAVIC): "bs sh",
    PluralForms(3, "(n==1 ? 0 : n==2 ? 1 : 2)"): "iu sat se sma smj smn sms",
    PluralForms(3, "(n<=1 ? 0 : n<=10 ? 1 : 2)"): "shi",
    PluralForms(4, "(n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3)"): "dsb hsb",
    PluralForms(4, "(n==1 || n==11 ? 0 : n==2 || n==12 ? 1 : n>=3 && n<=19 ? 2 : 3)"): "gd",
    PluralForms(4, "(n%10==1 ? 0 : n%10==2 ? 1 : n%20==0 ? 2 : 3)"): "gv",
    PluralForms(
        5, "(n==1 ? 0 : n==2 ? 1 : n==0 || (n%100>=3 && n%100<=10) ? 2 : n%100>=11 && n%100<=19 ? 3 : 4)"
    ): "mt",
    PluralForms(
        5,
        "(n%10==1 && n%100!=11 && n%100!=71 && n%100!=91 ? 0 : n%10==2 && n%100!=12 && n%100!=72 && n%100!=92 ? 1 : "
        "(n%10==3 || n%10==4 || n%10==9) && n%100/10!=1 && n%100/10!=7 && n%100/10!=9 ? 2 : "
        "n!=0 && n%1000000==0 ? 3 : 4)",
    ): "br",
    PluralForms(6, "(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n==3 ? 3 : n==6 ? 4 : 5)"): "cy",
}
_TABLE = {lang: forms for table in (_GETTEXT, _CLDR) for forms, langs in table.items() for lang in langs.split()}
_ALIASES = {"iw": "he", "in": "id", "ji": "yi", "tl": "fil", "mo": "ro"}  # withdrawn codes and their successors

#: Used where a language is in no table: the rule of most languages with two forms.
DEFAULT = PluralForms(2, "(n != 1)")


def languages() -> tuple[str, ...]:
    """The codes that :func:`plural_forms` knows, without their regional variants."""
    return tuple(sorted(_TABLE))


def plural_forms(lang: str) -> PluralForms | None:
    """The plural forms of a language (``es``, ``pt_BR``, ``sr-Latn-RS``), or ``None`` for one that is not known."""
    base, *rest = re.split(r"[-_@.]", lang)
    base = _ALIASES.get(base.lower(), base.lower())
    for part in rest:
        if forms := _TABLE.get(f"{base}_{part.upper()}"):
            return forms
    return _TABLE.get(base)


def parse_header(value: str) -> PluralForms | None:
    """The forms that a ``Plural-Forms`` field declares, or ``None`` where msgfmt would refuse it.

    The expression must select one of the declared forms for every number from 0 to ``CHECKED``.
    """
    found = re.search(r"nplurals\s*=\s*([0-9]{1,9})\s*;.*?plural\s*=\s*([^;]*)", value, re.S)
    if not found:
        return None
    forms = PluralForms(int(found[1]), found[2].strip())
    if not 1 <= forms.nplurals <= MAX_FORMS:
        return None
    try:
        select = compile_expression(forms.formula)
        valid = all(select(n) < forms.nplurals for n in range(CHECKED + 1))
    except (ValueError, ZeroDivisionError):
        return None
    return forms if valid else None


def samples(forms: PluralForms, *, several: bool = False) -> tuple[int, ...]:
    """For each form a number that selects it: 1 where that does, else the smallest one from 2, else 0, else a round
    large one. With ``several`` 1 and 0 come last.

    A form that none of them selects gets its own index.

    :raises ValueError: for an expression that :func:`compile_expression` refuses.
    """
    select = compile_expression(forms.formula)
    numbers = [1, *range(2, CHECKED + 1), 0, *_LARGE]
    found: dict[int, int] = {}
    for n in sorted(numbers, key=(1, 0).count) if several else numbers:
        with suppress(ZeroDivisionError):  # beyond what msgfmt tries
            found.setdefault(select(n), n)
    return tuple(found.get(form, form) for form in range(forms.nplurals))


@lru_cache
def relaxed(forms: PluralForms, within: tuple[int, int] | None = None) -> tuple[bool, ...]:
    """For each form whether msgfmt lets it leave the number out: fewer than 5 of 0 to ``CHECKED`` select it, or at most
    one of those between the two of ``within``, the only ones that occur. Of a single form the number is never left out,
    nor because of a range that is too long to be looked through."""
    select = compile_expression(forms.formula)
    counts = Counter(select(n) for n in range(CHECKED + 1))
    found = [counts[form] < _OFTEN for form in range(forms.nplurals)]
    if within and within[1] - within[0] <= _LONGEST_RANGE:
        with suppress(ZeroDivisionError):
            occurring = Counter(select(n) for n in range(within[0], within[1] + 1))
            found = [seldom or occurring[form] <= 1 for form, seldom in enumerate(found)]
    return tuple(found) if forms.nplurals > 1 else (False,)


_Value = Callable[[int], int]
_TOKEN = re.compile(r"\s*(\d+|n(?![A-Za-z0-9_])|\|\||&&|[=!<>]=|[-+*/%<>!?:()])")
_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))


def compile_expression(expression: str) -> _Value:
    """A C plural expression as a function of the number.

    The operators are those of gettext (``?:``, ``||``, ``&&``, comparisons, ``+ - * / %``, ``!``) with the precedence
    of C; arithmetic is that of a 64-bit unsigned integer. Nothing is ever given to ``eval``.

    :raises ValueError: for a syntax error, or an expression over ``MAX_LENGTH`` or ``MAX_DEPTH``. The function itself
        raises ``ZeroDivisionError`` where the expression divides by zero.
    """
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"plural expression longer than {MAX_LENGTH} characters")
    return _Parser(expression).parse()


class _Parser:
    def __init__(self, expression: str) -> None:
        self.tokens: list[str] = []
        position, text = 0, expression.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if not match:
                raise ValueError(f"unexpected {text[position:].strip()[:1]!r} in plural expression")
            self.tokens.append(match[1])
            position = match.end()
        self.at = 0
        self.depth = 0

    def parse(self) -> _Value:
        value = self.conditional()
        if self.at < len(self.tokens):
            raise ValueError(f"unexpected {self.tokens[self.at]!r} in plural expression")
        return value

    def take(self, *wanted: str) -> str:
        """The next token if it is one of ``wanted``, else nothing."""
        if self.at < len(self.tokens) and self.tokens[self.at] in wanted:
            self.at += 1
            return self.tokens[self.at - 1]
        return ""

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise ValueError(f"{token!r} missing in plural expression")

    def conditional(self) -> _Value:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError("plural expression nested too deeply")
        test = self.binary(0)
        if self.take("?"):
            yes = self.conditional()
            self.expect(":")
            no = self.conditional()
            test = _choice(test, yes, no)
        self.depth -= 1
        return test

    def binary(self, level: int) -> _Value:
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while operator := self.take(*_LEVELS[level]):
            left = _operation(operator, left, self.binary(level + 1))
        return left

    def unary(self) -> _Value:
        negations = 0
        while self.take("!"):
            negations += 1
        value = self.primary()
        if not negations:
            return value
        odd = negations % 2 == 1
        return lambda n: int((value(n) == 0) == odd)

    def primary(self) -> _Value:
        if self.take("("):
            value = self.conditional()
            self.expect(")")
            return value
        if self.at == len(self.tokens):
            raise ValueError("plural expression ends too early")
        token = self.tokens[self.at]
        self.at += 1
        if token == "n":
            return lambda n: n
        if not token.isdecimal():
            raise ValueError(f"unexpected {token!r} in plural expression")
        number = int(token) % _WORD
        return lambda n: number


def _choice(test: _Value, yes: _Value, no: _Value) -> _Value:
    return lambda n: yes(n) if test(n) else no(n)


def _operation(operator: str, left: _Value, right: _Value) -> _Value:
    operations: dict[str, _Value] = {
        "||": lambda n: int(left(n) != 0 or right(n) != 0),
        "&&": lambda n: int(left(n) != 0 and right(n) != 0),
        "==": lambda n: int(left(n) == right(n)),
        "!=": lambda n: int(left(n) != right(n)),
        "<": lambda n: int(left(n) < right(n)),
        ">": lambda n: int(left(n) > right(n)),
        "<=": lambda n: int(left(n) <= right(n)),
        ">=": lambda n: int(left(n) >= right(n)),
        "+": lambda n: (left(n) + right(n)) % _WORD,
        "-": lambda n: (left(n) - right(n)) % _WORD,
        "*": lambda n: left(n) * right(n) % _WORD,
        "/": lambda n: left(n) // right(n),
        "%": lambda n: left(n) % right(n),
    }
    return operations[operator]
