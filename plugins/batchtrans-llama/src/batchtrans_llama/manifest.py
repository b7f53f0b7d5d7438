"""The files of an embedded model against what they were when it was shipped.

A damaged adapter would load and write nonsense; the base's own fingerprint is compared with what the adapter names.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from batchtrans import BackendError
from batchtrans.calibration import FILE as CALIBRATION

from .card import read_json

MANIFEST = "manifest.json"


def check_manifest(root: Path) -> None:
    """Compare the files of a model directory with size and sha256 in its ``manifest.json``, if it has one; but for its
    calibration, which users may make anew.

    :raises BackendError: for a file that is missing or another one, naming it.
    """
    path = root / MANIFEST
    if not path.is_file():
        return
    for name, entry in read_json(path, f"{path} cannot be read")["files"].items():
        if Path(name).name == CALIBRATION:
            continue
        what = _fault(root / name, entry["bytes"], entry["sha256"])
        if what:
            raise BackendError(
                f"{root / name} {what}",
                "Install the package that brings the model again (pip install --force-reinstall --no-deps NAME).",
            )


def _fault(path: Path, size: int, sha256: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if len(data) != size:
        return f"has {len(data)} bytes and not the {size} that were shipped"
    return "" if hashlib.sha256(data).hexdigest() == sha256 else "is not the file that was shipped"
