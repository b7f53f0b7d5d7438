"""Average adapters of one base: the changes that they make to its weights, brought back to the rank of one adapter.

Adapters that were trained apart, or one and what it became later, err in different places; their average keeps what
they agree on. The two factors of each cannot be averaged by themselves, since the same change has many pairs of
factors; so the products are, and the largest singular values of the result are kept (Eckart and Young 1936: no matrix
of that rank comes nearer to it).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WEIGHTS, CONFIG, CARD = "adapter_model.safetensors", "adapter_config.json", "batchtrans.json"
_A, _B = "lora_A.weight", "lora_B.weight"  # rank x in and out x rank; their product times the scale is the change


def average(adapters: list[Path], shares: list[float], rank: int) -> tuple[dict[str, torch.Tensor], float]:
    """The factors of the averaged change of each layer, and the part of its squares that the rank leaves out."""
    opened = [load_file(adapter / WEIGHTS) for adapter in adapters]
    scales = [_scale(adapter) for adapter in adapters]
    factors: dict[str, torch.Tensor] = {}
    kept = whole = 0.0
    for name in (name.removesuffix(_A) for name in opened[0] if name.endswith(_A)):
        change = sum(
            share * scale * (weights[name + _B].float() @ weights[name + _A].float())
            for share, scale, weights in zip(shares, scales, opened, strict=True)
        )
        left, values, right = torch.linalg.svd(change, full_matrices=False)
        kept += values[:rank].square().sum().item()
        whole += values.square().sum().item()
        half = (values[:rank] / scales[0]).sqrt()  # each factor takes its half
        factors[name + _B] = (left[:, :rank] * half).half().contiguous()
        factors[name + _A] = (half[:, None] * right[:rank]).half().contiguous()
    return factors, 1 - kept / whole


def _scale(adapter: Path) -> float:
    config = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
    return float(config["lora_alpha"] / config["r"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapters", type=Path, nargs="+", help="directories of adapter.py, of one shape")
    parser.add_argument("--shares", type=float, nargs="+", required=True, help="how much each counts; together 1")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory to write")
    args = parser.parse_args()
    cards = [json.loads((adapter / CARD).read_text(encoding="utf-8")) for adapter in args.adapters]
    if len(args.shares) != len(cards) or abs(sum(args.shares) - 1) > 1e-6:
        parser.error("as many shares as adapters, which together are 1")
    if any(card[fact] != cards[0][fact] for card in cards for fact in ("base_fingerprint", "prompt_sha256", "lora")):
        parser.error("adapters of different bases, prompts or shapes")

    factors, lost = average(args.adapters, args.shares, cards[0]["lora"]["r"])
    shutil.copytree(args.adapters[0], args.output, dirs_exist_ok=True)
    save_file(factors, args.output / WEIGHTS, metadata={"format": "pt"})
    parts = [{"share": share, "training": card["training"]} for share, card in zip(args.shares, cards, strict=True)]
    card = {**cards[0], "training": {"average_of": parts, "squares_left_out": round(lost, 4)}}
    (args.output / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"average of {len(cards)} adapters; rank {card['lora']['r']} leaves out {lost:.1%} of the squares")


if __name__ == "__main__":
    main()
