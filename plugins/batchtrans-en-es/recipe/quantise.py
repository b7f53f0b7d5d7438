"""Quantise the base to 4 bits as QLoRA does: NF4, double-quantised, in bitsandbytes' own checkpoint format."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from batchtrans_llama.fingerprint import fingerprint
from batchtrans_llama.load import keep_weights_as_stored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path, help="directory of base.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory to write")
    parser.add_argument("--shard", default="16MB", help="largest file of weights")
    args = parser.parse_args()

    model = AutoModelForCausalLM.from_pretrained(
        args.base,
        dtype=torch.float16,
        device_map={"": "cuda:0" if torch.cuda.is_available() else "cpu"},
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
    )
    layers = keep_weights_as_stored(model)
    model.save_pretrained(args.output, max_shard_size=args.shard)
    AutoTokenizer.from_pretrained(args.base).save_pretrained(args.output)
    size = sum(path.stat().st_size for path in args.output.glob("*.safetensors"))
    print(f"{layers} layers, {size / 2**20:.1f} MiB of weights, fingerprint {fingerprint(args.output)}")


if __name__ == "__main__":
    main()
