"""Weights by numpy alone are those of torch, bitsandbytes and peft; a converted model is there whole or not at all."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ctranslate2", reason="the extra cpu of batchtrans-llama is not installed")

import tiny_model
from batchtrans import BackendError, UsageError
from batchtrans_llama import devices, engines
from batchtrans_llama.backend import LlamaBackend
from batchtrans_llama.card import Adapter, read_adapter, read_json
from batchtrans_llama.ct2 import convert, store
from batchtrans_llama.ct2.weights import Weights, by_numpy, dequantise
from batchtrans_llama.load import load, read_tokenizer
from batchtrans_llama.locate import locate
from batchtrans_llama.options import Settings, parse
from batchtrans_llama.prompt import encode_prompts, mask_count
from batchtrans_llama.stop import token_classes
from batchtrans_llama.tokenizer import PlainTokenizer, is_plain
from conftest import plugin_environment


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return store.directory()


# Weights


@pytest.mark.parametrize("nested", [True, False], ids=["nested", "plain"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(96, 64), (7, 33), (1, 1), (300, 257)], ids=str)
def test_dequantising_gives_what_bitsandbytes_gives(shape: tuple[int, int], dtype: str, nested: bool) -> None:
    import numpy as np
    import torch
    from bitsandbytes import functional

    torch.manual_seed(sum(shape))
    weight = torch.randn(shape).to(getattr(torch, dtype))
    packed, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=nested)
    parts = {name: value.numpy() for name, value in state.as_dict(packed=True).items()}
    ours = dequantise(packed.numpy(), parts)
    assert ours.dtype == np.float32
    with torch.compiler.set_stance("force_eager"):  # compiling what it has for odd widths would take half a minute
        theirs = functional.dequantize_4bit(packed, state)
    assert np.array_equal(ours, theirs.float().numpy())


def worst(ours: Any, theirs: Any) -> float:
    """The largest difference, in shares of the largest weight."""
    import numpy as np

    return float(np.abs(ours - theirs.numpy()).max() / np.abs(ours).max())


@pytest.mark.parametrize("base", [tiny_model.nf4_base, tiny_model.full_base])
def test_a_base_has_the_numbers_that_torch_reads(base: Callable[[], Path]) -> None:
    weights = Weights(base(), None)
    for name, tensor in load(base(), device="cpu", quant="none").model.state_dict().items():
        if name in weights:
            assert worst(weights[name], tensor) == 0, name


def test_a_merged_adapter_has_the_numbers_of_peft_to_rounding() -> None:
    adapter = read_adapter(tiny_model.adapter())
    weights = Weights(tiny_model.nf4_base(), adapter)
    merged = load(tiny_model.nf4_base(), adapter, "cpu", "float32", "none").model.state_dict()
    alone = Weights(tiny_model.nf4_base(), None)
    changed = 0
    for name, tensor in merged.items():
        if name in weights:
            assert worst(weights[name], tensor) < 1e-6, name
            changed += worst(alone[name], tensor) > 1e-3
    assert changed == 14


def spoilt(name: str, **changes: Any) -> Adapter:
    """The tiny adapter with other values in its adapter_config.json."""
    directory = tiny_model.copy_of(tiny_model.adapter(), f"spoilt {name}")
    config = json.loads((directory / "adapter_config.json").read_text())
    (directory / "adapter_config.json").write_text(json.dumps({**config, **changes}))
    return read_adapter(directory)


def test_rank_stabilised_scaling() -> None:
    adapter = spoilt("rslora", use_rslora=True)
    merged = load(tiny_model.nf4_base(), adapter, "cpu", "float32", "none").model.state_dict()
    name = "model.layers.0.self_attn.q_proj.weight"
    assert worst(Weights(tiny_model.nf4_base(), adapter)[name], merged[name]) < 1e-6


@pytest.mark.parametrize(
    "changes",
    [
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 4}},
        {"bias": "all"},
        {"peft_type": "IA3"},
        {"target_modules": "x"},
    ],
    ids=str,
)
def test_an_adapter_that_is_more_than_lora_is_left_to_torch(changes: dict[str, Any]) -> None:
    config = read_json(tiny_model.nf4_base() / "config.json", "")
    assert by_numpy(config, read_adapter(tiny_model.adapter()))
    assert not by_numpy(config, spoilt(str(list(changes)), **changes))


def test_a_base_that_must_be_rounded_first_is_left_to_torch() -> None:
    config = read_json(tiny_model.full_base() / "config.json", "")
    assert not by_numpy(config, read_adapter(tiny_model.adapter()))
    settings = parse({"model": str(tiny_model.full_base()), "adapter": str(tiny_model.adapter()), "force": "yes"})
    found = locate(settings, "en", "es")
    from batchtrans_llama.ct2.load import _tensors

    ours = _tensors(found, config)
    theirs = load(found.base, found.adapter, "cpu", "float32", "none").model.state_dict()
    assert all(worst(ours[name], tensor) == 0 for name, tensor in theirs.items())


def test_other_four_bit_types_are_left_to_torch() -> None:
    config = {"quantization_config": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}}
    assert not by_numpy(config, None)


def test_an_adapter_for_layers_that_are_not_there_is_refused() -> None:
    adapter = spoilt("targets", target_modules=["q_proj"])
    with pytest.raises(BackendError, match=r"does not fit the base, for example at model.layers.0") as caught:
        Weights(tiny_model.nf4_base(), adapter)
    assert "--model" in caught.value.hint


def write_tensors(directory: Path, header: dict[str, Any], data: bytes) -> Path:
    directory.mkdir(exist_ok=True)
    encoded = json.dumps(header).encode()
    (directory / "model.safetensors").write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
    return directory


@pytest.mark.parametrize(
    ("dtype", "data", "words"),
    [("F32", b"\0" * 12, "cut short inside the tensor a"), ("I64", b"\0" * 32, "the type I64, which is not read"),
     ("U8", b"\0" * 4, "the type U8, which is not read")],
)  # fmt: skip
def test_damaged_and_strange_tensors_are_named(tmp_path: Path, dtype: str, data: bytes, words: str) -> None:
    header = {"a": {"dtype": dtype, "shape": [4], "data_offsets": [0, 16]}}
    weights = Weights(write_tensors(tmp_path / "base", header, data), None)
    with pytest.raises(BackendError, match=words):
        weights["a"]
    with pytest.raises(BackendError, match="lacks the tensor b"):
        weights["b"]


def test_bfloat16_is_read(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    values = torch.randn(5, 7).to(torch.bfloat16)
    save_file({"a": values}, tmp_path / "model.safetensors")
    assert worst(Weights(tmp_path, None)["a"], values.float()) == 0


def test_rows_in_eight_bits_are_off_by_half_a_step_at_most() -> None:
    import numpy as np

    weight = np.random.default_rng(0).standard_normal((20, 33)).astype(np.float32)
    weight[3] = 0
    rounded, scales = convert.quantise(weight)
    assert rounded.dtype == np.int8 and scales.dtype == np.float32
    off = np.abs(rounded / scales[:, None] - weight).max(axis=1) * scales  # in steps
    assert off.max() < 0.501 and np.delete(off, 3).min() > 0.3
    assert np.abs(rounded).max(axis=1).tolist() == [127] * 3 + [0] + [127] * 16


# The tokenizer


@pytest.mark.parametrize("base", [tiny_model.nf4_base, tiny_model.full_base])
def test_the_plain_tokenizer_is_that_of_transformers(base: Callable[[], Path]) -> None:
    ours, theirs = PlainTokenizer(base()), read_tokenizer(base())
    assert is_plain(base())
    assert len(ours) == len(theirs) and mask_count(ours) == mask_count(theirs) == 32
    assert sorted(ours.all_special_tokens) == sorted(theirs.all_special_tokens)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(ours, name) == getattr(theirs, name) is not None
    texts = ["Open the file.", f"a {tiny_model.EOS} b", "Delete \ue000 and \ue001", "¿Dónde?\n\t日本 \U0001f600", ""]
    assert encode_prompts(ours, texts, "en", "es") == encode_prompts(theirs, texts, "en", "es")
    template = f"{tiny_model.BOS}{{source}}{tiny_model.EOS}"
    assert encode_prompts(ours, texts, "en", "es", template) == encode_prompts(theirs, texts, "en", "es", template)
    assert token_classes(ours, len(ours) + 3) == token_classes(theirs, len(theirs) + 3)
    for ids in encode_prompts(ours, texts, "en", "es"):
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert ours.convert_tokens_to_ids("no such token") is None


def test_special_tokens_are_found_however_they_are_written_down(tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model.full_base(), base)
    settings = {"eos_token": {"content": tiny_model.EOS}, "tokenizer_class": "PreTrainedTokenizerFast"}
    (base / "tokenizer_config.json").write_text(json.dumps({**settings, "additional_special_tokens": ["file"]}))
    (base / "special_tokens_map.json").write_text(json.dumps({"bos_token": tiny_model.BOS, "eos_token": "x"}))
    tokenizer = PlainTokenizer(base)
    assert tokenizer.all_special_tokens == [tiny_model.BOS, tiny_model.EOS, "file"]
    assert tokenizer.pad_token_id is None


@pytest.mark.parametrize("kind", ["LlamaTokenizerFast", "GemmaTokenizer", None])
def test_a_tokenizer_of_a_class_with_rules_of_its_own_is_left_to_transformers(tmp_path: Path, kind: str | None) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model.full_base(), base)
    (base / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    assert not is_plain(base)


def test_a_broken_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BackendError, match="has no tokenizer that can be read"):
        PlainTokenizer(tmp_path)


# The cache


def write_some(directory: Path) -> None:
    (directory / "model.bin").write_bytes(b"whole")


def test_a_model_is_made_once_and_found_again(cache: Path) -> None:
    name = store.key("base", "adapter")
    assert name == store.key("base", "adapter") != store.key("basea", "dapter")
    assert store.find(name) is None
    made = store.make(name, write_some)
    assert made == store.find(name) == cache / name
    assert store.make(name, lambda _: pytest.fail("made twice")) == made


@pytest.mark.parametrize("damage", ["shorter", "missing", "list"])
def test_a_model_that_is_not_whole_is_made_anew(cache: Path, damage: str) -> None:
    made = store.make("a", write_some)
    if damage == "shorter":
        (made / "model.bin").write_bytes(b"who")
    elif damage == "missing":
        (made / "model.bin").unlink()
    else:
        (made / "files.json").write_text("[1")
    assert store.find("a") is None
    assert (store.make("a", write_some) / "model.bin").read_bytes() == b"whole"


def test_an_error_while_it_is_made_leaves_nothing_under_its_name(cache: Path) -> None:
    def fail(directory: Path) -> None:
        write_some(directory)
        raise BackendError("damaged")

    with pytest.raises(BackendError, match="damaged"):
        store.make("a", fail)
    assert store.find("a") is None and not (cache / "a").exists()
    assert store.make("a", write_some) == store.find("a")
    assert sorted(path.name for path in cache.iterdir()) == ["a", "a.lock"]


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BackendError, match="cannot be kept in") as caught:
        store.make("a", write_some)
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_without_the_variable_the_cache_is_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert store.directory() == tmp_path / ".cache" / "batchtrans" / "ct2"


_MAKE = """
import os, signal, sys, time
from pathlib import Path
from batchtrans_llama.ct2 import store
def write(directory):
    (directory / "model.bin").write_bytes(b"who")
    Path(sys.argv[1]).write_text("begun")
    time.sleep(float(sys.argv[2]))
    (directory / "model.bin").write_bytes(b"whole")
    print("made", flush=True)
print(store.make("a", write))
"""


def making(begun: Path, seconds: float) -> subprocess.Popen[str]:
    """A process that makes the model and takes its time, from the moment when it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MAKE, str(begun), str(seconds)],
        env=plugin_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not begun.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_a_second_process_waits_for_the_first_and_takes_its_model(cache: Path, tmp_path: Path) -> None:
    first = making(tmp_path / "begun", 1.0)
    assert store.find("a") is None
    assert store.make("a", lambda _: pytest.fail("made twice")) == cache / "a"
    assert first.communicate(timeout=60)[0] == f"made\n{cache / 'a'}\n"


def test_what_a_killed_process_left_is_not_used(cache: Path, tmp_path: Path) -> None:
    first = making(tmp_path / "begun", 60)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    assert (cache / "a.tmp" / "model.bin").exists() and store.find("a") is None
    assert (store.make("a", write_some) / "model.bin").read_bytes() == b"whole"
    assert not (cache / "a.tmp").exists()


# Which engine


def settings_for(**options: str) -> Settings:
    return parse({"model": str(tiny_model.model()), **options})


@pytest.mark.parametrize(
    ("options", "suits"),
    [({}, True), ({"device": "cpu"}, True), ({"quant": "none"}, True), ({"device": "cuda"}, False),
     ({"device": "cpu", "dtype": "float32"}, False), ({"device": "cpu", "quant": "nf4"}, False)],
    ids=str,
)  # fmt: skip
def test_auto_takes_ct2_on_a_processor_where_nothing_else_is_asked_for(
    options: dict[str, str], suits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "cuda_is_likely", lambda: False)
    settings = settings_for(**options)
    assert engines.ct2_suits(locate(settings, "en", "es"), settings) is suits


def test_auto_leaves_a_gpu_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "cuda_is_likely", lambda: True)
    found = locate(settings_for(), "en", "es")
    assert not engines.ct2_suits(found, settings_for())
    assert engines.ct2_suits(found, settings_for(device="cpu"))


@pytest.mark.parametrize(
    ("build", "in_driver", "likely"),
    [("2.13.0+cpu", 1, False), ("2.13.0+cu130", 1, True), ("2.13.0", 2, True), ("2.13.0+cu130", 0, False),
     ("2.13.0+rocm7", 0, True), (None, 1, False)],
)  # fmt: skip
def test_whether_torch_could_have_a_gpu_is_told_without_it(
    build: str | None, in_driver: int, likely: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(_: str) -> str:
        if build is None:
            raise PackageNotFoundError("torch")
        return build

    monkeypatch.setattr(devices, "version", version)
    monkeypatch.setattr(devices, "_driver_devices", lambda: in_driver)
    assert devices.cuda_is_likely() is likely


def test_the_driver_sees_what_torch_sees() -> None:
    import torch

    assert devices._driver_devices() == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    found = engines.find_spec
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name in names else found(name))


def test_auto_takes_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(device="cpu", dtype="float32")
    found = locate(settings, "en", "es")
    with monkeypatch.context() as patched:
        without(patched, "torch")
        assert engines.ct2_suits(found, settings)
    with monkeypatch.context() as patched:
        without(patched, "ctranslate2")
        assert not engines.ct2_suits(found, settings_for(device="cpu"))
    without(monkeypatch, "torch", "ctranslate2")
    with pytest.raises(BackendError, match="nothing is installed that can decode") as caught:
        engines.ct2_suits(found, settings)
    assert "batchtrans-llama[cpu]" in caught.value.hint and "[torch]" in caught.value.hint


@pytest.mark.parametrize(
    ("config", "reason"),
    [({"model_type": "gemma"}, "it is of the type gemma"), ({"hidden_act": "gelu"}, "its activation is gelu"),
     ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "its positions are scaled by yarn"),
     ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "its positions are scaled by dynamic")],
    ids=str,
)  # fmt: skip
def test_a_model_that_it_cannot_run_is_named(config: dict[str, Any], reason: str, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model.full_base(), base)
    values = json.loads((base / "config.json").read_text())
    values.pop("rope_parameters", None)
    (base / "config.json").write_text(json.dumps({**values, **config}))
    settings = parse({"model": str(base), "device": "cpu"})
    assert not engines.ct2_suits(locate(settings, "en", "es"), settings)
    with pytest.raises(BackendError, match=f"engine=ct2 cannot run this model: {reason}"):
        LlamaBackend({"model": str(base), "engine": "ct2"}).start("en", "es")


def test_positions_are_read_as_old_and_new_configurations_have_them() -> None:
    assert convert._slowdown({"head_dim": 8, "rope_theta": 5e5}) == [1.0] * 4
    linear = {"head_dim": 8, "rope_scaling": {"type": "linear", "factor": 3.0}}
    assert convert._slowdown(linear) == [3.0] * 4
    assert convert._rope({"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}})[1] == 5e5


@pytest.mark.parametrize(
    ("options", "words"),
    [({"device": "cuda"}, "decodes on the processor"), ({"dtype": "bfloat16"}, "does not compute in bfloat16"),
     ({"quant": "nf4"}, "has its weights in 8 bits")],
    ids=str,
)  # fmt: skip
def test_options_that_the_engine_cannot_follow_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        LlamaBackend({"model": str(tiny_model.model()), "engine": "ct2", **options}).start("en", "es")


def test_a_16_bit_adapter_is_not_put_on_a_4_bit_base() -> None:
    directory = tiny_model.copy_of(tiny_model.adapter(), "for 16 bits")
    card = json.loads((directory / "batchtrans.json").read_text())
    (directory / "batchtrans.json").write_text(json.dumps({**card, "quantisation": "none"}))
    options = {"model": str(tiny_model.nf4_base()), "adapter": str(directory), "engine": "ct2"}
    with pytest.raises(BackendError, match="the adapter is for 16-bit weights, and this base is 4-bit"):
        LlamaBackend(options).start("en", "es")


def test_a_converted_model_that_cannot_be_loaded_is_named(cache: Path) -> None:
    options = {"model": str(tiny_model.model()), "engine": "ct2"}
    LlamaBackend(options).start("en", "es")
    (model,) = cache.glob("*/model.bin")
    model.write_bytes(b"\0" * model.stat().st_size)
    with pytest.raises(BackendError, match="CTranslate2 cannot load the converted model") as caught:
        LlamaBackend(options).start("en", "es")
    assert str(model.parent) in caught.value.hint


def test_the_conversion_is_said_once() -> None:
    options = {"model": str(tiny_model.model()), "engine": "ct2"}
    for times in (1, 0):
        backend = LlamaBackend(options)
        backend.start("en", "es")
        assert sum("was converted" in note for note in backend.notes) == times
