"""The llama backend on a CUDA device."""

from __future__ import annotations

import pytest

import tiny_model
from batchtrans import Overload, Request, Result
from batchtrans_llama.backend import LlamaBackend

pytestmark = pytest.mark.gpu
TARGETS = [target for _, target in tiny_model.PAIRS]


@pytest.fixture(autouse=True)
def _cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


def run(**options: str) -> tuple[dict[str, object], list[Result]]:
    """The fingerprint, and the results for the tiny model's sentences in their order."""
    backend = LlamaBackend({"model": str(tiny_model.model()), **options})
    fingerprint = dict(backend.start("en", "es"))
    requests = [Request(number, source) for number, (source, _) in enumerate(tiny_model.PAIRS)]
    results = sorted(backend.translate(requests), key=lambda result: result.id)
    backend.stop()
    return fingerprint, results


def test_in_float32_the_gpu_writes_what_the_cpu_writes() -> None:
    _, on_cpu = run(device="cpu")
    fingerprint, on_gpu = run(device="cuda", dtype="float32")
    assert fingerprint["engine"] == "graph"
    assert (fingerprint["device"], fingerprint["dtype"], fingerprint["quant"]) == ("cuda", "float32", "none")
    for one, other in zip(on_cpu, on_gpu, strict=True):
        assert (one.raw, one.stop, one.tokens_out) == (other.raw, other.stop, other.tokens_out)
        assert one.logprob_mean == pytest.approx(other.logprob_mean, abs=1e-3)


def test_16_bits_are_the_default_and_the_type_follows_the_card() -> None:
    import torch

    fingerprint, results = run()
    expected = "bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "float16"
    assert (fingerprint["device"], fingerprint["dtype"]) == ("cuda", expected)
    assert [result.target for result in results] == TARGETS


@pytest.mark.parametrize("engine", ["hf", "graph"])
@pytest.mark.parametrize("dtype", ["float16", "auto"])
def test_4_bit_weights_with_the_adapter_beside_them_translate(dtype: str, engine: str) -> None:
    fingerprint, results = run(device="cuda", quant="nf4", dtype=dtype, engine=engine)
    assert (fingerprint["quant"], fingerprint["engine"]) == ("nf4", engine)
    assert [result.target for result in results] == TARGETS


def test_a_full_gpu_is_overload_and_a_smaller_batch_goes_through() -> None:
    import torch

    options = {"device": "cuda", "engine": "hf", "max-batch": "100000"}
    backend = LlamaBackend({"model": str(tiny_model.model()), **options})
    backend.start("en", "es")
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 100_000_000) / total)
    try:
        with pytest.raises(Overload, match="20000 segments do not fit into memory"):
            list(backend.translate(Request(number, "Open the file. " * 8) for number in range(20_000)))
        assert [result.target for result in backend.translate([Request(0, "Open the file.")])] == TARGETS[:1]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        backend.stop()
