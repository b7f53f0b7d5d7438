"""The command line: options in, errors and exit codes out. What the commands do stands in other modules."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import click

from . import __version__
from .errors import BatchtransError, Stopped, Terminated


class _Group(click.Group):
    """Subcommands from the ``batchtrans_commands`` hook; one is imported when it is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        from .plugins import registry

        return list(registry().commands)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        from .plugins import registry, resolve

        declared = registry().commands.get(name)
        if declared is None:
            return None
        command = resolve(declared)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        from .plugins import registry

        with formatter.section("Commands"):
            formatter.write_dl([(name, declared.summary) for name, declared in registry().commands.items()])


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="batchtrans")
def group() -> None:
    """Translate files in bulk on this machine, and change nothing else in them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code of ``batchtrans.errors``, 130 if interrupted, 143 if terminated."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        code = group.main(arguments, prog_name="batchtrans", standalone_mode=False)
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("batchtrans: interrupted", err=True)
        code = 130
    except Terminated:
        click.echo("batchtrans: terminated", err=True)
        code = 143
    except Stopped as end:
        click.echo(f"batchtrans: {end}", err=True)
        code = end.exit_code
    except BatchtransError as error:
        _complain(error)
        code = error.exit_code
    except BrokenPipeError:
        code = 1
    except OSError as error:
        click.echo(f"batchtrans: error: {_os_message(error)}", err=True)
        code = 1
    _drop_what_stdout_refuses()
    return code if isinstance(code, int) else 0


def _drop_what_stdout_refuses() -> None:
    """Else Python tries once more when it ends, complains, and exits with 120 whatever was said before."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(error: BatchtransError) -> None:
    click.echo(f"batchtrans: error: {error}", err=True)


def _os_message(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--to", "target_lang", required=True, metavar="LANG", help="Language to translate into: es, pt_BR.")
@click.option("--from", "source_lang", default="en", show_default=True, metavar="LANG", help="Language of the input.")
@click.option("-o", "--output", metavar="FILE|DIR|-", help="Where to write; default: input.es.po beside input.po.")
@click.option("--log", type=_PATH, metavar="FILE", help="Alignment log; default: OUTPUT.align.jsonl.")
@click.option("--format", "format_name", metavar="NAME", help="File format; default: by the file's ending.")
@click.option("--backend", "backend_name", metavar="NAME", help="What translates; default: llama.")
@click.option("--model", metavar="ID|DIR", help="Base model; default: the installed one for the languages.")
@click.option("--adapter", metavar="DIR", help="QLoRA adapter for the base model.")
@click.option("--device", metavar="D", help="cpu, cuda, cuda:1; default: the best there is.")
@click.option("-O", "assignments", multiple=True, metavar="KEY=VALUE", help="Option of the format or backend.")
@click.option("--column", "columns", multiple=True, metavar="NAME|INDEX", help="CSV column to translate; repeatable.")
@click.option("--into", metavar="append|replace|COLUMN", help="Where a CSV translation goes; default: append.")
@click.option("--unit", type=click.Choice(["line", "paragraph"]), help="What is one text in a .txt; default: line.")
@click.option("--redo", type=click.Choice(["new", "fuzzy", "all"]), default="new", show_default=True,
              help="Which catalogue entries to translate: untranslated ones, fuzzy ones too, or all.")  # fmt: skip
@click.option("--mark", type=click.Choice(["low", "all", "none"]), default="low", show_default=True,
              help="Which translations to mark fuzzy: doubtful ones, all, none.")  # fmt: skip
@click.option("--max-error", "max_error", metavar="PERCENT",
              help="With --mark low: mark so many that at most this share of the others is wrong, as 2%.")  # fmt: skip
@click.option("--memory", type=_PATH, multiple=True, metavar="FILE",
              help="Known translations for equal source and context (log, .po, .tmx, .xliff, .csv, .jsonl); "
              "repeatable.")  # fmt: skip
@click.option("--glossary", type=_PATH, multiple=True, metavar="FILE",
              help="Terms and their translations (.csv, .tsv, .tbx), terms that stay (.txt); repeatable.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be translated, how long it takes; write nothing.")
@click.option("--fresh", is_flag=True, help="Begin a new log and translate everything again.")
@click.option("--overwrite", is_flag=True, help="Replace an output that was edited or is not ours.")
@click.option("--in-place", is_flag=True, help="Replace the input itself; it is kept as NAME~.")
@click.option("--force", is_flag=True, help="Go on where the file's language contradicts --to.")
def run(**given: Any) -> None:
    """Translate files. INPUT is a file, a directory, a glob, or - for standard input.

    Writes each translation beside its input, with an alignment log beside that. The same command again goes on where
    a killed run stopped, and translates only what is new.
    """
    from .running import run_command

    sys_exit(run_command(given))


def sys_exit(code: int) -> None:
    """Leave the current command with this exit code."""
    click.get_current_context().exit(code)


@click.command()
@click.argument("log", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("-o", "--output", type=_PATH, metavar="FILE", help="Where to write; default: where the run wrote.")
@click.option("--input", "source", type=_PATH, metavar="FILE", help="The run's input, if it was moved.")
@click.option("--overwrite", is_flag=True, help="Replace an output that was edited or is not ours.")
def replay(log: Path, output: Path | None, source: Path | None, overwrite: bool) -> None:
    """Write an output again from its alignment LOG, without a model."""
    from .running import replay_command

    sys_exit(replay_command(log, output, source, overwrite))


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
                metavar="FILE...")  # fmt: skip
@click.option("--to", "target_lang", metavar="LANG", help="Language of the translations, where a file does not say it.")
@click.option("--from", "source_lang", default="en", show_default=True, metavar="LANG", help="Language of the sources.")
@click.option("--format", "format_name", metavar="NAME", help="File format; default: by the file's ending.")
@click.option("-O", "assignments", multiple=True, metavar="KEY=VALUE", help="Option of the format.")
@click.option("--column", "columns", multiple=True, metavar="NAME|INDEX",
              help="Column of the sources; default: source, or the language's code.")  # fmt: skip
@click.option("--into", metavar="COLUMN", help="Column of the translations; default: target, the code, or NAME_es.")
@click.option("--only", multiple=True, metavar="CHECK", help="Make this check alone; repeatable, or by commas.")
@click.option("--skip", multiple=True, metavar="CHECK", help="Leave this check out; repeatable, or by commas.")
@click.option("--severity", type=click.Choice(["error", "warning"]), default="warning", show_default=True,
              help="Report what is at least so bad.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option("--fuzzy", is_flag=True, help="Judge fuzzy entries too.")
@click.option("--untranslated", is_flag=True, help="Report untranslated entries.")
@click.option("--glossary", type=_PATH, multiple=True, metavar="FILE",
              help="Terms and their translations (.csv, .tsv, .tbx), terms that stay (.txt); repeatable.")  # fmt: skip
@click.option("--output-format", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True,
              help="How findings are written.")  # fmt: skip
@click.option("-o", "--output", type=_PATH, metavar="FILE", help="Where to write; default: standard output.")
def check(files: tuple[Path, ...], **given: Any) -> None:
    """Judge the translations in FILES without a model: catalogues, tables, XLIFF, TMX, JSON Lines, alignment logs.

    Exits 1 if any text breaks a rule that a program relies on, as msgfmt --check does. Doubts are warnings.
    """
    from .checking import check_command

    sys_exit(check_command(files, given))


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PAIRS...")
@click.option("--to", "target_lang", required=True, metavar="LANG", help="Language of the translations.")
@click.option("--from", "source_lang", default="en", show_default=True, metavar="LANG", help="Language of the sources.")
@click.option("-o", "--output", type=_PATH, metavar="FILE", help="Where to write; default: beside the model.")
@click.option("--left-out", type=click.Path(path_type=Path), multiple=True, metavar="PAIRS",
              help="Pairs to report on, without fitting to any of them; repeatable.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N pairs of each file, spread over it.")
@click.option("--backend", "backend_name", metavar="NAME", help="What translates; default: llama.")
@click.option("--model", metavar="ID|DIR", help="Base model; default: the installed one for the languages.")
@click.option("--adapter", metavar="DIR", help="QLoRA adapter for the base model.")
@click.option("--device", metavar="D", help="cpu, cuda, cuda:1; default: the best there is.")
@click.option("-O", "assignments", multiple=True, metavar="KEY=VALUE", help="Option of the backend.")
def calibrate(**given: Any) -> None:
    """Measure on PAIRS how sure a model's translations are, so that a run can mark the doubtful ones.

    PAIRS are files with translations by people that the model was not trained on: tables, catalogues, TMX, XLIFF, JSON
    Lines. One half of the texts is fitted to, the other tells what that is worth.
    """
    from .calibrating import calibrate_command

    sys_exit(calibrate_command(given))


@click.command("plugins")
def plugins_command() -> None:
    """List the formats, backends, models, checks and commands that are installed, and what is broken."""
    from .plugins import KINDS, registry

    found = registry()
    for kind in KINDS:
        for name, declared in getattr(found, kind).items():
            endings = f" ({' '.join(declared.extensions)})" if declared.extensions else ""
            click.echo(f"{kind[:-1]:8} {name:12} {declared.summary}{endings} [{found.origin[kind, name]}]")
            for option, help_text in declared.options.items():
                click.echo(f"{'':21} -O {option}=...  {help_text}")
    for name, why in found.broken.items():
        click.echo(f"broken   {name:12} {why}")


@click.command()
def doctor() -> None:
    """Say what this machine can run: versions, devices, models, and what to install for more."""
    from .doctor import examine

    for line in examine():
        click.echo(line)


def entry() -> None:
    """The console script."""
    sys.exit(main())
