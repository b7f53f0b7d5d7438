"""LLaMA models with QLoRA adapters as a batchtrans backend: what this distribution declares, and nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from batchtrans import Declared, hookimpl

#: What ``-O`` takes, for the backend and the commands alike.
OPTIONS = {
    "model": "hub id or directory of the base model (default: the embedded one for the language pair)",
    "adapter": "directory or hub id of a LoRA adapter; none leaves out the one that comes with the model",
    "device": "auto, cpu, cuda or cuda:N",
    "dtype": "auto, float32, bfloat16 or float16: what the model computes in",
    "quant": "auto, nf4 or none: whether weights stay 4-bit in memory; the adapter says which numbers they have",
    "engine": "auto, hf, graph or ct2: how tokens are decoded; auto takes graph on CUDA, ct2 (or else hf) on CPU",
    "attention": "auto, sdpa or triton: how the engine graph computes attention",
    "compile": "auto, yes or no: whether the engine graph has torch compile the layers; auto does not",
    "eos": "on or off: whether an answer ends by itself; off, for measurements, runs each to its length cap",
    "own-process": "auto, yes or no: whether the model has a process for itself; auto gives one to graph on CUDA",
    "max-batch": "most segments decoded together",
    "revision": "branch, tag or commit of a hub model",
    "local-only": "yes or no: never ask the hub, use what is on this machine",
    "length-cap": "most tokens of a translation, A+B*n for n source tokens (default 16+2.2*n)",
    "prompt": "file with the prompt template of a plain adapter, with {source} in it",
    "force": "yes or no: go on with an adapter that was made for another base",
}


@hookimpl
def batchtrans_backends() -> Iterable[Declared]:
    return [
        Declared(
            "llama",
            "batchtrans_llama.backend:LlamaBackend",
            "LLaMA with a QLoRA adapter, on CPU or CUDA",
            OPTIONS,
        )
    ]


@hookimpl
def batchtrans_commands() -> Iterable[Declared]:
    return [
        Declared("train", "batchtrans_llama.commands:train", "Train an adapter on your own translations."),
        Declared("merge", "batchtrans_llama.commands:merge", "Merge an adapter into its base, as a checkpoint."),
        Declared("eval", "batchtrans_llama.commands:evaluate", "Measure models and other translators on a test set."),
    ]
