"""gettext catalogues (.po and .pot), lossless: an entry's slots are its flag lines, its previous text and its msgstr.

Everything else is copied byte for byte. Outside the slots only the header may change, and only when a translation
did: see :meth:`PoDocument.finish`.
"""

from __future__ import annotations

import codecs
import os
import re
import tempfile
import unicodedata
import weakref
from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from .. import __version__, plurals
from ..errors import CannotRender, FormatError, UsageError
from ..textio import codec_name, first_undecodable, is_wide, sniff_bom, undecodable
from ..types import Document, Edit, Format, OpenOptions, Piece, Problem, Segment, State, new_location, new_segment
from . import po_check
from .po_charset import Charset, charset_label, supported_codec
from .po_header import Header, contradicts, gettext_language, new_fields, new_header, revision_date
from .po_scan import NEWLINE, Entry, scan
from .po_write import is_unwrapped, parse, rewrite

_HEAD = 1 << 16  # bytes of the file's beginning that show its line end and hint at its charset
_SAMPLE = 200  # entries that show whether the file is wrapped
_NO_FLAGS: frozenset[str] = frozenset()
_NEW, _FUZZY, _DONE, _SKIP = State.NEW, State.FUZZY, State.DONE, State.SKIP  # in Python 3.11 looking one up takes long
_RANGE = re.compile(r"range:\s+(\d{1,9})\.\.(\d{1,9})")
_PLACEHOLDERS = re.compile(r"nplurals\s*=\s*INTEGER|plural\s*=\s*EXPRESSION")


class PoFormat(Format):
    """Opens .po and .pot files.

    The option ``encoding`` says how to read a file whose header names no usable charset; where the header names
    another one, the file is converted.
    """

    def open(self, path: Path, options: OpenOptions) -> PoDocument:
        """See :class:`batchtrans.Format`; a Language that contradicts the target in a file with translations is a
        ``UsageError`` unless ``options.force``."""
        return PoDocument(path, options)


class PoDocument(Document):
    """One catalogue. Reads ``path`` itself, or a temporary conversion of it."""

    bilingual = True

    def __init__(self, path: Path, options: OpenOptions) -> None:
        super().__init__(path, "po", options)
        self.notes: list[str] = []
        self._file = path
        self._header: Header | None = None
        self._new_charset = ""  # what the header's charset becomes when something is translated
        self._resolve_charset(options.one("encoding"))
        self.encoding = self._charset.codec
        self.declared_lang = self._header.get("Language") if self._header else ""
        self._wrapped = not any(
            is_unwrapped(view, parse(view))
            for entry in islice(self._entries(), _SAMPLE)
            if not entry.is_header() and (view := self._charset.view(entry.raw))
        )
        self._foreign = self._is_foreign(options.force)
        self._resolve_plurals()

    def _resolve_charset(self, asked: str) -> None:
        """Find out how the file is to be read, and convert it where ``asked`` names another encoding."""
        self._bom, marked = sniff_bom(self._file)
        wanted = _supported(asked, marked or "") if asked else ""
        first = marked or _guess(self._file, wanted)
        self._read_header(first)
        declared = self._header.charset_name() if self._header else ""
        usable = supported_codec(declared) or ""
        codec = marked or ("" if is_wide(usable or "ascii") else usable)
        if (
            wanted
            and not marked
            and wanted != codec
            and (is_wide(first) or not codec or not _decodes(self._file, codec))
        ):
            codec = wanted
        if not codec:
            codec = self._assume_utf8(declared)
        if not usable or (usable != codec and not marked):
            self._new_charset = charset_label(codec)
        if codec != first:
            self._read_header(codec)
        if wanted and wanted != codec:
            self._convert(codec, wanted)

    def _assume_utf8(self, declared: str) -> str:
        if declared and declared != "CHARSET":
            raise FormatError(
                f"the header's charset {declared!r} cannot be used",
                path=self.path,
                hint="Name the file's encoding as Python knows it: -O encoding=NAME.",
            )
        if found := first_undecodable(self._file, "utf-8"):
            raise undecodable(self.path, "utf-8, and no charset is named", *found)
        self.notes.append("no charset is named: read as UTF-8")
        return "utf-8"

    def _convert(self, codec: str, wanted: str) -> None:
        """Transcode into a temporary file whose header names the new charset, and read that from now on."""
        descriptor, name = tempfile.mkstemp(prefix="batchtrans-", suffix=".po")
        weakref.finalize(self, Path(name).unlink, missing_ok=True)
        label = charset_label(wanted)
        edits = self._header.edits({}, label, keep_fuzzy=True) if self._header else []
        mark = codecs.BOM_UTF16_LE if wanted == "utf-16-le" else codecs.BOM_UTF32_LE if wanted == "utf-32-le" else b""
        target = Charset(wanted)
        with os.fdopen(descriptor, "wb") as output:
            output.write(mark)
            offset = 0
            for piece in scan(self._file, self._charset, self._bom, self.path):
                data = piece if isinstance(piece, bytes) else piece.before + piece.raw
                text = data if offset or data != self._bom else b""
                if isinstance(piece, Entry) and edits and piece.is_header():
                    text, edits = _edited(data, offset, edits), []
                output.write(self._transcode(text, target))
                offset += len(data)
        self._file, self._bom, self._new_charset = Path(name), mark, ""
        self._read_header(wanted)
        self.notes.append(f"converted from {charset_label(codec)} to {label}, the header's charset with it")

    def _transcode(self, data: bytes, target: Charset) -> bytes:
        text = self._charset.decode(data)
        try:
            return target.encode(text)
        except UnicodeEncodeError as error:
            raise FormatError(
                f"{_named(text[error.start])} does not exist in {target.codec}",
                path=self.path,
                hint="Convert to an encoding that has it: -O encoding=utf-8.",
            ) from None

    def _read_header(self, codec: str) -> None:
        """Find the header entry, usually the first, reading in this encoding; and the file's line end."""
        self._charset = Charset(codec)
        with self._file.open("rb") as file:
            file.seek(len(self._bom))
            found = NEWLINE.search(self._charset.view(file.read(_HEAD)))
        self.newline = found[0].decode() if found else "\n"
        entry = next((entry for entry in self._entries() if entry.is_header()), None)
        self._header = Header.of(entry, self._charset, self.newline) if entry else None

    def _entries(self) -> Iterator[Entry]:
        pieces = scan(self._file, self._charset, self._bom, self.path)
        return (piece for piece in pieces if not isinstance(piece, bytes))

    def _is_foreign(self, force: bool) -> bool:
        """Whether the header, in a file without translations, belongs to another language and has to change."""
        declared = self._header.get("Language") if self._header else ""
        if not contradicts(declared, self.target_lang):
            return False
        if not any(any(entry.target) for entry in self._entries() if not entry.is_header()):
            return True
        if not force:
            raise UsageError(
                f"{self.path}: its translations are in {declared!r} (header field Language), not {self.target_lang!r}",
                "Give the catalogue of the right language, or --force to go on.",
            )
        return False

    def _resolve_plurals(self) -> None:
        """The plural forms: the header's own if they are valid, else those of the language."""
        value = self._header.get("Plural-Forms") if self._header else ""
        declared = None if self._foreign else plurals.parse_header(value)
        known = plurals.plural_forms(self.target_lang)
        self._forms = declared or known or plurals.DEFAULT
        self.plural_samples = plurals.samples(self._forms)
        self.plural_several = plurals.samples(self._forms, several=True)
        self.plural_relaxed = plurals.relaxed(self._forms)
        if declared:
            self._declare_plurals: bool | None = False
        elif known and (not value or self._foreign or _PLACEHOLDERS.search(value)):
            self._declare_plurals = True
        else:
            self._declare_plurals = None  # only if there are plural entries, which msgfmt would refuse else
            if not known:
                self.notes.append(f"no plural rule is known for {self.target_lang!r}: two forms, as in English")

    def pieces(self) -> Iterator[Piece]:
        seen = _Seen()
        if self._header is None:
            yield b""  # where finish() inserts one
        for piece in scan(self._file, self._charset, self._bom, self.path):
            if isinstance(piece, bytes):
                yield piece
            elif piece.is_header():
                yield piece.before + piece.raw
            else:
                if piece.before:
                    yield piece.before
                yield _segment(piece, seen, len(self.plural_samples))

    def states(self) -> Iterator[State]:
        for entry in self._entries():
            if not entry.is_header():
                yield _state(entry.source, entry.target, entry.flags, len(self.plural_samples))

    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        if state is _SKIP or (state is segment.state and _same(segment.target, target)):
            return segment.raw
        wanted = len(self.plural_samples) if len(segment.source) > 1 else 1
        if len(target) not in (wanted, len(segment.target)):
            raise CannotRender(f"{len(target)} forms where {wanted} are needed")
        if reason := self._unwritable(segment, target):
            raise CannotRender(reason)
        return rewrite(segment.raw, self._charset, target, state, self.newline, self._wrapped)

    def relaxed(self, segment: Segment) -> tuple[bool, ...]:
        """See :class:`Document`; a flag ``range: 0..5`` says which numbers occur."""
        for flag in segment.flags:
            if found := _RANGE.match(flag):
                low, high = int(found[1]), int(found[2])
                return plurals.relaxed(self._forms, (low, high)) if low <= high else self.plural_relaxed
        return self.plural_relaxed

    def target_lines(self, segment: Segment) -> tuple[int, ...]:
        """The line of the keyword msgstr of each form."""
        view = self._charset.view(segment.raw)
        message = parse(view)
        breaks = [NEWLINE.findall(view, 0, place.start()) for place in (message.msgid, *message.strings)]
        return tuple(segment.location.line + len(before) - len(breaks[0]) for before in breaks[1:])

    def faults(self) -> Iterator[tuple[int, Problem]]:
        """What msgfmt says of the header, of entries that stand there twice, and of a msgid and its plural."""
        if self._bom or self._charset.unit > 1:
            what = "a byte order mark" if self._charset.unit == 1 else f"the encoding {self.encoding}"
            yield 1, Problem("syntax", f"gettext's tools cannot read {what}", hard=True)
        yield from po_check.faults(scan(self._file, self._charset, self._bom, self.path), self._header, self._charset)

    def problem(self, segment: Segment, target: tuple[str, ...]) -> str | None:
        wanted = len(self.plural_samples) if len(segment.source) > 1 else 1
        if len(target) != wanted:
            return f"{len(target)} forms where {wanted} are needed"
        if not any(target):
            return None
        source = segment.source[0]
        for text in target:
            for has, edge in ((str.startswith, "begin"), (str.endswith, "end")):
                if has(text, "\n") != has(source, "\n"):
                    return f"msgid and msgstr do not both {edge} with a line break"
        return self._unwritable(segment, target)

    def _unwritable(self, segment: Segment, target: tuple[str, ...]) -> str | None:
        """Which character of the target cannot be written, if one cannot."""
        text = "\n".join(target)
        known = "\n\t" + "".join(segment.source + segment.target).replace("\0", "")
        for character in text if not text.isprintable() else "":
            if unicodedata.category(character) == "Cc" and character not in known:
                return f"control character {_named(character)}, which is not in the source"
        try:
            self._charset.encode(text)
        except UnicodeEncodeError as error:
            what = f"{_named(text[error.start])} does not exist in the file's charset {self.encoding}"
            return what if self.encoding == "utf-8" else f"{what}; -O encoding=utf-8 converts the file"
        return None

    def finish(self, started_at: datetime) -> Sequence[Edit]:
        """The header's changes: PO-Revision-Date and X-Generator are set; Language and Plural-Forms where they are
        missing; the charset where it is missing, a placeholder or wrong; the header's fuzzy flag goes. A file without
        header gets one. Nothing else is corrected unless msgfmt would refuse it."""
        fields = {"PO-Revision-Date": revision_date(started_at.astimezone(timezone.utc))}
        if self._header is None or not self._header.get("Language") or self._foreign:
            fields["Language"] = gettext_language(self.target_lang)
        if self._declare_plurals is None:
            self._declare_plurals = any(len(entry.source) > 1 for entry in self._entries())
        if self._declare_plurals:
            fields["Plural-Forms"] = self._forms.header()
        fields["X-Generator"] = f"batchtrans {__version__}"
        if self._header is not None and self._header.text:
            return self._header.edits(fields, self._new_charset)
        fields = new_fields(fields, charset_label(self.encoding))
        if self._header is not None:
            return self._header.edits(fields)
        start = len(self._bom)
        text = new_header(fields, self.newline)
        return [Edit(start, start, self._charset.encode(text), "header: added")]


def _segment(entry: Entry, seen: _Seen, forms: int) -> Segment:
    _, raw, slots, offset, line, domain, context, source, target, note, flags = entry
    key = f"{domain}\0{source[0]}" if context is None else f"{domain}\0{context}\4{source[0]}"
    digest = blake2b(key.encode(), digest_size=8).digest()
    count = seen.add(int.from_bytes(digest, "big"))
    return new_segment(
        (
            digest.hex() if count == 1 else f"{digest.hex()}#{count}",
            raw,
            source,
            target,
            new_location((line, offset, offset + len(raw), domain, None, "")),
            slots,
            _state(source, target, flags, forms),
            context or "",
            note,
            frozenset(flags) - {"fuzzy"} if flags else _NO_FLAGS,
            None,
        )
    )


def _state(source: tuple[str, ...], target: tuple[str, ...], flags: tuple[str, ...], forms: int) -> State:
    """The state of an entry; a plural one that lacks some of its ``forms`` is as good as empty there."""
    if "" in target or (len(source) > 1 and len(target) < forms):
        return _NEW
    return _FUZZY if "fuzzy" in flags else _DONE


class _Seen:
    """Counts equal 64-bit numbers in about 16 bytes each: a set of Python integers would take five times that."""

    def __init__(self) -> None:
        self._table = array("Q", [0]) * (1 << 12)
        self._used = 0
        self._again: dict[int, int] = {}

    def add(self, number: int) -> int:
        """How often this number has been added, this time included."""
        table = self._table
        mask = len(table) - 1
        number = number or 1  # 0 marks a free place
        place = number & mask
        while found := table[place]:
            if found == number:
                self._again[number] = count = self._again.get(number, 1) + 1
                return count
            place = (place + 1) & mask
        table[place] = number
        self._used += 1
        if self._used * 3 > len(table) * 2:
            self._grow()
        return 1

    def _grow(self) -> None:
        old = self._table
        self._table = table = array("Q", [0]) * (2 * len(old))
        mask = len(table) - 1
        for number in old:
            if number:
                place = number & mask
                while table[place]:
                    place = (place + 1) & mask
                table[place] = number


def _same(present: tuple[str, ...], target: tuple[str, ...]) -> bool:
    """Whether two targets say the same; forms that are missing in one are as good as empty."""
    if present == target:
        return True
    longest = max(len(present), len(target))
    return (*present, *("",) * (longest - len(present))) == (*target, *("",) * (longest - len(target)))


def _edited(data: bytes, offset: int, edits: Sequence[Edit]) -> bytes:
    """The bytes that begin at ``offset`` with these edits, sorted and all within them."""
    for edit in reversed(edits):
        data = data[: edit.start - offset] + edit.data + data[edit.end - offset :]
    return data


def _named(character: str) -> str:
    return f"{character!r} (U+{ord(character):04X})"


def _supported(asked: str, marked: str) -> str:
    """The codec that a user means; UTF-16 alone is whatever the file's byte order mark says."""
    name = codec_name(asked)
    if marked.startswith(f"{name}-"):
        return marked
    codec = supported_codec(name)
    if codec is None:
        raise UsageError(
            f"catalogues in {asked} are not supported", "It does not contain ASCII; convert the file to UTF-8 first."
        )
    return codec


def _guess(path: Path, wanted: str) -> str:
    """The encoding to look for the header in: one that shows its ASCII characters, whatever the rest is."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if wanted and is_wide(wanted) and b"\0" in head[:4]:
        return wanted
    found = re.search(rb"Content-Type:[^\r\n]*charset=([^\\\s;\"]+)", head)
    named = supported_codec(found[1].decode("latin-1")) if found else None
    return named if named and not is_wide(named) and not Charset(named).plain else "iso8859-1"


def _decodes(path: Path, codec: str) -> bool:
    return first_undecodable(path, codec) is None
