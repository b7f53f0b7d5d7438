"""Measuring translations: what a system writes, where it stops, how good that is, and whether it is better.

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from .compare import Comparison, Difference, compare
from .decoding import decode_texts
from .diagram import Curve, Series
from .examples import Example, side_by_side
from .metrics import Flags, Scores, chrf_of, segment_chrf
from .output import Hypothesis, Output
from .report import Verdict, write_report
from .shots import choose_shots, few_shot_template
from .systems import CommandSystem, FileSystem, ModelSystem, parse_against, resolve, run_systems
from .table import table

__all__ = [
    "CommandSystem",
    "Comparison",
    "Curve",
    "Difference",
    "Example",
    "FileSystem",
    "Flags",
    "Hypothesis",
    "ModelSystem",
    "Output",
    "Scores",
    "Series",
    "Verdict",
    "choose_shots",
    "chrf_of",
    "compare",
    "decode_texts",
    "few_shot_template",
    "parse_against",
    "resolve",
    "run_systems",
    "segment_chrf",
    "side_by_side",
    "table",
    "write_report",
]
