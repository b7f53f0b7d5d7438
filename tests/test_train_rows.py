"""What a model is trained on: rows and their labels, batches, the loss, the rate, the recipe."""

from __future__ import annotations

import copy
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_model
from batchtrans import UsageError
from batchtrans.glossary import Glossary, Term
from batchtrans_llama.data.read import Pair, read_pairs
from batchtrans_llama.prompt import IGNORED, MASKS, PROMPT, encode_prompt
from batchtrans_llama.training.recipe import DEFAULT, RECIPES, SEED, Recipe, option_names, with_options
from batchtrans_llama.training.rows import Row, epoch_batches, make_rows, mask_pair, micro_batches
from conftest import DATA
from test_prompt import TARGETS

pytest.importorskip("transformers")

LANGUAGES = ("en", "es")


@cache
def tokenizer() -> Any:
    """The embedded model's, which has Llama 3's pre-tokeniser and adds BOS by itself."""
    from transformers import AutoTokenizer

    from batchtrans_en_es import model_directory

    return AutoTokenizer.from_pretrained(model_directory() / "base", local_files_only=True)


@cache
def people() -> list[Pair]:
    """Translations by people."""
    files = [str(DATA / "pairs" / name) for name in ("login-gov.po", "tatoeba.csv")]
    return list(read_pairs(files, *LANGUAGES, counts=Counter()))


def rows_of(pairs: Sequence[Pair], masks: int = 32, by: Any = None) -> list[Row]:
    counts: Counter[str] = Counter()
    rows = make_rows(by or tokenizer(), pairs, LANGUAGES, PROMPT, masks, 1024, counts)
    assert not counts
    return rows


def decode(ids: Sequence[int]) -> str:
    text: str = tokenizer().decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def texts(row: Row) -> tuple[str, str]:
    """The source and the target of a row, out of its token ids."""
    border = len(row.ids) - row.supervised
    head, _, source = decode(row.ids[1:border]).partition("\nEnglish: ")
    assert head == "Translate the following text from English to Spanish:"
    assert row.ids[-1] == tokenizer().eos_token_id
    return source.removesuffix("\nSpanish:"), decode(row.ids[border:-1]).removeprefix(" ")


# Rows


@pytest.mark.parametrize("pad", ["its own", "EOS"])
def test_labels_are_those_that_trl_makes(tmp_path: Path, pad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 pairs, and through TRL's own collator, also where padding is EOS."""
    import datasets
    import torch
    from transformers import LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer

    from batchtrans_llama.training.step import make_batch

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    same = copy.deepcopy(tokenizer())
    if pad == "EOS":
        same.pad_token = same.eos_token
    pairs = [pair for pair in people() if "\n" not in pair.source + pair.target][::5][:100]
    rows = rows_of(pairs, masks=0, by=same)
    assert len(rows) == len(pairs) == 100
    prompts = [PROMPT.format(source_language="English", target_language="Spanish", source=p.source) for p in pairs]
    columns = {"prompt": prompts, "completion": [" " + pair.target for pair in pairs]}
    model = LlamaForCausalLM(tiny_model.tiny_config(same, hidden_size=8, intermediate_size=8, num_hidden_layers=1))
    arguments = SFTConfig(
        str(tmp_path), use_cpu=True, bf16=False, report_to=[], max_length=None, per_device_train_batch_size=4
    )
    data = datasets.Dataset.from_dict(columns)
    trainer = SFTTrainer(model, arguments, train_dataset=data, processing_class=same)
    theirs = list(trainer.train_dataset)
    assert [row.ids for row in rows] == [row["input_ids"] for row in theirs]
    assert [row.labels for row in rows] == [row["labels"] for row in theirs]
    batch = trainer.data_collator(theirs[:7])
    ours = make_batch(rows[:7], same.pad_token_id)
    assert torch.equal(ours.ids, batch["input_ids"])
    next_labels = batch["labels"].roll(-1, 1).flatten()  # what each position predicts
    next_labels[batch["labels"].shape[1] - 1 :: batch["labels"].shape[1]] = IGNORED
    assert ours.positions.tolist() == (next_labels != IGNORED).nonzero().flatten().tolist()
    assert torch.equal(next_labels[ours.positions], ours.targets)


def test_one_bos_opens_every_row_and_one_supervised_eos_closes_it() -> None:
    bos, eos = tokenizer().bos_token_id, tokenizer().eos_token_id
    for row in rows_of(people()):
        assert row.ids[0] == bos and row.ids.count(bos) == 1
        assert row.labels[-1] == row.ids[-1] == eos and row.ids.count(eos) == 1
        border = len(row.ids) - row.supervised
        assert set(row.labels[:border]) == {IGNORED} and row.labels[border:] == row.ids[border:]


def test_a_row_names_the_terms_that_its_target_keeps_to() -> None:
    pairs = [Pair("Open the file %s", "Abra el archivo %s"), Pair("Open the file", "Abra el fichero"), Pair("No", "No")]
    template = PROMPT.replace("\n", "\nTerms: {terms}\n", 1)
    glossary = Glossary([Term(("file",), ("archivo",)), Term(("open",), ("abrir", "abra"))])
    named = [[("open", "abra"), ("file", "archivo")], [("open", "abra")], []]
    rows = make_rows(tokenizer(), pairs, LANGUAGES, template, 32, 1024, Counter(), glossary)
    assert [row.has_terms for row in rows] == [True, True, False]
    for row, source, terms in zip(rows, [f"Open the file {MASKS[0]}", "Open the file", "No"], named, strict=True):
        assert row.ids[: len(row.ids) - row.supervised] == encode_prompt(
            tokenizer(), source, *LANGUAGES, template, terms
        )
    without = make_rows(tokenizer(), pairs, LANGUAGES, template, 32, 1024, Counter())
    assert without == make_rows(tokenizer(), pairs, LANGUAGES, PROMPT, 32, 1024, Counter())


def test_special_tokens_in_a_translation_are_text() -> None:
    (row,) = rows_of([Pair("Type <|end_of_text|> now", "Escriba <|end_of_text|> ahora")], masks=0)
    assert row.labels.count(tokenizer().eos_token_id) == 1
    assert texts(row) == ("Type <|end_of_text|> now", "Escriba <|end_of_text|> ahora")


@pytest.mark.parametrize("target", TARGETS)
def test_prompt_and_completion_meet_where_tokens_do(target: str) -> None:
    source = "I lost my last tray. What should I do?"
    (row,) = rows_of([Pair(source, target)], masks=0)
    border = len(row.ids) - row.supervised
    assert row.ids[:border] == encode_prompt(tokenizer(), source, *LANGUAGES)  # what is asked at translation time
    rendered = f"Translate the following text from English to Spanish:\nEnglish: {source}\nSpanish:"
    assert decode(row.ids[1:border]) == rendered  # without a blank at its end
    assert row.ids[1:-1] == tokenizer()(f"{rendered} {target}", add_special_tokens=False)["input_ids"]


def test_rows_that_are_too_long_are_left_out_whole_and_counted() -> None:
    pairs = people()[:60]
    rows = rows_of(pairs)
    longest = max(len(row.ids) for row in rows)
    counts: Counter[str] = Counter()
    kept = make_rows(tokenizer(), pairs, LANGUAGES, PROMPT, 32, longest - 1, counts)
    assert kept == [row for row in rows if len(row.ids) < longest]
    assert counts == {"longer than the model's context": len(rows) - len(kept)} and len(kept) < len(rows)
    assert all(row.labels[-1] == tokenizer().eos_token_id for row in kept)


def test_placeholders_are_masked_alike_on_both_sides() -> None:
    flags = frozenset({"c-format"})
    rows = rows_of([
        Pair("%s sent %d files to %s", "%s envió %d archivos a %s", flags=flags),
        Pair("{name} opens {file}", "{file} lo abre {name}"),
        Pair("Open <b>this</b>", "Abra <b>esto</b>"),
    ])  # fmt: skip
    assert [texts(row) for row in rows] == [
        (f"{MASKS[0]} sent {MASKS[1]} files to {MASKS[2]}", f"{MASKS[0]} envió {MASKS[1]} archivos a {MASKS[2]}"),
        (f"{MASKS[0]} opens {MASKS[1]}", f"{MASKS[1]} lo abre {MASKS[0]}"),
        (f"Open {MASKS[0]}this{MASKS[1]}", f"Abra {MASKS[0]}esto{MASKS[1]}"),
    ]


@pytest.mark.parametrize(
    ("source", "target", "masks"),
    [("{a} of {b}", "{a} de {a}", 32), ("{a} of {b}", "{a}", 32), ("{a} {b} {c}", "{a} {b} {c}", 2), ("{a}", "{a}", 0)],
    ids=["others", "fewer", "not enough masks", "no masks"],
)
def test_placeholders_that_cannot_be_matched_stay_as_they_are(source: str, target: str, masks: int) -> None:
    assert mask_pair(source, target, frozenset(), range(masks)) is None
    assert texts(rows_of([Pair(source, target)], masks=masks)[0]) == (source, target)


NAMES = st.lists(st.sampled_from(["{a}", "{b}", "{c}", "<b>", "</b>"]), min_size=1, max_size=8)


@given(NAMES, st.randoms(use_true_random=False))
def test_masks_hide_every_placeholder_and_stand_for_it(names: list[str], chance: random.Random) -> None:
    others = chance.sample(names, len(names))
    source, target = " and ".join(names), " y ".join(others)
    masked = mask_pair(source, target, frozenset(), range(32))
    assert masked is not None and all("{" not in text and "<" not in text for text in masked)
    for mask, name in zip(MASKS, names, strict=False):
        assert masked[0].count(mask) == masked[1].count(mask) == 1
        masked = (masked[0].replace(mask, name), masked[1].replace(mask, name))
    assert masked == (source, target)


def test_lines_are_rows_of_their_own_as_a_run_sends_them() -> None:
    pairs = [
        Pair("One.\nTwo.\n\nThree {n}", "Uno.\nDos.\n\nTres {n}"),
        Pair("a long line that only\nwraps here", "una línea larga que solo\nse parte aquí"),
        Pair("First.\nSecond.", "Las dos cosas en una."),
    ]
    assert [texts(row) for row in rows_of(pairs)] == [
        ("One.", "Uno."), ("Two.", "Dos."), (f"Three {MASKS[0]}", f"Tres {MASKS[0]}"),
        ("a long line that only wraps here", "una línea larga que solo se parte aquí"),
        ("First. Second.", "Las dos cosas en una."),
    ]  # fmt: skip


def test_a_long_text_is_a_row_for_each_sentence_where_both_sides_have_as_many() -> None:
    source = " ".join(f"This is the sentence number {word} of a text." for word in ("one", "two", "three") * 3)
    target = " ".join(f"Esta es la frase número {word} de un texto." for word in ("uno", "dos", "tres") * 3)
    rows = rows_of([Pair(source, target)])
    assert len(rows) == 9 and texts(rows[1]) == (
        "This is the sentence number two of a text.", "Esta es la frase número dos de un texto."
    )  # fmt: skip
    assert [texts(row) for row in rows_of([Pair(source, target + " Y otra.")])] == [(source, target + " Y otra.")]


# Batches

LENGTHS = st.lists(st.integers(5, 120), min_size=1, max_size=300)


@given(LENGTHS, st.integers(1, 40), st.booleans(), st.text(max_size=5))
def test_an_epoch_shows_every_row_once(lengths: list[int], size: int, bucketed: bool, seed: str) -> None:
    batches = epoch_batches(lengths, size, bucketed, seed)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert sorted(map(len, batches), reverse=True)[:-1] == [size] * (len(batches) - 1)
    assert len(batches) == math.ceil(len(lengths) / size)
    assert batches == epoch_batches(list(lengths), size, bucketed, seed)


def test_each_epoch_has_an_order_of_its_own() -> None:
    lengths = [random.Random(0).randint(5, 90) for _ in range(400)]
    for bucketed in (True, False):
        one, other = (epoch_batches(lengths, 8, bucketed, f"1 {epoch}") for epoch in (0, 1))
        assert one != other and sorted(map(sorted, one)) != sorted(map(sorted, other))


def test_buckets_waste_little_and_chance_does_not() -> None:
    """The least room that the rows take is their tokens; what is beyond is padding."""
    chance = random.Random(0)
    lengths = [round(chance.lognormvariate(3.7, 0.5)) for _ in range(2000)]

    def waste(bucketed: bool) -> float:
        batches = epoch_batches(lengths, 16, bucketed, "0")
        return sum(len(batch) * max(lengths[index] for index in batch) for batch in batches) / sum(lengths) - 1

    assert waste(True) < 0.05 < 0.5 < waste(False)


def blank(length: int, supervised: int = 1) -> Row:
    return Row([7] * length, [IGNORED] * (length - supervised) + [7] * supervised)


@given(LENGTHS, st.integers(1, 2000))
def test_micro_batches_hold_a_steps_rows_within_the_bound(lengths: list[int], tokens: int) -> None:
    rows = [blank(length) for length in lengths]
    groups = micro_batches(rows, tokens)
    assert sorted(len(row.ids) for group in groups for row in group) == sorted(lengths)
    sizes = [len(group) for group in groups]
    assert all(size == sizes[0] for size in sizes[:-1]) and 1 <= sizes[-1] <= sizes[0]
    longest = max(lengths)
    for group in groups:
        assert len(group) * max(len(row.ids) for row in group) < tokens + longest
    assert len(groups) <= math.ceil(len(rows) * longest / tokens)


EXAMPLES = st.tuples(st.lists(st.integers(1, 99), min_size=1, max_size=9), st.lists(st.integers(1, 99), max_size=9))


@given(st.lists(EXAMPLES, min_size=1, max_size=6), st.integers(0, 3), st.booleans())
def test_a_batch_predicts_every_label_from_the_token_before_it(
    examples: list[tuple[list[int], list[int]]], more: int, rounded: bool
) -> None:
    from batchtrans_llama.training.step import make_batch

    rows = [Row(prompt + target, [IGNORED] * len(prompt) + target) for prompt, target in examples]
    batch = make_batch(rows, 0, size=len(rows) + more, rounded=rounded)
    count, width = batch.ids.shape
    assert count == len(rows) + (more if rounded else 0) and width >= max(len(row.ids) for row in rows)
    for row, ids in zip(rows, batch.ids.tolist(), strict=False):
        assert ids == row.ids + [0] * (width - len(row.ids))  # padded on the right
    found = [
        (position // width, position % width + 1, target)
        for position, target in zip(batch.positions.tolist(), batch.targets.tolist(), strict=True)
        if target != IGNORED
    ]
    assert found == [
        (number, index, label)
        for number, row in enumerate(rows)
        for index, label in enumerate(row.labels)
        if label != IGNORED
    ]


# Loss and gradients


def tiny_training(quantisation: str = "nf4", quant: str = "auto", dtype: str = "float32", **changes: Any) -> Any:
    """The tiny base with a new adapter that already says something, and its lora matrices drawn at random."""
    import torch

    from batchtrans_llama.load import load_to_train

    base = tiny_model.nf4_base() if quantisation == "nf4" else tiny_model.full_base()
    recipe = {**DEFAULT.lora(), "r": 4, "lora_dropout": 0.0, **changes}
    loaded = load_to_train(base, None, recipe, quantisation, "cpu", dtype, quant)
    torch.manual_seed(0)
    for parameter in loaded.model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)
    return loaded


def tiny_rows(loaded: Any, count: int = 6) -> list[Row]:
    pairs = [Pair(source, target) for source, target in tiny_model.PAIRS]
    rows = make_rows(loaded.tokenizer, pairs, LANGUAGES, PROMPT, 32, loaded.context, Counter())
    assert len({len(row.ids) for row in rows}) > 2
    return rows[:count]


def gradients(loaded: Any, batches: Sequence[tuple[Any, float]]) -> tuple[float, dict[str, Any]]:
    """The sum of the weighed losses of these batches, and the gradients that they add up to."""
    import torch

    from batchtrans_llama.training.step import CompletionLoss, Stepper

    loaded.model.zero_grad()
    loaded.model.train()
    stepper = Stepper(CompletionLoss(loaded.model), torch.Tensor.backward, loaded.device, False)
    total = sum(stepper.run(batch, weight).item() for batch, weight in batches)
    return total, {n: p.grad.clone() for n, p in loaded.model.named_parameters() if p.requires_grad}


def assert_same(one: tuple[float, dict[str, Any]], other: tuple[float, dict[str, Any]], rel: float = 1e-5) -> None:
    import torch

    assert one[0] == pytest.approx(other[0], rel=rel)
    assert one[1].keys() == other[1].keys() and one[1]
    for name, gradient in one[1].items():
        scale = other[1][name].abs().max()
        assert scale > 0, name
        assert torch.allclose(gradient, other[1][name], rtol=0, atol=float(10 * rel * scale)), name


def test_the_loss_is_transformers_own() -> None:
    import torch

    from batchtrans_llama.training.step import make_batch

    loaded = tiny_training()
    rows = tiny_rows(loaded)
    batch = make_batch(rows, loaded.pad_id)
    found = gradients(loaded, [(batch, 1.0)])
    loaded.model.zero_grad()
    width = batch.ids.shape[1]
    labels = torch.tensor([row.labels + [IGNORED] * (width - len(row.labels)) for row in rows])
    mask = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows])
    mean = loaded.model(input_ids=batch.ids, attention_mask=mask, labels=labels).loss
    theirs = mean * sum(row.supervised for row in rows)
    theirs.backward()
    wanted = {name: value.grad for name, value in loaded.model.named_parameters() if value.requires_grad}
    assert_same(found, (theirs.item(), wanted))


def test_rows_in_a_padded_batch_count_as_they_do_alone() -> None:
    from batchtrans_llama.training.step import make_batch

    loaded = tiny_training()
    rows = tiny_rows(loaded)
    alone = gradients(loaded, [(make_batch([row], loaded.pad_id), 1.0) for row in rows])
    assert_same(gradients(loaded, [(make_batch(rows, loaded.pad_id), 1.0)]), alone)
    assert_same(gradients(loaded, [(make_batch(rows, loaded.pad_id, size=9, rounded=True), 1.0)]), alone)
    assert_same(gradients(loaded, [(make_batch(rows, loaded.tokenizer.eos_token_id), 1.0)]), alone)


@pytest.mark.parametrize("tokens", [1, 60, 100, 10_000])
def test_a_step_is_the_same_however_it_is_cut(tokens: int) -> None:
    from batchtrans_llama.training.step import make_batch

    loaded = tiny_training()
    rows = tiny_rows(loaded)
    weight = 1 / sum(row.supervised for row in rows)
    groups = micro_batches(rows, tokens)
    cut = gradients(loaded, [(make_batch(group, loaded.pad_id), weight) for group in groups])
    assert_same(cut, gradients(loaded, [(make_batch(rows, loaded.pad_id), weight)]))


@pytest.mark.parametrize("count", [1, 255, 256, 257, 700])
def test_the_heads_known_gradient_is_that_of_autograd(count: int) -> None:
    import torch
    import torch.nn.functional as F

    from batchtrans_llama.training.step import _FrozenHead

    torch.manual_seed(count)
    hidden = torch.randn(count, 16, requires_grad=True)
    weight = torch.randn(50, 16)
    targets = torch.randint(0, 50, (count,))
    targets[::7] = IGNORED
    same = hidden.detach().double().requires_grad_()
    wanted = F.cross_entropy(same @ weight.double().T, targets, ignore_index=IGNORED, reduction="sum")
    (wanted * 0.3).backward()
    found = _FrozenHead.apply(hidden, weight, targets)
    (found * 0.3).backward()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert torch.allclose(hidden.grad.double(), same.grad, rtol=1e-4, atol=1e-6)


def test_a_head_with_a_bias_takes_the_usual_way() -> None:
    """A head that the short way does not know, for instance one with an adapter of its own."""
    import torch

    from batchtrans_llama.training.step import CompletionLoss, make_batch

    loaded = tiny_training()
    rows = tiny_rows(loaded)
    batch = make_batch(rows, loaded.pad_id, size=8, rounded=True)
    plain = gradients(loaded, [(batch, 1.0)])
    head = loaded.model.get_base_model().lm_head
    head.bias = torch.nn.Parameter(torch.zeros(head.out_features), requires_grad=False)
    assert_same(gradients(loaded, [(batch, 1.0)]), plain)
    assert CompletionLoss(loaded.model)(*batch).item() == pytest.approx(plain[0], rel=1e-5)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("quant", ["none", "nf4"])
def test_both_matrices_of_every_layer_learn_and_nothing_else_changes(
    tmp_path: Path, quant: str, checkpointing: bool
) -> None:
    """After three steps, also with 4-bit weights in memory and activations computed twice."""
    import torch

    from batchtrans_llama.load import load_to_train

    recipe = with_options(DEFAULT, {"steps": "3", "batch": "6", "checkpointing": str(checkpointing)})
    loaded = load_to_train(tiny_model.nf4_base(), None, recipe.lora(), "nf4", "cpu", "float32", quant)
    before = {name: value.detach().clone() for name, value in loaded.model.named_parameters()}
    fit(loaded, recipe, tmp_path)
    changed = {name for name, value in loaded.model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if ".lora_" in name}
    assert len(changed) == 2 * 7 * 2  # two matrices beside seven layers in each of two blocks
    core = loaded.model.get_base_model()
    assert core.lm_head.weight is core.model.embed_tokens.weight


def fit(loaded: Any, recipe: Recipe, work: Path, look: Any = None, seed: int = 1) -> Any:
    from accelerate.state import AcceleratorState

    from batchtrans_llama.training import loop

    AcceleratorState._reset_state(True)
    accelerator = loop.make_accelerator("cpu", "float32")
    training = loop.Training(loaded, tiny_rows(loaded), recipe, seed, accelerator, work, look, {})
    return training.fit(False)


def test_a_forward_pass_between_steps_changes_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On CPUs with AVX512-BF16, which this one is taken for, bitsandbytes would repack 4-bit weights in the first
    evaluation."""
    import torch
    from bitsandbytes.nn import Linear4bit

    from batchtrans_llama.training.step import make_batch

    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    loaded = tiny_training(quant="nf4")
    layers = [module for module in loaded.model.modules() if isinstance(module, Linear4bit)]
    assert len(layers) == 14 and not any(layer.support_avx512bf16_for_cpu for layer in layers)
    batch = make_batch(tiny_rows(loaded), loaded.pad_id)
    before = gradients(loaded, [(batch, 1.0)])
    loaded.model.eval()
    with torch.no_grad():
        loaded.model(input_ids=batch.ids)
    assert_same(gradients(loaded, [(batch, 1.0)]), before, rel=0.0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_adapters_weights_are_float32_whatever_is_computed_in(dtype: str) -> None:
    import torch

    loaded = tiny_training(dtype=dtype)
    assert {value.dtype for value in loaded.model.parameters() if value.requires_grad} == {torch.float32}
    assert loaded.model.get_base_model().lm_head.weight.dtype == getattr(torch, dtype)


def test_no_adapter_has_magnitudes_of_its_own() -> None:
    """DoRA's magnitudes stay where they are in 16 bits; see the recipe's table."""
    from peft import LoraConfig

    for recipe in RECIPES.values():
        config = LoraConfig(**recipe.lora())
        assert not config.use_dora and not config.modules_to_save and "lm_head" not in config.target_modules


# Rate


@given(st.integers(1, 500), st.sampled_from(["cosine", "linear", "constant"]), st.floats(0, 0.99))
def test_the_rate_rises_to_its_highest_and_falls_to_no_less_than_nothing(
    total: int, schedule: str, warmup: float
) -> None:
    from batchtrans_llama.training.loop import learning_rate

    recipe = with_options(DEFAULT, {"schedule": schedule, "warmup": str(warmup), "rate": "1e-3"})
    warm = math.ceil(warmup * total)
    rates = [learning_rate(recipe, 2048, step, total) for step in range(1, total + 1)]
    assert all(0 < rate <= 1e-3 for rate in rates) and max(rates) == pytest.approx(1e-3)
    assert rates[:warm] == pytest.approx([1e-3 * step / warm for step in range(1, warm + 1)])
    falling = rates[max(0, warm - 1) :]
    assert all(one >= other for one, other in pairwise(falling))
    if schedule == "constant":
        assert set(rates[warm:]) <= {1e-3}
    elif total - warm > 1:
        assert rates[-1] < rates[warm] == pytest.approx(1e-3)
        assert rates[-1] <= 1e-3 / (total - warm) + 1e-12 or total - warm == 2


@pytest.mark.parametrize(("width", "times"), [(4096, 1), (2048, 1), (1024, 2), (576, 2048 / 576), (64, 8)])
def test_narrow_models_take_a_higher_rate(width: int, times: float) -> None:
    assert DEFAULT.learning_rate(width) == pytest.approx(2e-4 * times)
    assert SEED.learning_rate(width) == 2e-4
    assert with_options(DEFAULT, {"scaled-rate": "no"}).learning_rate(width) == 2e-4


# Recipe

VALUES = {
    "r": 8, "alpha": 64, "dropout": 0.25, "quantisation": "none", "pairs": 50, "epochs": 1.5, "steps": 7, "batch": 2,
    "micro-tokens": 300, "bucketed": False, "rate": 1e-3, "scaled-rate": False, "schedule": "linear", "warmup": 0.5,
    "clip": 0.5, "weight-decay": 0.1, "evaluations": 2.0, "patience": 0, "checkpoint": 5, "checkpointing": True,
    "graphs": False, "from-scratch": True,
}  # fmt: skip


@pytest.mark.parametrize("option", option_names())
def test_every_field_can_be_given(option: str) -> None:
    changed = with_options(DEFAULT, {option: str(VALUES[option])})
    name = option_names()[option]
    assert getattr(changed, name) == VALUES[option] != getattr(DEFAULT, name)
    assert type(getattr(changed, name)) is type(getattr(DEFAULT, name))
    others = [field.name for field in fields(Recipe) if field.name != name]
    assert all(getattr(changed, other) == getattr(DEFAULT, other) for other in others)
    assert changed.to_json()[name] == VALUES[option]


@pytest.mark.parametrize("option", option_names())
@pytest.mark.parametrize("value", ["", "nonsense", "nan", "inf", "-1", "1e999"])
def test_a_value_that_a_field_cannot_have_is_refused(option: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"the option {option} cannot be") as caught:
        with_options(DEFAULT, {option: value})
    assert caught.value.hint


@pytest.mark.parametrize(
    ("option", "value"),
    [("r", "0"), ("r", "1.5"), ("alpha", "0"), ("batch", "0"), ("micro-tokens", "0"), ("checkpoint", "0"),
     ("dropout", "1"), ("warmup", "1"), ("steps", "2.5"), ("quantisation", "int8"), ("schedule", "step"),
     ("bucketed", "2")],
)  # fmt: skip
def test_bounds_are_held(option: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"the option {option} cannot be"):
        with_options(DEFAULT, {option: value})


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("NO", False), ("True", True), ("0", False)])
def test_flags_are_said_in_words(text: str, value: bool) -> None:
    assert with_options(DEFAULT, {"graphs": text}).graphs is value


def test_the_seeds_recipe_is_what_the_project_began_with() -> None:
    wanted = {"r": 16, "alpha": 32, "dropout": 0.05, "quantisation": "nf4", "pairs": 1000, "epochs": 2.0, "batch": 4}
    assert {name: value for name, value in SEED.to_json().items() if name in wanted} == wanted
    assert SEED.from_scratch and SEED.name == "seed" and SEED.rate == 2e-4
    assert set(SEED.lora()["target_modules"]) == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip


def test_high_ranks_are_scaled_by_their_root() -> None:
    assert not with_options(DEFAULT, {"r": "31"}).lora()["use_rslora"]
    assert with_options(DEFAULT, {"r": "32"}).lora()["use_rslora"]
