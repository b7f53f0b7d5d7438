"""``batchtrans merge``: an adapter and its base as one 16-bit checkpoint, which every tool that reads LLaMA loads.

The base's numbers are those that the adapter was trained on (dequantised where they were 4-bit), the adapter is added
once, in float32, and the sum is rounded once. Whether that rounding costs anything is measured on the checkpoint as it
was written.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from batchtrans import BatchtransError, UsageError
from batchtrans.report import Progress

from ..card import CARD, read_adapter
from ..data.read import Pair, read_pairs
from ..evaluation.compare import compare
from ..evaluation.systems import ModelSystem, run_systems
from ..evaluation.table import table
from ..load import import_torch, load
from ..locate import Located, locate
from ..options import Flags, Settings
from ..prompt import prompt_hash
from . import result

#: A merged checkpoint whose chrF++ is lower by more than this is not written.
MOST_LOST = 0.5
_SHARD = "15MB"  # small shards travel anywhere; a tensor is never split, so a large one has a file of its own


@dataclass(frozen=True, slots=True)
class Job:
    """What the command line asks for."""

    adapter: str
    output: Path
    base: str | None = None
    dtype: str = "bfloat16"
    test: str | None = None
    device: str | None = None
    overwrite: bool = False


def merge_command(job: Job) -> int:
    """Do the job: 0 where the checkpoint was written, 1 where it lost too much.

    :raises BatchtransError: where the adapter, its base or the test set cannot be used.
    """
    result.refuse_output(job.output, job.overwrite)
    import_torch()
    flags = Flags("--base", "")
    settings = Settings(model=job.base or "", adapter=job.adapter, device=job.device or "auto", flags=flags)
    languages = _languages(job.adapter)
    found = locate(settings, *languages)
    pairs = _test_pairs(job, found, languages)
    for note in found.notes:
        click.echo(note, err=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{job.output.name}.", suffix=".tmp", dir=job.output.resolve().parent))
    try:
        write_checkpoint(found, temporary, job.dtype, settings.device, languages)
        merged = replace(found, name=job.output.name, base=temporary, adapter=None, notes=[])
        systems = [ModelSystem("adapter", found), ModelSystem("merged", merged)]
        outputs = run_systems(systems, pairs, *languages, settings, Progress())
        comparison = compare(pairs, outputs, *languages)
        click.echo(table(comparison))
        lost = -comparison.difference("merged", "chrF++").delta
        if lost > MOST_LOST:
            click.echo(
                f"batchtrans: the merged checkpoint loses {lost:.2f} chrF++, more than {MOST_LOST}: it is not written\n"
                "  Use the adapter as it is, or try another --dtype.",
                err=True,
            )
            return 1
        temporary.chmod(0o755)
        result.put_in_place(temporary, job.output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    click.echo(f"{job.output}: merged in {job.dtype}, chrF++ {-lost:+.2f}", err=True)
    return 0


def _languages(adapter: str) -> tuple[str, str]:
    """The pair of an adapter that is here; a hub's adapter and a plain one say none."""
    directory = Path(adapter).expanduser()
    if not directory.is_dir():
        raise UsageError(f"there is no directory {adapter}", "An adapter to merge must be on this machine.")
    card = read_adapter(directory)
    if card.plain:
        raise UsageError(
            f"{adapter} has no {CARD}, which says on which weights and with which prompt it was trained",
            "Merge it with peft where you know that.",
        )
    return card.source_lang, card.target_lang


def _test_pairs(job: Job, found: Located, languages: tuple[str, str]) -> Sequence[Pair]:
    assert found.adapter is not None
    own = found.adapter.directory / result.TEST
    if job.test is None and not own.is_file():
        raise UsageError(
            f"{job.adapter} does not hold the pairs that it was judged by",
            "Give pairs to evaluate by with --test FILE.",
        )
    counts: Counter[str] = Counter()
    return list(read_pairs([job.test or str(own)], *languages, counts=counts))


def write_checkpoint(found: Located, directory: Path, dtype: str, device: str, languages: tuple[str, str]) -> None:
    """Write the merged weights, the tokenizer and a ``batchtrans.json`` with the prompt.

    :raises BatchtransError: where they cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import GenerationConfig

    loaded = load(found.base, found.adapter, device, "float32", "none")
    model: Any = loaded.model.to(getattr(torch, dtype))
    model.config.dtype = getattr(torch, dtype)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.generation_config = GenerationConfig(
        bos_token_id=loaded.tokenizer.bos_token_id, eos_token_id=sorted(loaded.eos_ids), pad_token_id=loaded.pad_id
    )
    try:
        # As it is in memory: undoing what loading did to the names would ask bitsandbytes to quantise again.
        model.save_pretrained(directory, max_shard_size=_SHARD, save_original_format=False)
        loaded.tokenizer.save_pretrained(directory)
        result.usual_permissions(directory)
    except (OSError, SafetensorError) as error:
        raise BatchtransError(f"{directory}: the checkpoint cannot be written: {error}", "Make room.") from error
    assert found.adapter is not None
    card = {
        "schema": 1,
        "merged": {"base_fingerprint": found.base_fingerprint, "adapter": found.adapter.sha256(), "dtype": dtype},
        "prompt": found.template,
        "prompt_sha256": prompt_hash(found.template),
        "source_lang": languages[0],
        "target_lang": languages[1],
        "versions": result.versions(),
    }
    result.write_json(directory / CARD, card)
