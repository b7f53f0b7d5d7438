"""``batchtrans eval`` as a user calls it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny_model
from batchtrans import plugins
from conftest import ROOT, Cli, plugin_environment
from tiny_training import here

pytest.importorskip("accelerate")

LINES = [
    (source.replace("\ue000", "{name}"), target.replace("\ue000", "{name}")) for source, target in tiny_model.PAIRS
]
Run = Callable[..., tuple[str, str]]


@pytest.fixture
def llama(plugin: Callable[[str, str], Path]) -> tuple[Path, ...]:
    """What makes the command line know the command where its distribution is on the path but not installed."""
    if "eval" in plugins.registry().commands:
        return ()
    return (plugin("llama_here", "from batchtrans_llama import batchtrans_backends, batchtrans_commands"),)


def command(*arguments: str) -> list[str]:
    """``eval`` of the tiny model on its pairs."""
    model = () if "--base" in arguments else ("--base", str(tiny_model.model()))
    return ["eval", "pairs.csv", "--to", "es", "--device", "cpu", *model, *arguments]


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory with the tiny model's pairs."""
    rows = "".join(f'"{source}","{target}"\n' for source, target in LINES)
    (tmp_path / "pairs.csv").write_text("en,es\n" + rows, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def evaluate(pairs: None) -> Run:
    """Run ``eval`` in this process; what it prints to standard output and to standard error."""

    def run(*arguments: str, code: int = 0) -> tuple[str, str]:
        done = here(*command(*arguments))
        assert done.code == code, done.said
        return done.out, done.said

    return run


def cells(table: str, system: str) -> dict[str, str]:
    """The cells of one line of the table, by their headings."""
    head = next(line for line in table.splitlines() if line.startswith("system "))
    line = next(line for line in table.splitlines() if re.match(rf"{re.escape(system)}  ", line))
    return dict(zip(re.split(r"  +", head), re.split(r"  +", line), strict=False))


def test_the_base_runs_on_and_the_adapter_stops(pairs: None, cli: Cli, llama: tuple[Path, ...], tmp_path: Path) -> None:
    done = cli(*command("--json", "out.json", "--html", "out.html", "--worst", "2"), plugins=llama)
    printed, said = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0, said
    base, adapter = cells(printed, "base"), cells(printed, "adapter")
    assert (base["stop"], base["overgen"], base["cap"]) == ("0.0%", "100.0%", "100.0%")
    assert (adapter["stop"], adapter["overgen"], adapter["cap"]) == ("100.0%", "0.0%", "0.0%")
    assert base["chrF++"] == adapter["chrF++"] == "100.0 ±0.0" and adapter["phold"] == "100.0%"
    assert float(cells(printed, "base (raw)")["chrF++"].split()[0]) < 70
    assert "adapter (raw)" not in printed
    assert "adapter against base: chrF++ +0.00 (p=1.000)" in printed
    assert printed.count("worst of ") == 2 and '  wanted  "Abra el archivo."' in printed
    assert said == "pairs.csv: 6 pairs\n"  # and no bar, as this is no terminal
    values = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert values["inputs"] == ["pairs.csv"] and len(values["translations"]) == 6
    segment = values["translations"][3]
    assert segment["source"] == "Delete {name} now" and segment["reference"] == "Borrar {name} ahora"
    assert segment["systems"]["adapter"] == {
        "text": "Borrar {name} ahora", "stops": ["eos"], "logprob": segment["systems"]["adapter"]["logprob"],
        "chrf": 100.0, "flags": segment["systems"]["adapter"]["flags"],
    }  # fmt: skip
    assert segment["systems"]["base"]["raw"].startswith("Borrar {name} ahora\nTranslate the")
    assert segment["systems"]["base"]["flags"]["over_generated"] is True
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "<h2>Side by side</h2>" in page and "base (raw)" in page and "Evaluation, en to es: base, adapter" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "out.json", "pairs.csv"]


def test_another_engine_decodes_if_it_is_asked_for(evaluate: Run, tmp_path: Path) -> None:
    printed, said = evaluate("-O", "engine=graph", "--against", "adapter", "--json", "out.json")
    assert cells(printed, "adapter")["stop"] == "100.0%" and "engine graph: up to " in said
    values = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert values["systems"][0]["described"]["engine"] == "graph"


def test_other_systems_stand_beside_the_model(evaluate: Run, tmp_path: Path) -> None:
    (tmp_path / "theirs.txt").write_text("".join(f"{target}\n" for _, target in LINES), encoding="utf-8")
    (tmp_path / "upper.py").write_text("import sys\nsys.stdout.write(sys.stdin.read().upper())\n")
    (tmp_path / "shots.csv").write_text("en,es\nThe file is white.,El archivo es blanco.\nWhere is it?,¿Dónde está?\n")
    printed, _ = evaluate(
        "--against", "file:theirs.txt", "--against", "base-2shot,adapter",
        "--against", f"cmd:{sys.executable} upper.py", "--shots", "shots.csv", "--limit", "4",
        "--comet-cmd", f"{sys.executable} -c 'print(0.5)' {{source}} {{target}} {{reference}}",
    )  # fmt: skip
    python = Path(sys.executable).name
    assert [line.split()[0] for line in printed.splitlines()[3:8]] == [
        "theirs.txt", "base-2shot", "base-2shot", "adapter", python,
    ]  # fmt: skip
    assert "test set: 4 segments" in printed
    assert cells(printed, "theirs.txt")["stop"] == "-" and cells(printed, "theirs.txt")["seg/s"] == "-"
    assert cells(printed, "adapter")["COMET"] == "0.5000" and "COMET n/a" not in printed
    assert re.search(rf"{python} against theirs.txt: chrF\+\+ -[\d.]+ \(p=0\.0", printed)


def test_a_system_that_is_no_model_needs_none(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("Open it\tAusi\nClose it\tSulje\n", encoding="utf-8")
    done = here("eval", pairs, "--to", "xx", "--columns", "1,2", "--against", "cmd:cat", "--base", "/no/such")
    assert done.code == 0, done.said
    assert cells(done.out, "cat")["len"] == "1.67"


def test_segments_that_a_model_cannot_take_are_said(evaluate: Run, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(f"en,es\n{'word ' * 180}end.,fin\nOpen the file.,Abra el archivo.\n")
    printed, said = evaluate("--against", "adapter")
    assert "adapter: 1 segments have no translation: the prompt has" in said
    assert "adapter: 1 segments have no translation" in printed and cells(printed, "adapter")["empty"] == "50.0%"


def test_what_is_left_out_of_the_pairs_is_said(evaluate: Run, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("en,es\nOpen the file.,Abra el archivo.\nHello,\n")
    _, said = evaluate("--against", "cmd:cat")
    assert said == "pairs.csv: 1 pairs; left out: 1 untranslated\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--against", "bsae"], 2, "--against does not know 'bsae'"),
        (["--against", "base,base"], 2, "names base twice"),
        (["--against", "base-3shot"], 2, "Give a file of translations with --shots"),
        (["--against", "base-9shot", "--shots", "pairs.csv"], 2, "9 examples are wanted, and 0 of 6 pairs"),
        (["--against", "base", "--shots", "none.csv"], 2, "there is no file none.csv"),
        (["--against", "file:none.txt"], 2, "none.txt cannot be read"),
        (["--against", "file:pairs.csv"], 2, "pairs.csv has 7 lines, and the test set 6 segments"),
        (["--against", "cmd:no-such-command"], 2, "there is no command no-such-command"),
        (["--against", "cmd:false"], 3, "false ended with exit code 1: no message"),
        (["--against", "cmd:echo one"], 3, "echo did not answer the 6 texts one by one"),
        (["--against", "adapter", "--adapter", "none"], 2, "has no adapter to evaluate"),
        (["--against", "base", "--base", "/no/such"], 3, "there is no directory /no/such"),
        (["--against", "base", "--from", "qq"], 2, "qq"),
        (["--mixed", "--against", "base,adapter"], 2, "--mixed needs two adapters of one base"),
        (["-O", "beams=4"], 2, "there is no option 'beams'"),
        (["-O", "quant"], 2, "not of the form KEY=VALUE"),
        (["-O", "quant=8bit"], 2, "the option quant cannot be '8bit'"),
        (["--columns", "en"], 2, "--columns takes the column of the sources and that of the targets, not 'en'"),
        (["--columns", "en,fr"], 2, "fr"),
        (["--json", "pairs.csv"], 2, "the output would replace the input pairs.csv"),
        (["--html", "no/such/page.html"], 2, "there is no directory"),
        (["--html", "."], 2, ". is a directory"),
        (["--json", "x", "--html", "x"], 2, "--json and --html name one file"),
        (["--comet-cmd", "comet"], 2, "--comet-cmd does not hold {source} and {target} and {reference}"),
        (["--limit", "0"], 2, "--limit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_without_a_traceback(
    evaluate: Run, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    printed, said = evaluate(*arguments, code=code)
    assert words in said and printed == ""
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]


def test_files_without_pairs_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("en,es\nHello,\n")
    done = here("eval", empty, "--to", "es", "--against", "cmd:cat")
    assert done.code == 2 and f"error: no translations in {empty}" in done.said


def test_a_failing_comet_is_not_there_and_the_rest_is(evaluate: Run) -> None:
    printed, _ = evaluate("--against", "cmd:cat", "--comet-cmd", "false {source} {target} {reference}")
    assert cells(printed, "cat")["COMET"] == "n/a"
    assert "COMET n/a: false ended with exit code 1: no message" in printed


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal to write to")
def test_on_a_terminal_a_bar_shows_how_far_a_model_is(pairs: None, llama: tuple[Path, ...]) -> None:
    import fcntl
    import os
    import pty
    import struct
    import subprocess
    import termios

    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "batchtrans", *command("--against", "adapter")],
        env=plugin_environment(*llama), stdout=subprocess.DEVNULL, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(main, 4096):
            shown += chunk
    except OSError:
        pass  # how Linux says that the other side is closed
    assert process.wait(60) == 0
    os.close(main)
    assert b"adapter: 100%" in shown and b"scores: 100%" in shown and b"6/6" in shown and b"segments/s" in shown


def test_the_page_on_evaluation_has_every_option_and_column() -> None:
    from batchtrans_llama.commands import evaluate
    from batchtrans_llama.evaluation.metrics import Flags
    from batchtrans_llama.evaluation.table import COLUMNS
    from test_docs import options_table

    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert options_table(evaluate) in text
    assert "".join(f"| `{column.heading}` | {column.meaning} |\n" for column in COLUMNS) in text
    assert all(f"`{name}`" in text for name in Flags._fields)
