"""QLoRA training on the seed's job: 1,000 pairs, two epochs, a base of Llama-3.2-1B's shape with random weights in NF4.

    python tests/bench/bench_training.py                 on a GPU: all arms, each in a process of its own
    python tests/bench/bench_training.py --arms default seed
    python tests/bench/bench_training.py --tiny          a toy shape, to try the script on a CPU

Each arm trains on the same rows: prompts of 15 tokens and a source of 20 to 60, completions of 20 to 60. Loading and
quantisation are timed apart from the loop. Peers: ``transformers.Trainer`` with peft on the same rows, with the seed's
batch and with larger ones.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parents[2]
TOKENIZER = ROOT / "plugins/batchtrans-en-es/src/batchtrans_en_es/model/base"
PAIRS, EPOCHS = 1_000, 2
LLAMA_1B = {
    "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 2048,
    "tie_word_embeddings": True, "rope_theta": 500_000.0,
}  # fmt: skip
TINY = {**LLAMA_1B, "vocab_size": 13_000, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}  # fmt: skip
#: Arm: recipe, changes to it, computing type, how the 4-bit numbers stand in memory.
OURS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "default": ("default", {}, "auto", "auto"),
    "default, 4 bits in memory": ("default", {}, "auto", "nf4"),
    "default, float16": ("default", {}, "float16", "auto"),
    "default, without graphs": ("default", {"graphs": False}, "auto", "auto"),
    "default, micro-batches of 2,048": ("default", {"micro_tokens": 2048}, "auto", "auto"),
    "seed": ("seed", {}, "auto", "auto"),
    "seed, 4 bits in memory": ("seed", {}, "auto", "nf4"),
}
#: Arm: batch, and the steps after which it is stopped: its time grows evenly, and the whole job takes minutes.
PEERS = {"Trainer, batch 4": (4, 100), "Trainer, batch 32": (32, 32)}


def make_rows(seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """Ids and labels of the job's rows; the ids mean nothing."""
    chance = random.Random(seed)
    rows = []
    for _ in range(PAIRS):
        prompt = [chance.randrange(300, 12_000) for _ in range(15 + chance.randint(20, 60))]
        completion = [chance.randrange(300, 12_000) for _ in range(chance.randint(20, 60))]
        rows.append((prompt + completion, [-100] * len(prompt) + completion))
    return rows


def make_base(directory: Path, shape: dict[str, Any]) -> None:
    """A checkpoint in bfloat16 with random weights, and a tokenizer, which nothing here uses."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(LlamaConfig(**shape, bos_token_id=1, eos_token_id=2, pad_token_id=3))
    model.to(torch.bfloat16).save_pretrained(directory)
    AutoTokenizer.from_pretrained(TOKENIZER).save_pretrained(directory)


def ours(base: Path, arm: str) -> dict[str, Any]:
    from batchtrans_llama.load import load_to_train
    from batchtrans_llama.training import loop
    from batchtrans_llama.training.recipe import RECIPES
    from batchtrans_llama.training.rows import Row

    name, changes, dtype, quant = OURS[arm]
    recipe = replace(RECIPES[name], evaluations=0, epochs=EPOCHS, pairs=0, checkpoint=10**9, **changes)
    began = time.monotonic()
    loaded = load_to_train(base, None, recipe.lora(), "nf4", "auto", dtype, quant)
    seconds = time.monotonic() - began
    rows = [Row(*row) for row in make_rows()]
    accelerator = loop.make_accelerator(str(loaded.device), loaded.dtype)
    with tempfile.TemporaryDirectory() as work:
        training = loop.Training(loaded, rows, recipe, 1, accelerator, Path(work), None, {})
        fitted = training.fit(False)
        last = json.loads((Path(work) / "metrics.jsonl").read_text().splitlines()[-1])
    return {"load": seconds, "loop": fitted.seconds, "steps": fitted.steps, "peak": fitted.peak_bytes,
            "loss": last["loss"], "samples": PAIRS * EPOCHS,
            "note": training.stepper.note, "memory": loaded.quant, "dtype": loaded.dtype}  # fmt: skip


def peer(base: Path, arm: str) -> dict[str, Any]:
    """transformers' Trainer with peft, as its documentation shows QLoRA; labels and rows are ours."""
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Trainer, TrainingArguments

    size, most = PEERS[arm]
    on_gpu = torch.cuda.is_available()
    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if on_gpu else torch.float32,
    )  # fmt: skip
    began = time.monotonic()
    model = AutoModelForCausalLM.from_pretrained(
        base, quantization_config=quantization, dtype=torch.bfloat16 if on_gpu else torch.float32,
        device_map={"": "cuda:0" if on_gpu else "cpu"},
    )  # fmt: skip
    model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear",
                                             task_type="CAUSAL_LM"))  # fmt: skip
    seconds = time.monotonic() - began
    rows = [{"input_ids": ids, "labels": labels} for ids, labels in make_rows()]

    def collate(batch: list[dict[str, list[int]]]) -> dict[str, Any]:
        width = max(len(row["input_ids"]) for row in batch)
        ids = [row["input_ids"] + [3] * (width - len(row["input_ids"])) for row in batch]
        mask = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in batch]
        labels = [row["labels"] + [-100] * (width - len(row["labels"])) for row in batch]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "labels": torch.tensor(labels)}

    with tempfile.TemporaryDirectory() as work:
        arguments = TrainingArguments(
            work, per_device_train_batch_size=size, max_steps=most,
            learning_rate=2e-4, bf16=on_gpu, logging_steps=50, save_strategy="no", report_to=[], use_cpu=not on_gpu,
            disable_tqdm=True, remove_unused_columns=False,
        )  # fmt: skip
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate)
        began = time.monotonic()
        done = trainer.train()
        loop = time.monotonic() - began
    peak = torch.cuda.max_memory_allocated() if on_gpu else 0
    return {"load": seconds, "loop": loop, "steps": done.global_step, "peak": peak, "loss": done.training_loss,
            "samples": size * most, "memory": "nf4", "dtype": "bfloat16" if on_gpu else "float32"}  # fmt: skip


def facts() -> str:
    import peft
    import torch
    import transformers

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return f"{device}, torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}"


def table(results: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| arm | steps | loop | samples/s | 2,000 samples | peak GiB | load and quantise | memory, type |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm, row in results.items():
        lines.append(
            f"| {arm} | {row['steps']} | {row['loop']:.1f} s | {row['samples'] / row['loop']:.0f} "
            f"| {PAIRS * EPOCHS / row['samples'] * row['loop']:.1f} s "
            f"| {row['peak'] / 2**30:.2f} | {row['load']:.1f} s | {row['memory']}, {row['dtype']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="*", default=[*OURS, *PEERS])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--limit", type=float, default=120, help="seconds for each arm")
    parser.add_argument("--base", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arm:
        print(json.dumps((ours if args.arm in OURS else peer)(args.base, args.arm)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as work:
        base = Path(work) / "base"
        make_base(base, TINY if args.tiny else LLAMA_1B)
        for arm in args.arms:
            command = [sys.executable, __file__, "--arm", arm, "--base", str(base)]
            try:
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=args.limit, check=True)
            except subprocess.SubprocessError as error:
                print(f"{arm}: {error}", flush=True)
                continue
            results[arm] = json.loads(done.stdout.splitlines()[-1])
            print(f"{arm}: {results[arm]}", flush=True)
    print(f"\n{facts()}\n\n{table(results)}")


if __name__ == "__main__":
    main()
