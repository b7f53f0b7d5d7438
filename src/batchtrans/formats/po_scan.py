"""The line scanner of gettext catalogues: a stream of literal bytes and entries with the spans that may change.

It works on a *view* of the bytes in which every ASCII character of the text is one byte of its own value and nothing
else looks like ASCII. For UTF-8, single-byte charsets and EUC the file itself is such a view; for UTF-16, UTF-32 and
the charsets whose second bytes may be a backslash a view is made, so that one grammar serves them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, NamedTuple

from ..errors import FormatError
from ..textio import undecodable
from .po_charset import Charset, unescape

_CHUNK = 1 << 18
_WS = rb"[ \t\v\f\r\n]*"
_QUOTED = rb'"[^"\\\r\n]*(?:\\[^\r\n][^"\\\r\n]*)*"'
_SPACE = re.compile(_WS)
#: A keyword (1), its index (2) and its strings (3), with the white space behind them.
STATEMENT = re.compile(
    rb"(msgctxt|msgid_plural|msgid|msgstr|domain)%s(?:\[%s([0-9]+)%s\]%s)?(%s(?:%s%s)*)%s"
    % (_WS, _WS, _WS, _WS, _QUOTED, _WS, _QUOTED, _WS)
)
STRING = re.compile(_QUOTED)
#: Most entries: their keywords begin lines, and what stands before these says nothing to the scanner. Where the msgid
#: begins and ends (1), its strings (2), where msgstr begins (3), its strings (4).
_USUAL = re.compile(
    rb"(?<![ \t])(?:#(?:[ :][^\r\n]*)?\r?\n)*"
    rb"(msgid) (%s(?:\r?\n%s)*)\r?\n(msgstr) (%s(?:\r?\n%s)*)%s(?![\" \t\v\f\r\n])"
    % (_QUOTED, _QUOTED, _QUOTED, _QUOTED, _WS)
)
#: A simple entry behind its comments: its msgid (1), msgstr keyword and strings (2, 3), for STATEMENT two steps.
_SIMPLE = re.compile(
    rb"msgid%s(%s(?:%s%s)*)%s(msgstr)%s(%s(?:%s%s)*)%s"
    % (_WS, _QUOTED, _WS, _QUOTED, _WS, _WS, _QUOTED, _WS, _QUOTED, _WS)
)
#: Comment lines that say nothing to the scanner: those of translators and references.
_PLAIN_COMMENTS = re.compile(rb"(?:#(?:[ :][^\r\n]*)?[\r\n]%s)*" % _WS)
_CUT = re.compile(
    rb"(?:(?:msgctxt|msgid_plural|msgid|msgstr|domain)%s(?:\[%s[0-9]*%s\]?%s)?)?\Z" % (_WS, _WS, _WS, _WS)
)
#: Comment lines in a row, and one of them: the character after ``#`` if it is a mark (1), the rest (2).
COMMENTS = re.compile(rb"(?:#[^\r\n]*%s)+" % _WS)
COMMENT = re.compile(rb"#([.,:|~=]?)([^\r\n]*)")
NEWLINE = re.compile(rb"\r\n|\n|\r")
FLAG = re.compile(r"range:\s*[^\s,]+|[^\s,]+")
_SLOT_MARKS = (b",", b"=", b"|")  # flags (gettext 0.26 writes lasting ones as "#=") and previous text
_NO_FLAGS: tuple[str, ...] = ()
_NOTHING = (0, 0)  # the slot of flags that are not there
_NOTE_LIMIT = 500  # characters of the extracted comments that are worth showing to a translator


class Entry(NamedTuple):
    """One message. ``before`` are the literal bytes since the last one; ``raw`` runs from the line of the first slot to
    the end of the last msgstr, ``slots`` are spans of it: the last two are the place of flags and previous text right
    before the entry's first line, and the msgstr lines. ``offset`` is that of ``raw`` in the file, ``line`` that of
    msgid."""

    before: bytes
    raw: bytes
    slots: tuple[tuple[int, int], ...]
    offset: int
    line: int
    domain: str
    context: str | None
    source: tuple[str, ...]
    target: tuple[str, ...]
    note: str
    flags: tuple[str, ...]

    def is_header(self) -> bool:
        return self.source == ("",) and self.context is None


#: Several times as quick as calling the class, which counts for the one object that every entry needs.
_new_entry: Callable[[tuple[object, ...]], Entry] = partial(tuple.__new__, Entry)


_Span = tuple[int, int]
#: Where in a view the strings of one message stand (msgctxt, msgid and its plural, msgstr), and the keywords msgid and
#: (first) msgstr.
_Spans = tuple[_Span | None, tuple[_Span, ...], tuple[_Span, ...], int, int]


class Message(NamedTuple):
    """The statements of one message in a view, as matches of ``STATEMENT``."""

    context: re.Match[bytes] | None
    msgid: re.Match[bytes]
    plural: re.Match[bytes] | None
    strings: tuple[re.Match[bytes], ...]

    def start(self) -> int:
        return (self.context or self.msgid).start()

    def spans(self) -> _Spans:
        source = (self.msgid.span(3),) if self.plural is None else (self.msgid.span(3), self.plural.span(3))
        target = tuple([match.span(3) for match in self.strings])
        context = None if self.context is None else self.context.span(3)
        return context, source, target, self.msgid.start(), self.strings[0].start()


def scan(path: Path, charset: Charset, bom: bytes = b"", name: Path | None = None) -> Iterator[bytes | Entry]:
    """The file as literal bytes and entries; joined (``before`` and ``raw`` of entries) they are the file.

    Memory is bounded by the longest entry. ``name`` is what errors call the file, its path if not given.

    :raises FormatError: at the first byte that does not decode, or where the syntax is not that of a catalogue.
    """
    if bom:
        yield bom
    with path.open("rb") as file:
        file.seek(len(bom))
        yield from _windows(file, name or path, charset, len(bom))


def _windows(file: IO[bytes], path: Path, charset: Charset, offset: int) -> Iterator[bytes | Entry]:
    line, domain, rest, at_end = 1, "", b"", False
    while not at_end:
        chunk = file.read(max(_CHUNK, len(rest)))
        at_end = not chunk
        data = rest + chunk
        view = charset.view(data)
        if not at_end:
            cut = max(view.rfind(b"\n"), view.rfind(b"\r", 0, max(len(view) - 1, 0))) + 1
            data, view, rest = data[: cut * charset.unit], view[:cut], data[cut * charset.unit :]
        else:
            rest = b""
        _validate(data, path, charset, offset)
        window = Window(path, charset, data, view, offset, line, domain, at_end)
        used = yield from window.pieces()
        offset += used
        line, domain = window.line_at(used // charset.unit), window.domain
        rest = data[used:] + rest


def _validate(data: bytes, path: Path, charset: Charset, offset: int) -> None:
    try:
        charset.decode(data)
    except UnicodeDecodeError as error:
        raise undecodable(path, charset.codec, offset + error.start, data[error.start]) from None


class Window:
    """Whole lines of a file, with what is known from the lines before them."""

    def __init__(
        self, path: Path, charset: Charset, data: bytes, view: bytes, offset: int, line: int, domain: str, final: bool
    ) -> None:
        self.path, self.charset, self.data, self.view = path, charset, data, view
        self.offset, self.domain, self.final = offset, domain, final
        self._plain, self._codec = charset.plain, charset.codec
        self._line, self._counted = line, 0
        self._plain_lines = view.count(b"\r") == view.count(b"\r\n")

    def line_at(self, position: int) -> int:
        """The number of the line at a position, which must not lie before that of an earlier call."""
        if self._plain_lines:
            self._line += self.view.count(b"\n", self._counted, position)
        else:
            self._line += sum(1 for _ in NEWLINE.finditer(self.view, self._counted, position))
        self._counted = position
        return self._line

    def pieces(self) -> Generator[bytes | Entry, None, int]:
        """The complete entries; returns how many bytes were used up. The rest begins an entry that goes on."""
        view, size, unit, plain = self.view, len(self.view), self.charset.unit, self._plain
        taken, position = 0, _SPACE.match(self.view).end()  # type: ignore[union-attr]
        live = position
        while position < size:
            live = position
            usual = _USUAL.match(view, position) if plain else None
            if usual is not None and ((end := usual.end()) < size or self.final):
                yield self._usual(usual, taken)
                taken = usual.end(4)
                position = live = end
                continue
            special = head_end = _PLAIN_COMMENTS.match(view, position).end()  # type: ignore[union-attr]
            if special < size and view[special] == 0x23:
                head_end = COMMENTS.match(view, special).end()  # type: ignore[union-attr]
                live = after_obsolete(view, live, special, head_end)
                special = max(special, live)
            if head_end == size:
                break
            spans, end = self._message(head_end)
            if end < 0:
                break
            if spans is not None:
                yield self._entry(spans, special, head_end, taken)
                taken = spans[2][-1][1]
            position = live = end
        keep = size if self.final else line_start(view, live)
        if keep > taken:
            yield self.data[taken * unit : keep * unit]
        return keep * unit

    def _usual(self, match: re.Match[bytes], taken: int) -> Entry:
        """The entry of a match of ``_USUAL``, which follows what has been given out up to ``taken``."""
        _, (start, _), source, (msgstr, _), target = match.regs
        view, end = self.view, target[1]
        return _new_entry(
            (
                view[taken:start],
                view[start:end],
                (_NOTHING, (msgstr - start, end - start)),
                self.offset + start,
                self.line_at(start),
                self.domain,
                None,
                (self.text(source),),
                (self.text(target),),
                "",
                _NO_FLAGS,
            )
        )

    def _message(self, position: int) -> tuple[_Spans | None, int]:
        """The message at a position and where the next thing begins; no message for a ``domain`` line, and -1 for the
        end where the window ends before the message does."""
        simple = _SIMPLE.match(self.view, position)
        if simple is not None and ((end := simple.end()) < len(self.view) or self.final):
            return (None, (simple.span(1),), (simple.span(3),), position, simple.start(2)), end
        match = self._statement(position)
        if match is None:
            return None, -1
        if match[1] == b"domain":
            self.domain = self.text(match.span(3))
            return None, match.end()
        context = match if match[1] == b"msgctxt" else None
        if context is not None:
            match = self._statement(context.end())
        if match is None:
            return None, -1
        if match[1] != b"msgid" or match[2]:
            raise self._error(match.start(), _misplaced(match))
        msgid = match
        match = self._statement(msgid.end(), msgid)
        plural = match if match is not None and match[1] == b"msgid_plural" else None
        if plural is not None:
            match = self._statement(plural.end(), msgid)
        if match is None:
            return None, -1
        if match[1] != b"msgstr":
            raise self._error(msgid.start(), "msgid without msgstr")
        strings = (match,) if plural is None else self._forms(match)
        if strings is None:
            return None, -1
        if plural is None and match[2] is not None:
            raise self._error(match.start(), f"msgstr[{match[2].decode()}] without msgid_plural")
        if match.end() == len(self.view) and not self.final:
            return None, -1
        return Message(context, msgid, plural, strings).spans(), strings[-1].end()

    def _forms(self, match: re.Match[bytes]) -> tuple[re.Match[bytes], ...] | None:
        """The msgstr[0], msgstr[1] ... that begin with ``match``; nothing if the window may end before they do."""
        forms: list[re.Match[bytes]] = []
        following: re.Match[bytes] | None = match
        while following is not None and following[1] == b"msgstr":
            if following[2] is None:
                raise self._error(following.start(), "msgstr without index after msgid_plural")
            if int(following[2]) != len(forms):
                what = f"msgstr[{following[2].decode()}] where msgstr[{len(forms)}] is expected"
                raise self._error(following.start(), what)
            forms.append(following)
            end = following.end()
            following = STATEMENT.match(self.view, end)
        if not self.final and _CUT.match(self.view, end):
            return None
        return tuple(forms)

    def _statement(self, position: int, msgid: re.Match[bytes] | None = None) -> re.Match[bytes] | None:
        """The statement at a position, or nothing if the window may end before it does."""
        match = STATEMENT.match(self.view, position)
        if match is not None:
            return None if match.end() == len(self.view) and not self.final else match
        if not self.final and _CUT.match(self.view, position):
            return None
        raise self._syntax_error(position, msgid)

    def _entry(self, spans: _Spans, special: int, head_end: int, taken: int) -> Entry:
        """The entry whose statements begin at ``head_end``, its comments of interest at ``special``, and which follows
        what has been given out up to ``taken``."""
        context, sources, targets, msgid, msgstr = spans
        view, data, unit = self.view, self.data, self.charset.unit
        first = line_start(view, head_end)
        start = head = first
        slots: tuple[tuple[int, int], ...] = ()
        note, flags = "", _NO_FLAGS
        if special < head_end:
            start, head, slots, note, flags = self._head(special, head_end, first)
        end = targets[-1][1]
        slots = (*slots, (head - start, first - start), (line_start(view, msgstr) - start, end - start))
        if unit > 1:
            slots = tuple([(a * unit, b * unit) for a, b in slots])
        text = self.text
        return _new_entry(
            (
                data[taken * unit : start * unit],
                data[start * unit : end * unit],
                slots,
                self.offset + start * unit,
                self.line_at(msgid),
                self.domain,
                None if context is None else text(context),
                (text(sources[0]),) if len(sources) == 1 else (text(sources[0]), text(sources[1])),
                (text(targets[0]),) if len(targets) == 1 else tuple([text(span) for span in targets]),
                note,
                flags,
            )
        )

    def _head(
        self, live: int, end: int, first: int
    ) -> tuple[int, int, tuple[tuple[int, int], ...], str, tuple[str, ...]]:
        """What the comment lines before an entry hold: where its raw bytes begin, where the slot before its first
        line begins, further slots, extracted comments and flags.

        Flag lines and previous text that are followed by other comments cannot go without moving those out of the
        entry; of such flag lines the slot is what stands behind ``#,``.
        """
        view, unit = self.view, self.charset.unit
        notes: list[str] = []
        flags: list[str] = []
        stray: list[re.Match[bytes]] = []
        run: list[re.Match[bytes]] = []
        for match in COMMENT.finditer(view, live, end):
            kind = match[1]
            if kind in _SLOT_MARKS:
                run.append(match)
                if kind != b"|":
                    flags += _flags(match[2])
                continue
            if run:
                stray += [line for line in run if line[1] != b"|"]
                run = []
            if kind == b".":
                notes.append(self.charset.decode(self.data[match.start(2) * unit : match.end(2) * unit]).strip())
        head = line_start(view, run[0].start()) if run else first
        start = line_start(view, stray[0].start()) if stray else head
        slots = tuple([(line.start(2) - start, line.end(2) - start) for line in stray])
        return start, head, slots, "\n".join(notes)[:_NOTE_LIMIT] if notes else "", tuple(flags)

    def text(self, span: tuple[int, int]) -> str:
        """The strings in a span of the view, joined and unescaped."""
        start, end = span
        if end - start == 2:
            return ""
        if self._plain:
            body = self.view[start + 1 : end - 1]
            if b"\\" not in body and b'"' not in body:
                return body.decode(self._codec)
        try:
            return text_of(self.data, self.view, span, self.charset)
        except ValueError as error:
            raise self._error(start, str(error)) from None

    def _error(self, position: int, what: str, hint: str = "") -> FormatError:
        line = 1 + sum(1 for _ in NEWLINE.finditer(self.view, 0, position))
        before = sum(1 for _ in NEWLINE.finditer(self.view, 0, self._counted))
        return FormatError(what, path=self.path, line=self._line + line - 1 - before, hint=hint)

    def _syntax_error(self, position: int, msgid: re.Match[bytes] | None) -> FormatError:
        """Why there is no statement at a position."""
        rest = self.view[position : position + 200]
        word = re.match(rb"[A-Za-z_][A-Za-z0-9_]*", rest)
        if b"\0" in rest:
            return self._error(position, "NUL byte outside a string", "Is it UTF-16? Say so: -O encoding=utf-16-le.")
        if word and word[0] in (b"msgctxt", b"msgid", b"msgid_plural", b"msgstr", b"domain"):
            return self._error(*self._bad_string(position, word[0].decode()))
        if msgid is not None and (not rest or rest.startswith(b"#")):
            return self._error(msgid.start(), "msgid without msgstr")
        if not rest:
            return self._error(position, "the file ends in the middle of an entry")
        if word:
            return self._error(position, f"unknown keyword {word[0].decode()!r}")
        if rest.startswith(b'"'):
            found = STRING.match(self.view, position)
            return self._error(position, "string without a keyword" if found else "unterminated string")
        return self._error(position, f"unexpected {chr(rest[0])!r}" if rest[0] < 0x80 else "unexpected text")

    def _bad_string(self, position: int, keyword: str) -> tuple[int, str]:
        """Where and why a keyword has no proper string: its position and the cause."""
        head = re.compile(rb"[a-z_]+%s(?:\[%s[0-9]+%s\]%s)?" % (_WS, _WS, _WS, _WS))
        end = head.match(self.view, position).end()  # type: ignore[union-attr]
        if self.view[end : end + 1] == b'"':
            return end, "unterminated string"
        if self.view[end : end + 1] == b"[":
            return end, f"bad index after {keyword}"
        return position, f"{keyword} without a string"


def _misplaced(match: re.Match[bytes]) -> str:
    if match[1] == b"msgid":
        return "index after msgid"
    if match[1] == b"msgstr":
        return "msgstr without msgid"
    return f"{match[1].decode()} where msgid is expected"


@lru_cache
def _flags(line: bytes) -> list[str]:
    return FLAG.findall(line.decode("latin-1"))


def line_start(view: bytes, position: int) -> int:
    """The start of the line if only blanks stand before the position, else the position itself."""
    start = position
    if start and view[start - 1] in b"\r\n":
        return start
    while start and view[start - 1] in b" \t":
        start -= 1
    return start if start == 0 or view[start - 1] in b"\r\n" else position


def line_span(view: bytes, comment: re.Match[bytes]) -> tuple[int, int]:
    """A comment's line, its indentation and line end included."""
    end = comment.end()
    newline = NEWLINE.match(view, end)
    return line_start(view, comment.start()), newline.end() if newline else end


def after_obsolete(view: bytes, live: int, start: int, end: int) -> int:
    """Where the comments that belong to the next entry begin: at ``live``, or after the last ``#~`` line from there."""
    if view.find(b"#~", start, end) >= 0:
        for match in COMMENT.finditer(view, start, end):
            if match[1] == b"~":
                live = _SPACE.match(view, match.end(), end).end()  # type: ignore[union-attr]
    return live


def text_of(data: bytes, view: bytes, span: tuple[int, int], charset: Charset) -> str:
    """The strings in a span of ``view``, joined and unescaped; ``data`` are the bytes behind the view.

    :raises ValueError: naming an escape that is not valid.
    """
    unit = charset.unit
    found = STRING.finditer(view, *span)
    parts = [data[(match.start() + 1) * unit : (match.end() - 1) * unit] for match in found]
    text = charset.decode(b"".join(parts))
    return unescape(text, charset) if view.find(b"\\", *span) >= 0 else text
