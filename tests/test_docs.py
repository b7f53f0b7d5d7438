"""The documentation is held to the code: its commands are run, its plugins installed, its lists compared.

A fenced ``console`` block that stands right under ``<!-- run -->`` is executed: lines that begin with ``$`` are
commands, the rest is what they print (both streams), where a line of three dots stands for any lines. The blocks of a
document share one directory, with the samples in it and the files that stand under ``<!-- file: PATH -->``.
``<!-- run: NAME -->`` does so with the distribution NAME installed, whose files are those under NAME.

    python tests/test_docs.py               prints the README's table of options
    python tests/test_docs.py train         prints that of a command of a plugin
    python tests/test_docs.py PAGE...       writes what the commands of a page print under them
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click
import jsonschema
import pytest

import batchtrans
from batchtrans import alignment, builtin, cli, errors, hookspecs, plugins

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGE = Path(batchtrans.__file__).parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
#: What the commands of a page need beside the core and what all tests need.
NEEDED = {"tutorial-seed.md": ("batchtrans_en_es", "torch", "datasets")}
GUIDES = [DOCS / "hooks.md", DOCS / "writing-a-format.md", DOCS / "writing-a-backend.md"]

_BLOCK = re.compile(
    r"^<!-- (?P<kind>run|file)(?:: (?P<name>[^ ]+))? -->\n```(?P<language>\w+)\n(?P<body>.*?)^```$", re.M | re.S
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<to>[^)\s]+)\)")


class Block(NamedTuple):
    kind: str
    name: str
    body: str


def blocks(page: Path) -> list[Block]:
    """The marked blocks of a page, in order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["kind"], match["name"] or "", match["body"]) for match in found]


def page_id(page: Path) -> str:
    return page.name


def with_marks(page: Path) -> Any:
    """A page as a parameter, skipped where something that it needs is missing."""
    missing = [name for name in NEEDED.get(page.name, ()) if importlib.util.find_spec(name) is None]
    marks = [pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")]
    marks += [pytest.mark.model] if page.name in NEEDED else []
    return pytest.param(page, marks=marks, id=page_id(page))


# Running what is written


def environment(directory: Path) -> dict[str, str]:
    """Where ``batchtrans`` and ``python`` are those that run this test, installed or not; ``site`` holds plugins."""
    commands = directory / "bin"
    commands.mkdir(exist_ok=True)
    for name, arguments in (("batchtrans", "-m batchtrans "), ("python", "")):
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n', encoding="utf-8")
        script.chmod(0o755)
    paths = [str(directory / "site"), str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONIOENCODING": "utf-8",
        "SOURCE_DATE_EPOCH": "1795435200",
        "CUDA_VISIBLE_DEVICES": "",  # what a page shows is what a processor does
    }


def commands_of(body: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block with the lines it is said to print."""
    for group in re.split(r"^\$ ", body, flags=re.M)[1:]:
        command, *expected = group.splitlines()
        while command.endswith("\\"):
            command = f"{command}\n{expected.pop(0)}"
        yield command, [line.rstrip() for line in expected]


def comparable(text: str) -> str:
    """Output without what differs from run to run: times."""
    return re.sub(r',"ms":[\d.]+', "", re.sub(r"\d+\.\d s$", "0.0 s", text, flags=re.M))


def printed_by(command: str, directory: Path, variables: Mapping[str, str]) -> str:
    ended = subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=600,
    )
    return comparable("\n".join(line.rstrip() for line in ended.stdout.splitlines()))


def matches(expected: list[str], printed: str) -> bool:
    pattern = r"\n".join(".*" if line == "..." else re.escape(comparable(line)) for line in expected)
    return re.fullmatch(pattern, printed, re.S) is not None


def run_blocks(consoles: list[Block], directory: Path, variables: Mapping[str, str]) -> None:
    for block in consoles:
        for command, expected in commands_of(block.body):
            printed = printed_by(command, directory, variables)
            documented = "\n".join(expected)
            assert matches(expected, printed), f"$ {command}\n{printed}\n--- is documented as\n{documented}"


def workspace(page: Path, tmp_path: Path) -> Path:
    """A directory with the samples, the pairs of the tests, and the files of the page."""
    work = tmp_path / "work"
    work.mkdir()
    for files in ("samples", "tests/data/pairs"):
        shutil.copytree(ROOT / files, work / files, ignore=shutil.ignore_patterns("*.es.*"))
    for block in blocks(page):
        if block.kind == "file":
            path = work / block.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
    return work


def install(page: Path, work: Path, site: Path) -> str:
    """Install the distribution of a guide by pip, without network; its name."""
    (name,) = {block.name for block in blocks(page) if block.kind == "run"}
    arguments = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site), f"./{name}"]
    ended = subprocess.run([sys.executable, "-m", "pip", *arguments], cwd=work, capture_output=True, timeout=300)
    assert ended.returncode == 0, ended.stderr.decode()
    return name


@pytest.mark.parametrize("page", [with_marks(page) for page in PAGES if page not in GUIDES])
def test_the_commands_of_a_page_print_what_it_says(page: Path, tmp_path: Path) -> None:
    work = workspace(page, tmp_path)
    consoles = [block for block in blocks(page) if block.kind == "run"]
    assert not any(block.name for block in consoles)
    run_blocks(consoles, work, environment(tmp_path))


@pytest.mark.parametrize("page", GUIDES, ids=page_id)
def test_the_plugin_of_a_guide_installs_passes_its_tests_and_runs(page: Path, tmp_path: Path) -> None:
    work = workspace(page, tmp_path)
    variables = environment(tmp_path)
    name = install(page, work, tmp_path / "site")
    if (work / name / "tests").is_dir():
        tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{name}/tests"]
        ended = subprocess.run(tests, cwd=work, env=variables, capture_output=True, encoding="utf-8", timeout=120)
        assert ended.returncode == 0 and " passed" in ended.stdout, ended.stdout + ended.stderr
    run_blocks([block for block in blocks(page) if block.kind == "run"], work, variables)


def test_the_guides_show_one_plugin_of_each_kind() -> None:
    kinds = {page.name: [block.kind for block in blocks(page)] for page in GUIDES}
    assert all("file" in found and "run" in found for found in kinds.values()), kinds


def test_the_readme_runs_commands() -> None:
    assert any(block.kind == "run" for block in blocks(ROOT / "README.md"))


# What is written of the code


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for match in _LINK.finditer(page.read_text(encoding="utf-8")):
        target, _, anchor = match["to"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target) if target else page
        assert path.exists(), f"{page.name}: {match['to']}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{page.name}: {match['to']}"


def anchors(page: Path) -> set[str]:
    """The names that a page's headings have as link targets."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def options_table(command: click.Command) -> str:
    """The options of a command as ``--help`` shows them, as a table."""
    context = click.Context(command, parent=click.Context(cli.group, **cli.group.context_settings))
    options = [option for option in command.get_params(context) if isinstance(option, click.Option)]
    records = [option.get_help_record(context) for option in options]
    rows = [f"| `{names.replace('|', chr(92) + '|')}` | {text} |" for names, text in filter(None, records)]
    return "\n".join(["| option | meaning |", "|---|---|", *rows])


def test_the_readme_has_the_options_of_run() -> None:
    assert options_table(cli.run) in (ROOT / "README.md").read_text(encoding="utf-8"), (
        "replace the table by the output of: python tests/test_docs.py"
    )


def test_the_readme_has_every_exit_code() -> None:
    table = re.findall(r"^\| (\d+) \| ", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    tree = [value for value in vars(errors).values() if inspect.isclass(value) and hasattr(value, "exit_code")]
    assert {*map(int, table)} == {0, 130, 143, *(error.exit_code for error in tree)}


def test_the_readme_names_every_format_and_backend_of_the_core() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for declared in (*builtin.batchtrans_formats(), *builtin.batchtrans_backends()):
        assert f"| `{declared.name}` |" in text
        assert all(f"`{ending}`" in text for ending in declared.extensions)


def test_the_formats_page_has_every_option_of_every_format() -> None:
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    for declared in builtin.batchtrans_formats():
        section = re.search(rf"^## [^\n]*`{declared.name}`[^\n]*\n(.*?)(?=^## |\Z)", text, re.M | re.S)
        assert section, declared.name
        listed = set(re.findall(r"^\| `-O (\w+)=", section[1], re.M))
        assert listed == set(declared.options), declared.name


def test_the_architecture_page_lists_the_modules_that_there_are() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    table = re.search(r"^## Modules\n(.*?)^## ", text, re.M | re.S)
    assert table
    listed = {
        name for row in re.findall(r"^\| (`[^|]*) \|", table[1], re.M) for name in re.findall(r"`([\w/.]+)`", row)
    }
    assert listed == {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}


def test_the_architecture_page_lists_the_dependencies_of_the_core() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    table = re.search(r"^## Dependencies\n(.*?)^## ", text, re.M | re.S)
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    required = re.search(r"^install_requires =\n((?:    .*\n)+)", setup, re.M)
    assert table and required
    wanted = set(re.findall(r"^    ([\w-]+)", required[1], re.M))
    assert set(re.findall(r"^\| ([\w-]+) \| ", table[1], re.M)) - {"package"} == wanted


# What is written of training


def of_llama(module: str) -> Any:
    """A module of the llama backend's distribution; the test is skipped where that is not installed."""
    return pytest.importorskip(f"batchtrans_llama.{module}", reason="batchtrans-llama is not installed")


def section(page: Path, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level = heading.split()[0]
    found = re.search(rf"^{heading}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", page.read_text(encoding="utf-8"), re.M | re.S)
    assert found, heading
    return found[1]


def test_the_page_on_training_has_the_options_of_train_and_merge() -> None:
    commands = of_llama("commands")
    text = section(DOCS / "training.md", "## Options")
    assert options_table(commands.train) in text and options_table(commands.merge) in text


def test_the_page_on_training_has_every_value_of_both_recipes_with_its_source() -> None:
    recipe = of_llama("training.recipe")
    text = section(DOCS / "training.md", "## Recipes")
    rows = re.findall(r"^\| `([\w-]+)` \| (\S+) \| (\S+) \| (.+) \|$", text, re.M)
    fields = recipe.option_names()
    assert [row[0] for row in rows] == list(fields)
    for option, default, seed, source in rows:
        for wanted, value in ((recipe.DEFAULT, default), (recipe.SEED, seed)):
            read = recipe.with_options(wanted, {option: value})
            assert getattr(read, fields[option]) == getattr(wanted, fields[option]), f"{option} of {wanted.name}"
        assert re.search("seed|QLoRA|[Oo]urs", source), option


def test_the_page_on_training_has_every_reason_and_bound_of_the_filters() -> None:
    filters = of_llama("data.filters")
    text = section(DOCS / "training.md", "### What is left out")
    reasons = set(re.findall(r'return "([a-z -]+)"', inspect.getsource(filters.reason)))
    assert len(reasons) > 8 and reasons <= set(re.findall(r"`([^`]+)`", text))
    for reason, bound in (
        ("too long", f"{filters.MAX_CHARACTERS:,} characters"),
        ("length ratio", f"{filters.LENGTH_RATIO} times as long as the other, and {filters.LENGTH_SLACK} characters"),
        ("untranslated", f"{filters.UNTRANSLATED_WORDS} lower-case words"),
        ("numbers differ", f"less alike than {filters.NUMBER_LIKENESS}"),
    ):
        assert re.search(rf"^\| `{reason}` \| .*{re.escape(bound)}", text, re.M), reason


def test_the_page_on_training_has_the_bounds_of_the_gate_and_of_merge() -> None:
    gate, merge, prepare, train = (of_llama(f"training.{name}") for name in ("gate", "merge", "prepare", "train"))
    text = section(DOCS / "training.md", "## The gate")
    for bound in (
        f"p under {gate.SIGNIFICANCE}",
        f"at least {gate.LEAST_STOPPED:.1%} of the answers end by EOS",
        f"at most {gate.MOST_OVER_GENERATED:.1%} of the answers have text behind",
        f"in {gate.LEAST_PLACEHOLDERS:.0%} of the texts",
    ):
        assert bound.replace("%", " %") in text, bound
    text = (DOCS / "training.md").read_text(encoding="utf-8")
    assert f"lower by more than\n{merge.MOST_LOST}" in text
    assert f"## Fewer than {train.FEW_PAIRS:,} pairs" in text
    held_out = f"at least {prepare.LEAST} and at most {prepare._MOST_TEST}, and a tenth"
    assert held_out in text.replace("\n", " ") and f"at\nmost {prepare._MOST_DEV}" in text


def test_the_tests_that_the_page_on_training_names_are_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "training.md").read_text(encoding="utf-8")))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    assert named and named <= set(re.findall(r"^def (test_\w+)", sources, re.M))


LLAMA = ROOT / "plugins" / "batchtrans-llama"


def test_the_architecture_page_lists_the_modules_of_training_and_evaluation() -> None:
    text = section(DOCS / "architecture.md", "## Training and evaluation in batchtrans-llama")
    listed = set(re.findall(r"^\| `([\w/]+\.py)` \|", text, re.M))
    package = LLAMA / "src" / "batchtrans_llama"
    files = [path for part in ("data", "training", "evaluation") for path in (package / part).glob("*.py")]
    assert listed == {path.relative_to(package).as_posix() for path in files if path.name != "__init__.py"}


def test_the_architecture_page_lists_the_dependencies_of_the_llama_backend() -> None:
    text = section(DOCS / "architecture.md", "### Dependencies of batchtrans-llama")
    setup = (LLAMA / "setup.cfg").read_text(encoding="utf-8")
    wanted = set(re.findall(r"^    ([\w-]+)[>=<]", setup, re.M)) - {"batchtrans"}
    assert set(re.findall(r"^\| ([\w-]+) \| ", text, re.M)) - {"package"} == wanted | {"trl"}


def hooks() -> dict[str, Any]:
    return {name: hook for name, hook in vars(hookspecs).items() if name.startswith("batchtrans_")}


def test_every_hook_is_documented_with_its_signature() -> None:
    text = (DOCS / "hooks.md").read_text(encoding="utf-8")
    signatures = re.findall(r"^```python\n(def batchtrans_\w+\(.*)\n```$", text, re.M)
    assert signatures == [f"def {name}{inspect.signature(hook)}".replace("'", "") for name, hook in hooks().items()]


# The alignment log


SCHEMA = json.loads((DOCS / "alignment-log.schema.json").read_text(encoding="utf-8"))


@cache
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


PAIRED_PO = r"""msgid ""
msgstr ""
"Language: es\n"
"Content-Type: text/plain; charset=ISO-8859-1\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"

#. a note
#, c-format
msgctxt "menu"
msgid "One file in %s"
msgid_plural "%d files in %s"
msgstr[0] ""
msgstr[1] ""

#, fuzzy
msgid "Save"
msgstr "Guardar"

msgid "Done"
msgstr "Hecho"
"""
LONG = "The first sentence says something about the garden behind the house. " * 5
RUNS = {
    "text with parts, copies, duplicates": ("a.txt", f"Hello.\nHello.\n42\nSee https://a.example/b now.\n{LONG}\n", []),
    "text that the charset cannot hold": ("b.txt", "Window\n42\n", ["-O", "encoding=latin-1"]),
    "table": ("c.csv", 'id,text\n1,"One, two"\n2,\n3,Last one\n', ["--column", "text"]),
    "catalogue with plurals and failures": ("d.po", PAIRED_PO, ["--mark", "all"]),
    "every entry of a catalogue": ("e.po", PAIRED_PO.replace("ISO-8859-1", "UTF-8"), ["--redo", "all"]),
    "identity": ("f.po", PAIRED_PO, ["--redo", "all", "--backend", "identity"]),
    "nothing": ("g.txt", "", []),
}


def write_log(name: str, text: str, options: list[str], directory: Path) -> list[dict[str, Any]]:
    """The lines of the log of a run, after it has been run twice."""
    (directory / name).write_text(text, encoding="utf-8")
    arguments = [sys.executable, "-m", "batchtrans", "run", name, "--to", "es", "--backend", "pseudo", *options]
    for _ in range(2):
        ended = subprocess.run(arguments, cwd=directory, env=environment(directory), capture_output=True, timeout=120)
        assert ended.returncode in (0, 1), ended.stderr.decode()
    (log,) = directory.glob("*.align.jsonl")
    return [json.loads(line) for line in log.read_bytes().splitlines()]


@pytest.mark.parametrize("case", RUNS)
def test_a_log_is_as_its_schema_says(case: str, tmp_path: Path) -> None:
    lines = write_log(*RUNS[case], tmp_path)
    assert lines[0]["type"] == "run" and lines[-1]["type"] == "end"
    for line in lines:
        validator().validate(line)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("input.po", ["--redo", "all"]),
        ("input.csv", ["--column", "name", "--column", "description"]),
        ("input.txt", []),
    ],
)
def test_the_logs_of_the_samples_are_as_the_schema_says(name: str, options: list[str], tmp_path: Path) -> None:
    text = (ROOT / "samples" / name).read_text(encoding="utf-8")
    lines = write_log(name, text, options, tmp_path)
    assert sum(line["type"] == "record" for line in lines) > 20
    for line in lines:
        validator().validate(line)


def test_a_record_with_everything_in_it_is_as_the_schema_says() -> None:
    record = alignment.AlignmentRecord(
        "7", "a", "b", "fuzzy", "pieces", "why", 1, 2, 1, 3, 9, (1, 5), "key", 4, "text", "menu", ("c-format",), "done",
        3, "pieces", "raw", ("%s",), ("end",), "eos", (30, 20), (-0.5, -2.0), 0.5, ((0, 1),), 3, 12.5,
    )  # fmt: skip
    values = json.loads(json.dumps(record.values()))
    assert set(values) == {"type", *alignment.AlignmentRecord._fields}
    validator().validate(values)


@pytest.mark.parametrize(
    "change",
    [{"status": "good"}, {"origin": "elsewhere"}, {"stop": "yes"}, {"line": 0}, {"unknown": 1}, {"span": [1]}],
    ids=str,
)
def test_the_schema_refuses_what_no_record_may_say(change: dict[str, Any]) -> None:
    values = {"type": "record", "segment": "1", "source": "a"}
    validator().validate(values)
    with pytest.raises(jsonschema.ValidationError):
        validator().validate({**values, **change})


def test_the_schema_and_the_page_have_every_field_of_a_record() -> None:
    described = SCHEMA["$defs"]["record"]["properties"]
    assert list(described) == ["type", *alignment.AlignmentRecord._fields]
    for name, default in alignment.AlignmentRecord._field_defaults.items():
        assert described[name]["default"] == json.loads(json.dumps(default)), name
    page = (DOCS / "alignment-log.md").read_text(encoding="utf-8")
    for kind in ("run", "record", "end"):
        section = re.search(rf"^## The `{kind}` line.*?\n(.*?)(?=^##|\Z)", page, re.M | re.S)
        assert section, kind
        listed = re.findall(r"^\| `(\w+)` \|", section[1], re.M)
        assert listed == list(SCHEMA["$defs"][kind]["properties"]), kind


def test_the_page_on_the_log_names_every_check() -> None:
    page = (DOCS / "alignment-log.md").read_text(encoding="utf-8")
    modules = ("checks.py", "placeholders.py", "glossary.py", "ladder.py", "translator.py")
    sources = "".join((PACKAGE / module).read_text(encoding="utf-8") for module in modules)
    codes = set(re.findall(r'Problem\(\s*"([a-z]+)"', sources))
    assert codes and codes == set(re.findall(r"^\| `([a-z]+)` \| (?:hard|soft) \|", page, re.M))


def rewrite(page: Path, directory: Path) -> None:
    """Put the real output under each command of a page whose output is another than it says."""
    work = workspace(page, directory)
    variables = environment(directory)
    if page in GUIDES:
        install(page, work, directory / "site")
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        body = ""
        for command, expected in commands_of(block.body) if block.kind == "run" else ():
            printed = printed_by(command, work, variables)
            shown = "\n".join(expected) if matches(expected, printed) else printed
            body += f"$ {command}\n{shown}\n" if shown else f"$ {command}\n"
        if body:
            text = text.replace(block.body, body)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if not sys.argv[1:]:
        print(options_table(cli.run))
    for argument in sys.argv[1:]:
        if argument in plugins.registry().commands:
            print(options_table(plugins.resolve(plugins.registry().commands[argument])))
            continue
        with tempfile.TemporaryDirectory() as temporary:
            rewrite(Path(argument).resolve(), Path(temporary))
