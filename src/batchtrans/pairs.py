"""Translations that files hold: streaming readers of logs, catalogues, TMX, XLIFF, tables, JSON Lines.

Each reader gives :class:`Unit` objects in the order of its file and holds one at a time. What has no translation, or
one that its author marked as unfinished, is no unit; it can be counted.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from .alignment import WRITTEN, Run, forms_of, is_doubtful, is_log, read_groups, read_history
from .errors import FormatError, UsageError
from .formats.po_header import contradicts
from .forms import form_sources
from .languages import base_language
from .plugins import registry, resolve
from .textio import first_undecodable, read_lines, sniff_bom, undecodable
from .types import OpenOptions, Segment, State

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from .formats.csv_scan import Record, Scanner

#: Names of a column, key or property that says which document a unit belongs to, and of one with its context.
_DOCUMENT_NAMES = ("document", "file", "filename")
_CONTEXT_NAMES = ("context", "msgctxt")
_EXTRAS = (_CONTEXT_NAMES, _DOCUMENT_NAMES)
_NAMES = ("source", "target", *_DOCUMENT_NAMES, *_CONTEXT_NAMES)
_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}(?:-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?")
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_XML_ENCODING = re.compile(rb"""<\?xml[^>]*\bencoding\s*=\s*["']([\w.-]+)["']""")
_XLIFF_TARGET = re.compile(rb"""\b(?:target-language|trgLang)\s*=\s*["']([\w.@-]+)["']""")
#: Lines of a catalogue that are of interest here: the file of a first reference, perhaps between the marks that
#: gettext puts around a name with blanks, and what is obsolete.
_REFERENCE = re.compile(r"^#:[ \t]+(?:\u2068([^\u2069\n]+)\u2069|(\S+))|^(#~)", re.M)
_LINE_NUMBER = re.compile(r":\d+(?:-\d+)?$")


class Unit(NamedTuple):
    """A text and its translation; a plural entry has a source and a target for each form of the target language.

    ``document`` names what the unit belongs to: its file and, after ``#``, the part of it that the format tells (the
    file of a catalogue entry's first reference, ``original`` in XLIFF, a column ``document``). ``flags`` are
    gettext's. ``doubtful`` is what a log's judges doubted. ``line`` is where the unit stands, and ``id`` what its file
    calls it, if it does. ``confidence`` is a log's.
    """

    context: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    document: str = ""
    flags: frozenset[str] = frozenset()
    doubtful: bool = False
    line: int = 0
    id: str = ""
    confidence: float | None = None


class _Job(NamedTuple):
    """What every reader is told. ``skipped`` counts what is no unit by reason; ``fuzzy`` makes units of unfinished ones
    too; with ``named`` the first line of a table has to name its columns."""

    path: Path
    source_lang: str
    target_lang: str
    columns: tuple[str, str] | None
    skipped: Counter[str]
    force: bool
    fuzzy: bool = False
    named: bool = False

    def document(self, part: str) -> str:
        return f"{self.path}#{part}" if part else str(self.path)


def read_units(
    path: Path,
    source_lang: str,
    target_lang: str,
    *,
    columns: tuple[str, str] | None = None,
    skipped: Counter[str] | None = None,
    may_be_empty: bool = False,
    force: bool = False,
    fuzzy: bool = False,
    named: bool = False,
) -> Iterator[Unit]:
    """The translations of a file from one language to another; its kind is told by the ending of its name.

    ``columns`` are those of source and target in a table (names, or numbers from 1) or their keys in JSON Lines;
    without it they are named ``source`` and ``target`` or after the languages, and a table without such names has
    them first and second, unless they have to be ``named``. ``skipped`` counts what is left out as ``untranslated`` or
    ``fuzzy``; with ``fuzzy`` what XLIFF marks as unfinished is read too. ``force`` takes a catalogue or XLIFF file
    whose header names another target language.

    :raises UsageError: for a file of another kind, without the two languages or columns, or without translations
        unless it ``may_be_empty``.
    :raises FormatError: for a file that cannot be read, naming the line or the byte.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    counts = Counter[str]() if skipped is None else skipped
    job = _Job(path, source_lang, target_lang, columns, counts, force, fuzzy, named)
    reader = _reader(path)
    units = reader(job) if path.stat().st_size else iter(())
    empty = True
    try:
        for unit in units:
            empty = False
            yield unit
    except FormatError as error:
        if error.offset is not None:  # the reader of a run would name an option for that; here there is none
            error.hint = "Convert the file to UTF-8 (in a catalogue, the charset of its header too)."
        raise
    if empty and not may_be_empty:
        raise UsageError(f"no translations in {path}", _why_empty(job.skipped))


def is_readable(path: Path) -> bool:
    """Whether the ending of a file's name is one that :func:`read_units` knows."""
    return path.name.lower().endswith(ENDINGS)


def _reader(path: Path) -> Callable[[_Job], Iterator[Unit]]:
    name = path.name.lower()
    for endings, reader in _READERS.items():
        if name.endswith(endings):
            return reader
    raise UsageError(f"{path} is no file of translations that batchtrans reads", f"It reads {', '.join(ENDINGS)}.")


def _why_empty(skipped: Mapping[str, int]) -> str:
    return f"It has {', '.join(f'{count} {reason}' for reason, count in skipped.items())}." if skipped else ""


# Logs


def _from_log(job: _Job) -> Iterator[Unit]:
    runs = [run for run in read_history(job.path).runs if run.header.get("to") == job.target_lang]
    return units_of_runs(job.path, runs, found_done=True, skipped=job.skipped)


def units_of_runs(
    path: Path, runs: Sequence[Run], *, found_done: bool = False, skipped: Counter[str] | None = None
) -> Iterator[Unit]:
    """What these runs of a log translated, the latest run first.

    ``found_done`` adds what they found translated already. What a run only passed through (fuzzy entries, texts that
    were not selected, copies) is no translation to learn from.
    """
    for run in reversed(runs):
        for group in read_groups(path, run):
            first = group[0]
            origins = {record.origin for record in group}
            made = origins - {"copy", "kept"} and all(record.status in WRITTEN for record in group)
            if made or (found_done and first.state == State.DONE.value):
                sources, targets = forms_of(group, "source"), forms_of(group)
                flags = frozenset(first.flags)
                where, doubtful = (str(path), flags), is_doubtful(group)
                yield Unit(first.context, sources, targets, *where, doubtful, first.line, "", first.confidence)
            elif skipped is not None:
                skipped["fuzzy" if first.state == State.FUZZY.value else "untranslated"] += 1


# Catalogues


def _from_po(job: _Job) -> Iterator[Unit]:
    opener = resolve(registry().formats["po"])()
    document = opener.open(job.path, OpenOptions(job.source_lang, job.target_lang, force=job.force))
    before = b""
    for piece in document.pieces():
        if not isinstance(piece, Segment):
            before = piece
            continue
        if piece.state is State.DONE:
            comments = (before + piece.raw).decode(document.encoding, "replace")
            part = _first_reference(comments)
            sources, line = form_sources(piece, document), piece.location.line
            yield Unit(piece.context, sources, piece.target, job.document(part), piece.flags, False, line)
        else:
            job.skipped["fuzzy" if piece.state is State.FUZZY else "untranslated"] += 1
        before = b""


def _first_reference(comments: str) -> str:
    """The file that the first reference behind the last obsolete line names, without its line number."""
    found = ""
    for match in _REFERENCE.finditer(comments):
        found = "" if match[3] else found or match[1] or match[2]
    return _LINE_NUMBER.sub("", found)


# TMX and XLIFF


class _Lines:
    """A binary file that is read line by line, so that a parser that reads ahead is never further than one line."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ended = True
        self.number = 0  #: of the line that was read last, from 1

    def read(self, size: int = -1, /) -> bytes:
        line = self._file.readline(size)
        self.number += self._ended and bool(line)
        self._ended = line.endswith(b"\n")
        return line


def xml_elements(
    path: Path, roots: tuple[str, ...], wanted: tuple[str, ...]
) -> Iterator[tuple[Element, list[Element], int]]:
    """The complete elements of these names, each with its open ancestors from the root on and the line of its tag.

    Everything else is forgotten when it ends, in its parent too, so that memory is bounded by the largest element.
    """
    from xml.etree import ElementTree

    ancestors: list[Element] = []
    depth = line = 0  # in how many wanted elements we are, and where the outermost one began
    try:
        with path.open("rb") as file:
            lines = _Lines(file)
            for event, element in ElementTree.iterparse(lines, ("start", "end")):
                name = _local_name(element)
                if event == "start":
                    if not ancestors and name not in roots:
                        raise FormatError(f"its root is <{name}>, not <{'> or <'.join(roots)}>", path=path)
                    ancestors.append(element)
                    if name in wanted:
                        line = line if depth else lines.number
                        depth += 1
                    continue
                ancestors.pop()
                if name in wanted:
                    depth -= 1
                    yield element, ancestors, line
                if ancestors and not depth:
                    ancestors[-1].remove(element)
    except ElementTree.ParseError as error:
        encoding = _xml_encoding(path)
        if found := first_undecodable(path, encoding):
            raise undecodable(path, encoding, *found) from None
        raise FormatError(f"not well-formed XML: {error}", path=path, line=error.position[0]) from None
    except (LookupError, ValueError) as error:  # an encoding that the parser does not have
        raise FormatError(f"cannot be read: {error}", path=path, hint="Convert the file to UTF-8.") from None


def _xml_encoding(path: Path) -> str:
    """The encoding that an XML file names, that of its byte order mark, or UTF-8."""
    with path.open("rb") as file:
        declared = _XML_ENCODING.search(file.read(200))
    name = sniff_bom(path)[1] or (declared[1].decode() if declared else "utf-8")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "utf-8"


def _local_name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: Element | None) -> str:
    """The text of an element and of the inline elements in it, markup that stands in them as they quote it."""
    return "" if element is None else "".join(element.itertext())


def _child(element: Element, name: str) -> Element | None:
    return next((child for child in element if _local_name(child) == name), None)


def _from_tmx(job: _Job) -> Iterator[Unit]:
    languages: set[str] = set()
    found = False
    for entry, _, line in xml_elements(job.path, ("tmx",), ("tu",)):
        texts: dict[str, str] = {}
        for variant in entry:
            if _local_name(variant) == "tuv":
                lang = variant.get(_XML_LANG) or variant.get("lang") or ""
                texts.setdefault(lang.replace("_", "-").lower(), _text(_child(variant, "seg")))
        languages.update(texts)
        source, target = (_of_language(texts, lang) for lang in (job.source_lang, job.target_lang))
        if source and target:
            found = True
            part = next((_text(prop) for prop in entry if _is_document(prop)), "")
            name = entry.get("tuid") or ""
            yield Unit("", (source,), (target,), job.document(part.strip()), line=line, id=name)
        else:
            job.skipped["untranslated"] += 1
    bases = set(map(base_language, languages))
    if languages and not found and not bases >= {base_language(job.source_lang), base_language(job.target_lang)}:
        raise UsageError(
            f"no translations from {job.source_lang} to {job.target_lang} in {job.path}",
            f"Its languages are {', '.join(sorted(filter(None, languages))) or 'not named'}.",
        )


def _is_document(prop: Element) -> bool:
    return _local_name(prop) == "prop" and (prop.get("type") or "").lower().removeprefix("x-") in _DOCUMENT_NAMES


def _of_language(texts: Mapping[str, str], lang: str) -> str:
    """The text of this language, or else of the first one that differs only in its territory."""
    exact = lang.replace("_", "-").lower()
    alike = (text for code, text in texts.items() if base_language(code) == base_language(lang))
    return texts.get(exact) or next(alike, "")


def _from_xliff(job: _Job) -> Iterator[Unit]:
    foreign: dict[str, None] = {}
    found = False
    for unit, ancestors, line in xml_elements(job.path, ("xliff",), ("trans-unit", "segment")):
        file = next((element for element in ancestors if _local_name(element) == "file"), ancestors[0])
        if (wrong := _foreign_languages(job, file, ancestors[0])) and not job.force:
            foreign[wrong] = None
            job.skipped["in other languages"] += 1
            continue
        source, target = _text(_child(unit, "source")), _text(translation := _child(unit, "target"))
        state = unit.get("state") or (translation.get("state") if translation is not None else "") or ""
        if not source or not target or state in ("new", "initial"):
            job.skipped["untranslated"] += 1
        elif state.startswith("needs-") and not job.fuzzy:
            job.skipped["fuzzy"] += 1
        else:
            found = True
            name = "/".join(filter(None, (element.get("id") for element in (*ancestors[2:], unit))))
            yield Unit("", (source,), (target,), job.document(file.get("original") or ""), line=line, id=name)
    if foreign and not found:
        raise UsageError(
            f"{job.path} translates {', '.join(foreign)}, not {job.source_lang} to {job.target_lang}",
            "Give the file of the right languages, or swap --from and --to.",
        )


def _foreign_languages(job: _Job, file: Element, root: Element) -> str:
    """The languages that a part of an XLIFF file declares, if they contradict those asked for."""
    source = file.get("source-language") or root.get("srcLang") or ""
    target = file.get("target-language") or root.get("trgLang") or ""
    if contradicts(source, job.source_lang) or contradicts(target, job.target_lang):
        return f"{source or '(not named)'} to {target or '(not named)'}"
    return ""


def declared_language(path: Path) -> str:
    """The target language that the beginning of an XLIFF file names, if it is one."""
    if not path.name.lower().endswith((".xlf", ".xliff")):
        return ""
    with path.open("rb") as file:
        found = _XLIFF_TARGET.search(file.read(1 << 16))
    return found[1].decode() if found else ""


# Tables, JSON Lines and whatever else has named columns


class Columns(NamedTuple):
    """Where a row has its texts and what goes with them, as indices; ``None`` where there is no such column."""

    source: int
    target: int
    context: int | None = None
    document: int | None = None


def find_columns(
    names: Sequence[str], source_lang: str, target_lang: str, wanted: tuple[str, str] | None = None
) -> Columns | None:
    """The columns of a header: those ``wanted`` by name, or named ``source`` and ``target``, or after the languages.

    Names are compared without regard to case, and ``en-GB`` is also found as ``en`` and the other way round. ``None``
    if there are no such columns.
    """
    low = [name.strip().lower().replace("_", "-") for name in names]
    context, document = (next((low.index(name) for name in of if name in low), None) for of in _EXTRAS)
    if wanted is not None:
        found = [list(names).index(name) if name in names else None for name in wanted]
        return None if None in found else Columns(found[0] or 0, found[1] or 0, context, document)
    codes = tuple(lang.lower().replace("_", "-") for lang in (source_lang, target_lang))
    bases = [base_language(name) if _LANGUAGE_CODE.fullmatch(name) else "" for name in low]
    for (source, target), where in (
        (("source", "target"), low),
        (codes, low),
        ((base_language(source_lang), base_language(target_lang)), bases),
    ):
        if source in where and target in where:
            return Columns(where.index(source), where.index(target), context, document)
    return None


def refuse_other_languages(path: Path, header: Sequence[str], source_lang: str, target_lang: str) -> None:
    """Refuse a table whose first line names languages, but not both of these: read without names, its first two columns
    would pass for them.

    :raises UsageError: if one of the first two cells names a wanted column, and the other another language.
    """
    cells = [base_language(cell.strip()) for cell in header[:2]]
    names = {"source": source_lang, base_language(source_lang): source_lang}
    names |= {"target": target_lang, base_language(target_lang): target_lang}
    found = {names[cell] for cell in cells if cell in names}
    others = [cell for cell in cells if cell not in names and re.fullmatch("[a-z]{2}", cell)]
    if found and others and "und" not in names:  # BCP 47's code for a language that nobody has said
        missing = {source_lang, target_lang} - found
        raise UsageError(
            f"{path} has no column for {', '.join(missing)}: its first line is {', '.join(map(_shortened, header))}",
            "Name the columns source and target, or after the languages. If that line holds texts, put one with source "
            "and target above it.",
        )


def _from_table(job: _Job) -> Iterator[Unit]:
    from .formats.csv_dialect import TableFile, find_dialect
    from .formats.csv_scan import NoClosingQuote, Record, Scanner

    mark, encoding = sniff_bom(job.path)
    file = TableFile(job.path, encoding or "utf-8", len(mark))
    names = (*_NAMES, job.source_lang, job.target_lang, *(job.columns or ()))
    scanner = Scanner(find_dialect(file, {}, names))
    try:
        yield from _from_records(job, scanner, map(Record._make, file.rows(scanner)))
    except NoClosingQuote as error:
        error.hint = 'Close it, or write a quote that belongs to the text as "" in a cell in quotes.'
        raise


def _from_records(job: _Job, scanner: Scanner, records: Iterator[Record]) -> Iterator[Unit]:
    numbered = _numbered(records)
    first = next(numbered, None)
    if first is None:
        return
    columns, is_header = _table_columns(job, [scanner.value(cell) for cell in first[1]])
    for line, cells in numbered if is_header else chain([first], numbered):
        source, target, context, document = (
            scanner.value(cells[index]) if index is not None and index < len(cells) else "" for index in columns
        )
        if source and target:
            yield Unit(context, (source,), (target,), job.document(document), line=line)
        else:
            job.skipped["untranslated"] += 1


def _numbered(records: Iterable[Record]) -> Iterator[tuple[int, list[str]]]:
    """The cells of each record that is not blank, with the line it begins on."""
    line = 1
    for record in records:
        if record.cells:
            yield line, record.cells
        line += record.breaks


def _table_columns(job: _Job, header: list[str]) -> tuple[Columns, bool]:
    """Which columns to read, and whether the first record names them and is no translation itself."""
    found = find_columns(header, job.source_lang, job.target_lang, job.columns)
    if found is not None:
        return found, True
    if len(header) < 2:
        raise UsageError(
            f"{job.path} has one column ({_shortened(header[0])}); translations need a source and a target column",
            "A table is parted by commas, semicolons or tabs.",
        )
    if job.columns is None and job.named:
        raise UsageError(
            f"{job.path} does not say which columns hold source and target: {', '.join(map(_shortened, header))}",
            "Name them with --column and --into, or the languages with --from and --to.",
        )
    if job.columns is None:
        refuse_other_languages(job.path, header, job.source_lang, job.target_lang)
        return Columns(0, 1), False
    numbers = [int(name) - 1 if name.isdecimal() else -1 for name in job.columns]
    if not all(0 <= number < len(header) for number in numbers):
        raise UsageError(
            f"{job.path} has no columns {' and '.join(job.columns)}",
            f"Its first line has {', '.join(map(_shortened, header))}.",
        )
    named = find_columns(header, job.source_lang, job.target_lang)
    extras = (named.context, named.document) if named else (None, None)
    return Columns(numbers[0], numbers[1], *extras), named is not None


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _from_json_lines(job: _Job) -> Iterator[Unit]:
    if is_log(job.path):
        yield from _from_log(job)
        return
    import orjson

    mark, encoding = sniff_bom(job.path)
    for line in read_lines(job.path, encoding or "utf-8", mark):
        if not line.text.strip():
            continue
        try:
            row = orjson.loads(line.text)
        except orjson.JSONDecodeError as error:
            raise FormatError(f"not JSON: {error}", path=job.path, line=line.number) from None
        try:
            texts = row_texts(row, job.source_lang, job.target_lang, job.columns)
        except ValueError as error:
            raise FormatError(str(error), path=job.path, line=line.number, hint=ROW_HINT) from None
        if texts.source and texts.target:
            document = job.document(texts.document)
            yield Unit(texts.context, (texts.source,), (texts.target,), document, texts.flags, line=line.number)
        else:
            job.skipped["untranslated"] += 1


class RowTexts(NamedTuple):
    """What one row says; empty where it says nothing. ``flags`` are gettext's, a list of names."""

    source: str
    target: str
    context: str
    document: str
    flags: frozenset[str] = frozenset()


#: What :func:`row_texts` accepts, for the hint of an error.
ROW_HINT = 'It needs "source" and "target", the two language codes, or "translation" with the two codes in it.'


def row_texts(row: Any, source_lang: str, target_lang: str, columns: tuple[str, str] | None = None) -> RowTexts:
    """The texts of a row with named values: its own, or those of the object ``translation`` in it.

    :raises ValueError: for a row without the two keys, or with something there that is no text.
    """
    if not isinstance(row, Mapping):
        raise ValueError("not an object")
    outer = list(row)
    inner = row.get("translation")
    texts = inner if columns is None and isinstance(inner, Mapping) else row
    names = list(texts)
    found = find_columns(names, source_lang, target_lang, columns)
    if found is None:
        raise ValueError(f"no source and target in it, only {', '.join(names) or 'nothing'}")
    context, document = (next((row[name] for name in outer if name.lower() in of), None) for of in _EXTRAS)
    values = (texts[names[found.source]], texts[names[found.target]], context, document)
    if not all(value is None or isinstance(value, str) for value in values):
        raise ValueError("something else than a text where a text belongs")
    flags = row.get("flags") or ()
    if not isinstance(flags, list | tuple) or not all(isinstance(flag, str) for flag in flags):
        flags = ()  # a name that other tools use for something else
    source, target, context, document = (value or "" for value in values)
    return RowTexts(source, target, context, document, frozenset(flags))


_READERS: Mapping[tuple[str, ...], Callable[[_Job], Iterator[Unit]]] = {
    (".po", ".pot"): _from_po,
    (".tmx",): _from_tmx,
    (".xlf", ".xliff"): _from_xliff,
    (".csv", ".tsv"): _from_table,
    (".jsonl",): _from_json_lines,
}
#: The endings of files that hold translations, as :func:`read_units` knows them.
ENDINGS = tuple(ending for endings in _READERS for ending in endings)
