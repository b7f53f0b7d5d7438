"""Train the adapter on the 4-bit base as it is stored: prompt, masks, stop, and what 4 bits cost.

In float32 this has the loss that QLoRA by peft and bitsandbytes has, arranged for a base that is small beside its data:
it is dequantised once and not at each use, a weight is the sum of the base's and the adapter's and not two products,
and rows are packed into one static shape, so that a whole step compiles. A row sees nothing but itself. LoRA's own
dropout is replaced by one on embeddings and residuals.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from importlib.metadata import version
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from average import CARD, WEIGHTS
from base import add_dropout, encoded, learning_rate, loss
from peft import LoraConfig
from rows import Pair, read_pairs, texts
from safetensors.torch import load_file, save_file
from torch.nn.utils import parametrize

from batchtrans_llama.card import read_adapter
from batchtrans_llama.fingerprint import fingerprint
from batchtrans_llama.load import Loaded, load, read_tokenizer
from batchtrans_llama.prompt import IGNORED, PROMPT, encode_examples, mask_count, prompt_hash
from batchtrans_llama.training.recipe import PROJECTIONS

WIDTH = 512  # tokens that rows are packed into; a longer row is dropped
LABEL_WORDS = 4  # a pair of more English words is no label
SCALE = 2  # alpha / r
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "tokenizers", "safetensors")
_FACTORS = ("A", "B")
_IDS, _SUPERVISED, _ROW = range(3)  # the planes of Packed

#: [lines, 3, WIDTH + 1]: token ids; 1 where the token is a label that is learnt; the number of its row within the line,
#: 0 for padding.
Packed = np.ndarray


class Change(torch.nn.Module):  # type: ignore[misc]
    """What the adapter adds to a weight [out, in]: ``alpha / r`` times the product of B [out, r] and A [r, in]."""

    def __init__(self, weight: torch.Tensor, rank: int, scale: float) -> None:
        super().__init__()
        self.A = torch.nn.Parameter(torch.empty(rank, weight.shape[1], device=weight.device))
        self.B = torch.nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))
        torch.nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))  # as peft does; B is zero, so nothing is changed yet
        self.scale = scale

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.scale * (self.B @ self.A)


class Encoder:
    """Encodes pairs in a worker process."""

    def __init__(self, base: Path) -> None:
        self.tokenizer = read_tokenizer(base)

    def packed(self, pairs: list[Pair], seed: int) -> Packed:
        """The rows of these pairs, drawn and augmented, packed into lines: whole rows only, the rest is padding."""
        drawn = texts(pairs, Random(seed))
        rows = [row for row in encode_examples(self.tokenizer, drawn, "en", "es", max_length=WIDTH) if row is not None]
        lines: list[list[tuple[list[int], list[int]]]] = [[]]
        filled = 0
        for row in rows:
            if filled + len(row[0]) > WIDTH + 1:
                lines.append([])
                filled = 0
            lines[-1].append(row)
            filled += len(row[0])
        packed = np.zeros((len(lines), 3, WIDTH + 1), dtype=np.int16)
        packed[:, _IDS] = self.tokenizer.pad_token_id
        for line, members in zip(packed, lines, strict=True):
            start = 0
            for number, (ids, labels) in enumerate(members, 1):
                part = slice(start, start + len(ids))
                line[_IDS, part], line[_ROW, part] = ids, number
                line[_SUPERVISED, part] = [label != IGNORED for label in labels]
                start += len(ids)
        return packed


_encoder: Encoder


def _start_worker(base: Path) -> None:
    global _encoder
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _encoder = Encoder(base)


def _pack(pairs: list[Pair], seed: int, number: int) -> Packed:
    return _encoder.packed(pairs, seed)


def with_labels(pairs: list[Pair], share: float) -> list[Pair]:
    """The pairs with the weights of labels changed so that they make up ``share`` of an epoch."""
    labels = [len(pair.english.split()) <= LABEL_WORDS for pair in pairs]
    whole = sum(pair.weight for pair in pairs)
    given = sum(pair.weight for pair, label in zip(pairs, labels, strict=True) if label)
    if not given:
        raise SystemExit(f"no pair has {LABEL_WORDS} English words or fewer: there are no labels to draw")
    factor = share / (1 - share) * (whole - given) / given
    return [
        pair._replace(weight=pair.weight * factor) if label else pair for pair, label in zip(pairs, labels, strict=True)
    ]


def batches(pool: ProcessPoolExecutor, pairs: list[Pair], size: int, seed: int) -> Iterator[tuple[int, Packed]]:
    """Endless batches of ``size`` lines, with the number of the epoch they come from."""
    lines = np.empty((0, 3, WIDTH + 1), dtype=np.int16)
    for number, more in encoded(pool, pairs, seed, _pack):
        lines = np.concatenate([lines, more])
        while len(lines) >= size:
            yield number, lines[:size]
            lines = lines[size:]


def build(loaded: Loaded, rank: int, start: Path | None) -> dict[str, Change]:
    """Put a change beside every attention and MLP projection, a fresh one or that of the adapter ``start``; by the
    projection's name. Nothing else is trained."""
    loaded.model.requires_grad_(False)
    changes = {}
    for name, module in list(loaded.model.named_modules()):
        if name.rsplit(".", 1)[-1] in PROJECTIONS:
            changes[name] = Change(module.weight, rank, SCALE)
            parametrize.register_parametrization(module, "weight", changes[name])
    if start is not None:
        stored = load_file(start / WEIGHTS, device=str(loaded.device))
        with torch.no_grad():
            for name, change in changes.items():
                for factor in _FACTORS:
                    getattr(change, factor).copy_(stored[_key(name, factor)])
    return changes


def _key(name: str, factor: str) -> str:
    """PEFT's name of a factor."""
    return f"base_model.model.{name}.lora_{factor}.weight"


def packed_loss(model: Any, packed: torch.Tensor, smoothing: float) -> torch.Tensor:
    """The mean cross entropy of what is learnt; ``packed`` as :data:`Packed`, in integers of 32 bits."""
    rows = packed[:, _ROW, :-1]
    causal = torch.ones(WIDTH, WIDTH, dtype=torch.bool, device=packed.device).tril()
    mask = (rows[:, :, None] == rows[:, None, :])[:, None] & causal  # [lines, 1, WIDTH, WIDTH]
    weights = packed[:, _SUPERVISED].float()
    return loss(model, packed[:, _IDS].long(), weights, smoothing, mask) / weights.sum()


def train(loaded: Loaded, changes: dict[str, Change], args: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Train until ``--minutes`` or ``--steps`` are used up, compilation apart; yields what happened now and then."""
    pairs = read_pairs(args.pairs, args.limit)
    if args.labels is not None:
        pairs = with_labels(pairs, args.labels)
    pool = ProcessPoolExecutor(
        args.workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(args.base,)
    )
    stream = batches(pool, pairs, args.lines, args.seed)
    step_loss: Callable[..., torch.Tensor] = packed_loss if args.eager else torch.compile(packed_loss, dynamic=False)
    trained = [factor for change in changes.values() for factor in change.parameters()]
    device = loaded.device
    optimizer = torch.optim.AdamW(trained, weight_decay=0.0, betas=(0.9, 0.98), fused=device.type == "cuda")
    add_dropout(loaded.model, args.dropout)
    loaded.model.train()
    began, progress, tokens = time.monotonic(), 0.0, 0
    for step in count(1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, step - 1, args.rate, args.warmup)
        number, packed = next(stream)
        batch = torch.from_numpy(packed.astype(np.int32)).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            value = step_loss(loaded.model, batch, args.smoothing)
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += int((packed[:, _ROW] > 0).sum())
        if step <= args.warm_steps:
            value.item()  # compilation is over after them: the clock of --minutes starts there
            began = time.monotonic()
        minutes = (time.monotonic() - began) / 60
        progress = max(step / args.steps, minutes / args.minutes)
        if step % args.every == 0 or progress >= 1.0:
            record = {"step": step, "epoch": number, "minutes": round(minutes, 3), "tokens": tokens}
            yield {**record, "loss": round(value.item(), 4)}
        if progress >= 1.0:
            pool.shutdown(wait=False, cancel_futures=True)
            return


def save(changes: dict[str, Change], args: argparse.Namespace) -> None:
    """A plain PEFT adapter in float16."""
    config = LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path="batchtrans/en-es-base",
        inference_mode=True,
        r=args.rank,
        lora_alpha=SCALE * args.rank,
        lora_dropout=0.05,  # for who goes on from it with peft; none was used here
        target_modules=list(PROJECTIONS),
    )
    config.save_pretrained(args.output)
    factors = {
        _key(name, factor): getattr(change, factor).detach().half().contiguous()
        for name, change in changes.items()
        for factor in _FACTORS
    }
    save_file(factors, args.output / WEIGHTS, metadata={"format": "pt"})


def card(args: argparse.Namespace, tokenizer: Any, last: dict[str, float]) -> dict[str, Any]:
    """What stands in batchtrans.json: enough to refuse a wrong base and to make the adapter again."""
    before = json.loads((args.start / CARD).read_text(encoding="utf-8"))["training"] if args.start else []
    before = before if isinstance(before, list) else [before]  # an average
    chosen = ("seed", "rate", "labels", "lines", "dropout", "smoothing")
    return {
        "schema": 1,
        "base_fingerprint": fingerprint(args.base),
        "quantisation": "nf4",
        "prompt": PROMPT,
        "prompt_sha256": prompt_hash(),
        "source_lang": "en",
        "target_lang": "es",
        "masks": mask_count(tokenizer),
        "lora": {"r": args.rank, "alpha": SCALE * args.rank, "target_modules": list(PROJECTIONS)},
        "data": {args.pairs.name: {"sha256": hashlib.sha256(args.pairs.read_bytes()).hexdigest()}},
        "training": [*before, {**{name: getattr(args, name) for name in chosen}, **last}],
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": {name: version(name) for name in PACKAGES},
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("pairs", type=Path, help="pairs file of data.py")
    parser.add_argument("base", type=Path, help="directory of quantise.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory to write")
    parser.add_argument("--labels", type=float, help="share of labels among the rows [what the weights give them]")
    parser.add_argument("--start", type=Path, help="adapter to go on from")
    parser.add_argument("--lines", type=int, default=96, help=f"lines of {WIDTH} tokens in a step")
    parser.add_argument("--minutes", type=float, default=9.0, help="without compilation")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--dropout", type=float, default=0.1, help="embeddings and residuals")
    parser.add_argument("--smoothing", type=float, default=0.0, help="of the labels in the loss")
    parser.add_argument("--every", type=int, default=250, help="steps between two lines of the log")
    parser.add_argument("--warm-steps", type=int, default=4)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--limit", type=int, help="pairs to read, for a try")
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()
    if args.labels is not None and not 0 < args.labels < 1:
        parser.error("--labels must lie between 0 and 1")
    if args.start and read_adapter(args.start).base_fingerprint != fingerprint(args.base):
        parser.error(f"{args.start} is for another base")

    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    loaded = load(args.base, dtype="float32", quant="none")
    changes = build(loaded, args.rank, args.start)
    last: dict[str, float] = {}
    for last in train(loaded, changes, args):
        print(json.dumps(last), flush=True)
    args.output.mkdir(parents=True, exist_ok=True)
    save(changes, args)
    text = json.dumps(card(args, loaded.tokenizer, last), indent=1, ensure_ascii=False)
    (args.output / CARD).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
