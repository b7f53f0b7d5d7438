"""The recipe: every number that decides what an adapter becomes, in one place.

Two recipes are named. ``seed`` is the setting that the project began with, to the letter where one is on record; what
is not is a default of transformers' or a value of QLoRA's own script. ``default`` is ours. ``docs/training.md`` has a
table of both with the source of each value, and a test compares it with this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from batchtrans import UsageError

#: The seven linear layers of a LLaMA block; embeddings and output head stay as they are, and tied.
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
#: The width that ``rate`` is said for; see :meth:`Recipe.learning_rate`.
_RATE_WIDTH = 2048


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an adapter is trained; each field can be given as ``-O NAME=VALUE`` with dashes for underscores."""

    name: str = "default"
    r: int = 16  #: rank of the adapter
    alpha: int = 32  #: the adapter's output is scaled by alpha / r
    dropout: float = 0.05  #: share of the adapter's inputs that is left out
    quantisation: str = "nf4"  #: which numbers the base has meanwhile: nf4 or none
    pairs: int = 0  #: most training pairs, drawn at random; 0 takes all
    epochs: float = 3.0  #: passes over the pairs, at most
    steps: int = 0  #: optimiser steps at most; 0 leaves it to the epochs
    batch: int = 32  #: rows in an optimiser step
    micro_tokens: int = 1024  #: padded tokens that go through the model at once, about; a step is cut accordingly
    bucketed: bool = True  #: rows of like length in one step, which saves padding
    rate: float = 2e-4  #: learning rate for a model of width 2048
    scaled_rate: bool = True  #: whether narrower models take a higher rate, in proportion
    schedule: str = "cosine"  #: cosine or linear, down to zero, or constant
    warmup: float = 0.05  #: share of the steps over which the rate rises
    clip: float = 1.0  #: most of the gradient's norm; 0 for no bound
    weight_decay: float = 0.0
    evaluations: float = 1.0  #: looks at the dev split in each epoch; 0 for none
    patience: int = 2  #: looks without gain after which training ends; 0 goes on to the end
    checkpoint: int = 200  #: steps between two checkpoints
    checkpointing: bool = False  #: compute activations twice instead of keeping them
    graphs: bool = True  #: replay steps as CUDA graphs, where there is one process and a CUDA device
    from_scratch: bool = False  #: begin a new adapter even where there is one to go on from

    def learning_rate(self, width: int) -> float:
        """The highest rate for a model of hidden size ``width``.

        A LoRA update of a layer moves its output in proportion to the layer's width, so narrow models take larger
        steps: the rate grows as 2048 / width, up to eight times. For 576 that is 7e-4; 2e-3 was used for the embedded
        model's own adapter, in batches of 49,152 tokens.
        """
        return self.rate * min(8.0, max(1.0, _RATE_WIDTH / width)) if self.scaled_rate else self.rate

    def lora(self) -> dict[str, Any]:
        """Arguments of peft's ``LoraConfig``. From rank 32 on the scale is alpha / sqrt(r) (rsLoRA), without which
        higher ranks learn no more than low ones."""
        return {
            "r": self.r,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "target_modules": list(PROJECTIONS),
            "use_rslora": self.r >= 32,
        }

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


DEFAULT = Recipe()
SEED = Recipe(
    name="seed",
    pairs=1000,
    epochs=2.0,
    batch=4,
    bucketed=False,
    scaled_rate=False,
    schedule="linear",
    warmup=0.0,
    clip=0.3,
    patience=0,
    from_scratch=True,
)
RECIPES = {recipe.name: recipe for recipe in (DEFAULT, SEED)}
_CHOICES = {"quantisation": ("nf4", "none"), "schedule": ("cosine", "linear", "constant")}
_FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_MOST = 1e30  #: a greater rate overflows inside the optimiser, before any loss can show that it is too great
_FROM_ONE = ("r", "alpha", "batch", "micro_tokens", "checkpoint")


def option_names() -> dict[str, str]:
    """The fields that can be given, by option name."""
    return {field.name.replace("_", "-"): field.name for field in fields(Recipe) if field.name != "name"}


def with_options(recipe: Recipe, options: Mapping[str, str]) -> Recipe:
    """The recipe with some of its fields replaced, from the words of the command line.

    :raises UsageError: for a value that a field cannot have.
    """
    names = option_names()
    changes = {names[option]: _value(recipe, names[option], option, text) for option, text in options.items()}
    return replace(recipe, **changes)


def _value(recipe: Recipe, name: str, option: str, text: str) -> Any:
    present = getattr(recipe, name)
    if name in _CHOICES:
        return _one_of(option, text, _CHOICES[name])
    if isinstance(present, bool):
        return _FLAGS[_one_of(option, text.lower(), _FLAGS)]
    kind = int if isinstance(present, int) else float
    try:
        value = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"the option {option} cannot be {text!r}", f"It takes {what}.") from None
    least = 1 if name in _FROM_ONE else 0
    if not least <= value <= _MOST or (name in ("dropout", "warmup") and value >= 1):
        bound = "from 0 to under 1" if name in ("dropout", "warmup") else f"from {least} to {_MOST:g}"
        raise UsageError(f"the option {option} cannot be {text}", f"It takes a number {bound}.")
    return value


def _one_of(option: str, text: str, allowed: Iterable[str]) -> str:
    if text not in allowed:
        raise UsageError(f"the option {option} cannot be {text!r}", f"It may be {', '.join(allowed)}.")
    return text
