"""A backend that does everything wrong: whatever it answers, msgfmt must not gain a line, and the log must tell."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import polib
import pytest

from batchtrans.alignment import WRITTEN, forms_of, read_groups, read_history
from conftest import Cli

Install = Callable[[str, str], Path]

HOSTILE = r"""
    import random
    from batchtrans import Backend, Declared, MASK_BASE, Result, hookimpl

    JUNK = ["%", "% d", "%s", "%1$s", "{", "}", "{x}", "{0}", "\n", "\r", "\x07", "\ud800", "\\", "\\q", '"', "'",
            "%(n)s", "<b>", chr(MASK_BASE), chr(MASK_BASE + 3), "English:", "~", "%1", "$HOME", "%1%", "%|", "{0", "~A",
            "~{", "~]", "%n", "%L1", "%99", "%*d", "%{a}", "%<a>d", "%C", "%m", "%>", "$(x)", "$", "&", "]]>", "%0:d"]

    class Hostile(Backend):
        batch_size = 7

        def start(self, source_lang, target_lang):
            self.masks = int(self.options.get("masks", "32"))
            return {"backend": "hostile", **self.options}

        def translate(self, requests):
            for request in requests:
                chance = random.Random(f"{self.options.get('seed')} {request.source} {request.form}")
                words = request.source.split(" ")
                kind = chance.randrange(14)
                if kind == 0: text = ""
                elif kind == 1: text = "x" * 10_000
                elif kind == 2: text = " ".join(reversed(words))
                elif kind == 3: text = " ".join(words[:-1])
                elif kind == 4: text = " ".join(words + words)
                elif kind == 5: text = "I am sorry, I cannot translate that."
                elif kind == 6: text = "".join(c for c in request.source if ord(c) < 128)
                elif kind == 7: text = "\n" + request.source + "\n"
                elif kind in (8, 9, 10):
                    place = chance.randrange(len(words) + 1)
                    text = " ".join([*words[:place], chance.choice(JUNK), *words[place:]])
                elif kind == 11:
                    chance.shuffle(words)
                    text = " ".join(words)
                elif kind == 12: raise RuntimeError("no")
                else: text = "Traducido " + request.source
                yield Result(request.id, text, stop="eos")

    @hookimpl
    def batchtrans_backends():
        return [Declared("hostile", "hostility:Hostile", "does everything wrong", {"seed": "", "masks": ""})]
"""

PLURALS = {
    "ja": "nplurals=1; plural=0;",
    "es": "nplurals=2; plural=(n != 1);",
    "fr": "nplurals=2; plural=(n > 1);",
    "ru": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);",
    "sl": "nplurals=4; plural=(n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3);",
    "ga": "nplurals=5; plural=(n==1 ? 0 : n==2 ? 1 : n<7 ? 2 : n<11 ? 3 : 4);",
    "ar": "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5);",
}
DIRECTIVES = {
    "": ["<b>", "https://example.org/a", "me@example.org", "&amp;", "{name}", "%s", "$x", "--force"],
    "awk-format": ["%s", "%d", "%5.2f", "%%"],
    "boost-format": ["%1%", "%2%", "%|3$5|", "%%"],
    "c-format": ["%s", "%d", "%lu", "%5.2f", "%%", "%m", "%c", "%-5s", "%*d", "<a href='%s'>"],
    "csharp-format": ["{0}", "{1,5}", "{2:d}", "{{"],
    "elisp-format": ["%s", "%d", "%S"],
    "gcc-internal-format": ["%qs", "%d", "%<", "%>", "%E", "%m", "%.*s"],
    "gfc-internal-format": ["%s", "%ld", "%C", "%L"],
    "java-format": ["{0}", "{1,number}", "{2,choice,0#a|1#b}", "'{'"],
    "java-printf-format": ["%s", "%d", "%<d", "%n", "%tY"],
    "javascript-format": ["%s", "%d", "%j"],
    "kde-format": ["%1", "%2", "%3"],
    "kde-kuit-format": ["%1", "%2", "<b>%3</b>"],
    "librep-format": ["%s", "%d", "%S"],
    "lisp-format": ["~A", "~D", "~{~A~}", "~:[no~;yes~]", "~%"],
    "lua-format": ["%s", "%d", "%q"],
    "objc-format": ["%@", "%d", "%s"],
    "object-pascal-format": ["%s", "%d", "%x"],
    "perl-brace-format": ["{one}", "{two}"],
    "perl-format": ["%s", "%d", "%vd", "%_"],
    "php-format": ["%s", "%d", "%%", "%'*5d"],
    "python-brace-format": ["{0}", "{name}", "{{", "}}", "{count:d}", "{a!r}"],
    "python-format": ["%s", "%d", "%r", "%%", "%(name)s"],
    "qt-format": ["%1", "%2", "%L3"],
    "qt-plural-format": ["%n", "%1"],
    "ruby-format": ["%s", "%<a>d", "%{b}", "%%"],
    "rust-format": ["{}", "{:?}", "{name}"],
    "scheme-format": ["~a", "~d", "~{~a~}", "~%"],
    "sh-format": ["$HOME", "${x}"],
    "smalltalk-format": ["%1", "%2"],
    "tcl-format": ["%s", "%d", "%hd"],
    "ycp-format": ["%1", "%2"],
}
WORDS = [
    "the",
    "file",
    "could",
    "not",
    "be",
    "opened",
    "because",
    "this",
    "list",
    "is",
    "empty",
    "and",
    "quite",
    "long",
    "to",
    "read",
    "save",
    "cancel",
]


def sentence(chance: random.Random, directives: list[str]) -> str:
    words = [chance.choice(WORDS) for _ in range(chance.randrange(2, 7))]
    for directive in directives:
        words.insert(chance.randrange(1, len(words) + 1), directive)
    return " ".join(words).capitalize() if not directives else " ".join(words)


def catalogue(language: str, seed: int, entries: int = 200) -> str:
    """A clean catalogue without translations: every kind of format, plurals, edges."""
    chance = random.Random(f"{language} {seed}")
    count = int(PLURALS[language][9])
    header = {
        "Project-Id-Version": "a", "PO-Revision-Date": "2024-01-01 00:00+0000", "Last-Translator": "A <a@b.c>",
        "Language-Team": "none", "Language": language, "MIME-Version": "1.0", "Plural-Forms": PLURALS[language],
        "Content-Type": "text/plain; charset=UTF-8", "Content-Transfer-Encoding": "8bit",
    }  # fmt: skip
    parts = ['msgid ""\nmsgstr ""\n' + "".join(f'"{name}: {value}\\n"\n' for name, value in header.items())]
    for number in range(entries):
        flag = chance.choice(list(DIRECTIVES))
        directives = sorted(chance.sample(DIRECTIVES[flag], chance.randrange(0, len(DIRECTIVES[flag]) + 1)))
        lead, trail = chance.choice(["", "", "\\n"]), chance.choice(["", "", "\\n"])
        flags = [flag, "range: 0..2"] if chance.random() < 0.1 else [flag]
        lines = [f"#, {', '.join(flags)}"] if flag else []
        lines.append(f'msgctxt "{number}"')
        text = f"{lead}{sentence(chance, directives)}{chance.choice(['', '.', '!'])}{trail}"
        lines.append(f'msgid "{text}"')
        if chance.random() < 0.4:
            lines.append(f'msgid_plural "{lead}{sentence(chance, directives)}{trail}"')
            lines += [f'msgstr[{form}] ""' for form in range(count)]
        else:
            lines.append('msgstr ""')
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def complaints(path: Path) -> str:
    command = ["msgfmt", "--check", "--use-fuzzy", "-o", "/dev/null", path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stderr


@pytest.mark.parametrize("language", PLURALS)
@pytest.mark.parametrize(("seed", "masks"), [(1, 32), (2, 0)])
def test_msgfmt_gains_nothing_and_the_log_agrees_with_the_output(
    cli: Cli, plugin: Install, tmp_path: Path, language: str, seed: int, masks: int
) -> None:
    source, output = tmp_path / "in.po", tmp_path / "out.po"
    source.write_text(catalogue(language, seed))
    assert not complaints(source), "the generated catalogue must be clean itself"
    done = cli(
        "run", "in.po", "--to", language, "--backend", "hostile", "-o", "out.po", "-O", f"seed={seed}",
        "-O", f"masks={masks}", plugins=(plugin("hostility", HOSTILE),),
    )  # fmt: skip
    assert done.returncode == 1 and b"Traceback" not in done.stderr, done.stderr.decode()
    assert not complaints(output)
    entries = {entry.msgctxt: entry for entry in polib.pofile(str(output))}
    log = tmp_path / "out.po.align.jsonl"
    groups = list(read_groups(log, read_history(log).runs[-1]))
    assert len(groups) == len(entries) == 200
    written = 0
    for group in groups:
        entry = entries[group[0].context]
        targets = (entry.msgstr,) if not entry.msgid_plural else tuple(entry.msgstr_plural.values())
        if all(record.status in WRITTEN for record in group):
            written += 1
            assert forms_of(group) == targets
            assert ("fuzzy" in entry.flags) == (group[0].status == "fuzzy")
        else:
            assert not any(targets)
            assert any(record.why for record in group)
    assert written >= 20
