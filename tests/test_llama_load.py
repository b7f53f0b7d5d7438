from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tiny_model
from batchtrans import BackendError, UsageError
from batchtrans_llama.card import Adapter, read_adapter
from batchtrans_llama.load import choose_device, choose_dtype, keep_weights_as_stored, load
from conftest import plugin_environment

_LAYER = "model.layers.1.mlp.down_proj"


def ids(loaded: Any) -> Any:
    import torch

    return torch.tensor([loaded.tokenizer("Where is the station?")["input_ids"]])


def weight_4bit(model: Any) -> Any:
    """The dequantised numbers of one 4-bit layer."""
    from bitsandbytes.functional import dequantize_4bit

    layer = model.get_submodule(_LAYER)
    return dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()


def lora_delta(adapter: Path) -> Any:
    """What the adapter adds to that layer, from its file: alpha / r x B A."""
    from safetensors.torch import load_file

    config = json.loads((adapter / "adapter_config.json").read_text())
    tensors = load_file(adapter / "adapter_model.safetensors")
    a, b = (tensors[f"base_model.model.{_LAYER}.lora_{side}.weight"].float() for side in "AB")
    return config["lora_alpha"] / config["r"] * (b @ a)


def test_100_forwards_on_the_cpu_leave_the_4_bit_weights_as_they_were() -> None:
    import torch
    from bitsandbytes.functional import has_avx512bf16

    if not has_avx512bf16():
        pytest.skip(
            "this CPU has no AVX512-BF16, so bitsandbytes would not repack the weights with or without the guard"
        )
    loaded = load(tiny_model.nf4_base(), device="cpu", quant="nf4")
    before = weight_4bit(loaded.model).clone()
    rows = ids(loaded)
    with torch.inference_mode():
        for _ in range(100):
            loaded.model(rows)
    assert (weight_4bit(loaded.model) == before).all()


def test_every_4_bit_layer_is_guarded() -> None:
    loaded = load(tiny_model.nf4_base(), device="cpu", quant="nf4")
    layers = [module for module in loaded.model.modules() if type(module).__name__ == "Linear4bit"]
    assert len(layers) == 14
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)
    assert keep_weights_as_stored(loaded.model) == 14


@pytest.mark.parametrize("shape", [(64, 160), (64, 96), (3, 32), (64, 128)])
@pytest.mark.parametrize("nested", [False, True])
def test_rows_that_are_no_multiple_of_a_block_are_dequantised_right(shape: tuple[int, int], nested: bool) -> None:
    import torch
    from bitsandbytes import functional
    from bitsandbytes.nn import Linear4bit, Params4bit

    weight = torch.randn(*shape)
    layer = Linear4bit(shape[1], shape[0], bias=False)
    keep_weights_as_stored(layer)
    packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=nested)
    scales = functional.dequantize_blockwise(state.absmax, state.state2) + state.offset if nested else state.absmax
    codes = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], 1).flatten().long()
    expected = (state.code[codes] * scales.repeat_interleave(64)[: weight.numel()]).view(shape)
    assert (functional.dequantize_4bit(packed, state) == expected).all()
    layer.weight = Params4bit(weight, requires_grad=False, compress_statistics=nested, quant_type="nf4").to("cpu")
    rows = torch.randn(5, shape[1])
    assert torch.allclose(layer(rows), rows @ expected.T, atol=1e-5)
    rows.requires_grad_()
    layer(rows).sum().backward()
    assert torch.allclose(rows.grad, expected.sum(0).expand_as(rows), atol=1e-4)


def test_an_adapter_is_merged_once_into_the_dequantised_weights_in_float32() -> None:
    in_4_bits = load(tiny_model.nf4_base(), device="cpu", quant="nf4")
    expected = weight_4bit(in_4_bits.model) + lora_delta(tiny_model.adapter())
    merged = load(tiny_model.nf4_base(), read_adapter(tiny_model.adapter()), device="cpu")
    weight = merged.model.get_submodule(_LAYER).weight
    assert (merged.quant, merged.weights, merged.dtype) == ("none", "nf4", "float32")
    assert (weight - expected).abs().max() < 1e-6


def test_merged_and_unmerged_adapter_agree() -> None:
    adapter = read_adapter(tiny_model.adapter())
    merged = load(tiny_model.nf4_base(), adapter, device="cpu", quant="none")
    beside = load(tiny_model.nf4_base(), adapter, device="cpu", quant="nf4")
    assert beside.quant == "nf4"
    a, b = (loaded.model(ids(loaded)).logits for loaded in (merged, beside))
    # Between 0.001 and 0.0021 on different processors; an adapter merged into 4-bit weights differs by 0.03 and more.
    assert (a - b).abs().max() / a.abs().max() < 5e-3
    assert (a.argmax(-1) == b.argmax(-1)).all()


def test_tied_embeddings_stay_tied() -> None:
    model = load(tiny_model.nf4_base(), read_adapter(tiny_model.adapter()), device="cpu").model
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_a_16_bit_base_gets_the_numbers_that_its_qlora_adapter_was_trained_on() -> None:
    """The adapter saw the base through NF4; on the unrounded weights it would be off by the rounding error."""
    adapter = read_adapter(tiny_model.adapter())
    loaded = load(tiny_model.full_base(), adapter, device="cpu")
    assert (loaded.weights, loaded.quant) == ("nf4", "none")
    weight = loaded.model.get_submodule(_LAYER).weight - lora_delta(tiny_model.adapter())
    in_4_bits = weight_4bit(load(tiny_model.nf4_base(), device="cpu", quant="nf4").model)
    unrounded = load(tiny_model.full_base(), device="cpu").model.get_submodule(_LAYER).weight
    off = (weight - in_4_bits).abs().mean()
    assert off < 0.05 * (unrounded - in_4_bits).abs().mean()


def test_a_plain_16_bit_base_keeps_its_numbers() -> None:
    loaded = load(tiny_model.full_base(), device="cpu")
    assert (loaded.weights, loaded.quant) == ("full", "none")


def test_an_adapter_trained_on_16_bits_refuses_to_be_used_on_4() -> None:
    trained = read_adapter(tiny_model.adapter())
    adapter = Adapter(trained.directory, trained.base_name, plain=False, quantisation="none")
    with pytest.raises(UsageError, match="quant=nf4 would change the weights"):
        load(tiny_model.full_base(), adapter, device="cpu", quant="nf4")
    with pytest.raises(BackendError, match="this base is 4-bit"):
        load(tiny_model.nf4_base(), adapter, device="cpu")


def test_an_adapter_with_tensors_that_the_base_has_no_layer_for_is_refused(tmp_path: Path) -> None:
    """PEFT drops them without a word."""
    import torch
    from transformers import LlamaForCausalLM

    tokenizer = tiny_model.build_tokenizer()
    torch.manual_seed(1)
    shallow = LlamaForCausalLM(tiny_model.tiny_config(tokenizer, num_hidden_layers=1))
    shallow.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    plain = Adapter(tiny_model.adapter(), "", plain=True)
    with pytest.raises(BackendError, match="does not fit the base: 14 of its tensors have no layer"):
        load(tmp_path, plain, device="cpu")


def test_an_adapter_of_another_width_is_refused(tmp_path: Path) -> None:
    import torch
    from transformers import LlamaForCausalLM

    tokenizer = tiny_model.build_tokenizer()
    torch.manual_seed(1)
    LlamaForCausalLM(tiny_model.tiny_config(tokenizer, hidden_size=32)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BackendError, match="cannot be loaded"):
        load(tmp_path, Adapter(tiny_model.adapter(), "", plain=True), device="cpu")


def spoiled_base(directory: Path, **changes: object) -> Path:
    shutil.copytree(tiny_model.full_base(), directory)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, **changes}))
    return directory


def test_code_of_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    base = spoiled_base(
        tmp_path / "base", model_type="mine", auto_map={"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"}
    )
    (base / "mine.py").write_text(f"open({str(ran)!r}, 'w')\n")
    with pytest.raises(BackendError, match="is no model that transformers knows"):
        load(base, device="cpu")
    assert not ran.exists()


def test_a_base_quantised_in_another_way_is_refused(tmp_path: Path) -> None:
    base = spoiled_base(tmp_path / "base", quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(BackendError, match=r"quantised by .*gptq"):
        load(base, device="cpu")


def test_truncated_weights_are_an_error_and_no_traceback(tmp_path: Path) -> None:
    base = spoiled_base(tmp_path / "base")
    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(BackendError, match="cannot be loaded"):
        load(base, device="cpu")


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    base = spoiled_base(tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    del tensors[f"{_LAYER}.weight"]
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackendError, match=f"lacks 1 of the model's tensors, such as {_LAYER}"):
        load(base, device="cpu")


def test_a_base_without_tokenizer_is_refused(tmp_path: Path) -> None:
    base = spoiled_base(tmp_path / "base")
    (base / "tokenizer.json").unlink()
    (base / "tokenizer_config.json").unlink()
    with pytest.raises(BackendError, match="tokenizer"):
        load(base, device="cpu")


def test_every_id_that_ends_a_text_is_known(tmp_path: Path) -> None:
    base = spoiled_base(tmp_path / "base", eos_token_id=5)
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9], "temperature": 0.1}))
    loaded = load(base, device="cpu")
    assert loaded.eos_ids == {5, 7, 9, loaded.tokenizer.eos_token_id}
    assert loaded.model.generation_config.temperature is None


def test_a_cuda_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(BackendError, match="there is no device cuda:99"):
        choose_device("cuda:99")


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 0), "float16"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_the_type_on_a_gpu_follows_its_capability_and_not_emulation(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert choose_dtype(torch.device("cuda", 0)) is getattr(torch, dtype)
    assert choose_dtype(torch.device("cuda", 0), "float32") is torch.float32
    assert choose_dtype(torch.device("cpu")) is torch.float32


@pytest.mark.parametrize("package", ["torch", "bitsandbytes"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(package: str) -> None:
    script = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from pathlib import Path\n"
        "from batchtrans_llama.card import read_adapter; from batchtrans_llama.load import load\n"
        "from batchtrans import BackendError\n"
        f"base, adapter = Path({str(tiny_model.nf4_base())!r}), Path({str(tiny_model.adapter())!r})\n"
        "try: load(base, read_adapter(adapter), device='cpu')\n"
        "except BackendError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=plugin_environment(), capture_output=True, text=True, timeout=60
    )
    assert f"needs the package {package}" in done.stdout, done.stderr
    assert "pip install 'batchtrans-llama[torch]'" in done.stdout
