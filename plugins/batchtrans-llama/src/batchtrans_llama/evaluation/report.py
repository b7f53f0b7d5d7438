"""A comparison as one HTML page: no other file, no script, nothing fetched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Protocol

from batchtrans.textio import AtomicFile

from . import table
from .compare import Comparison
from .diagram import Curve, draw, html
from .examples import Example

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c1c1c; --faint: #666; --line: #d5d5d5; --panel: #f5f5f5;
  --good: #17692f; --bad: #a4161a; --mark: #ffe08a; --c0: #1f6feb; --c1: #c2410c; --c2: #15803d; --c3: #7e22ce; }
@media (prefers-color-scheme: dark) { :root { --back: #161616; --text: #e8e8e8; --faint: #a0a0a0; --line: #3a3a3a;
  --panel: #212121; --good: #5fd07f; --bad: #ff8a8a; --mark: #6b5300; --c0: #79b0ff; --c1: #ff9d5c; --c2: #6fdc8c;
  --c3: #cf9bff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
.numbers th, .numbers td { white-space: nowrap; text-align: right; overflow-wrap: normal; }
.numbers th:first-child, .numbers td:first-child { text-align: left; position: sticky; left: 0;
  background: var(--back); }
.verdict { border: 2px solid; border-radius: .5rem; padding: .5rem 1rem; }
.verdict strong { font-size: 1.2rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .faint { color: var(--faint); font-size: .9rem; }
.verdict li { color: var(--text); }
.example { background: var(--panel); border-radius: .5rem; padding: .5rem 1rem; margin: 1rem 0; }
.example dt, .meanings dt { font-weight: 600; margin-top: .4rem; } .example dd, .meanings dd { margin: 0; }
.example dd { white-space: pre-wrap; }
mark { background: var(--mark); color: inherit; border-radius: .2rem; }
figure { margin: 1rem 0; max-width: 44rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--faint); font-size: 12px; }
.grid { stroke: var(--line); }
.line { fill: none; stroke-width: 2; } .dot { stroke: none; }
.line0 { stroke: var(--c0); } .line1 { stroke: var(--c1); stroke-dasharray: 6 3; }
.line2 { stroke: var(--c2); stroke-dasharray: 2 3; } .line3 { stroke: var(--c3); stroke-dasharray: 8 3 2 3; }
.dot.line0 { fill: var(--c0); } .dot.line1 { fill: var(--c1); } .dot.line2 { fill: var(--c2); }
.dot.line3 { fill: var(--c3); }
.key { display: inline-block; width: 2rem; height: .8rem; vertical-align: middle; }
""".strip()


class Verdict(Protocol):
    """What the gate says: ``accepted``, the ``word`` for it, and for each question whether it was passed."""

    @property
    def accepted(self) -> bool: ...

    @property
    def word(self) -> str: ...

    @property
    def reasons(self) -> Sequence[tuple[bool, str]]: ...


def write_report(
    path: Path,
    title: str,
    *,
    comparison: Comparison,
    curves: Sequence[Curve] = (),
    examples: Sequence[Example] = (),
    facts: Mapping[str, Mapping[str, object]] | None = None,
    verdict: Verdict | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the page to ``path``, whole or not at all.

    ``facts`` are further tables by their heading: counts of data and filters, the recipe, where it ran. A section
    without anything in it is left out.
    """
    page = render(title, comparison, curves, examples, facts or {}, verdict, notes)
    with AtomicFile(path) as file:
        file.file.write(page.encode("utf-8"))
        file.commit()


def render(
    title: str,
    comparison: Comparison,
    curves: Sequence[Curve],
    examples: Sequence[Example],
    facts: Mapping[str, Mapping[str, object]],
    verdict: Verdict | None,
    notes: Sequence[str],
) -> str:
    """The page."""
    sections = [
        *([_verdict(verdict)] if verdict is not None else []),
        _scores(comparison),
        *([_section("Curves", _curves(curves))] if curves else []),
        *([_section("Side by side", _examples(examples))] if examples else []),
        *(_section(heading, [_pairs_table(values)]) for heading, values in facts.items() if values),
        *([_section("Notes", ["<ul>", *(f"<li>{html(note)}</li>" for note in notes), "</ul>"])] if notes else []),
        _section("Systems", _systems(comparison)),
        _section("Versions", [_pairs_table(comparison.versions), _pairs_table(comparison.signatures)]),
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{html(title)}</title>",
            f"<style>\n{_STYLE}\n</style>",
            "</head>",
            "<body>",
            f"<h1>{html(title)}</h1>",
            *sections,
            "</body>",
            "</html>",
            "",
        ]
    )


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return html(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _section(heading: str, lines: Iterable[str]) -> str:
    return "\n".join(["<section>", f"<h2>{html(heading)}</h2>", *lines, "</section>"])


def _verdict(verdict: Verdict) -> str:
    state = "good" if verdict.accepted else "bad"
    reasons = [f"<li>{'passed' if passed else 'FAILED'}: {html(reason)}</li>" for passed, reason in verdict.reasons]
    return "\n".join(
        [
            f'<section class="verdict {state}">',
            f"<p><strong>{html(verdict.word)}</strong></p>",
            *(["<ul>", *reasons, "</ul>"] if reasons else []),
            "</section>",
        ]
    )


def _scores(comparison: Comparison) -> str:
    head = "".join(f'<th scope="col">{html(column.heading)}</th>' for column in table.COLUMNS)
    rows = [f"<tr>{''.join(f'<td>{html(cell)}</td>' for cell in row)}</tr>" for row in table.rows(comparison)]
    sentences = [*table.differences(comparison), *table.missing(comparison)]
    meanings = [f"<dt>{html(column.heading)}</dt><dd>{html(column.meaning)}</dd>" for column in table.COLUMNS]
    return _section(
        "Scores",
        [
            f"<p>{html(table.described(comparison))}</p>",
            '<div class="scroll"><table class="numbers">',
            f"<thead><tr>{head}</tr></thead>",
            f"<tbody>\n{chr(10).join(rows)}\n</tbody>",
            "</table></div>",
            *(f"<p>{html(sentence)}</p>" for sentence in sentences),
            '<details><summary>What the columns mean</summary><dl class="meanings">',
            *meanings,
            "</dl></details>",
        ],
    )


def _curves(curves: Sequence[Curve]) -> Iterator[str]:
    for curve in curves:
        yield f"<figure>\n<figcaption><h3>{html(curve.title)}</h3></figcaption>\n{draw(curve)}"
        if len(curve.series) > 1:
            yield f'<p class="faint">{" ".join(_keys(curve))}</p>'
        yield "</figure>"


def _keys(curve: Curve) -> Iterator[str]:
    for number, series in enumerate(curve.series):
        line = f'<line x1="0" y1="6" x2="32" y2="6" class="line line{number % 4}"/>'
        yield f'<svg viewBox="0 0 32 12" class="key" aria-hidden="true">{line}</svg> {html(series.label)}'


def _examples(examples: Sequence[Example]) -> Iterator[str]:
    yield '<p class="faint">Words that the reference does not have in that place are marked.</p>'
    for example in examples:
        yield f'<dl class="example"><dt>Segment {example.number:,}, source</dt><dd>{html(example.source)}</dd>'
        yield f"<dt>Reference</dt><dd>{html(example.reference)}</dd>"
        for name, text in example.texts.items():
            score = f'<span class="faint">chrF++ {example.scores[name]:.1f}</span>'
            yield f"<dt>{html(name)} {score}</dt><dd>{_marked(text, example.reference)}</dd>"
        yield "</dl>"


def _marked(text: str, reference: str) -> str:
    """A text with the words marked that are not the reference's."""
    pieces = re.split(r"(\s+)", text)  # words at even places, the blanks between them at odd ones
    words = pieces[::2]
    same: set[int] = set()
    for block in SequenceMatcher(None, words, reference.split(), autojunk=False).get_matching_blocks():
        same.update(range(block.a, block.a + block.size))
    marked = [
        f"<mark>{html(piece)}</mark>" if place % 2 == 0 and piece and place // 2 not in same else html(piece)
        for place, piece in enumerate(pieces)
    ]
    return "".join(marked)


def _systems(comparison: Comparison) -> Iterator[str]:
    for scores in comparison.systems:
        yield f"<h3>{html(scores.name)}</h3>"
        yield _pairs_table({"segments": scores.segments, "failed": scores.failed, **scores.described})


def _pairs_table(values: Mapping[str, object]) -> str:
    rows = [f'<tr><th scope="row">{html(name)}</th><td>{_value(value)}</td></tr>' for name, value in values.items()]
    return "\n".join(['<div class="scroll"><table>', *rows, "</table></div>"])
