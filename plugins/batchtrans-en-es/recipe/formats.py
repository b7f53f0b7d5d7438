"""Readers of the formats in which programs keep what they show, and what joins a file to its translation.

A reader of catalogues yields pairs. Most other formats keep each language in a file of its own, whose path differs in
the language's name only; ``twins`` reads both and joins their entries by key.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polib

Pairs = Iterator[tuple[str, str]]
Entries = dict[str, str]  # what is shown, by key

_PAK_VERSION, _PAK_UTF8 = 5, 1
_GZIP = b"\x1f\x8b"  # a page, not a string
_PROPERTY = re.compile(r"\s*(?![#!])((?:[^\\=:\s]|\\.)+)\s*[=:]\s*(.*)")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}
_PHP_ENTRY = re.compile(r"\s*'([^']+)'\s*=>\s*(?:(\[)|'((?:[^'\\]|\\.)*)',?)\s*")
_XLIFF = "{urn:oasis:names:tc:xliff:document:1.2}"
_LOCALIZE = re.compile(r"\blocalize2?\((\d+), (\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')")
_NLS_LINE = re.compile(r"^\t(undefined|\"(?:[^\"\\]|\\.)*\"),?$", re.MULTILINE)


def joined(english: Entries, spanish: Entries) -> Pairs:
    return ((text, spanish[name]) for name, text in english.items() if name in spanish)


def flat(tree: Any, prefix: str = "") -> Entries:
    """The strings of nested objects and lists, by the path to each."""
    found = {}
    members = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for name, value in members:
        if isinstance(value, (dict, list)):
            found.update(flat(value, f"{prefix}{name}."))
        elif isinstance(value, str):
            found[f"{prefix}{name}"] = value
    return found


def catalogues(root: Path, folder: str) -> Pairs:
    """Gettext: each ``.po`` in a folder ``es`` or ``es_ES``, and each ``.mo`` that has none beside it."""
    for path in sorted(path for name in ("es", "es_ES") for path in root.glob(f"{folder}/**/{name}/**/*.[pm]o")):
        if path.suffix == ".po" or not path.with_suffix(".po").exists():
            yield from catalogue(path)


def catalogue(path: Path) -> Pairs:
    """The translated entries of one ``.po`` or ``.mo`` that have no plural forms."""
    if path.suffix == ".mo":
        entries = polib.mofile(str(path))
    else:
        entries = [entry for entry in polib.pofile(str(path)) if entry.translated()]
    return ((entry.msgid, entry.msgstr) for entry in entries if not entry.msgid_plural)


def twins(root: Path, pattern: str, spanish: str, english: str, read: Callable[[str], Entries]) -> Pairs:
    """The files of a pattern that have ``spanish`` in their path and a file with ``english`` there instead."""
    for path in sorted(root.glob(pattern)):
        other = root / str(path.relative_to(root)).replace(spanish, english)
        if other != path and other.exists():
            yield from joined(*(read(_decoded(each.read_bytes())) for each in (other, path)))


def _decoded(data: bytes) -> str:
    """Each line is UTF-8 or, as in older ``.properties``, Latin-1; some files have lines of both."""
    lines = []
    for line in data.replace(b"\r\n", b"\n").split(b"\n"):
        try:
            lines.append(line.decode("utf-8-sig"))
        except UnicodeDecodeError:
            lines.append(line.decode("latin-1"))
    return "\n".join(lines)


def _unescaped(text: str) -> str:
    """A text without the backslashes that Java, Android and JavaScript write."""
    return _ESCAPE.sub(lambda code: chr(int(code[1], 16)) if code[1] else _ESCAPED.get(code[2], code[2]), text)


def json_strings(text: str) -> Entries:
    return flat(json.loads(text))


def java_properties(text: str) -> Entries:
    """Java's format: ``#`` and ``!`` comments, continued lines, ``\\uXXXX`` escapes; ``''`` is how messages write one
    quote."""
    found = {}
    for line in re.sub(r"\\\n[ \t]*", "", text).split("\n"):
        match = _PROPERTY.match(line)
        if match:
            found[match[1]] = _unescaped(match[2]).replace("''", "'")
    return found


def android_strings(text: str) -> Entries:
    """The plain ``<string>`` entries of an Android resource file, whose line breaks are written ``\\n``."""
    found = {}
    for entry in ElementTree.fromstring(text).iter("string"):
        if entry.text and not len(entry):
            line = " ".join(entry.text.split()).removeprefix('"').removesuffix('"')
            found[entry.attrib["name"]] = _unescaped(line)
    return found


def resx_strings(text: str) -> Entries:
    """The entries of a .NET resource file."""
    entries = ElementTree.fromstring(text).iter("data")
    return {entry.attrib["name"]: entry.findtext("value") or "" for entry in entries}


def php_strings(text: str) -> Entries:
    """The strings of a Laravel language file, an array of arrays with an entry on each line."""
    found, path = {}, []
    for line in text.split("\n"):
        entry = _PHP_ENTRY.fullmatch(line)
        if entry and entry[2]:
            path.append(entry[1])
        elif entry:
            found[".".join((*path, entry[1]))] = re.sub(r"\\(['\\])", r"\1", entry[3])
        elif line.strip().startswith("]") and path:
            path.pop()
    return found


def ini_strings(text: str) -> Entries:
    """The entries of an INI file by section and name."""
    found, section = {}, ""
    for line in text.split("\n"):
        if line.startswith("["):
            section = line
        elif "=" in line and not line.startswith((";", "#")):
            name, value = line.split("=", 1)
            found[section + name.strip()] = value.strip().strip("`")
    return found


def xliff(root: Path, pattern: str) -> Pairs:
    """The sources and targets of XLIFF 1.2 files."""
    for path in sorted(root.glob(pattern)):
        for unit in ElementTree.parse(path).iter(f"{_XLIFF}trans-unit"):
            yield unit.findtext(f"{_XLIFF}source") or "", unit.findtext(f"{_XLIFF}target") or ""


def data_packs(root: Path, folder: str) -> Pairs:
    """Chromium's packed strings, which have the same numbers in each language."""
    return joined(*(_pak((root / folder / name).read_bytes()) for name in ("en-US.pak", "es.pak")))


def _pak(data: bytes) -> Entries:
    """A data pack of version 5: https://chromium.googlesource.com/chromium/src/+/HEAD/ui/base/resource/data_pack.cc"""
    version, encoding, count, _ = struct.unpack_from("<IBxxxHH", data)
    if (version, encoding) != (_PAK_VERSION, _PAK_UTF8):
        raise ValueError(f"a data pack of version {version}, encoding {encoding}; known are 5 and 1")
    index = [struct.unpack_from("<HI", data, 12 + 6 * number) for number in range(count + 1)]
    pieces = {key: data[start:end] for (key, start), (_, end) in pairwise(index)}
    return {str(key): piece.decode("utf-8") for key, piece in pieces.items() if not piece.startswith(_GZIP)}


def vscode(root: Path, code: str, pack: str) -> Pairs:
    """Visual Studio Code: calls that name their English text and its number in the list of the language pack, and
    extensions, whose keys are the English text. ``&&`` stands before an access key, as elsewhere ``&``."""
    text = (root / pack / "translations/main.i18n.json.js").read_text(encoding="utf-8")
    spanish = [None if item == "undefined" else json.loads(item) for item in _NLS_LINE.findall(text)]
    for path in sorted((root / code).glob("**/*.js")):
        for number, literal in _LOCALIZE.findall(path.read_text(encoding="utf-8")):
            if int(number) < len(spanish) and (shown := spanish[int(number)]):
                yield _unescaped(literal[1:-1]).replace("&&", "&"), shown.replace("&&", "&")
    for path in sorted((root / pack).glob("translations/extensions/*.json")):
        for name, shown in json.loads(path.read_text(encoding="utf-8"))["contents"].get("bundle", {}).items():
            if name.count("/") == shown.count("/"):  # else a comment for translators follows, behind a slash
                yield name, shown
