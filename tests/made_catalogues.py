"""Catalogues made up for tests: every format string that there is, plurals of many languages, newlines at the edges."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

#: Plural rules as catalogues have them, with 1 to 6 forms. Some are not those of CLDR: a header's own rule goes first.
PLURALS = {
    "ja": "nplurals=1; plural=0;",
    "es": "nplurals=2; plural=(n != 1);",
    "de": "nplurals=2; plural=n != 1;",
    "fr": "nplurals=2; plural=(n > 1);",
    "is": "nplurals=2; plural=(n%10!=1 || n%100==11);",
    "fil": "nplurals=2; plural=(n%10==4 || n%10==6 || n%10==9);",
    "sv": "nplurals=2; plural=(n == 1 ? 0 : 1);",
    "lv": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2);",
    "lt": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && (n%100<10 || n%100>=20) ? 1 : 2);",
    "ru": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);",
    "pl": "nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);",
    "cs": "nplurals=3; plural=(n==1) ? 0 : (n>=2 && n<=4) ? 1 : 2;",
    "ro": "nplurals=3; plural=(n==1 ? 0 : (n==0 || (n%100 > 0 && n%100 < 20)) ? 1 : 2);",
    "pt": "nplurals=3; plural=(n==0 || n==1) ? 0 : n!=0 && n%1000000==0 ? 1 : 2;",
    "sl": "nplurals=4; plural=(n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3);",
    "gd": "nplurals=4; plural=(n==1 || n==11 ? 0 : n==2 || n==12 ? 1 : n>=3 && n<=19 ? 2 : 3);",
    "mt": "nplurals=5; plural=(n==1 ? 0 : n==2 ? 1 : n==0 || (n%100>=3 && n%100<=10) ? 2 : n%100>=11 && n%100<=19 "
    "? 3 : 4);",
    "ga": "nplurals=5; plural=(n==1 ? 0 : n==2 ? 1 : n<7 ? 2 : n<11 ? 3 : 4);",
    "cy": "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n==3 ? 3 : n==6 ? 4 : 5);",
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
    "icu-message-format": ["{name}", "{n, number}", "{0}"],
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
    "python-format": ["%s", "%d", "%r", "%%"],
    "qt-format": ["%1", "%2", "%L3"],
    "qt-plural-format": ["%n", "%1"],
    "ruby-format": ["%s", "%<a>d", "%{b}", "%%"],
    "rust-format": ["{}", "{:?}", "{name}"],
    "c++-format": ["{}", "{:d}", "{{"],
    "cobol-format": ["{}", "{:?}", "{name}"],
    "d-format": ["%s", "%d", "%(%s, %)"],
    "fluent-format": ["{ $user }", "{ -brand }", "{ NUMBER($n) }"],
    "go-format": ["%s", "%d", "%v", "%%"],
    "modula2-format": ["%s", "%d", "%x"],
    "ocaml-format": ["%s", "%d", "%Ld", "%!"],
    "sh-printf-format": ["%s", "%d", "%%"],
    "scheme-format": ["~a", "~d", "~{~a~}", "~%"],
    "sh-format": ["$HOME", "${x}"],
    "smalltalk-format": ["%1", "%2"],
    "tcl-format": ["%s", "%d", "%hd"],
    "ycp-format": ["%1", "%2"],
}
#: Python does not take named directives beside others.
NAMED_IN_PYTHON = ["%(name)s", "%(count)d", "%(rest)r", "%%"]
WORDS = [
    "the", "file", "could", "not", "be", "opened", "because", "this", "list", "is", "empty", "and", "quite", "long",
    "to", "read", "save", "cancel", "print", "window", "number",
]  # fmt: skip


def sentence(chance: random.Random, directives: Sequence[str]) -> str:
    """A few words with these directives somewhere behind the first one, in their order."""
    words = [chance.choice(WORDS) for _ in range(chance.randrange(2, 7))]
    if not directives:
        return " ".join(words).capitalize()
    places = sorted((chance.randrange(1, len(words) + 1) for _ in directives), reverse=True)
    for place, directive in zip(places, reversed(directives), strict=True):
        words.insert(place, directive)
    return " ".join(words)


def header(language: str) -> str:
    """A header that msgfmt and pofilter have nothing to say to."""
    fields = {
        "Project-Id-Version": "a", "PO-Revision-Date": "2024-01-01 00:00+0000", "Last-Translator": "A <a@b.c>",
        "Language-Team": "none", "Language": language, "MIME-Version": "1.0", "Plural-Forms": PLURALS[language],
        "Content-Type": "text/plain; charset=UTF-8", "Content-Transfer-Encoding": "8bit",
    }  # fmt: skip
    return 'msgid ""\nmsgstr ""\n' + "".join(f'"{name}: {value}\\n"\n' for name, value in fields.items())


def catalogue(language: str, seed: int, entries: int, plurals: float = 0.4, least: int = 0) -> str:
    """A clean catalogue without translations, the context of each entry its number. ``plurals`` is the share of entries
    with plural forms, ``least`` the least number of placeholders in an entry."""
    chance = random.Random(f"{language} {seed}")
    count = int(PLURALS[language][9])
    parts = [header(language)]
    for number in range(entries):
        flag = chance.choice(list(DIRECTIVES))
        known = NAMED_IN_PYTHON if flag == "python-format" and chance.random() < 0.5 else DIRECTIVES[flag]
        directives = chance.sample(known, chance.randrange(least, len(known) + 1))
        lead, trail = chance.choice(["", "", "\\n"]), chance.choice(["", "", "\\n"])
        flags = [flag, "range: 0..2"] if chance.random() < 0.1 else [flag]
        lines = [f"#, {', '.join(flags)}"] if flag else []
        lines.append(f'msgctxt "{number}"')
        lines.append(f'msgid "{lead}{sentence(chance, directives)}{chance.choice(["", ".", "!"])}{trail}"')
        if chance.random() < plurals:
            lines.append(f'msgid_plural "{lead}{sentence(chance, directives)}{trail}"')
            lines += [f'msgstr[{form}] ""' for form in range(count)]
        else:
            lines.append('msgstr ""')
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def complaints(path: Path) -> str:
    """What msgfmt has to say about a catalogue, fuzzy entries included."""
    command = ["msgfmt", "--check", "--use-fuzzy", "-o", "/dev/null", path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
