"""The engine with slots gives what the reference gives: in float32 the same tokens and ends, whatever sits beside.

On CPU its steps run as they are; on a GPU they are recorded as CUDA graphs, with Triton kernels and compiled layers as
further variants.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_model
from batchtrans import BackendError, Request
from batchtrans.testing import check_backend
from batchtrans_llama.asking import Asker
from batchtrans_llama.backend import LlamaBackend
from batchtrans_llama.engines import choose_engine
from batchtrans_llama.generate import HfEngine
from batchtrans_llama.load import load
from batchtrans_llama.options import LengthCap, parse
from batchtrans_llama.prompt import PROMPT
from batchtrans_llama.rules import Decoded
from conftest import plugin_environment
from llama_cases import SHAPES, Requests, differences, random_model, requests, tokenizer

SOURCES = [source for source, _ in tiny_model.PAIRS]
TARGETS = [target for _, target in tiny_model.PAIRS]
#: Few slots, so that they are dirty, refilled and moved together; both ways of prefilling.
VARIANTS: dict[str, dict[str, Any]] = {
    "padded": {"slots": 8},
    "padded, small chunks": {"slots": 5, "chunk": 17},
    "packed": {"slots": 8, "packed": True, "chunk": 48, "unit": 16},
    "packed, prompts in pieces": {"slots": 16, "packed": True, "chunk": 7, "unit": 7},
    "three slots": {"slots": 3, "chunk": 1000},
}


def graph(loaded: Any, **options: Any) -> Any:
    from batchtrans_llama.graph.engine import GraphEngine

    return GraphEngine(loaded, **options)


@cache
def reference(shape: str, count: int, prefix: int) -> tuple[Requests, list[Decoded]]:
    asked = requests(count, prefix=prefix)
    return asked, HfEngine(random_model(shape)).decode(*asked)


@pytest.mark.parametrize("variant", ["padded", "packed"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_what_the_reference_gives(shape: str, variant: str) -> None:
    asked, expected = reference(shape, 60, 9)
    assert differences(graph(random_model(shape), **VARIANTS[variant]).decode(*asked), expected) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_hundreds_of_requests_through_few_dirty_slots(variant: str) -> None:
    asked, expected = reference("plain", 300, 9)
    engine = graph(random_model(), **VARIANTS[variant])
    for part in (slice(0, 40), slice(0, 300)):  # the second time the slots hold what the first left
        some = Requests(asked.prompts[part], asked.caps[part])
        assert differences(engine.decode(*some), expected[part]) == []


def test_the_requests_end_in_every_way() -> None:
    _, expected = reference("plain", 300, 9)
    stops = Counter(answer.stop for answer in expected)
    assert min(stops["eos"], stops["boundary"], stops["max_tokens"]) > 0, stops
    assert len({len(answer.ids) for answer in expected}) > 10


@pytest.mark.parametrize("variant", ["padded", "packed"])
@pytest.mark.parametrize("prefix", [0, 1, 30])
def test_a_shared_prefix_may_have_any_length(prefix: int, variant: str) -> None:
    asked, expected = reference("plain", 60, prefix)
    assert differences(graph(random_model(), **VARIANTS[variant]).decode(*asked), expected) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_prompts_that_are_all_prefix(variant: str) -> None:
    """Equal prompts, prompts that begin others, and prompts of a single token."""
    long = list(range(3, 60))
    prompts = [long, long, long[:1], long[:20], long[:20], [*long[:20], 7]]
    engine, theirs = graph(random_model(), **VARIANTS[variant]), HfEngine(random_model())
    for chosen in (prompts, prompts[:2], prompts[:1], prompts[2:3], [[5], [6], [5]]):
        caps = [30] * len(chosen)
        assert differences(engine.decode(chosen, caps), theirs.decode(chosen, caps)) == []


def test_nothing_comes_of_nothing() -> None:
    assert graph(random_model()).decode([], []) == []
    assert list(graph(random_model()).stream([], [])) == []


def test_answers_are_given_out_once_each_as_they_are_finished() -> None:
    asked, expected = reference("plain", 120, 9)
    found = list(graph(random_model(), slots=8).stream(*asked))
    assert sorted(index for index, _ in found) == list(range(120))
    assert [index for index, _ in found] != list(range(120))
    assert all(answer.ids == expected[index].ids for index, answer in found)


def test_prompts_of_very_different_lengths_use_slots_of_different_lengths() -> None:
    short, long = requests(90, seed=1, longest=10, cap=8), requests(6, seed=2, longest=150, cap=60)
    asked = Requests(short.prompts + long.prompts, short.caps + long.caps)
    token_bytes = 2 * 2 * 2 * 16 * 4  # keys and values, layers, key heads, head_dim, float32
    engine = graph(random_model(), slots=16, memory=(8 + 1) * 256 * token_bytes)
    assert differences(engine.decode(*asked), HfEngine(random_model()).decode(*asked)) == []
    long_table, short_table = engine._tables
    assert long_table.length > short_table.length and long_table.count < short_table.count == 16


def test_the_tail_moves_together_into_smaller_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from batchtrans_llama.graph.slots import Slots

    sizes: list[int] = []
    step = Slots.step

    def recorded(self: Any, b: int, *more: Any, **options: Any) -> Any:
        sizes.append(b)
        return step(self, b, *more, **options)

    monkeypatch.setattr(Slots, "step", recorded)
    asked, expected = reference("plain", 120, 9)
    assert differences(graph(random_model(), slots=16).decode(*asked), expected) == []
    assert set(sizes) == {16, 8, 4, 2} and sizes[-1] == 2


@pytest.mark.parametrize("ends", [(), (7,), tuple(range(0, 500, 9)), (7, 100_000)])
def test_any_set_of_ids_may_end_an_answer(ends: tuple[int, ...]) -> None:
    asked = requests(60)
    theirs = HfEngine(random_model(eos_ids=frozenset(ends))).decode(*asked)
    ours = graph(random_model(eos_ids=frozenset(ends)), slots=8).decode(*asked)
    assert differences(ours, theirs) == []
    assert all(not set(answer.ids) & set(ends) and len(answer.logprobs) > 0 for answer in ours)


@pytest.mark.parametrize("options", [{"guards": False}, {"eos": False}])
def test_without_guards_or_without_ends_both_go_on(options: dict[str, bool]) -> None:
    asked = requests(60)
    ours, theirs = graph(random_model(), slots=8, **options), HfEngine(random_model(), **options)
    answers = ours.decode(*asked)
    assert differences(answers, theirs.decode(*asked)) == []
    if "eos" in options:
        assert {answer.stop for answer in answers} == {""}
        assert [len(answer.ids) for answer in answers] == asked.caps
    else:
        assert {answer.stop for answer in answers} <= {"eos", "max_tokens"}


def test_masks_are_generated_only_where_the_prompt_holds_them() -> None:
    """The model is made to want U+E001 above all, and to end with nothing second."""
    import torch

    wishes = [tokenizer().convert_tokens_to_ids("\ue001"), tokenizer().eos_token_id]

    def eager(model: Any) -> Any:
        with torch.no_grad():
            model.model.lm_head.weight = torch.nn.Parameter(model.model.lm_head.weight.clone())
            model.model.lm_head.weight[wishes] = model.model.lm_head.weight[[50]] * torch.tensor([[9.0], [4.0]])
        return model

    asked = requests(60, vocabulary=len(tokenizer()) - 32)
    with_mask = [
        [*prompt[:5], wishes[0], *prompt[5:]] if index % 3 == 0 else prompt
        for index, prompt in enumerate(asked.prompts)
    ]
    ours = graph(eager(random_model()), slots=8).decode(with_mask, asked.caps)
    assert differences(ours, HfEngine(eager(random_model())).decode(with_mask, asked.caps)) == []
    wrote = [wishes[0] in answer.ids for answer in ours]
    assert any(wrote) and not any(wrote[1::3]) and not any(wrote[2::3])
    assert all(answer.ids for answer in ours)


def test_a_number_that_is_none_does_not_stay_in_a_slot() -> None:
    """A token whose embedding overflows spoils its own answer and nobody's after it in the slot."""
    import torch

    def spoiled(model: Any) -> Any:
        with torch.no_grad():
            model.model.model.embed_tokens.weight[77] = float("inf")
            model.model.lm_head.weight = torch.nn.Parameter(model.model.lm_head.weight.nan_to_num(posinf=0.0))
        return model

    asked = requests(60, vocabulary=77)
    poisoned = [[*prompt, 77] if index % 4 == 0 else prompt for index, prompt in enumerate(asked.prompts)]
    expected = HfEngine(spoiled(random_model())).decode(*asked)
    for variant in ("padded", "packed"):
        ours = graph(spoiled(random_model()), **VARIANTS[variant]).decode(poisoned, asked.caps)
        healthy = [index for index in range(60) if index % 4]
        assert differences([ours[index] for index in healthy], [expected[index] for index in healthy]) == []


@cache
def _engines() -> tuple[HfEngine, list[Any]]:
    loaded = random_model()
    return HfEngine(loaded), [graph(loaded, **options) for options in VARIANTS.values()]


@st.composite
def mixes(draw: st.DrawFn) -> Requests:
    """A common beginning, and behind it parts of one random text, so that further beginnings are shared."""
    text = requests(1, seed=draw(st.integers(0, 99)), longest=80).prompts[0] * 3
    common = draw(st.integers(0, 12))
    spans = draw(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60), st.integers(1, 20)), max_size=24))
    prompts = [text[:common] + text[start : start + length] for start, length, _ in spans]
    return Requests(prompts, [cap for _, _, cap in spans])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(mixes(), st.integers(0, len(VARIANTS) - 1))
def test_any_mix_of_requests_gives_what_the_reference_gives(asked: Requests, variant: int) -> None:
    theirs, ours = _engines()
    assert differences(ours[variant].decode(*asked), theirs.decode(*asked)) == []


# Memory

_MEMORY = """
import resource, sys
sys.path.insert(0, "tests")
from batchtrans_llama.generate import HfEngine
from batchtrans_llama.graph.engine import GraphEngine
from llama_cases import differences, random_model, requests
asked = requests(70)
expected = HfEngine(random_model()).decode(*asked)
engine = GraphEngine(random_model(), slots=512, memory=1 << 40)
engine.decode([[5]], [2])
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[1]),) * 2)
ours = engine.decode(*asked)
print(differences(ours, expected))
print([answer.stop for answer in engine.decode([[5] * 50_000, [6] * 9], [9, 9])])
print(engine.notes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
def test_where_memory_runs_out_the_slots_are_halved_and_the_answers_stay_the_same() -> None:
    """The cache for 128 requests, 17 MB, does not fit into 9 MB; that of a prompt of 50,000 tokens never does."""
    # Without this the C library keeps large pieces that were freed, and a cache may fit into one of those.
    environment = {**plugin_environment(), "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, "9000000"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    same, long, notes = done.stdout.splitlines()
    assert same == "[]"
    assert long.startswith("['memory', '")
    assert "memory ran out with 128 segments decoded together: 64 from there on" in notes


def test_slots_are_bounded_by_the_memory_that_the_cache_may_take() -> None:
    token_bytes = 2 * 2 * 2 * 16 * 4
    engine = graph(random_model(), slots=64, memory=9 * 128 * token_bytes)
    asked, expected = reference("plain", 120, 9)
    assert differences(engine.decode(*asked), expected) == []
    assert 8 <= max(table.count for table in engine._tables) < 64
    assert all((table.count + 1) * table.length * token_bytes <= 9 * 128 * token_bytes for table in engine._tables)


def test_a_text_too_large_for_any_memory_is_an_error_of_its_own() -> None:
    class Full:
        """An engine for whom only short prompts fit."""

        name, notes, schedules = "full", [], True

        def decode(self, prompts: Any, caps: Any) -> list[Decoded]:
            return [answer for _, answer in self.stream(prompts, caps)]

        def stream(self, prompts: Any, caps: Any) -> Iterator[tuple[int, Decoded]]:
            for index, prompt in enumerate(prompts):
                yield index, Decoded([], [], "memory") if len(prompt) > 50 else Decoded([9], [-0.5, -0.5], "eos")

    loaded = load(tiny_model.full_base(), device="cpu")
    asker = Asker(loaded, PROMPT, "en", "es", LengthCap(), engine=Full())
    long, short = asker.ask(["word " * 40, "a"])
    assert "too large for this machine's memory" in long.error and not long.text
    assert short.error == "" and (short.tokens_out, short.logprob_mean) == (2, -0.5)


# The backend


@pytest.fixture(scope="module")
def backend() -> Iterator[LlamaBackend]:
    started = LlamaBackend({"model": str(tiny_model.model()), "device": "cpu", "engine": "graph"})
    started.start("en", "es")
    yield started
    started.stop()


def test_the_backend_translates_whole_windows_with_it(backend: LlamaBackend) -> None:
    asked = [Request(number, source) for number, source in enumerate([*SOURCES, "", *SOURCES])]
    results = sorted(backend.translate(asked))
    assert [result.target for result in results] == [*TARGETS, "", *TARGETS]
    assert {result.stop for result in results} == {"eos", ""}
    assert backend.batch_size > 4096 and backend.portion
    assert any(note.startswith("engine graph: up to 32 segments") for note in backend.notes)


def test_results_are_those_of_the_reference(backend: LlamaBackend) -> None:
    reference = LlamaBackend({"model": str(tiny_model.model()), "device": "cpu", "engine": "hf"})
    reference.start("en", "es")
    asked = [Request(number, source) for number, source in enumerate(SOURCES)]
    for ours, theirs in zip(sorted(backend.translate(asked)), sorted(reference.translate(asked)), strict=True):
        assert ours._replace(logprob_mean=None, logprob_min=None) == theirs._replace(
            logprob_mean=None, logprob_min=None
        )
        assert ours.logprob_mean == pytest.approx(theirs.logprob_mean, abs=2e-4)
        assert ours.logprob_min == pytest.approx(theirs.logprob_min, abs=2e-4)


def test_the_backend_holds_its_laws_with_it() -> None:
    check_backend(
        LlamaBackend({"model": str(tiny_model.nf4_base()), "device": "cpu", "engine": "graph", "max-batch": "3"}),
        texts=SOURCES,
    )


@pytest.mark.parametrize("options", [{}, {"adapter": "none"}])
def test_4_bit_weights_and_the_adapter_beside_them_stay_as_they_are(options: dict[str, str]) -> None:
    import torch

    common = {"model": str(tiny_model.model()), "device": "cpu", "quant": "nf4", **options}
    results = []
    for engine in ("hf", "graph"):
        started = LlamaBackend({**common, "engine": engine})
        started.start("en", "es")
        asked = [Request(number, source) for number, source in enumerate(SOURCES)]
        results.append(
            [(result.id, result.target, result.stop, result.raw) for result in sorted(started.translate(asked))]
        )
        kinds = {type(module).__name__ for module in tiny_model.loaded_by(started).model.modules()}
        assert "Linear4bit" in kinds and torch.nn.Linear.__name__ in kinds
        started.stop()
    assert results[0] == results[1]


def test_auto_is_the_reference_on_cpu_and_says_nothing() -> None:
    engine = choose_engine(load(tiny_model.full_base(), device="cpu"), parse({}))
    assert engine.name == "hf" and engine.notes == []


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    directory = tmp_path_factory.mktemp("qwen")
    values = tiny_model.tiny_config(tokenizer()).to_dict()
    kept = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    Qwen2ForCausalLM(Qwen2Config(**{name: values[name] for name in kept}, num_key_value_heads=2)).save_pretrained(
        directory
    )
    tokenizer().save_pretrained(directory)
    return str(directory)


def test_another_architecture_is_refused_if_the_engine_is_forced(qwen: str) -> None:
    backend = LlamaBackend({"model": qwen, "device": "cpu", "engine": "graph"})
    with pytest.raises(BackendError, match="it is a Qwen2ForCausalLM, not a LlamaForCausalLM"):
        backend.start("en", "es")


def test_a_rotary_embedding_that_follows_the_text_is_refused() -> None:
    loaded = random_model()
    loaded.model.config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    with pytest.raises(BackendError, match=r"rotary embedding \(dynamic\) depends on the length of the text"):
        graph(loaded)


def test_triton_cannot_be_forced_without_a_gpu() -> None:
    with pytest.raises(BackendError, match="attention=triton cannot run here: it needs a GPU"):
        graph(random_model(), attention="triton")


def test_an_engine_without_ends_is_another_fingerprint() -> None:
    options = {"model": str(tiny_model.full_base()), "device": "cpu", "engine": "graph"}
    plain, endless = LlamaBackend(options), LlamaBackend({**options, "eos": "off", "length-cap": "7+0*n"})
    assert plain.preview("en", "es")["engine"] == "graph" and "eos" not in plain.preview("en", "es")
    assert dict(endless.start("en", "es"))["eos"] == "off"
    (result,) = endless.translate([Request(0, SOURCES[0])])
    assert (result.tokens_out, result.error) == (7, "") and result.stop != "max_tokens"


# On a GPU: recorded as CUDA graphs

ON_GPU: dict[str, dict[str, Any]] = {
    "graphs, SDPA": {"attention": "sdpa"},
    "graphs, SDPA, packed": {"attention": "sdpa", "packed": True, "chunk": 48, "unit": 16},
    "graphs, SDPA, compiled": {"attention": "sdpa", "compile": "yes"},
    "graphs, Triton": {"attention": "triton", "chunk": 48, "unit": 16},
    "graphs, Triton, compiled": {"attention": "triton", "compile": "yes", "chunk": 64},
    "Triton, not recorded": {"attention": "triton", "record": False, "chunk": 64},
}


@pytest.fixture
def gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


def _skip_without_triton(variant: str) -> None:
    import torch

    if ("Triton" in variant or "compiled" in variant) and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("Triton needs compute capability 8.0")


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("variant", ON_GPU)
@pytest.mark.parametrize("shape", SHAPES)
def test_on_a_gpu_in_float32_every_variant_gives_the_same_tokens(shape: str, variant: str) -> None:
    _skip_without_triton(variant)
    asked, loaded = requests(300), random_model(shape, "cuda")
    expected = HfEngine(loaded).decode(*asked)
    engine = graph(loaded, slots=16, **ON_GPU[variant])
    assert not any("not possible" in note for note in engine.notes), engine.notes
    for part in (slice(0, 40), slice(0, 300)):
        some = Requests(asked.prompts[part], asked.caps[part])
        assert differences(engine.decode(*some), expected[part]) == []


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("variant", ["graphs, SDPA", "graphs, Triton"])
def test_on_a_gpu_in_16_bits_few_answers_differ(
    variant: str, dtype: str, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    _skip_without_triton(variant)
    if dtype == "bfloat16" and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("bfloat16 needs compute capability 8.0")
    asked, loaded = requests(300), random_model("head_dim 64", "cuda", dtype)
    expected = HfEngine(loaded).decode(*asked)
    ours = graph(loaded, slots=16, **ON_GPU[variant]).decode(*asked)
    flipped = sum(one.ids != other.ids for one, other in zip(ours, expected, strict=True))
    with capsys.disabled():
        print(f"{variant}, {dtype}: {flipped} of 300 answers differ from the reference's")
    record_property("flipped", flipped)
    assert flipped < 150  # a model of random numbers: the two best of its tokens are often close


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_that_is_full_the_slots_are_halved_and_the_answers_stay_the_same() -> None:
    import torch

    asked = requests(300)
    asked.caps[0] = 20_000  # nothing is that long, but the slots have to be: 6 GB of cache, then 3, then 1.5
    loaded = random_model(device="cuda", eos_ids=frozenset(range(0, 500, 9)))
    expected = HfEngine(loaded).decode(*asked)
    engine = graph(loaded, slots=512, attention="sdpa", memory=1 << 40)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2_500_000_000) / total)
    try:
        assert differences(engine.decode(*asked), expected) == []
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("256 from there on" in note for note in engine.notes), engine.notes


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_auto_takes_it_and_says_so_or_falls_back_with_a_note(qwen: str) -> None:
    chosen = choose_engine(load(tiny_model.full_base(), device="cuda"), parse({}))
    assert chosen.name == "graph" and chosen.notes[-1].startswith("engine graph: up to ")
    other = choose_engine(load(Path(qwen), device="cuda"), parse({}))
    assert other.name == "hf" and "it is a Qwen2ForCausalLM" in other.notes[0]
