"""Train the adapter by QLoRA on the 4-bit base as it is stored: prompt, masks, stop, and what 4 bits cost."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from rows import augment, epoch, read_pairs
from transformers import AutoModelForCausalLM, AutoTokenizer

from batchtrans_llama.fingerprint import fingerprint
from batchtrans_llama.load import keep_weights_as_stored
from batchtrans_llama.prompt import IGNORED, PROMPT, encode_examples, mask_count, prompt_hash

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LONGEST = 512  # tokens in a row; a longer one is dropped
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "tokenizers", "safetensors")

Row = tuple[list[int], list[int]]  # ids and labels


def make_rows(args: argparse.Namespace, tokenizer: Any) -> list[Row]:
    """Training rows: pairs drawn by weight, augmented and encoded."""
    chance = random.Random(args.seed)
    pairs = epoch(read_pairs(args.pairs, args.limit), args.seed)[: args.examples]
    texts = [augment(pair, chance) for pair in pairs]
    rows = encode_examples(tokenizer, texts, "en", "es", max_length=LONGEST)
    return [row for row in rows if row is not None]


def make_batches(rows: list[Row], tokens: int, seed: int) -> list[list[Row]]:
    """Batches of rows of about equal length, at most ``tokens`` padded tokens each, in random order."""
    chance = random.Random(seed)
    rows = sorted(rows, key=lambda row: (len(row[0]), chance.random()))
    batches: list[list[Row]] = [[]]
    for row in rows:
        if len(row[0]) * (len(batches[-1]) + 1) > tokens:
            batches.append([])
        batches[-1].append(row)
    chance.shuffle(batches)
    return batches


def to_tensors(batch: list[Row], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels [rows, width], padded on the right: causal attention never looks there."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in batch])
    labels = torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in batch])
    return ids.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def loss(model: Any, ids: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Mean cross entropy of the completions; the vocabulary is projected only where a label is."""
    core = model.get_base_model()
    hidden = core.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    supervised = targets != IGNORED
    logits = core.lm_head(hidden[supervised]).float()
    return F.cross_entropy(logits, targets[supervised], label_smoothing=smoothing)


def load(base: Path, args: argparse.Namespace, device: torch.device) -> Any:
    """The 4-bit base with a fresh adapter beside every attention and MLP projection."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto", device_map={"": str(device)})
    keep_weights_as_stored(model)
    model.requires_grad_(False)
    lora = LoraConfig(
        r=args.rank,
        lora_alpha=2 * args.rank,
        lora_dropout=0.05,
        target_modules=PROJECTIONS,
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, lora)
    for parameter in model.parameters():
        if parameter.is_floating_point():  # embeddings, norms and the adapter; the 4-bit weights are bytes
            parameter.data = parameter.data.float()
    return model


def train(model: Any, batches: list[list[Row]], args: argparse.Namespace, pad: int) -> Iterator[dict[str, float]]:
    """One pass over the batches, or as many as ``--minutes`` allows; yields what happened now and then."""
    device = next(model.parameters()).device
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.0, betas=(0.9, 0.98), fused=device.type == "cuda")
    model.train()
    began, progress = time.monotonic(), 0.0
    for step, batch in enumerate(batches, 1):
        rate = args.rate * min(1.0, step / args.warmup) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, labels = to_tensors(batch, pad, device)
        with torch.autocast(device.type, torch.bfloat16):
            value = loss(model, ids, labels, args.smoothing)
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        minutes = (time.monotonic() - began) / 60
        progress = max(step / len(batches), minutes / args.minutes)
        if step % 100 == 0 or progress >= 1.0 or step == len(batches):
            yield {"step": step, "minutes": round(minutes, 3), "loss": round(value.item(), 4)}
        if progress >= 1.0:
            return


def save(model: Any, output: Path) -> None:
    """A plain PEFT adapter in float16."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.half()
    model.peft_config["default"].base_model_name_or_path = "batchtrans/en-es-base"
    model.save_pretrained(output, save_embedding_layers=False)
    (output / "README.md").unlink(missing_ok=True)


def card(args: argparse.Namespace, tokenizer: Any, rows: int, last: dict[str, float]) -> dict[str, Any]:
    """What stands in batchtrans.json: enough to refuse a wrong base and to make the adapter again."""
    return {
        "schema": 1,
        "base_fingerprint": fingerprint(args.base),
        "quantisation": "nf4",
        "prompt": PROMPT,
        "prompt_sha256": prompt_hash(),
        "source_lang": "en",
        "target_lang": "es",
        "masks": mask_count(tokenizer),
        "lora": {"r": args.rank, "alpha": 2 * args.rank, "dropout": 0.05, "target_modules": PROJECTIONS},
        "data": {args.pairs.name: {"sha256": hashlib.sha256(args.pairs.read_bytes()).hexdigest(), "rows": rows}},
        "training": {"seed": args.seed, "rate": args.rate, "tokens_in_batch": args.tokens, **last},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": {name: version(name) for name in PACKAGES},
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("pairs", type=Path, help="pairs file of data.py")
    parser.add_argument("base", type=Path, help="directory of quantise.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory to write")
    parser.add_argument("--examples", type=int, default=600_000, help="rows to train on, drawn by weight")
    parser.add_argument("--tokens", type=int, default=32_768, help="padded tokens in a batch")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--smoothing", type=float, default=0.0)
    parser.add_argument("--limit", type=int, help="pairs to read, for a try")
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    rows = make_rows(args, tokenizer)
    batches = make_batches(rows, args.tokens, args.seed)
    print(f"{len(rows)} rows in {len(batches)} batches", flush=True)
    model = load(args.base, args, device)
    last: dict[str, float] = {}
    for last in train(model, batches, args, tokenizer.pad_token_id):
        print(json.dumps(last), flush=True)
    save(model, args.output)
    text = json.dumps(card(args, tokenizer, len(rows), last), indent=1, ensure_ascii=False)
    (args.output / "batchtrans.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
