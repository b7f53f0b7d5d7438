"""The laws of a run, through the real command line: losslessness, resuming, never overwriting what is not ours."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from batchtrans.alignment import AlignmentLog, read_groups, read_history
from batchtrans.textio import AtomicFile
from conftest import SAMPLES, Cli, plugin_environment

Install = Callable[[str, str], Path]

#: A backend that takes its time, and writes down every text that it was asked for.
SLOW = """
    import os, time
    from batchtrans import Backend, Declared, Result, hookimpl

    class Slow(Backend):
        batch_size = 4
        background = bool(os.environ.get("SLOW_BACKGROUND"))

        def start(self, source_lang, target_lang):
            if seconds := os.environ.get("SLOW_START"):
                with open(os.environ["SLOW_TRACE"], "a") as trace:
                    trace.write("loading\\n")
                time.sleep(float(seconds))
            return {"backend": "slow"}

        def translate(self, requests):
            time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
            with open(os.environ["SLOW_TRACE"], "a") as trace:
                for request in requests:
                    trace.write(request.source + "\\n")
                    trace.flush()
                    if os.environ.get("SLOW_REFUSES", "never") in request.source:
                        yield Result(request.id, "")
                    else:
                        yield Result(request.id, "El " + request.source)

    @hookimpl
    def batchtrans_backends():
        return [Declared("slow", "slowly:Slow", "takes its time")]
"""

CATALOGUE = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Language: es\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

"""


def catalogue(texts: list[str]) -> str:
    return CATALOGUE + "\n".join(f'msgid "{text}"\nmsgstr ""\n' for text in texts)


def traced(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def records(log: Path, run: int = -1) -> list[str]:
    return [group[0].segment for group in read_groups(log, read_history(log).runs[run])]


@pytest.fixture
def slow(cli: Cli, plugin: Install, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    plugins = (plugin("slowly", SLOW),)

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        return cli(
            "run", *arguments, "--to", "es", "--backend", "slow",
            plugins=plugins, SLOW_TRACE=str(tmp_path / "trace"), **environment,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("background", ["", "yes"])
def test_killed_at_any_moment_the_same_command_ends_with_the_same_bytes(
    plugin: Install, tmp_path: Path, background: str
) -> None:
    texts = [f"sentence number {number % 50}" if number % 7 else f"line {number}" for number in range(60)]
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    plugins = plugin("slowly", SLOW)
    for name in ("whole", "killed"):
        (tmp_path / name / "a.txt").write_text("\n".join(texts) + "\n")
    command = [sys.executable, "-m", "batchtrans", "run", "a.txt", "--to", "es", "--backend", "slow"]

    def start(name: str, seconds: str) -> subprocess.Popen[bytes]:
        environment = plugin_environment(
            plugins, SLOW_TRACE=str(tmp_path / name / "trace"), SLOW_SECONDS=seconds, SLOW_BACKGROUND=background
        )
        return subprocess.Popen(command, cwd=tmp_path / name, env=environment, stderr=subprocess.DEVNULL)

    assert start("whole", "0").wait(60) == 0
    log = tmp_path / "killed" / "a.es.txt.align.jsonl"
    logged: set[str] = set()
    for kill in range(3):
        before = len(logged)
        process = start("killed", "0.15")
        deadline = time.monotonic() + 60
        while len(logged) < before + 5 and time.monotonic() < deadline:
            time.sleep(0.02)
            logged = set(records(log)) if log.exists() and read_history(log).runs else set()
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
        assert not (tmp_path / "killed" / "a.es.txt").exists()
        logged = set(records(log))
        assert logged, f"kill {kill} came before anything was logged"
    done_before = {record.source for group in read_groups(log, read_history(log).runs[-1]) for record in group}
    (tmp_path / "killed" / "trace").unlink()
    assert start("killed", "0").wait(60) == 0
    assert (tmp_path / "killed" / "a.es.txt").read_bytes() == (tmp_path / "whole" / "a.es.txt").read_bytes()
    assert not done_before & set(traced(tmp_path / "killed" / "trace"))
    assert len(read_history(log).runs) == 1
    assert sorted(records(log)) == sorted(records(tmp_path / "whole" / "a.es.txt.align.jsonl"))


def test_the_summary_and_the_log_say_how_long_a_background_backend_waited(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a line\nanother one\n")
    log = tmp_path / "a.es.txt.align.jsonl"
    done = slow("a.txt", "--fresh")
    assert b"waited for work" not in done.stderr
    assert "idle" not in (read_history(log).runs[-1].end or {})
    done = slow("a.txt", "--fresh", SLOW_BACKGROUND="yes")
    assert re.search(rb"; \d+\.\d s, the backend waited for work: \d+\.\d s\n", done.stderr)
    assert (read_history(log).runs[-1].end or {})["idle"] >= 0


Interrupt = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def interrupt(plugin: Install, tmp_path: Path) -> Interrupt:
    """Run the slow backend until so many lines are in its trace, and send a signal then."""
    plugins = plugin("slowly", SLOW)

    def run(number: int, *arguments: str, traces: int = 8, **environment: str) -> subprocess.CompletedProcess[bytes]:
        trace = tmp_path / "trace"
        environment = plugin_environment(plugins, SLOW_TRACE=str(trace), SLOW_SECONDS="0.2", **environment)
        command = [sys.executable, "-m", "batchtrans", "run", *arguments, "--to", "es", "--backend", "slow"]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + 60
        while len(traced(trace)) < traces and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        out, said = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, said)

    return run


@pytest.mark.parametrize("background", ["", "yes"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_a_log_and_no_output(
    interrupt: Interrupt, tmp_path: Path, number: int, code: int, background: str
) -> None:
    (tmp_path / "a.txt").write_text("".join(f"line {count}\n" for count in range(40)))
    stopped = interrupt(number, "a.txt", SLOW_BACKGROUND=background)
    assert stopped.returncode == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.es.txt.align.jsonl", "a.txt", "trace"]
    last = stopped.stderr.decode().strip()
    found = re.fullmatch(
        r"batchtrans: (interrupted|terminated); (\d+) of 40 segments of a.txt are kept in a.es.txt.align.jsonl; "
        r"the same command goes on from there",
        last,
    )
    assert found and found[1] == ("interrupted" if code == 130 else "terminated"), last
    assert 0 < int(found[2]) <= len(records(tmp_path / "a.es.txt.align.jsonl"))


def test_interrupted_it_says_how_to_go_on_where_the_same_command_would_not(
    interrupt: Interrupt, slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("".join(f"line {count}\n" for count in range(12)))
    (tmp_path / "b.txt").write_text("".join(f"sentence {count}\n" for count in range(12)))
    assert slow("b.txt").returncode == 0
    stopped = interrupt(signal.SIGINT, "a.txt", "b.txt", "--fresh", traces=12 + 12 + 8)
    assert b"12 segments of b.txt, document 2 of 2, are kept in b.es.txt.align.jsonl; " in stopped.stderr
    assert b"the same command with --overwrite in the place of --fresh goes on" in stopped.stderr
    kept = len(records(tmp_path / "b.es.txt.align.jsonl"))
    assert slow("a.txt", "b.txt", "--overwrite").returncode == 0
    assert len(traced(tmp_path / "trace")) - (12 + 12 + 8) <= 12 - kept
    stopped = interrupt(signal.SIGINT, "a.txt", "-o", "-", traces=len(traced(tmp_path / "trace")) + 8)
    assert stopped.stdout == b"" and b"nothing is kept, since - has no log; --log FILE" in stopped.stderr


def test_interrupted_while_the_model_is_loaded_it_says_that_nothing_was_translated(
    interrupt: Interrupt, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    stopped = interrupt(signal.SIGTERM, "a.txt", traces=1, SLOW_START="20")
    assert stopped.returncode == 143 and traced(tmp_path / "trace") == ["loading"]
    assert stopped.stderr == b"batchtrans: terminated; nothing new was translated; the same command goes on\n"


def test_a_second_run_has_nothing_to_do_and_a_lost_output_comes_back(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("one thing\nother thing\n")
    assert slow("a.txt").returncode == 0
    first, log = (tmp_path / "a.es.txt").read_bytes(), (tmp_path / "a.es.txt.align.jsonl").read_bytes()
    (tmp_path / "trace").unlink()
    assert b"up to date" in slow("a.txt").stderr
    (tmp_path / "a.es.txt").unlink()
    assert slow("a.txt").returncode == 0
    assert (tmp_path / "a.es.txt").read_bytes() == first
    assert (tmp_path / "a.es.txt.align.jsonl").read_bytes() == log
    assert not traced(tmp_path / "trace")


def test_a_changed_input_translates_only_what_is_new(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.po").write_text(catalogue(["First one", "Second one", "Third one"]))
    assert slow("a.po").returncode == 0
    (tmp_path / "trace").unlink()
    (tmp_path / "a.po").write_text(catalogue(["Zero one", "Third one", "First one"]))
    done = slow("a.po")
    assert done.returncode == 0, done.stderr
    assert traced(tmp_path / "trace") == ["Zero one"]
    assert re.findall(r'^msgstr "(El .*)"', (tmp_path / "a.es.po").read_text(), re.M) == [
        "El Zero one", "El Third one", "El First one"
    ]  # fmt: skip
    assert len(read_history(tmp_path / "a.es.po.align.jsonl").runs) == 2


def test_a_run_again_tries_failed_segments_once_more_and_only_those(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("good thing\nbad thing\n")
    done = slow("a.txt", SLOW_REFUSES="bad")
    assert done.returncode == 1 and b"line 2: left untranslated" in done.stderr
    assert (tmp_path / "a.es.txt").read_text() == "El good thing\nbad thing\n"
    (tmp_path / "trace").unlink()
    assert slow("a.txt").returncode == 0
    assert traced(tmp_path / "trace") == ["bad thing"]
    assert (tmp_path / "a.es.txt").read_text() == "El good thing\nEl bad thing\n"


def test_an_edited_output_is_not_overwritten(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    assert slow("a.txt").returncode == 0
    (tmp_path / "a.es.txt").write_text("Una cosa, dijo ella\n")
    done = slow("a.txt")
    assert done.returncode == 2
    for option in (b"-o", b"--in-place", b"--overwrite"):
        assert option in done.stderr
    assert (tmp_path / "a.es.txt").read_text() == "Una cosa, dijo ella\n"
    assert slow("a.txt", "--overwrite").returncode == 0
    assert (tmp_path / "a.es.txt").read_text() == "El one thing\n"


def test_fresh_sets_the_old_log_aside_and_translates_again(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    slow("a.txt")
    old = (tmp_path / "a.es.txt.align.jsonl").read_bytes()
    (tmp_path / "a.es.txt").write_text("edited\n")
    done = slow("a.txt", "--fresh")
    assert done.returncode == 0 and b"the old log is now a.es.txt.align.jsonl.1" in done.stderr
    assert (tmp_path / "a.es.txt~").read_text() == "edited\n" and b"it is kept as a.es.txt~" in done.stderr
    assert (tmp_path / "a.es.txt.align.jsonl.1").read_bytes() == old
    assert traced(tmp_path / "trace") == ["one thing", "one thing"]
    assert (tmp_path / "a.es.txt").read_text() == "El one thing\n"


def test_in_place_keeps_the_input_beside_itself(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    path = tmp_path / "a.po"
    path.write_text(catalogue(["First one"]))
    path.chmod(0o640)
    before = path.read_bytes()
    assert slow("a.po", "--in-place").returncode == 0
    assert (tmp_path / "a.po~").read_bytes() == before
    assert (tmp_path / "a.po~").stat().st_mode & 0o777 == 0o640
    assert 'msgstr "El First one"' in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    written = path.stat().st_mtime_ns
    assert slow("a.po", "--in-place").returncode == 0
    assert path.stat().st_mtime_ns == written and not (tmp_path / "a.po~1").exists()  # nothing was to change
    assert traced(tmp_path / "trace") == ["First one"]


def test_a_document_that_cannot_be_done_as_asked_does_not_stop_the_others(cli: Cli, tmp_path: Path) -> None:
    command = ("--to", "es", "--backend", "pseudo", "--in-place")
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text("one thing\n")
    assert cli("run", "b.txt", *command).returncode == 0
    (tmp_path / "b.txt").write_text("otra cosa\n")
    for more in (("--dry-run",), ()):
        alone = cli("run", "b.txt", *command, *more)
        assert alone.returncode == 2 and b"error: b.txt was translated in place before" in alone.stderr
        done = cli("run", "a.txt", "b.txt", "c.txt", *command, *more)
        assert done.returncode == 1 and b"error: b.txt was translated in place before" in done.stderr
        assert b"c.txt" in done.stderr
    assert done.stderr.endswith(b"for the reasons above: b.txt\n")
    assert (tmp_path / "b.txt").read_text() == "otra cosa\n" and (tmp_path / "c.txt~").exists()


def test_a_document_that_another_run_translates_does_not_stop_the_others(cli: Cli, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("one thing\n")
    log = AlignmentLog(tmp_path / "a.es.txt.align.jsonl")
    done = cli("run", "a.txt", "b.txt", "--to", "es", "--backend", "pseudo")
    log.close()
    assert done.returncode == 1 and b"error: another run is writing a.es.txt.align.jsonl" in done.stderr
    assert not (tmp_path / "a.es.txt").exists() and (tmp_path / "b.es.txt").exists()


@pytest.mark.parametrize(("mode", "made"), [(0o600, 0o600), (0o444, 0o644), (0o660, 0o640), (0o777, 0o644)])
def test_output_and_log_are_never_more_open_than_the_input(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path, mode: int, made: int
) -> None:
    path, output, log = (tmp_path / name for name in ("a.txt", "a.es.txt", "a.es.txt.align.jsonl"))

    def modes() -> list[int]:
        return [file.stat().st_mode & 0o777 for file in (output, log)]

    before = os.umask(0o022)  # the commands have it too
    try:
        path.write_text("one thing\n")
        path.chmod(mode)
        assert slow("a.txt").returncode == 0
        assert modes() == [made, made]
        path.unlink()
        path.write_text("other thing\n")
        path.chmod(mode)
        output.chmod(0o604)
        log.chmod(0o606)
        assert slow("a.txt").returncode == 0
        assert modes() == [0o604, 0o606]
        assert slow("a.txt", "--fresh").returncode == 0
        assert modes() == [0o604, made]
    finally:
        os.umask(before)


def test_another_group_than_that_of_the_input_is_not_let_in(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one thing\n")
    group = next((group for group in os.getgroups() if group != path.stat().st_gid), 12345)
    try:
        os.chown(path, -1, group)
    except PermissionError:
        pytest.skip("there is no other group to give a file to")
    path.chmod(0o640)

    def mode_and_group(name: str) -> tuple[int, int]:
        status = (tmp_path / name).stat()
        return status.st_mode & 0o777, status.st_gid

    for place in ((), ("--in-place",)):
        assert cli("run", "a.txt", "--to", "es", "--backend", "pseudo", *place).returncode == 0
    for name in ("a.es.txt", "a.es.txt.align.jsonl", "a.txt.align.jsonl"):
        assert mode_and_group(name)[0] == 0o600
    for name in ("a.txt", "a.txt~"):
        assert mode_and_group(name) == (0o640, group)

    def refuse(*arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    with AtomicFile(path) as file:
        file.commit()
    assert mode_and_group("a.txt")[0] == 0o600


def test_replay_gives_the_output_again_without_a_model(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "a.po").write_text(catalogue(["First one", "Second one"]))
    slow("a.po", SLOW_REFUSES="Second")
    output = (tmp_path / "a.es.po").read_bytes()
    log = (tmp_path / "a.es.po.align.jsonl").read_bytes()
    (tmp_path / "a.es.po").unlink()
    assert cli("replay", "a.es.po.align.jsonl").returncode == 1  # one segment is left untranslated
    assert (tmp_path / "a.es.po").read_bytes() == output
    assert (tmp_path / "a.es.po.align.jsonl").read_bytes() == log
    cli("replay", "a.es.po.align.jsonl", "-o", "b.po")
    assert (tmp_path / "b.po").read_bytes() == output
    (tmp_path / "a.po").write_text(catalogue(["First one"]))
    done = cli("replay", "a.es.po.align.jsonl", "-o", "c.po")
    assert done.returncode == 2 and b"not the file" in done.stderr


def test_times_in_outputs_come_from_the_first_run_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.po").write_text(catalogue(["First one"]))
    assert cli("run", "a.po", "--to", "es", "--backend", "pseudo", SOURCE_DATE_EPOCH="1000000000").returncode == 0
    first = (tmp_path / "a.es.po").read_text()
    assert "PO-Revision-Date: 2001-09-09 01:46" in first
    (tmp_path / "a.es.po").unlink()
    assert cli("run", "a.po", "--to", "es", "--backend", "pseudo", SOURCE_DATE_EPOCH="1700000000").returncode == 0
    assert (tmp_path / "a.es.po").read_text() == first


def test_a_torn_log_is_said_and_gone_on_with(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("one thing\nother thing\n")
    slow("a.txt")
    whole = (tmp_path / "a.es.txt").read_bytes()
    log = tmp_path / "a.es.txt.align.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]) + lines[2][:20])
    (tmp_path / "a.es.txt").unlink()
    done = slow("a.txt")
    assert done.returncode == 0 and b"dropped 20 bytes" in done.stderr
    assert (tmp_path / "a.es.txt").read_bytes() == whole


def test_a_memory_answers_before_the_backend(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "m.csv").write_text("source,target\none thing,una cosa\n")
    (tmp_path / "a.txt").write_text("one thing\nother thing\n")
    assert slow("a.txt", "--memory", "m.csv").returncode == 0
    assert (tmp_path / "a.es.txt").read_text() == "una cosa\nEl other thing\n"
    assert traced(tmp_path / "trace") == ["other thing"]
    (tmp_path / "b.txt").write_text("other thing\n")
    assert slow("b.txt", "--memory", "a.es.txt.align.jsonl").returncode == 0
    assert traced(tmp_path / "trace") == ["other thing"]


def test_another_backend_does_not_take_over_translations_of_the_first(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    slow("a.txt")
    assert cli("run", "a.txt", "--to", "es", "--backend", "pseudo").returncode == 0
    assert "El one" not in (tmp_path / "a.es.txt").read_text()


def test_exactly_one_record_per_segment_form_and_part(cli: Cli, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "input.po", tmp_path)
    assert cli("run", "input.po", "--to", "es", "--backend", "pseudo").returncode == 0
    log = tmp_path / "input.es.po.align.jsonl"
    (run,) = read_history(log).runs
    keys = [(r.segment, r.form, r.part) for group in read_groups(log, run) for r in group]
    assert len(keys) == len(set(keys))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["type"] for line in (lines[0], lines[-1])] == ["run", "end"]
    assert lines[-1]["counts"]["segments"] == len({key[0] for key in keys})
    raw = (tmp_path / "input.po").read_bytes()
    for line in lines[1:-1]:
        start, end = line["span"]
        assert b"msgstr" in raw[start:end]


def test_a_disk_without_room_leaves_the_old_output_and_a_usable_log(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one thing\n" * 400)
    command = [sys.executable, "-m", "batchtrans", "run", "a.txt", "--to", "es", "--backend", "pseudo"]

    def no_more_than_20_kb() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, preexec_fn=no_more_than_20_kb, timeout=60)
    assert done.returncode == 1
    assert b"File too large" in done.stderr and b"Traceback" not in done.stderr
    assert b"a.es.txt.align.jsonl cannot be written: File too large" in done.stderr
    assert b"run the same command again" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.es.txt.align.jsonl", "a.txt"]
    assert cli("run", "a.txt", "--to", "es", "--backend", "pseudo").returncode == 0
    assert len((tmp_path / "a.es.txt").read_text().splitlines()) == 400


def test_a_log_that_is_no_file_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    done = cli("run", "a.txt", "--to", "es", "--backend", "pseudo", "--log", ".")
    assert done.returncode == 2 and b"not a file" in done.stderr


def test_what_a_run_only_passed_through_is_no_translation(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    text = (
        catalogue([]) + '#, fuzzy\n#| msgid "old"\nmsgid "Save it"\nmsgstr "viejo"\n\nmsgid "Open it"\nmsgstr "Abrir"\n'
    )
    (tmp_path / "a.po").write_text(text)
    assert slow("a.po").returncode == 0
    assert not traced(tmp_path / "trace")
    assert slow("a.po", "--redo", "all").returncode == 0
    assert sorted(traced(tmp_path / "trace")) == ["Open it", "Save it"]
    assert 'msgstr "El Save it"' in (tmp_path / "a.es.po").read_text()


def test_resuming_learns_nothing_from_rows_that_were_left_alone(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,Hello there,x,y\n2,Hello there\n")
    arguments = ("a.csv", "--column", "text", "--into", "replace")
    assert slow(*arguments).returncode == 0
    whole = (tmp_path / "a.es.csv").read_bytes()
    log = tmp_path / "a.es.csv.align.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    (tmp_path / "a.es.csv").unlink()
    assert slow(*arguments).returncode == 0
    assert (tmp_path / "a.es.csv").read_bytes() == whole == b"id,text\n1,Hello there,x,y\n2,El Hello there\n"


def test_in_place_twice_neither_translates_a_translation_nor_loses_the_original(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    assert slow("a.txt", "--in-place").returncode == 0
    done = slow("a.txt", "--in-place")
    assert done.returncode == 0 and b"up to date" in done.stderr
    assert (tmp_path / "a.txt").read_text() == "El one thing\n"
    assert (tmp_path / "a.txt~").read_text() == "one thing\n"
    catalogue_path = tmp_path / "b.po"
    catalogue_path.write_text(catalogue(["bad one", "good one"]))
    before = catalogue_path.read_bytes()
    assert slow("b.po", "--in-place", SLOW_REFUSES="bad").returncode == 1
    assert slow("b.po", "--in-place").returncode == 0
    assert 'msgstr "El bad one"' in catalogue_path.read_text()
    assert (tmp_path / "b.po~").read_bytes() == before


@pytest.mark.parametrize(("first", "second", "fuzzy"), [("all", "none", False), ("none", "all", True)])
def test_mark_holds_for_texts_from_the_log_too(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path, first: str, second: str, fuzzy: bool
) -> None:
    (tmp_path / "a.po").write_text(catalogue(["First one"]))
    assert slow("a.po", "--mark", first).returncode == 0
    assert slow("a.po", "--mark", second).returncode == 0
    assert traced(tmp_path / "trace") == ["First one"]
    assert ("#, fuzzy" in (tmp_path / "a.es.po").read_text()) == fuzzy


def test_a_plugin_that_breaks_is_reported_and_the_next_file_goes_on(cli: Cli, plugin: Install, tmp_path: Path) -> None:
    code = """
        from batchtrans import Declared, Format, hookimpl
        class Broken(Format):
            def open(self, path, options):
                raise ValueError("not today")
        @hookimpl
        def batchtrans_formats():
            return [Declared("brk", "breaking:Broken", "breaks", {}, (".brk",))]
    """
    (tmp_path / "a.brk").write_text("x\n")
    (tmp_path / "b.txt").write_text("one thing\n")
    done = cli("run", "a.brk", "b.txt", "--to", "es", "--backend", "pseudo", plugins=(plugin("breaking", code),))
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert b"a.brk" in done.stderr and b"not today" in done.stderr
    assert (tmp_path / "b.es.txt").exists()


def test_a_failed_segment_keeps_in_the_log_what_the_backend_said(cli: Cli, tmp_path: Path) -> None:
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=ISO-8859-1\\n"\n\n'
    (tmp_path / "a.po").write_text(header + 'msgid "one thing"\nmsgstr ""\n')
    done = cli("run", "a.po", "--to", "es", "--backend", "pseudo")
    assert done.returncode == 1 and b"encoding=utf-8" in done.stderr
    line = json.loads((tmp_path / "a.es.po.align.jsonl").read_text().splitlines()[1])
    assert line["status"] == "failed" and line["raw"].startswith("\u00f3\u00f1") and "target" not in line
    assert (tmp_path / "a.es.po").read_bytes() == (tmp_path / "a.po").read_bytes()
    done = cli("run", "a.po", "--to", "es", "--backend", "pseudo", "-O", "encoding=utf-8")
    assert done.returncode == 0 and "charset=UTF-8" in (tmp_path / "a.es.po").read_text()


def test_a_file_that_is_no_log_is_never_taken_for_one(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    for name in ("notes.txt", "a.txt", "empty line.txt"):
        (tmp_path / name).write_text("one thing\n" if name == "a.txt" else "my notes")
        before = (tmp_path / name).read_bytes()
        done = cli("run", "a.txt", "--to", "es", "--backend", "pseudo", "--log", name, "-o", "out.txt")
        assert done.returncode in (1, 2), done.stderr
        assert (tmp_path / name).read_bytes() == before
        assert not (tmp_path / "out.txt").exists()


def test_a_log_of_another_document_is_not_gone_on_with(cli: Cli, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"the text {name[0]}\n")
    log = tmp_path / "a.es.txt.align.jsonl"
    command = ("run", "b.txt", "--to", "es", "--backend", "pseudo")
    assert cli("run", "a.txt", "--to", "es", "--backend", "pseudo").returncode == 0
    before = log.read_bytes()
    for more in ((), ("--dry-run",), ("-o", "-")):
        done = cli(*command, "--log", log.name, *more)
        assert done.returncode == 2 and b"a.es.txt.align.jsonl is the log of a.txt\n  Leave --log" in done.stderr
    assert log.read_bytes() == before and not (tmp_path / "b.es.txt").exists()
    assert cli(*command, "--memory", log.name, "--log", "log").returncode == 0
    assert cli("run", "./b.txt", *command[2:], "--log", "log").returncode == 0  # the same document, otherwise written
    (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    assert cli("run", "c.txt", *command[2:], "--log", "log").returncode == 0
    assert cli("run", "a.txt", *command[2:], "--log", "log", "--fresh").returncode == 0
    assert (tmp_path / "log.1").exists()
    log.write_bytes(before.replace(b'"a.txt"', b'"' + b"a" * 300 + b'"'))  # as it may be called elsewhere
    assert cli("run", "c.txt", *command[2:], "-o", "d.txt", "--log", log.name).returncode == 0


def test_a_log_an_output_and_a_memory_must_be_different_files(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    (tmp_path / "m.csv").write_text("source,target\none thing,una cosa\n")
    base = ("run", "a.txt", "--to", "es", "--backend", "pseudo")
    assert cli(*base, "-o", "out.txt", "--log", "out.txt").returncode == 2
    assert cli(*base, "-o", "m.csv", "--memory", "m.csv", "--overwrite").returncode == 2
    assert cli(*base, "-o", "/dev/null", "--overwrite").returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "m.csv"]
    assert (tmp_path / "m.csv").read_text().startswith("source,target")


def test_no_backup_ever_replaces_another(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    (tmp_path / "a.txt~").write_text("the user's own\n")
    assert slow("a.txt", "--in-place").returncode == 0
    for text, *options in (("two things\n", "--fresh"), ("three things\n", "--log", "other.jsonl")):
        (tmp_path / "a.txt").write_text(text)
        assert slow("a.txt", "--in-place", *options).returncode == 0
    kept = {path.read_text() for path in tmp_path.glob("a.txt~*")}
    assert kept == {"the user's own\n", "one thing\n", "two things\n", "three things\n"}


def test_a_text_replaced_in_place_and_edited_is_not_translated_again(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("one thing\n")
    assert slow("a.txt", "--in-place").returncode == 0
    (tmp_path / "a.txt").write_text("El one thing\nuna cosa\n")
    done = slow("a.txt", "--in-place")
    assert done.returncode == 2 and b"--fresh" in done.stderr
    assert (tmp_path / "a.txt").read_text() == "El one thing\nuna cosa\n"
    (tmp_path / "a.txt").write_text("one thing\n")
    assert slow("a.txt", "--in-place").returncode == 0
    assert (tmp_path / "a.txt").read_text() == "El one thing\n"


def test_behind_a_link_the_file_is_replaced_and_the_link_stays(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "real.po").write_text(catalogue(["First one"]))
    (tmp_path / "a.po").symlink_to("real.po")
    assert slow("a.po", "--in-place").returncode == 0
    assert (tmp_path / "a.po").is_symlink()
    assert "El First one" in (tmp_path / "real.po").read_text()


@pytest.mark.parametrize("answer", ["'ab\\ud800c'", "None", "42"])
def test_an_answer_that_is_no_text_fails_its_segment_alone(
    cli: Cli, plugin: Install, tmp_path: Path, answer: str
) -> None:
    code = f"""
        from batchtrans import Backend, Declared, Result, hookimpl
        class Odd(Backend):
            def start(self, source_lang, target_lang):
                return {{"backend": "odd"}}
            def translate(self, requests):
                for request in requests:
                    yield Result(request.id, {answer} if "bad" in request.source else "bien")
        @hookimpl
        def batchtrans_backends():
            return [Declared("odd", "oddly:Odd", "is odd")]
    """
    (tmp_path / "a.txt").write_text("good thing\nbad thing\n")
    done = cli("run", "a.txt", "--to", "es", "--backend", "odd", plugins=(plugin("oddly", code),))
    assert done.returncode == 1 and b"no valid text" in done.stderr
    assert (tmp_path / "a.es.txt").read_text() == "bien\nbad thing\n"


def test_a_file_name_that_is_not_utf_8_is_no_obstacle(cli: Cli, tmp_path: Path) -> None:
    path = bytes(tmp_path) + b"/caf\xe9.txt"
    with open(path, "w") as file:
        file.write("one thing\n")
    done = subprocess.run(
        [sys.executable.encode(), b"-m", b"batchtrans", b"run", path, b"--to", b"es", b"--backend", b"pseudo"],
        cwd=tmp_path, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert any(name.endswith(b".es.txt") for name in os.listdir(bytes(tmp_path)))


def test_a_very_long_line_takes_no_more_than_its_share_of_time(cli: Cli, tmp_path: Path) -> None:
    sentences = " ".join(f"This is sentence {number}, and Dr. Smith reads it at 5 p.m." for number in range(5_000))
    (tmp_path / "a.txt").write_text(sentences + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "batchtrans", "run", "a.txt", "--to", "es", "--backend", "pseudo"],
        cwd=tmp_path, capture_output=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "a.es.txt").read_text().splitlines()) == 1


def test_fresh_with_a_backend_that_is_not_there_leaves_the_log_in_place(
    slow: Callable[..., subprocess.CompletedProcess[bytes]], cli: Cli, plugin: Install, tmp_path: Path
) -> None:
    code = """
        from batchtrans import Declared, hookimpl
        @hookimpl
        def batchtrans_backends():
            return [Declared("gone", "not_there:Backend", "is not there")]
    """
    (tmp_path / "a.txt").write_text("one thing\n")
    assert slow("a.txt").returncode == 0
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())
    done = cli("run", "a.txt", "--to", "es", "--backend", "gone", "--fresh", plugins=(plugin("pointing", code),))
    assert done.returncode == 3
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir()) == before
