"""``batchtrans check``: what it finds in which kind of file, how it says so, and that it finds all that msgfmt does."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from batchtrans import cli as cli_module
from batchtrans.checking import Checker, Request
from batchtrans.errors import UsageError
from batchtrans.findings import RULES, Finding, as_line, as_sarif
from batchtrans.plugins import registry
from conftest import DATA, ROOT, SAMPLES, Cli
from sarif_schema import SARIF
from test_docs import options_table

HEADER = r"""msgid ""
msgstr ""
"Project-Id-Version: shop 1\n"
"PO-Revision-Date: 2026-01-01 00:00+0000\n"
"Last-Translator: A <a@example.org>\n"
"Language-Team: Spanish\n"
"Language: es\n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Content-Transfer-Encoding: 8bit\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"

"""
FAULTY = (
    HEADER
    + r"""#, c-format
msgid "%d files"
msgstr "archivos"

msgid "Open the file."
msgstr "Abrir el archivo"

#, c-format
msgid "%s: one file\n"
msgid_plural ""
"%s: %d files\n"
msgstr[0] ""
"%s: un archivo\n"
msgstr[1] "%s: %s "
"archivos\n"

#, fuzzy, c-format
msgid "%d bytes"
msgstr "bytes"

msgid "Close"
msgstr ""
"""
)


def check(path: Path, **options: Any) -> list[Finding]:
    return list(Checker(Request(**options), registry()).check(path))


def found(path: Path, **options: Any) -> list[tuple[int, int | None, str, str]]:
    return [(each.line, each.form, each.severity, each.check) for each in check(path, **options)]


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "a.po"
    path.write_text(FAULTY)
    return path


# Catalogues


def test_a_finding_stands_on_the_line_of_its_msgstr(faulty: Path) -> None:
    expected = [(15, None, "error", "placeholders"), (18, None, "warning", "end"), (26, 1, "error", "placeholders")]
    assert found(faulty) == expected
    faulty.write_bytes(FAULTY.replace("\n", "\r\n").encode())
    assert found(faulty) == expected


def test_fuzzy_and_untranslated_entries_are_left_out_unless_asked_for(faulty: Path) -> None:
    checker = Checker(Request(), registry())
    list(checker.check(faulty))
    assert checker.checked[0]._asdict() == {
        "path": str(faulty), "segments": 3, "left_out": {"fuzzy": 1, "untranslated": 1}
    }  # fmt: skip
    assert found(faulty, fuzzy=True)[-1] == (31, None, "error", "placeholders")
    assert found(faulty, untranslated=True)[-1] == (34, None, "warning", "untranslated")


def test_checks_are_chosen_by_name_and_severity(faulty: Path) -> None:
    assert {each.check for each in check(faulty, only=frozenset({"end"}))} == {"end"}
    assert {each.check for each in check(faulty, skip=frozenset({"placeholders"}))} == {"end"}
    assert {each.check for each in check(faulty, severity="error")} == {"placeholders"}


def test_an_entry_may_opt_out_of_a_check(tmp_path: Path) -> None:
    path = tmp_path / "a.po"
    path.write_text(HEADER + '#, ignore-end, ignore-numbers\nmsgid "Open 2."\nmsgstr "Abrir"\n')
    assert not found(path)
    path.write_text(HEADER + '#, ignore-end\nmsgid "Open 2."\nmsgstr "Abrir"\n')
    assert found(path) == [(15, None, "warning", "numbers")]
    path.write_text(HEADER + 'msgid "translator-credits"\nmsgstr "A <a@example.org>, https://a.example"\n')
    assert not found(path)


@pytest.mark.parametrize(
    ("text", "line", "code", "severity"),
    [
        ("", 1, "header", "error"),
        (HEADER.replace("UTF-8", "CHARSET"), 1, "header", "warning"),
        (HEADER.replace('"MIME-Version: 1.0\\n"\n', ""), 1, "header", "warning"),
        (HEADER.replace("shop 1", "PACKAGE VERSION"), 1, "header", "warning"),
        (HEADER.replace("(n != 1)", "n+"), 1, "plurals", "error"),
        (HEADER + 'msgid "a"\nmsgstr "b"\n\nmsgid "a"\nmsgstr "b"\n', 16, "duplicate", "error"),
        (HEADER + '#~ msgid "a"\n#~ msgstr "b"\n\nmsgid "a"\nmsgstr "b"\n', 16, "duplicate", "error"),
        (HEADER + 'msgid "a"\nmsgstr "b"\n\n#~ msgctxt "x"\n#~ msgid "a"\n\n#~ msgid "a"\n', 19, "duplicate", "error"),
        (HEADER + 'msgid "a"\nmsgid_plural "as"\nmsgstr[0] "b"\n', 15, "plurals", "error"),
        (HEADER + 'msgid "a\\n"\nmsgid_plural "as"\nmsgstr[0] "b"\nmsgstr[1] "c"\n', 13, "newlines", "error"),
        (HEADER + 'msgid "a"\nmsgstr b\n', 14, "syntax", "error"),
        ("\ufeff" + HEADER, 1, "syntax", "error"),
    ],
)
def test_the_file_itself_is_judged(text: str, line: int, code: str, severity: str, tmp_path: Path) -> None:
    path = tmp_path / "a.po"
    path.write_text(text)
    assert (line, None, severity, code) in found(path)


def test_a_byte_that_does_not_decode_is_found_on_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.po"
    path.write_bytes(HEADER.encode() + b'msgid "a"\nmsgstr "\xff"\n')
    assert [(each.line, each.check) for each in check(path)][-1] == (14, "syntax")


# Against msgfmt


@pytest.mark.parametrize("flag", ["#, c-format\n", ""])
def test_a_form_for_one_may_leave_its_number_out_or_show_it(flag: str, tmp_path: Path) -> None:
    entry = flag + 'msgid "{}"\nmsgid_plural "%d files"\nmsgstr[0] "{}"\nmsgstr[1] "%d archivos"\n\n'
    pairs = [("One file", "un archivo"), ("A file", "%d archivo"), ("%d file", "un archivo"), ("File %d", "%s")]
    path = tmp_path / "a.po"
    path.write_text(HEADER + "".join(entry.format(*pair) for pair in pairs))
    message = "form 0: argument 1 (%s) is text in the translation, integer in the source"
    assert [each.said() for each in check(path, severity="error")] == [message]


def test_directives_are_held_against_the_plural_as_msgfmt_does(tmp_path: Path) -> None:
    entry = '#, c-format\nmsgid "One {0}"\nmsgid_plural "%d {0}s"\nmsgstr[0] "%d {1}"\nmsgstr[1] "{2}"\n\n'
    path = tmp_path / "a.po"
    path.write_text(HEADER + entry.format("file", "archivo", "%d archivos") + entry.format("table", "tabla", "tablas"))
    assert [each.said() for each in check(path, severity="error")] == ["form 1: the translation lacks argument 1 (%d)"]


def refused_by_msgfmt(path: Path) -> bool:
    done = subprocess.run(["msgfmt", "--check", "-o", "/dev/null", path], capture_output=True, timeout=30)
    return done.returncode != 0


def test_a_catalogue_that_is_not_ascii_has_to_name_its_charset(tmp_path: Path) -> None:
    """msgfmt from 0.22 on refuses it otherwise."""
    path = tmp_path / "a.po"
    for header, text, refused in (
        ("", "b", False), ("", "é", True), ("charset=CHARSET", "é", True), ("charset=UTF-8", "é", False),
    ):  # fmt: skip
        content = f'"Content-Type: text/plain; {header}\\n"\n' if header else '"Project-Id-Version: x\\n"\n'
        entry = f'\nmsgid "a"\nmsgstr "{text}"\n\nmsgid "c"\nmsgstr "{text}"\n'
        path.write_text(f'msgid ""\nmsgstr ""\n{content}{entry}', encoding="utf-8")
        found = [(each.line, each.check) for each in check(path, severity="error")]
        assert found == ([(5, "header")] if refused else [])


#: What msgfmt refuses and check does not: several domains, which one output file cannot hold. (The other difference:
#: the syntax within obsolete entries, which nobody reads, see docs/checking.md.)
NOT_REFUSED = {"made_domains.po"}
CATALOGUES = sorted([*DATA.glob("p*/*.po*"), *SAMPLES.glob("*.po")])


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.name)
def test_real_catalogues_that_msgfmt_refuses_are_refused(path: Path) -> None:
    assert path.name in NOT_REFUSED or not refused_by_msgfmt(path) or check(path, severity="error")


ENTRIES = [
    '#, c-format\nmsgid "Copy %s to %d places\\n"\nmsgstr "Copiar %s a %d sitios\\n"\n',
    '#, python-format\nmsgid "%(n)d by %(who)s"\nmsgstr "%(n)d de %(who)s"\n',
    '#, python-brace-format\nmsgid "{n} by {who}"\nmsgstr "{who}: {n}"\n',
    '#, c-format\nmsgid "One file in %s"\nmsgid_plural "%2$d files in %1$s"\n'
    'msgstr[0] "Un archivo en %1$s"\nmsgstr[1] "%2$d archivos en %1$s"\n',
    'msgctxt "menu"\nmsgid "\\nFile"\nmsgstr ""\n"\\nArchivo"\n',
    'msgid "Tab\\there \\"quoted\\" back\\\\slash"\nmsgstr "Tab\\taquí \\"entre comillas\\" barra\\\\inversa"\n',
]
#: What can go wrong with a catalogue when people edit or merge it: a pattern and what takes its place.
FAULTS = [
    (r"%s", "%d"), (r"%s", ""), (r"%d", "%d%d"), (r"%d", "% d %y"), (r"\(n\)", "(m)"), (r"\{n\}", "{n"),
    (r"\{n\}", "n"),
    (r"\\n\"", '"'), (r"\"\\n", '"'), (r"\\t", r"\\z"), (r"\\\"", '"'), (r"msgstr\[1\]", "msgstr[2]"),
    (r"msgstr\[1\].*\n", ""), (r"msgstr\[0\]", "msgstr"), (r"msgid_plural.*\n", ""), (r"msgstr \".*\n", ""),
    (r"msgid ", "msgidd "), (r"\"\n", "\n"), (r"#, ", "#, fuzzy, "), (r"1\$", "2$"), (r"2\$", ""),
    (r"\w+\"\n", "\xe9\"\n"),
    (r"$", "msgid \"\\\\nFile\"\nmsgstr \"\"\n"), (r"msgctxt.*\n", ""), (r"archivos?", "\\\\x41"),
]  # fmt: skip
HEADER_FAULTS = [
    ("Plural-Forms:.*n\"\n", '"\n'), ("nplurals=2", "nplurals=1"), ("nplurals=2", "nplurals=x"), ("n != 1", "n/0"),
    ("n != 1", "n%4"), ("plural=\\(n != 1\\);", ""), ("n != 1", "(n != 1"), ("UTF-8", "ASCII"), ("UTF-8", "nothing"),
    ("Language: es", "Language: "), ("^msgid \"\"\nmsgstr \"\"\n(?:\".*\n)+", ""), ("$", 'msgid ""\nmsgstr "x"\n'),
]  # fmt: skip


def made_faulty() -> list[str]:
    """Catalogues with one fault each, at each place where it can be."""
    whole = HEADER + "\n".join(ENTRIES)
    made = [whole]
    for pattern, put in HEADER_FAULTS:
        made.append(re.sub(pattern, put.replace("\\", r"\\"), HEADER) + "\n".join(ENTRIES))
    for number, entry in enumerate(ENTRIES):
        for pattern, put in FAULTS:
            for match in re.finditer(pattern, entry):
                changed = entry[: match.start()] + put + entry[match.end() :]
                made.append(HEADER + "\n".join([*ENTRIES[:number], changed, *ENTRIES[number + 1 :]]))
    return list(dict.fromkeys(made))


def test_what_msgfmt_refuses_of_generated_faults_is_refused(tmp_path: Path) -> None:
    """What is refused beside that are placeholders by stricter rules, empty forms, and a charset that is unknown."""
    catalogues = made_faulty()
    refused, missed, more = 0, [], []
    for text in catalogues:
        path = tmp_path / "a.po"
        path.write_text(text, encoding="utf-8")
        theirs, ours = refused_by_msgfmt(path), check(path, severity="error")
        refused += theirs
        if theirs and not ours:
            missed.append(text.removeprefix(HEADER))
        if ours and not theirs:
            more += [each for each in ours]
    assert not missed
    assert refused > 60 and len(catalogues) > 100
    assert {each.check for each in more} <= {"placeholders", "empty", "syntax"}


# Other files


def test_tables_are_judged_by_their_named_columns(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text('id,source,target\n1,Hi {x},Hola\n2,"Two\nlines",Dos\n3,Bye {y},Adiós\n4,New,\n')
    assert found(table, severity="error") == [(2, None, "error", "placeholders"), (5, None, "error", "placeholders")]
    table.write_text("key,en,es\n1,Hi {x},Hola\n")
    assert found(table, target_lang="es") == [(2, None, "error", "placeholders")]
    table.write_text("name,name_es\nHi {x},Hola\nBye,\n")
    assert found(table, target_lang="es", values={"column": ("name",)}) == [(2, None, "error", "placeholders")]
    assert found(table, values={"column": ("name",), "into": ("name_es",)}) == [(2, None, "error", "placeholders")]
    for options in ({}, {"values": {"column": ("name",)}}):
        with pytest.raises(UsageError, match="column"):
            check(table, **options)


def test_xliff_tmx_and_json_lines_are_judged_with_their_lines(tmp_path: Path) -> None:
    xliff = tmp_path / "a.xlf"
    unit = '<trans-unit id="{}"><source>Hi &lt;b></source>\n<target{}>{}</target></trans-unit>\n'
    xliff.write_text(
        '<xliff version="1.2"><file original="x" source-language="en" target-language="es"><body>\n'
        + unit.format("one", "", "Hola")
        + unit.format("two", ' state="needs-review-translation"', "Adiós")
        + "</body></file></xliff>\n"
    )
    assert [(each.line, each.segment, each.check) for each in check(xliff)] == [(2, "one", "placeholders")]
    assert [each.segment for each in check(xliff, fuzzy=True)] == ["one", "two"]
    tmx = tmp_path / "a.tmx"
    tmx.write_text(
        '<tmx version="1.4"><header/><body>\n<tu tuid="7">\n<tuv xml:lang="en"><seg>%s</seg></tuv>\n'
        '<tuv xml:lang="es"><seg>%d</seg></tuv></tu></body></tmx>\n'
    )
    assert [(each.line, each.segment) for each in check(tmx, target_lang="es")] == [(2, "7")]
    with pytest.raises(UsageError, match="many languages"):
        check(tmx)
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"source": "a", "target": "b"}\n\n{"source": "{x}", "target": "{y}"}\n')
    assert {each.line for each in check(lines)} == {3}
    lines.write_text('{"source": "a"}\n')
    assert found(lines) == [(1, None, "error", "syntax")]
    tmx.write_text("<tmx>\n<tu>\n</tmx>\n")
    assert found(tmx, target_lang="es") == [(3, None, "error", "syntax")]


def test_the_last_run_of_a_log_is_judged_on_the_lines_of_the_log(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Open it\nClose %s now\n42\n")
    cli("run", "a.txt", "--to", "es", "--backend", "pseudo")
    log = tmp_path / "a.es.txt.align.jsonl"
    assert not check(log, severity="error")
    lines = log.read_text().splitlines()
    broken = next(number for number, line in enumerate(lines) if '"Close' in line)
    log.write_text("\n".join(line.replace("%s", "%d", 2).replace("%d", "%s", 1) for line in lines) + "\n")
    assert [(each.line, each.check) for each in check(log, severity="error")] == [(broken + 1, "placeholders")]


# The command line


def test_the_command_prints_a_line_for_each_finding(cli: Cli, faulty: Path) -> None:
    done = cli("check", "a.po", "--skip", "end")
    assert done.returncode == 1
    first, second = done.stdout.decode().splitlines()
    assert first == "a.po:15: error: placeholders: the translation lacks argument 1 (%d)"
    assert second.startswith("a.po:26: error: placeholders: form 1: ")
    assert done.stderr.decode().splitlines()[-1] == "files: 1, segments: 3, errors: 2, warnings: 0"


def test_warnings_exit_0_unless_strict(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.po").write_text(HEADER + 'msgid "Open."\nmsgstr "Abrir"\n')
    assert [cli("check", "a.po", *options).returncode for options in ([], ["--strict"])] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.po", "--only", "nothing"], "there is no check nothing"),
        (["a.po", "--format", "nothing"], "there is no format"),
        (["a.po", "-O", "header=no"], "takes no option 'header'"),
        (["a.po", "-O", "header"], "KEY=VALUE"),
        (["a.txt"], "one language"),
        (["a.bin"], "no format reads this file"),
        (["b.po"], "does not exist"),
        (["a.po", "-o", "a.po"], "would replace the input"),
        (["a.csv"], "does not say which columns"),
    ],
)
def test_what_cannot_be_checked_exits_2(arguments: list[str], message: str, cli: Cli, faulty: Path) -> None:
    for name in ("a.txt", "a.bin"):
        faulty.with_name(name).write_text("text\n")
    faulty.with_name("a.csv").write_text("id,name,price\n1,a,b\n")
    done = cli("check", *arguments)
    assert done.returncode == 2 and message in done.stderr.decode()


def test_the_json_report_is_as_its_schema_says(cli: Cli, faulty: Path) -> None:
    schema = json.loads((ROOT / "docs" / "check.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    done = cli("check", "a.po", "--output-format", "json")
    report = json.loads(done.stdout)
    jsonschema.Draft202012Validator(schema).validate(report)
    assert done.returncode == 1 and report["counts"] == {"error": 2, "warning": 1}
    assert [(each["line"], each["form"]) for each in report["findings"]] == [(15, None), (18, None), (26, 1)]
    items = schema["properties"]["findings"]["items"]["properties"]
    assert list(items) == list(Finding._fields)


def test_the_sarif_report_has_the_shape_of_the_standard(cli: Cli, faulty: Path) -> None:
    done = cli("check", "a.po", "--output-format", "sarif", "-o", "report.sarif")
    assert done.returncode == 1 and not done.stdout
    report = json.loads(faulty.with_name("report.sarif").read_bytes())
    jsonschema.Draft202012Validator(SARIF).validate(report)
    (run,) = report["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert rules[result["ruleIndex"]]["defaultConfiguration"]["level"] == result["level"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "a.po"}, "region": {"startLine": 15}}


def test_a_report_is_no_more_open_than_what_it_tells_of(cli: Cli, faulty: Path) -> None:
    faulty.with_name("b.po").write_text(FAULTY)
    faulty.chmod(0o600)
    assert cli("check", "b.po", "a.po", "-o", "report").returncode == 1
    assert faulty.with_name("report").stat().st_mode & 0o777 == 0o600


def test_a_report_that_cannot_be_written_is_named_and_a_device_is_never_replaced(cli: Cli, faulty: Path) -> None:
    done = cli("check", "a.po", "--severity", "error", "-o", "nowhere/report")
    assert done.returncode == 1
    assert b"error: nowhere/report cannot be made in the directory nowhere: No such file" in done.stderr
    pipe = faulty.with_name("pipe")
    os.mkfifo(pipe)
    done = cli("check", "a.po", "--severity", "error", "-o", "pipe")
    assert done.returncode == 1 and b"error: pipe is not a file that could be replaced" in done.stderr
    assert pipe.is_fifo()


def test_a_finding_keeps_its_fingerprint_when_lines_move(faulty: Path) -> None:
    def fingerprints() -> list[Any]:
        return [result["partialFingerprints"] for result in as_sarif(check(faulty))["runs"][0]["results"]]

    before = fingerprints()
    faulty.write_text(f"# a comment\n\n{FAULTY}")
    assert fingerprints() == before and len({str(each) for each in before}) == 3


def test_paths_are_uris_in_sarif_and_plugins_checks_are_rules(tmp_path: Path) -> None:
    report = as_sarif([Finding("a b/ñ.po", 1, "", None, "style", "warning", "no"), Finding(
        str(tmp_path / "x.po"), 2, "s", 0, "end", "warning", "no")])  # fmt: skip
    jsonschema.Draft202012Validator(SARIF).validate(report)
    uris = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in report["runs"][0]["results"]
    ]
    assert uris == ["a%20b/%C3%B1.po", (tmp_path / "x.po").as_uri()]
    assert report["runs"][0]["tool"]["driver"]["rules"][-1]["id"] == "style"


def test_a_plugins_check_is_made_too(cli: Cli, plugin: Any, faulty: Path) -> None:
    directory = plugin(
        "shouting",
        """
        from batchtrans import Declared, Problem, hookimpl

        @hookimpl
        def batchtrans_checks():
            return [Declared("shouting", "shouting:check", "capitals")]

        def check(source, target, flags):
            if target.isupper():
                yield Problem("shouting", "all in capitals")
        """,
    )
    faulty.write_text(HEADER + 'msgid "Open the door"\nmsgstr "ABRIR LA PUERTA"\n')
    done = cli("check", "a.po", "--only", "shouting", plugins=(directory,))
    assert done.stdout == b"a.po:14: warning: shouting: all in capitals\n" and done.returncode == 0


# What is written about it


def test_the_page_has_the_options_of_check() -> None:
    assert options_table(cli_module.check) in (ROOT / "docs" / "checking.md").read_text(encoding="utf-8")


def test_the_page_names_every_check_with_its_severity() -> None:
    page = (ROOT / "docs" / "checking.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([a-z]+)` \| (error|warning)", page, re.M))
    assert listed == {code: rule.severity for code, rule in RULES.items()}


def test_every_code_of_the_judges_is_a_rule() -> None:
    package = ROOT / "src" / "batchtrans"
    codes: dict[str, set[str]] = {}
    for name in ("checks.py", "placeholders.py", "glossary.py", "checking.py", "formats/po_check.py"):
        for code, rest in re.findall(r'Problem\(\s*"([a-z]+)",(.*(?:\n.*)?)', (package / name).read_text()):
            codes.setdefault(code, set()).add("error" if "hard=True" in rest else "warning")
    assert set(codes) | {"syntax"} == set(RULES)
    for code, severities in codes.items():
        assert RULES[code].severity in severities, code


def test_the_hook_for_pre_commit_runs_the_command(cli: Cli, faulty: Path) -> None:
    yaml = pytest.importorskip("yaml")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert {"id", "name", "entry", "language", "files"} <= set(hook) and re.search(hook["files"], "locale/es.po")
    program, *arguments = hook["entry"].split()
    assert program == "batchtrans" and cli(*arguments, "a.po").returncode == 1


def test_a_line_of_text_can_be_clicked_on() -> None:
    assert as_line(Finding("a.po", 3, "x", 1, "end", "warning", "why")) == "a.po:3: warning: end: form 1: why"
