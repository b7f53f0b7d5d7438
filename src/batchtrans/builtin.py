"""What the core itself brings, declared through the same hooks as any plugin."""

from __future__ import annotations

from collections.abc import Iterable

from . import hookimpl
from .types import Declared

_ENCODING = "character encoding of the file"


@hookimpl
def batchtrans_formats() -> Iterable[Declared]:
    return [
        Declared(
            "po",
            "batchtrans.formats.po:PoFormat",
            "gettext catalogues and templates",
            {"encoding": "read a file without charset as this; convert any other to it"},
            (".po", ".pot"),
        ),
        Declared(
            "csv",
            "batchtrans.formats.csv:CsvFormat",
            "tables, one or more columns of them",
            {
                "column": "column to translate, by name or by number from 1",
                "into": "append, replace, or the column that takes the translation",
                "delimiter": "character between cells, \\t for a tab",
                "quotechar": "character around quoted cells",
                "escapechar": "character that escapes the next one",
                "header": "yes, no or auto",
                "encoding": _ENCODING,
            },
            (".csv", ".tsv"),
        ),
        Declared(
            "txt",
            "batchtrans.formats.txt:TxtFormat",
            "plain text",
            {"unit": "line or paragraph", "encoding": _ENCODING},
            (".txt", ".text"),
        ),
    ]


@hookimpl
def batchtrans_backends() -> Iterable[Declared]:
    return [
        Declared(
            "identity",
            "batchtrans.backends.identity:IdentityBackend",
            "gives every segment back as it is: proves that a file passes through without loss",
        ),
        Declared(
            "pseudo",
            "batchtrans.backends.pseudo:PseudoBackend",
            "pseudo-localisation: accented, longer text that shows what a user interface does with translations",
        ),
    ]


@hookimpl
def batchtrans_commands() -> Iterable[Declared]:
    return [
        Declared("run", "batchtrans.cli:run", "Translate files."),
        Declared("replay", "batchtrans.cli:replay", "Write an output again from its alignment log."),
        Declared("check", "batchtrans.cli:check", "Judge the translations in files without a model."),
        Declared("calibrate", "batchtrans.cli:calibrate", "Measure how sure a model's translations are."),
        Declared("plugins", "batchtrans.cli:plugins_command", "List what is installed."),
        Declared("doctor", "batchtrans.cli:doctor", "Say what this machine can run, and what is missing."),
    ]
