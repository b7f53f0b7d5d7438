"""Train the adapter by QLoRA on the 4-bit base as it is stored: prompt, masks, stop, and what 4 bits cost."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import random
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rows import Pair, epoch, read_pairs, texts

from batchtrans_llama.card import read_adapter
from batchtrans_llama.fingerprint import fingerprint
from batchtrans_llama.load import Loaded, load_to_train, read_tokenizer
from batchtrans_llama.prompt import PROMPT, encode_examples, mask_count, prompt_hash
from batchtrans_llama.training.recipe import PROJECTIONS
from batchtrans_llama.training.rows import Row
from batchtrans_llama.training.step import CompletionLoss, make_batch

CHUNK = 16_384  # pairs that one worker encodes at a time
LONGEST = 512  # tokens in a row; a longer one is dropped
LABEL_WORDS = 4  # a pair of more English words is no label
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "tokenizers", "safetensors")


def make_rows(args: argparse.Namespace) -> list[Row]:
    """Training rows: drawn, augmented and encoded in several processes."""
    pairs = draw(read_pairs(args.pairs, args.limit), args.examples, args.labels, args.seed)
    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
    seeds = [args.seed + number for number in range(len(chunks))]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.workers, mp_context=context) as pool:
        return [row for rows in pool.map(_encode, chunks, seeds, [args.base] * len(chunks)) for row in rows]


def draw(known: list[Pair], count: int, label_share: float | None, seed: int) -> list[Pair]:
    """``count`` pairs by weight, epoch after epoch. Labels make up ``label_share`` of them, which is more passes over
    the labels and fewer over the rest, or where that is None what the weights give them."""
    if label_share is None:
        return _epochs(known, count, seed)
    labels = [pair for pair in known if len(pair.english.split()) <= LABEL_WORDS]
    others = [pair for pair in known if len(pair.english.split()) > LABEL_WORDS]
    of_labels = round(count * label_share)
    pairs = _epochs(labels, of_labels, seed) + _epochs(others, count - of_labels, seed)
    random.Random(seed).shuffle(pairs)
    return pairs


def _epochs(known: list[Pair], count: int, seed: int) -> list[Pair]:
    drawn: list[Pair] = []
    while known and len(drawn) < count:
        drawn += epoch(known, seed)
        seed += 1
    return drawn[:count]


def _encode(pairs: list[Pair], seed: int, base: Path) -> list[Row]:
    rows = encode_examples(read_tokenizer(base), texts(pairs, random.Random(seed)), "en", "es", max_length=LONGEST)
    return [Row(*row) for row in rows if row is not None]


def make_batches(rows: list[Row], tokens: int, seed: int) -> list[list[Row]]:
    """Batches of rows of about equal length, at most ``tokens`` padded tokens each, in random order."""
    chance = random.Random(seed)
    rows = sorted(rows, key=lambda row: (len(row.ids), chance.random()))
    batches: list[list[Row]] = [[]]
    for row in rows:
        if len(row.ids) * (len(batches[-1]) + 1) > tokens:
            batches.append([])
        batches[-1].append(row)
    chance.shuffle(batches)
    return batches


def load(args: argparse.Namespace) -> Loaded:
    """The 4-bit base with an adapter beside every attention and MLP projection, a fresh one or that of ``--start``, all
    but the 4 bits in float32."""
    lora = {"r": args.rank, "lora_alpha": 2 * args.rank, "lora_dropout": 0.05, "target_modules": list(PROJECTIONS)}
    start = read_adapter(args.start) if args.start else None
    return load_to_train(args.base, start, lora, "nf4", dtype="float32", quant="nf4")


def train(loaded: Loaded, batches: list[list[Row]], args: argparse.Namespace) -> Iterator[dict[str, float]]:
    """One pass over the batches, or as many as ``--minutes`` allows; yields what happened now and then."""
    device = loaded.device
    loss = CompletionLoss(loaded.model)
    trained = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.0, betas=(0.9, 0.98), fused=device.type == "cuda")
    loss.train()
    began, progress = time.monotonic(), 0.0
    for step, batch in enumerate(batches, 1):
        rate = args.rate * min(1.0, step / args.warmup) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        tensors = make_batch(batch, loaded.pad_id)
        with torch.autocast(device.type, torch.bfloat16):
            value = loss(*(tensor.to(device, non_blocking=True) for tensor in tensors)) / len(tensors.targets)
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
    before = json.loads((args.start / "batchtrans.json").read_text(encoding="utf-8"))["training"] if args.start else []
    stage = {"seed": args.seed, "rate": args.rate, "tokens_in_batch": args.tokens, "labels": args.labels, **last}
    return {
        "schema": 1,
        "base_fingerprint": fingerprint(args.base),
        "quantisation": "nf4",
        "prompt": PROMPT,
        "prompt_sha256": prompt_hash(),
        "source_lang": "en",
        "target_lang": "es",
        "masks": mask_count(tokenizer),
        "lora": {"r": args.rank, "alpha": 2 * args.rank, "dropout": 0.05, "target_modules": list(PROJECTIONS)},
        "data": {args.pairs.name: {"sha256": hashlib.sha256(args.pairs.read_bytes()).hexdigest(), "rows": rows}},
        "training": [*before, stage],
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": {name: version(name) for name in PACKAGES},
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("pairs", type=Path, help="pairs file of data.py")
    parser.add_argument("base", type=Path, help="directory of quantise.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory to write")
    parser.add_argument("--examples", type=int, default=900_000, help="rows to train on, drawn by weight")
    parser.add_argument("--labels", type=float, help="share of labels among the rows [what the weights give them]")
    parser.add_argument("--start", type=Path, help="adapter to go on from")
    parser.add_argument("--tokens", type=int, default=32_768, help="padded tokens in a batch")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--limit", type=int, help="pairs to read, for a try")
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    loaded = load(args)
    rows = make_rows(args)
    batches = make_batches(rows, args.tokens, args.seed)
    print(f"{len(rows)} rows in {len(batches)} batches", flush=True)
    last: dict[str, float] = {}
    for last in train(loaded, batches, args):
        print(json.dumps(last), flush=True)
    save(loaded.model, args.output)
    text = json.dumps(card(args, loaded.tokenizer, len(rows), last), indent=1, ensure_ascii=False)
    (args.output / "batchtrans.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
