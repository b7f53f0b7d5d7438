"""The part of the schema of SARIF 2.1.0 (OASIS) that a report of ``batchtrans check`` uses, written down anew.

As in the standard's own schema no object may have another property than those of its section; properties that we do not
write are left out here, so that this one refuses more.
"""

from __future__ import annotations

from typing import Any


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


_TEXT = {"type": "string"}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
#: 3.11 message, 3.12 multiformatMessageString: a plain text.
_MESSAGE = _object(["text"], text=_TEXT)
#: 3.49 reportingDescriptor; 3.50 reportingConfiguration.
_RULE = _object(["id"], id=_TEXT, shortDescription=_MESSAGE, defaultConfiguration=_object([], level=_LEVEL))
#: 3.19 toolComponent, 3.18 tool.
_DRIVER = _object(["name"], name={**_TEXT, "minLength": 1}, version=_TEXT, rules={
    "type": "array", "uniqueItems": True, "items": _RULE})  # fmt: skip
#: 3.29 physicalLocation: 3.4 artifactLocation, 3.30 region; 3.33 logicalLocation; 3.28 location.
_PHYSICAL = _object(
    ["artifactLocation"],
    artifactLocation=_object([], uri={**_TEXT, "format": "uri-reference"}),
    region=_object([], startLine={"type": "integer", "minimum": 1}),
)
_LOGICAL = _object([], fullyQualifiedName=_TEXT, kind=_TEXT)
_LOCATION = _object([], physicalLocation=_PHYSICAL, logicalLocations={
    "type": "array", "uniqueItems": True, "items": _LOGICAL})  # fmt: skip
#: 3.27 result.
_RESULT = _object(
    ["message"],
    ruleId=_TEXT,
    ruleIndex={"type": "integer", "minimum": -1},
    level=_LEVEL,
    message=_MESSAGE,
    locations={"type": "array", "items": _LOCATION},
    partialFingerprints={"type": "object", "additionalProperties": _TEXT},
)
#: 3.14 run, 3.13 sarifLog.
SARIF = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **_object(
        ["version", "runs"],
        **{"$schema": {**_TEXT, "format": "uri"}},
        version={"const": "2.1.0"},
        runs={
            "type": "array",
            "items": _object(
                ["tool"],
                tool=_object(["driver"], driver=_DRIVER),
                columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                results={"type": "array", "items": _RESULT},
            ),
        },
    ),
}
