"""Without torch and transformers on the machine the model translates all the same, into the same tokens.

The interpreter of these tests gets no site-packages but a directory of links to what the extra ``cpu`` installs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ctranslate2", reason="the extra cpu of batchtrans-llama is not installed")

import tiny_model
from batchtrans.plugins import GROUP
from conftest import SAMPLES, Cli

#: The core's requirements, those of batchtrans-llama and of its extra cpu, and what these ask for.
INSTALLED = (
    "click", "pluggy", "tqdm", "orjson", "pysbd", "tokenizers", "huggingface_hub", "py3langid", "numpy", "ctranslate2",
    "pyyaml",
)  # fmt: skip
OURS = ("batchtrans", "batchtrans-llama", "batchtrans-en-es")
TRAINING = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors", "sacrebleu")
needs_installed = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("batchtrans_en_es", "py3langid", "yaml")),
    reason="the embedded model or a requirement of the extra cpu is not installed",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The path of an interpreter with no more than the extra ``cpu``."""
    directory = tmp_path_factory.mktemp("site")
    for name in INSTALLED:
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (directory / top).symlink_to(found.locate_file(top))
    for name in OURS:  # installed or not, their code is where this test has it from
        info = directory / f"{name.replace('-', '_')}-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n")
        points = (f"{point.name} = {point.value}\n" for point in distribution(name).entry_points.select(group=GROUP))
        (info / "entry_points.txt").write_text("".join([f"[{GROUP}]\n", *points]))
    specs = map(find_spec, ("batchtrans", "batchtrans_llama", "batchtrans_en_es"))
    return [*(str(Path(spec.origin or "").parents[1]) for spec in specs if spec is not None), str(directory)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield str(tmp_path_factory.mktemp("cache"))


def light(site: list[str], cache: str, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments and nothing but ``site``."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(site), "XDG_CACHE_HOME": cache}
    return subprocess.run(
        [sys.executable, "-S", *arguments], cwd=directory, env=environment, capture_output=True, text=True, timeout=300
    )


def records(log: Path) -> list[dict[str, Any]]:
    """What a log says of each segment, without what differs from run to run."""
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return [{**line, "ms": 0, "batch": 0} for line in lines if line["type"] == "record"]


@needs_installed
def test_the_interpreter_has_no_torch(site: list[str], cache: str, tmp_path: Path) -> None:
    script = f"from importlib.util import find_spec; print([name for name in {TRAINING} if find_spec(name)])"
    assert light(site, cache, tmp_path, "-c", script).stdout == "[]\n"
    done = light(site, cache, tmp_path, "-m", "batchtrans", "doctor")
    assert "engines of the llama backend: ct2\n" in done.stdout, done.stderr
    assert "torch is missing" in done.stdout and "pip install 'batchtrans-llama[torch]'" in done.stdout


@needs_installed
@pytest.mark.model
def test_the_sample_is_translated_as_beside_torch(site: list[str], cache: str, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "input.po").write_bytes((SAMPLES / "input.po").read_bytes())
    command = ("-m", "batchtrans", "run", "input.po", "--to", "es", "-o", "light.po")
    done = light(site, cache, tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert "engine ct2: CTranslate2 in int8" in done.stderr
    beside = cli("run", "input.po", "--to", "es", "-o", "beside.po", "-O", "engine=ct2", XDG_CACHE_HOME=cache + "-2")
    assert beside.returncode == 0, beside.stderr.decode()
    assert (tmp_path / "light.po").read_bytes() == (tmp_path / "beside.po").read_bytes()
    ours = records(tmp_path / "light.po.align.jsonl")
    assert ours == records(tmp_path / "beside.po.align.jsonl")
    assert sum("tokens" in record for record in ours) > 80
    models = [next(Path(root, "batchtrans", "ct2").glob("*/model.bin")) for root in (cache, cache + "-2")]
    assert models[0].read_bytes() == models[1].read_bytes()  # numpy makes the same of it with or without torch


@needs_installed
def test_a_model_of_ones_own_is_translated_with(site: list[str], cache: str, tmp_path: Path) -> None:
    pairs = [(source, target) for source, target in tiny_model.PAIRS if "\ue000" not in source]
    (tmp_path / "input.txt").write_text("".join(f"{source}\n" for source, _ in pairs), encoding="utf-8")
    done = light(
        site, cache, tmp_path, "-m", "batchtrans", "run", "input.txt", "--to", "es", "--model", str(tiny_model.model())
    )
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "input.es.txt").read_text(encoding="utf-8")
    assert written.splitlines() == [target for _, target in pairs]


@needs_installed
@pytest.mark.parametrize(
    ("arguments", "package"),
    [
        (("run", "input.txt", "--to", "es", "-O", "engine=hf"), "torch"),
        (("run", "input.txt", "--to", "es", "-O", "engine=graph"), "torch"),
        (("train", "pairs.csv", "--to", "es", "-o", "adapter"), "torch"),
        (("eval", "pairs.csv", "--to", "es"), "sacrebleu"),
        (("merge", "adapter", "-o", "merged"), "torch"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_needs_torch_says_what_to_install(
    site: list[str], cache: str, tmp_path: Path, arguments: tuple[str, ...], package: str
) -> None:
    (tmp_path / "input.txt").write_text("Open the file.\n")
    (tmp_path / "pairs.csv").write_text("source,target\nOpen the file.,Abra el archivo.\n")
    done = light(site, cache, tmp_path, "-m", "batchtrans", *arguments)
    assert done.returncode == 3, done.stderr
    assert f"this needs the package {package}, which is not installed" in done.stderr
    assert "pip install 'batchtrans-llama[torch]' brings it" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "input.es.txt").exists()


@needs_installed
def test_without_ctranslate2_either_both_extras_are_named(site: list[str], cache: str, tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("Open the file.\n")
    (tmp_path / "site").mkdir()
    for entry in Path(site[-1]).iterdir():
        if not entry.name.startswith("ctranslate2"):
            (tmp_path / "site" / entry.name).symlink_to(entry)
    path = [*site[:-1], str(tmp_path / "site")]
    done = light(path, cache, tmp_path, "-m", "batchtrans", "run", "input.txt", "--to", "es")
    assert done.returncode == 3 and "nothing is installed that can decode" in done.stderr
    assert "batchtrans-llama[cpu]" in done.stderr and "batchtrans-llama[torch]" in done.stderr
    done = light(path, cache, tmp_path, "-m", "batchtrans", "run", "input.txt", "--to", "es", "-O", "engine=ct2")
    assert done.returncode == 3 and "this needs the package ctranslate2" in done.stderr
    assert "pip install 'batchtrans-llama[cpu]' brings it" in done.stderr
    assert "none, so that it cannot translate" in light(path, cache, tmp_path, "-m", "batchtrans", "doctor").stdout


@needs_installed
@pytest.mark.model
def test_beside_torch_it_is_not_imported(cache: str, tmp_path: Path) -> None:
    """Importing torch takes longer than all else in a small file's translation."""
    (tmp_path / "input.txt").write_text("Open the file.\n")
    script = (
        "import sys; from batchtrans.cli import main; code = main(sys.argv[1:]);"
        f"print([name for name in {(*TRAINING, 'py3langid', 'huggingface_hub')!r} if name in sys.modules]);"
        "sys.exit(code)"
    )
    for _ in range(2):  # the second time with the converted model
        done = subprocess.run(
            [sys.executable, "-c", script, "run", "input.txt", "--to", "es", "--device", "cpu", "--fresh"],
            cwd=tmp_path, env={**os.environ, "XDG_CACHE_HOME": cache}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "engine ct2" in done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
