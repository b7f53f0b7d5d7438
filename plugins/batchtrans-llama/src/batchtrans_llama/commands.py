"""The commands of this distribution: options in. What they do is imported when they are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from batchtrans import UsageError

from . import OPTIONS
from .load import require
from .options import Flags, Settings, assignments, parse

_FILE = click.Path(path_type=Path)


@click.command("eval")
@click.argument("inputs", nargs=-1, required=True, metavar="PAIRS...")
@click.option("--from", "source_lang", default="en", show_default=True, metavar="LANG", help="Language of the sources.")
@click.option("--to", "target_lang", required=True, metavar="LANG", help="Language of the translations.")
@click.option("--against", multiple=True, metavar="LIST",
              help="What to measure: base, base-5shot, adapter, a directory, file:PATH, cmd:COMMAND; by commas, "
                   "repeatable; the first is what the others are compared with. Default: base,adapter.")  # fmt: skip
@click.option("--base", metavar="ID|DIR", help="Base model; default: the installed one for the languages.")
@click.option("--adapter", metavar="DIR", help="QLoRA adapter; default: the one that comes with the model.")
@click.option("--device", metavar="D", help="cpu, cuda, cuda:1; default: the best there is.")
@click.option("-O", "assigned", multiple=True, metavar="KEY=VALUE", help="Option of the llama backend.")
@click.option("--columns", metavar="SOURCE,TARGET", help="Columns of a table, by name or by number from 1.")
@click.option("--shots", metavar="FILE", help="Pairs that base-5shot may take examples from.")
@click.option("--mixed", is_flag=True, help="Decode the adapters of one base together, in batches with rows of all.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N pairs.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write numbers and translations to a file.")
@click.option("--html", "html_file", type=_FILE, metavar="FILE", help="Write a page with all of it.")
@click.option("--worst", type=click.IntRange(min=0), default=0, metavar="N", help="Print the N worst segments of each.")
@click.option("--comet-cmd", metavar="COMMAND", help="Command with {source}, {target}, {reference} that prints COMET.")
def evaluate(**given: Any) -> None:
    """Translate the sources of PAIRS by several systems and measure what they write.

    PAIRS are files with translations by people: tables, catalogues, TMX, XLIFF, JSON Lines, alignment logs. The table
    goes to standard output: scores with confidence intervals, where each model stops, what is wrong with its texts,
    and whether a difference could be chance.
    """
    from .evaluation.run_eval import Job, eval_command

    require("sacrebleu")
    job = Job(
        given["inputs"],
        given["source_lang"],
        given["target_lang"],
        backend_settings(given, assignments(given["assigned"], OPTIONS)),
        given["against"],
        column_pair(given["columns"]),
        given["shots"],
        given["limit"] or 0,
        given["worst"],
        given["comet_cmd"],
        given["json_file"],
        given["html_file"],
        given["mixed"],
    )
    click.get_current_context().exit(eval_command(job))


@click.command("train")
@click.argument("inputs", nargs=-1, required=True, metavar="PAIRS...")
@click.option("--from", "source_lang", default="en", show_default=True, metavar="LANG", help="Language of the sources.")
@click.option("--to", "target_lang", required=True, metavar="LANG", help="Language of the translations.")
@click.option("-o", "--output", type=_FILE, required=True, metavar="ADAPTER", help="Directory to write.")
@click.option("--base", metavar="ID|DIR", help="Base model; default: the installed one for the languages.")
@click.option("--adapter", metavar="DIR|none",
              help="Adapter to go on from and to replace; default: the one that comes with the model.")  # fmt: skip
@click.option("--from-scratch", is_flag=True, help="Begin a new adapter; it must still be better than the present one.")
@click.option("--recipe", type=click.Choice(["default", "seed"]), default="default", show_default=True,
              help="How to train; docs/training.md has both.")  # fmt: skip
@click.option("--prompt", metavar="FILE|chat",
              help="Template to train with, or chat for the tokenizer's own; stored with the adapter.")  # fmt: skip
@click.option("--glossary", type=_FILE, multiple=True, metavar="FILE",
              help="Terms for a prompt with {terms}, named where the translation has them; repeatable.")  # fmt: skip
@click.option("--columns", metavar="SOURCE,TARGET", help="Columns of a table, by name or by number from 1.")
@click.option("--dev", default="", metavar="N|FILE", help="Pairs to choose by; default: a tenth, at most 200.")
@click.option("--test", default="", metavar="N|FILE", help="Pairs to judge by; default: a fifth, at most 500.")
@click.option("--device", metavar="D", help="cpu, cuda, cuda:1; default: the best there is.")
@click.option("-O", "assigned", multiple=True, metavar="KEY=VALUE", help="A value of the recipe, or of the backend.")
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="Decides splits, order and dropout.")
@click.option("--resume", is_flag=True, help="Go on with a training that was interrupted or killed.")
@click.option("--overwrite", is_flag=True, help="Replace an adapter of that name (kept as NAME~); begin anew.")
@click.option("--force", is_flag=True,
              help="Go on with pairs that seem to be in another language, an adapter for another base.")  # fmt: skip
def train(**given: Any) -> None:
    """Train an adapter on your own translations, and accept it only if it translates better.

    PAIRS are catalogues, TMX, XLIFF, tables, JSON Lines, Parquet, alignment logs, directories of them, or a data set
    with the columns of OPUS Books. What is held out of them is translated with the new adapter and with everything it
    would replace; ADAPTER gets the verdict, the scores, and a page that shows them. Exits 1 on REJECT.
    """
    from .training.prepare import Job
    from .training.recipe import RECIPES, option_names, with_options
    from .training.train import train_command

    require("torch", "sacrebleu")
    recipe_options = dict.fromkeys(option_names(), "")
    values = assignments(given["assigned"], {**OPTIONS, **recipe_options})
    changes = {name: value for name, value in values.items() if name in recipe_options}
    changes |= {"from-scratch": "yes"} if given["from_scratch"] else {}
    chat = given["prompt"] == "chat"
    others = {name: value for name, value in values.items() if name not in recipe_options}
    others |= {"prompt": given["prompt"]} if given["prompt"] and not chat else {}
    others |= {"force": "yes"} if given["force"] else {}
    job = Job(
        given["inputs"],
        given["source_lang"],
        given["target_lang"],
        given["output"],
        backend_settings(given, others),
        with_options(RECIPES[given["recipe"]], changes),
        column_pair(given["columns"]),
        given["dev"],
        given["test"],
        chat,
        given["seed"],
        given["resume"],
        given["overwrite"],
        given["force"],
        given["glossary"],
    )
    click.get_current_context().exit(train_command(job))


@click.command("merge")
@click.argument("adapter", metavar="ADAPTER")
@click.option("-o", "--output", type=_FILE, required=True, metavar="DIR", help="Directory to write.")
@click.option("--base", metavar="ID|DIR", help="Base model; default: the one that the adapter names.")
@click.option("--dtype", type=click.Choice(["bfloat16", "float16"]), default="bfloat16", show_default=True,
              help="Type of the merged weights.")  # fmt: skip
@click.option("--test", metavar="FILE", help="Pairs to evaluate by; default: those that the adapter was judged by.")
@click.option("--device", metavar="D", help="cpu, cuda, cuda:1; default: the best there is.")
@click.option("--overwrite", is_flag=True, help="Replace a directory of that name (kept as NAME~).")
def merge(**given: Any) -> None:
    """Merge ADAPTER into its base: a 16-bit checkpoint that transformers and other tools load without peft.

    It is evaluated beside the adapter, and not written where chrF++ drops by more than 0.5.
    """
    from .training.merge import Job, merge_command

    require("torch", "sacrebleu")
    click.get_current_context().exit(merge_command(Job(**given)))


def backend_settings(given: Mapping[str, Any], values: Mapping[str, str]) -> Settings:
    """The backend's settings from the ``values`` of ``-O`` and the options that have flags of their own.

    :raises UsageError: for a value out of range.
    """
    own = {"model": given["base"], "adapter": given["adapter"], "device": given["device"]}
    settings = parse({**values, **{name: value for name, value in own.items() if value}})
    return replace(settings, flags=Flags("--base", "--force" if "force" in given else "-O force=yes"))


def column_pair(text: str | None) -> tuple[str, str] | None:
    """The two columns of ``--columns``.

    :raises UsageError: for more or fewer than two.
    """
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != 2 or not all(names):
        raise UsageError(f"--columns takes the column of the sources and that of the targets, not {text!r}")
    return names[0], names[1]
