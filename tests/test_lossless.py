"""Every real file here, through the whole command: unchanged by identity, and by pseudo changed only in targets."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import polib
import pytest

from batchtrans.alignment import read_groups, read_history
from batchtrans.textio import sniff_bom
from conftest import DATA, SAMPLES, run_here

ENDINGS = {".po", ".pot", ".csv", ".tsv", ".txt", ".srt"}
FILES = sorted(
    path
    for root in (SAMPLES, DATA)
    for path in root.rglob("*")
    if path.suffix in ENDINGS and "licences" not in path.parts and ".es." not in path.name
)
#: Files that no reader could take: what the refusal says of each.
BROKEN = {"test_syntax_error1.po": r"test_syntax_error1\.po:\d+: "}


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def columns_of(path: Path) -> int:
    encoding = (sniff_bom(path)[1] or "utf-8").removesuffix("-le").removesuffix("-be")
    text = path.read_bytes().decode("utf-8-sig" if encoding == "utf-8" else encoding)
    delimiter = "\t" if path.suffix == ".tsv" else ";" if ";" in text.splitlines()[0] else ","
    csv.field_size_limit(1 << 30)
    return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), []))


def language_of(path: Path) -> str:
    found = re.search(rb'"Language: *([A-Za-z_@-]+)\\n"', path.read_bytes())
    return found[1].decode() if found else "es"


def arguments_for(path: Path) -> list[str]:
    if path.suffix not in (".csv", ".tsv"):
        return []
    columns = [argument for index in range(columns_of(path)) for argument in ("--column", str(index + 1))]
    return [*columns, "--into", "replace"]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_identity_gives_every_file_back(tmp_path: Path, path: Path) -> None:
    out = tmp_path / "out"
    done = run_here("run", path, "--to", language_of(path), "--backend", "identity", "--redo", "all", "-o", out,
                    *arguments_for(path))  # fmt: skip
    if path.name in BROKEN:
        assert done.code == 1
        assert re.search(BROKEN[path.name], done.said)
        assert not out.exists()
        return
    assert done.code == 0, done.said
    assert out.read_bytes() == path.read_bytes()
    log = tmp_path / "out.align.jsonl"
    (run,) = read_history(log).runs
    for group in read_groups(log, run):
        assert {record.status for record in group} <= {"ok", "skipped"}
        if group[0].source.strip() and not group[0].why:
            assert group[0].status == "ok"  # written, so it went through render


PO_FILES = [path for path in FILES if path.suffix in (".po", ".pot") and path.name not in BROKEN]


def entries(path: Path) -> dict[tuple[str | None, str, str], polib.POEntry]:
    catalogue = polib.pofile(str(path), wrapwidth=0)
    return {(e.msgctxt, e.msgid, e.msgid_plural): e for e in catalogue if not e.obsolete}


@pytest.mark.parametrize("path", PO_FILES, ids=named)
def test_pseudo_changes_targets_alone_as_polib_reads_them(tmp_path: Path, path: Path) -> None:
    source, out = tmp_path / f"in{path.suffix}", tmp_path / "out.po"
    shutil.copy(path, source)
    done = run_here("run", source, "--to", language_of(path), "--backend", "pseudo", "--redo", "all", "-o", out,
                    "-O", "encoding=utf-8")  # fmt: skip
    assert done.code in (0, 1), done.said
    try:
        before, after = entries(source), entries(out)
    except (OSError, UnicodeDecodeError) as error:
        pytest.skip(f"polib cannot read this file: {error}")
    assert list(before) == list(after)
    for key, old in before.items():
        new = after[key]
        assert (new.comment, new.tcomment, new.occurrences) == (old.comment, old.tcomment, old.occurrences)
        assert set(new.flags) - {"fuzzy"} == set(old.flags) - {"fuzzy"}
        if any(map(str.isalpha, re.sub(r"%\(?\w+\)?\w?|\{\w*\}|<[^>]*>|\\.", "", old.msgid))):
            targets = [new.msgstr, *new.msgstr_plural.values()]
            assert any(targets), key


@pytest.mark.parametrize("path", PO_FILES, ids=named)
def test_msgfmt_says_no_more_of_the_output_than_of_the_input(tmp_path: Path, path: Path) -> None:
    source, out = tmp_path / f"in{path.suffix}", tmp_path / "out.po"
    shutil.copy(path, source)
    done = run_here("run", source, "--to", language_of(path), "--backend", "pseudo", "-o", out)
    assert done.code in (0, 1), done.said

    def complaints(catalogue: str) -> list[str]:
        # Where in the file is left out: lines move when a translation takes more of them.
        command = ["msgfmt", "--check", "--use-fuzzy", "-o", "/dev/null", catalogue]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
        text = done.stderr.decode(errors="replace").replace(catalogue, "FILE")
        lines = [re.sub(r"FILE:\d+(:\d+)?: ", "", line).strip() for line in text.splitlines()]
        return sorted(line for line in lines if "fatal error" not in line)

    gained = [line for line in complaints(out.name) if line not in complaints(source.name)]
    assert not gained
