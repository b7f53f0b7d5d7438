"""Our verdict on a translation against that of gettext itself, for every format that the msgfmt of this machine knows.

Each batch of pairs is one catalogue and one run of msgfmt, whose complaints are put down to the entries by their
lines. Collected pairs are in ``data/syntaxes``: in ``pairs.txt`` those of formats that 0.21 knows, with its verdicts,
in ``newer.txt`` those of later ones; generated pairs are put together from ``grammar.txt`` there. Whatever the version,
nothing is accepted that it refuses.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import polib
import pytest

from batchtrans import plurals, syntaxes
from batchtrans.checks import judge
from batchtrans.syntaxes import FormatString
from conftest import DATA, ROOT

_SAID = re.search(r" (\d+)\.(\d+)", subprocess.run(["msgfmt", "--version"], capture_output=True, text=True).stdout)
assert _SAID, "msgfmt does not say its version"
VERSION = int(_SAID[1]), int(_SAID[2])
#: Those that came after 0.21, and the version that brought them.
NEWER = {
    "c++-format": (0, 22),
    "rust-format": (0, 24),
    "d-format": (0, 25),
    "go-format": (0, 25),
    "modula2-format": (0, 25),
    "sh-printf-format": (0, 26),
    "ocaml-format": (1, 0),
}
#: Those that are not gettext's.
OTHERS = {"fluent-format", "icu-message-format"}
FLAGS = sorted(set(syntaxes.SYNTAXES) - OTHERS - set(NEWER))
KNOWN = [*FLAGS, *(flag for flag, since in NEWER.items() if since <= VERSION)]
ENGLISH = plurals.PluralForms(2, "(n != 1)")
#: One rule for each number of forms, with forms that few numbers select and forms that many do.
RULES = [
    plurals.PluralForms(1, "0"),
    plurals.PluralForms(2, "(n > 1)"),
    plurals.PluralForms(3, "(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2)"),
    plurals.PluralForms(4, "(n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3)"),
    plurals.PluralForms(5, "(n==1 ? 0 : n==2 ? 1 : n<7 ? 2 : n<11 ? 3 : 4)"),
    plurals.PluralForms(6, "(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5)"),
]
RANGES = [None, None, None, (0, 1), (1, 5), (2, 11), (11, 21), (0, 300), (2000, 2010)]


class Entry(NamedTuple):
    """An entry of a catalogue. With a ``form`` it is a plural whose other forms are msgid_plural itself; ``within`` is
    the range of its numbers."""

    flag: str
    source: str
    target: str
    form: int | None = None
    within: tuple[int, int] | None = None

    def lines(self, number: int, forms: int) -> list[str]:
        within = [f"range: {self.within[0]}..{self.within[1]}"] if self.within else []
        source, target = polib.escape(self.source), polib.escape(self.target)
        lines = [f"#, {', '.join([self.flag, *within])}", f'msgctxt "{number}"', f'msgid "{source}"']
        if self.form is None:
            return [*lines, f'msgstr "{target}"', ""]
        strings = [f'msgstr[{form}] "{target if form == self.form else source}"' for form in range(forms)]
        return [*lines, f'msgid_plural "{source}"', *strings, ""]


def complaints(entries: Sequence[Entry], rule: plurals.PluralForms, directory: Path) -> list[str]:
    """What msgfmt says of each entry; nothing of one that it accepts."""
    fields = {
        "Project-Id-Version": "a", "PO-Revision-Date": "2024-01-01 00:00+0000", "Last-Translator": "A <a@b.c>",
        "Language-Team": "none", "Language": "xx", "MIME-Version": "1.0", "Plural-Forms": rule.header(),
        "Content-Type": "text/plain; charset=UTF-8", "Content-Transfer-Encoding": "8bit",
    }  # fmt: skip
    lines = ['msgid ""', 'msgstr ""', *(f'"{name}: {value}\\n"' for name, value in fields.items()), ""]
    starts = []
    for number, entry in enumerate(entries):
        starts.append(len(lines) + 1)
        lines += entry.lines(number, rule.nplurals)
    path = directory / "pairs.po"
    path.write_text("\n".join(lines), encoding="utf-8")
    command = ["msgfmt", "--check", "-o", os.devnull, str(path)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"}, timeout=120)
    assert done.returncode in (0, 1), done.stderr[-500:]
    said = [""] * len(entries)
    for line in done.stderr.decode("utf-8", "replace").splitlines():
        if found := re.match(rf"{re.escape(str(path))}:(\d+): (.*)", line):
            said[bisect_right(starts, int(found[1])) - 1] += found[2]
    assert bool(done.returncode) == any(said), done.stderr[-500:]
    return said


def is_relaxed(entry: Entry, rule: plurals.PluralForms) -> bool:
    return entry.form is not None and plurals.relaxed(rule, entry.within)[entry.form]


def verdict(entry: Entry, rule: plurals.PluralForms) -> syntaxes.Difference | None:
    return syntaxes.compare(entry.source, entry.target, entry.flag, relaxed=is_relaxed(entry, rule))


# Collected pairs


def sections(path: Path) -> dict[str, list[str]]:
    """The lines below each ``[heading]`` of a file, without empty lines and comments."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"\[([\w+-]+)\]", line):
            found[heading[1]] = lines = []
        elif line and not line.startswith("# "):
            lines.append(line)
    return found


COLLECTED = sections(DATA / "syntaxes" / "pairs.txt")
LATER = DATA / "syntaxes" / "newer.txt"
#: Formats of which later versions accept more.
LAXER = {
    "gcc-internal-format", "lisp-format", "lua-format", "object-pascal-format", "python-brace-format", "scheme-format",
}  # fmt: skip


def test_there_are_pairs_for_every_format() -> None:
    assert sorted(COLLECTED) == FLAGS
    for flag, lines in COLLECTED.items():
        assert len(lines) >= 15, flag
        assert {sign for line in lines for sign in line[:2]} == {"+", "-"}, flag


@pytest.mark.parametrize("relaxed", [False, True])
def test_collected_pairs_are_judged_as_msgfmt_does(relaxed: bool, tmp_path: Path) -> None:
    entries, expected = [], []
    for flag, lines in COLLECTED.items():
        for line in lines:
            source, target = line[3:].split(" → ")
            entries.append(Entry(flag, source, target, 0 if relaxed else None))
            expected.append(line[int(relaxed)])
    said = complaints(entries, ENGLISH, tmp_path)
    for entry, sign, complaint in zip(entries, expected, said, strict=True):
        assert sign == ("-" if verdict(entry, ENGLISH) else "+"), (entry, verdict(entry, ENGLISH))
        if complaint or VERSION < (0, 22) or entry.flag not in LAXER:
            assert sign == ("-" if complaint else "+"), (entry, complaint)


@pytest.mark.parametrize("flag", NEWER)
def test_collected_pairs_of_newer_formats_are_judged_as_msgfmt_does(flag: str, tmp_path: Path) -> None:
    if flag not in KNOWN:
        pytest.skip(f"the msgfmt of this machine does not know {flag}")
    pairs = [(line[relaxed], relaxed, line[3:].split(" → ")) for line in sections(LATER)[flag] for relaxed in (0, 1)]
    entries = [Entry(flag, source, target, 0 if relaxed else None) for _, relaxed, (source, target) in pairs]
    for (sign, *_), entry, complaint in zip(pairs, entries, complaints(entries, ENGLISH, tmp_path), strict=True):
        assert sign == ("-" if complaint else "+"), (entry, complaint)


# Where we differ

#: By what the page says of the difference, pairs that msgfmt 0.21 accepts and we do not. All are of that kind: there is
#: nothing that msgfmt refuses and we accept.
DIFFERENCES = {
    "source not valid": [
        Entry("python-brace-format", "{}", "x"),
        Entry("python-brace-format", "{a!r}", "x"),
        Entry("python-format", "%a", "x"),
        Entry("php-format", "%E", "x"),
        Entry("lua-format", "%-5d", "x"),
        Entry("sh-format", "${a:-b}", "x"),
        Entry("lisp-format", "~A ~Z", "x"),
        Entry("c-format", "%Id", "%s"),
        Entry("c-format", "%2$s", "%2$d"),
        Entry("ruby-format", "%i %<b>%", "x"),
    ],
    "implied argument": [
        Entry("c-format", "%m", "x"),
        Entry("c-format", "x", "%m"),
        Entry("objc-format", "%m", "x"),
        Entry("qt-format", "%n", "x"),
        Entry("qt-format", "x", "%n"),
    ],
    "highest number": [
        Entry("csharp-format", "{0} {1}", "{1}"),
        Entry("csharp-format", "{1}", "{0} {1}"),
        Entry("ruby-format", "%2$s", "%1$s"),
    ],
    "plural substitution": [Entry("qt-plural-format", "%n %1", "%n"), Entry("qt-plural-format", "%n", "%n %1")],
    "invented name": [
        Entry("perl-brace-format", "{a}", "{a} {b}"),
        Entry("python-brace-format", "{a}", "{b}", 0),
        Entry("python-brace-format", "x", "{b}", 0),
    ],
    "relaxed list": [Entry("lisp-format", "~A", "~A ~A", 0), Entry("scheme-format", "~a", "~a ~a", 0)],
    "going back": [
        Entry("lisp-format", "~D ~:*~[a~;b~]", "~B ~:*~[a~;b~]"),
        Entry("scheme-format", "~d ~:*~[a~;b~]", "~b ~:*~[a~;b~]"),
    ],
    "other description": [Entry("lisp-format", "~@{~A~A~} ~D ~^", "~^ ~@{~A~A~}")],
    "refused later": [
        Entry("c-format", "%f", "%jf"),
        Entry("c-format", "%f", "%lf"),
        Entry("gcc-internal-format", "%D", "%J"),
        Entry("gcc-internal-format", "x", "%<"),
        Entry("gcc-internal-format", "%<x%>", "%>x%<"),
        Entry("javascript-format", "%d", "%.d"),
        Entry("objc-format", "%f", "%hf"),
    ],
    "misread": [Entry("python-brace-format", "{a}", "{a}}"), Entry("java-format", "{0}", "{0} d'altri")],
}


@pytest.mark.parametrize("reason", DIFFERENCES)
def test_the_listed_differences_are_still_there(reason: str, tmp_path: Path) -> None:
    entries = DIFFERENCES[reason]
    said = complaints(entries, ENGLISH, tmp_path)
    for entry, complaint in zip(entries, said, strict=True):
        assert not complaint or VERSION >= (0, 22), entry
        assert verdict(entry, ENGLISH), entry


@pytest.mark.skipif(VERSION < (1, 0), reason="the msgfmt of this machine does not refuse them")
def test_what_is_said_to_be_refused_later_is(tmp_path: Path) -> None:
    assert all(complaints(DIFFERENCES["refused later"], ENGLISH, tmp_path))


#: What gettext has learnt since, each of which has to stay.
LEARNT = {
    "c-format": "%b %llb %w8d %wf64u %w32p",
    "gcc-internal-format": "%e %f %v %I %S %X %Z %@ %zd %tu %zE",
    "javascript-format": "%Id",
    "objc-format": "%b %w16x",
    "object-pascal-format": "%.d %5.s",
    "perl-format": "%Id %If",
}


def test_what_later_versions_have_learnt_stays(tmp_path: Path) -> None:
    directives = [(flag, directive) for flag, line in LEARNT.items() for directive in line.split()]
    for lost in (True, False):
        pairs = [(f"a {directive}", "a")[:: 1 if lost else -1] for _, directive in directives]
        entries = [Entry(flag, *pair) for (flag, _), pair in zip(directives, pairs, strict=True)]
        for entry, complaint in zip(entries, complaints(entries, ENGLISH, tmp_path), strict=True):
            assert verdict(entry, ENGLISH), entry
            assert complaint or (lost and VERSION < (1, 0)), entry
    same = [Entry(flag, f"a {directive}", f"b {directive}") for flag, directive in directives]
    assert not any(verdict(entry, ENGLISH) for entry in same) and not any(complaints(same, ENGLISH, tmp_path))


def test_the_page_lists_the_differences() -> None:
    page = (ROOT / "docs" / "placeholders.md").read_text(encoding="utf-8")
    table = re.search(r"^## [^\n]*msgfmt[^\n]*\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    assert table
    rows = re.findall(r"^\| ([a-z ]+) \| ([^|]+) \|", table[1], re.M)
    listed = {name: set(re.findall(r"`([\w-]+)`", formats)) for name, formats in rows if name in DIFFERENCES}
    assert set(listed) == set(DIFFERENCES)
    for name, entries in DIFFERENCES.items():
        flags = {entry.flag for entry in entries}
        assert listed[name] == (set() if name == "source not valid" else flags), name


Excuse = Callable[[FormatString, FormatString, bool], bool]


def positions(read: FormatString) -> set[int]:
    return {key for key in read.arguments if isinstance(key, int)}


def highest(read: FormatString) -> int:
    return max(positions(read), default=-1)


def others_than(key: str, read: FormatString) -> dict[object, str]:
    return {name: type for name, type in read.arguments.items() if name != key}


def shows_more(ours: FormatString, theirs: FormatString, relaxed: bool) -> bool:
    """Whether only the types of the arguments differ, which C++'s directives have several of."""
    return set(theirs.arguments) == set(ours.arguments) or (relaxed and set(theirs.arguments) < set(ours.arguments))


#: Types of what one of the versions does not know.
_OWN = re.compile(r"binary|declaration|localized|wf?\d|(?:size|difference) \w|operand [IJSXZefv@]")


def is_of_one_version(ours: FormatString, theirs: FormatString, _: bool) -> bool:
    types = (*ours.arguments.values(), *theirs.arguments.values())
    return bool(theirs.misread) or any(_OWN.match(type) for type in types)


def is_peculiar_to_d(ours: FormatString, theirs: FormatString, _: bool) -> bool:
    """Whether an argument is compound or stands for several, or there are arguments that are never shown."""
    compound = any(type.startswith("compound") for type in ours.arguments.values())
    return compound or "1:" in ours.arguments or any(len(positions(read)) < highest(read) for read in (ours, theirs))


def goes_back(ours: FormatString, theirs: FormatString) -> bool:
    """Whether a Lisp string is compared directive by directive."""
    return bool(ours.shape[1] or theirs.shape[1])  # type: ignore[index]


#: By format, when a pair is of a kind that is listed above.
EXCUSES: dict[str, Excuse] = {
    "c++-format": shows_more,
    "c-format": is_of_one_version,
    "d-format": is_peculiar_to_d,
    "gcc-internal-format": is_of_one_version,
    "javascript-format": is_of_one_version,
    "objc-format": is_of_one_version,
    "object-pascal-format": is_of_one_version,
    "perl-format": is_of_one_version,
    "csharp-format": lambda ours, theirs, relaxed: (
        highest(theirs) == highest(ours) or (relaxed and highest(theirs) < highest(ours))
    ),
    "java-format": lambda ours, theirs, _: bool(theirs.misread),
    "lisp-format": lambda ours, theirs, relaxed: relaxed or goes_back(ours, theirs),
    "perl-brace-format": lambda ours, theirs, _: not set(theirs.arguments) <= set(ours.arguments),
    "python-brace-format": lambda ours, theirs, relaxed: relaxed or bool(theirs.misread),
    "qt-format": lambda ours, theirs, _: others_than("%n", ours) == others_than("%n", theirs),
    "qt-plural-format": lambda ours, theirs, _: positions(ours) != positions(theirs),
    "ruby-format": lambda ours, theirs, _: len(positions(ours)) == len(positions(theirs)),
    # The first argument is not counted where only one may be left out.
    "rust-format": lambda ours, theirs, relaxed: bool(theirs.misread) or (relaxed and 0 not in theirs.arguments),
    "scheme-format": lambda ours, theirs, relaxed: relaxed or goes_back(ours, theirs),
}


def is_excused(entry: Entry, rule: plurals.PluralForms) -> bool:
    ours, theirs = syntaxes.parse(entry.source, entry.flag), syntaxes.parse(entry.target, entry.flag)
    if entry.flag in LAXER and VERSION >= (0, 22):
        return True
    if entry.flag == "ocaml-format" and re.search(r"\$|%[({]", entry.source):
        return True  # then msgfmt 1.0 does not look for what is lost, or takes two directives for the same
    if entry.flag == "d-format" and "is both" in theirs.fault:
        return True  # of which msgfmt 1.0 takes what they have in common
    if entry.flag == "lisp-format" and sorted(entry.source.split()) == sorted(entry.target.split()):
        return True  # as under "other description"
    excuse = EXCUSES.get(entry.flag)
    return bool(ours.fault or ours.misread) or (
        excuse is not None
        and (not theirs.fault or entry.flag == "d-format")
        and excuse(ours, theirs, is_relaxed(entry, rule))
    )


# Generated pairs


class Grammar(NamedTuple):
    """Of what a format's strings are made: parts of directives, and whole ones."""

    pieces: list[str]
    whole: list[str]

    def pair(self, chance: random.Random) -> tuple[str, str]:
        """A source and a translation of it, in which directives may have moved, gone, come, or fallen apart."""
        kind = chance.random()
        if kind < 0.2:
            return self.rough(chance), self.rough(chance)
        source = [chance.choice(self.whole) for _ in range(chance.randrange(4))]
        if kind < 0.6:
            target = self.changed(source, chance)
        elif kind < 0.8:
            target = [chance.choice(self.whole) for _ in range(chance.randrange(4))]
        else:
            target = [self.rough(chance)]
        return " ".join(["a", *source]), " ".join(["a", *target])

    def rough(self, chance: random.Random) -> str:
        return "a " + "".join(chance.choice([*self.pieces, " x "]) for _ in range(chance.randrange(1, 9)))

    def changed(self, directives: Sequence[str], chance: random.Random) -> list[str]:
        changed = list(directives)
        for _ in range(chance.randrange(3)):
            change, place = chance.randrange(4), chance.randrange(len(changed) + 1)
            if change == 0:
                chance.shuffle(changed)
            elif change == 1:
                changed.insert(place, chance.choice(self.whole))
            else:
                changed[place : place + 1] = [chance.choice(self.whole)] if change == 2 else []
        return changed


GRAMMARS = {
    flag: Grammar(*(line.split(" ")[1:] for line in lines))
    for flag, lines in sections(DATA / "syntaxes" / "grammar.txt").items()
}


def test_there_is_a_grammar_for_every_format() -> None:
    assert sorted(GRAMMARS) == sorted([*FLAGS, *NEWER])


def hold_against_msgfmt(entries: Sequence[Entry], rule: plurals.PluralForms, directory: Path) -> None:
    """Both verdicts are equal, but for the excused ones, of which none may be milder than msgfmt's; and the judges
    call everything hard that msgfmt refuses."""
    outcomes: Counter[tuple[str, bool]] = Counter()
    for entry, complaint in zip(entries, complaints(entries, rule, directory), strict=True):
        ours = verdict(entry, rule)
        outcomes[entry.flag, bool(complaint)] += 1
        if complaint:
            assert ours, (entry, complaint)
            problems = judge(entry.source, entry.target, frozenset({entry.flag}), relaxed=is_relaxed(entry, rule))
            assert any(problem.hard for problem in problems), (entry, complaint)
        elif ours:
            assert is_excused(entry, rule), (entry, ours)
    for flag in KNOWN:
        assert min(outcomes[flag, True], outcomes[flag, False]) >= 3, f"{flag}: {outcomes}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_generated_pairs_are_judged_as_msgfmt_does(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    entries = [Entry(flag, *GRAMMARS[flag].pair(chance)) for flag in KNOWN for _ in range(800)]
    hold_against_msgfmt(entries, ENGLISH, tmp_path)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"nplurals={rule.nplurals}")
def test_generated_plurals_are_judged_as_msgfmt_does(rule: plurals.PluralForms, tmp_path: Path) -> None:
    chance = random.Random(rule.nplurals)
    entries = [
        Entry(flag, *GRAMMARS[flag].pair(chance), chance.randrange(rule.nplurals), chance.choice(RANGES))
        for flag in KNOWN
        for _ in range(250)
    ]
    hold_against_msgfmt(entries, rule, tmp_path)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"nplurals={rule.nplurals}")
def test_which_forms_may_leave_the_number_out(rule: plurals.PluralForms, tmp_path: Path) -> None:
    ranges = [*RANGES, (1, 1), (3, 4), (99, 101), (0, 2), (100, 1100)]
    entries = [Entry("c-format", "%d", "x", form, within) for form in range(rule.nplurals) for within in ranges]
    for entry, complaint in zip(entries, complaints(entries, rule, tmp_path), strict=True):
        assert bool(complaint) != is_relaxed(entry, rule), (entry, complaint)


def test_a_possible_format_is_checked_and_an_impossible_one_is_not(tmp_path: Path) -> None:
    flags = ["c-format", "possible-c-format", "no-c-format", "impossible-c-format", "c-format, python-format"]
    said = complaints([Entry(flag, "%d", "x") for flag in flags], ENGLISH, tmp_path)
    for flag, complaint in zip(flags, said, strict=True):
        selected = syntaxes.selected(frozenset(flag.split(", ")))
        assert bool(selected) == bool(complaint), flag
        assert any(syntaxes.compare("%d", "x", one) for one in selected) == bool(complaint), flag
