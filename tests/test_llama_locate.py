"""Which model is used, and which is refused; everything here happens before torch is imported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import tiny_model
from batchtrans import BackendError, UnsupportedPair, UsageError, plugins
from batchtrans_llama.fingerprint import fingerprint
from batchtrans_llama.locate import Located, locate
from batchtrans_llama.options import parse
from conftest import plugin_environment
from tiny_training import here

_START = """
import json, sys
from batchtrans import BatchtransError
from batchtrans_llama.backend import LlamaBackend
options, pair = json.loads(sys.argv[1]), sys.argv[2].split("-")
try:
    LlamaBackend(options).start(*pair)
except BatchtransError as error:
    print(type(error).__name__, error.exit_code, error)
print("heavy:", *sorted({"torch", "transformers", "peft", "bitsandbytes"} & set(sys.modules)))
"""


def start(options: dict[str, str], pair: str, *plugin_directories: Path, **environment: str) -> str:
    """Start the backend in a process of its own and give back what it says."""
    done = subprocess.run(
        [sys.executable, "-c", _START, json.dumps(options), pair],
        env=plugin_environment(*plugin_directories, NO_PROXY="*", **environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def find(source_lang: str = "en", target_lang: str = "es", **options: str) -> Located:
    values = {name.replace("_", "-"): value for name, value in options.items()}
    return locate(parse(values), source_lang, target_lang)


@cache
def embedded_model() -> Path:
    """The tiny model, said to be one for English to Portuguese."""
    model = tiny_model.copy_of(tiny_model.model(), "embedded")
    card = json.loads((model / "adapter" / "batchtrans.json").read_text())
    (model / "adapter" / "batchtrans.json").write_text(json.dumps({**card, "target_lang": "pt"}))
    return model


@pytest.fixture
def site(plugin: Callable[[str, str], Path]) -> Path:
    """The directory of a distribution that brings it."""
    code = f"""
        from pathlib import Path
        from batchtrans import Declared, hookimpl

        def directory():
            return Path({str(embedded_model())!r})

        @hookimpl
        def batchtrans_models():
            return [Declared("en-pt", "tiny_embedded:directory", "a model for tests")]
    """
    return plugin("tiny_embedded", code)


@pytest.fixture
def embedded(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same distribution, installed for this test; gives the model's directory."""
    monkeypatch.syspath_prepend(site)
    plugins.registry.cache_clear()
    yield embedded_model()
    plugins.registry.cache_clear()


def test_an_unsupported_pair_is_refused_before_torch_is_imported(site: Path) -> None:
    said = start({}, "en-sw", site)
    assert said.startswith("UnsupportedPair 2 there is no embedded model for en to sw")
    assert "en-pt" in said and "--model" in said
    assert said.endswith("heavy:\n")


def test_the_embedded_model_of_a_pair_is_found(embedded: Path) -> None:
    found = find("en", "pt")
    assert found.name == "en-pt"
    assert found.base == embedded / "base"
    assert found.adapter is not None and found.adapter.directory == embedded / "adapter"
    assert found.notes == []


@pytest.mark.parametrize("code", ["pt_BR", "pt-BR", "pt-419", "PT"])
def test_a_territory_falls_back_to_the_language_and_a_note_says_so_once(embedded: Path, code: str) -> None:
    found = find("en", code)
    assert found.base == embedded / "base"
    assert len(found.notes) == (0 if code == "PT" else 1)
    assert all(code in note and "en-pt" in note for note in found.notes)


@pytest.mark.parametrize("damage", ["other bytes", "cut short", "gone"])
def test_an_embedded_model_whose_files_are_not_those_that_were_shipped_is_refused(
    embedded: Path, damage: str, request: pytest.FixtureRequest
) -> None:
    files = {path.relative_to(embedded).as_posix(): path.read_bytes() for path in embedded.glob("*/*")}
    listed = {name: {"bytes": len(data), "sha256": sha256(data).hexdigest()} for name, data in files.items()}
    (embedded / "manifest.json").write_text(json.dumps({"files": listed}))
    request.addfinalizer((embedded / "manifest.json").unlink)
    assert find("en", "pt").name == "en-pt"
    weights = embedded / "adapter" / "adapter_model.safetensors"
    data = weights.read_bytes()
    request.addfinalizer(lambda: weights.write_bytes(data) and None)
    if damage == "gone":
        weights.unlink()
    else:
        weights.write_bytes(data[:-1] + (bytes([data[-1] ^ 1]) if damage == "other bytes" else b""))
    with pytest.raises(BackendError, match=r"adapter_model\.safetensors .*(shipped|read)"):
        find("en", "pt")


def test_an_adapter_trained_for_another_pair_is_refused() -> None:
    with pytest.raises(UnsupportedPair, match="from en to es, not from en to fr"):
        find("en", "fr", model=str(tiny_model.model()))


def test_a_base_alone_takes_any_pair_the_prompt_has_names_for() -> None:
    assert find("fr", "de", model=str(tiny_model.nf4_base())).adapter is None
    with pytest.raises(UnsupportedPair, match="tlh"):
        find("en", "tlh", model=str(tiny_model.nf4_base()))


def test_a_prompt_that_names_its_languages_needs_no_names(tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("English: {source}\nKlingon:")
    assert find("en", "tlh", model=str(tiny_model.nf4_base()), prompt=str(prompt)).template.endswith("Klingon:")


def test_adapter_none_leaves_out_the_adapter_of_the_model() -> None:
    found = find(model=str(tiny_model.model()), adapter="none")
    assert found.base == tiny_model.nf4_base() and found.adapter is None


def test_a_directory_that_is_not_there_is_named() -> None:
    with pytest.raises(BackendError, match="there is no directory /no/such/model"):
        find(model="/no/such/model")


def test_an_adapter_given_as_model_is_explained() -> None:
    with pytest.raises(BackendError, match=r"(?s)is an adapter, not a model.*--adapter"):
        find(model=str(tiny_model.adapter()))


def test_a_model_given_as_adapter_is_refused() -> None:
    with pytest.raises(BackendError, match="is not a PEFT adapter"):
        find(model=str(tiny_model.nf4_base()), adapter=str(tiny_model.full_base()))


def test_pickled_base_weights_are_refused(tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model.full_base(), base)
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    with pytest.raises(BackendError, match=r"(?s)no weights in safetensors.*run code"):
        find(model=str(base))


def test_a_pickled_adapter_is_refused(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(tiny_model.adapter(), adapter)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(BackendError, match=r"(?s)adapter_model\.safetensors.*run code"):
        find(model=str(tiny_model.nf4_base()), adapter=str(adapter))


def test_an_adapter_for_a_base_with_other_weights_is_refused_unless_forced(tmp_path: Path) -> None:
    other = tmp_path / "base"
    shutil.copytree(tiny_model.full_base(), other)
    assert fingerprint(other) != fingerprint(tiny_model.nf4_base())
    with pytest.raises(BackendError, match="made for a base with other weights"):
        find(model=str(other), adapter=str(tiny_model.adapter()))
    (note,) = find(model=str(other), adapter=str(tiny_model.adapter()), force="yes").notes
    assert "used all the same" in note


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base_fingerprint": None}, "the field 'base_fingerprint' is missing"),
        ({"quantisation": "int3"}, "quantisation is 'int3', neither nf4 nor none"),
    ],
)
def test_a_broken_card_is_named(tmp_path: Path, change: dict[str, str | None], words: str) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(tiny_model.adapter(), adapter)
    card = json.loads((adapter / "batchtrans.json").read_text())
    (adapter / "batchtrans.json").write_text(json.dumps({**card, **change}))
    with pytest.raises(BackendError, match=words):
        find(model=str(tiny_model.nf4_base()), adapter=str(adapter))


def test_an_adapter_alone_finds_the_embedded_model_it_was_made_for(embedded: Path) -> None:
    found = find("en", "pt", adapter=str(embedded / "adapter"))
    assert (found.name, found.base) == ("en-pt", embedded / "base")


def test_an_adapter_made_for_an_older_embedded_model_is_refused(embedded: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(embedded / "adapter", adapter)
    for name, change in (
        ("batchtrans.json", {"base_fingerprint": "0" * 64}),
        ("adapter_config.json", {"base_model_name_or_path": "batchtrans/en-pt-base"}),
    ):
        values = json.loads((adapter / name).read_text())
        (adapter / name).write_text(json.dumps({**values, **change}))
    with pytest.raises(BackendError, match="made for a base with other weights"):
        find("en", "pt", adapter=str(adapter))


def test_a_revision_of_a_directory_is_a_contradiction() -> None:
    with pytest.raises(UsageError, match="revision is for models on the hub"):
        find(model=str(tiny_model.nf4_base()), revision="main")


def plain_adapter(directory: Path, base_name: str | None) -> Path:
    """The tiny adapter as plain PEFT would have left it."""
    shutil.copytree(tiny_model.adapter(), directory)
    (directory / "batchtrans.json").unlink()
    config = json.loads((directory / "adapter_config.json").read_text())
    (directory / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": base_name}))
    return directory


def test_a_plain_adapter_is_used_with_a_warning(tmp_path: Path) -> None:
    adapter = plain_adapter(tmp_path / "adapter", str(tiny_model.nf4_base()))
    (note,) = find(model=str(tiny_model.nf4_base()), adapter=str(adapter)).notes
    assert "plain adapter without batchtrans.json" in note and "standard prompt" in note


def test_a_plain_adapter_brings_its_base(tmp_path: Path) -> None:
    adapter = plain_adapter(tmp_path / "adapter", str(tiny_model.nf4_base()))
    assert find(adapter=str(adapter)).base == tiny_model.nf4_base()


def test_a_plain_adapter_for_another_base_is_refused_unless_forced(tmp_path: Path) -> None:
    adapter = plain_adapter(tmp_path / "adapter", "meta-llama/Llama-3.2-1B")
    options = {"model": str(tiny_model.nf4_base()), "adapter": str(adapter)}
    with pytest.raises(BackendError, match=r"made for meta-llama/Llama-3\.2-1B, not for"):
        find(**options)
    assert len(find(**options, force="yes").notes) == 2


@pytest.mark.parametrize(
    ("base_name", "fits"),
    [
        ("/moved/since/{name}/base", True),
        ("{name}", True),
        ("/another/model/base", False),
        ("another/base", False),
        ("base", False),
    ],
)
def test_a_directory_called_base_does_not_tell_a_base_from_others(
    embedded: Path, tmp_path: Path, base_name: str, fits: bool
) -> None:
    adapter = plain_adapter(tmp_path / "adapter", base_name.format(name=embedded.name))
    options = {"model": str(embedded), "adapter": str(adapter)}
    if fits:
        assert len(find("en", "pt", **options).notes) == 1
    else:
        with pytest.raises(BackendError, match="made for"):
            find("en", "pt", **options)


@pytest.mark.parametrize(
    ("command", "hints", "others"),
    [
        (["run", "a.csv", "--to", "es", "--column", "en", "--adapter", "ours"], ["--model;", "--force "], ["--base"]),
        (["eval", "a.csv", "--to", "es", "--adapter", "ours"], ["--base;", "-O force=yes "], ["--model", "--force"]),
        (["train", "a.csv", "--to", "es", "--adapter", "ours", "-o", "x"], ["--base;", "--force "], ["--model"]),
        (["merge", "ours", "-o", "x"], ["--base."], ["--model", "force"]),
    ],
)
def test_a_hint_names_the_options_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], hints: list[str], others: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model.adapter(), "ours")
    Path("a.csv").write_text("en,es\n" + "".join(f"word {n},palabra {n}\n" for n in range(40)))
    base = "--model" if command[0] == "run" else "--base"
    done = here(*command, base, tiny_model.full_base())
    assert done.code == 3, done.said
    assert "made for a base with other weights" in done.said
    assert all(hint in done.said for hint in hints) and not any(other in done.said for other in others)


def test_a_plain_adapter_without_base_name_is_used_and_that_is_said(tmp_path: Path) -> None:
    adapter = plain_adapter(tmp_path / "adapter", None)
    (note,) = find(model=str(tiny_model.nf4_base()), adapter=str(adapter)).notes
    assert "does not say which base" in note


def test_an_adapter_keeps_the_prompt_it_was_trained_with(tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Say in Spanish: {source} =")
    options = {"model": str(tiny_model.model()), "prompt": str(prompt)}
    with pytest.raises(UsageError, match="prompt of its own"):
        find(**options)
    assert find(**options, force="yes").template == "Say in Spanish: {source} ="


class _Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for a gated, an unknown and an open model."""

    def do_GET(self) -> None:
        gated = "gated" in self.path
        code = "GatedRepo" if gated else "RevisionNotFound" if "revision/v9" in self.path else "RepoNotFound"
        self.send_response(403 if gated else 404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_gated_model_names_licence_page_login_and_the_embedded_alternative(
    hub: str, site: Path, tmp_path: Path
) -> None:
    said = start({"model": "gated/model"}, "en-es", site, HF_ENDPOINT=hub, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="0")
    assert said.startswith("BackendError 3 the model gated/model is gated")
    assert "https://huggingface.co/gated/model" in said
    assert "hf auth login" in said
    assert "en-pt" in said
    assert said.endswith("heavy:\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "nobody/nothing"}, "the model nobody/nothing is not on the hub"),
        ({"model": "some/model", "revision": "v9"}, "the model some/model has no revision 'v9'"),
        ({"model": "some/model", "local-only": "yes"}, "the model some/model is not on this machine"),
        ({"adapter": "nobody/nothing"}, "the adapter nobody/nothing is not on the hub"),
    ],
)
def test_what_the_hub_does_not_have_is_said(hub: str, tmp_path: Path, options: dict[str, str], words: str) -> None:
    said = start(options, "en-es", HF_ENDPOINT=hub, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="0")
    assert words in said
    assert "needs no download" in said


@pytest.mark.parametrize(
    ("option", "words"), [("model", "A model is named by its directory"), ("adapter", "An adapter is named by its")]
)
def test_a_name_without_an_owner_is_a_directory_that_is_not_there(site: Path, option: str, words: str) -> None:
    said = start({option: "my-adaptre"}, "en-es", site, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0")
    assert said.startswith("BackendError 3 there is no directory my-adaptre")
    assert words in said and f"Without --{option} the embedded model is used" in said and "hub does not" not in said


def test_a_hub_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    said = start(
        {"model": "some/model"}, "en-es", HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path), HF_HUB_OFFLINE="0"
    )
    assert "the model some/model is not on this machine, and the hub does not answer" in said
    assert "https://huggingface.co/some/model" in said


def test_a_cached_hub_model_is_used_without_asking_and_its_commit_is_known(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--some--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "v1").write_text(commit)
    shutil.copytree(tiny_model.full_base(), repository / "snapshots" / commit)
    script = (
        "from batchtrans_llama.locate import locate; from batchtrans_llama.options import parse\n"
        "found = locate(parse({'model': 'some/tiny', 'revision': 'v1', 'local-only': 'yes'}), 'en', 'es')\n"
        "print(found.name, found.revision, found.base)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=plugin_environment(HF_HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["some/tiny", commit, str(repository / "snapshots" / commit)], done.stderr
