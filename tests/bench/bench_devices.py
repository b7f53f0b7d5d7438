"""The same table on two devices: how fast, and whether they differ anywhere but at a tie.

    python tests/bench/bench_devices.py table PAIRS.tsv table.csv --rows 5000
    batchtrans run table.csv --to es --column title --column text --device cuda -O dtype=float32 --log gpu.jsonl ...
    python tests/bench/bench_devices.py compare gpu.jsonl cpu.jsonl

``table`` takes the first field of each line: short texts become titles, longer ones texts, all distinct. ``compare``
reads two alignment logs, and for each answer that differs finds the first token where the two part and the gap between
the two best logits there, computed on the processor in float32.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batchtrans.alignment import AlignmentRecord, read_groups, read_history

#: Characters of a text that is short enough for a title.
TITLE = 40
#: Two logits closer than this may change places with the order of a sum.
TIE = 0.05


def make_table(pairs: Path, table: Path, rows: int) -> None:
    """Write a CSV of ``rows`` rows with the columns id, title, price and text.

    :raises SystemExit: if the pairs do not have that many distinct texts.
    """
    titles: dict[str, None] = {}
    texts: dict[str, None] = {}
    with pairs.open(encoding="utf-8") as file:
        for line in file:
            source = line.split("\t")[0].replace("\\n", " ").replace("\\t", " ").strip()
            if any(character.isalpha() for character in source):
                (titles if len(source) <= TITLE else texts)[source] = None
            if len(titles) >= rows and len(texts) >= rows:
                break
        else:
            sys.exit(f"only {len(titles)} short and {len(texts)} longer texts; {rows} of each are needed")
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "price", "text"])
        for number, (title, text) in enumerate(zip(titles, texts, strict=False), 1):
            if number > rows:
                break
            writer.writerow([number, title, f"{number % 97}.50", text])


def answers(log: Path) -> dict[tuple[str, int], AlignmentRecord]:
    """The model's first answers of the last run in a log, by segment and part."""
    records = (record for group in read_groups(log, read_history(log).runs[-1]) for record in group)
    return {(record.segment, record.part): record for record in records if record.origin == "mt" and not record.rung}


def compare(one: Path, other: Path) -> None:
    """Print how many answers differ, and the gap of logits at each first difference."""
    ours, theirs = answers(one), answers(other)
    common = sorted(set(ours) & set(theirs))
    differing = [key for key in common if _text(ours[key]) != _text(theirs[key])]
    print(f"answers: {len(common)}, different: {len(differing)}")
    gaps = [gap for gap in _gaps([(ours[key], theirs[key]) for key in differing])]
    ties = sum(gap <= TIE for gap in gaps)
    print(f"first difference at a tie (gap up to {TIE}): {ties} of {len(gaps)}")
    for gap in sorted(gaps, reverse=True)[:10]:
        print(f"  gap {gap:.4f}")


def _text(record: AlignmentRecord) -> str:
    return record.raw if record.raw is not None else record.target


def _gaps(pairs: list[tuple[AlignmentRecord, AlignmentRecord]]) -> Iterator[float]:
    if not pairs:
        return
    import torch

    from batchtrans_llama.backend import LlamaBackend
    from batchtrans_llama.prompt import encode_completion, encode_prompt

    backend = LlamaBackend({"device": "cpu"})
    backend.start("en", "es")
    loaded: Any = backend._service.loaded  # type: ignore[union-attr]
    for ours, theirs in pairs:
        source = _masked_source(ours)
        first, second = (encode_completion(loaded.tokenizer, _text(record).strip()) for record in (ours, theirs))
        place = next(index for index, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1])
        prompt = encode_prompt(loaded.tokenizer, source, "en", "es")
        with torch.inference_mode():
            logits = loaded.model(torch.tensor([prompt + first[:place]])).logits[0, -1]  # [vocabulary]
        best = logits.topk(2).values
        yield float(best[0] - best[1])


def _masked_source(record: AlignmentRecord) -> str:
    """The text that was sent: each placeholder replaced by its mask, in order."""
    text, position = record.source.strip(), 0
    for number, placeholder in enumerate(record.masks):
        position = text.index(placeholder, position)
        text = text[:position] + chr(0xE000 + number) + text[position + len(placeholder) :]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("table")
    table.add_argument("pairs", type=Path)
    table.add_argument("table", type=Path)
    table.add_argument("--rows", type=int, default=5000)
    both = commands.add_parser("compare")
    both.add_argument("one", type=Path)
    both.add_argument("other", type=Path)
    given = parser.parse_args()
    if given.command == "table":
        make_table(given.pairs, given.table, given.rows)
    else:
        compare(given.one, given.other)


if __name__ == "__main__":
    main()
