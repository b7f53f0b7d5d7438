"""Learn the tokenizer: byte-level BPE with Llama 3's pre-tokeniser, three special tokens and the mask characters."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

from rows import Pair, read_pairs
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from batchtrans_llama.prompt import MASKS

BOS, EOS, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>"
CONTEXT = 1024
#: The pre-tokeniser of Llama 3, so that what is true of one tokenizer at word borders is true of the other.
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _texts(pairs: list[Pair]) -> Iterator[str]:
    for pair in pairs:
        yield pair.english
        yield pair.spanish
        yield " " + pair.spanish  # as it stands after the prompt


def learn(pairs: list[Pair], vocabulary: int) -> Tokenizer:
    """A tokenizer of exactly ``vocabulary`` ids; the added tokens are the last ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 3 - len(MASKS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(pairs), trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (BOS, EOS, PAD)])
    tokenizer.add_tokens([AddedToken(mask, special=False, normalized=False) for mask in MASKS])
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS}:1 $B:1", special_tokens=[(BOS, bos)]
    )
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path, help="pairs file of data.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory to write")
    parser.add_argument("--vocabulary", type=int, default=12_288)
    parser.add_argument("--limit", type=int, default=600_000, help="pairs to learn from, drawn by weight")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    pairs = read_pairs(args.pairs)
    weights = [pair.weight for pair in pairs]
    sample = random.Random(args.seed).choices(pairs, weights, k=min(args.limit, len(pairs)))
    tokenizer = learn(sample, args.vocabulary)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    ).save_pretrained(args.output)
    print(f"{tokenizer.get_vocab_size()} tokens in {args.output}")


if __name__ == "__main__":
    main()
