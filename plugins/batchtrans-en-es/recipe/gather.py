"""Gather interface strings and rare words from public packages into a further corpus directory.

The corpus is of software documentation for the most part and lacks the words of drawing, music, chat and mail, and of
things in general. This reads them out of packages as Debian, PyPI and npm have them (README.md says how to get
those): catalogues, resource files and a bilingual lexicon. Only sources under permissive, attribution or
file-level licences are read.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple

import polib

from batchtrans import protect
from data import key, read_corpus

Pairs = Iterator[tuple[str, str]]

LONGEST = 300  # characters of a pair's English; longer text is documentation, of which the corpus has enough
_ACCESS_KEY = re.compile(r"[~_&](?=\w)")
_ICU = re.compile(r"\{\s*\w+\s*,")  # plural and select forms of ICU messages
_FUNCTIONS = "for.mo"  # LibreOffice's names of spreadsheet functions: codes
_BRANDS = {"brand-short-name": "Firefox", "brand-shorter-name": "Firefox", "brand-product-name": "Firefox",
           "brand-full-name": "Mozilla Firefox", "vendor-short-name": "Mozilla"}  # fmt: skip
_PARTS_OF_SPEECH = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
_WORD = re.compile(r"[^\W\d_]+")
_SINGLE_WORD = re.compile(r"[a-z]{3,}")
_KNOWN = 2  # times that the corpus must have each word of several
_ALIKE = 0.6  # how alike two words must be for that to mean anything; difflib's ratio
_KNOWN_OFTEN = 40  # an English word that the corpus has so often has its sense from there


def libreoffice(root: Path) -> Pairs:
    for path in sorted(root.glob("usr/lib/libreoffice/program/resource/es/LC_MESSAGES/*.mo")):
        if path.name != _FUNCTIONS:
            for entry in polib.mofile(str(path)):
                yield entry.msgid, entry.msgstr


def mozilla(root: Path) -> Pairs:
    """What Firefox and Thunderbird show: Fluent messages and .properties of one name in both languages."""
    for program in ("firefox-esr", "thunderbird"):
        folder = root / "usr/lib" / program
        english = _members(sorted(folder.glob("**/omni.ja")), "en-US")
        spanish = _members(sorted(folder.glob("**/langpack-es-ES*.xpi")), "es-ES")
        for name in sorted(english.keys() & spanish.keys()):
            read = _fluent if name.endswith(".ftl") else _properties
            yield from _joined(read(english[name]), read(spanish[name]))


def _members(archives: Iterable[Path], language: str) -> dict[str, str]:
    """The resource files of an application's archives, by their path below the folder of the language."""
    found = {}
    for archive in archives:
        with zipfile.ZipFile(archive) as members:
            for name in members.namelist():
                if f"/{language}/" in name and name.endswith((".ftl", ".properties")):
                    found[name.rsplit(f"/{language}/", 1)[1]] = members.read(name).decode("utf-8")
    return found


def _fluent(text: str) -> dict[str, str]:
    from fluent.syntax import FluentParser, ast

    found = {}
    for message in FluentParser(with_spans=False).parse(text).body:
        if isinstance(message, ast.Message):
            values = {"": message.value, **{attribute.id.name: attribute.value for attribute in message.attributes}}
            for name, pattern in values.items():
                plain = _plain(pattern) if pattern and not name.endswith("key") else None
                if plain:
                    found[f"{message.id.name}.{name}"] = plain
    return found


def _plain(pattern: Any) -> str | None:
    """A Fluent pattern's text with brand names in it; None where it has anything else to put in."""
    from fluent.syntax import ast

    pieces = []
    for element in pattern.elements:
        if isinstance(element, ast.TextElement):
            pieces.append(element.value)
        elif isinstance(element.expression, ast.TermReference) and element.expression.id.name in _BRANDS:
            pieces.append(_BRANDS[element.expression.id.name])
        else:
            return None
    return "".join(pieces)


def _properties(text: str) -> dict[str, str]:
    lines = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, value in lines if "\\" not in value and "key" not in name}


def home_assistant(root: Path) -> Pairs:
    with zipfile.ZipFile(next(root.glob("home_assistant_frontend-*.whl"))) as wheel:
        names = [name for name in wheel.namelist() if re.search(r"/translations/(?:.*/)?en-[0-9a-f]+\.json$", name)]
        for name in sorted(names):
            folder = name.rsplit("/", 1)[0]
            other = next(each for each in wheel.namelist() if re.fullmatch(rf"{folder}/es-[0-9a-f]+\.json", each))
            yield from _joined(_flat(json.loads(wheel.read(name))), _flat(json.loads(wheel.read(other))))
    with zipfile.ZipFile(next(root.glob("homeassistant-*.whl"))) as wheel:
        for name in sorted(wheel.namelist()):
            if name.endswith("/translations/es.json"):
                english = wheel.read(name.replace("/es.json", "/en.json"))
                yield from _joined(_flat(json.loads(english)), _flat(json.loads(wheel.read(name))))


def kolibri(root: Path) -> Pairs:
    with zipfile.ZipFile(next(root.glob("kolibri-*.whl"))) as wheel:
        for name in sorted(wheel.namelist()):
            if "/locale/es_ES/" in name and name.endswith(".json"):
                english = wheel.read(name.replace("/es_ES/", "/en/"))
                yield from _joined(json.loads(english), json.loads(wheel.read(name)))


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    found = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{name}."))
        elif isinstance(value, str):
            found[prefix + name] = value
    return found


def _joined(english: dict[str, str], spanish: dict[str, str]) -> Pairs:
    return ((text, spanish[name]) for name, text in english.items() if name in spanish)


def superset(root: Path) -> Pairs:
    with zipfile.ZipFile(next(root.glob("apache_superset-*.whl"))) as wheel:
        text = wheel.read("superset/translations/es/LC_MESSAGES/messages.po").decode("utf-8")
    for entry in polib.pofile(text):
        if entry.translated() and not entry.msgid_plural:
            yield entry.msgid, entry.msgstr


def emoji(root: Path) -> Pairs:
    """The names of emoji and symbols: everyday things."""
    names = []
    for language in ("en", "es"):
        path = root / "cldr-annotations-full" / "annotations" / language / "annotations.json"
        entries = json.loads(path.read_text(encoding="utf-8"))["annotations"]["annotations"]
        names.append({char: entry["tts"][0] for char, entry in entries.items() if "tts" in entry})
    return _joined(*names)


def lexicon(root: Path, english: Counter[str], spanish: Counter[str]) -> Pairs:
    """English words that the corpus hardly has, in the first sense that WordNet gives them, with the word that the
    Multilingual Central Repository has for that sense: of several the most alike, since technical words are, else the
    one with the fewest senses. Names of several words that the corpus does not know (Latin ones of plants and animals
    for the most part) are left out."""
    by_sense = defaultdict(list)
    for line in (root / "wn-data-spa.tab").read_text(encoding="utf-8").splitlines():
        if "\tlemma\t" in line:
            sense, _, lemma = line.split("\t")
            parts = lemma.split()
            if lemma.islower() and (len(parts) == 1 or all(spanish[part] >= _KNOWN for part in parts)):
                by_sense[sense].append(lemma)
    senses = Counter(lemma for lemmas in by_sense.values() for lemma in lemmas)
    best: dict[str, tuple[int, str]] = {}
    for part, letter in _PARTS_OF_SPEECH.items():
        for word, tagged, sense in _first_senses(root / "usr/share/wordnet", part):
            lemmas = by_sense[f"{sense}-{letter}"]
            if lemmas and english[word] < _KNOWN_OFTEN and tagged > best.get(word, (-1, ""))[0]:
                alike = {lemma: SequenceMatcher(None, word, lemma).ratio() for lemma in lemmas}
                lemma = max(lemmas, key=lambda lemma: (max(alike[lemma], _ALIKE), -senses[lemma], spanish[lemma]))
                best[word] = tagged, lemma
    return ((word, lemma) for word, (_, lemma) in best.items())


def _first_senses(folder: Path, part: str) -> Iterator[tuple[str, int, str]]:
    """The single words of a part of speech that are no names, with how many of their senses were met in text and the
    offset of the first. The index is in small letters; how a word is written stands in the data file."""
    written = set()
    for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            fields = line.split(" ")
            written.update(fields[4 : 4 + 2 * int(fields[3], 16) : 2])
    for line in (folder / f"index.{part}").read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            word, _, _, pointers, *rest = line.split()
            if word in written and _SINGLE_WORD.fullmatch(word):
                yield word, int(rest[int(pointers) + 1]), rest[int(pointers) + 2]


class Source(NamedTuple):
    """Where pairs come from: what ``SOURCES.tsv`` says, and who reads them."""

    package: str
    version: str
    licence: str
    read: Callable[[Path], Pairs]


SOURCES = {
    "libreoffice-ui": Source("Debian libreoffice-l10n-es", "4:7.4.7-1+deb12u14", "MPL-2.0", libreoffice),
    "mozilla-ui": Source(
        "Debian firefox-esr, thunderbird and their l10n-es-es", "153.8.0esr-1~deb12u1", "MPL-2.0", mozilla
    ),
    "home-assistant": Source(
        "PyPI home-assistant-frontend, homeassistant", "20250109.2, 2024.3.3", "Apache-2.0", home_assistant
    ),
    "superset": Source("PyPI apache-superset", "6.1.0", "Apache-2.0", superset),
    "kolibri": Source("PyPI kolibri", "0.19.5", "MIT", kolibri),
    "cldr-emoji": Source("npm cldr-annotations-full", "48.2.0", "Unicode-3.0", emoji),
}
LEXICON = (
    "Debian wordnet-base; omwn/omw-data",
    "1:3.0-37; 291d2c211b767ff10c17a7eea22d521577001ff6",
    "WordNet 3.0 licence; CC-BY-3.0",
)


def usable(english: str, spanish: str) -> bool:
    """Whether a pair teaches anything: translated, short, no forms, the same placeholders on both sides."""
    if not english.strip() or len(english) > LONGEST or key(english) == key(spanish) or _ICU.search(english):
        return False
    marks = (sorted(side[span.start : span.end] for span in protect.find(side)) for side in (english, spanish))
    return next(marks) == next(marks)


def without_key(english: str, spanish: str) -> tuple[str, str]:
    """The pair without the sign of its access key, where each side has one."""
    if len(_ACCESS_KEY.findall(english)) == len(_ACCESS_KEY.findall(spanish)) == 1:
        return _ACCESS_KEY.sub("", english), _ACCESS_KEY.sub("", spanish)
    return english, spanish


def count_words(texts: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_WORD.findall(text.lower()))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="directory with the unpacked packages and the wheels")
    parser.add_argument("corpus", type=Path, help="corpus directory, whose words are known")
    parser.add_argument("-o", "--output", type=Path, required=True, help="corpus directory to write")
    args = parser.parse_args()

    found: dict[tuple[str, str], str] = {}
    for name, source in SOURCES.items():
        for english, spanish in source.read(args.root):
            pair = without_key(english, spanish)
            if usable(*pair):
                found.setdefault(pair, name)
    known = [*found, *(row[:2] for row in read_corpus(args.corpus))]
    english_words, spanish_words = (count_words(pair[side] for pair in known) for side in (0, 1))
    for pair in lexicon(args.root, english_words, spanish_words):
        found.setdefault(pair, "wordnet-mcr")

    args.output.mkdir(parents=True, exist_ok=True)
    with lzma.open(args.output / "gathered.tsv.xz", "wt", encoding="utf-8", newline="\n") as file:
        for pair, name in found.items():
            row = (side.replace("\t", "\\t").replace("\n", "\\n") for side in pair)
            file.write("\t".join((*row, name)) + "\n")
    counts = Counter(found.values())
    with (args.output / "SOURCES.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("source", "repo", "commit", "licence", "pairs"))
        for name, source in SOURCES.items():
            table.writerow((name, *source[:3], counts[name]))
        table.writerow(("wordnet-mcr", *LEXICON, counts["wordnet-mcr"]))
    print(json.dumps(counts, indent=1))


if __name__ == "__main__":
    main()
