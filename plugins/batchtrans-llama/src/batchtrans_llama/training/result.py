"""What a training leaves: the adapter, what it is worth, and the page that shows it.

A directory of an adapter holds ``adapter_model.safetensors`` and ``adapter_config.json`` as peft writes them,
``batchtrans.json`` (what it was trained on, its scores beside those of what it would replace, the verdict),
``metrics.jsonl``, ``test.jsonl`` (the segments it was judged by, which ``merge`` needs again) and ``report.html``. It
is put together under another name and appears whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchtrans import BatchtransError, UsageError, plugins
from batchtrans.errors import OutputConflict
from batchtrans.textio import sha256_file

from ..card import Adapter, read_adapter
from ..data.read import Pair
from ..evaluation.compare import Comparison, compare
from ..evaluation.diagram import Curve, Series
from ..evaluation.examples import side_by_side
from ..evaluation.output import Output
from ..evaluation.report import write_report
from ..evaluation.shots import choose_shots, few_shot_template
from ..evaluation.systems import ModelSystem, Progress, System, run_systems
from ..language import LanguageJudge
from ..load import Loaded
from ..locate import Located
from ..prompt import mask_count, prompt_hash
from .gate import Verdict, judge
from .prepare import Data, Job

if TYPE_CHECKING:
    from .loop import Fitted

METRICS, TEST, REPORT = "metrics.jsonl", "test.jsonl", "report.html"
NEW, INCUMBENT, BASE = "new", "adapter", "base"
_SHOTS = 5
_EXAMPLES = 20
_PACKAGES = (
    "batchtrans", "batchtrans-llama", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "tokenizers",
    "safetensors", "sacrebleu",
)  # fmt: skip


def refuse_output(output: Path, overwrite: bool) -> None:
    """Say what speaks against writing a directory of this name, before there is anything to write.

    :raises UsageError: where it cannot be written.
    :raises OutputConflict: where it is there already and must not be replaced.
    """
    if output.name in ("", ".."):
        raise UsageError(f"-o {output} is no name of a new directory", "Name one of its own.")
    if output.exists() and not overwrite:
        raise OutputConflict(
            f"{output} is there already", "Name another directory with -o, or replace it with --overwrite."
        )
    parent = output.resolve().parent
    if not parent.is_dir():
        raise UsageError(f"there is no directory {parent} to write {output.name} into")


def write_adapter(loaded: Loaded, directory: Path, base_name: str) -> None:
    """Write the adapter's weights and configuration in peft's own form, in float32.

    :raises BatchtransError: where they cannot be written.
    """
    from safetensors import SafetensorError

    shutil.rmtree(directory, ignore_errors=True)
    for config in loaded.model.peft_config.values():
        config.base_model_name_or_path = base_name
    try:
        loaded.model.save_pretrained(directory, save_embedding_layers=False)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise BatchtransError(
            f"{directory}: the adapter cannot be written: {error}", "Make room, then go on with --resume."
        ) from error
    (directory / "README.md").unlink(missing_ok=True)  # peft's template of a model card, with nothing filled in
    usual_permissions(directory)


def usual_permissions(directory: Path) -> None:
    """Give the files the permissions that the umask allows: safetensors makes them readable for their owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    for path in directory.iterdir():
        path.chmod(0o666 & ~mask)


def base_name(found: Located) -> str:
    """How the adapter names its base: by path or hub id, the embedded one by its pair, since it has no fixed place."""
    embedded = plugins.registry().models.get(found.name)
    if embedded is not None and found.base == Path(plugins.resolve(embedded)()) / "base":
        return f"batchtrans/{found.name}-base"
    path = Path(found.name).expanduser()
    return str(path.resolve()) if path.is_dir() else found.name


def make_card(
    job: Job, found: Located, start: Adapter | None, template: str, data: Data, loaded: Loaded, fitted: Fitted
) -> dict[str, Any]:
    """What stands in batchtrans.json, but for scores and verdict."""
    return {
        "schema": 1,
        "base_fingerprint": found.base_fingerprint,
        "quantisation": "nf4" if loaded.weights == "nf4" else "none",
        "prompt": template,
        "prompt_sha256": prompt_hash(template),
        "source_lang": job.source_lang,
        "target_lang": job.target_lang,
        "masks": mask_count(loaded.tokenizer),
        "recipe": job.recipe.to_json(),
        "seed": job.seed,
        "went_on_from": start.sha256() if start is not None else None,
        "data": {
            "files": dict(data.files),
            "pairs": {"read": data.read, "train": len(data.train), "dev": len(data.dev), "test": len(data.test)},
            "left_out": dict(data.dropped),
            "sha256": data.sha256(),
            **({"glossary": {str(path): sha256_file(path) for path in job.glossary}} if job.glossary else {}),
        },
        "training": {
            "steps": fitted.steps,
            "best_step": fitted.best_step,
            "ended": fitted.why_ended,
            "seconds": round(fitted.seconds, 1),
            "tokens": fitted.tokens,
            "peak_bytes": fitted.peak_bytes,
            "dtype": loaded.dtype,
            "memory": loaded.quant,
        },
        "device": device_name(loaded),
        "versions": versions(),
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def device_name(loaded: Loaded) -> str:
    if loaded.device.type != "cuda":
        return "cpu"
    import torch

    return str(torch.cuda.get_device_name(loaded.device))


def versions() -> dict[str, str]:
    """The versions of the packages that decide the numbers."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout
            continue
    return found


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Pairs as JSON Lines that ``eval`` and ``merge`` read."""
    with path.open("w", encoding="utf-8") as file:
        for pair in pairs:
            record: dict[str, Any] = {"source": pair.source, "target": pair.target}
            record |= {"context": pair.context} if pair.context else {}
            record |= {"document": pair.document} if pair.document else {}
            record |= {"flags": sorted(pair.flags)} if pair.flags else {}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def assess(
    job: Job, found: Located, adapter: Path, data: Data, template: str, progress: Progress
) -> tuple[Comparison, list[Output], Verdict]:
    """The new adapter against everything that it would replace, on the test split, and the verdict."""
    bare = replace(found, adapter=None, notes=[])
    systems: list[System] = [
        ModelSystem(NEW, replace(found, adapter=read_adapter(adapter), template=template, notes=[]))
    ]
    if found.adapter is not None:
        systems.append(ModelSystem(INCUMBENT, found))
    systems.append(ModelSystem(BASE, bare))
    without: tuple[tuple[bool, str], ...] = ()
    try:
        systems.append(_few_shot(job, bare, data))
    except UsageError as error:
        without = ((True, f"the base is not asked with examples: {error.what}"),)
    settings = replace(job.settings, engine="hf")  # the verdict does not depend on what else is installed
    outputs = run_systems(systems, data.test, job.source_lang, job.target_lang, settings, progress)
    judge_language = LanguageJudge(job.source_lang, job.target_lang)
    comparison = compare(
        data.test, outputs, job.source_lang, job.target_lang, overlap={}, looks_foreign=judge_language.looks_foreign
    )
    rivals = [output.name for output in outputs[1:]]
    verdict = judge(comparison, NEW, rivals, INCUMBENT if found.adapter is not None else None)
    return comparison, outputs, replace(verdict, reasons=(*verdict.reasons, *without))


def _few_shot(job: Job, bare: Located, data: Data) -> ModelSystem:
    """The base with some of the training pairs as examples before each text.

    :raises UsageError: where too few of them can be one.
    """
    pairs = [(pair.source, pair.target) for pair in data.train]
    shots = choose_shots(pairs, _SHOTS, [pair.source for pair in data.test])
    template = few_shot_template(bare.template, shots, job.source_lang, job.target_lang)
    return ModelSystem(f"{BASE}-{_SHOTS}shot", replace(bare, template=template), tuple(shots))


def report(
    path: Path,
    job: Job,
    data: Data,
    card: Mapping[str, Any],
    comparison: Comparison,
    outputs: Sequence[Output],
    verdict: Verdict,
) -> None:
    """The page: verdict, scores before and after, curves, twenty segments side by side, and where all came from."""
    facts = {
        "Pairs": {**card["data"]["pairs"], **{f"left out: {why}": n for why, n in data.dropped.most_common()}},
        "Recipe": card["recipe"],
        "Training": card["training"],
        "Versions": {"device": card["device"], **card["versions"]},
    }
    write_report(
        path,
        f"Adapter {job.output.name}: {job.source_lang} to {job.target_lang}",
        comparison=comparison,
        curves=curves(job.work / METRICS),
        examples=side_by_side(data.test, [*outputs[1:], outputs[0]], _EXAMPLES),
        facts=facts,
        verdict=verdict,
    )


def curves(metrics: Path) -> list[Curve]:
    """The loss and the dev scores over the steps, from metrics.jsonl."""
    loss: list[tuple[float, float]] = []
    dev: dict[str, list[tuple[float, float]]] = {}
    for line in metrics.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if "loss" in record:
            loss.append((record["step"], record["loss"]))
        for name, value in record.get("dev", {}).items():
            dev.setdefault(name, []).append((record["step"], value))
    found = [Curve("Loss of the training rows", "step", [Series("loss", loss)])]
    return [*found, *(Curve(f"Dev split: {name}", "step", [Series(name, points)]) for name, points in dev.items())]


def put_in_place(temporary: Path, output: Path) -> None:
    """Give the finished directory its name; one that is there already is kept as ``NAME~``."""
    if output.exists():
        old = output.with_name(output.name + "~")
        shutil.rmtree(old, ignore_errors=True)
        output.rename(old)
    temporary.rename(output)
