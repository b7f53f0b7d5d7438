"""A backend that does everything wrong, and now and then something right. A test installs this file as a plugin, and
imports it to know what was answered.

Options: ``seed`` decides what goes wrong where, ``masks`` and ``able`` what the backend says it can do, ``trace`` is a
file that gets a line for every request.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from batchtrans import MASK_BASE, Backend, Declared, Overload, Request, Result, hookimpl

JUNK = [
    "%", "% d", "%s", "%1$s", "%5$d", "{", "}", "{x}", "{0}", "{0", "%*d", "%{a}", "%<a>d", "%C", "%m", "%>", "%0:d",
    "%1", "%1%", "%n", "%L1", "%99", "%(n)s", "~", "~A", "~{", "~]", "$", "$HOME", "$(x)", "&", "&amp;", "]]>", "<b>",
    "</b>", "<br/>", "\n", "\r", "\t", "\x07", "\x1b[0m", "\ud800", "\ufffd", "\\", "\\q", "\\n", '"', "'",
    chr(MASK_BASE), chr(MASK_BASE + 3), chr(0xF8FF), "English:", "--force", "http://example.org", "me@example.org",
    "C:\\Temp", "/usr/bin", "`code`", ":role:`x`",
]  # fmt: skip
PROMPT = "Translate the following text from English to Spanish:\nEnglish: Save\nSpanish: Guardar"
#: What may happen; those of ``VALID`` leave a text that has to be written.
KINDS = (
    "empty", "blank", "ten thousand", "reversed", "shuffled", "dropped", "doubled", "twice", "refusal", "no masks",
    "junk", "junk", "junk", "prompt", "error", "raises", "overload", "not a text", "endless", "newlines", "prefix",
    "capitals",
)  # fmt: skip
VALID = ("newlines", "prefix", "capitals")


def kind_of(request: Request, seed: str) -> str:
    return _kind(_chance(request, seed))


def _kind(chance: random.Random) -> str:
    kind = chance.choice(KINDS)
    # These take a whole batch down, which is then asked for again bit by bit.
    return chance.choice(["junk"] * 9 + [kind]) if kind in ("raises", "overload") else kind


def _chance(request: Request, seed: str) -> random.Random:
    words = request.source, request.context, request.form, bool(request.constraint), request.hypotheses
    return random.Random(f"{seed} {words}")


def answer(request: Request, seed: str) -> str:
    """What is said to a request, if anything is."""
    chance, source = _chance(request, seed), request.source
    kind = _kind(chance)
    words = source.split(" ")
    place = chance.randrange(len(words) + 1)
    mixed = chance.sample(words, len(words))
    texts = {
        "blank": " \t ",
        "ten thousand": "x" * 10_000,
        "reversed": " ".join(reversed(words)),
        "shuffled": " ".join(mixed),
        "dropped": " ".join(words[:place] + words[place + 1 :]),
        "doubled": " ".join(words + words),
        "twice": f"{source} {chance.choice(words)}",
        "refusal": "I am sorry, but as a language model I cannot translate that.",
        "no masks": "".join(character for character in source if ord(character) < MASK_BASE),
        "junk": " ".join([*words[:place], chance.choice(JUNK), *words[place:]]),
        "prompt": f"{source}\n{PROMPT}",
        "endless": f"{source} and so on",
        "newlines": f"\n\n{source}\n",
        "prefix": f"Una {source}",
        "capitals": capitals(source),
    }
    return texts.get(kind, "")


def capitals(text: str) -> str:
    """The plain words of a text in capitals, and everything that could be part of a placeholder as it is."""
    return " ".join(word.upper() if word.isalpha() and ord(word[0]) < MASK_BASE else word for word in text.split(" "))


class Hostile(Backend):
    batch_size = 50

    def start(self, source_lang: str, target_lang: str) -> dict[str, Any]:
        self.masks = int(self.options.get("masks", "32"))
        if self.options.get("able") == "yes":
            self.constrains, self.hypotheses = True, 3
        return {"backend": "hostile", **self.options}

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        asked = list(requests)
        seed = self.options.get("seed", "")
        with Path(self.options["trace"]).open("a", encoding="utf-8") as trace:
            for request in asked:
                kind = kind_of(request, seed)
                how = "n-best" if request.hypotheses > 1 else "constrained" if request.constraint else ""
                what = request.context, request.form, request.sample, request.source, how
                trace.write(json.dumps(what) + "\n")
                if kind == "raises":
                    raise RuntimeError("no")
                if kind == "overload":
                    raise Overload("too much")
                yield self._result(request, kind, seed)

    def _result(self, request: Request, kind: str, seed: str) -> Result:
        if kind == "error":
            return Result(request.id, "", error="the model is asleep")
        if kind == "not a text":
            return Result(request.id, None)  # type: ignore[arg-type]
        others = [answer(request._replace(hypotheses=number), seed) for number in range(100, 99 + request.hypotheses)]
        stop = "max_tokens" if kind == "endless" else "eos"
        return Result(request.id, answer(request, seed), stop=stop, others=tuple(others))


@hookimpl
def batchtrans_backends() -> list[Declared]:
    options = dict.fromkeys(("seed", "masks", "able", "trace"), "see the tests")
    return [Declared("hostile", "hostile_backend:Hostile", "does everything wrong", options)]
