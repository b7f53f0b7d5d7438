"""Readers of translations: what each kind of file gives, what is skipped and counted, what is refused."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans import BatchtransError, FormatError, UsageError
from batchtrans.pairs import ENDINGS, Unit, find_columns, is_readable, read_units, row_texts
from conftest import DATA, Cli

XLIFF_1 = """<?xml version="1.0" encoding="UTF-8"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
<file original="menu.ui" source-language="en-GB" target-language="es" datatype="plaintext">
<header><note>about the file</note></header><body><group id="g">
<trans-unit id="1"><source>Press <g id="1">Start</g><x id="2"/> now</source>
  <target state="translated">Pulse <g id="1">Inicio</g><x id="2"/> ahora</target>
  <alt-trans><source>Press</source><target>Aprieta</target></alt-trans></trans-unit>
<trans-unit id="2"><source>Close</source><target state="needs-review-translation">Cerca</target></trans-unit>
<trans-unit id="3"><source>Open</source><target state="new">Open</target></trans-unit>
<trans-unit id="4"><source>Save</source></trans-unit>
<trans-unit id="5"><source>Quit &amp; save</source><target>Salir &amp; guardar</target></trans-unit>
</group></body></file>
<file original="help.html" source-language="en" target-language="es"><body>
<trans-unit id="1"><source>Help</source><target state="final">Ayuda</target></trans-unit>
</body></file></xliff>
"""
XLIFF_2 = """<?xml version="1.0"?>
<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="es-MX">
<file id="f1" original="app.js"><unit id="u1"><originalData><data id="d1">&lt;br/></data></originalData>
<segment id="s1" state="reviewed"><source>One <pc id="1">bold</pc> <ph id="2" dataRef="d1"/>word</source>
<target>Una <pc id="1">negrita</pc> <ph id="2" dataRef="d1"/>palabra</target></segment>
<ignorable><source> </source></ignorable>
<segment id="s2" state="initial"><source>Two</source><target>Two</target></segment>
<segment id="s3"><source>Three</source></segment></unit></file></xliff>
"""
TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en"/><body>
<tu><prop type="x-document">menu.html</prop><note>seen</note>
<tuv xml:lang="en-US"><seg>Open <bpt i="1">&lt;b&gt;</bpt><hi>now</hi><ept i="1">&lt;/b&gt;</ept></seg></tuv>
<tuv xml:lang="ES"><seg>Abrir <ph>&lt;br/&gt;</ph>ya</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Close</seg></tuv><tuv xml:lang="fr"><seg>Fermer</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Car</seg></tuv><tuv xml:lang="es-ES"><seg>Coche</seg></tuv>
<tuv xml:lang="es-MX"><seg>Carro</seg></tuv></tu>
</body></tmx>
"""
PO = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Language: es\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

#: src/menu.c:12 src/other.c:3
#, c-format
msgctxt "menu"
msgid "Open %s"
msgstr "Abrir %s"

#: gone.c:1
#~ msgid "Gone"
#~ msgstr "Ido"

#. A remark
#: \u2068my file.c\u2069:7
msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d archivo"
msgstr[1] "%d archivos"

#: src/menu.c:20
#, fuzzy
msgid "Close"
msgstr "Cerca"

msgid "Save"
msgstr ""

#~ msgid "Old"
#~ msgstr "Viejo"
"""


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path, source: str = "en", target: str = "es", **more: object) -> tuple[list[Unit], dict[str, int]]:
    skipped: Counter[str] = Counter()
    return list(read_units(path, source, target, skipped=skipped, **more)), dict(skipped)  # type: ignore[arg-type]


def texts(units: list[Unit]) -> list[tuple[str, str]]:
    return [(unit.sources[0], unit.targets[0]) for unit in units]


# What each kind gives


def test_a_catalogue_gives_references_contexts_flags_and_plurals(tmp_path: Path) -> None:
    path = write(tmp_path / "m.po", PO)
    units, skipped = read(path)
    flags = frozenset({"c-format"})
    assert units == [
        Unit("menu", ("Open %s",), ("Abrir %s",), f"{path}#src/menu.c", flags, line=10),
        Unit("", ("%d file", "%d files"), ("%d archivo", "%d archivos"), f"{path}#my file.c", line=19),
    ]
    assert skipped == {"fuzzy": 1, "untranslated": 1}


def test_references_are_found_in_every_charset(tmp_path: Path) -> None:
    wide = PO.replace("UTF-8", "UTF-16").encode("utf-16")
    units, _ = read(write(tmp_path / "m.po", wide))
    assert [unit.document.partition("#")[2] for unit in units] == ["src/menu.c", "my file.c"]


def test_a_real_catalogue_comes_out_as_polib_reads_it() -> None:
    import polib

    path = DATA / "po" / "glossary.po"
    expected = [entry for entry in polib.pofile(str(path)) if entry.translated() and not entry.obsolete]
    units, skipped = read(path)
    assert texts(units) == [(entry.msgid, entry.msgstr) for entry in expected]
    assert [unit.document for unit in units] == [f"{path}#{entry.occurrences[0][0]}" for entry in expected]
    assert [unit.line for unit in units][:2] == [26, 30] and not skipped


def test_the_pairs_that_the_tests_train_on_are_all_read() -> None:
    units, skipped = read(DATA / "pairs" / "login-gov.po")
    assert len(units) == 219 and len({unit.document for unit in units}) == 12 and not skipped
    units, skipped = read(DATA / "pairs" / "tatoeba.csv")
    assert len(units) == 300 and not skipped


def test_xliff_1_gives_what_is_translated_and_no_proposals(tmp_path: Path) -> None:
    path = write(tmp_path / "m.xlf", XLIFF_1)
    units, skipped = read(path)
    assert texts(units) == [
        ("Press Start now", "Pulse Inicio ahora"),
        ("Quit & save", "Salir & guardar"),
        ("Help", "Ayuda"),
    ]
    assert [unit.document for unit in units] == [f"{path}#menu.ui", f"{path}#menu.ui", f"{path}#help.html"]
    assert skipped == {"fuzzy": 1, "untranslated": 2}


def test_xliff_2_gives_its_segments(tmp_path: Path) -> None:
    path = write(tmp_path / "m.xliff", XLIFF_2)
    units, skipped = read(path)
    expected = Unit("", ("One bold word",), ("Una negrita palabra",), f"{path}#app.js", line=4, id="u1/s1")
    assert units == [expected]
    assert skipped == {"untranslated": 2}


def test_an_xliff_file_with_several_languages_gives_the_one_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "m.xlf", XLIFF_1.replace('"en-GB" target-language="es"', '"en-GB" target-language="fr"'))
    units, skipped = read(path)
    assert texts(units) == [("Help", "Ayuda")] and skipped == {"in other languages": 5}
    assert len(read(path, force=True)[0]) == 3


def test_tmx_gives_the_nearest_language_and_quoted_markup(tmp_path: Path) -> None:
    path = write(tmp_path / "m.tmx", TMX)
    units, skipped = read(path, target="es_MX")
    assert texts(units) == [("Open <b>now</b>", "Abrir <br/>ya"), ("Car", "Carro")]
    assert [unit.document for unit in units] == [f"{path}#menu.html", str(path)]
    assert skipped == {"untranslated": 1}
    assert texts(read(path)[0])[1] == ("Car", "Coche")


@pytest.mark.parametrize(
    "content",
    [
        "source,target\nOpen,Abrir\n",
        "id,es,en\n1,Abrir,Open\n",
        "EN-us;es_MX\nOpen;Abrir\n",
        "Open,Abrir\n",
        "\ufeffsource,target\r\nOpen,Abrir\r\n",
        "source\ttarget\nOpen\tAbrir",
        'target,source\n"Abrir","Open"\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_gives_named_columns_or_its_first_two(tmp_path: Path, content: str, encoding: str) -> None:
    path = write(tmp_path / "m.csv", content.removeprefix("\ufeff" * (encoding != "utf-8")).encode(encoding))
    assert texts(read(path)[0]) == [("Open", "Abrir")]


@pytest.mark.parametrize(
    ("content", "columns", "expected"),
    [
        ("key,english,spanish\n1,Open,Abrir\n", ("english", "spanish"), [("Open", "Abrir")]),
        ("1,Open,Abrir\n2,Close,Cerrar\n", ("2", "3"), [("Open", "Abrir"), ("Close", "Cerrar")]),
        ("es,en,note\nAbrir,Open,x\n", ("3", "1"), [("x", "Abrir")]),
    ],
)
def test_the_columns_of_a_table_can_be_named(
    tmp_path: Path, content: str, columns: tuple[str, str], expected: list[tuple[str, str]]
) -> None:
    assert texts(read(write(tmp_path / "m.csv", content), columns=columns)[0]) == expected


def test_a_table_may_have_contexts_and_documents_and_gaps(tmp_path: Path) -> None:
    text = (
        'document,context,source,target\na.html,menu,Open,Abrir\n\nb.html,,"Two\nlines","Dos\nlíneas"\n,,Save\n,,x,y\n'
    )
    path = write(tmp_path / "m.csv", text)
    units, skipped = read(path)
    assert units == [
        Unit("menu", ("Open",), ("Abrir",), f"{path}#a.html", line=2),
        Unit("", ("Two\nlines",), ("Dos\nlíneas",), f"{path}#b.html", line=4),
        Unit("", ("x",), ("y",), str(path), line=8),
    ]
    assert skipped == {"untranslated": 1}


def test_quotes_in_a_table_parted_by_tabs_are_text_where_a_cell_goes_on_after_them(tmp_path: Path) -> None:
    path = tmp_path / "talk.tsv"
    path.write_text('"Go," he said.\t"Ve", dijo.\n"Both."\t"Ambos."\n"Open\t"Abierto\n', encoding="utf-8")
    assert [(unit.sources[0], unit.targets[0]) for unit in read_units(path, "en", "es")] == [
        ('"Go," he said.', '"Ve", dijo.'),
        ('"Both."', '"Ambos."'),
        ('"Open', '"Abierto'),
    ]
    path.write_text('"Two\nlines, ""quoted"""\t"Dos\nlíneas"\nOne\tUna\n', encoding="utf-8")
    assert [unit.sources[0] for unit in read_units(path, "en", "es")] == ['Two\nlines, "quoted"', "One"]


def test_a_cell_may_be_longer_than_the_limit_of_the_csv_module(tmp_path: Path) -> None:
    long = "palabra " * 40_000
    assert read(write(tmp_path / "m.csv", f"source,target\nword,{long}\n"))[0][0].targets == (long,)


@pytest.mark.parametrize(
    "row",
    [
        {"source": "Open", "target": "Abrir", "context": "menu", "file": "a.html"},
        {"id": 7, "en": "Open", "es": "Abrir", "msgctxt": "menu", "document": "a.html"},
        {"translation": {"en": "Open", "es": "Abrir"}, "context": "menu", "document": "a.html"},
        {"translation": {"en_US": "Open", "es_MX": "Abrir"}, "context": "menu", "document": "a.html"},
    ],
)
def test_json_lines_give_every_usual_shape(tmp_path: Path, row: dict[str, object]) -> None:
    path = write(tmp_path / "m.jsonl", json.dumps(row) + "\n\n" + json.dumps({**row, "es": None, "target": ""}))
    units, skipped = read(path)
    assert units[0] == Unit("menu", ("Open",), ("Abrir",), f"{path}#a.html", line=1)
    assert len(units) + skipped.get("untranslated", 0) == 2


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(["c-format", "fuzzy"], {"c-format", "fuzzy"}), ([], set()), (None, set()), ("x", set()), ([1], set())],
)
def test_json_lines_keep_flags_and_take_nothing_else_for_them(
    tmp_path: Path, flags: object, expected: set[str]
) -> None:
    row = {"source": "Open %s", "target": "Abrir %s", "flags": flags}
    units, _ = read(write(tmp_path / "m.jsonl", json.dumps(row)))
    assert units[0].flags == expected


def test_json_keys_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", '\ufeff{"a": "Open", "b": "Abrir"}\n')
    assert texts(read(path, columns=("a", "b"))[0]) == [("Open", "Abrir")]


def test_a_log_gives_what_a_run_translated_and_not_what_it_only_passed_through(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "m.po").write_text(PO)
    assert cli("run", "m.po", "--to", "es", "--backend", "pseudo").returncode == 0
    log = tmp_path / "m.es.po.align.jsonl"
    units, skipped = read(log)
    assert {unit.sources for unit in units} == {("Open %s",), ("%d file", "%d files"), ("Save",)}
    assert next(unit for unit in units if unit.context == "menu").flags == {"c-format"}
    assert {unit.document for unit in units} == {str(log)} and skipped == {"fuzzy": 1}
    with pytest.raises(UsageError, match="no translations"):
        read(log, target="fr")


def test_a_memory_takes_xliff_and_json_lines(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "m.xlf", XLIFF_1)
    write(tmp_path / "m.jsonl", '{"source": "Other", "target": "Otro"}\n')
    (tmp_path / "a.txt").write_text("Help\nOther\n")
    files = ["--memory", "m.xlf", "--memory", "m.jsonl"]
    assert cli("run", "a.txt", "--to", "es", "--backend", "pseudo", *files).returncode == 0
    assert (tmp_path / "a.es.txt").read_text() == "Ayuda\nOtro\n"


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_empty_file_is_refused_unless_it_may_be_empty(tmp_path: Path, ending: str) -> None:
    empty = write(tmp_path / f"m{ending}", "")
    with pytest.raises(UsageError, match="no translations in"):
        read(empty)
    assert read(empty, may_be_empty=True) == ([], {})
    assert is_readable(tmp_path / f"M{ending.upper()}") and not is_readable(tmp_path / "m.txt")


# What is refused


@pytest.mark.parametrize(
    ("name", "content", "error", "says"),
    [
        ("m.docx", "x", UsageError, r"\.po, \.pot, \.tmx, \.xlf, \.xliff, \.csv, \.tsv, \.jsonl"),
        ("m.csv", "Some text\nmore\n", UsageError, "one column .'Some text'"),
        ("m.csv", "source,target\nOpen,\n", UsageError, "no translations in .*\n.*1 untranslated"),
        ("m.csv", "en-GB,fr\nOpen,Ouvrir\n", UsageError, "m.csv has no column for es: its first line is 'en-GB', 'fr'"),
        ("m.csv", 'source,target\nOpen,"Abrir\n', FormatError, "m.csv:2: a quoted cell .*\n.*Close it"),
        ("m.csv", b"source,target\nOpen,Abr\xed\n", FormatError, "byte 22: byte 0xed is not utf-8\n.*UTF-8"),
        ("m.csv", b"source,target\n" + b"a,b\n" * 9000 + b"\xff,x\n", FormatError, "byte 36014: byte 0xff"),
        ("m.csv", b"\xff\xfea\x00,\x00b\x00\n", FormatError, "byte 8"),
        ("m.tmx", "<tmx><tu>", FormatError, "m.tmx:1: not well-formed XML"),
        ("m.tmx", "<html/>", FormatError, "its root is <html>, not <tmx>"),
        ("m.tmx", TMX.replace("ES", "pt").replace("es-", "pt-"), UsageError, "en to es .*\n.*en, en-us, fr, pt, pt-mx"),
        ("m.tmx", TMX.encode("latin-1").replace(b"Abrir", b"Abr\xed"), FormatError, "byte 0xed is not utf-8"),
        ("m.tmx", '<?xml version="1.0" encoding="shift_jis"?><tmx/>', FormatError, "cannot be read: .*\n.*UTF-8"),
        ("m.tmx", '<?xml version="1.0" encoding="nonsense"?><tmx/>', FormatError, "nonsense|unknown encoding"),
        ("m.xlf", XLIFF_1.replace('guage="es"', 'guage="fr"'), UsageError, "translates en-GB to fr, en to fr, not en"),
        ("m.xlf", XLIFF_2.replace("es-MX", "de"), UsageError, "translates en to de, not en to es"),
        ("m.po", PO.replace("Language: es", "Language: fr"), UsageError, "'fr'"),
        ("m.po", PO.encode().replace(b"Abrir", b"Abr\xed"), FormatError, "byte 0xed is not utf-8\n.*charset of its"),
        ("m.po", 'msgid "a"\nmsgid "b"\n', FormatError, "m.po:1"),
        ("m.jsonl", '{"source": "a", "target": "b"}\n{"source": "a"\n', FormatError, "m.jsonl:2: not JSON"),
        (
            "m.jsonl",
            '{"prompt": "a", "completion": "b"}\n',
            FormatError,
            "jsonl:1: no source and .*prompt, completion\n",
        ),
        ("m.jsonl", '["a", "b"]\n', FormatError, "m.jsonl:1: not an object"),
        ("m.jsonl", '{"source": 1, "target": "b"}\n', FormatError, "something else than a text"),
        ("m.jsonl", b'{"source": "a\xed", "target": "b"}\n', FormatError, "byte 13: byte 0xed is not utf-8"),
        ("m.jsonl", '{"type":"record","source":"a","target":"b"}\n', BatchtransError, "does not begin with a run"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, name: str, content: str | bytes, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        read(write(tmp_path / name, content))


@pytest.mark.parametrize("columns", [("english", "es"), ("1", "3"), ("0", "1")])
def test_columns_that_are_not_there_are_refused(tmp_path: Path, columns: tuple[str, str]) -> None:
    path = write(tmp_path / "m.csv", "en,es\nOpen,Abrir\n")
    with pytest.raises(UsageError, match=r"has no columns .*\n.*'en', 'es'"):
        read(path, columns=columns)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read(tmp_path / "m.po")


# Laws

CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8))
def test_json_lines_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, rows) -> None:  # type: ignore[no-untyped-def]
    lines = [json.dumps({"translation": {"en": source, "es": target}}) for source, target in rows]
    path = write(tmp_path_factory.mktemp("law") / "m.jsonl", "\n".join(lines))
    assert texts(read(path)[0]) == rows


@given(st.lists(st.sampled_from(["en", "es", "source", "target", "context", "file", "id", ""]), unique=True))
def test_a_header_names_a_pair_of_columns_or_none(names: list[str]) -> None:
    found = find_columns(names, "en", "es")
    assert (found is None) == (not {"en", "es"} <= set(names) and not {"source", "target"} <= set(names))
    if found is not None:
        assert (names[found.source], names[found.target]) in {("en", "es"), ("source", "target")}


def test_a_row_of_another_shape_says_what_it_has() -> None:
    with pytest.raises(ValueError, match="only a, b"):
        row_texts({"a": "x", "b": "y"}, "en", "es")


def many_xliff(path: Path, count: int) -> None:
    unit = '<trans-unit id="{0}"><source>Text number {0}</source><target>Texto número {0}</target></trans-unit>\n'
    head, _, tail = XLIFF_1.partition('<trans-unit id="1">')
    body = "".join(unit.format(number) for number in range(count))
    write(path, head + body + "</group></body></file></xliff>")


def many_tmx(path: Path, count: int) -> None:
    unit = '<tu><tuv xml:lang="en"><seg>Text {0}</seg></tuv><tuv xml:lang="es"><seg>Texto {0}</seg></tuv></tu>\n'
    write(path, "<tmx><body>" + "".join(unit.format(number) for number in range(count)) + "</body></tmx>")


@pytest.mark.parametrize(("name", "make"), [("m.xlf", many_xliff), ("m.tmx", many_tmx)])
def test_xml_is_read_in_bounded_memory(tmp_path: Path, name: str, make: Callable[[Path, int], None]) -> None:
    """20,000 units as a tree take some 40 MB; what is held here does not grow with them."""
    make(tmp_path / name, 20_000)
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_units(tmp_path / name, "en", "es"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 4_000_000
