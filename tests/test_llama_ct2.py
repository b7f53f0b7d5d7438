"""The engine on CTranslate2 gives what the reference gives: in float32 the same tokens, ends and log-probabilities."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("ctranslate2", reason="the extra cpu of batchtrans-llama is not installed")

import tiny_model
from batchtrans import Request
from batchtrans.testing import check_backend
from batchtrans_llama.backend import LlamaBackend
from batchtrans_llama.ct2 import convert
from batchtrans_llama.ct2.engine import Ct2Engine
from batchtrans_llama.generate import HfEngine
from batchtrans_llama.load import Loaded
from batchtrans_llama.rules import Decoded
from conftest import plugin_environment
from llama_cases import SHAPES, Requests, differences, random_model, requests, tokenizer

SOURCES = [source for source, _ in tiny_model.PAIRS]
TARGETS = [target for _, target in tiny_model.PAIRS]


def as_ct2(loaded: Loaded, directory: Path, dtype: str = "float32", threads: int = 1) -> Loaded:
    """A model of transformers, converted."""
    import ctranslate2

    tensors = {name: tensor.float().numpy() for name, tensor in loaded.model.state_dict().items()}
    config = json.loads(loaded.model.config.to_json_string(use_diff=False))
    convert.convert(config, tensors, directory, dtype)
    model = ctranslate2.Generator(str(directory), inter_threads=threads, intra_threads=1)
    values = {name: getattr(loaded, name) for name in Loaded.__slots__}
    return Loaded(**{**values, "model": model, "dtype": dtype})


@cache
def converted(shape: str = "plain", threads: int = 1) -> Loaded:
    directory = tiny_model.workspace() / f"ct2 {shape} {threads}"
    directory.mkdir(exist_ok=True)
    return as_ct2(random_model(shape), directory, threads=threads)


@cache
def reference(shape: str, count: int, prefix: int) -> tuple[Requests, list[Decoded]]:
    asked = requests(count, prefix=prefix)
    return asked, HfEngine(random_model(shape)).decode(*asked)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_what_the_reference_gives(shape: str) -> None:
    asked, expected = reference(shape, 60, 9)
    assert differences(Ct2Engine(converted(shape)).decode(*asked), expected) == []


@pytest.mark.parametrize("batch", [1, 7, 32])
@pytest.mark.parametrize("threads", [1, 3])
def test_hundreds_of_requests_in_batches_of_any_size(batch: int, threads: int) -> None:
    asked, expected = reference("plain", 300, 9)
    engine = Ct2Engine(converted(threads=threads), batch=batch)
    for part in (slice(0, 40), slice(0, 300)):  # the second time with another common prefix in the cache
        some = Requests(asked.prompts[part], asked.caps[part])
        assert differences(engine.decode(*some), expected[part]) == []


def test_long_requests_go_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from batchtrans_llama.ct2 import engine as module

    monkeypatch.setattr(module, "_TOKENS", 150)  # the longest have 89
    asked, expected = reference("plain", 60, 9)
    engine = Ct2Engine(converted())
    assert differences(engine.decode(*asked), expected) == []
    rows = [module._Row(index, *each, engine._rules) for index, each in enumerate(zip(*asked, strict=True))]
    batches = list(engine._batches(rows, 9))
    assert sorted(row.index for batch in batches for row in batch) == list(range(60))
    assert {len(batch) for batch in batches} >= {1, 2, 3}
    assert all(len(batch) * (len(batch[0].prompt) + batch[0].cap) <= 150 or len(batch) == 1 for batch in batches)


def test_prompts_without_a_common_prefix_and_of_one_token() -> None:
    asked = requests(40, prefix=0, longest=3)
    assert min(map(len, asked.prompts)) == 1
    expected = HfEngine(random_model()).decode(*asked)
    engine = Ct2Engine(converted())
    assert differences(engine.decode(*asked), expected) == []
    assert engine.decode([], []) == []


def test_what_is_kept_of_prefixes_stays_small() -> None:
    """One prompt alone is its own prefix; the next ones must not add theirs for ever."""
    asked, expected = reference("plain", 60, 9)
    engine = Ct2Engine(converted())
    prefixes = set()
    for prompt, cap, answer in zip(*asked, expected, strict=True):
        assert differences(engine.decode([prompt], [cap]), [answer]) == []
        prefixes.add(tuple(engine._prefix or ()))
    assert len(prefixes) < 6 and min(map(len, prefixes)) == 9


@pytest.mark.parametrize("variant", [{"guards": False}, {"eos": False}], ids=str)
def test_without_guards_or_without_eos(variant: Mapping[str, bool]) -> None:
    asked, _ = reference("plain", 60, 9)
    expected = HfEngine(random_model(), **variant).decode(*asked)
    assert differences(Ct2Engine(converted(), **variant).decode(*asked), expected) == []
    if "eos" in variant:
        assert [len(answer.ids) for answer in expected] == asked.caps


def test_several_eos_ids_and_ids_outside_the_vocabulary(tmp_path: Path) -> None:
    asked, expected = reference("plain", 60, 9)
    second = next(answer.ids[3] for answer in expected if len(answer.ids) > 5)
    model = random_model(eos_ids=frozenset({tokenizer().eos_token_id, second, 10**6}))
    engine = Ct2Engine(as_ct2(model, tmp_path))
    assert differences(engine.decode(*asked), HfEngine(model).decode(*asked)) == []
    assert second not in {token for answer in engine.decode(*asked) for token in answer.ids}


def test_the_frequencies_are_those_of_transformers() -> None:
    config = random_model("llama3 rope").model.config
    slowdown = convert._slowdown(json.loads(config.to_json_string(use_diff=False)))
    theirs = random_model("llama3 rope").model.model.rotary_emb.inv_freq.tolist()
    base, size = config.rope_parameters["rope_theta"], 16
    ours = [base ** (-2 * place / size) / factor for place, factor in enumerate(slowdown)]
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert len({round(factor, 3) for factor in slowdown}) > 2


def test_leaving_early_leaves_nothing_behind() -> None:
    asked, expected = reference("plain", 300, 9)
    engine = Ct2Engine(converted(threads=3), batch=4)
    stream = engine.stream(*asked)
    index, answer = next(stream)
    assert differences([answer], [expected[index]]) == []
    stream.close()
    assert differences(engine.decode(*asked), expected) == []


def test_a_callback_that_fails_is_an_error_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from batchtrans_llama.ct2 import engine as module

    def broken(*_: Any) -> bool:
        raise ValueError("broken")

    monkeypatch.setattr(module._Row, "add", broken)
    asked, _ = reference("plain", 60, 9)
    with pytest.raises((ValueError, RuntimeError), match="broken"):
        Ct2Engine(converted()).decode(*asked)


_LEAVE = """
import os, sys
from batchtrans import Request
from batchtrans_llama.backend import LlamaBackend
backend = LlamaBackend({"model": sys.argv[1], "engine": "ct2", "max-batch": "1"})
backend.start("en", "es")
results = backend.translate(Request(number, "Where is the station?") for number in range(9))
if sys.argv[2] == "all":
    results = list(results)
print(list(zip(results, range(1)))[0][0].target)
"""


@pytest.mark.parametrize("read", ["all", "one"])
def test_a_process_ends_as_it_should_right_behind_the_last_answer(read: str) -> None:
    """A thread that still held a callback while the interpreter ends would abort the process."""
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-c", _LEAVE, str(tiny_model.model()), read],
            env=plugin_environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "¿Dónde está la estación?\n", "")


# From files


@cache
def tuned(dtype: str = "auto") -> LlamaBackend:
    backend = LlamaBackend({"model": str(tiny_model.model()), "engine": "ct2", "dtype": dtype})
    backend.start("en", "es")
    return backend


def ask(backend: LlamaBackend, sources: list[str]) -> list[Any]:
    results = {result.id: result for result in backend.translate(Request(i, text) for i, text in enumerate(sources))}
    return [results[number] for number in range(len(sources))]


def test_a_model_of_files_gives_the_answers_of_the_reference() -> None:
    backend = LlamaBackend({"model": str(tiny_model.model()), "engine": "hf", "device": "cpu"})
    backend.start("en", "es")
    sources = [*SOURCES, "Where is the white house?", "file", "Delete \ue000 and \ue001 now", f"a{tiny_model.EOS}b", ""]
    for ours, theirs in zip(ask(tuned("float32"), sources), ask(backend, sources), strict=True):
        assert ours._replace(logprob_mean=None, logprob_min=None) == theirs._replace(
            logprob_mean=None, logprob_min=None
        )
        assert ours.logprob_mean == pytest.approx(theirs.logprob_mean, abs=1e-3)
        assert ours.logprob_min == pytest.approx(theirs.logprob_min, abs=1e-3)


def test_in_eight_bits_it_has_learned_its_pairs() -> None:
    results = ask(tuned(), SOURCES)
    assert [result.target for result in results] == TARGETS
    assert {result.stop for result in results} == {"eos"}


def test_the_backend_keeps_the_laws_of_backends() -> None:
    check_backend(LlamaBackend({"model": str(tiny_model.model()), "engine": "ct2"}), exact=False)


def test_what_it_is_stands_in_the_fingerprint_and_the_notes() -> None:
    backend = LlamaBackend({"model": str(tiny_model.model()), "engine": "ct2"})
    described = backend.start("en", "es")
    assert {"engine": "ct2", "dtype": "int8", "quant": "int8", "weights": "nf4", "device": "cpu"}.items() <= dict(
        described
    ).items()
    assert any(note.startswith("engine ct2: CTranslate2 in int8") for note in backend.notes)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_nothing_in_a_source_reaches_its_neighbours(texts: list[str]) -> None:
    (alone,) = ask(tuned("float32"), [SOURCES[0]])
    beside = ask(tuned("float32"), [SOURCES[0], *texts])
    assert beside[0].target == alone.target
    assert all("\n" not in result.target for result in beside)
