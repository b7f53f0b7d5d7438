"""New text for an entry: escapes, wrapping and flag lines as gettext's own tools write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from ..types import State
from .po_charset import Charset
from .po_scan import COMMENT, COMMENTS, FLAG, NEWLINE, STATEMENT, STRING, Message, line_start, text_of

WIDTH = 79  #: columns of a line, as gettext's tools wrap by default
_UNWRAPPED = 80  # a longer line that could have been broken shows that its file is not wrapped
_ESCAPES = {
    **{code: f"\\{code:03o}" for code in (*range(0x20), 0x7F)},
    **{ord(text): f"\\{letter}" for text, letter in zip('\\"\n\t\r\a\b\f\v', '\\"ntrabfv', strict=True)},
}
_WIDE = "\u1100-\u115f\u2e80-\u303e\u3041-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff60"
_CLOSING = "、。，．・：；？！）」』】〉》〕ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々"
_OPENING = "（「『【〈《〔"
#: Where a line may be broken: after blanks, after a hyphen or slash inside a word, around East Asian characters.
_BREAK = re.compile(
    r"(?<= )(?=[^ ])(?!\\n\Z)"
    r"|(?<=\w[-/?])(?=[^\W\d_])"
    rf'|(?<=[{_WIDE}])(?<![{_OPENING}])(?=[^\s\\"!-/:-@\[-`{{-~{_CLOSING}])'
    rf"|(?<=[^\W{_OPENING}])(?=[{_WIDE}])(?=[^{_CLOSING}])"
)


def escape(text: str) -> str:
    """Text as it stands between the quotes. ``polib.escape`` leaves control characters as they are."""
    return text.translate(_ESCAPES)


def columns(text: str) -> int:
    """How many columns a terminal gives to one line of text that begins at a tab stop."""
    if text.isascii() and "\t" not in text:
        return len(text)
    width = 0
    for character in text:
        if character == "\t":
            width += 8 - width % 8
        elif not unicodedata.combining(character):
            width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return width


class Layout(NamedTuple):
    """How the strings of an entry are laid out: ``indent`` before continued lines, whether a text of several lines
    begins with an empty string, and the width to wrap at (``None``: do not wrap)."""

    newline: str
    indent: str
    empty_first: bool
    width: int | None


def quote(text: str, before: str, layout: Layout) -> str:
    """The strings of a statement, from the first quote to the last; ``before`` stands on the first line already."""
    parts = [escape(part) for part in re.findall(r"[^\n]*\n|[^\n]+", text)]
    room = None if layout.width is None else layout.width - 2
    if len(parts) < 2:
        line = "".join(parts)
        if room is None or len(list(_fill(line, room - columns(before), room))) == 1:
            return f'"{line}"'
    lines = [""] if layout.empty_first else []
    for part in parts:
        first = columns(layout.indent if lines else before)
        lines += [part] if room is None else _fill(part, room - first, room - columns(layout.indent))
    return f"{layout.newline}{layout.indent}".join(f'"{line}"' for line in lines)


def _fill(text: str, first: int, room: int) -> Iterator[str]:
    """The lines of an escaped text: the first of at most ``first`` columns, the others ``room``, where it can break."""
    if len(text) * 2 <= first:  # no character takes more than two columns
        yield text
        return
    line, width, limit = "", 0, first
    for chunk in _BREAK.split(text):
        size = columns(chunk)
        if line and width + size > limit:
            yield line
            line, width, limit = "", 0, room
        line += chunk
        width += size
    yield line


def is_unwrapped(view: bytes, message: Message) -> bool:
    """Whether some line of the message's msgid is longer than a wrapping tool would have left it."""
    for statement in (message.msgid, message.plural):
        if statement is not None:
            for found in STRING.finditer(view, statement.start(3), statement.end(3)):
                before = _before(view, found.start())
                line = before + found[0].decode("utf-8", "replace")
                if columns(line) > _UNWRAPPED and " " in line[len(before) + 1 : WIDTH - 1].strip():
                    return True
    return False


def rewrite(raw: bytes, charset: Charset, target: tuple[str, ...], state: State, newline: str, wrapped: bool) -> bytes:
    """An entry from its first slot to its last msgstr, with another target and state.

    A form whose text stays the same keeps its bytes. ``newline`` is used where the entry has no line end of its own.
    """
    view = charset.view(raw)
    message = parse(view)
    edits = list(_flag_edits(view, message.start(), state, newline))
    edits += _text_edits(raw, view, message, charset, target, newline, wrapped)
    unit, position, parts = charset.unit, 0, []
    for start, end, text in sorted(edits, key=lambda edit: edit[:2]):
        parts += [raw[position * unit : start * unit], charset.encode(text)]
        position = end
    parts.append(raw[position * unit :])
    return b"".join(parts)


def parse(view: bytes) -> Message:
    """The statements of a single well-formed entry."""
    comments = COMMENTS.match(view, len(view) - len(view.lstrip(b" \t")))
    found: dict[bytes, re.Match[bytes]] = {}
    strings = []
    match = STATEMENT.search(view, comments.end() if comments else 0)
    while match is not None:
        if match[1] == b"msgstr":
            strings.append(match)
        found[match[1]] = match
        match = STATEMENT.match(view, match.end())
    return Message(found.get(b"msgctxt"), found[b"msgid"], found.get(b"msgid_plural"), tuple(strings))


_Change = tuple[int, int, str]


def _text_edits(
    raw: bytes, view: bytes, message: Message, charset: Charset, target: tuple[str, ...], newline: str, wrapped: bool
) -> list[_Change]:
    layout = _layout(view, message, newline, wrapped)
    forms, edits = message.strings, []
    for form, text in zip(forms, target, strict=False):
        if text_of(raw, view, form.span(3), charset) != text:
            edits.append((form.start(3), form.end(3), quote(text, _before(view, form.start(3)), layout)))
    last = forms[-1]
    if len(target) < len(forms):
        edits.append((forms[len(target) - 1].end(3), last.end(3), ""))
    elif len(target) > len(forms):
        indent = view[line_start(view, last.start()) : last.start()].decode()
        index = view.index(b"]", last.start())
        gap = view[index + 1 : last.start(3)].decode()
        added = ""
        for number in range(len(forms), len(target)):
            before = f"{indent}msgstr[{number}]{gap}"
            added += layout.newline + before + quote(target[number], before, layout)
        edits.append((last.end(3), last.end(3), added))
    return edits


def _before(view: bytes, position: int) -> str:
    """What stands on the line before a position, as far as it can matter to the layout."""
    near = view[max(0, position - 1000) : position]
    return near[max(near.rfind(b"\n"), near.rfind(b"\r")) + 1 :].decode("latin-1")


def _layout(view: bytes, message: Message, newline: str, wrapped: bool) -> Layout:
    """The layout that the entry has already: that of its msgstr, where it has several lines, else of its msgid."""
    found = NEWLINE.search(view, message.msgid.start())
    ends = found[0].decode() if found else newline
    indent, empty_first = "", True
    for statement in (*message.strings, message.msgid):
        strings = list(STRING.finditer(view, statement.start(3), statement.end(3)))
        if len(strings) > 1:
            before = _before(view, strings[1].start())
            indent = before if before.isspace() else ""
            empty_first = strings[0][0] == b'""'
            break
    return Layout(ends, indent, empty_first, WIDTH if wrapped and not is_unwrapped(view, message) else None)


def _flag_edits(view: bytes, end: int, state: State, newline: str) -> Iterator[_Change]:
    """The changes to the comment lines before ``end`` that give the entry this state; ``NEW`` changes nothing."""
    comments = list(COMMENT.finditer(view, 0, end))
    stray, run = split_run(comments)
    first = line_start(view, end)
    if state is State.DONE:
        for comment in stray:
            yield from without_fuzzy(comment)
        starts = [*(line_start(view, comment.start()) for comment in run), first]
        for comment, start, following in zip(run, starts, starts[1:], strict=False):
            if comment[1] == b"|" or set(flags(comment)) == {"fuzzy"}:
                yield start, following, ""
            else:
                yield from without_fuzzy(comment)
    elif state is State.FUZZY and not any("fuzzy" in flags(comment) for comment in comments):
        yield _added_fuzzy(view, comments, first, newline)


def split_run(comments: list[re.Match[bytes]]) -> tuple[list[re.Match[bytes]], list[re.Match[bytes]]]:
    """Comment lines before an entry as those followed by other comments, and the last run of flags and previous text,
    whose lines may come and go."""
    count = len(comments)
    while count and comments[count - 1][1] in (b",", b"=", b"|"):
        count -= 1
    return comments[:count], comments[count:]


def _added_fuzzy(view: bytes, comments: list[re.Match[bytes]], first: int, newline: str) -> _Change:
    for comment in comments:
        if comment[1] == b",":
            text = comment[2].decode("latin-1")
            blank = text[: len(text) - len(text.lstrip())]
            added = f"{blank or ' '}fuzzy" + (f",{blank or ' '}" if text.strip() else "")
            return comment.start(2), comment.start(2) + len(blank), added
    run = split_run(comments)[1]
    place = line_start(view, run[0].start()) if run else first
    found = NEWLINE.search(view, place)
    return place, place, f"#, fuzzy{found[0].decode() if found else newline}"


def flags(comment: re.Match[bytes]) -> list[str]:
    """The flags of a ``#,`` or ``#=`` line, none for another comment."""
    return FLAG.findall(comment[2].decode("latin-1")) if comment[1] in (b",", b"=") else []


def without_fuzzy(comment: re.Match[bytes]) -> Iterator[_Change]:
    """The changes that take ``fuzzy`` out of a flag line, with the comma that goes with it."""
    if "fuzzy" not in flags(comment):
        return
    base, found = comment.start(2), list(FLAG.finditer(comment[2].decode("latin-1")))
    kept = [flag for flag in found if flag[0] != "fuzzy"]
    if not kept:
        yield base, comment.end(2), ""
        return
    for flag, following in pairwise(found):
        if flag[0] == "fuzzy" and flag.start() < kept[-1].start():
            yield base + flag.start(), base + following.start(), ""
    if found[-1][0] == "fuzzy":
        yield base + kept[-1].end(), base + found[-1].end(), ""
