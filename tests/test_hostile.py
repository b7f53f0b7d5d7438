"""A backend that does everything wrong: whatever it answers, no checker has more to say than before, what was right is
written, and the log tells what was tried."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest

import hostile_backend
from batchtrans import Request, plugins
from batchtrans.alignment import WRITTEN, AlignmentRecord, forms_of, read_groups, read_history
from batchtrans.counted import Counted, with_number
from batchtrans.edges import mend
from batchtrans.parts import Part, cut
from batchtrans.protect import find
from conftest import install, run_here
from made_catalogues import PLURALS, catalogue, complaints

ENTRIES = 360  # in each of 20 languages; with those of the plurals 10,000 strings
#: What a backend may say it can do.
ABILITIES = ({"masks": "32", "able": "yes"}, {"masks": "32"}, {"masks": "0"})
#: Of translate-toolkit's tests those that it calls critical.
CRITICAL = (
    "dialogsizes", "escapes", "newlines", "nplurals", "printf", "pythonbraceformat", "tabs", "variables", "xmltags",
)  # fmt: skip
#: Formats that translate-toolkit reads as gettext does. The others it takes for C's or Python's, or for tags.
KNOWN_TO_POFILTER = {
    "c-format", "objc-format", "python-format", "python-brace-format", "perl-brace-format", "javascript-format",
    "sh-format",
}  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The hostile backend as a plugin of this process, in which all runs are: each would load the model that knows
    languages anew."""
    code = Path(hostile_backend.__file__).read_text(encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(install(tmp_path_factory.mktemp("plugin"), "hostile_backend", code))
        plugins.registry.cache_clear()
        yield
    plugins.registry.cache_clear()


@pytest.fixture(scope="module", params=range(len(PLURALS)), ids=list(PLURALS))
def ran(
    installed: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """A catalogue of made-up entries, translated by a hostile backend: its directory, and the backend's options."""
    language = list(PLURALS)[request.param]
    directory = tmp_path_factory.mktemp(language)
    options = {"seed": language, "trace": str(directory / "trace.jsonl"), **ABILITIES[request.param % len(ABILITIES)]}
    (directory / "in.po").write_text(catalogue(language, 1, ENTRIES), encoding="utf-8")
    assert not complaints(directory / "in.po"), "the generated catalogue must be clean itself"
    done = run_here(
        "run", directory / "in.po", "--to", language, "--backend", "hostile", "-o", directory / "out.po",
        *(f"-O{name}={value}" for name, value in options.items()),
    )  # fmt: skip
    assert done.code == 1, done.said
    return directory, options


def test_no_checker_gains_a_line_what_was_right_is_written_and_the_log_tells(ran: tuple[Path, dict[str, str]]) -> None:
    directory, options = ran
    assert not complaints(directory / "out.po")
    entries = {entry.msgctxt: entry for entry in polib.pofile(str(directory / "out.po"))}
    log = directory / "out.po.align.jsonl"
    groups = list(read_groups(log, read_history(log).runs[-1]))
    assert len(groups) == len(entries) == ENTRIES
    asked = Asked(directory / "trace.jsonl", options)
    written = 0
    for group in groups:
        written += agrees_with_its_log(entries[group[0].context], group)
        for record in group:
            asked.assert_what_was_right_is_written(record, all(other.status in WRITTEN for other in group))
    assert written >= ENTRIES / 5
    if "able" in options:
        rungs = Counter(asked.rung(record) for group in groups for record in group if record.origin != "copy")
        assert min(rungs[rung] for rung in ("", "masked", "constrained", "n-best", "pieces")) > 2


def agrees_with_its_log(entry: polib.POEntry, group: list[AlignmentRecord]) -> bool:
    targets = (entry.msgstr,) if not entry.msgid_plural else tuple(entry.msgstr_plural.values())
    if not all(record.status in WRITTEN for record in group):
        assert not any(targets)
        assert any(record.why for record in group)
        return False
    assert forms_of(group) == targets
    assert ("fuzzy" in entry.flags) == (group[0].status == "fuzzy")
    assert all(record.status == "fuzzy" for record in group if record.rung not in ("", "masked") or record.checks)
    return True


class Asked:
    """The backend's own book of what it was asked for."""

    def __init__(self, trace: Path, options: dict[str, str]) -> None:
        self.masks, self.seed = int(options["masks"]), options["seed"]
        self.language = options["seed"]
        self.asked: dict[tuple[str, int | None], list[tuple[int | None, str, str]]] = defaultdict(list)
        for line in trace.read_text(encoding="utf-8").splitlines():
            context, form, *what = json.loads(line)
            self.asked[context, form].append(tuple(what))

    def texts(self, record: AlignmentRecord) -> tuple[Part, Counted | None, str]:
        """The only part of a form, how it was asked for with a number, and the text of its first request."""
        (part,) = cut(record.source, frozenset(record.flags), "en")
        sample, first, _ = self.asked[record.context, record.form][0]
        return part, self.counted(part, sample), first

    def counted(self, part: Part, sample: int | None) -> Counted | None:
        masked = bool(part.placeholders) and part.sent(self.masks) == part.text
        return with_number(part, sample, masked) if sample is not None else None

    def assert_what_was_right_is_written(self, record: AlignmentRecord, written: bool) -> None:
        """Where nothing was wrong with the first answer to a form, it stands there, at once and as it was."""
        if record.origin == "copy":
            return
        part, counted, first = self.texts(record)
        request = Request(0, first, context=record.context, form=record.form)
        if hostile_backend.kind_of(request, self.seed) not in hostile_backend.VALID:
            return
        masked = part.sent(self.masks) == part.text
        answer: str | None = hostile_backend.answer(request, self.seed).strip()
        if counted and answer:
            answer = counted.restored(answer)
        assert answer is not None
        if masked:
            answer = part.unmask(answer, frozenset(record.flags), True)
        assert record.rung == "" and record.tries == 1, record
        answer = mend(part.core, answer, self.language, find(answer, frozenset(record.flags)))
        assert not written or record.target == part.put_back(answer)

    def rung(self, record: AlignmentRecord) -> str:
        """Where a form ended according to the log, which agrees with the book."""
        part, counted, first = self.texts(record)
        asked = self.asked[record.context, record.form]
        rungs = {how for _, _, how in asked}
        plain = {source for _, source, how in asked if not how} - {first}
        if counted and part.sent(self.masks) in plain:
            rungs.add("masked")
        if plain - {part.sent(self.masks)}:
            rungs.add("pieces")
        assert record.tries == len(rungs) and record.rung in rungs, (record, rungs)
        return record.rung


def test_pofilters_critical_tests_gain_nothing(ran: tuple[Path, dict[str, str]]) -> None:
    """They go by shapes, not by flags, and read Lisp's strings as C's. So only formats are asked about that look as
    they think, and what they say to an entry whose translation is its source, word for word, does not count. Where
    directives changed places, they miscount ``%%``, ``%m`` and ``%*d``, and a tag with a number in it is another."""
    pytest.importorskip("translate", reason="translate-toolkit is not installed")
    from translate.filters.checks import CheckerConfig, StandardChecker
    from translate.storage.po import pofile

    directory, _ = ran
    checker = StandardChecker(CheckerConfig(), limitfilters=CRITICAL)
    translated = 0
    for unit in pofile.parsefile(str(directory / "out.po")).units:
        flags = {flag.strip() for comment in unit.typecomments for flag in comment[2:].split(",")}
        if unit.isheader() or not unit.target or not flags & KNOWN_TO_POFILTER:
            continue
        translated += 1
        source, *forms = unit.source, *getattr(unit.target, "strings", [unit.target])
        order, *orders = (re.findall(r"%[^a-zA-Z%]*[a-zA-Z%]", text) for text in (source, *forms))
        if any(other != order for other in orders) and re.search(r"%[%m*]|<a|%\(", source):
            continue
        if found := set(checker.run_filters(unit)):
            said = f"{unit.source!r} {unit.target!r}"
            texts = getattr(unit.source, "strings", [unit.source])
            unit.target = texts if unit.hasplural() else texts[0]
            assert not found - set(checker.run_filters(unit)), said
    assert translated > 5
