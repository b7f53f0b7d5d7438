from __future__ import annotations

from pathlib import Path

import pytest

import batchtrans_llama
from batchtrans import UsageError
from batchtrans_llama.backend import LlamaBackend
from batchtrans_llama.options import LengthCap, parse


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("device", "gpu", "auto, cpu, cuda or cuda:N"),
        ("device", "cuda:x", "auto, cpu, cuda or cuda:N"),
        ("dtype", "int8", "auto, float32, bfloat16 or float16"),
        ("quant", "8bit", "auto, nf4 or none"),
        ("engine", "vllm", "auto, hf, graph or ct2"),
        ("attention", "flash", "auto, sdpa or triton"),
        ("compile", "maybe", "auto, yes or no"),
        ("eos", "yes", "on or off"),
        ("max-batch", "0", "a whole number from 1 on"),
        ("max-batch", "many", "a whole number from 1 on"),
        ("local-only", "maybe", "yes or no"),
        ("force", "perhaps", "yes or no"),
        ("length-cap", "100", "A+B*n"),
        ("length-cap", "2*n+1", "A+B*n"),
        ("length-cap", "-1+2*n", "A+B*n"),
    ],
)
def test_a_bad_value_is_refused_naming_the_option_and_what_it_may_be(name: str, value: str, allowed: str) -> None:
    with pytest.raises(UsageError) as caught:
        LlamaBackend({name: value})
    assert f"option {name}" in str(caught.value)
    assert repr(value) in str(caught.value)
    assert allowed in str(caught.value)


def test_every_declared_option_is_read() -> None:
    (declared,) = batchtrans_llama.batchtrans_backends()
    read = set()

    class Recorder(dict[str, str]):
        def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
            read.add(key)
            return default

    parse(Recorder())
    assert read == set(declared.options)


def test_no_options_give_the_defaults() -> None:
    settings = parse({})
    assert (settings.device, settings.dtype, settings.quant, settings.engine) == ("auto",) * 4
    assert (settings.attention, settings.compile, settings.eos) == ("auto", "auto", True)
    assert settings.max_batch is None and settings.template is None and not settings.force
    assert str(settings.length_cap) == "16+2.2*n"


@pytest.mark.parametrize(
    ("text", "source_tokens", "tokens"),
    [("16+2.2*n", 10, 38), ("16+2.2*n", 1, 19), ("5+0*n", 100, 5), ("0 + 1.5 * n", 3, 5), ("0+0*n", 9, 1)],
)
def test_a_length_cap_is_rounded_up_and_never_zero(text: str, source_tokens: int, tokens: int) -> None:
    assert parse({"length-cap": text}).length_cap.tokens(source_tokens) == tokens


def test_a_length_cap_reads_back_from_its_text() -> None:
    assert parse({"length-cap": str(LengthCap(3.5, 0.25))}).length_cap == LengthCap(3.5, 0.25)


def test_a_prompt_file_is_a_template_without_its_last_line_end(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("English: {source}\nSpanish:\n", encoding="utf-8")
    assert parse({"prompt": str(path)}).template == "English: {source}\nSpanish:"


@pytest.mark.parametrize("text", ["no field at all", "{source} and {source}", ""])
def test_a_prompt_file_without_exactly_one_source_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="exactly once"):
        parse({"prompt": str(path)})


def test_a_prompt_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.txt cannot be read"):
        parse({"prompt": "nowhere.txt"})
