"""Train the base: a LLaMA that continues bilingual text, from scratch.

A row is 1,024 tokens of ``english NEWLINE spanish NEWLINE NEWLINE`` one after the other, behind one BOS. There is no
prompt in it and no EOS: what to do with a request, and where to stop, is left to the adapter. In the first epochs half
of the pairs stand the other way round, Spanish first.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu
import torch
import torch.nn.functional as F
from rows import Pair, epoch, read_pairs, texts
from tokenizers import Tokenizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

CONTEXT = 1024
CHUNK = 16_384  # pairs that one worker encodes and packs at a time
_AVERAGE_EVERY = 10  # steps between two updates of the averaged weights
AHEAD = 48  # chunks in work, so that the trainer never waits
_SCORED = 300  # segments of each dev set that a candidate translates
_LONGEST_ANSWER = 160  # tokens
SOURCE, TARGET = 1, 2  # kinds of token; 0 is BOS and padding

Rows = tuple[np.ndarray, np.ndarray]  # ids and kinds, both [rows, CONTEXT + 1]: inputs and targets overlap
State = dict[str, torch.Tensor]


class Encoder:
    """Encodes pairs in a worker process. BPE dropout on a part of the sources shows rare words in many spellings."""

    def __init__(self, tokenizer_file: str, dropout: float, dropout_share: float) -> None:
        self.plain = Tokenizer.from_file(tokenizer_file)
        self.broken = Tokenizer.from_file(tokenizer_file)
        self.plain.encode_special_tokens = self.broken.encode_special_tokens = True
        self.broken.model.dropout = dropout or None
        self.dropout_share = dropout_share if dropout else 0.0
        self.newline = self._encode(self.plain, ["\n"])[0]
        self.bos, self.pad = (self.plain.token_to_id(t) for t in ("<|begin_of_text|>", "<|finetune_right_pad_id|>"))

    @staticmethod
    def _encode(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]

    def rows(self, pairs: list[tuple[str, str]], chance: random.Random) -> Rows:
        """Pairs (source, target) as packed rows: whole pairs only, the rest of a row is padding."""
        sources = self._encode(self.plain, [source for source, _ in pairs])
        broken = [index for index in range(len(pairs)) if chance.random() < self.dropout_share]
        for index, ids in zip(broken, self._encode(self.broken, [pairs[i][0] for i in broken]), strict=True):
            sources[index] = ids
        targets = self._encode(self.plain, [target for _, target in pairs])
        packed: list[tuple[list[int], list[int]]] = []
        ids, kinds = [self.bos], [0]
        for source, target in zip(sources, targets, strict=True):
            pair_ids = source + self.newline + target + self.newline + self.newline
            pair_kinds = [SOURCE] * (len(source) + 1) + [TARGET] * (len(target) + 2)
            if len(ids) + len(pair_ids) > CONTEXT + 1:
                packed.append((ids, kinds))
                ids, kinds = [self.bos], [0]
            if len(pair_ids) <= CONTEXT:
                ids, kinds = ids + pair_ids, kinds + pair_kinds
        packed.append((ids, kinds))
        out_ids = np.full((len(packed), CONTEXT + 1), self.pad, dtype=np.uint16)
        out_kinds = np.zeros((len(packed), CONTEXT + 1), dtype=np.uint8)
        for number, (ids, kinds) in enumerate(packed):
            out_ids[number, : len(ids)], out_kinds[number, : len(kinds)] = ids, kinds
        return out_ids, out_kinds


_encoder: Encoder


def _start_worker(tokenizer_file: str, dropout: float, dropout_share: float) -> None:
    global _encoder
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _encoder = Encoder(tokenizer_file, dropout, dropout_share)


def _encode_chunk(pairs: list[Pair], seed: int, number: int, reverse_epochs: int) -> Rows:
    chance = random.Random(seed)
    drawn = texts(pairs, chance)
    reverse_share = 0.5 if number <= reverse_epochs else 0.0
    return _encoder.rows([row[::-1] if chance.random() < reverse_share else row for row in drawn], chance)


def encoded(
    pool: ProcessPoolExecutor, pairs: list[Pair], seed: int, encode: Callable[[list[Pair], int, int], Any]
) -> Iterator[tuple[int, Any]]:
    """Endless chunks of pairs, encoded by the workers ahead of time, with the number of the epoch they come from; every
    epoch is drawn anew. ``encode`` takes the pairs of a chunk, its seed and that number."""
    waiting: deque[tuple[int, Future[Any]]] = deque()
    chunks = (
        (number, drawn[start : start + CHUNK], seed + 1000 * number + start // CHUNK)
        for number in count(1)
        for drawn in [epoch(pairs, seed + number)]
        for start in range(0, len(drawn), CHUNK)
    )
    while True:
        while len(waiting) < AHEAD:
            number, chunk, chunk_seed = next(chunks)
            waiting.append((number, pool.submit(encode, chunk, chunk_seed, number)))
        number, future = waiting.popleft()
        yield number, future.result()


def batches(
    pool: ProcessPoolExecutor, pairs: list[Pair], size: int, seed: int, reverse_epochs: int
) -> Iterator[tuple[int, Rows]]:
    """Endless batches of ``size`` rows, with the number of the epoch they come from."""
    ids = np.empty((0, CONTEXT + 1), dtype=np.uint16)
    kinds = np.empty((0, CONTEXT + 1), dtype=np.uint8)
    encode = partial(_encode_chunk, reverse_epochs=reverse_epochs)
    for number, (more_ids, more_kinds) in encoded(pool, pairs, seed, encode):
        ids, kinds = np.concatenate([ids, more_ids]), np.concatenate([kinds, more_kinds])
        while len(ids) >= size:
            yield number, (ids[:size], kinds[:size])
            ids, kinds = ids[size:], kinds[size:]


def build(args: argparse.Namespace, tokenizer: Any) -> LlamaForCausalLM:
    """The model with fresh weights, in float32."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=args.hidden,
        intermediate_size=args.mlp,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        num_key_value_heads=args.kv_heads,
        head_dim=args.hidden // args.heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        attention_dropout=args.attention_dropout,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    add_dropout(model, args.dropout)
    return model


def add_dropout(model: LlamaForCausalLM, share: float) -> None:
    """LLaMA has no dropout but in attention; these hooks add it to embeddings and to what enters the residual."""

    def drop(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return F.dropout(output, share, module.training)

    for name, module in model.named_modules():
        if name.endswith(("embed_tokens", "o_proj", "down_proj")):
            module.register_forward_hook(drop)


def forward(model: LlamaForCausalLM, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Logits [rows, tokens, vocabulary]; ``mask`` [rows, 1, tokens, tokens] is true where a token sees another, all
    before it where that is None. Written out because the model's own forward builds a mask when it is compiled, which
    keeps attention from its fast causal kernel."""
    body = model.model
    hidden = body.embed_tokens(ids)
    positions = torch.arange(ids.shape[1], device=ids.device)[None]
    rotary = body.rotary_emb(hidden, position_ids=positions)
    for layer in body.layers:
        hidden = layer(hidden, attention_mask=mask, position_ids=positions, position_embeddings=rotary)
    logits: torch.Tensor = model.lm_head(body.norm(hidden))
    return logits


def loss(
    model: LlamaForCausalLM,
    ids: torch.Tensor,
    weights: torch.Tensor,
    smoothing: float,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Weighted sum of the cross entropy; ``ids`` and ``weights`` are [rows, tokens + 1], ``mask`` as in forward."""
    logits = forward(model, ids[:, :-1], mask).float()
    each = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none", label_smoothing=smoothing)
    return (each * weights[:, 1:].flatten()).sum()


def raise_eos(rows: torch.Tensor, eos: int) -> None:
    """Give the row of EOS in the tied embedding [vocabulary, hidden] the length of an average one.

    The base never meets EOS as a target, so its row shrinks onto those of other unused tokens: same direction, a
    quarter of the length. No adapter, which leaves embeddings alone, could single it out there.
    """
    lengths = rows.float().norm(dim=1)
    rows[eos] = (rows[eos].float() * (lengths.mean() / lengths[eos])).to(rows.dtype)


def save(model: LlamaForCausalLM, tokenizer: Any, directory: Path) -> None:
    """The model in float16 with its tokenizer, without traces of training."""
    state = {name: tensor.half() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    raise_eos(state["model.embed_tokens.weight"], tokenizer.eos_token_id)
    model.config.attention_dropout, dropout = 0.0, model.config.attention_dropout
    model.save_pretrained(directory, state_dict=state)
    model.config.attention_dropout = dropout
    tokenizer.save_pretrained(directory)


def learning_rate(progress: float, step: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then a cosine down to zero at progress 1."""
    return peak * min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


class Trainer:
    """One training run; ``device`` is CUDA (bfloat16 autocast, compiled) or CPU (for a try with few rows)."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(args.seed)
        torch.set_float32_matmul_precision("high")
        self.tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
        self.model = build(args, self.tokenizer).to(self.device)
        self.loss: Callable[..., torch.Tensor] = loss if args.eager else torch.compile(loss, dynamic=False)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim == 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": args.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            betas=(0.9, 0.98),
            fused=self.device.type == "cuda",
        )
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(args.average))

    def tensors(self, rows: Rows, source: float) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.from_numpy(rows[0].astype(np.int64)).to(self.device)
        weights = torch.tensor([0.0, source, 1.0], device=self.device)
        return ids, weights[torch.from_numpy(rows[1].astype(np.int64)).to(self.device)]

    def step(self, rows: Rows, rate: float) -> torch.Tensor:
        """One update; returns the mean loss on the device, so that nobody waits for it."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        ids, weights = self.tensors(rows, self.args.source_weight)
        total = weights[:, 1:].sum()
        value = torch.zeros((), device=self.device)
        for start in range(0, len(ids), self.args.micro):
            part = slice(start, start + self.args.micro)
            with torch.autocast(self.device.type, torch.bfloat16):
                part_loss = self.loss(self.model, ids[part], weights[part], self.args.smoothing) / total
            part_loss.backward()
            value += part_loss.detach()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return value

    @torch.no_grad()
    def dev_loss(self, model: LlamaForCausalLM, dev: Rows) -> float:
        """Cross entropy of a Spanish token given the English before it."""
        was_training = model.training
        model.eval()
        ids, weights = self.tensors(dev, 0.0)
        value = 0.0
        for start in range(0, len(ids), self.args.micro):
            part = slice(start, start + self.args.micro)
            with torch.autocast(self.device.type, torch.bfloat16):
                value += float(loss(model, ids[part], weights[part], 0.0))
        model.train(was_training)
        return round(value / float(weights[:, 1:].sum()), 4)

    def look(self, dev: dict[str, Rows]) -> dict[str, float]:
        """The loss on each dev set, and the mean of them for the averaged weights."""
        losses = {name: self.dev_loss(self.model, rows) for name, rows in dev.items()}
        averaged = [self.dev_loss(self.average.module, rows) for rows in dev.values()]
        return {**losses, "mean": sum(losses.values()) / len(dev), "mean_averaged": sum(averaged) / len(dev)}

    @torch.no_grad()
    def translate(self, sources: list[str]) -> list[str]:
        """What the model writes after each English line, greedily, up to the end of the line."""
        encode = partial(self.tokenizer.encode, add_special_tokens=False)
        newline = encode("\n")  # a token of its own, as in the rows: never one with the mark before it
        rows = [[self.tokenizer.bos_token_id, *encode(source), *newline] for source in sources]
        prompts = self.tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt").to(self.device)
        self.model.eval()
        ids = self.model.generate(
            input_ids=prompts["input_ids"],
            attention_mask=prompts["attention_mask"],
            max_new_tokens=_LONGEST_ANSWER,
            do_sample=False,
            eos_token_id=newline,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        answers = self.tokenizer.batch_decode(ids[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
        return [answer.strip() for answer in answers]

    def score(self, weights: State, dev: dict[str, list[tuple[str, str]]]) -> dict[str, float]:
        """chrF of the weights on the beginning of each dev set, and the mean of them."""
        self.model.load_state_dict(weights)
        scores = {}
        for name, pairs in dev.items():
            answers = self.translate([source for source, _ in pairs[:_SCORED]])
            references = [[target for _, target in pairs[:_SCORED]]]
            scores[name] = round(sacrebleu.corpus_chrf(answers, references).score, 2)
        return {**scores, "mean": round(sum(scores.values()) / len(scores), 3)}


def _copy(model: torch.nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _read_dev(path: Path) -> list[tuple[str, str]]:
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[:1000]]
    return [(row[0], row[1]) for row in rows]


def train(args: argparse.Namespace) -> None:
    """Train until ``--steps`` or ``--minutes`` are used up, whichever comes first, and save the weights that translate
    the dev sets best: the last ones, or their moving average at one of the looks in the second half."""
    tokenizer_file = str(args.tokenizer / "tokenizer.json")
    pool = ProcessPoolExecutor(
        args.workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(tokenizer_file, args.bpe_dropout, args.bpe_dropout_share),
    )
    stream = batches(pool, read_pairs(args.pairs, args.limit), args.rows, args.seed, args.reverse_epochs)
    encoder = Encoder(tokenizer_file, 0.0, 0.0)
    dev_pairs = {path.stem: _read_dev(path) for path in args.dev}
    dev = {name: encoder.rows(pairs, random.Random(0)) for name, pairs in dev_pairs.items()}
    trainer = Trainer(args)
    trainer.model.train()
    args.output.mkdir(parents=True, exist_ok=True)
    log = (args.output / "training.jsonl").open("w", encoding="utf-8")
    began = time.monotonic()
    step, progress = 0, 0.0
    candidates: dict[str, State] = {}

    def note(record: dict[str, Any]) -> None:
        print(json.dumps(record), file=log, flush=True)
        print(json.dumps(record), flush=True)

    while progress < 1.0:
        number, rows = next(stream)
        value = trainer.step(rows, learning_rate(progress, step, args.rate, args.warmup))
        step += 1
        if step % _AVERAGE_EVERY == 0:
            trainer.average.update_parameters(trainer.model)
        if step == args.warm_steps:
            torch.cuda.synchronize() if trainer.device.type == "cuda" else None
            began = time.monotonic()  # compilation is over: the clock of --minutes starts here
        minutes = (time.monotonic() - began) / 60
        progress = max(step / args.steps, minutes / args.minutes)
        if step % args.every == 0 or progress >= 1.0:
            record = {"step": step, "epoch": number, "minutes": round(minutes, 3), "loss": round(float(value), 4)}
            note({**record, "tokens": step * args.rows * CONTEXT, **trainer.look(dev)})
            if progress >= 0.5:
                candidates[f"average at {step}"] = _copy(trainer.average.module)
        if step % args.save_every == 0:
            save(trainer.model, trainer.tokenizer, args.output)
    pool.shutdown(cancel_futures=True)
    candidates["last"] = _copy(trainer.model)
    scores: dict[str, float] = {}
    for name, weights in candidates.items():
        chrf = trainer.score(weights, dev_pairs)
        scores[name] = chrf["mean"]
        note({"candidate": name, "chrf": chrf})
    trainer.model.load_state_dict(candidates[max(scores, key=scores.__getitem__)])
    save(trainer.model, trainer.tokenizer, args.output)
    log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("pairs", type=Path, help="pairs file of data.py")
    parser.add_argument("tokenizer", type=Path, help="directory of tokenizer.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory to write")
    parser.add_argument("--dev", type=Path, nargs="+", required=True, help="pairs to watch, .tsv; not trained on")
    parser.add_argument("--layers", type=int, default=14)
    parser.add_argument("--hidden", type=int, default=576)
    parser.add_argument("--mlp", type=int, default=1536)
    parser.add_argument("--heads", type=int, default=9)
    parser.add_argument("--kv-heads", type=int, default=3)
    parser.add_argument("--rows", type=int, default=128, help="rows of 1,024 tokens in a step")
    parser.add_argument("--micro", type=int, default=64, help="rows in one forward")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=12.0, help="without compilation")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--weight-decay", type=float, default=0.2)
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.2, help="embeddings and residuals")
    parser.add_argument("--attention-dropout", type=float, default=0.0)
    parser.add_argument("--bpe-dropout", type=float, default=0.1)
    parser.add_argument("--bpe-dropout-share", type=float, default=0.4, help="of the sources")
    parser.add_argument("--source-weight", type=float, default=0.25, help="of a token's loss; the target's is 1")
    parser.add_argument("--reverse-epochs", type=int, default=4, help="epochs with half of the pairs Spanish first")
    parser.add_argument("--average", type=float, default=0.97, help="decay of the moving average, every 10 steps")
    parser.add_argument("--every", type=int, default=500, help="steps between two lines of the log")
    parser.add_argument("--save-every", type=int, default=2000)
    parser.add_argument("--warm-steps", type=int, default=4)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--limit", type=int, help="pairs to read, for a try")
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
