"""Terms that have one translation, or none: which of them a text has, and whether its translation keeps to them.

A term is looked for by its words, so that *file* is not found in *profile*, in any of the forms that the glossary
lists, the longest first: inflection is what differs between languages, and guessing it would accuse good translations.
A form that is written in small letters is found in capitals too, any other one only as it is.

Terms that must not be translated are masked like placeholders, and a translation without them is not written. A term
with a translation is asked for where the backend's model was taught that, and checked in any case; its absence is a
doubt, since a sentence may say the same without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .errors import FormatError, UsageError
from .languages import base_language
from .pairs import find_columns, refuse_other_languages, xml_elements
from .textio import read_lines, sniff_bom
from .types import Problem

#: What stands between the forms of one term in a table.
SEPARATOR = "|"
ENDINGS = (".csv", ".tsv", ".tbx", ".txt")
_TOKEN = re.compile(r"[^\W_]+|[^\s]")
#: Writing systems without blanks between words, where a term is any stretch of characters.
_DENSE = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


class Term(NamedTuple):
    """The forms of a term and those of its translation; without translation it stays as it is."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def stays(self) -> bool:
        return not self.targets


class _Found(NamedTuple):
    """Where a form of a term stands in a text; ``form`` is as the glossary lists it."""

    term: Term
    form: str
    start: int
    end: int

    @property
    def translation(self) -> str:
        """The translation that is listed at the form's place (``file|files,archivo|archivos``), or else the first."""
        place = self.term.sources.index(self.form)
        return self.term.targets[place if len(self.term.targets) == len(self.term.sources) else 0]


class _Token(NamedTuple):
    text: str
    start: int
    end: int


class Glossary:
    """Terms by their first word. ``check`` is a check like those of plugins."""

    def __init__(self, terms: Iterable[Term]) -> None:
        self.terms = tuple(terms)
        self._forms = _Forms([(form, term) for term in self.terms for form in term.sources])

    def terms_of(self, text: str) -> list[Term]:
        """The terms in a text that have a translation, each once, in order of appearance."""
        return list(dict.fromkeys(found.term for found in self._forms.find(text) if not found.term.stays))

    def pairs_of(self, text: str) -> list[tuple[str, str]]:
        """What a model is told about a text: the form of each term that stands in it, with its translation, each once,
        in order of appearance."""
        return list(dict.fromkeys((found.form, found.translation) for found in self._translated(text)))

    def kept_pairs(self, source: str, target: str) -> list[tuple[str, str]]:
        """The same for a translation that is known: the terms that it keeps to, each with a form that it has, the one
        that a model would be told if that is among them."""
        pairs = []
        for found in self._translated(source):
            forms = (found.translation, *found.term.targets)
            pairs += [(found.form, form) for form in forms if _holds(target, form)][:1]
        return list(dict.fromkeys(pairs))

    def _translated(self, text: str) -> list[_Found]:
        translated = (found for found in self._forms.find(text) if not found.term.stays)
        return sorted(translated, key=lambda found: found.start)

    def staying(self, text: str) -> list[tuple[int, int]]:
        """Where terms stand that must stay as they are."""
        return [(found.start, found.end) for found in self._forms.find(text) if found.term.stays]

    def check(self, source: str, target: str, flags: frozenset[str] = frozenset()) -> Iterator[Problem]:
        """What a translation does not keep to: ``keep``, hard, and ``glossary``, a doubt."""
        kept = [source[start:end] for start, end in self.staying(source)]
        if lost := [text for text in dict.fromkeys(kept) if target.count(text) < kept.count(text)]:
            yield Problem("keep", f"by the glossary this must stay as it is: {', '.join(lost)}", hard=True)
        for term in self.terms_of(source):
            if not any(_holds(target, form) for form in term.targets):
                yield Problem("glossary", f"{term.sources[0]} is {' or '.join(term.targets)} in the glossary")


class _Forms:
    """Forms of terms, to be found in texts word by word."""

    def __init__(self, forms: Sequence[tuple[str, Term]]) -> None:
        self._by_first: dict[str, list[tuple[tuple[str, ...], str, Term]]] = {}
        self._dense = [(form, term) for form, term in forms if _DENSE.search(form)]
        for form, term in forms:
            words = tuple(token.text.lower() for token in _tokens(form))
            if words and not _DENSE.search(form):
                self._by_first.setdefault(words[0], []).append((words, form, term))
        for candidates in self._by_first.values():
            candidates.sort(key=lambda candidate: -len(candidate[0]))

    def find(self, text: str) -> Iterator[_Found]:
        """The terms in a text and where they stand, in order; of two at one place the longer one."""
        for form, term in self._dense:
            start = text.find(form)
            while start >= 0:
                yield _Found(term, form, start, start + len(form))
                start = text.find(form, start + len(form))
        if not self._by_first:
            return
        tokens = _tokens(text)
        low = [token.text.lower() for token in tokens]
        place = 0
        while place < len(tokens):
            found = self._at(text, tokens, low, place)
            if found is None:
                place += 1
                continue
            words, form, term = found
            yield _Found(term, form, tokens[place].start, tokens[place + words - 1].end)
            place += words

    def _at(self, text: str, tokens: Sequence[_Token], low: Sequence[str], place: int) -> tuple[int, str, Term] | None:
        for words, form, term in self._by_first.get(low[place], ()):
            if tuple(low[place : place + len(words)]) == words:
                found = text[tokens[place].start : tokens[place + len(words) - 1].end]
                if form.islower() or " ".join(found.split()) == " ".join(form.split()):
                    return len(words), form, term
        return None


def _tokens(text: str) -> list[_Token]:
    return [_Token(match[0], match.start(), match.end()) for match in _TOKEN.finditer(text)]


def _holds(text: str, form: str) -> bool:
    """Whether a translation has a form of a term, in capitals or not."""
    if _DENSE.search(form):
        return form in text
    words = [token.text.lower() for token in _tokens(form)]
    low = [token.text.lower() for token in _tokens(text)]
    return any(low[place : place + len(words)] == words for place in range(len(low) - len(words) + 1))


# Reading


def load_glossary(paths: Iterable[Path], source_lang: str, target_lang: str) -> Glossary:
    """The terms of all these files: tables of two columns, TBX, or texts with a term that stays on each line.

    In a table the columns are named ``source`` and ``target`` or after the languages, or they are the first two; forms
    are parted by ``|``, and a term without translation stays as it is.

    :raises UsageError: for a file of another kind, or without a term in the two languages.
    :raises FormatError: for a file that cannot be read, naming the line.
    """
    terms: list[Term] = []
    for path in paths:
        if not path.is_file():
            raise UsageError(f"there is no glossary {path}")
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise UsageError(f"{path} is no glossary that batchtrans reads", f"It reads {', '.join(ENDINGS)}.")
        try:
            found = list(reader(path, source_lang, target_lang))
        except FormatError as error:
            if error.offset is not None:  # the option that names the encoding of inputs is none for glossaries
                error.hint = "Convert the glossary to UTF-8."
            raise
        if not found:
            raise UsageError(f"there is no term from {source_lang} to {target_lang} in {path}")
        terms += found
    return Glossary(terms)


def _from_lines(path: Path, source_lang: str, target_lang: str) -> Iterator[Term]:
    mark, encoding = sniff_bom(path)
    for line in read_lines(path, encoding or "utf-8", mark):
        if term := line.text.strip():
            yield Term((term,), ())


def _from_table(path: Path, source_lang: str, target_lang: str) -> Iterator[Term]:
    import csv

    from .formats.csv_dialect import TableFile, quotes_are_text
    from .formats.csv_scan import Dialect

    mark, encoding = sniff_bom(path)
    lines = [line.text for line in read_lines(path, encoding or "utf-8", mark)]
    first = lines[0] if lines else ""
    delimiter = max("\t;,", key=first.count) if path.suffix.lower() == ".csv" else "\t"
    file = TableFile(path, encoding or "utf-8", len(mark))
    plain = delimiter == "\t" and quotes_are_text(file, Dialect(delimiter))
    rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL, strict=True)
    columns: tuple[int, int] | None = None
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if columns is None:
                named = find_columns(row, source_lang, target_lang)
                columns = (named.source, named.target) if named else (0, 1)
                if named:
                    continue
                refuse_other_languages(path, row, source_lang, target_lang)
            cells = [row[column] if column < len(row) else "" for column in columns]
            sources, targets = (_forms(cell) for cell in cells)
            if not sources:
                raise FormatError("a translation without a term", path=path, line=rows.line_num)
            yield Term(sources, targets)
    except csv.Error as error:
        raise FormatError(f"not a table: {error}", path=path, line=rows.line_num) from None


def _forms(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(form.strip() for form in cell.split(SEPARATOR) if form.strip()))


def _from_tbx(path: Path, source_lang: str, target_lang: str) -> Iterator[Term]:
    """Both shapes of TBX (ISO 30042): ``termEntry`` and ``langSet`` of 2008, ``conceptEntry`` and ``langSec`` of 2019.
    All terms of a language in an entry are forms of one."""
    for entry, _, _ in xml_elements(path, ("martif", "tbx"), ("termEntry", "conceptEntry")):
        by_language: dict[str, list[str]] = {}
        for part in entry:
            language = next((value for name, value in part.attrib.items() if name.rpartition("}")[2] == "lang"), "")
            words = [
                "".join(element.itertext()).strip()
                for element in part.iter()
                if element.tag.rpartition("}")[2] == "term"
            ]
            by_language.setdefault(base_language(language), []).extend(filter(None, words))
        sources, targets = (
            tuple(dict.fromkeys(by_language.get(base_language(lang), ()))) for lang in (source_lang, target_lang)
        )
        if sources and targets:
            yield Term(sources, targets)


_READERS: Mapping[str, Callable[[Path, str, str], Iterator[Term]]] = {
    ".csv": _from_table,
    ".tsv": _from_table,
    ".tbx": _from_tbx,
    ".txt": _from_lines,
}
