"""The llama backend through the real command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny_model
from batchtrans import plugins
from batchtrans_llama.prompt import PROMPT, encode_prompt, prompt_hash
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
) -> tuple[list[str], list[dict[str, Any]]]:
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


@pytest.mark.parametrize("engine", ["hf", "ct2"])
def test_the_terms_of_a_glossary_are_asked_for_with_a_template_that_takes_them(
    cli: Cli, llama: tuple[Path, ...], tmp_path: Path, engine: str
) -> None:
    if engine == "ct2":
        pytest.importorskip("ctranslate2")
    template = PROMPT.replace("\n", "\nTerms: {terms}\n", 1)
    (tmp_path / "prompt.txt").write_text(template + "\n", encoding="utf-8")
    (tmp_path / "terms.csv").write_text("file|files,archivo|archivos\nhouse,casa\n", encoding="utf-8")
    model = str(tiny_model.nf4_base())
    options = ("--model", model, "-O", f"engine={engine}", "-O", "prompt=prompt.txt", "--glossary", "terms.csv")
    _, records = translate(cli, llama, tmp_path, *options)
    log = (tmp_path / "input.es.txt.align.jsonl").read_text(encoding="utf-8")
    assert json.loads(log.splitlines()[0])["backend"]["prompt"] == prompt_hash(template)
    terms = {"Open the file.": [("file", "archivo")], "The house is white.": [("house", "casa")]}
    tokenizer = tiny_model.build_tokenizer()
    asked = {record["source"]: record["tokens"][0] for record in records}
    for source, _ in LINES:
        named = terms.get(source, [("files", "archivos")] if source == "5 files" else [])
        assert asked[source] == len(encode_prompt(tokenizer, source, "en", "es", template, named)), source
    assert len(encode_prompt(tokenizer, "5 files", "en", "es", template)) < asked["5 files"]


def test_a_template_with_a_misplaced_line_for_terms_is_refused(
    cli: Cli, llama: tuple[Path, ...], tmp_path: Path
) -> None:
    (tmp_path / "prompt.txt").write_text("{source}\n{terms}:\n", encoding="utf-8")
    (tmp_path / "input.txt").write_text("Save\n", encoding="utf-8")
    model = str(tiny_model.nf4_base())
    done = cli("run", "input.txt", "--to", "es", "--model", model, "-O", "prompt=prompt.txt", plugins=llama)
    assert done.returncode == 2 and b"cannot be left out: its last one" in done.stderr, done.stderr.decode()


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
