"""``batchtrans train``: from files of translations to an adapter that was shown to be better, or refused.

The order: read, filter and split the pairs; train beside the base; write the adapter; translate what was held out with
it and with everything it would replace; pass judgement; put the directory in place, whole. What a killed or
interrupted training needs to go on stands in ``ADAPTER.training`` until then.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchtrans import BatchtransError, UsageError
from batchtrans.errors import OutputConflict
from batchtrans.glossary import Glossary, load_glossary
from batchtrans.report import Progress
from batchtrans.textio import sha256_file

from ..card import CARD, Adapter
from ..data.read import Pair
from ..evaluation.table import table
from ..load import Loaded, choose_device, choose_dtype, import_torch, load_to_train, read_tokenizer
from ..locate import Located, locate
from ..prompt import PROMPT, mask_count, prompt_hash, takes_terms
from . import checkpoint, result
from .prepare import Data, Job, read_data
from .recipe import Recipe
from .rows import Row, make_rows

if TYPE_CHECKING:
    from .loop import Fitted

#: Below so many pairs an adapter mostly learns format and style: a published study of Llama-3-8B on real translation
#: memories (arXiv 2409.03454) found it worse than its base after 1,000 and 2,000 pairs, and better from some 5,000 on.
FEW_PAIRS = 5_000
_INTERRUPTED = 130


def train_command(job: Job) -> int:
    """Do the job: 0 for an accepted adapter, 1 for a rejected one (which is written all the same, and says so), the
    code of the signal that ended it.

    :raises BatchtransError: where the input, the model or the machine does not allow it.
    """
    result.refuse_output(job.output, job.overwrite)
    try:
        import_torch()
        return _train(job)
    except KeyboardInterrupt:
        saved = checkpoint.exists(job.work)
        click.echo(f"interrupted{'; --resume goes on from the last checkpoint' if saved else ''}", err=True)
        return _INTERRUPTED


def _train(job: Job) -> int:
    from . import loop

    found = _locate(job)
    start = None if job.recipe.from_scratch else found.adapter
    template = _template(job, found, start)
    glossary = _glossary(job, template)
    _refuse_checkpoint(job, checkpoint.exists(job.work))
    data = read_data(job)
    device, dtype = _device(job)
    accelerator = loop.make_accelerator(device, dtype)
    if accelerator.num_processes > 1 and device != "cpu":  # each process has a device of its own
        device = str(accelerator.device)
    say = _Voice(accelerator.is_main_process)
    for note in (*found.notes, *data.notes, data.summary()):
        say(note)
    if len(data.train) < FEW_PAIRS:
        say(
            f"{len(data.train):,} pairs to train on: fewer than about {FEW_PAIRS:,} mostly tune format and style, "
            "and may teach little about the language"
        )
    loaded = _load(job, found, start, device)
    job = replace(job, recipe=_real_recipe(job.recipe, loaded))
    for note in _remarks(loaded, job.recipe, start):
        say(note)
    counts: Counter[str] = Counter()
    rows = _rows(loaded, job, data, template, counts, glossary)
    if glossary is not None:
        say(f"terms of the glossary in {sum(row.has_terms for row in rows):,} of {len(rows):,} rows")
    data.dropped.update(counts)
    for reason, count in counts.items():
        say(f"left out: {count} {reason}")
    training = loop.Training(
        loaded, rows, job.recipe, job.seed, accelerator, job.work,
        _dev_look(loaded, job, data.dev, template) if data.dev and job.recipe.evaluations else None,
        _identity(job, found, start, template, data),
    )  # fmt: skip
    if not job.resume and accelerator.is_main_process and job.work.exists():
        shutil.rmtree(job.work)
    try:
        fitted = training.fit(job.resume)
    except loop.Interrupted as stopped:
        say(f"interrupted: saved at step {stopped.step} of {training.total}; --resume goes on from there")
        return stopped.code
    if not accelerator.is_main_process:
        return 0
    say(f"trained {fitted.steps} steps in {fitted.seconds:.1f} s, {fitted.why_ended}; the adapter is that of step "
        f"{fitted.best_step}")  # fmt: skip
    return _conclude(job, found, start, template, data, loaded, fitted)


class _Voice:
    """Standard error, of the main process alone."""

    def __init__(self, is_main: bool) -> None:
        self._is_main = is_main

    def __call__(self, text: str) -> None:
        if self._is_main:
            click.echo(text, err=True)


# What is refused before any work


def _refuse_checkpoint(job: Job, exists: bool) -> None:
    if job.resume and not exists:
        raise UsageError(f"there is no training to go on with: {job.work} holds no checkpoint", "Leave out --resume.")
    if exists and not job.resume and not job.overwrite:
        raise OutputConflict(
            f"{job.work} holds a training that was not finished",
            "Go on with it by --resume, or begin anew with --overwrite.",
        )


def _device(job: Job) -> tuple[str, str]:
    """Device and type of the computation, as torch's names."""
    device = choose_device(job.settings.device)
    return str(device), str(choose_dtype(device, job.settings.dtype)).removeprefix("torch.")


# Prompt


def _locate(job: Job) -> Located:
    """The base, and the adapter to go on from and to replace.

    A prompt that is asked for is the new adapter's; what it would replace is asked with its own. Only a plain adapter
    does not say which that is, and takes the one of the file, as it does in a run.
    """
    found = locate(replace(job.settings, template=None), job.source_lang, job.target_lang)
    if job.settings.template is not None and found.adapter is not None and found.adapter.plain:
        found = locate(job.settings, job.source_lang, job.target_lang)
    return found


def _template(job: Job, found: Located, start: Adapter | None) -> str:
    """The prompt to train with: that of the adapter that is gone on from, the one asked for, or the standard one."""
    asked = chat_template(found.base, job.source_lang, job.target_lang) if job.chat else job.settings.template
    trained = start.prompt if start is not None else ""
    if asked is not None and trained and asked != trained:
        raise UsageError(
            f"the adapter to go on from, {start.directory if start else ''}, has a prompt of its own",
            "Leave out --prompt, or begin a new adapter with --from-scratch.",
        )
    return asked or trained or PROMPT


def _glossary(job: Job, template: str) -> Glossary | None:
    """The terms to train with, which need a place in the prompt."""
    if not job.glossary:
        return None
    if not takes_terms(template):
        raise UsageError(
            "the prompt has no line with {terms}, where a glossary's terms would stand",
            "Give a template with one by --prompt FILE, or leave out --glossary; docs/glossary.md shows one.",
        )
    return load_glossary(job.glossary, job.source_lang, job.target_lang)


def chat_template(base: Path, source_lang: str, target_lang: str) -> str:
    """A prompt template out of the tokenizer's chat template: the instruction as the user's turn, then the opening
    of the assistant's.

    :raises UsageError: for a tokenizer without one, or with one that takes no such turn.
    """
    from jinja2 import TemplateError

    tokenizer = read_tokenizer(base)
    if not getattr(tokenizer, "chat_template", None):
        raise UsageError(f"the tokenizer of {base} has no chat template", "Give a file with --prompt FILE.")
    instruction = "Translate the following text from {source_language} to {target_language}:\n{source}"
    turn = [{"role": "user", "content": instruction}]
    try:
        text = str(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
    except (TemplateError, TypeError, ValueError) as error:
        raise UsageError(
            f"the chat template of {base} cannot be used: {error}", "Give a file with --prompt FILE."
        ) from None
    if text.count("{source}") != 1:
        raise UsageError(f"the chat template of {base} does not hold the text exactly once")
    return text.rstrip(" ")


# Model and rows


def _load(job: Job, found: Located, start: Adapter | None, device: str) -> Loaded:
    settings = job.settings
    import torch

    torch.manual_seed(hash(job.seed) & 0x7FFF_FFFF)  # of a new adapter's weights
    quantisation = (start.quantisation if start is not None else "") or job.recipe.quantisation
    return load_to_train(found.base, start, job.recipe.lora(), quantisation, device, settings.dtype, settings.quant)


def _real_recipe(recipe: Recipe, loaded: Loaded) -> Recipe:
    """The recipe with what an adapter that is gone on from has decided already: its shape, its dropout, its base."""
    config = loaded.model.peft_config["default"]
    quantisation = "nf4" if loaded.weights == "nf4" else "none"
    return replace(recipe, r=config.r, alpha=config.lora_alpha, dropout=config.lora_dropout, quantisation=quantisation)


def _remarks(loaded: Loaded, recipe: Recipe, start: Adapter | None) -> Iterable[str]:
    yield from loaded.notes
    numbers = "rounded to 4 bits (NF4)" if loaded.weights == "nf4" else "as in the checkpoint"
    memory = "kept in 4 bits" if loaded.quant == "nf4" else f"held in {loaded.dtype}"
    yield f"base weights: {numbers}, {memory}; training on {loaded.device.type} in {loaded.dtype}"
    shape = f"rank {recipe.r}, alpha {recipe.alpha:g}, dropout {recipe.dropout:g}"
    yield f"going on from the adapter {start.directory} as it is: {shape}" if start else f"a new adapter: {shape}"


def _rows(
    loaded: Loaded, job: Job, data: Data, template: str, counts: Counter[str], glossary: Glossary | None
) -> list[Row]:
    languages = (job.source_lang, job.target_lang)
    masks = mask_count(loaded.tokenizer)
    rows = make_rows(loaded.tokenizer, data.train, languages, template, masks, loaded.context, counts, glossary)
    if not rows:
        raise UsageError(
            f"no pair fits into the model's context of {loaded.context} tokens", "Shorter texts, or another --base."
        )
    return rows


def _dev_look(loaded: Loaded, job: Job, dev: Sequence[Pair], template: str) -> Any:
    """How good the model is now: chrF++ of what it writes for the dev split, what it writes too much included."""
    from ..evaluation.decoding import decode_texts
    from ..evaluation.metrics import chrf_of
    from .loop import Look

    references = [pair.target for pair in dev]

    def look() -> Look:
        answers = decode_texts(loaded, template, job.source_lang, job.target_lang, dev,
                               length_cap=job.settings.length_cap, guards=True)  # fmt: skip
        score = chrf_of([answer.raw for answer in answers], references)
        stops = [stop for answer in answers for stop in answer.stops]
        return Look(
            score, {"chrF++": round(score, 2), "EOS %": round(100 * stops.count("eos") / max(1, len(stops)), 1)}
        )

    return look


def _identity(job: Job, found: Located, start: Adapter | None, template: str, data: Data) -> dict[str, Any]:
    """What must be the same for a training to be gone on with."""
    return {
        "recipe": job.recipe.to_json(),
        "seed": job.seed,
        "base": found.base_fingerprint,
        "adapter": start.sha256() if start is not None else None,
        "prompt": prompt_hash(template),
        "pairs": data.sha256(),
        **({"glossary": [sha256_file(path) for path in job.glossary]} if job.glossary else {}),
    }


# The end


def _conclude(
    job: Job,
    found: Located,
    start: Adapter | None,
    template: str,
    data: Data,
    loaded: Loaded,
    fitted: Fitted,
) -> int:
    """Write the adapter, judge it, put it in place; the exit code."""
    temporary = job.output.with_name(f".{job.output.name}.tmp")
    try:
        result.write_adapter(loaded, temporary, result.base_name(found))
        card = result.make_card(job, found, start, template, data, loaded, fitted)
        result.write_json(temporary / CARD, card)
        _release(loaded)
        comparison, outputs, verdict = result.assess(job, found, temporary, data, template, Progress())
        card |= {"scores": comparison.to_json(), **verdict.to_json()}
        result.write_json(temporary / CARD, card)
        result.write_pairs(temporary / result.TEST, data.test)
        shutil.copyfile(job.work / result.METRICS, temporary / result.METRICS)
        result.report(temporary / result.REPORT, job, data, card, comparison, outputs, verdict)
        result.put_in_place(temporary, job.output)
    except OSError as error:
        raise BatchtransError(
            f"{job.output} cannot be written: {error}", "Make room, then go on with --resume."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(job.work)
    click.echo(f"{table(comparison)}\n\n{verdict}")
    click.echo(f"{job.output}: adapter, scores and report.html", err=True)
    return 0 if verdict.accepted else 1


def _release(loaded: Loaded) -> None:
    """Give the memory back before other models are loaded for comparison."""
    import gc

    import torch

    loaded.model = None
    gc.collect()
    if loaded.device.type == "cuda":
        torch.cuda.empty_cache()
