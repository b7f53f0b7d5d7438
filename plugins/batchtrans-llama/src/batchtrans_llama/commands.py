"""The commands of this distribution: options in. What they do is imported when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from batchtrans import UsageError

from . import OPTIONS
from .options import Settings, assignments, parse

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

    job = Job(
        given["inputs"],
        given["source_lang"],
        given["target_lang"],
        backend_settings(given),
        given["against"],
        column_pair(given["columns"]),
        given["shots"],
        given["limit"] or 0,
        given["worst"],
        given["comet_cmd"],
        given["json_file"],
        given["html_file"],
    )
    click.get_current_context().exit(eval_command(job))


def backend_settings(given: dict[str, Any]) -> Settings:
    """The backend's settings from ``-O`` and the options that have flags of their own.

    :raises UsageError: for an option that there is not, or a value out of range.
    """
    flags = {"model": given["base"], "adapter": given["adapter"], "device": given["device"]}
    return parse({**assignments(given["assigned"], OPTIONS), **{name: value for name, value in flags.items() if value}})


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
