"""The llama backend through the real command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny_model
from batchtrans import plugins
from conftest import Cli

LINES = [(source, target) for source, target in tiny_model.PAIRS if "\ue000" not in source]


@pytest.fixture
def llama(plugin: Callable[[str, str], Path]) -> tuple[Path, ...]:
    """What makes the command line know the backend where its distribution is on the path but not installed."""
    if "llama" in plugins.registry().backends:
        return ()
    return (plugin("llama_here", "from batchtrans_llama import batchtrans_backends"),)


def translate(
    cli: Cli, llama: tuple[Path, ...], directory: Path, *options: str
) -> tuple[list[str], list[dict[str, str]]]:
    """Lines of the output and the log's records of a run over the tiny model's sentences."""
    (directory / "input.txt").write_text("".join(f"{source}\n" for source, _ in LINES), encoding="utf-8")
    done = cli("run", "input.txt", "--to", "es", "--device", "cpu", *options, plugins=llama)
    assert done.returncode == 0, done.stderr.decode()
    output = (directory / "input.es.txt").read_text(encoding="utf-8")
    log = (directory / "input.es.txt.align.jsonl").read_text(encoding="utf-8")
    records = [record for record in map(json.loads, log.splitlines()) if "raw" in record]
    return output.splitlines(), records


def test_the_tuned_model_translates_a_file(cli: Cli, llama: tuple[Path, ...], tmp_path: Path) -> None:
    lines, _ = translate(cli, llama, tmp_path, "--model", str(tiny_model.model()))
    assert lines == [target for _, target in LINES]


def test_of_an_untuned_base_nothing_after_the_boundary_is_written_and_its_text_is_logged(
    cli: Cli, llama: tuple[Path, ...], tmp_path: Path
) -> None:
    lines, records = translate(cli, llama, tmp_path, "--model", str(tiny_model.nf4_base()))
    assert lines == [target for _, target in LINES]
    assert {record["stop"] for record in records} == {"boundary"}
    assert len(records) == len(LINES)
    for record, (_, target) in zip(records, LINES, strict=True):
        assert record["raw"].startswith(f" {target}\nTranslate the")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--to", "sw"), 2, "there is no embedded model for en to sw"),
        (("--to", "es", "--model", "/no/such"), 3, "there is no directory /no/such"),
        (("--to", "es", "-O", "quant=8bit"), 2, "the option quant cannot be '8bit'"),
        (("--to", "es", "-O", "beams=4"), 2, "length-cap"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(
    cli: Cli, llama: tuple[Path, ...], tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "input.txt").write_text("Open the file.\n")
    done = cli("run", "input.txt", "--backend", "llama", *options, plugins=llama)
    assert done.returncode == code
    assert words in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    assert not list(tmp_path.glob("input.*.txt"))
