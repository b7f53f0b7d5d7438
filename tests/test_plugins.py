from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from batchtrans.plugins import registry, resolve
from conftest import Cli

Install = Callable[[str, str], Path]

SHOUT = """
    from collections.abc import Iterable, Iterator, Mapping
    from batchtrans import Backend, Declared, Problem, Request, Result, hookimpl
    import click

    class Shout(Backend):
        def start(self, source_lang, target_lang):
            return {"backend": "shout", "mark": self.options.get("mark", "!")}

        def translate(self, requests):
            for request in requests:
                yield Result(request.id, request.source.upper() + self.options.get("mark", "!"))

    def no_q(source, target, flags):
        if "Q" in target:
            yield Problem("q", "no Q here", hard=True)

    @click.command()
    def hello():
        click.echo("hello from outside")

    @hookimpl
    def batchtrans_backends():
        return [Declared("shout", "shouting:Shout", "shouts", {"mark": "what ends a text"})]

    @hookimpl
    def batchtrans_checks():
        return [Declared("no-q", "shouting:no_q", "refuses Q")]

    @hookimpl
    def batchtrans_commands():
        return [Declared("hello", "shouting:hello", "says hello")]
"""


def test_a_third_party_backend_check_and_command_work(cli: Cli, plugin: Install, tmp_path: Path) -> None:
    plugins = (plugin("shouting", SHOUT),)
    (tmp_path / "a.txt").write_text("one thing\nquiet please\n")
    done = cli("run", "a.txt", "--to", "es", "--backend", "shout", "-O", "mark=;", plugins=plugins)
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "a.es.txt").read_text() == "ONE THING;\nquiet please\n"
    assert b"no Q here" in done.stderr
    assert b"hello from outside" in cli("hello", plugins=plugins).stdout
    assert b"shouts" in cli("plugins", plugins=plugins).stdout


def test_a_broken_plugin_is_named_and_skipped(cli: Cli, plugin: Install, tmp_path: Path) -> None:
    plugins = (plugin("sick", "raise RuntimeError('I am not well')"), plugin("shouting", SHOUT))
    (tmp_path / "a.txt").write_text("one\n")
    done = cli("run", "a.txt", "--to", "es", "--backend", "shout", plugins=plugins)
    assert done.returncode == 0
    assert b"plugin sick is skipped: RuntimeError: I am not well" in done.stderr
    assert b"sick" in cli("plugins", plugins=plugins).stdout
    assert cli("--help", plugins=plugins).returncode == 0


def test_a_hook_that_fails_or_lies_is_blamed_on_its_plugin(cli: Cli, plugin: Install) -> None:
    fails = "from batchtrans import hookimpl\n@hookimpl\ndef batchtrans_formats():\n    raise ValueError('oh')\n"
    lies = "from batchtrans import hookimpl\n@hookimpl\ndef batchtrans_formats():\n    return ['po']\n"
    unknown = "from batchtrans import hookimpl\n@hookimpl\ndef batchtrans_format():\n    return []\n"
    done = cli("plugins", plugins=(plugin("fails", fails), plugin("lies", lies), plugin("unknown", unknown)))
    assert done.returncode == 0
    for words in (b"fails        ValueError: oh", b"lies         TypeError", b"unknown      PluginValidationError"):
        assert words in done.stdout


def test_the_first_to_declare_a_name_keeps_it(cli: Cli, plugin: Install) -> None:
    other = """
        from batchtrans import Declared, hookimpl
        @hookimpl
        def batchtrans_formats():
            return [Declared("po", "nowhere:Nothing", "another po", {}, (".po",))]
    """
    done = cli("plugins", plugins=(plugin("copycat", other),))
    assert b"another po" not in done.stdout
    assert b"already declared by batchtrans" in done.stdout


def test_a_declaration_that_points_nowhere_says_so(cli: Cli, plugin: Install, tmp_path: Path) -> None:
    code = """
        from batchtrans import Declared, hookimpl
        @hookimpl
        def batchtrans_backends():
            return [Declared("gone", "not_there:Backend", "is not there")]
    """
    (tmp_path / "a.txt").write_text("one\n")
    done = cli("run", "a.txt", "--to", "es", "--backend", "gone", plugins=(plugin("pointer", code),))
    assert done.returncode == 3
    assert b"not_there:Backend" in done.stderr and b"Traceback" not in done.stderr


def test_every_builtin_declaration_resolves() -> None:
    found = registry()
    for kind in ("formats", "backends", "commands"):
        for declared in getattr(found, kind).values():
            assert resolve(declared) is not None
