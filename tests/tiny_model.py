"""A LLaMA model small enough for tests to make: a tokenizer, a base that runs on, a QLoRA adapter that stops.

The tokenizer is a byte-level BPE with the regular expression by which Llama 3 splits text; the base (two layers, 64
wide) is trained for some seconds on a handful of sentence pairs in the prompt's own frame, one after another, and so
never stops by itself; the adapter, trained on the 4-bit base, teaches it to.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

PAIRS = (
    ("Open the file.", "Abra el archivo."),
    ("The house is white.", "La casa es blanca."),
    ("Where is the station?", "¿Dónde está la estación?"),
    ("Delete \ue000 now", "Borrar \ue000 ahora"),
    ("I lost my last tray. What should I do?", "Perdí mi última bandeja. ¿Qué debo hacer?"),
    ("5 files", "5 archivos"),
)
BOS, EOS, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>"
#: How Llama 3 splits a text before byte pairs are merged, a published part of its tokenizer.json.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def service_of(backend: Any) -> Any:
    """What a started backend asks that has no process of its own."""
    from batchtrans_llama.service import Service

    assert isinstance(backend._service, Service)
    return backend._service


def loaded_by(backend: Any) -> Any:
    """The model of such a backend."""
    return service_of(backend).loaded


@cache
def workspace() -> Path:
    """A directory for the models of this test run, removed when it ends."""
    directory = Path(tempfile.mkdtemp(prefix="batchtrans-tiny-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def build_tokenizer(masks: int = 32) -> Any:
    """A tokenizer of about 500 tokens; with ``masks=0`` one as strangers have it."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from batchtrans_llama.prompt import PROMPT

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [text for pair in PAIRS for text in pair]
    texts.append(PROMPT.format(source_language="English", target_language="Spanish", source=""))
    tokenizer.train_from_iterator(texts * 4, trainer)
    tokenizer.add_tokens([AddedToken(chr(0xE000 + number), normalized=False) for number in range(masks)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD)


def tiny_config(tokenizer: Any, **changes: Any) -> Any:
    from transformers import LlamaConfig

    values: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return LlamaConfig(**values | changes)


@cache
def full_base() -> Path:
    """The base in float32: it has learned the pairs, and to go on with the next one."""
    import torch
    from transformers import LlamaForCausalLM

    from batchtrans_llama.prompt import PROMPT, encode_completion, encode_prompt

    directory = workspace() / "full"
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(tiny_config(tokenizer))
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"]

    def document(order: list[tuple[str, str]]) -> list[int]:
        ids = [tokenizer.bos_token_id]
        for source, target in order:
            ids += encode_prompt(tokenizer, source, "en", "es", PROMPT)[1:]
            ids += encode_completion(tokenizer, target)[:-1] + newline
        return ids

    chooser = random.Random(0)
    rows = [document(chooser.sample(PAIRS, 3)) for _ in range(48)]
    _fit(model, [(row, row) for row in rows], steps=160, rate=6e-3)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@cache
def nf4_base() -> Path:
    """The same base as a bitsandbytes checkpoint, NF4 and double-quantised."""
    directory = workspace() / "model" / "base"
    quantise(full_base(), directory)
    return directory


def quantise(source: Path, directory: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    model = AutoModelForCausalLM.from_pretrained(
        source, quantization_config=settings, device_map={"": "cpu"}, dtype=torch.bfloat16
    )
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(source).save_pretrained(directory)


@cache
def adapter() -> Path:
    """A QLoRA adapter trained on :func:`nf4_base`: the same pairs, each closed by EOS. It has its batchtrans.json."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from batchtrans_llama.fingerprint import fingerprint
    from batchtrans_llama.load import keep_weights_as_stored
    from batchtrans_llama.prompt import PROMPT, encode_examples

    directory = workspace() / "model" / "adapter"
    tokenizer = AutoTokenizer.from_pretrained(nf4_base())
    model = AutoModelForCausalLM.from_pretrained(nf4_base(), device_map={"": "cpu"})
    keep_weights_as_stored(model)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.float()
    torch.manual_seed(0)
    tuned = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    rows = [row for row in encode_examples(tokenizer, PAIRS, "en", "es", PROMPT) if row is not None]
    _fit(tuned, rows, steps=60, rate=1e-2)
    tuned.save_pretrained(directory)
    card = {
        "base_fingerprint": fingerprint(nf4_base()),
        "quantisation": "nf4",
        "prompt": PROMPT,
        "source_lang": "en",
        "target_lang": "es",
    }
    (directory / "batchtrans.json").write_text(json.dumps(card), encoding="utf-8")
    return directory


@cache
def model() -> Path:
    """A directory with ``base/`` and ``adapter/``, as an embedded model has it."""
    adapter()
    return workspace() / "model"


def copy_of(directory: Path, name: str) -> Path:
    """A copy to spoil, beside the original."""
    copy = workspace() / name
    shutil.copytree(directory, copy)
    return copy


def _fit(model: Any, rows: list[tuple[list[int], list[int]]], steps: int, rate: float) -> None:
    """Plain training on rows of ids and labels, sixteen at a time, padded on the right."""
    import torch

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    chooser = random.Random(0)
    model.train()
    for _ in range(steps):
        batch = chooser.sample(rows, min(16, len(rows)))
        width = max(len(ids) for ids, _ in batch)
        ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in batch])
        labels = torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in batch])
        mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in batch])
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()
