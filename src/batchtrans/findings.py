"""What the judges find in a file, and the three ways in which it is written down: text, JSON, SARIF.

Text is one line per finding, as compilers write them, so that editors and terminals can jump to the place. JSON is
described in ``docs/checking.md``. SARIF 2.1.0 is what code hosts show beside the lines of a change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from . import __version__

SCHEMA = 1
ERROR, WARNING = "error", "warning"
_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


class Rule(NamedTuple):
    """A check: whether what it finds is a fault or a doubt, and what that is."""

    severity: str
    summary: str


#: All checks of the core. Plugins add codes of their own.
RULES: Mapping[str, Rule] = {
    "syntax": Rule(ERROR, "The file cannot be read as what it claims to be."),
    "header": Rule(
        WARNING,
        "The header of a catalogue is incomplete; without any, or a charset it needs: an error.",
    ),
    "plurals": Rule(ERROR, "Plural forms are missing or too many, or the header has no usable rule for them."),
    "duplicate": Rule(ERROR, "A catalogue has two entries with one msgid and context."),
    "empty": Rule(ERROR, "There is no text."),
    "placeholders": Rule(ERROR, "Placeholders were lost, invented, changed, or reordered where order counts."),
    "format": Rule(ERROR, "The text is not valid in the syntax that its program reads."),
    "newlines": Rule(ERROR, "Only one of source and translation begins or ends with a newline."),
    "control": Rule(ERROR, "Control characters that the source does not have."),
    "unchanged": Rule(WARNING, "The translation is the source."),
    "end": Rule(WARNING, "The translation has another end mark."),
    "numbers": Rule(WARNING, "Numbers were lost or invented."),
    "names": Rule(WARNING, "Names with a capital inside, as in YouTube, were lost or invented."),
    "language": Rule(WARNING, "The translation seems to be in the source's language."),
    "code": Rule(WARNING, "Another name stands in backquotes."),
    "markup": Rule(WARNING, "Emphasis of Markdown or reST was lost or added."),
    "accelerator": Rule(WARNING, "The source marks one access key, the translation none or several."),
    "doubled": Rule(WARNING, "A word stands twice in a row."),
    "repetition": Rule(WARNING, "The translation repeats itself."),
    "length": Rule(WARNING, "The translation is more than twice as long as the source, or less than half."),
    "keep": Rule(ERROR, "A term of the glossary that must stay as it is was changed."),
    "glossary": Rule(WARNING, "The translation does not use a term of the glossary."),
    "untranslated": Rule(WARNING, "An entry has no translation; reported only if asked for."),
}


class Finding(NamedTuple):
    """One thing that a judge found: in which file, on which line (from 1), in which segment and plural form (``None``
    outside plurals), by which check, how bad (``error`` or ``warning``), and what. ``segment`` is empty where the file
    as a whole is meant."""

    path: str
    line: int
    segment: str
    form: int | None
    check: str
    severity: str
    message: str

    def said(self) -> str:
        """The message with its plural form."""
        return self.message if self.form is None else f"form {self.form}: {self.message}"


class Checked(NamedTuple):
    """What was looked at in one file: how many segments, and how many were left out for which reason."""

    path: str
    segments: int
    left_out: Mapping[str, int]


def as_line(finding: Finding) -> str:
    """``FILE:LINE: SEVERITY: CHECK: MESSAGE``."""
    return f"{finding.path}:{finding.line}: {finding.severity}: {finding.check}: {finding.said()}"


def as_json(files: Sequence[Checked], findings: Sequence[Finding]) -> dict[str, Any]:
    """The report that ``docs/check.schema.json`` describes."""
    return {
        "schema": SCHEMA,
        "tool": f"batchtrans {__version__}",
        "files": [file._asdict() for file in files],
        "findings": [finding._asdict() for finding in findings],
        "counts": counts(findings),
    }


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings of each severity there are."""
    total = {ERROR: 0, WARNING: 0}
    for finding in findings:
        total[finding.severity] += 1
    return total


def as_sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """A log of SARIF 2.1.0 (OASIS) with one run; ``partialFingerprints`` tell a finding when lines have moved."""
    others = sorted({finding.check for finding in findings} - set(RULES))
    rules = [_rule(code, rule) for code, rule in RULES.items()]
    rules += [_rule(code, Rule(WARNING, f"Reported by the plugin check {code}.")) for code in others]
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    driver = {"name": "batchtrans", "version": __version__, "rules": rules}
    results = [_result(finding, index[finding.check]) for finding in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str, rule: Rule) -> dict[str, Any]:
    return {
        "id": code,
        "shortDescription": {"text": rule.summary},
        "defaultConfiguration": {"level": rule.severity},
    }


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(finding.path)},
            "region": {"startLine": finding.line},
        }
    }
    if finding.segment:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.segment, "kind": "resource"}]
    text = "\0".join((finding.segment, str(finding.form), finding.check, finding.message))
    return {
        "ruleId": finding.check,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": finding.said()},
        "locations": [location],
        "partialFingerprints": {"batchtrans/v1": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]},
    }


def _uri(path: str) -> str:
    """A path as a URI reference: relative ones stay relative, so that a code host finds them in its checkout."""
    from pathlib import Path
    from urllib.parse import quote

    as_posix = Path(path).as_posix()
    return Path(path).as_uri() if Path(path).is_absolute() else quote(as_posix)
