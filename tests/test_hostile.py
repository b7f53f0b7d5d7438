"""A backend that does everything wrong: whatever it answers, msgfmt must not gain a line, and the log must tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polib
import pytest

from batchtrans.alignment import WRITTEN, forms_of, read_groups, read_history
from conftest import Cli
from made_catalogues import PLURALS, catalogue, complaints

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


@pytest.mark.parametrize("language", PLURALS)
@pytest.mark.parametrize(("seed", "masks"), [(1, 32), (2, 0)])
def test_msgfmt_gains_nothing_and_the_log_agrees_with_the_output(
    cli: Cli, plugin: Install, tmp_path: Path, language: str, seed: int, masks: int
) -> None:
    source, output = tmp_path / "in.po", tmp_path / "out.po"
    source.write_text(catalogue(language, seed, 200))
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
