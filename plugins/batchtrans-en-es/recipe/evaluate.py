"""Measure the model: BLEU and chrF on dev sets, where it stops with and without the adapter, and reference outputs.

Everything is decoded greedily in float32 from the dequantised base with the merged adapter, by the reference engine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from batchtrans import protect
from batchtrans_llama.card import Adapter, read_adapter
from batchtrans_llama.fingerprint import fingerprint
from batchtrans_llama.generate import HfEngine
from batchtrans_llama.load import Loaded, load
from batchtrans_llama.prompt import PROMPT, encode_prompts, prompt_hash
from batchtrans_llama.stop import line_heads, trim
from data import segments

BATCH = 384
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "tokenizers", "sacrebleu")


@dataclass(frozen=True)
class Output:
    """What came out for one source: the whole text, the text up to the boundary, why it stopped, how long it is."""

    raw: str
    trimmed: str
    cut: bool
    stop: str
    ids: list[int]


def read_set(path: Path, limit: int | None) -> list[tuple[str, str]]:
    """Source and reference of a dev set, .tsv or .po."""
    if path.suffix == ".po":
        import polib

        pairs = [(entry.msgid, entry.msgstr) for entry in polib.pofile(str(path)) if entry.msgid and entry.msgstr]
    else:
        lines = path.read_text(encoding="utf-8").splitlines()
        pairs = [(line.split("\t")[0], line.split("\t")[1]) for line in lines]
    return pairs[:limit]


def decode(loaded: Loaded, sources: list[str]) -> list[Output]:
    """Translate texts that are already masked, without guards: to EOS or to 16 + 2.2 x source tokens."""
    engine = HfEngine(loaded, guards=False)
    prompts = encode_prompts(loaded.tokenizer, sources, "en", "es")
    bare = loaded.tokenizer(sources, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    order = sorted(range(len(sources)), key=lambda index: len(prompts[index]))
    heads = line_heads(PROMPT, "English", "Spanish")
    found: dict[int, Output] = {}
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        caps = [16 + int(2.2 * len(bare[index])) for index in batch]
        for index, row in zip(batch, engine.decode([prompts[i] for i in batch], caps), strict=True):
            raw = loaded.tokenizer.decode(row.ids, skip_special_tokens=False)
            cut = trim(raw, heads)
            found[index] = Output(raw, cut.text, cut.cut, row.stop, row.ids)
    return [found[index] for index in range(len(sources))]


def translate(loaded: Loaded, sources: list[str]) -> list[str]:
    """Translate texts, placeholders behind masks as the engine sends them."""
    masked = [protect.mask(source, protect.find(source)) for source in sources]
    outputs = decode(loaded, [item.text for item in masked])
    return [protect.unmask(out.trimmed, item.placeholders) for out, item in zip(outputs, masked, strict=True)]


def scores(loaded: Loaded, sets: dict[str, list[tuple[str, str]]]) -> dict[str, dict[str, float]]:
    """BLEU and chrF of each set, through sacrebleu with its defaults."""
    import sacrebleu

    result = {}
    for name, pairs in sets.items():
        began = time.monotonic()
        hypotheses = translate(loaded, [source for source, _ in pairs])
        references = [[reference for _, reference in pairs]]
        result[name] = {
            "segments": len(pairs),
            "bleu": round(sacrebleu.corpus_bleu(hypotheses, references).score, 2),
            "chrf": round(sacrebleu.corpus_chrf(hypotheses, references).score, 2),
            "seconds": round(time.monotonic() - began, 1),
        }
        print(name, json.dumps(result[name]), flush=True)
    return result


def stopping(loaded: Loaded, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """How a model stops by itself: by EOS, at the cap, and with text after the boundary."""
    import sacrebleu

    outputs = decode(loaded, [source for source, _ in pairs])
    references = [[reference for _, reference in pairs]]

    def chrf(text: Callable[[Output], str]) -> float:
        return round(float(sacrebleu.corpus_chrf([text(out) for out in outputs], references).score), 2)

    return {
        "segments": len(pairs),
        "stops_by_eos": round(sum(out.stop == "eos" for out in outputs) / len(outputs), 4),
        "over_generates": round(sum(out.cut for out in outputs) / len(outputs), 4),
        "chrf_raw": chrf(lambda out: out.raw),
        "chrf_trimmed": chrf(lambda out: out.trimmed),
    }


def reference_inputs(paths: list[Path], count: int) -> list[str]:
    """Fixed inputs from the sample files: single lines with words in them, masked, evenly spread."""
    lines = [line.strip() for path in paths for text in segments(path) for line in text.split("\n")]
    masked = [protect.mask(line, protect.find(line)).text for line in lines if protect.has_words(line)]
    unique = list(dict.fromkeys(text for text in masked if len(text) <= 300))
    return unique[:: max(1, len(unique) // count)][:count]


def facts(loaded: Loaded, base: Path) -> dict[str, Any]:
    """Where and with what the numbers were made."""
    import torch

    return {
        "device": torch.cuda.get_device_name() if loaded.device.type == "cuda" else "cpu",
        "dtype": loaded.dtype,
        "versions": {name: version(name) for name in PACKAGES},
        "base_fingerprint": fingerprint(base),
        "prompt_sha256": prompt_hash(),
    }


def open_model(base: Path, adapter: Adapter | None, device: str) -> Loaded:
    return load(base, adapter, device=device, dtype="float32", quant="none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path, help="directory of quantise.py")
    parser.add_argument("adapter", type=Path, help="directory of adapter.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory to write")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, help="dev sets, .tsv or .po")
    parser.add_argument("--limit", type=int, default=1000, help="segments of each set")
    parser.add_argument("--samples", type=Path, nargs="*", default=[], help="files that reference inputs come from")
    parser.add_argument("--stop-segments", type=int, default=500)
    parser.add_argument("--full-base", type=Path, help="directory of base.py: what do the 4 bits cost?")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()

    args.output.mkdir(parents=True, exist_ok=True)
    sets = {path.stem: read_set(path, args.limit) for path in args.sets}
    tuned = open_model(args.base, read_adapter(args.adapter), args.device)
    about = facts(tuned, args.base)
    if args.samples:
        inputs = reference_inputs(args.samples, 50)
        rows = [
            {"source": source, "target": out.trimmed, "stop": out.stop, "ids": out.ids}
            for source, out in zip(inputs, decode(tuned, inputs), strict=True)
        ]
        text = json.dumps({**about, "rows": rows}, indent=1, ensure_ascii=False)
        (args.output / "outputs-fp32.json").write_text(text + "\n", encoding="utf-8")
        for row in rows[::3]:
            print(f"{row['source']}  =>  {row['target']}  [{row['stop']}]", flush=True)
    everything = [pair for pairs in sets.values() for pair in pairs if "\n" not in pair[0]]
    chosen = everything[:: max(1, len(everything) // args.stop_segments)][: args.stop_segments]
    report: dict[str, Any] = {**about, "stop": {"tuned": stopping(tuned, chosen)}}
    report["stop"]["untuned"] = stopping(open_model(args.base, None, args.device), chosen)
    for name, numbers in report["stop"].items():
        print(name, json.dumps(numbers), flush=True)
    report["sets"] = scores(tuned, sets)
    if args.full_base:
        full = fingerprint(args.full_base)
        adapter = replace(read_adapter(args.adapter), base_fingerprint=full, quantisation="none")
        report["sets_on_full_base"] = scores(open_model(args.full_base, adapter, args.device), sets)
    text = json.dumps(report, indent=1, ensure_ascii=False)
    (args.output / "scores.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
