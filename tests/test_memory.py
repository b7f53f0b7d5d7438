from __future__ import annotations

from pathlib import Path

import pytest

from batchtrans import FormatError, UsageError
from batchtrans.memory import Known, Memory, load_memory

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<tmx version="1.4"><header/><body>
<tu><tuv xml:lang="en-US"><seg>Open <bpt i="1">&lt;b&gt;</bpt>now</seg></tuv>
<tuv xml:lang="ES"><seg>Abrir ya</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Close</seg></tuv><tuv xml:lang="fr"><seg>Fermer</seg></tuv></tu>
</body></tmx>
"""
PO = """msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\nLanguage: es\\nPlural-Forms: nplurals=2; plural=(n != 1);\\n"

msgctxt "menu"
msgid "Open"
msgstr "Abrir"

#, fuzzy
msgid "Close"
msgstr "Cerca"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d archivo"
msgstr[1] "%d archivos"
"""


def pairs(path: Path) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(unit.context, unit.sources, unit.targets) for unit in load_memory(path, "en", "es")]


def test_the_first_of_two_translations_stays() -> None:
    memory = Memory()
    memory.add("", ("Open",), Known(("Abrir",), "memory"))
    memory.add("", ("Open",), Known(("Abierto",), "memory"))
    assert memory.find("", ("Open",)) == Known(("Abrir",), "memory")
    assert memory.find("menu", ("Open",)) is None
    assert memory.find("", ("Open", "Opens")) is None


def test_a_tmx_gives_its_pair_of_languages(tmp_path: Path) -> None:
    (tmp_path / "m.tmx").write_text(TMX)
    assert pairs(tmp_path / "m.tmx") == [("", ("Open <b>now",), ("Abrir ya",))]


def test_a_catalogue_gives_contexts_and_plurals_but_no_fuzzy_entries(tmp_path: Path) -> None:
    (tmp_path / "m.po").write_text(PO)
    assert pairs(tmp_path / "m.po") == [
        ("menu", ("Open",), ("Abrir",)),
        ("", ("%d file", "%d files"), ("%d archivo", "%d archivos")),
    ]


@pytest.mark.parametrize(
    "text",
    ["source,target\nOpen,Abrir\n", "id,es,en\n1,Abrir,Open\n", "Open,Abrir\n", "\ufeffsource,target\r\nOpen,Abrir\n"],
)
def test_a_table_gives_named_columns_or_its_first_two(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_text(text, newline="")
    assert pairs(tmp_path / "m.csv") == [("", ("Open",), ("Abrir",))]


@pytest.mark.parametrize(
    ("name", "text", "error", "says"),
    [
        ("m.csv", "one\ntwo\n", UsageError, "one column"),
        ("m.docx", "x", UsageError, "no file of translations"),
        ("m.tmx", "<tmx><tu>", FormatError, "well-formed"),
        ("m.jsonl", "x\n", FormatError, "m.jsonl:1: not JSON"),
    ],
)
def test_a_bad_memory_is_refused(tmp_path: Path, name: str, text: str, error: type[Exception], says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=says):
        pairs(tmp_path / name)


def test_a_memory_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no memory file"):
        pairs(tmp_path / "m.csv")
