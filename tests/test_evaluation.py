"""Evaluation: what systems give, how it is measured and compared, and the page that shows it."""

from __future__ import annotations

import json
import math
import random
import re
import sys
from collections.abc import Sequence
from functools import cache
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tiny_model
from batchtrans import BackendError, Overload, UsageError
from batchtrans.parts import cut
from batchtrans.report import Progress
from batchtrans_llama.asking import Asker
from batchtrans_llama.data.read import Pair
from batchtrans_llama.evaluation import (
    CommandSystem,
    Comparison,
    Curve,
    Example,
    Hypothesis,
    ModelSystem,
    Output,
    Series,
    choose_shots,
    chrf_of,
    compare,
    decode_texts,
    few_shot_template,
    parse_against,
    resolve,
    run_systems,
    segment_chrf,
    side_by_side,
    table,
    write_report,
)
from batchtrans_llama.evaluation.bootstrap import score
from batchtrans_llama.evaluation.comet import Comet
from batchtrans_llama.evaluation.diagram import draw
from batchtrans_llama.evaluation.examples import worst
from batchtrans_llama.evaluation.metrics import flags_of, length_bounds, shares_of
from batchtrans_llama.generate import MixedEngine
from batchtrans_llama.load import Loaded, load
from batchtrans_llama.options import assignments, parse
from batchtrans_llama.prompt import PROMPT, encode_prompt, encode_prompts
from batchtrans_llama.stop import line_heads, trim

C = frozenset({"c-format"})
PAIRS = [
    *(Pair(source.replace("\ue000", "%s"), target.replace("\ue000", "%s")) for source, target in tiny_model.PAIRS),
    Pair("  Open the file.\nThe house is white.\n", "  Abra el archivo.\nLa casa es blanca.\n"),
    Pair("42", "42"),
]
TARGETS = [pair.target for pair in PAIRS]
SHOTS = [("The file is white.", "El archivo es blanco."), ("Where is the house?", "¿Dónde está la casa?")]


def settings_of(**options: str) -> Any:
    return parse({"model": str(tiny_model.model()), "device": "cpu", **options})


@cache
def outputs() -> tuple[Output, ...]:
    """The base, the base with two examples, and the adapter, over PAIRS."""
    specs = parse_against(["base,base-2shot,adapter"])
    systems = resolve(specs, settings_of(), "en", "es", sources=[pair.source for pair in PAIRS], examples=SHOTS)
    return tuple(run_systems(systems, PAIRS, "en", "es", settings_of(), Progress()))


@cache
def compared() -> Comparison:
    return compare(PAIRS, outputs(), "en", "es", overlap={"exact": 0, "near": 3})


@cache
def tuned() -> Loaded:
    from batchtrans_llama.card import read_adapter

    return load(tiny_model.nf4_base(), read_adapter(tiny_model.adapter()), device="cpu")


def written(texts: Sequence[str], name: str = "system") -> Output:
    return Output(name, [Hypothesis(text, text) for text in texts])


# Models


def test_every_system_translates_and_only_the_adapter_stops_by_itself() -> None:
    base, shots, adapter = outputs()
    for output in (base, shots, adapter):
        assert [hypothesis.text for hypothesis in output.hypotheses] == TARGETS
        assert output.seconds and output.seconds > 0
    for hypothesis in (*base.hypotheses[:-1], *shots.hypotheses[:-1]):
        assert set(hypothesis.stops) == {"max_tokens"} and hypothesis.cut
        assert hypothesis.raw != hypothesis.text
    for hypothesis in adapter.hypotheses[:-1]:
        assert set(hypothesis.stops) == {"eos"} and not hypothesis.cut
        assert hypothesis.raw == hypothesis.text


def test_a_text_of_several_lines_goes_in_parts_and_comes_back_with_its_blanks() -> None:
    base, _, adapter = outputs()
    assert adapter.hypotheses[-2].text == "  Abra el archivo.\nLa casa es blanca.\n"
    assert adapter.hypotheses[-2].stops == ("eos", "eos")
    assert re.match(
        r"  Abra el archivo\.\nTranslate the .*\nLa casa es blanca\.\nTranslate", base.hypotheses[-2].raw, re.S
    )


def test_a_text_without_words_is_its_own_translation_and_no_model_is_asked() -> None:
    for output in outputs():
        assert output.hypotheses[-1] == Hypothesis("42", "42")


def test_tokens_and_log_probability_of_a_segment_are_those_of_its_parts() -> None:
    adapter = outputs()[2]
    first, second, both = (adapter.hypotheses[number] for number in (0, 1, -2))
    assert both.tokens == first.tokens + second.tokens
    assert both.logprob is not None and first.logprob is not None and second.logprob is not None
    expected = (first.logprob * first.tokens + second.logprob * second.tokens) / both.tokens
    assert both.logprob == pytest.approx(expected, abs=1e-3)


def test_what_wrote_a_text_is_described_by_json_values() -> None:
    base, shots, adapter = (dict(output.described) for output in outputs())
    for described in (base, shots, adapter):
        assert json.loads(json.dumps(described)) == described
    assert base["adapter"] is None and len(adapter["adapter"]) == 64
    assert base["prompt"] == adapter["prompt"] != shots["prompt"]
    assert sorted(map(tuple, shots["shots"])) == sorted(SHOTS) and base["shots"] == []
    assert base["base"] == adapter["base"] and adapter["device"] == "cpu"


def test_batches_change_nothing_and_progress_counts_segments() -> None:
    counts: list[int] = []
    alone = decode_texts(tuned(), PROMPT, "en", "es", PAIRS, batch_size=1, advance=counts.append)
    together = decode_texts(tuned(), PROMPT, "en", "es", PAIRS)
    assert [(h.text, h.stops, h.tokens) for h in alone] == [(h.text, h.stops, h.tokens) for h in together]
    assert sum(counts) == len(PAIRS)


@pytest.mark.parametrize("engine", ["graph", "ct2"])
def test_other_engines_measure_what_the_reference_measures(engine: str) -> None:
    if engine == "ct2":
        pytest.importorskip("ctranslate2")
    options = settings_of(engine=engine, dtype="float32", **{"max-batch": "4"})
    systems = resolve(parse_against(["base,adapter"]), options, "en", "es", sources=[])
    found = run_systems(systems, PAIRS, "en", "es", options, Progress())
    for output, expected in zip(found, (outputs()[0], outputs()[2]), strict=True):
        assert output.described["engine"] == engine and expected.described["engine"] == "hf"
        assert any(f"engine {engine}" in note for note in output.notes)
        for one, other in zip(output.hypotheses, expected.hypotheses, strict=True):
            assert one._replace(logprob=None) == other._replace(logprob=None)
            assert one.logprob == pytest.approx(other.logprob, abs=1e-3)


def test_what_an_engine_gave_before_memory_ran_out_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    stream = Asker.stream

    def two_at_most(self: Asker, sources: Sequence[str]) -> Any:
        asked.append(list(sources))
        yield from islice(stream(self, sources), 2)
        if len(sources) > 2:
            raise Overload("does not fit")

    monkeypatch.setattr(Asker, "stream", two_at_most)
    answers = decode_texts(tuned(), PROMPT, "en", "es", PAIRS[:6], batch_size=6)
    assert [answer.text for answer in answers] == TARGETS[:6]
    assert [len(batch) for batch in asked] == [6, 3, 2]
    assert not set(asked[0][:2]).intersection(*asked[1:])


@cache
def other_adapter() -> Path:
    """The tiny adapter with a third of its effect: another one of the same shape."""
    from safetensors.torch import load_file, save_file

    directory = tiny_model.copy_of(tiny_model.adapter(), "other adapter")
    file = directory / "adapter_model.safetensors"
    tensors = {name: tensor * (0.3 if "lora_B" in name else 1) for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    return directory


def by(against: str, *, mixed: bool, **options: str) -> list[Output]:
    chosen = settings_of(dtype="float32", **options)
    systems = resolve(parse_against([against]), chosen, "en", "es", sources=[pair.source for pair in PAIRS])
    return run_systems(systems, PAIRS, "en", "es", chosen, Progress(), mixed=mixed)


@pytest.mark.parametrize("quant", ["none", "nf4"])
def test_two_adapters_in_one_batch_give_what_each_gives_alone(quant: str) -> None:
    against = f"adapter,{other_adapter()},base"
    alone, mixed = by(against, mixed=False, quant=quant), by(against, mixed=True, quant=quant)
    assert [output.name for output in mixed] == ["adapter", str(other_adapter()), "base"]
    assert [h.raw for h in alone[0].hypotheses] != [h.raw for h in alone[1].hypotheses]
    for one, other in zip(mixed, alone, strict=True):
        for here, there in zip(one.hypotheses, other.hypotheses, strict=True):
            assert here._replace(logprob=None) == there._replace(logprob=None)
            assert here.logprob == pytest.approx(there.logprob, abs=1e-3)
    assert mixed[0].described["mixed"] == ["adapter", str(other_adapter())] and "mixed" not in mixed[2].described
    assert any("decoded together: adapter, " in note for note in mixed[1].notes)


def test_mixed_batches_that_do_not_fit_are_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = by(f"adapter,{other_adapter()}", mixed=True)
    sizes: list[int] = []
    decode = MixedEngine.decode_mixed

    def small(self: MixedEngine, prompts: Any, caps: Any, adapters: Any) -> Any:
        sizes.append(len(prompts))
        if len(prompts) > 3 or max(map(len, prompts)) == longest:
            raise MemoryError("does not fit")
        return decode(self, prompts, caps, adapters)

    tokenizer = tuned().tokenizer
    longest = max(len(encode_prompt(tokenizer, pair.source, "en", "es")) for pair in PAIRS)
    monkeypatch.setattr(MixedEngine, "decode_mixed", small)
    found = by(f"adapter,{other_adapter()}", mixed=True)
    assert sizes[0] > 3 and 1 in sizes
    for one, other in zip(found, expected, strict=True):
        lost = [h for h in one.hypotheses if h.error]
        assert [h.error for h in lost] == ["too large for the memory: does not fit"]
        assert [h.text for h in one.hypotheses if not h.error] == [
            there.text for here, there in zip(one.hypotheses, other.hypotheses, strict=True) if not here.error
        ]


def test_another_failure_of_a_mixed_batch_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(MixedEngine, "decode_mixed", broken)
    with pytest.raises(RuntimeError, match="broken"):
        by(f"adapter,{other_adapter()}", mixed=True)


@pytest.mark.parametrize(
    ("against", "options", "words"),
    [
        ("base,adapter", {}, "--mixed needs two adapters of one base"),
        ("adapter,{other}", {"engine": "ct2"}, "engine=ct2 has an adapter merged into its weights"),
    ],
)
def test_what_cannot_be_mixed_is_said(against: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        by(against.format(other=other_adapter()), mixed=True, **options)


def test_an_adapter_that_peft_cannot_mix_is_refused() -> None:
    directory = tiny_model.copy_of(other_adapter(), "dora adapter")
    from safetensors.torch import load_file, save_file

    config = json.loads((directory / "adapter_config.json").read_text())
    (directory / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    tensors = load_file(directory / "adapter_model.safetensors")
    for name in [name for name in tensors if "lora_B" in name]:
        tensors[name.replace("lora_B.weight", "lora_magnitude_vector")] = tensors[name].abs().sum(1)
    save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackendError, match="is a DoRA adapter, which cannot be mixed"):
        by(f"adapter,{directory}", mixed=True)


def test_with_guards_an_untuned_model_is_stopped_at_the_boundary() -> None:
    loaded = load(tiny_model.nf4_base(), device="cpu")
    answers = decode_texts(loaded, PROMPT, "en", "es", PAIRS[:3], guards=True)
    assert [answer.stops for answer in answers] == [("boundary",)] * 3
    assert [answer.text for answer in answers] == TARGETS[:3]
    assert all(answer.cut for answer in answers)


def test_an_adapter_beside_its_layers_can_be_measured_while_it_is_trained() -> None:
    from batchtrans_llama.card import read_adapter

    loaded = load(tiny_model.nf4_base(), read_adapter(tiny_model.adapter()), device="cpu", quant="nf4")
    assert type(loaded.model).__name__.startswith("Peft")
    answers = decode_texts(loaded, PROMPT, "en", "es", PAIRS, guards=True)
    assert chrf_of([answer.text for answer in answers], TARGETS) == pytest.approx(100)


def test_a_batch_too_large_is_halved_and_a_text_too_large_is_an_error_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    stream = Asker.stream

    def small(self: Asker, sources: Sequence[str]) -> Any:
        sizes.append(len(sources))
        if len(sources) > 2 or sources[0].startswith("I lost"):
            raise Overload("does not fit")
        return stream(self, sources)

    monkeypatch.setattr(Asker, "stream", small)
    answers = decode_texts(tuned(), PROMPT, "en", "es", PAIRS[:6], batch_size=6)
    assert sizes[:3] == [6, 3, 2] and max(sizes[3:]) <= 2
    assert [answer.text for answer in answers] == [*TARGETS[:4], "", TARGETS[5]]
    assert answers[4].error == "too large for the memory: does not fit"


def test_a_text_longer_than_the_context_is_an_error_and_its_neighbours_are_not() -> None:
    long = Pair("word " * 190 + "end.", "palabra")
    answers = decode_texts(tuned(), PROMPT, "en", "es", [long, PAIRS[0]])
    assert answers[0].text == "" and "too many for a model that takes 256" in answers[0].error
    assert answers[1].text == TARGETS[0]


def test_a_model_without_masks_is_asked_with_the_placeholders_themselves(tmp_path: Path) -> None:
    import torch
    from transformers import LlamaForCausalLM

    tokenizer = tiny_model.build_tokenizer(masks=0)
    torch.manual_seed(0)
    LlamaForCausalLM(tiny_model.tiny_config(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    asked: list[str] = []
    loaded = load(tmp_path, device="cpu")
    with pytest.MonkeyPatch.context() as patched:
        stream = Asker.stream
        patched.setattr(Asker, "stream", lambda self, sources: (asked.extend(sources), stream(self, sources))[1])
        decode_texts(loaded, PROMPT, "en", "es", [PAIRS[3]])
        decode_texts(tuned(), PROMPT, "en", "es", [PAIRS[3]])
    assert asked == ["Delete %s now", "Delete \ue000 now"]


# Parts


TEXTS = st.text(st.sampled_from("ab .,%sd{}<>\n\t<b>1é&;"), max_size=60)


@given(TEXTS, st.sampled_from([frozenset(), C]))
@example("<1\n>", frozenset())
def test_the_parts_of_a_text_are_the_text_and_an_answer_that_is_the_part_gives_it_back(
    text: str, flags: frozenset[str]
) -> None:
    parts = cut(text, flags, "en")
    assert "".join(part.source for part in parts) == text
    for part in parts:
        assert part.has_masks_of(part.text)
        assert part.unmask(part.text, flags, len(parts) == 1) == part.core
        assert part.sent(99) == part.text and part.sent(-1) == part.core
        assert "\n" not in part.text


def test_directives_that_changed_places_get_numbers_only_where_the_part_is_the_whole_text() -> None:
    (part,) = cut("Copy %s to %s", C, "en")
    assert part.unmask("A \ue001 copie \ue000", C, True) == "A %2$s copie %1$s"
    assert part.unmask("A \ue001 copie \ue000", C, False) == "A %s copie %s"
    assert part.unmask("A \ue001 copie", C, True) == "A %s copie"
    assert not part.has_masks_of("A \ue001 copie") and not part.has_masks_of("\ue000\ue001\ue001")


# Few-shot prompts


EXAMPLES = st.lists(
    st.tuples(*[st.lists(st.sampled_from(
        ["word", "otra", " ", "\n", "\u2028", "{source}", "{", "}", "<|end_of_text|>", "<s>", "%s", "\ue000", "A:"]
    ), max_size=6).map("".join)] * 2), max_size=5)  # fmt: skip


@cache
def tokenizer() -> Any:
    return tiny_model.build_tokenizer()


@settings(deadline=None, max_examples=60)
@given(EXAMPLES)
def test_no_example_breaks_the_frame_of_a_few_shot_prompt(examples: list[tuple[str, str]]) -> None:
    template = few_shot_template(PROMPT, examples, "en", "es")
    assert template.count("{source}") == 1 and "{source_language}" not in template
    prompt = encode_prompt(tokenizer(), "The house.", "en", "es", template)
    plain = encode_prompt(tokenizer(), "The house.", "en", "es", PROMPT)
    assert prompt.count(tokenizer().bos_token_id) == 1 and prompt[0] == tokenizer().bos_token_id
    assert tokenizer().eos_token_id not in prompt
    assert tokenizer().decode(prompt).endswith(tokenizer().decode(plain[1:]))
    shown = template.count("Translate the following text from English to Spanish:\nEnglish: ") - 1
    blocks = template.split("\n\n")
    assert len(blocks) == shown + 1
    assert all(len(block.splitlines()) == 3 for block in blocks)
    heads = line_heads(template, "", "")
    assert {"English:", "Spanish:"} <= {*heads, "Spanish:"} and "English:" in heads
    assert trim("\nEnglish: more", heads) == ("", True)


def test_a_few_shot_prompt_is_the_examples_in_the_frame_and_then_the_prompt() -> None:
    template = few_shot_template(PROMPT, SHOTS[:1], "en", "es")
    line = "Translate the following text from English to Spanish:\n"
    assert template == (
        f"{line}English: The file is white.\nSpanish: El archivo es blanco.\n\n{line}English: {{source}}\nSpanish:"
    )
    assert few_shot_template("{source} =", [("a\nb", "c")], "en", "es") == "a b = c\n\n{source} ="


@pytest.mark.parametrize("bos", ["<|begin_of_text|>", ""])
def test_a_template_with_its_own_bos_has_one_however_many_examples(bos: str) -> None:
    template = few_shot_template(bos + "Say {source} so:", SHOTS, "en", "es")
    (ids,) = encode_prompts(tokenizer(), ["x"], "en", "es", template)
    assert ids.count(tokenizer().bos_token_id) == 1 and ids[0] == tokenizer().bos_token_id


def test_examples_are_drawn_by_a_seed_from_the_short_ones_and_never_from_the_test_set() -> None:
    pairs = [
        (f"Sentence {'long ' * (number // 4)}number {chr(97 + number % 26)}", f"Frase {number}") for number in range(40)
    ]
    chosen = choose_shots(pairs, 5)
    assert chosen == choose_shots(pairs, 5) and len(set(chosen)) == 5
    assert chosen != choose_shots(pairs, 5, seed=1)
    assert max(len(source) for source, _ in chosen) <= sorted(len(source) for source, _ in pairs)[21]
    for _ in range(8):
        exclude = [source + " " for source, _ in chosen]
        chosen = choose_shots(pairs, 5, exclude)
        assert not {source + " " for source, _ in chosen} & set(exclude)


def test_too_few_examples_are_said() -> None:
    with pytest.raises(UsageError, match="3 examples are wanted, and 1 of 3 pairs can be one"):
        choose_shots([("A {b}", "c"), ("a", "b"), ("", "c")], 3)


# Files and commands


SOURCES = [pair.source for pair in PAIRS]
UPPER = "import sys; sys.stdout.write(sys.stdin.read().upper())"


def command(code: str, timeout: float = 60.0) -> CommandSystem:
    return CommandSystem("command", (sys.executable, "-c", code), timeout)


def run_command(code: str, timeout: float = 60.0) -> Output:
    (output,) = run_systems([command(code, timeout)], PAIRS, "en", "es", settings_of(), Progress())
    return output


def test_a_command_gets_each_part_on_a_line_of_its_own_and_the_texts_come_back_joined() -> None:
    output = run_command(UPPER)
    assert [hypothesis.text for hypothesis in output.hypotheses] == [source.upper() for source in SOURCES]
    assert output.hypotheses[-2].text == "  OPEN THE FILE.\nTHE HOUSE IS WHITE.\n"
    assert output.hypotheses[0].stops == () and output.seconds


def test_a_tag_over_two_lines_does_not_make_two_texts_of_one() -> None:
    pairs = [Pair("See <a\n\nid='x'>this</a> page", "Vea"), Pair("Open the file.", "Abra")]
    (output,) = run_systems([command(UPPER)], pairs, "en", "es", settings_of(), Progress())
    assert [hypothesis.text for hypothesis in output.hypotheses] == [pair.source.upper() for pair in pairs]


def test_a_command_may_answer_with_nothing_or_without_the_last_empty_lines() -> None:
    empty = run_command("import sys; t = sys.stdin.read(); sys.stdout.write(t.replace('5 files', ''))")
    assert empty.hypotheses[5].text == "" and empty.hypotheses[4].text == SOURCES[4]
    stripped = run_command("import sys; print('\\n\\n'.join(sys.stdin.read().strip().split('\\n\\n')))")
    assert [hypothesis.text for hypothesis in stripped.hypotheses] == SOURCES


def test_a_command_without_texts_is_not_run() -> None:
    (output,) = run_systems([command("raise SystemExit(9)")], PAIRS[-1:], "en", "es", settings_of(), Progress())
    assert output.hypotheses == [Hypothesis("42", "42")]


@pytest.mark.parametrize(
    ("code", "timeout", "message"),
    [
        ("import sys; sys.stderr.write('bad\\nno model\\n'); sys.exit(4)", 60.0, "ended with exit code 4: no model"),
        ("raise SystemExit(1)", 60.0, "ended with exit code 1: no message"),
        ("print('one')", 60.0, "did not answer the 8 texts one by one"),
        ("pass", 60.0, "did not answer the 8 texts one by one"),
        ("import sys; print(sys.stdin.read() + '\\n\\nmore')", 60.0, "did not answer the 8 texts one by one"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", 60.0, "printed no UTF-8: .* at byte 0"),
        ("import time; time.sleep(60)", 0.5, "did not end within 0.5 s"),
        ("import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])", 1.0,
         "did not end within 1 s"),
    ],
)  # fmt: skip
def test_a_command_that_does_not_translate_is_an_error_that_says_why(code: str, timeout: float, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        run_command(code, timeout)


def test_a_command_is_run_without_a_shell_and_must_be_there(tmp_path: Path) -> None:
    (system,) = resolve(parse_against(["cmd:cat '$HOME' ; rm, -rf"]), settings_of(), "en", "es", sources=["a"])
    assert isinstance(system, CommandSystem) and system.words == ("cat", "$HOME", ";", "rm,", "-rf")
    for value, message in (
        ("no-such-command -x", "there is no command no-such-command"),
        ("'open", "cannot be read"),
        ("", "no command"),
    ):
        with pytest.raises(UsageError, match=message):
            resolve(parse_against([f"cmd:{value}"]), settings_of(), "en", "es", sources=["a"])
    with pytest.raises(BackendError, match="cannot be run"):
        run_systems([CommandSystem("c", (str(tmp_path),))], PAIRS, "en", "es", settings_of(), Progress())


def test_a_file_of_another_system_has_one_line_for_each_segment(tmp_path: Path) -> None:
    path = tmp_path / "their, output.txt"
    path.write_bytes("\ufeffUno\r\n\r\nTres \x85 x\r\n".encode())
    systems = resolve(parse_against([f"file:{path}"]), settings_of(), "en", "es", sources=["a", "b", "c"])
    (output,) = run_systems(
        systems, [Pair("a", "Uno"), Pair("b", "Dos"), Pair("c", "Tres")], "en", "es", settings_of(), Progress()
    )
    assert [hypothesis.text for hypothesis in output.hypotheses] == ["Uno", "", "Tres \x85 x"]
    assert output.name == "their, output.txt" and output.seconds is None and len(output.described["sha256"]) == 64
    with pytest.raises(UsageError, match="has 3 lines, and the test set 2 segments"):
        resolve(parse_against([f"file:{path}"]), settings_of(), "en", "es", sources=["a", "b"])
    path.write_bytes(b"\xff\n")
    for value in (f"file:{path}", f"file:{tmp_path}/none", f"file:{tmp_path}"):
        with pytest.raises(UsageError, match="cannot be read"):
            resolve(parse_against([value]), settings_of(), "en", "es", sources=["a"])


# Which systems


def test_systems_are_named_by_commas_and_by_repetition(tmp_path: Path) -> None:
    specs = parse_against(
        [
            "base, base-12shot,adapter,",
            f"cmd:{tmp_path}/tr -a,b",
            f"{tmp_path}",
            "cmd:tr",
            "file:a/x.txt",
            "file:b/x.txt",
        ]
    )
    assert [(spec.name, spec.kind, spec.shots) for spec in specs] == [
        ("base", "base", 0), ("base-12shot", "base", 12), ("adapter", "adapter", 0), ("tr", "cmd", 0),
        (str(tmp_path), "directory", 0), ("tr-2", "cmd", 0), ("x.txt", "file", 0), ("x.txt-2", "file", 0),
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["bsae", "base-0shot", "base-shot", "/no/such/directory", "adapter:x"])
def test_a_name_that_means_nothing_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match=f"does not know '{value}'.*\n.*base-5shot, adapter, a directory"):
        parse_against([f"base,{value}"])


def test_one_system_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="names base twice"):
        parse_against(["base,adapter", "base"])


def test_without_names_the_base_and_its_adapter_are_measured() -> None:
    named = resolve([], settings_of(), "en", "es", sources=SOURCES)
    assert [system.name for system in named] == ["base", "adapter"]
    bare = resolve([], settings_of(adapter="none"), "en", "es", sources=SOURCES)
    assert [system.name for system in bare] == ["base"]


def test_a_directory_is_an_adapter_on_the_base_or_a_model_by_itself() -> None:
    directories = [str(tiny_model.adapter()), str(tiny_model.full_base()), str(tiny_model.model())]
    systems = resolve(
        parse_against([",".join(directories)]),
        settings_of(model=str(tiny_model.nf4_base())),
        "en",
        "es",
        sources=SOURCES,
    )
    found = [system.found for system in systems if isinstance(system, ModelSystem)]
    assert [(located.base, located.adapter is not None) for located in found] == [
        (tiny_model.nf4_base(), True), (tiny_model.full_base(), False), (tiny_model.model() / "base", True),
    ]  # fmt: skip


def test_what_a_system_needs_and_has_not_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"base-3shot needs examples to show\n.*--shots"):
        resolve(parse_against(["base-3shot"]), settings_of(), "en", "es", sources=SOURCES)
    with pytest.raises(UsageError, match=r"has no adapter to evaluate\n.*--adapter"):
        resolve(parse_against(["adapter"]), settings_of(adapter="none"), "en", "es", sources=SOURCES)
    with pytest.raises(BackendError, match="is not a model directory"):
        resolve(parse_against([str(tmp_path)]), settings_of(), "en", "es", sources=SOURCES)


# Flags


def flags(
    source: str, target: str, text: str, raw: str = "", stops: tuple[str, ...] = ("eos",), **more: Any
) -> dict[str, Any]:
    pair = Pair(source, target, flags=more.pop("flags", frozenset()), plural=more.pop("plural", False))
    hypothesis = Hypothesis(text, raw or text, stops, cut=bool(raw) and raw != text)
    return flags_of(pair, hypothesis, (0.5, 2.0), more.pop("foreign", None))._asdict()


GOOD = {
    "stop_eos": True, "hit_cap": False, "over_generated": False, "extra_newline": False, "length_outlier": False,
    "repeated": False, "copied": False, "wrong_language": None, "empty": False, "placeholders": None, "numbers": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "arguments"),
    [
        ({}, {"text": "Abra el archivo."}),
        ({"over_generated": True, "extra_newline": True, "stop_eos": False, "hit_cap": True},
         {"text": "Abra el archivo.", "raw": "Abra el archivo.\nEnglish: more", "stops": ("max_tokens",)}),
        ({"stop_eos": False, "hit_cap": True}, {"text": "Abra el archivo.", "stops": ("eos", "max_tokens")}),
        ({"stop_eos": None, "hit_cap": None, "over_generated": None}, {"text": "Abra el archivo.", "stops": ()}),
        ({"copied": True}, {"text": "Open the file."}),
        ({"empty": True}, {"text": " "}),
        ({"length_outlier": True}, {"text": "Abra el archivo que está en la carpeta de al lado ahora mismo."}),
        ({"length_outlier": True}, {"text": "Abra"}),
        ({"repeated": True, "length_outlier": True}, {"text": "el de la y el de la y el de la y el de la y"}),
        ({"numbers": False}, {"text": "Abra el archivo 3."}),
        ({"placeholders": False}, {"text": "Abra el %s archivo."}),
        ({"wrong_language": True}, {"text": "Ouvrez le fichier.", "foreign": lambda text: "le" in text.split()}),
        ({"wrong_language": False}, {"text": "Abra el archivo.", "foreign": lambda text: False}),
        ({"empty": True}, {"text": "", "foreign": lambda text: True}),
    ],
)  # fmt: skip
def test_the_flags_of_a_segment(changed: dict[str, Any], arguments: dict[str, Any]) -> None:
    assert flags("Open the file.", "Abra el archivo.", **arguments) == {**GOOD, **changed}


def test_placeholders_are_held_against_the_source_by_its_flags() -> None:
    assert flags("%s in %d files", "%s en %d archivos", "En %2$d archivos %1$s", flags=C)["placeholders"] is True
    assert flags("%s in %d files", "%s en %d archivos", "%d archivos %s", flags=C)["placeholders"] is False
    assert flags("See <b>the</b> file", "x", "Vea el <b>archivo</b>")["placeholders"] is True
    assert flags("See <b>the</b> file", "x", "Vea el <b>archivo")["placeholders"] is False
    assert flags("%d files", "un archivo", "un archivo", flags=C, plural=True)["placeholders"] is True
    assert flags("%d files", "un archivo", "un archivo", flags=C)["placeholders"] is False


def test_a_sentence_left_almost_as_it_was_is_a_copy() -> None:
    source = "Move the selected files to the folder that was opened last."
    assert flags(source, "Mover los archivos.", source.removesuffix("."))["copied"]
    assert not flags(source, "Mover los archivos.", "Mover los files a la folder que was opened last.")["copied"]


def test_names_and_what_people_left_alone_are_no_copies() -> None:
    assert not flags("GNU Emacs", "GNU Emacs", "GNU Emacs")["copied"]
    assert not flags("de facto standard", "de facto standard", "de facto standard")["copied"]


def test_usual_lengths_come_from_the_references_and_are_never_narrow() -> None:
    assert length_bounds([Pair("aaaa", "bbbb")] * 5) == (0.5, 2.0)
    pairs = [Pair("a" * 10, "b" * 10)] * 990 + [Pair("a" * 10, "b" * 30)] * 6 + [Pair("a", "b" * 50)] * 4
    assert length_bounds(pairs) == (0.5, 3.0)


def test_shares_leave_out_where_the_question_does_not_arise() -> None:
    pair = Pair("Open %s", "Abra %s")
    found = [
        flags_of(pair, Hypothesis("Abra %s", "Abra %s"), (0.5, 2)),
        flags_of(pair, Hypothesis("Abra", "Abra"), (0.5, 2)),
    ]
    shares = shares_of(found)
    assert shares["placeholders"] == 0.5 and shares["stop_eos"] is None and shares["empty"] == 0


# Scores and the bootstrap


SENTENCE = "la casa es blanca el archivo de los datos no se puede abrir porque falta una parte del texto"


def noisy(share: float, seed: int, count: int = 120) -> list[str]:
    """The references with this share of their words changed."""
    chooser = random.Random(seed)
    return [
        " ".join("otra" if chooser.random() < share else word for word in text.split()) for text in references(count)
    ]


def references(count: int = 120) -> list[str]:
    chooser = random.Random(0)
    return [" ".join(chooser.choices(SENTENCE.split(), k=chooser.randint(4, 14))) + "." for _ in range(count)]


def test_scores_are_those_of_sacrebleu_and_so_are_intervals_and_p_values() -> None:
    from sacrebleu.metrics import BLEU, CHRF, TER
    from sacrebleu.significance import PairedTest

    sets = [noisy(0.2, 1), noisy(0.24, 2), [f"{text}\nEnglish: more of it" for text in noisy(0.2, 1)]]
    scored, signatures = score(sets, references(), "es")
    metrics = {"BLEU": BLEU(), "chrF2": CHRF(), "chrF2++": CHRF(word_order=2), "TER": TER()}
    theirs, results = PairedTest(list(zip("abc", sets, strict=True)), metrics, [references()], "bs")()
    for name, ours in (("BLEU", "BLEU"), ("chrF2", "chrF"), ("chrF2++", "chrF++"), ("TER", "TER")):
        assert signatures[ours] == str(theirs[name])
        for number, result in enumerate(results[name]):
            interval = scored[number].interval(ours)
            assert not isinstance(result, str)
            assert interval.score == metrics[name].corpus_score(sets[number], [references()]).score
            assert interval.score == pytest.approx(result.score)
            assert (interval.high - interval.low) / 2 == pytest.approx(result.ci, rel=1e-4)
            if number:
                assert scored[number].p_value(scored[0], ours) == pytest.approx(result.p_value, abs=2e-3)


def test_the_quick_chrf_is_sacrebleus() -> None:
    from sacrebleu.metrics import CHRF

    texts = noisy(0.3, 5)
    assert chrf_of(texts, references()) == CHRF(word_order=2).corpus_score(texts, [references()]).score
    assert (
        segment_chrf(texts[0], references()[0]) == CHRF(word_order=2).sentence_score(texts[0], references()[:1]).score
    )


def test_equal_systems_do_not_differ_and_a_clearly_better_one_does() -> None:
    same, better, worse = noisy(0.2, 1), noisy(0.05, 3), noisy(0.5, 4)
    scored, _ = score([same, list(same), better, worse], references(), "es")
    first, again, good, bad = scored
    for metric in ("BLEU", "chrF++", "TER"):
        assert again.p_value(first, metric) == 1.0
        for other in (good, bad):
            assert other.p_value(first, metric) < 0.05
            assert other.p_value(first, metric) == first.p_value(other, metric)
    near, _ = score([noisy(0.2, 1), noisy(0.2, 2)], references(), "es")
    assert near[1].p_value(near[0], "chrF++") > 0.05


def test_a_difference_has_the_sign_of_the_other_system_less_the_first() -> None:
    pairs = [Pair(f"Source {number}", text) for number, text in enumerate(references())]
    low, high = written(noisy(0.4, 1), "low"), written(noisy(0.1, 2), "high")
    up, down = compare(pairs, [low, high], "en", "es"), compare(pairs, [high, low], "en", "es")
    for metric, sign in (("BLEU", 1), ("chrF++", 1), ("TER", -1)):
        forth, back = up.difference("high", metric), down.difference("low", metric)
        assert forth.delta == -back.delta and forth.delta * sign > 0
        assert forth.p == back.p < 0.05
    assert (
        up.of("high").trimmed.chrf_words.low
        < up.of("high").trimmed.chrf_words.score
        < up.of("high").trimmed.chrf_words.high
    )


@pytest.mark.parametrize("language", ["zh", "ja", "zh-TW", "th"])
def test_languages_without_spaces_are_not_taken_for_one_word(language: str) -> None:
    (scored,), signatures = score([["房子是白的", "打开文件"]], ["房子是黑的", "打开文件"], language)
    assert 0 < scored.scores["BLEU"] < 100
    assert "tok:13a" not in signatures["BLEU"]


def test_one_segment_and_empty_texts_can_be_scored() -> None:
    comparison = compare([Pair("A house", "Una casa")], [written([""]), written(["Una casa"], "b")], "en", "es")
    assert comparison.of("system").trimmed.bleu.score == 0 and comparison.of(
        "b"
    ).trimmed.chrf_words.score == pytest.approx(100)


# Comparison and table


def test_the_untuned_model_runs_on_in_every_text_and_the_tuned_one_in_none() -> None:
    base, adapter = compared().of("base"), compared().of("adapter")
    assert (base.shares["stop_eos"], base.shares["hit_cap"], base.shares["over_generated"]) == (0, 1, 1)
    assert (adapter.shares["stop_eos"], adapter.shares["hit_cap"], adapter.shares["over_generated"]) == (1, 0, 0)
    assert base.raw.chrf_words.score < base.trimmed.chrf_words.score - 20 and base.raw_length > 2 * base.length
    assert adapter.raw == adapter.trimmed and adapter.raw_length == adapter.length
    assert base.shares["placeholders"] == adapter.shares["placeholders"] == 1
    assert base.logprob is not None and base.logprob < 0 and base.speed and base.speed > 0


def test_the_table_has_a_line_for_each_system_and_for_raw_texts_that_score_otherwise() -> None:
    lines = table(compared()).splitlines()
    assert lines[0].startswith(
        "test set: 8 segments, en to es, shared with the training data: 0 exact, 3 near, sha256 "
    )
    names = [re.split(r"  +", line)[0] for line in lines[2:8]]
    assert names == ["system", "base", "base (raw)", "base-2shot", "base-2shot (raw)", "adapter"]
    columns = "system BLEU chrF chrF++ TER COMET stop overgen cap repeat copy empty lang phold nums len seg/s"
    assert " ".join(lines[2].split()) == columns
    assert "adapter against base: chrF++ +0.00 (p=1.000), BLEU +0.00 (p=1.000), TER +0.00 (p=1.000)" in lines
    assert "p-values: paired bootstrap, 1000 resamples, seed 12345" in lines
    assert "COMET n/a: no --comet-cmd" in lines
    assert sum("version:" in line for line in lines) == 4


def test_a_comparison_of_one_system_has_no_p_values() -> None:
    comparison = compare(PAIRS, outputs()[2:], "en", "es")
    assert comparison.differences == () and "p=" not in table(comparison) and "paired" not in table(comparison)


def test_segments_that_failed_are_counted_and_said() -> None:
    output = Output("model", [Hypothesis("", "", error="too long"), Hypothesis("Dos", "Dos", ("eos",))])
    comparison = compare([Pair("One", "Uno"), Pair("Two", "Dos")], [output], "en", "es")
    assert comparison.of("model").failed == 1
    assert "model: 1 segments have no translation" in table(comparison)


def test_the_numbers_are_json_and_name_what_made_them() -> None:
    values = json.loads(json.dumps(compared().to_json(), allow_nan=False))
    assert set(values) == {
        "source_lang", "target_lang", "segments", "test_sha256", "overlap", "systems", "differences", "bootstrap",
        "signatures", "versions",
    }  # fmt: skip
    assert values["segments"] == 8 and values["overlap"] == {"exact": 0, "near": 3}
    assert [system["name"] for system in values["systems"]] == ["base", "base-2shot", "adapter"]
    assert set(values["systems"][0]["trimmed"]) == {"BLEU", "chrF", "chrF++", "TER"}
    assert set(values["systems"][0]["trimmed"]["BLEU"]) == {"score", "low", "high"}
    assert values["differences"][0]["to"] == "base" and len(values["differences"]) == 8
    assert {"python", "sacrebleu", "torch", "transformers"} <= set(values["versions"])


def test_the_hash_of_a_test_set_is_that_of_its_texts_in_order() -> None:
    one, two = Pair("a", "b"), Pair("c", "d")
    hashes = {
        compare(pairs, [written(["x", "y"])], "en", "es").sha256 for pairs in ([one, two], [two, one], [one, one])
    }
    assert len(hashes) == 3
    assert compare([one._replace(context="menu"), two], [written(["x", "y"])], "en", "es").sha256 in hashes


# COMET


def comet(code: str, timeout: float = 60.0) -> tuple[float | None, str]:
    template = f"{sys.executable} -c {json.dumps(code)} {{source}} {{target}} --reference={{reference}}"
    return Comet(template, [Pair("a\nb", "A"), Pair("c", "C")], timeout)(written(["x  y", "z"]))


def test_comet_is_the_last_number_that_its_command_prints() -> None:
    assert comet("print('system 1: -0.25'); print('score: 8.123e-1')") == (0.8123, "")


def test_comet_gets_files_with_a_line_for_each_segment() -> None:
    read = "import sys; texts = [open(p.partition('=')[2] or p).read().splitlines() for p in sys.argv[1:]]; "
    expected = [["a b", "c"], ["x y", "z"], ["A", "C"]]
    assert comet(read + f"print(int(texts == {expected!r}))") == (1.0, "")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('no checkpoint')", "ended with exit code 1: no checkpoint"),
        ("print('nothing')", "printed no number"),
        ("import time; time.sleep(60)", "did not end within 0.5 s"),
    ],
)
def test_comet_that_fails_is_not_there_and_says_why(code: str, reason: str) -> None:
    value, why = comet(code, 0.5 if "sleep" in code else 60.0)
    assert value is None and reason in why


def test_comet_needs_all_three_files() -> None:
    with pytest.raises(UsageError, match=r"does not hold \{target\} and \{reference\}"):
        Comet("comet-score -s {source}", [])


# The page


class Page(HTMLParser):
    """Whether every element is closed, in order, and which there are."""

    VOID = ("meta", "link", "img", "br", "line", "polyline", "circle")

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


class Ruling(NamedTuple):
    accepted: bool
    word: str
    reasons: tuple[tuple[bool, str], ...]


EVIL = "</dd></style><script>alert('x')</script><img src=https://evil.example/x> & \"quoted\" \x00\x07\udc80\ufffe"
CURVES = (
    Curve(
        "Loss", "step", [Series("train", [(n, 3 / (n + 1)) for n in range(50)]), Series(EVIL, [(0, 2.5), (40, 0.5)])]
    ),
    Curve(EVIL, EVIL, [Series("dev", [(1, math.nan), (2, math.inf)])]),
)


def page(**more: Any) -> tuple[Page, str]:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "report.html"
        write_report(path, more.pop("title", "A title"), comparison=more.pop("comparison", compared()), **more)
        assert [item.name for item in Path(directory).iterdir()] == ["report.html"]
        text = path.read_text(encoding="utf-8")
    return Page(text), text


def test_the_page_has_every_section_and_fetches_nothing() -> None:
    found, text = page(
        curves=CURVES[:1],
        examples=side_by_side(PAIRS, outputs(), 4),
        facts={
            "Data": {"pairs read": 12345, "share": 0.25, "files": ["a.po"], "none": None, "yes": True},
            "Recipe": {"r": 16},
        },
        verdict=Ruling(True, "ACCEPT", ((True, "chrF++ is better"), (False, "not all stop"))),
        notes=["one remark"],
    )
    for heading in ("Scores", "Curves", "Side by side", "Data", "Recipe", "Notes", "Systems", "Versions"):
        assert f"<h2>{heading}</h2>" in text
    for words in (
        "ACCEPT",
        "FAILED: not all stop",
        "12,345",
        "adapter against base: chrF++ +0.00 (p=1.000)",
        "one remark",
    ):
        assert words in found.text
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">') and "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text and found.tags.count("svg") == 3 and found.tags.count("polyline") == 2
    assert "script" not in found.tags and "link" not in found.tags
    assert not [value for name, value in found.attributes if name in ("src", "href")]
    assert not [value for _, value in found.attributes if value and ("//" in value or "url(" in value)]
    assert "url(" not in text and "@import" not in text


def test_a_page_without_more_than_scores_leaves_the_other_sections_out() -> None:
    found, text = page()
    assert re.findall("<h2>(.*)</h2>", text) == ["Scores", "Systems", "Versions"]
    assert "verdict" not in [value for name, value in found.attributes if name == "class"]


def test_no_text_can_break_the_page() -> None:
    output = Output(EVIL, [Hypothesis(EVIL, EVIL)], described={EVIL: EVIL})
    pairs = [Pair(EVIL, "Una casa")]
    found, text = page(
        title=EVIL, comparison=compare(pairs, [output], "en", "es"), curves=CURVES, notes=[EVIL],
        facts={EVIL: {EVIL: EVIL}}, examples=[Example(1, EVIL, EVIL, {EVIL: EVIL}, {EVIL: 1.0})],
        verdict=Ruling(False, EVIL, ((True, EVIL),)),
    )  # fmt: skip
    assert "script" not in found.tags and "img" not in found.tags
    assert found.text.count("alert('x')") >= 10
    assert not re.search("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", text)


@given(st.text(max_size=30), st.text(max_size=30))
@settings(max_examples=40, deadline=None)
def test_any_text_is_shown_as_it_is(source: str, target: str) -> None:
    _, text = page(title=source, examples=[Example(1, source, target, {"s": target + " x"}, {"s": 0.0})])
    assert text.encode("utf-8")


def test_words_that_the_reference_does_not_have_are_marked() -> None:
    _, text = page(examples=[Example(1, "s", "la casa es blanca", {"a": "la  <casa> es\nblanca hoy"}, {"a": 50.0})])
    assert "<dd>la  <mark>&lt;casa&gt;</mark> es\nblanca <mark>hoy</mark></dd>" in text


def test_a_rejected_adapter_is_not_green() -> None:
    found, _ = page(verdict=Ruling(False, "REJECT", ()))
    assert "verdict bad" in [value for _, value in found.attributes]


@pytest.mark.parametrize(
    "points",
    [
        [(0, 1.0)],
        [(0, 1.0), (1, 1.0)],
        [(0, 0.0), (0, 0.0)],
        [(0, -5.0), (1e6, 1e9)],
        [(1, 1e-9), (2, 2e-9)],
        [(3, -1e-3)],
    ],
    ids=str,
)
def test_any_values_can_be_drawn_inside_the_frame(points: list[tuple[float, float]]) -> None:
    svg = draw(Curve("c", "x", [Series("s", points)]))
    Page(svg)
    places = re.search(r'points="([^"]*)"', svg)
    found = [tuple(map(float, place.split(","))) for place in places[1].split()] if places else []
    assert "nan" not in svg and all(0 <= x <= 640 and 0 <= y <= 280 for x, y in found)
    assert len(found) == (len(points) if len(points) > 1 else 0)
    assert svg.count('class="grid"') in range(3, 12)


def test_a_curve_without_values_says_so() -> None:
    assert draw(Curve("c", "x", [])) == draw(CURVES[1]) == "<p>No values were recorded.</p>"


# Examples


def test_examples_are_where_systems_differ_most_and_the_rest_spread() -> None:
    count = 60
    pairs = [Pair(f"Source {number}", text) for number, text in enumerate(references(count))]
    same = noisy(0.3, 1, count)
    other = list(same)
    other[7], other[41] = pairs[7].target, "nada"
    chosen = side_by_side(pairs, [written(same, "a"), written(other, "b")], 9)
    numbers = [example.number for example in chosen]
    assert numbers == sorted(set(numbers)) and len(numbers) == 9 and {8, 42} <= set(numbers)
    found = next(item for item in chosen if item.number == 8)
    assert found.texts == {"a": same[7], "b": pairs[7].target} and found.scores["b"] == pytest.approx(100)


def test_there_are_no_more_examples_than_segments() -> None:
    assert len(side_by_side(PAIRS, outputs(), 30)) == len(PAIRS)
    assert [example.number for example in side_by_side(PAIRS[:1], [written(["x"])], 3)] == [1]


def test_the_worst_come_first() -> None:
    pairs = [Pair("a", "la casa blanca"), Pair("b", "el archivo"), Pair("c", "otra cosa")]
    found = worst(pairs, written(["la casa negra", "nada", "otra cosa"]), 2)
    assert [example.number for example in found] == [2, 1]
    assert found[0].scores["system"] < found[1].scores["system"] < 100


# Options


def test_assignments_are_read_and_unknown_keys_refused() -> None:
    assert assignments(["device=cpu", "prompt=a=b", "device=cuda"], ["device", "prompt"]) == {
        "device": "cuda",
        "prompt": "a=b",
    }
    for text, message in (("device", "KEY=VALUE"), ("=x", "KEY=VALUE"), ("beams=4", "Known options: device, prompt")):
        with pytest.raises(UsageError, match=message):
            assignments([text], ["device", "prompt"])
