"""What a text holds besides the directives of a declared syntax: addresses, tags, options, code, and placeholders that
nobody declared.

Without a declaration only shapes count that prose does not have: a placeholder that is missed is left to the model,
but a word that is taken for one is never translated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple


class Shape(NamedTuple):
    """A kind of placeholder, and its pattern. ``signs`` are strings of which every match holds one, so that a text
    without them need not be searched; a match without signs is not ASCII."""

    kind: str
    signs: tuple[str, ...]
    pattern: str


_CONTROLS = r"\0-\x08\x0b\x0c\x0e-\x1f\x7f"  # all but tabs and line breaks
_CONTROL = re.compile(f"[{_CONTROLS}]")
_ATTRIBUTE = r"""\s+[\w:.@-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'>]+))?"""
_SIZE = r"(?:hh|h|ll|l|L|q|j|z|t|I64|I32|I)?"

_URL = r"""(?:https?|ftp|file|git|ssh)://[^\s<>"'`«»“”]*[^\s<>"'`«»“”.,;:!?)\]}]|\bwww\.[\w-]+\.[\w./?=&%#-]*[\w/]"""
#: How the path of a menu begins (``/Help/About``, ``/_View/_Sort``): with a word like a label's, of any script.
#: Directories at the root are written small, but those of macOS; and what has a suffix is a file.
_MENU = (
    r"/(?=[_&]?[^\W\d_a-z]_?[^\W\d_A-Z])"
    r"(?!(?:Applications|Library|Network|System|Users|Volumes)\b|[\w/+-]{0,255}\.\w)"
)
_PATH = (
    rf"(?<![\w/.~])(?!{_MENU})(?:~|\.\.?)?(?:/[\w.+-]*\w){{2,}}|(?<![\w/])~/[\w.+-]*\w"
    r"|\b[A-Za-z]:\\[\w.\\+-]*\w"
)
_PERCENT_NAME = r"%[A-Za-z_]\w+%"
_DIRECTIVE = rf"%(?:\d+\$)?[-+#0']*(?:[1-9]\d*)?(?:\.\d+)?(?:{_SIZE}[diouxXfgGcsp@]|<PRI[diouxX]\w+>)"
#: What belongs to the directive before it and gets lost without it: a unit (``%dms``, ``%sB``), the sign of times
#: (``%dx%d``). Behind a bare ``%i`` or ``%u`` it would be the rest of a name (``%id``).
_UNIT = (
    r"(?:x(?=%)|(?:[KMGT]i?)?B(?![A-Za-z])"
    r"|(?<=[%$\d]d|\d[fg]|[jlz][diu])(?:[ckm]?m|m?s|[dh]|x(?!%)|k[Bg]?|min|p[tx])(?![A-Za-z]))"
)
#: Several in a row are one, as in ``%04d%02d``: more than anybody writes, but not so many that all of a long row would
#: be read again from each of them. A small letter behind them makes a name (``%delta``), a digit before them a share
#: (``50%discount``).
_PRINTF = (
    rf"(?<![\d%])(?!{_PERCENT_NAME}(?![\w%]))(?:{_DIRECTIVE}{_UNIT}?){{1,64}}(?:%%|(?![\w%])|(?<=[a-z>])(?=[A-Z]))"
)
_NAMED_PRINTF = r"%(?:\(\w+\)|<\w+>)[-+#0\d.]*[dfgrsux]"
_BRACE_OF_FLUENT = (
    r"\{\s*(?:\$[A-Za-z][\w-]*|-[A-Za-z][\w-]*(?:\.[\w-]+)?(?:\([^(){}\n]*\))?|[A-Z][A-Z\d_-]*\([^(){}\n]*\)"
    r"|\"[^\"\n]*\")\s*\}"
)
_BRACE_OF_VUE = r"\{'[^'\s]+'\}"
_BRACE = r"[%$#]?\{\s*[A-Za-z_][\w.:-]*(?:\[\w+\])?(?:![rsa])?(?::[^{}\s]*)?\s*\}|\{\d*\}"
#: Not the commands of TeX that begin like one.
_ESCAPE = r"""\\(?:["'\\]|[rt](?![a-z])|n(?!ew|eq\b|abla|ot\b|oindent)|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})"""

#: In order: where two could begin, the first one does.
_SHAPES = (
    Shape("url", ("://", "www."), _URL),
    Shape("email", ("@",), r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"),
    Shape("tag", ("<",), rf"</?[A-Za-z][\w:.-]*(?:{_ATTRIBUTE})*\s*/?>|<!--.*?-->|</?\d+\s*/?>"),
    Shape("code", ("`",), r"``[^`\s]+``|(?<![\w`:])`[^`'\s<]+`(?![\w`])"),
    Shape("role", (":`",), r":[a-z][\w+.:-]*:`(?=[^`\n]+`)"),
    Shape("link", ("](",), r"\]\([^()\s]+\)"),
    Shape("printf", ("%",), f"{_PRINTF}|{_NAMED_PRINTF}"),
    Shape("brace", ("{",), rf"\{{\{{[^{{}}\n]+\}}\}}|\{{%[^{{}}\n]+%\}}|{_BRACE}|{_BRACE_OF_FLUENT}|{_BRACE_OF_VUE}"),
    Shape("variable", ("$", "%"), rf"(?<![\w$])\$[A-Za-z_]\w*|(?<![\w%]){_PERCENT_NAME}"),
    Shape("entity", ("&",), r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);"),
    Shape("linked", ("@:", "@."), r"(?<![\w.])@(?:\.[a-z]+)?:(?:\([\w.-]+\)|\{'[^'\s]+'\}|\w(?:[\w.-]*\w)?)"),
    Shape("pipe", ("|",), r"(?<=[^\s|] )\|(?= [^\s|])"),
    Shape("path", ("/", ":\\"), _PATH),
    Shape("option", ("-",), r"(?<![^\s\"'(\[,|«“‘])(?:--[a-z](?:[\w-]*\w)|-[A-Za-z])(?![\w-])"),
    Shape("escape", ("\\",), _ESCAPE),
    Shape("control", (), rf"\x1b\[[\d;]*[A-Za-z]|[{_CONTROLS}]+"),
    Shape("mask", (), "[\ue000-\uf8ff]"),
)
#: Characters that begin or end a placeholder of any syntax, and stand in prose hardly ever. Apostrophes, which quote in
#: Java and ICU, are not among them, nor are hyphens.
SIGNS = "@<>`%{}$&\\/~[]|"
_SIGNS = tuple((sign, shape.kind) for shape in _SHAPES for sign in shape.signs)
#: What a text with any placeholder has somewhere, and most texts have nowhere: a character of each sign, or a mask.
SIGNAL = re.compile("[@<`%{$&|/\\\\\\]\ue000-\uf8ff" + _CONTROLS + "]|(?<!\\w)-|www\\.")
#: Matches a text that begins with the path of a menu.
MENU_PATH = re.compile(_MENU)
#: Of these a declared syntax knows more.
_UNDECLARED = ("printf", "brace", "variable", "linked", "pipe")


@lru_cache(1024)
def _compiled(kinds: tuple[str, ...]) -> re.Pattern[str]:
    groups = (f"(?P<{shape.kind}>{shape.pattern})" for shape in _SHAPES if shape.kind in kinds)
    return re.compile("|".join(groups), re.DOTALL)


def find(text: str, declared: bool) -> Iterator[tuple[int, int, str]]:
    """Where the shapes stand in ``text``, disjoint and in order, and their kinds. ``declared``: what its placeholders
    are is known from elsewhere."""
    kinds = [kind for sign, kind in _SIGNS if sign in text and not (declared and kind in _UNDECLARED)]
    if not text.isascii():
        kinds.append("mask")
    if _CONTROL.search(text):
        kinds.append("control")
    if kinds:
        for match in _compiled(tuple(kinds)).finditer(text):
            yield match.start(), match.end(), match.lastgroup or ""


_ANY_DIRECTIVE = re.compile(rf"(?<![\d%])(?:{_DIRECTIVE}|{_NAMED_PRINTF})")


def percent_directives(text: str) -> list[str]:
    """All that printf would take for directives, names and shares too."""
    return _ANY_DIRECTIVE.findall(text)


#: Emphasis, strong emphasis and struck-out text of Markdown and reST. Single underscores are left to access keys; what
#: opens stands before a word and what closes behind one, unlike a sign of a product or of a list.
_EMPHASIS = re.compile(r"(?<![\w*~])(\*{1,3}|__|~~)(?=[^\s*_~])(?:(?!\1)[^\n])*?(?<=[^\s*_~])\1(?![\w*~])")


def emphases(text: str) -> list[str]:
    """The signs of each stretch of inline emphasis in a text: ``*``, ``**``, ``***``, ``__`` or ``~~``."""
    return _EMPHASIS.findall(text) if "*" in text or "__" in text or "~~" in text else []


_LABEL = 60  # characters of the longest text of a menu or a button
#: A sign before the first letter of a word, or within a capitalised one.
_KEY = re.compile(r"(?:(?<![^\s(])(?=.[A-Za-z])|\b[A-Z][a-z]*(?=.[a-z]))([&_~])(?!\w+;|\S*/)")
#: A sign within a word in small letters. An underscore there is mostly that of a name (``wal_level``, ``time_t``), but
#: where one letter alone stands before it or behind it.
_KEY_IN_SMALL = re.compile(
    r"(?<=\s)(?:[a-z]+(?=[&~][a-z])|[a-z](?=_[a-z]{3})|[a-z]{3,}(?=_[a-su-z](?![a-z])))([&_~])[a-z]+(?=[\s.:…?!]|\Z)"
)


def access_key(text: str) -> str:
    """The sign that marks the one access key of a label (``_File``, ``Save &As``, ``E~xit``), if there is one."""
    if len(text) > _LABEL or not any(sign in text for sign in "&_~"):
        return ""
    found = _KEY.search(text)
    if not found and "%" not in text:  # a message, in which a name of code is likelier
        found = _KEY_IN_SMALL.search(text)
    return found[1] if found and text.count(found[1]) == 1 else ""
