"""How a table is written: the decision whether quotes are text, and that all readings of a run go by it."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchtrans import Document, FormatError, OpenOptions, Segment, State
from batchtrans.alignment import read_groups, read_history
from batchtrans.formats.csv import CsvFormat
from batchtrans.formats.csv_dialect import TableFile, find_dialect, quotes_are_text
from batchtrans.formats.csv_scan import Dialect, Scanner
from batchtrans.glossary import load_glossary
from batchtrans.pairs import read_units
from batchtrans.testing import check_format, splice
from conftest import Cli, plugin_environment
from test_pipeline import SLOW

Install = Callable[[str, str], Path]
TAB = Dialect("\t")

#: Sentences of a story, one to a row: a speech begins in one of them and ends in another.
STORY = (
    "id\ttext\tnote\n"
    '1\t"I went home.\tx\n'
    '2\tThen I slept."\tx\n'
    '3\tHe said "no" and left.\tx\n'
    '4\t"No," she said.\tx\n'
    '5\t"\tx\n'
    '6\tThe "end".\tx\n'
)


def table(directory: Path, text: str, name: str = "a.tsv") -> TableFile:
    path = directory / name
    path.write_bytes(text.encode())
    return TableFile(path, "utf-8", 0)


def opened(path: Path, *columns: str, **values: str) -> Document:
    given = {name: (value,) for name, value in values.items()}
    return CsvFormat().open(path, OpenOptions("en", "es", {"column": columns, **given}))


def segments(document: Document) -> list[Segment]:
    return [piece for piece in document.pieces() if isinstance(piece, Segment)]


def cells_of(file: TableFile) -> list[list[str]]:
    """All cells as the dialect that is found reads them, blank lines left out."""
    scanner = Scanner(find_dialect(file, {}, ()))
    return [[scanner.value(cell) for cell in row[3]] for row in file.rows(scanner) if row[3]]


def by_stdlib(text: str, *, quotes: bool) -> list[list[str]]:
    """The same by the stdlib, which refuses with ``quotes`` what no writer of them writes."""
    quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=quoting, strict=True)
    return [row for row in rows if row]


# The decision


@st.composite
def plain_tables(draw: st.DrawFn) -> str:
    """A table in which every text stands as it is, with quotes anywhere in it."""
    width = draw(st.integers(2, 4))
    cell = st.text(st.sampled_from('ab "'), max_size=4).filter(lambda text: '""' not in text)
    rows = draw(st.lists(st.lists(cell, min_size=width, max_size=width), max_size=6))
    header = "\t".join(f"c{number}" for number in range(width))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join([header, *map("\t".join, rows), ""])


@settings(max_examples=500, deadline=None)
@given(plain_tables(), st.data())
def test_a_file_written_without_quotes_is_read_so_unless_it_is_also_one_with_them(
    text: str, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = table(Path(directory), text)
        found = cells_of(file)
        width = text.split("\n")[0].count("\t") + 1
        columns = [f"c{number}" for number in data.draw(st.sets(st.integers(0, width - 1), min_size=1))]
        into = data.draw(st.sampled_from(["append", "replace"]))
        values = {"column": columns, "into": [into], "header": ["yes"]}
        check_format(CsvFormat(), [file.path], values=values)
        document = opened(file.path, *columns, into=into, header="yes")
        same = {piece.id: (piece.source, State.DONE) for piece in segments(document) if piece.source[0]}
        assert splice(opened(file.path, *columns, into="replace", header="yes"), same) == file.path.read_bytes()
    plain = by_stdlib(text, quotes=False)
    if found != plain:
        assert found == by_stdlib(text, quotes=True)


@st.composite
def quoted_tables(draw: st.DrawFn) -> str:
    """A table as a program writes it that puts cells in quotes."""
    width = draw(st.integers(1, 4))
    cell = st.text(st.sampled_from('ab ",\t\n'), max_size=5)
    rows = draw(st.lists(st.lists(cell, min_size=width, max_size=width), max_size=6))
    file = io.StringIO(newline="")
    writer = csv.writer(
        file,
        delimiter="\t",
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
    )
    writer.writerows([[f"c{number}" for number in range(width)], *rows])
    return file.getvalue()


@settings(max_examples=500, deadline=None)
@given(quoted_tables())
def test_a_file_written_with_quotes_is_read_so(text: str) -> None:
    width = text.split("\n")[0].count("\t") + 1
    # A file of which each line could as well be a record by itself does not say what it is.
    assume(any(line.count("\t") != width - 1 for line in re.split(r"\r\n|\n", text)[:-1]) or width == 1)
    with tempfile.TemporaryDirectory() as directory:
        assert cells_of(table(Path(directory), text)) == by_stdlib(text, quotes=True)


@pytest.mark.parametrize(
    ("text", "is_text"),
    [
        # Texts as they are.
        ('id\ttext\n1\t"Go," he said.\n2\tplain\n', True),
        ('id\ttext\n1\t"as it is\n2\tplain\n', True),  # nobody closes it
        ('id\ttext\n1\t"begins here.\n2\tends here."\n3\tplain\n', True),  # as good line by line
        ('id\ttext\n1\ta 5" disk\n2\t"all of it"\n', True),
        ('"A," he said.\t"B", dijo.\n"Both."\t"Ambos."\n', True),  # no header
        ('id\ttext\tnote\n1\t"begins\tends"\n2\tplain\tx\n', True),  # too few cells with quotes around them
        (STORY, True),
        (STORY.replace("\n", "\r\n"), True),
        # Cells in quotes.
        ("id\ttext\n1\tno quotes\n", False),
        ('id\ttext\n1\t"two\nlines"\n', False),
        ('id\ttext\n1\t"paragraphs\n\nwith ""quotes"""\n', False),
        ('"id"\t"text"\n"1"\t"all, in quotes"\n"2"\t""\n', False),
        ('id\ttext\n1\t"a\ttab"\n2\tplain\n', False),
        ('text\n"one\ncolumn"\nplain\n', False),
        ('id\ttext\n1\t"two\nlines"\n2\t"as\n9\tgood"\n', False),  # one of them is not as good line by line
        ('id\ttext\n1\t"two\nlines"\n2\t"two ""more""\nlines"\n3\t"by hand" added\n', False),
        ('id\ttext\n1\t"a\ttab"\n2\ta 5" disk\n3\ta 3" disk\n', False),  # quotes only where they must be
        ('id\ttext\n1\t"two\nlines"\n2\t"no end\n', False),  # and so refused
        # What R writes.
        ('"id"\t"text"\n"1"\t"say \\"hi\\" to"\n"2"\t"\\"hi\\" and\tmore"\n', False),
        ("", False),
    ],
)
def test_what_quotes_are(tmp_path: Path, text: str, is_text: bool) -> None:
    assert quotes_are_text(table(tmp_path, text), TAB) is is_text


def test_the_whole_file_is_asked(tmp_path: Path) -> None:
    lines = [f"{number}\tan ordinary sentence of some length\n" for number in range(20_000)]
    lines[19_000:19_002] = ['19000\t"begins here.\n', '19001\tends here."\n']
    file = table(tmp_path, "id\ttext\n" + "".join(lines))
    assert quotes_are_text(file, TAB)
    assert len(cells_of(file)) == 20_001


READING = """
import re, sys
from pathlib import Path
from batchtrans import OpenOptions
from batchtrans.formats.csv import CsvFormat
document = CsvFormat().open(Path(sys.argv[1]), OpenOptions("en", "es", {"column": ("text",)}))
print(sum(1 for _ in document.states()), re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no telling the memory of a process")
def test_a_quote_that_nobody_closes_does_not_bring_the_file_into_memory(tmp_path: Path) -> None:
    """Of 60 MB no more than a few are held."""
    most = []
    for rows in (1, 1_200):
        with (tmp_path / "a.tsv").open("w") as file:
            file.write('id\ttext\n0\t"never closed\n')
            file.writelines(f"{number}\t{'x' * 50_000}\n" for number in range(rows))
        command = [sys.executable, "-c", READING, tmp_path / "a.tsv"]
        done = subprocess.run(command, capture_output=True, check=True, env=plugin_environment())
        found, kilobytes = map(int, done.stdout.split())
        assert found == rows + 1
        most.append(kilobytes)
    assert most[1] - most[0] < 25_000


def test_only_a_table_parted_by_tabs_is_asked(tmp_path: Path) -> None:
    text = 'id,text\n1,"Go," he said.\n'
    assert find_dialect(table(tmp_path, text, "a.csv"), {}, ()) == Dialect()
    tabbed = table(tmp_path, text.replace(",t", "\tt").replace("1,", "1\t"), "b.csv")
    assert find_dialect(tabbed, {}, ()) == find_dialect(tabbed, {"delimiter": "\t"}, ()) == Dialect("\t", "")
    assert find_dialect(tabbed, {"quotechar": '"'}, ()) == TAB


def test_bytes_that_do_not_decode_are_named_wherever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"id\ttext\n" + b"1\tword\n" * 100_000 + b'2\t"caf\xe9\n')
    with pytest.raises(FormatError) as caught:
        opened(path, "text")
    assert caught.value.offset == 8 + 700_000 + 6


# Reading and writing by it


def test_the_document_says_what_it_found_and_takes_what_was_found_before(tmp_path: Path) -> None:
    file = table(tmp_path, STORY)
    document = opened(file.path, "text")
    assert document.detected == {"delimiter": "\t", "quotechar": ""}
    assert "quotes are read as part of the texts" in document.notes[0]
    assert len(segments(document)) == 6
    around = opened(file.path, "text", quotechar='"')
    assert around.detected == {"delimiter": "\t"}
    assert (around.notes, len(segments(around))) == ([], 4)
    told = OpenOptions("en", "es", {"column": ("text",)}, detected={"delimiter": "\t", "quotechar": ""})
    other = table(tmp_path, 'id\ttext\n1\t"all"\n', "b")
    assert segments(CsvFormat().open(other.path, told))[0].source == ('"all"',)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ('"¡No!', None),
        ('"¡No!"', None),
        ('un "no" y ""ya', None),
        ("a\tb", "a cell without quotes cannot hold a delimiter or line break"),
        ("a\nb", "a line break that the source does not have"),
    ],
)
@pytest.mark.parametrize("into", ["append", "replace"])
def test_what_a_text_may_hold_among_quotes_that_are_text(
    tmp_path: Path, target: str, problem: str | None, into: str
) -> None:
    document = opened(table(tmp_path, STORY).path, "text", into=into)
    first = segments(document)[0]
    assert document.problem(first, (target,)) == problem
    if problem is None:
        output = splice(document, {first.id: ((target,), State.DONE)})
        assert target.encode() in output
        lines = output.decode().splitlines()
        changed = lines[1].split("\t")
        assert changed == (["1", target, "x"] if into == "replace" else ["1", '"I went home.', "x", target])
        rest = [line.removesuffix("\t") for line in lines[2:]]
        assert rest == STORY.splitlines()[2:]


def test_laws_hold_where_quotes_are_text(tmp_path: Path) -> None:
    for into in ("append", "replace", "note2"):
        for text in (STORY, STORY.replace("\n", "\r\n"), STORY.removesuffix("\n")):
            check_format(CsvFormat(), [table(tmp_path, text).path], values={"column": ["text"], "into": [into]})


# The other readers


def test_pairs_and_glossaries_go_by_the_same_rule(tmp_path: Path) -> None:
    story = "en\tes\n" + "".join(f"{line.split(chr(9))[1]}\tx\n" for line in STORY.splitlines()[1:])
    for name in ("a.tsv", "a.csv"):
        file = table(tmp_path, story, name)
        sources = [unit.sources[0] for unit in read_units(file.path, "en", "es")]
        assert sources == [line.split("\t")[0] for line in story.splitlines()[1:]]
    terms = load_glossary([table(tmp_path, 'en\tes\n5" disk\tdisco\n"as is\tasí\n', "g.tsv").path], "en", "es").terms
    assert [term.sources for term in terms] == [('5" disk',), ('"as is',)]
    terms = load_glossary([table(tmp_path, 'en\tes\n"a ""b"""\tx\n', "g.tsv").path], "en", "es").terms
    assert [term.sources for term in terms] == [('a "b"',)]


def test_check_judges_every_row(cli: Cli, tmp_path: Path) -> None:
    rows = [line.split("\t")[1] for line in STORY.splitlines()[1:]]
    table(tmp_path, "en\tes\n" + "".join(f"{row}\t\t{number}\n" for number, row in enumerate(rows)), "empty.tsv")
    table(tmp_path, "en\tes\n" + "".join(f"{row}\tNo. 7\n" for row in rows))
    for more in ([], ["--column", "en", "--into", "es"]):
        done = cli("check", "a.tsv", "--to", "es", "--only", "numbers", *more)
        assert [line.split(":")[1] for line in done.stdout.decode().splitlines()] == ["2", "3", "4", "5", "6", "7"]
        assert b"segments: 6" in done.stderr


# Runs


def logged(path: Path) -> list[str]:
    (run,) = read_history(path).runs
    return [record.source for group in read_groups(path, run) for record in group]


TEXTS = [line.split("\t")[1] for line in STORY.splitlines()[1:]]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
@pytest.mark.parametrize("into", ["append", "replace"])
def test_a_run_keeps_rows_apart(cli: Cli, tmp_path: Path, name: str, into: str) -> None:
    table(tmp_path, STORY, name)
    more = [] if name == "a.tsv" else ["-O", "delimiter=\\t"]
    command = ["run", name, "--to", "es", "--column", "text", "--into", into, *more]
    done = cli(*command, "--backend", "identity", "-o", "same.out")
    assert done.returncode == 0, done.stderr.decode()
    assert "quotes are read as part of the texts; if they stand around cells: -O 'quotechar=\"'" in done.stderr.decode()
    assert logged(tmp_path / "same.out.align.jsonl") == TEXTS
    assert (tmp_path / "same.out").read_text() == STORY
    again = cli(*command, "--backend", "identity", "-o", "same.out")
    assert b"up to date" in again.stderr
    around = cli(*command, "--backend", "identity", "-o", "around.out", "-O", 'quotechar="')
    assert around.returncode == 0, around.stderr.decode()
    assert len(logged(tmp_path / "around.out.align.jsonl")) == 4
    done = cli(*command, "--backend", "pseudo", "-o", "new.out")
    assert done.returncode == 0, done.stderr.decode()
    rows = by_stdlib((tmp_path / "new.out").read_text(), quotes=False)[1:]
    found = zip(TEXTS, rows, strict=True)
    assert [row[0] for text, row in found if row[3 if into == "append" else 1] != text] == ["1", "2", "3", "4", "6"]


def test_standard_input_is_read_so_too(cli: Cli) -> None:
    done = cli("run", "-", "--format", "csv", "--to", "es", "--column", "text", "--into", "replace",
               "--backend", "identity", stdin=STORY.encode())  # fmt: skip
    assert (done.returncode, done.stdout.decode()) == (0, STORY)
    assert b"segments: 6" in done.stderr


#: By any other name this would seem to be parted by commas.
COMMAS = 'id\ta,b,c\n1\t"Go", he said, now\n2\t"one, two, three"\n'


def test_the_output_is_read_as_the_input_was(cli: Cli, tmp_path: Path) -> None:
    """Under the name that it has until it is in place."""
    table(tmp_path, COMMAS)
    done = cli("run", "a.tsv", "--to", "es", "--column", "2", "--into", "replace", "--backend", "pseudo")
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "a.es.tsv").read_text().count("\t") == 3
    assert json.loads((tmp_path / "a.es.tsv.align.jsonl").read_text().splitlines()[0])["detected"] == {
        "delimiter": "\t",
        "quotechar": "",
    }


def test_replay_reads_as_the_run_did(cli: Cli, tmp_path: Path) -> None:
    table(tmp_path, COMMAS)
    assert cli("run", "a.tsv", "--to", "es", "--column", "2", "--backend", "pseudo").returncode == 0
    (tmp_path / "a.tsv").rename(tmp_path / "moved")
    done = cli("replay", "a.es.tsv.align.jsonl", "--input", "moved", "-o", "b")
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a.es.tsv").read_bytes()


QUOTING = """
    from batchtrans import Backend, Declared, Result, hookimpl

    class Quoting(Backend):
        def start(self, source_lang, target_lang):
            return {"backend": "quoting"}

        def translate(self, requests):
            for request in requests:
                text = {"Open.": '"Abrir.', "Close.": "a\\tb.", "Save.": 'Un "no".'}[request.source]
                yield Result(request.id, text)

    @hookimpl
    def batchtrans_backends():
        return [Declared("quoting", "quoting:Quoting", "brings in quotes and tabs")]
"""


def test_what_a_backend_brings_in_is_written_as_it_is_or_refused(cli: Cli, plugin: Install, tmp_path: Path) -> None:
    text = 'text\tnote\nOpen.\t"lone\nClose.\tx\nSave.\tx\n'
    table(tmp_path, text)
    done = cli("run", "a.tsv", "--to", "es", "--column", "text", "--into", "replace", "--backend", "quoting",
               plugins=(plugin("quoting", QUOTING),))  # fmt: skip
    assert done.returncode == 1
    assert b"line 3: left untranslated: the translation adds line breaks or tabs: U+0009" in done.stderr
    assert (tmp_path / "a.es.tsv").read_text() == 'text\tnote\n"Abrir.\t"lone\nClose.\tx\nUn "no".\tx\n'


def test_a_killed_run_goes_on_by_the_same_reading(plugin: Install, tmp_path: Path) -> None:
    plugins = plugin("slowly", SLOW)
    rows = [f'{number}\t"Speech {number} begins.\n{number}\tSpeech {number} ends."\n' for number in range(40)]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        table(tmp_path / name, "id\ttext\n" + "".join(rows))
    command = [sys.executable, "-m", "batchtrans", "run", "a.tsv", "--to", "es", "--column", "text"]

    def start(name: str, seconds: str) -> subprocess.Popen[bytes]:
        environment = plugin_environment(plugins, SLOW_TRACE=str(tmp_path / name / "trace"), SLOW_SECONDS=seconds)
        return subprocess.Popen(
            [*command, "--backend", "slow"], cwd=tmp_path / name, env=environment, stderr=subprocess.DEVNULL
        )

    assert start("whole", "0").wait(60) == 0
    log = tmp_path / "killed" / "a.es.tsv.align.jsonl"
    process = start("killed", "0.2")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not log.exists() or log.read_bytes().count(b"\n") < 6):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert 0 < len(logged(log)) < 80
    assert not (tmp_path / "killed" / "a.es.tsv").exists()
    assert start("killed", "0").wait(60) == 0
    output = (tmp_path / "killed" / "a.es.tsv").read_bytes()
    assert output == (tmp_path / "whole" / "a.es.tsv").read_bytes()
    assert len(logged(log)) == 80
    assert output.decode().splitlines()[1:3] == [
        '0\t"Speech 0 begins.\tEl "Speech 0 begins.',
        '0\tSpeech 0 ends."\tEl Speech 0 ends."',
    ]
