"""Clean the corpus into training pairs: one line a pair, noise out, dev sets and samples out, each with a weight."""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import lzma
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from batchtrans.syntaxes.prose import emphases

#: How often a source is seen in an epoch, by the start of its name; 2 where nothing fits: interface strings, public
#: information, prose. The documentation of a few products is two thirds of the corpus and must not drown the rest, and
#: machine translation only fills gaps; the words of gather.py stand nowhere else and must be met several times, but the
#: long messages of servers and tools, which have few labels.
WEIGHTS = {
    "ms-dotnet-ht": 0.6, "ms-dyn365ops-ht": 0.6, "ms-aspnetcore-ht": 0.6, "ms-dyn365smb-ht": 0.6,
    "ms-alchemy-mt": 0.3, "ms-aspnetcore-mt": 0.3, "ms-dotnet-mt": 0.3, "ms-dotnet-bulk": 0.3,
    "ms-officedev-mt": 0.3, "ms-skype-mt": 0.3, "ms-win32-mt": 0.3,
    "ms-": 1.0, "python-docs-es": 1.0, "php-manual-es": 1.0, "react-": 1.0, "tldr-pages": 1.0,
    "osm-id-tagging": 1.0, "cldr-names": 1.0, "tatoeba-pivot": 1.0,
    "libreoffice-ui": 4.0, "mozilla-ui": 3.0, "cldr-emoji": 4.0, "wordnet-mcr": 4.0, "chromium": 4.0,
    "home-assistant": 3.0, "superset": 3.0, "kolibri": 3.0, "vscode": 3.0, "indico": 3.0, "openmrs": 3.0,
    "bagisto": 3.0, "horizon": 3.0, "postgresql": 1.0, "jmeter": 1.0,
}  # fmt: skip
LONGEST = 700  # characters; a longer segment is split into sentences before it reaches a model

_LINE_BREAK = re.compile(r"(?<![\\'\"`])\\n")  # the corpus writes a line break as \n; quoted ones are code
_MOJIBAKE = re.compile("Ã[\x80-\xbf©³±¡­¼º]|Â[\xa0-\xbf]|â€|\ufffd")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_CODE = re.compile(r"`+[^`]+`+")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")
_ENGLISH_WORD = re.compile(r"\b(?:the|and|with|this|that|for|from|you|your|are)\b", re.IGNORECASE)
_SPANISH_WORD = re.compile(r"\b(?:el|la|los|las|de|en|un|una|que|y|para|se|con|su|por|es|al)\b", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]+")
_LABEL_WORDS = 8  # a text of more words is no label
_OFTEN, _MOSTLY = 5, 4  # a common word stands in small letters so often within sentences, so often for each capital


def key(text: str) -> str:
    """What two segments have in common when they differ at most in case and blanks."""
    return "".join(text.casefold().split())


def fault(english: str, spanish: str) -> str:
    """Why a pair is noise, or the empty string."""
    if not english or not spanish:
        return "empty side"
    if max(len(english), len(spanish)) > LONGEST:
        return "too long"
    if _MOJIBAKE.search(english) or _MOJIBAKE.search(spanish):
        return "mojibake"
    if _PRIVATE.search(english) or _PRIVATE.search(spanish):
        return "private-use character"
    if not 0.45 <= (len(english) + 10) / (len(spanish) + 10) <= 2.0:
        return "length ratio"
    if len(english.split()) > 5 and key(english) == key(spanish):
        return "untranslated"
    if len(_ENGLISH_WORD.findall(spanish)) > len(_SPANISH_WORD.findall(spanish)):
        return "English on the Spanish side"
    if sorted(_CODE.findall(english)) != sorted(_CODE.findall(spanish)):
        return "code differs"
    if sorted(emphases(english)) != sorted(emphases(spanish)):
        return "markup differs"
    if any(spanish.endswith(mark) and opening not in spanish for opening, mark in ("¿?", "¡!")):
        return "opening mark missing"
    return ""


def read_corpus(directory: Path) -> Iterator[tuple[str, str, str]]:
    """All pairs (English, Spanish, source name), multi-line ones line by line where the counts agree."""
    for path in sorted(directory.glob("*.tsv.xz")):
        with lzma.open(path, "rt", encoding="utf-8", newline="\n") as lines:
            for line in lines:
                english, spanish, source = line.rstrip("\n").replace("\\t", " ").split("\t")
                left, right = _LINE_BREAK.split(english), _LINE_BREAK.split(spanish)
                if len(left) == len(right):
                    for one, other in zip(left, right, strict=True):
                        yield " ".join(one.split()), " ".join(other.split()), source


def segments(path: Path) -> Iterator[str]:
    """The texts of a file that must stay unseen: .tsv (first column), .po, .csv, .srt, .txt."""
    if path.suffix == ".po":
        import polib

        for entry in polib.pofile(str(path)):
            yield entry.msgid
            yield entry.msgid_plural
    elif path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.reader(file):
                yield from row
    elif path.suffix == ".srt":
        for cue in re.split(r"\n\s*\n", path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")):
            yield "\n".join(cue.split("\n")[2:])
    else:
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            yield (line.split("\t")[0] if path.suffix == ".tsv" else line).replace("\\n", "\n")


def excluded_keys(paths: list[Path]) -> set[str]:
    """Keys of all segments of the files, of their lines and of their sentences."""
    found: set[str] = set()
    for path in paths:
        for text in segments(path):
            plain = re.sub(r"</?[a-zA-Z][^>]*>", "", text)
            for variant in (text, plain, plain.replace("\n", " ")):
                for line in variant.split("\n"):
                    found.update(key(piece) for piece in (line, *_SENTENCE_END.split(line)))
                found.add(key(variant))
    return found - {""}


def common_words(texts: Iterable[str]) -> set[str]:
    """Words that stand in small letters within sentences: no names."""
    small: Counter[str] = Counter()
    capital: Counter[str] = Counter()
    for text in texts:
        words = _LETTERS.findall(text)
        if len(words) >= _LABEL_WORDS and text.endswith("."):
            small.update(word for word in words[1:] if word.islower())
            capital.update(word.lower() for word in words[1:] if word.istitle())
    return {word for word, times in small.items() if times >= _OFTEN and times > _MOSTLY * capital[word]}


def sentence_case(english: str, spanish: str, common: set[str]) -> str:
    """The Spanish of a label whose English stands In Title Case, with its common words in small letters.

    Some translators keep the English capitals, and a model learns them as if they were Spanish. What stands on both
    sides, behind a mark or in code keeps its capitals.
    """
    words = [word for word in english.split() if len(word) > 3]
    is_label = len(english.split()) <= _LABEL_WORDS and not english.endswith((".", "?", "!")) and "`" not in english
    if not is_label or not all(word[0].isupper() or not word[0].isalpha() for word in words):
        return spanish
    pieces = spanish.split(" ")
    for index in range(1, len(pieces)):
        piece, before = pieces[index], pieces[index - 1]
        word = piece.rstrip(",:;)")
        if word.istitle() and word.lower() in common and word not in english and before[-1:].isalpha():
            pieces[index] = piece.lower()
    return " ".join(pieces)


def weight(source: str) -> float:
    """How often pairs of a source are seen in an epoch."""
    return next((value for start, value in WEIGHTS.items() if source.startswith(start)), 2.0)


def clean(corpora: list[Path], unseen: set[str]) -> tuple[dict[tuple[str, str], str], Counter[str]]:
    """The kept pairs with their source, and how many were dropped for which reason."""
    licensed = set()
    for corpus in corpora:
        with (corpus / "SOURCES.tsv").open(encoding="utf-8", newline="") as file:
            licensed.update(row["source"] for row in csv.DictReader(file, delimiter="\t"))
    kept: dict[tuple[str, str], str] = {}
    dropped: Counter[str] = Counter()
    for english, spanish, source in chain.from_iterable(map(read_corpus, corpora)):
        if source not in licensed:
            reason = "no licence recorded"
        elif key(english) in unseen:
            reason = "dev set or sample"
        elif (english, spanish) in kept:
            reason = "duplicate"
        else:
            reason = fault(english, spanish)
        if reason:
            dropped[reason] += 1
        else:
            kept[english, spanish] = source
    common = common_words(spanish for _, spanish in kept)
    cased = {(english, sentence_case(english, spanish, common)): name for (english, spanish), name in kept.items()}
    return cased, dropped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path, nargs="+", help="directories with *.tsv.xz and SOURCES.tsv")
    parser.add_argument("-o", "--output", type=Path, required=True, help="pairs file to write")
    parser.add_argument("--exclude", type=Path, nargs="*", default=[], help="dev sets and samples to keep unseen")
    args = parser.parse_args()

    kept, dropped = clean(args.corpora, excluded_keys(args.exclude))
    rows = (f"{english}\t{spanish}\t{source}\n" for (english, spanish), source in kept.items())
    text = "".join(rows).encode("utf-8")
    args.output.write_bytes(text)
    summary = {
        "pairs": len(kept),
        "sha256": hashlib.sha256(text).hexdigest(),
        "dropped": dict(dropped.most_common()),
        "sources": dict(Counter(kept.values()).most_common()),
        "excluded_files": [path.name for path in args.exclude],
    }
    args.output.with_suffix(".json").write_text(json.dumps(summary, indent=1) + "\n")
    print(json.dumps({name: summary[name] for name in ("pairs", "dropped")}, indent=1))


if __name__ == "__main__":
    main()
