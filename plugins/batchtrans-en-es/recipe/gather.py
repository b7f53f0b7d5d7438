"""Gather interface strings and rare words from public packages into a further corpus directory.

The corpus is of software documentation for the most part and lacks the words of drawing, music, chat and mail, and of
things in general. This reads them out of packages as Debian, PyPI, npm and GitHub have them (packages.sh gets those):
catalogues, resource files and a bilingual lexicon. Only sources under permissive, attribution or file-level licences
are read.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from pathlib import Path

from formats import Pairs
from sources import SOURCES

from batchtrans import protect
from data import key, read_corpus

LONGEST = 300  # characters of a pair's English; longer text is documentation, of which the corpus has enough
_ACCESS_KEY = re.compile(r"~(?=\w)|(?:(?<![A-Z])&(?=\w)|&(?=[a-z]))(?!\w+;)|(?<![_\"'])_(?=[^\W_])")
#: One that stands on both sides, or is all of a text in small letters, has no access key.
_NAME = re.compile(r"[^\W_]+[_&][^\W_]+")
_ICU = re.compile(r"\{\s*\w+\s*,")  # plural and select forms of ICU messages
_TAG = re.compile(r"<[^>]*>")
_INDENTED = re.compile(r"\s*\n[ \t]+\S")  # how a text within a template begins
_PARTS_OF_SPEECH = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
_WORD = re.compile(r"[^\W\d_]+")
_SINGLE_WORD = re.compile(r"[a-z]{3,}")
_KNOWN = 2  # times that the corpus must have each word of several
_ALIKE = 0.6  # how alike two words must be for that to mean anything; difflib's ratio
_KNOWN_OFTEN = 40  # an English word that the corpus has so often has its sense from there


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


LEXICON = (
    "Debian wordnet-base; omwn/omw-data",
    "1:3.0-37; 291d2c211b767ff10c17a7eea22d521577001ff6",
    "WordNet 3.0 licence; CC-BY-3.0",
)


def usable(english: str, spanish: str) -> bool:
    """Whether a pair teaches anything: translated, short, no forms, words beside tags and the same placeholders on both
    sides."""
    if len(english) > LONGEST or key(english) == key(spanish) or _ICU.search(english):
        return False
    if not all(_WORD.search(_TAG.sub("", side)) for side in (english, spanish)):
        return False
    marks = (sorted(side[span.start : span.end] for span in protect.find(side)) for side in (english, spanish))
    return next(marks) == next(marks)


def without_key(english: str, spanish: str) -> tuple[str, str]:
    """The pair without the sign of its access key, where each side has one. ``&`` between capitals (``R&D``) or before
    an entity's name is none, nor is ``_`` in a name."""
    names = [set(_NAME.findall(side)) for side in (english, spanish)]
    if names[0] & names[1] or (english.islower() and _NAME.fullmatch(english)):
        return english, spanish
    if len(_ACCESS_KEY.findall(english)) == len(_ACCESS_KEY.findall(spanish)) == 1:
        return _ACCESS_KEY.sub("", english), _ACCESS_KEY.sub("", spanish)
    return english, spanish


def on_one_line(english: str, spanish: str) -> tuple[str, str]:
    """The pair without the line breaks of a template, which stand anywhere; others are kept."""
    if _INDENTED.match(english):
        return " ".join(english.split()), " ".join(spanish.split())
    return english, spanish


def count_words(texts: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_WORD.findall(text.lower()))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="directory that packages.sh has filled")
    parser.add_argument("corpus", type=Path, help="corpus directory, whose words are known")
    parser.add_argument("-o", "--output", type=Path, required=True, help="corpus directory to write")
    args = parser.parse_args()

    found: dict[tuple[str, str], str] = {}
    for name, source in SOURCES.items():
        for english, spanish in source.read(args.root):
            pair = on_one_line(*without_key(english, spanish))
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
