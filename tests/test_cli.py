"""Options, exit codes, inputs and outputs of the command line."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import SAMPLES, Cli, plugin_environment

Install = Callable[[str, str], Path]
PSEUDO = ("--to", "es", "--backend", "pseudo")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "none.txt", *PSEUDO], 2, "there is no file none.txt"),
        (["run", "/dev/null", *PSEUDO], 2, "/dev/null is no file that can be read twice"),
        (["run", "*.nothing", *PSEUDO], 2, "nothing matches"),
        (["run", "a.xyz", *PSEUDO], 2, "--format"),
        (["run", "a.txt", *PSEUDO, "--format", "docx"], 2, "Installed: po"),
        (["run", "a.txt", "--to", "es", "--backend", "magic"], 2, "Installed: identity"),
        (["run", "a.txt", *PSEUDO, "-O", "colour=red"], 2, "Known options: encoding, unit"),
        (["run", "a.txt", *PSEUDO, "-O", "unit"], 2, "KEY=VALUE"),
        (["run", "a.txt", *PSEUDO, "-O", "encoding=klingon"], 2, "klingon"),
        (["run", "a.txt", *PSEUDO, "--column", "x"], 2, "'column'"),
        (["run", "a.txt", *PSEUDO, "--model", "x"], 2, "'model'"),
        (["run", "a.txt", *PSEUDO, "--in-place", "-o", "b.txt"], 2, "--in-place"),
        (["run", "a.txt", *PSEUDO, "-o", "a.txt"], 2, "--in-place"),
        (["run", "a.txt", "b.txt", *PSEUDO, "--log", "x"], 2, "--log"),
        (["run", "a.txt", "b.txt", *PSEUDO, "-o", "a.xyz"], 2, "several inputs"),
        (["run", "a.txt", "b.txt", *PSEUDO, "-o", "one.txt"], 2, "if it is to be called so: -o one.txt/"),
        (["run", ".", *PSEUDO, "-o", "-"], 2, "-o - is for one document, and . names 4"),
        (["run", "a.txt", "sub/a.txt", *PSEUDO, "-o", "out/"], 2, "would both be written"),
        (["run", "a.txt", "--to", "../x", "--backend", "pseudo"], 2, "not a language code"),
        (["run", "a.txt", "--to", "", "--backend", "pseudo"], 2, "not a language code"),
        (["run", "a.txt", *PSEUDO, "-o", "nowhere/a.txt"], 2, "no directory nowhere"),
        (["run", "a.txt", *PSEUDO, "--log", "nowhere/log"], 1, "or write elsewhere with --log."),
        (["run", "a.txt", *PSEUDO, "--memory", "none.csv"], 2, "no memory file"),
        (["run", "a.txt", "-", *PSEUDO], 2, "one document"),
        (["run", "-", *PSEUDO, "--in-place"], 2, "--in-place"),
        (["run", "table.csv", *PSEUDO], 2, "description"),
        (["run", "table.csv", *PSEUDO, "--column", "price tag"], 2, "description"),
        (["run", "a.txt"], 2, "--to"),
        (["replay", "a.txt"], 1, "not an alignment log"),
        (["check", "a.txt"], 2, "one language"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    cli: Cli, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    for name in ("a.txt", "b.txt", "a.xyz"):
        (tmp_path / name).write_text("one thing\n")
    shutil.copy(SAMPLES / "input.csv", tmp_path / "table.csv")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("another thing\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = cli(*arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr.decode() and b"Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("bad", "code", "says"),
    [
        ("a.txt", 1, "a.txt, byte 4: byte 0xff is not utf-8\n  Name the file's encoding, for example -O encoding"),
        ("c.po", 1, "c.po:1"),
        ("french.po", 2, "french.po: its translations are in 'fr'"),
        ("none.txt", 2, "there is no file none.txt"),
        ("n" * 300, 2, "File name too long"),
        ("*.nothing", 2, "nothing matches *.nothing"),
        ("fifo.txt", 2, "fifo.txt is no file that can be read twice\n  Give it as standard input"),
        ("a.xyz", 2, "a.xyz: no format reads .xyz\n  Known endings"),
    ],
)
def test_a_refused_input_does_not_stop_the_others(cli: Cli, tmp_path: Path, bad: str, code: int, says: str) -> None:
    (tmp_path / "a.txt").write_bytes(b"one \xff thing\n")
    (tmp_path / "a.xyz").write_text("one thing\n")
    (tmp_path / "b.txt").write_text("other thing\n")
    (tmp_path / "c.po").write_text('msgid "no end\n')
    (tmp_path / "french.po").write_text('msgid ""\nmsgstr "Language: fr\\n"\n\nmsgid "one"\nmsgstr "un"\n')
    os.mkfifo(tmp_path / "fifo.txt")
    before = sorted(path.name for path in tmp_path.iterdir())
    alone = cli("run", bad, *PSEUDO)
    assert alone.returncode == code and says in alone.stderr.decode() and b"reasons above" not in alone.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    done = cli("run", bad, "b.txt", *PSEUDO)
    assert done.returncode == 1
    assert says in done.stderr.decode() and done.stderr.endswith(f"for the reasons above: {bad}\n".encode())
    made = {path.name for path in tmp_path.iterdir()} - set(before)
    assert made == {"b.es.txt", "b.es.txt.align.jsonl"}


def test_of_many_refused_inputs_the_first_are_named_in_the_end(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    done = cli("run", "a.txt", *(f"none{number}.txt" for number in range(25)), *PSEUDO)
    assert done.returncode == 1 and done.stderr.count(b"there is no file none") == 25
    assert done.stderr.endswith(b" none18.txt, none19.txt and 5 more\n")


def test_what_concerns_all_inputs_stops_them_though_one_is_refused_by_itself(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "sub/a.txt", "b.txt"):
        (tmp_path / name).write_text("one thing\n")
    for arguments in (
        ["a.txt", "sub/a.txt", "none.txt", "-o", "out/"],
        ["b.txt", "none.txt", "-O", "colour=red"],
        ["b.txt", "none.txt", "--log", "log"],
        ["none.txt", "nothing.txt"],
    ):
        done = cli("run", *arguments, *PSEUDO)
        assert done.returncode == 2, done.stderr
        assert not list(tmp_path.rglob("*.es.txt"))
    assert b"no file none.txt" in done.stderr and b"no file nothing.txt" in done.stderr


def test_an_unreadable_file_does_not_stop_the_others(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    for name in ("a.txt", "b.txt", "closed/c.txt"):
        (tmp_path / name).write_text("one thing\n")
    (tmp_path / "a.txt").chmod(0)
    (tmp_path / "closed").chmod(0)
    if os.access(tmp_path / "a.txt", os.R_OK):
        pytest.skip("nothing is unreadable to the superuser")
    done = cli("run", "a.txt", "closed/c.txt", "b.txt", *PSEUDO)
    (tmp_path / "closed").chmod(0o700)
    assert done.returncode == 1
    assert b"a.txt: Permission denied" in done.stderr and b"closed/c.txt: Permission denied" in done.stderr
    assert (tmp_path / "b.es.txt").exists()


def test_what_is_unreadable_in_a_directory_does_not_stop_the_rest_of_it(cli: Cli, tmp_path: Path) -> None:
    closed = {"b": 0o600, "c": 0o300, ".hidden": 0o300}  # the one may not be entered, the other not be listed
    for name in ("a", *closed, "d"):
        (tmp_path / "texts" / name).mkdir(parents=True)
        (tmp_path / "texts" / name / "e.txt").write_text("one thing\n")
    try:
        for name, mode in closed.items():
            (tmp_path / "texts" / name).chmod(mode)
        if os.access(tmp_path / "texts" / "c", os.R_OK):
            pytest.skip("nothing is unreadable to the superuser")
        done = cli("run", "texts", *PSEUDO)
    finally:
        for name in closed:
            (tmp_path / "texts" / name).chmod(0o700)
    assert done.returncode == 1
    assert b"texts/b/e.txt: Permission denied" in done.stderr and b"texts/c: Permission denied" in done.stderr
    assert b"hidden" not in done.stderr
    made = [path.relative_to(tmp_path / "texts") for path in tmp_path.rglob("*.es.txt")]
    assert sorted(map(str, made)) == ["a/e.es.txt", "d/e.es.txt"]


def test_a_directory_in_which_nothing_can_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    for name in ("a.txt", "closed/b.txt"):
        (tmp_path / name).write_text("one thing\n")
    closed.chmod(0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("nothing is unwritable to the superuser")
    done = cli("run", "a.txt", "closed/b.txt", *PSEUDO)
    assert done.returncode == 1 and (tmp_path / "a.es.txt").exists()
    assert b"cannot be made in the directory closed: Permission denied\n  Make it writable" in done.stderr
    for log in ((), ("--log", "log")):  # the one is what cannot be made first, then the other
        done = cli("run", "a.txt", *PSEUDO, "-o", "closed/new/", *log)
        assert done.returncode == 1
        assert b"error: closed/new/a.es.txt cannot be made in the directory closed/new: Perm" in done.stderr
        done = cli("run", "a.txt", *PSEUDO, "-o", "closed/c.txt", *log)
        assert done.returncode == 1
        assert b"error: closed/c.txt" in done.stderr and b" cannot be made in the directory closed: Perm" in done.stderr


def test_an_output_that_cannot_be_replaced_is_named_with_its_directory(cli: Cli, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "a.txt").write_text("one thing\n")
    assert cli("run", "closed/a.txt", *PSEUDO).returncode == 0
    (closed / "a.txt").write_text("other thing\n")
    closed.chmod(0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("nothing is unwritable to the superuser")
    done = cli("run", "closed/a.txt", *PSEUDO)
    assert done.returncode == 1
    assert b"error: closed/a.es.txt cannot be replaced in the directory closed: Permission denied\n" in done.stderr


#: As users have it: standard output keeps what it could not write until the end.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def test_a_reader_that_goes_early_is_no_defect(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one thing\n" * 100_000)
    command = [sys.executable, "-m", "batchtrans", "run", "a.txt", *PSEUDO, "-o", "-"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=BUFFERED
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert b"Exception ignored" not in said and b"Traceback" not in said


def test_what_standard_output_does_not_take_is_not_said_to_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    command = [sys.executable, "-m", "batchtrans", "run", "a.txt", *PSEUDO, "-o", "-"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, timeout=60, env=BUFFERED)
    assert done.returncode == 1
    assert done.stderr == (
        b"batchtrans: error: standard output cannot be written: No space left on device\n  Name a file with -o.\n"
    )


@pytest.mark.parametrize(("redirected", "stream"), [("a.txt -o - >&-", "output"), ("- --format txt <&-", "input")])
def test_a_closed_standard_stream_is_said(tmp_path: Path, redirected: str, stream: str) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    command = shlex.join([sys.executable, "-m", "batchtrans", "run", *PSEUDO]) + " " + redirected
    done = subprocess.run(command, shell=True, cwd=tmp_path, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2
    message = f"batchtrans: error: standard {stream} is closed\n  Name a file, or connect it.\n"
    assert done.stderr.decode() == message
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_translators_names_are_left_to_the_translators(cli: Cli, tmp_path: Path) -> None:
    entries = ('msgid "translator-credits"', 'msgctxt "EMAIL OF TRANSLATORS"\nmsgid "Your emails"', 'msgid "Open"')
    (tmp_path / "a.po").write_text("".join(f'{entry}\nmsgstr ""\n\n' for entry in entries))
    done = cli("run", "a.po", *PSEUDO)
    assert done.returncode == 0 and b"written: 1, not selected: 2" in done.stderr
    assert (tmp_path / "a.es.po").read_text().count('msgstr ""\n\n') == 2
    assert b"up to date" in cli("run", "a.po", *PSEUDO).stderr


def test_directories_and_globs_are_searched_but_not_for_outputs(cli: Cli, tmp_path: Path) -> None:
    for name in ("d/a.txt", "d/sub/b.po", "d/sub/.hidden/c.txt", "d/notes.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('msgid "one"\nmsgstr ""\n' if name.endswith("po") else "one\n")
    for _ in range(2):
        assert cli("run", "d", *PSEUDO).returncode == 0
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.es.*") if path.suffix != ".jsonl")
    assert found == ["d/a.es.txt", "d/sub/b.es.po"]
    assert cli("run", "d", *PSEUDO, "-o", "out").returncode == 0
    assert (tmp_path / "out" / "sub" / "b.es.po").exists()
    assert cli("run", "d/*.txt", *PSEUDO, "-o", "globbed/").returncode == 0
    assert (tmp_path / "globbed" / "a.es.txt").exists()


def test_a_shell_glob_names_outputs_too_and_files_twice(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt").write_text("two\n")
    assert cli("run", "a.txt", "b.txt", "*.txt", *PSEUDO).returncode == 0
    names = sorted(path.name for path in tmp_path.glob("*.txt"))
    assert names == ["a.es.txt", "a.txt", "b.es.txt", "b.txt"]
    assert cli("run", *names, *PSEUDO).returncode == 0
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == names


def test_standard_input_goes_to_standard_output_alone(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "-", *PSEUDO, stdin=b"one thing\n")
    assert done.returncode == 0
    assert done.stdout.decode().startswith("óñë") and done.stdout.endswith(b"\n")
    assert done.stderr.startswith(b"- is read as txt; if it is not that, say what it is: --format po|csv")
    assert not list(tmp_path.iterdir())
    done = cli("run", "-", *PSEUDO, "--log", "log", stdin=b"one thing\n")
    assert done.returncode == 0 and [path.name for path in tmp_path.iterdir()] == ["log"]
    done = cli("run", "-", *PSEUDO, "-o", "out.txt", stdin=b"one thing\n")
    assert done.stdout == b"" and (tmp_path / "out.txt").exists()
    done = cli("run", "-", *PSEUDO, "--format", "po", stdin=b'msgid "one"\nmsgstr ""\n')
    assert b"msgstr" in done.stdout and b"is read as" not in done.stderr


def test_a_file_can_go_to_standard_output(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    done = cli("run", "a.txt", *PSEUDO, "-o", "-")
    assert done.returncode == 0 and done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_template_becomes_a_catalogue(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "messages.pot").write_text('msgid "one"\nmsgstr ""\n')
    assert cli("run", "messages.pot", *PSEUDO).returncode == 0
    assert (tmp_path / "messages.es.po").exists()


def test_a_catalogue_that_is_translated_already_is_left_and_what_to_try_is_said(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.po").write_text('msgid "Open"\nmsgstr "Abrir"\n')
    done = cli("run", "a.po", *PSEUDO)
    assert done.returncode == 0 and b"not selected: 1" in done.stderr and b"--redo all" in done.stderr
    assert 'msgstr "Abrir"' in (tmp_path / "a.es.po").read_text()
    assert b"--redo all" not in cli("run", "a.po", *PSEUDO, "--redo", "all", "--fresh").stderr


def test_no_backend_and_no_model_is_said_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    code = (
        "import sys; from batchtrans import cli, plugins;"
        "plugins.registry().backends.pop('llama', None); sys.exit(cli.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "a.txt", "--to", "es"], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert done.returncode == 3
    assert b"batchtrans-en-es" in done.stderr and b"--backend pseudo" in done.stderr


def test_doctor_and_version_answer(cli: Cli) -> None:
    assert re.match(r"batchtrans, version \d", cli("--version").stdout.decode())
    done = cli("doctor")
    assert done.returncode == 0 and b"formats: po, csv, txt" in done.stdout


def test_the_installed_script_is_the_same_command_line() -> None:
    script = Path(sys.executable).with_name("batchtrans")
    done = subprocess.run([script, "--version"], capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith(b"batchtrans, version")


def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = [sys.executable, "-m", "batchtrans", "run", "a.txt", *PSEUDO]
    done = subprocess.run(command, cwd=tmp_path, stderr=follower, env=plugin_environment(), timeout=60)
    os.close(follower)
    text = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert done.returncode == 0
    assert "segments" in text and "100%" in text
