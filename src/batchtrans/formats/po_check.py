"""What ``msgfmt --check`` says of a catalogue beside its texts: header, plural rule, entries that stand there twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..plurals import parse_header
from ..types import Problem
from .po_charset import Charset
from .po_header import Header
from .po_scan import NEWLINE, STATEMENT, Entry, text_of

#: The fields that gettext asks for, each with the value that ``xgettext`` writes until somebody fills it in
#: (msgl-check.c of gettext).
_FIELDS = {
    "Project-Id-Version": "PACKAGE VERSION",
    "PO-Revision-Date": "YEAR-MO-DA HO:MI+ZONE",
    "Last-Translator": "FULL NAME <EMAIL@ADDRESS>",
    "Language-Team": "LANGUAGE <LL@li.org>",
    "MIME-Version": "",
    "Content-Type": "text/plain; charset=CHARSET",
    "Content-Transfer-Encoding": "ENCODING",
    "Language": "",
}
#: The mark of an obsolete line, and such lines in a row.
_MARK = re.compile(rb"^[ \t]*#~", re.MULTILINE)
_OBSOLETE = re.compile(rb"(?:^[ \t]*#~(?!\|)[^\r\n]*(?:\r\n|\n|\r|\Z))+", re.MULTILINE)
#: What msgfmt looks entries up by: domain, context, msgid.
_Key = tuple[str, str | None, str]


def faults(pieces: Iterable[bytes | Entry], header: Header | None, charset: Charset) -> Iterator[tuple[int, Problem]]:
    """The faults of a scanned catalogue, each with its line."""
    if header is None or not header.text:
        yield 1, Problem("header", "there is no header", hard=True)
    declared = header.get("Plural-Forms") if header else ""
    usable = parse_header(declared) is not None
    named = header is None or header.charset_name() not in ("", "CHARSET")
    seen: set[_Key] = set()
    line, domain = 1, ""
    for piece in pieces:
        entry = None if isinstance(piece, bytes) else piece
        before = piece if isinstance(piece, bytes) else piece.before
        for where, key in _obsolete(before, line, domain, charset):
            yield from _counted(key, where, seen)
        if entry is not None:
            domain = entry.domain
            key = (domain, entry.context, entry.source[0])
            if entry.is_header() and header is not None and header.text and key not in seen:
                yield from ((entry.line, problem) for problem in _header_problems(header, declared, usable))
            yield from _counted(key, entry.line, seen)
            yield from ((entry.line, problem) for problem in _entry_problems(entry, declared))
            if not named and _needs_charset(entry):
                yield entry.line, Problem("header", "the header names no charset, and the text is not ASCII", hard=True)
                named = True  # once is enough
            line += _breaks(entry.raw, charset)
        line += _breaks(before, charset)


def _breaks(data: bytes, charset: Charset) -> int:
    return len(NEWLINE.findall(charset.view(data)))


def _counted(key: _Key, line: int, seen: set[_Key]) -> Iterator[tuple[int, Problem]]:
    if key in seen:
        yield line, Problem("duplicate", "an entry with this msgid and context stands in the file already", hard=True)
    seen.add(key)


def _obsolete(data: bytes, line: int, domain: str, charset: Charset) -> Iterator[tuple[int, _Key]]:
    """The obsolete entries in comment lines: msgfmt counts them when it looks for duplicates."""
    if charset.unit > 1 or b"#~" not in data:
        return
    view = charset.view(data)
    context: str | None = None
    for block in _OBSOLETE.finditer(view):
        bare = _MARK.sub(lambda mark: b" " * len(mark[0]), block[0])
        for statement in STATEMENT.finditer(bare):
            if statement[1] not in (b"msgctxt", b"msgid"):
                continue
            try:
                text = text_of(data[block.start() : block.end()], bare, statement.span(3), charset)
            except ValueError:  # an escape that is not valid, in an entry that nobody reads
                continue
            if statement[1] == b"msgctxt":
                context = text
            else:
                at = line + len(NEWLINE.findall(view, 0, block.start() + statement.start()))
                yield at, (domain, context, text)
                context = None


def _header_problems(header: Header, declared: str, usable: bool) -> Iterator[Problem]:
    for field, default in _FIELDS.items():
        value = header.get(field)
        if not value:
            yield Problem("header", f"the header has no {field}")
        elif value == default:
            yield Problem("header", f"{field} in the header is still {default!r}")
    if declared and not usable:
        yield Problem("plurals", f"the header's plural rule cannot be used: {declared}", hard=True)


def _needs_charset(entry: Entry) -> bool:
    """Whether msgfmt would write this entry, and has to know its charset: from 0.22 on it writes UTF-8."""
    if entry.is_header() or "fuzzy" in entry.flags or not entry.target[0]:
        return False
    return not all(text.isascii() for text in (*entry.source, *entry.target, entry.context or ""))


def _entry_problems(entry: Entry, declared: str) -> Iterator[Problem]:
    if len(entry.source) < 2 or "fuzzy" in entry.flags or not entry.target[0]:
        return
    if not declared:
        yield Problem("plurals", "the entry has plural forms, the header no plural rule", hard=True)
    singular, plural = entry.source
    for name, edge in (("begin", slice(0, 1)), ("end", slice(-1, None))):
        if (singular[edge] == "\n") != (plural[edge] == "\n"):
            yield Problem("newlines", f"one of msgid and msgid_plural {name}s with a newline, the other not", hard=True)
