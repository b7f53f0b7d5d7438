"""The header entry of a catalogue: its fields, and the smallest edits that change or add some of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ..types import Edit
from .po_charset import Charset
from .po_scan import COMMENT, NEWLINE, STRING, Entry, line_span
from .po_write import escape, flags, parse, without_fuzzy

#: Field after which a new one goes, if there; else a new field comes last.
_AFTER = {"Language": "Language-Team", "PO-Revision-Date": "POT-Creation-Date"}
_FIELD = re.compile(r"^([^:\n]+):[ \t]*([^\n]*)", re.MULTILINE)
_CHARACTER = re.compile(rb"\\(.)|([^\\])", re.DOTALL)
_CHARSET = re.compile(r"charset=[ \t]*([^ \t\n;]+)", re.IGNORECASE)
_ALIASES = {"iw": "he", "in": "id", "ji": "yi", "nb": "no", "nn": "no", "tl": "fil"}
_SCRIPTS = {"latn": "latin", "cyrl": "cyrillic", "arab": "arabic", "deva": "devanagari"}


@dataclass(frozen=True, slots=True)
class Header:
    """A header entry: ``view`` of its bytes, which begin at ``offset`` in the file."""

    view: bytes
    offset: int
    charset: Charset
    text: str  #: the msgstr unescaped, one character for each of ``places``, ASCII as it is
    places: tuple[tuple[int, int], ...]  #: the span in ``view`` of each character of ``text``
    end: int  #: the end of the msgstr in ``view``
    newline: str

    @classmethod
    def of(cls, entry: Entry, charset: Charset, newline: str) -> Header:
        """The header in this entry, whose msgid is empty; ``newline`` is for one that has no line end."""
        view = charset.view(entry.raw)
        statement = parse(view).strings[0]
        text, places = [], []
        for string in STRING.finditer(view, statement.start(3), statement.end(3)):
            first = string.start() + 1
            for match in _CHARACTER.finditer(string[0][1:-1]):
                places.append((first + match.start(), first + match.end()))
                text.append("\n" if match[1] == b"n" else chr((match[1] or match[2])[0]))
        found = NEWLINE.search(view)
        ends = found[0].decode() if found else newline
        return cls(view, entry.offset, charset, "".join(text), tuple(places), statement.end(3), ends)

    def get(self, field: str) -> str:
        """The value of a field, empty where it is missing."""
        match = self._find(field)
        return match[2].strip() if match else ""

    def charset_name(self) -> str:
        """The charset that Content-Type names, empty if none."""
        match = self._find_charset()
        return match[1] if match else ""

    def _find(self, field: str) -> re.Match[str] | None:
        return next((match for match in _FIELD.finditer(self.text) if match[1].strip() == field), None)

    def _find_charset(self) -> re.Match[str] | None:
        field = self._find("Content-Type")
        return _CHARSET.search(self.text, field.start(2), field.end(2)) if field else None

    def edits(self, changes: Mapping[str, str], charset_name: str = "", keep_fuzzy: bool = False) -> list[Edit]:
        """The edits that set these fields, name the charset if one is given, and drop the fuzzy flag."""
        found: list[tuple[int, int, str, str]] = []
        added: dict[int, list[str]] = {}
        for field, value in changes.items():
            match = self._find(field)
            if match is None:
                before = self._find(_AFTER.get(field, ""))
                place = len(self.text) if before is None else min(before.end() + 1, len(self.text))
                added.setdefault(place, []).append(f"{field}: {value}\n")
            elif match[2].strip() != value:
                blank = "" if match.start(2) > match.end(1) + 1 else " "
                found.append((*self._span(match.start(2), match.end(2)), blank + escape(value), field))
        if charset_name and (match := self._find_charset()):
            found.append((*self._span(*match.span(1)), charset_name, "charset"))
        elif charset_name and (match := self._find("Content-Type")):
            value = f"text/plain; charset={charset_name}"
            found.append((*self._span(match.start(2), match.end(2)), value, "Content-Type"))
        elif charset_name:
            value = f"Content-Type: text/plain; charset={charset_name}\n"
            added.setdefault(len(self.text), []).insert(0, value)
        found += [self._insertion(place, lines) for place, lines in added.items()]
        if not keep_fuzzy:
            found += self._fuzzy_edits()
        unit = self.charset.unit
        return [
            Edit(self.offset + start * unit, self.offset + end * unit, self.charset.encode(text), f"header: {why}")
            for start, end, text, why in sorted(found)
        ]

    def _span(self, start: int, end: int) -> tuple[int, int]:
        """Where the characters ``start:end`` of the text stand in the view."""
        if start == end:
            place = self.places[start - 1][1]
            return place, place
        return self.places[start][0], self.places[end - 1][1]

    def _insertion(self, place: int, lines: list[str]) -> tuple[int, int, str, str]:
        why = ", ".join(line.partition(":")[0] for line in lines)
        if not self.text:
            text = "".join(f'{self.newline}"{escape(line)}"' for line in lines)
            return self.end, self.end, text, why
        at = self.places[place - 1][1]
        text = "" if self.text[place - 1] == "\n" else "\\n"
        return at, at, text + "".join(f'"{self.newline}"{escape(line)}' for line in lines), why

    def _fuzzy_edits(self) -> list[tuple[int, int, str, str]]:
        found = []
        for comment in COMMENT.finditer(self.view, 0, parse(self.view).start()):
            if set(flags(comment)) == {"fuzzy"}:
                found.append((*line_span(self.view, comment), "", "fuzzy"))
            else:
                found += [(start, end, text, "fuzzy") for start, end, text in without_fuzzy(comment)]
        return found


def new_fields(fields: Mapping[str, str], charset_name: str) -> dict[str, str]:
    """These fields with the others that ``msgfmt --check`` asks for, in gettext's order."""
    return {
        "Project-Id-Version": "",
        "PO-Revision-Date": fields["PO-Revision-Date"],
        "Last-Translator": "",
        "Language-Team": "",
        "Language": fields["Language"],
        "MIME-Version": "1.0",
        "Content-Type": f"text/plain; charset={charset_name}",
        "Content-Transfer-Encoding": "8bit",
        **fields,
    }


def new_header(fields: Mapping[str, str], newline: str) -> str:
    """A header entry with these fields, and the blank line behind it."""
    lines = "".join(f'"{escape(f"{field}: {value}")}\\n"{newline}' for field, value in fields.items())
    return f'msgid ""{newline}msgstr ""{newline}{lines}{newline}'


def revision_date(moment: datetime) -> str:
    """A date as gettext writes it: ``2026-11-23 17:30+0000``."""
    return moment.strftime("%Y-%m-%d %H:%M%z")


def gettext_language(lang: str) -> str:
    """A language code in gettext's own spelling: ``pt-br`` is ``pt_BR``, ``sr-Latn`` is ``sr@latin``."""
    base, *rest = re.split(r"[-_]", lang.partition("@")[0])
    code, modifier = base.lower(), lang.partition("@")[2]
    script = next((part.lower() for part in rest if len(part) == 4 and part.isalpha()), "")
    region = next((part.upper() for part in rest if re.fullmatch(r"[A-Za-z]{2}|[0-9]{3}", part)), "")
    if code == "zh" and script in ("hans", "hant"):
        region, script = region or {"hans": "CN", "hant": "TW"}[script], ""
    modifier = modifier or _SCRIPTS.get(script, script)
    return code + (f"_{region}" if region else "") + (f"@{modifier}" if modifier else "")


def contradicts(declared: str, wanted: str) -> bool:
    """Whether a header's Language is that of another language; something that is no code contradicts nothing."""
    first, second = (re.match(r"([A-Za-z]{2,3})(?![A-Za-z])", code) for code in (declared, wanted))
    if not first or not second:
        return False
    one, other = (match[1].lower() for match in (first, second))
    return _ALIASES.get(one, one) != _ALIASES.get(other, other)
