"""Whether a text is in the source's language: only what is sure counts, and nothing is needed where nobody asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from batchtrans.checks import judge
from batchtrans.languages import foreign_judge
from batchtrans.pairs import read_units
from conftest import Cli

pytest.importorskip("py3langid")


def looks_foreign(text: str, source: str = "en", target: str = "es") -> bool:
    foreign = foreign_judge(source, target)
    assert foreign is not None
    return foreign(text)


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("The file could not be opened because it is not there", True),
        ("No se pudo abrir el archivo porque no existe en este disco", False),
        ("Open the file", False),  # too short
        ("MICROSOFT OFFICE FOR THE MAC AND WINDOWS", False),  # capitals, as names
        ("Use --force --quiet https://example.org/the/file/is/not/there now", False),  # too few words beside addresses
    ],
)
def test_only_what_is_sure_and_long_enough_counts(text: str, foreign: bool) -> None:
    assert looks_foreign(text) is foreign


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't translate this text.",
        "I am unable to help with that request.",
        "Sure! Here is the translation of your text:",
        "Please provide the text that you would like me to translate.",
    ],
)
@pytest.mark.parametrize("language", ["es", "fr", "de", "nl", "zh_CN"])
def test_an_answer_that_translates_nothing_is_in_the_sources_language(answer: str, language: str) -> None:
    foreign = foreign_judge("en", language)
    problems = judge("The file could not be opened.", answer, foreign=foreign, language=language)
    assert "language" in {problem.code for problem in problems}


def test_translations_by_people_are_not_taken_for_their_sources() -> None:
    """Of login.gov's catalogue, Tatoeba's sentences and the sample."""
    root = Path(__file__).parent
    foreign = foreign_judge("en", "es")
    count = 0
    for path in (root / "data/pairs/login-gov.po", root / "data/pairs/tatoeba.csv"):
        for unit in read_units(path, "en", "es"):
            for source, target in zip(unit.sources, unit.targets, strict=False):
                problems = judge(source, target, unit.flags, foreign=foreign, language="es")
                assert "language" not in {problem.code for problem in problems}, target
                count += 1
    assert count > 500


@pytest.mark.parametrize(("source", "target"), [("en", "en_GB"), ("en", "und"), ("nb", "nn"), ("tlh", "es")])
def test_languages_that_cannot_be_told_apart_are_not_judged(source: str, target: str) -> None:
    assert not looks_foreign("The file could not be opened because it is not there", source, target)


def test_without_the_package_nothing_is_judged() -> None:
    code = """if True:
        import sys
        from importlib.machinery import PathFinder

        class Without:
            @staticmethod
            def find_spec(name, path=None, target=None):
                return None if name == "py3langid" else PathFinder.find_spec(name, path, target)

        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not PathFinder] + [Without]
        from batchtrans.languages import foreign_judge
        print(foreign_judge("en", "es"))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "None", done.stderr


def test_check_reports_what_stayed_in_its_language(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "en,es\nThe file is not there and cannot be opened,The file was not there and could not be opened\n"
    )
    done = cli("check", "a.csv", "--to", "es", "--only", "language")
    assert done.stdout.startswith(b"a.csv:2: warning: language: ")
    assert not cli("check", "a.csv", "--column", "en", "--into", "es", "--only", "language").stdout
