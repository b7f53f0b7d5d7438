"""Probe what a score on running text hides: made-up names, placeholders of real catalogues, short labels.

``names`` asks for sentences with made-up names, codes and paths, nothing masked and nothing repaired, and counts those
that come out unchanged. ``placeholders`` and ``labels`` draw entries from catalogues into a .po file for
``batchtrans eval`` and for reading by eye; what is in ``--trained`` pairs is left out.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from batchtrans import protect
from data import key

CARRIERS = {
    "name": (
        "{} left the house before noon.",
        "The report was written by {} last year.",
        "We met {} at the station yesterday.",
        "Have you ever been to {}?",
        "The company {} has offices in three countries.",
        "According to {}, the bridge will be closed for two weeks.",
        "The people of {} speak two languages.",
        "My sister works for {} in the north.",
        "{} scored twice in the second half.",
        "Install {} before you open the project.",
        "The river runs through {} and reaches the sea.",
        "The president spoke with {} about the new law.",
    ),
    "code": (
        "Error {}: the server did not answer.",
        "Your order {} has been sent.",
        "The option {} is no longer supported.",
        "Set the variable {} before starting the program.",
        "Version {} fixes several problems.",
        "The device {} is not connected.",
        "Call the function {} with two arguments.",
        "The key {} was not found in the table.",
    ),
    "path": (
        "The file {} could not be opened.",
        "Copy {} to a safe place.",
        "The settings are stored in {}.",
        "There is no directory named {} on this computer.",
        "See {} for more information.",
        "Remove {} and try again.",
        "The program writes its messages to {} every hour.",
        "Permission denied while reading {}.",
    ),
}
_PARTS = (  # beginnings, middles and ends of names that sound like several languages
    ("Aldr", "Vesk", "Ostr", "Jarm", "Kolz", "Miyaz", "Tanag", "Hadd", "Ruw", "Eith", "Gwyn", "Zubk", "Pell", "Nwak",
     "Szel", "Brax", "Lundq", "Quill", "Yord", "Farr", "Thorv", "Chak", "Okaf", "Del", "Marw", "Ingv", "Xan", "Bel"),
    ("", "", "a", "e", "i", "o", "u", "ov", "ak", "en", "imo", "ari", "ewo", "ist", "un"),
    ("ski", "ov", "sen", "moto", "ara", "eddin", "wick", "burg", "by", "ton", "ez", "ich", "dal", "yth", "ura", "anda",
     "heim", "ford", "ic", "elle", "as", "ox"),
)  # fmt: skip
_WORDS = ("net", "bus", "disk", "user", "auth", "frame", "node", "log", "cache", "sync", "audio", "route")


def name(chance: random.Random) -> str:
    """A made-up proper name of one or two words."""
    words = ("".join(chance.choice(part) for part in _PARTS) for _ in range(chance.randint(1, 2)))
    return " ".join(words)


def code(chance: random.Random) -> str:
    """A made-up code, option, version, variable or function."""
    word, other = chance.sample(_WORDS, 2)
    letters = "".join(chance.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(chance.randint(2, 4)))
    number = chance.randint(10, 99_999)
    forms = (
        f"{letters}-{number}", f"ERR_{word.upper()}_{number}", f"v{number % 20}.{number % 37}.{number % 11}",
        f"{letters}{number}", f"0x{number:06X}", f"{word}_{other}_{number % 100}", f"{word}{other.capitalize()}Id",
        f"--{word}-{other}", f"{word.upper()}_{letters}", f"{letters.lower()}-{word}-{number % 1000}",
    )  # fmt: skip
    return chance.choice(forms)


def path(chance: random.Random) -> str:
    """A made-up path or file name."""
    stem = "".join(chance.choice(part) for part in _PARTS).lower()
    word, other = chance.sample(_WORDS, 2)
    ending = chance.choice(("conf", "log", "txt", "json", "py", "tar.gz", "so.2", "db", "html"))
    forms = (
        f"/opt/{stem}/{word}.d/{chance.randint(10, 99)}-{other}.{ending}", f"/var/{word}/{stem}.{ending}",
        f"~/.config/{stem}/{word}.{ending}", f"C:\\{stem.capitalize()}\\{word}\\{other}.{ending}", f"{stem}.{ending}",
        f"src/{word}/{stem}_{other}.{ending}", f"../{stem}/{other}", f"{word}-{stem}.{ending}",
    )  # fmt: skip
    return chance.choice(forms)


def probes(count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Kind, the made-up thing and the sentence around it; as many of each of the three kinds."""
    chance = random.Random(seed)
    makers: dict[str, Callable[[random.Random], str]] = {"name": name, "code": code, "path": path}
    for kind, make in makers.items():
        for _ in range(count // len(makers)):
            thing = make(chance)
            yield kind, thing, chance.choice(CARRIERS[kind]).format(thing)


def probe_names(args: argparse.Namespace) -> None:
    """Ask for the sentences and count the things that are unchanged in the answers."""
    from evaluate import decode, open_model

    from batchtrans_llama.card import read_adapter

    asked = list(probes(args.count, args.seed))
    loaded = open_model(args.base, read_adapter(args.adapter), args.device)
    outputs = decode(loaded, [sentence for _, _, sentence in asked])
    rows = [
        {"kind": kind, "thing": thing, "source": sentence, "target": output.trimmed, "kept": thing in output.trimmed}
        for (kind, thing, sentence), output in zip(asked, outputs, strict=True)
    ]
    kept = {kind: [row["kept"] for row in rows if row["kind"] == kind] for kind in CARRIERS}
    report: dict[str, Any] = {kind: f"{sum(each)} of {len(each)}" for kind, each in kept.items()}
    report["kept"] = round(sum(map(sum, kept.values())) / len(rows), 4)
    print(json.dumps(report))
    for row in rows:
        if not row["kept"]:
            print(f"  {row['source']}  =>  {row['target']}")
    args.output.write_text(json.dumps({**report, "rows": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def entries(catalogues: list[Path], trained: Path | None) -> Iterator[tuple[str, Any]]:
    """Translated singular entries of the catalogues that are not among the pairs trained on, each text once."""
    import polib

    seen: set[str] = set()
    if trained is not None:
        with trained.open(encoding="utf-8") as lines:
            seen.update(key(line.split("\t")[0]) for line in lines)
    for catalogue in catalogues:
        for entry in polib.pofile(str(catalogue)):
            if (
                entry.msgid
                and entry.msgstr
                and not entry.fuzzy
                and not entry.msgid_plural
                and key(entry.msgid) not in seen
            ):
                seen.add(key(entry.msgid))
                yield catalogue.stem, entry


def draw(args: argparse.Namespace, wanted: Callable[[Any], bool]) -> None:
    """Write ``--count`` of the wanted entries, at most ``--each`` of a catalogue, as one catalogue."""
    import polib

    by_catalogue: dict[str, list[Any]] = {}
    for stem, entry in entries(args.catalogues, args.trained):
        if wanted(entry):
            by_catalogue.setdefault(stem, []).append(entry)
    chance = random.Random(args.seed)
    drawn = [
        (stem, entry)
        for stem, found in sorted(by_catalogue.items())
        for entry in chance.sample(found, min(args.each, len(found)))
    ]
    drawn = chance.sample(drawn, min(args.count, len(drawn)))
    output = polib.POFile()
    output.metadata = {"Language": "es", "Content-Type": "text/plain; charset=UTF-8"}
    for stem, entry in drawn:
        flags = ["c-format"] if "%" in entry.msgid else []
        output.append(
            polib.POEntry(msgid=entry.msgid, msgstr=entry.msgstr, msgctxt=entry.msgctxt, comment=stem, flags=flags)
        )
    output.save(str(args.output))
    print(f"{len(output)} entries of {len({stem for stem, _ in drawn})} catalogues in {args.output}")


def _is_label(entry: Any) -> bool:
    words: list[str] = entry.msgid.split()
    return 1 <= len(words) <= 3 and protect.has_words(entry.msgid) and not protect.find(entry.msgid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    names = commands.add_parser("names")
    names.add_argument("base", type=Path)
    names.add_argument("adapter", type=Path)
    names.add_argument("--device", default="auto")
    names.set_defaults(run=probe_names, count=300)
    for command, wanted in (("placeholders", lambda entry: bool(protect.find(entry.msgid))), ("labels", _is_label)):
        drawing = commands.add_parser(command)
        drawing.add_argument("catalogues", type=Path, nargs="+")
        drawing.add_argument("--trained", type=Path, help="pairs file of data.py")
        drawing.add_argument("--each", type=int, default=10, help="entries of one catalogue at most")
        drawing.set_defaults(run=lambda args, wanted=wanted: draw(args, wanted), count=600)
    for command in commands.choices.values():
        command.add_argument("-o", "--output", type=Path, required=True, help="file to write")
        command.add_argument("--count", type=int)
        command.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
