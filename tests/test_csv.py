"""Tables: the scanner against the stdlib's csv, the laws on real and generated tables, and each option and error."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchtrans import CannotRender, Document, FormatError, OpenOptions, Segment, State, UsageError
from batchtrans.formats import csv_layout, csv_scan
from batchtrans.formats.csv import CsvFormat
from batchtrans.formats.csv_dialect import sniff
from batchtrans.formats.csv_scan import Dialect, Scanner, Unterminated
from batchtrans.testing import check_format, splice

DATA = Path(__file__).parent / "data" / "csv"
SAMPLE = Path(__file__).parent.parent / "samples" / "input.csv"
FILES = [*sorted(DATA.glob("*/**/*.csv")), *sorted(DATA.glob("**/*.tsv")), SAMPLE]


def opened(path: Path, *column: str, to: str = "es", **values: str) -> Document:
    given = {name: (value,) for name, value in values.items()}
    return CsvFormat().open(path, OpenOptions("en", to, {"column": column, **given}))


def segments(document: Document) -> list[Segment]:
    return [piece for piece in document.pieces() if isinstance(piece, Segment)]


def written(tmp_path: Path, content: bytes | str, name: str = "a.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def translated(document: Document, **targets: str) -> bytes:
    """The file with ``X`` before each new source, or with these targets by id (``r2`` for ``2:text``)."""
    chosen = {}
    for segment in segments(document):
        if targets and f"r{segment.location.row}" not in targets:
            continue
        text = targets.get(f"r{segment.location.row}", "X" + segment.source[0])
        if segment.state is not State.SKIP:
            chosen[segment.id] = ((text,), State.DONE)
    return splice(document, chosen)


# The scanner


def scanned(text: str, dialect: Dialect, step: int = 1 << 20) -> list[list[str]]:
    """All records of a text that comes in pieces of ``step`` characters."""
    source = io.StringIO(text, newline="")
    scanner = Scanner(dialect)
    records = list(scanner.records(lambda size: source.read(step), Path("a.csv")))
    assert "".join(record.text for record in records) == text
    for record in records:
        assert dialect.delimiter.join(record.cells) + record.end == record.text
    return [[scanner.value(cell) for cell in record.cells] for record in records]


def judged(text: str, dialect: Dialect) -> list[list[str]]:
    """The same by the stdlib."""
    quoting = csv.QUOTE_MINIMAL if dialect.quotechar else csv.QUOTE_NONE
    lines = io.StringIO(text, newline="")
    return list(
        csv.reader(
            lines,
            delimiter=dialect.delimiter,
            quotechar=dialect.quotechar or None,
            escapechar=dialect.escapechar or None,
            quoting=quoting,
        )
    )


_DIALECTS = st.builds(Dialect, st.sampled_from(",;\t|"), st.sampled_from(['"', "'", ""]), st.sampled_from(["", "\\"]))


@settings(max_examples=4000, deadline=None)
@given(st.text(st.sampled_from("ab ,;\"'\\\n\ré"), max_size=30), _DIALECTS, st.integers(1, 9))
def test_any_text_is_parted_as_the_stdlib_parts_it(text: str, dialect: Dialect, step: int) -> None:
    if dialect.escapechar:
        assume(not text.endswith("\\"))  # the stdlib adds a line feed there
    try:
        records = scanned(text, dialect)
    except FormatError as error:
        with pytest.raises(FormatError, match=str(error).splitlines()[0]):
            scanned(text, dialect, step)
        with pytest.raises(csv.Error):
            list(csv.reader(io.StringIO(text, newline=""), strict=True, **_strict(dialect)))
        return
    assert records == judged(text, dialect)
    assert scanned(text, dialect, step) == records


def _strict(dialect: Dialect) -> dict[str, Any]:
    return {
        "delimiter": dialect.delimiter,
        "quotechar": dialect.quotechar or None,
        "escapechar": dialect.escapechar or None,
    }


@given(st.text(st.sampled_from("ab ,;\"'\\\n\r\té=")), st.booleans(), _DIALECTS)
def test_a_written_cell_reads_back_by_the_stdlib(text: str, quoted: bool, dialect: Dialect) -> None:
    scanner = Scanner(dialect)
    assume(scanner.can_hold(text) and text)
    if not dialect.quotechar:
        assume("\r" not in text and "\n" not in text)  # the stdlib reads an escaped CR LF in its own way
    raw = scanner.cell(text, quoted)
    assert scanner.value(raw) == text
    assert scanner.is_quoted(raw) or not (quoted and dialect.quotechar)
    assert judged(dialect.delimiter.join(["1", raw, "2"]), dialect) == [["1", text, "2"]]


def test_an_open_quote_at_the_end_names_the_line_where_it_began(tmp_path: Path) -> None:
    path = written(tmp_path, 'id,text\n1,"two\nlines"\n2,"no end\nof it\n')
    with pytest.raises(FormatError, match=r"a\.csv:4: a quoted cell that begins here has no closing quote") as caught:
        opened(path, "text")
    assert caught.value.line == 4
    assert "quotechar" in str(caught.value)


# The laws


def columns_of(path: Path) -> list[str]:
    """The numbers of all columns of a file."""
    with pytest.raises(UsageError) as caught:
        opened(path)
    return [line.split()[0] for line in str(caught.value).splitlines()[2:]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_laws_hold_on_every_column_of_real_files(path: Path) -> None:
    numbers = columns_of(path)
    assert numbers
    for number in numbers:
        check_format(CsvFormat(), [path], values={"column": [number], "into": ["replace"]})
        check_format(CsvFormat(), [path], values={"column": [number]})
        check_format(CsvFormat(), [path], values={"column": [number], "into": ["Neue Spalte"]})
    check_format(CsvFormat(), [path], values={"column": numbers, "into": ["replace"]})
    if path.name not in ("duplicate-names.csv", "half-done.csv"):  # there two translations would meet
        check_format(CsvFormat(), [path], values={"column": numbers})


@pytest.mark.parametrize("path", sorted((DATA / "csv-spectrum" / "csvs").glob("*.csv")), ids=lambda path: path.stem)
def test_cells_are_those_of_the_published_oracle(path: Path) -> None:
    expected = json.loads((path.parent.parent / "json" / f"{path.stem}.json").read_text(encoding="utf-8"))
    rows: dict[int | None, dict[str, str]] = {}
    for segment in segments(opened(path, *columns_of(path), into="replace")):
        name = segment.location.column
        rows.setdefault(segment.location.row, {})[name] = segment.source[0]
    found = list(rows.values())
    if path.stem == "newlines_crlf":  # its published cells have CR LF, its file has not
        found = [{name: text.replace("\n", "\r\n") for name, text in row.items()} for row in found]
    if path.stem == "location_coordinates":  # one object, whose telephone number is not the file's
        expected = [{**expected, "Contact Phone Number": "2095257564"}]
    assert found == expected


_INNER = "abé ,;|\t\n\r.='-"


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, Dialect, int]:
    """A table as text with its dialect and the number of columns in its header: anything a program may have written."""
    dialect = draw(
        st.builds(Dialect, st.sampled_from(",;\t|"), st.sampled_from(['"', "'"]), st.sampled_from(["", "\\"]))
    )
    delimiter, quote, escape = dialect
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]]))
    width = draw(st.integers(1, 4))

    def cell() -> str:
        if draw(st.booleans()):
            text = draw(st.text(st.sampled_from(_INNER + quote), max_size=5))
            pair = escape if escape and draw(st.booleans()) else quote
            return quote + text.replace(quote, pair + quote) + quote
        text = draw(st.text(st.sampled_from([c for c in _INNER + quote if c not in delimiter + "\r\n"]), max_size=5))
        return text.lstrip(quote)

    header = [f"c{number}" for number in range(width)]
    rows = [header if draw(st.booleans()) else [f"{quote}{name}{quote}" for name in header]]
    for _ in range(draw(st.integers(0, 5))):
        size = width if draw(st.booleans()) else draw(st.integers(0, width + 2))
        rows.append([cell() for _ in range(size)])
    text = "".join(delimiter.join(row) + draw(st.sampled_from(ends)) for row in rows)
    if draw(st.booleans()):
        text = text.removesuffix("\n").removesuffix("\r")
    return text, dialect, width


_ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32-be"]


def _options(dialect: Dialect, encoding: str) -> dict[str, str]:
    options = {name: value for name, value in dialect._asdict().items() if value}
    if encoding in ("latin-1", "utf-32-be"):
        options["encoding"] = encoding
    return options


def _read(content: bytes, encoding: str, dialect: Dialect) -> list[list[str]]:
    return judged(content.decode("utf-8-sig" if encoding.startswith("utf-8") else encoding), dialect)


@settings(max_examples=600, deadline=None)
@given(tables(), st.sampled_from(_ENCODINGS), st.data())
def test_replaced_cells_are_the_only_change_the_stdlib_sees(
    table: tuple[str, Dialect, int], encoding: str, data: st.DataObject
) -> None:
    text, dialect, width = table
    chosen = data.draw(st.sets(st.integers(0, width - 1), min_size=1))
    with tempfile.TemporaryDirectory() as directory:
        path = written(Path(directory), text.encode(encoding))
        names = [f"c{index}" for index in chosen]
        document = opened(path, *names, into="replace", header="yes", **_options(dialect, encoding))
        assert splice(document, {}) == path.read_bytes()
        output = translated(document)
    before, after = _read(text.encode(encoding), encoding, dialect), _read(output, encoding, dialect)
    head = next(index for index, row in enumerate(before) if row)
    for row in before[head + 1 :]:
        if not any(row[width:]):
            row[:] = ["X" + cell if index in chosen and cell else cell for index, cell in enumerate(row)]
    assert after == before


@settings(max_examples=600, deadline=None)
@given(tables(), st.sampled_from(_ENCODINGS), st.data())
def test_appended_columns_are_the_only_change_the_stdlib_sees(
    table: tuple[str, Dialect, int], encoding: str, data: st.DataObject
) -> None:
    text, dialect, width = table
    chosen = sorted(data.draw(st.sets(st.integers(0, width - 1), min_size=1)))
    with tempfile.TemporaryDirectory() as directory:
        path = written(Path(directory), text.encode(encoding))
        options = {"header": "yes", **_options(dialect, encoding)}
        document = opened(path, *[f"c{index}" for index in chosen], **options)
        output = translated(document)
        again = opened(written(Path(directory), output, "b.csv"), *[f"c{index}" for index in chosen], **options)
        assert [segment.id for segment in segments(again)] == [segment.id for segment in segments(document)]
        if not document.notes:  # a record that was too long may be regular in the wider table
            assert splice(again, {}) == output, "nothing is left to complete"
    before, after = _read(text.encode(encoding), encoding, dialect), _read(output, encoding, dialect)
    assert after == [_appended(row, index, width, chosen) for index, row in enumerate(before)]


def _appended(row: list[str], index: int, width: int, chosen: list[int]) -> list[str]:
    """The record that appending should make of one, said without the scanner's notions."""
    if index == 0:
        return row + [f"{row[column]}_es" for column in chosen]
    if not row or any(row[width:]):
        return row
    sources = row[:width] + [""] * (width - len(row))
    targets = [sources[column] and "X" + sources[column] for column in chosen]
    return sources + targets + row[width + len(chosen) :]


@settings(max_examples=300, deadline=None)
@given(tables(), st.sampled_from(_ENCODINGS), st.data())
def test_laws_hold_on_any_table(table: tuple[str, Dialect, int], encoding: str, data: st.DataObject) -> None:
    text, dialect, width = table
    values = {name: [value] for name, value in _options(dialect, encoding).items()}
    chosen = data.draw(st.lists(st.integers(0, width - 1), min_size=1, unique=True))
    values |= {"column": [f"c{index}" for index in chosen], "header": ["yes"]}
    into = data.draw(st.sampled_from(["append", "replace", "new", "c0", f"c{width - 1}"]))
    if into not in ("append", "replace"):
        values["column"] = values["column"][:1]
        assume(into != values["column"][0])
    values["into"] = [into]
    with tempfile.TemporaryDirectory() as directory:
        check_format(CsvFormat(), [written(Path(directory), text.encode(encoding))], values=values)


@settings(max_examples=300, deadline=None)
@given(tables(), st.sampled_from(_ENCODINGS), st.data())
def test_regular_records_are_read_as_any_others(
    table: tuple[str, Dialect, int], encoding: str, data: st.DataObject
) -> None:
    text, dialect, width = table
    options = {"header": "yes", **_options(dialect._replace(escapechar=""), encoding)}
    chosen = [f"c{index}" for index in data.draw(st.sets(st.integers(0, width - 1), min_size=1))]
    options["into"] = data.draw(st.sampled_from(["append", "replace"]))
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        path = written(Path(directory), text.encode(encoding))
        patch.setattr(csv_scan, "CHUNK", data.draw(st.sampled_from([8, 1 << 18])))
        try:
            together = opened(path, *chosen, **options)
            found, states = segments(together), list(together.states())
        except FormatError:
            assume(False)
        patch.setattr(csv_layout, "_WIDEST", 0)
        one_by_one = opened(path, *chosen, **options)
        assert found == segments(one_by_one)
        assert states == list(one_by_one.states())


# Columns


def test_without_a_column_the_headers_are_listed_with_samples() -> None:
    with pytest.raises(UsageError) as caught:
        opened(SAMPLE)
    assert caught.value.exit_code == 2
    assert "--column" in str(caught.value)
    assert "  2  name  such as 'Keyboard without cable'" in str(caught.value)
    assert "  3  description  such as 'Connects to two computers at the same...'" in str(caught.value)


@pytest.mark.parametrize("column", ["nome", "0", "6", "-1", ""])
def test_a_missing_column_is_the_same_usage_error(column: str) -> None:
    with pytest.raises(UsageError, match=r"there is no such column\n(.|\n)*4  price  such as '34.90'"):
        opened(SAMPLE, column)


def test_a_column_is_a_name_or_else_a_number_from_1(tmp_path: Path) -> None:
    path = written(tmp_path, "2,1,text\na,b,c\n")
    assert [segments(opened(path, column, header="yes"))[0].source[0] for column in ("1", "2", "3", "text")] == [
        "b",  # the column named 1
        "a",
        "c",
        "c",
    ]


def test_columns_of_the_same_name_need_the_number() -> None:
    path = DATA / "made" / "duplicate-names.csv"
    with pytest.raises(UsageError, match="2 columns have that name; give its number"):
        opened(path, "text")
    document = opened(path, "1", "2", "3", into="replace")
    assert [(s.id, s.source[0]) for s in segments(document)] == [
        ("2:#1", "first"),
        ("2:#2", "second"),
        ("2:#3", "third"),
    ]
    with pytest.raises(UsageError, match="into one twice"):
        opened(path, "1", "2")


def test_several_columns_are_appended_in_the_order_of_the_table(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b,c\n1,2,3\n,2,\n1\n\n,,\n1,2,3,4\n"1",2,"3"')
    document = opened(path, "c", "a")
    assert translated(document).decode().splitlines() == [
        "a,b,c,a_es,c_es",
        "1,2,3,X1,X3",
        ",2,,,",
        "1,,,X1,",
        "",
        ",,,,",
        "1,2,3,4",
        '"1",2,"3","X1","X3"',
    ]
    assert document.notes == ["records with more cells than the header, left as they are: 1"]
    assert {(s.id, s.note) for s in segments(document) if s.note} == {
        ("7:a", "the record has more cells than the header"),
        ("7:c", "the record has more cells than the header"),
    }


def test_cells_beyond_the_header_do_not_matter_while_they_are_empty(tmp_path: Path) -> None:
    path = written(tmp_path, 'id,text\n1,one,\n2,two,,\n3,three,"",\n4,four,,5\n')
    assert translated(opened(path, "text", into="replace")) == (
        b'id,text\n1,Xone,\n2,Xtwo,,\n3,Xthree,"",\n4,four,,5\n'
    )
    assert translated(opened(path, "text")) == (
        b"id,text,text_es\n1,one,Xone\n2,two,Xtwo,\n3,three,Xthree,\n4,four,,5\n"
    )


def test_a_segment_left_untranslated_still_gets_its_empty_cell(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\none,two\nthree,four\n")
    document = opened(path, "a", "b")
    output = splice(document, {"2:b": (("dos",), State.DONE)})
    assert output == b"a,b,a_es,b_es\none,two,,dos\nthree,four,,\n"
    again = opened(written(tmp_path, output, "b.csv"), "a", "b")
    assert [(s.id, s.state) for s in segments(again)] == [
        ("2:a", State.NEW),
        ("2:b", State.DONE),
        ("3:a", State.NEW),
        ("3:b", State.NEW),
    ]


def test_an_existing_column_of_that_name_has_its_empty_cells_filled() -> None:
    document = opened(DATA / "made" / "half-done.csv", "text")
    assert [(s.source[0], s.target[0], s.state) for s in segments(document)] == [
        ("Save", "Guardar", State.DONE),
        ("Open", "", State.NEW),
        ("", "", State.SKIP),
        ("Close", "", State.NEW),
    ]
    assert translated(document, r3="Abrir", r5="Cerrar") == (
        b"id,text,text_es,note\n1,Save,Guardar,x\n2,Open,Abrir,y\n3,,,z\n4,Close,Cerrar\n"
    )


def test_into_names_an_existing_column_or_a_new_one(tmp_path: Path) -> None:
    path = written(tmp_path, "de,en\n,Open\nSpeichern,Save\n")
    assert translated(opened(path, "en", into="de")) == b"de,en\nXOpen,Open\nXSave,Save\n"
    assert translated(opened(path, "en", into="1"), r2="Auf") == b"de,en\nAuf,Open\nSpeichern,Save\n"
    assert translated(opened(path, "en", into="fr")) == b"de,en,fr\n,Open,XOpen\nSpeichern,Save,XSave\n"


@pytest.mark.parametrize(
    ("columns", "into", "message"),
    [
        (("de", "en"), "fr", "--into fr takes the translation of one column, not of 2"),
        (("en",), "en", "itself translated"),
        (("en",), "3", "--into 3: there is no such column"),
    ],
)
def test_an_into_that_cannot_be_is_a_usage_error(
    tmp_path: Path, columns: tuple[str, ...], into: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        opened(written(tmp_path, "de,en\na,b\n"), *columns, into=into)


def test_append_is_bilingual_and_replace_is_not(tmp_path: Path) -> None:
    path = written(tmp_path, "id,text\n1,Open\n")
    assert opened(path, "text").bilingual
    assert not opened(path, "text", into="replace").bilingual


def test_the_new_column_is_named_after_the_target_language(tmp_path: Path) -> None:
    path = written(tmp_path, 'id,"the text"\n1,Open\n')
    assert translated(opened(path, "the text", to="pt_BR")).splitlines()[0] == b'id,"the text","the text_pt_BR"'


def test_a_present_translation_is_given_back_and_a_new_one_keeps_the_table_rectangular(tmp_path: Path) -> None:
    document = opened(written(tmp_path, "text\nOpen\n"), "text")
    [segment] = segments(document)
    assert document.render(segment, ("",), State.NEW) == segment.raw == b""
    assert document.render(segment, ("",), State.SKIP) == b","
    assert document.render(segment, ("Abrir",), State.DONE) == b",Abrir"


# Without a header


def test_without_a_header_columns_have_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "1,Open\n2,Save\n")
    assert translated(opened(path, "2", into="replace")) == b"1,XOpen\n2,XSave\n"
    assert translated(opened(path, "2", into="3")) == b"1,Open,XOpen\n2,Save,XSave\n"
    with pytest.raises(UsageError, match=r"--into NUMBER \(up to 3\)"):
        opened(path, "2")
    with pytest.raises(UsageError, match="columns have numbers only"):
        opened(path, "2", into="es")
    check_format(CsvFormat(), [path], values={"column": ["2"], "into": ["3"]})


@pytest.mark.parametrize(
    ("first", "option", "count"),
    [
        ("id,text", "auto", 1),
        ("7.5,text", "auto", 2),
        ("2019,text", "auto", 1),  # a year may name a column
        ("id,text", "no", 2),
        ("7.5,text", "yes", 1),
    ],
)
def test_whether_there_is_a_header_is_told_or_seen_in_the_first_record(
    tmp_path: Path, first: str, option: str, count: int
) -> None:
    document = opened(written(tmp_path, f"{first}\n1,Open\n"), "2", into="replace", header=option)
    assert len(segments(document)) == count


def test_a_column_found_by_its_name_proves_a_header(tmp_path: Path) -> None:
    assert len(segments(opened(written(tmp_path, "7.5,text\n1,Open\n"), "text"))) == 1


# Dialects


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("semicolon.csv", ";"), ("bar.csv", "|"), ("tabs.tsv", "\t"), ("half-done.csv", ","), ("stray-quotes.csv", ",")],
)
def test_the_delimiter_is_seen(name: str, delimiter: str) -> None:
    path = DATA / "made" / name
    with path.open("rb") as file:
        header = len(file.readline().decode().split(delimiter))
    assert len(columns_of(path)) == header > 1


@pytest.mark.parametrize(
    ("sample", "names", "delimiter"),
    [
        ("a;b\n1,5;2,5\n", [], ";"),
        ("a,b;c\n1,2;3\n", ["c"], ";"),
        ("a,b;c\n1,2;3\n", ["a"], ","),
        ("one column\nwith; this\n", [], ","),
        ("a,b\n1;2;3,4\n5;6;7,8\n", [], ","),
        ("", [], ","),
        ('a|b\n"x\ny, z"|2\n', [], "|"),
    ],
)
def test_sniffing_is_conservative(sample: str, names: list[str], delimiter: str) -> None:
    assert sniff(sample, True, names, '"', "") == delimiter


def test_a_delimiter_that_was_seen_is_noted(tmp_path: Path) -> None:
    assert opened(DATA / "made" / "semicolon.csv", "texto").notes == ["read with the delimiter ';'"]
    assert opened(DATA / "made" / "tabs.tsv", "text").notes == []
    assert opened(DATA / "made" / "bar.csv", "text", delimiter="|").notes == []


def test_the_dialect_can_be_told(tmp_path: Path) -> None:
    path = written(tmp_path, "id:text\n1:'it\\'s: here'\n2:a\\:b\n")
    document = opened(path, "text", into="replace", delimiter=":", quotechar="'", escapechar="\\")
    assert [s.source[0] for s in segments(document)] == ["it's: here", "a:b"]
    assert translated(document, r2="it's", r3="b:\\") == b"id:text\n1:'it''s'\n2:'b:\\\\'\n"


def test_a_table_without_quotes_refuses_what_would_need_them(tmp_path: Path) -> None:
    path = written(tmp_path, 'id\ttext\n1\t"as it is\n', "a.tsv")
    document = opened(path, "text", into="replace", quotechar="")
    [segment] = segments(document)
    assert segment.source == ('"as it is',)
    assert document.problem(segment, ("a\tb",)) == "a cell without quotes cannot hold a delimiter or line break"
    assert translated(document, r2='"así') == b'id\ttext\n1\t"as\xc3\xad\n'


@pytest.mark.parametrize(
    "values",
    [
        {"delimiter": ",,"},
        {"delimiter": ""},
        {"delimiter": '"'},
        {"delimiter": "\n"},
        {"escapechar": '"'},
        {"header": "maybe"},
    ],
)
def test_an_impossible_dialect_is_a_usage_error(values: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        opened(SAMPLE, "name", **values)


def test_a_cell_is_quoted_as_its_source_was_or_where_it_must_be(tmp_path: Path) -> None:
    path = written(tmp_path, 'id,text\n1,plain\n2,"quoted"\n3,plain\n4,plain\n')
    document = opened(path, "text")
    output = translated(document, r2="llano", r3="citado", r4="uno, dos", r5='a "b"').decode().splitlines()
    assert output[1:] == [
        "1,plain,llano",
        '2,"quoted","citado"',
        '3,plain,"uno, dos"',
        '4,plain,"a ""b"""',
    ]


# What a cell cannot take


@pytest.mark.parametrize("target", ["=1+1", "+34 600", "-uno", "@todos", "\tuno", "\runo", "uno\ndos", ""])
def test_formulas_line_breaks_and_nothing_are_refused(tmp_path: Path, target: str) -> None:
    document = opened(written(tmp_path, "id,text\n1,one\n"), "text", into="replace")
    [segment] = segments(document)
    assert document.problem(segment, (target,))
    with pytest.raises(CannotRender, match=r"a\.csv:2: "):
        document.render(segment, (target,), State.DONE)


def test_what_the_source_had_the_target_may_have(tmp_path: Path) -> None:
    path = written(tmp_path, 'id,text\n1,=SUM(A1)\n2,"- one\n- two"\n')
    document = opened(path, "text", into="replace")
    formula, listing = segments(document)
    assert document.problem(formula, ("=SUMA(A1)",)) is None
    assert document.problem(formula, ("-A1",)) == "a cell that begins with '-' is a formula to a spreadsheet"
    assert document.problem(listing, ("- uno\n- dos",)) is None
    assert document.problem(listing, ("- uno\r\n- dos",)) == "a line break that the source does not have"


def test_a_character_outside_the_charset_is_refused(tmp_path: Path) -> None:
    document = opened(written(tmp_path, "text\ncafé\n".encode("cp1252")), "text", encoding="cp1252")
    [segment] = segments(document)
    assert document.problem(segment, ("日本",)) == "the character '日' is not in cp1252; a file in UTF-8 could hold it"


# Odd files


def test_bytes_that_do_not_decode_are_named_with_offset_and_option(tmp_path: Path) -> None:
    path = written(tmp_path, b"id,text\n1,caf\xe9\n")
    with pytest.raises(FormatError, match=r"a\.csv, byte 13: byte 0xe9 is not utf-8(.|\n)*-O encoding=") as caught:
        opened(path, "text")
    assert caught.value.offset == 13


def test_the_offset_counts_from_the_start_of_the_file(tmp_path: Path) -> None:
    content = b"id,text\n" + b"1,word\n" * 100_000
    path = written(tmp_path, content + "2,ü\n".encode() + b"3,\xc3")
    with pytest.raises(FormatError) as caught:
        list(opened(path, "text").pieces())
    assert caught.value.offset == len(content) + 5 + 2


def test_an_encoding_that_loses_bytes_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, b"id,text\n1,\x1b$B\x1b(B\x1b(B\n")
    with pytest.raises(FormatError, match="do not come back the same from iso2022_jp"):
        opened(path, "text", encoding="iso-2022-jp")


def test_trail_bytes_that_look_like_a_delimiter_or_escape_are_text(tmp_path: Path) -> None:
    path = written(tmp_path, "id|text\n1|\u8868\u30dd\u4e88\n".encode("shift_jis"))  # second bytes 0x5c, 0x7c, 0x5c
    document = opened(path, "text", encoding="shift_jis", delimiter="|", escapechar="\\")
    assert [segment.source[0] for segment in segments(document)] == ["\u8868\u30dd\u4e88"]
    assert translated(document).decode("shift_jis") == "id|text|text_es\n1|\u8868\u30dd\u4e88|X\u8868\u30dd\u4e88\n"


def test_an_empty_file_and_a_header_alone_have_nothing_to_translate(tmp_path: Path) -> None:
    check_format(CsvFormat(), [written(tmp_path, b"")], values={"column": ["text"]})
    check_format(CsvFormat(), [written(tmp_path, b"\n\nid,text")], values={"column": ["text"]})


def test_cells_beyond_the_limit_of_the_stdlib_pass_in_chunks(tmp_path: Path) -> None:
    cell = ("word, " * 50_000) + "\n" + "é" * 400_000
    path = written(tmp_path, f'id,text\n1,"{cell}"\n2,end\n')
    document = opened(path, "text")
    assert [len(segment.source[0]) for segment in segments(document)] == [len(cell), 3]
    check_format(CsvFormat(), [path], values={"column": ["text"]})


def test_literal_bytes_come_in_bounded_pieces(tmp_path: Path) -> None:
    path = written(tmp_path, "id,text\n" + "\n" * 500_000 + "1,end\n")
    pieces: Iterator[Any] = iter(opened(path, "text").pieces())
    assert max(len(piece) for piece in pieces if isinstance(piece, bytes)) < 70_000


def test_locations_name_line_row_and_column() -> None:
    document = opened(DATA / "csv-spectrum" / "csvs" / "newlines.csv", "b", into="replace")
    found = [(s.id, s.location.line, s.location.row, s.location.column) for s in segments(document)]
    assert found == [("2:b", 2, 2, "b"), ("3:b", 3, 3, "b"), ("4:b", 5, 4, "b")]


def test_unterminated_says_where() -> None:
    with pytest.raises(Unterminated) as caught:
        Scanner(Dialect()).record('a,"b', 0, True)
    assert caught.value.position == 2
