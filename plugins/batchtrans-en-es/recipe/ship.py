"""Put base, adapter, scores and calibration into the package, with the size and the hash of every file."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path

LARGEST_FILE = 16 * 2**20  # bytes
LARGEST_MODEL = 44 * 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path, help="directory of quantise.py")
    parser.add_argument("adapter", type=Path, help="directory of adapter.py")
    parser.add_argument("scores", type=Path, help="scores.json of evaluate.py")
    parser.add_argument("--calibration", type=Path, help="file of batchtrans calibrate")
    parser.add_argument("-o", "--output", type=Path, required=True, help="model directory of the package")
    args = parser.parse_args()

    for name, source in (("base", args.base), ("adapter", args.adapter)):
        shutil.rmtree(args.output / name, ignore_errors=True)
        shutil.copytree(source, args.output / name)
    card_path = args.output / "adapter" / "batchtrans.json"
    card = json.loads(card_path.read_text(encoding="utf-8"))
    measured = json.loads(args.scores.read_text(encoding="utf-8"))
    card["scores"] = {name: measured[name] for name in ("sets", "stop", "device", "dtype")}
    card_path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if args.calibration:
        shutil.copy(args.calibration, args.output / "adapter" / "calibration.json")

    files = {}
    for path in sorted(args.output.glob("*/*")):
        path.chmod(0o644)
        data = path.read_bytes()
        files[path.relative_to(args.output).as_posix()] = {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    total = sum(entry["bytes"] for entry in files.values())
    too_large = [name for name, entry in files.items() if entry["bytes"] > LARGEST_FILE]
    if too_large or total > LARGEST_MODEL:
        raise SystemExit(f"too large: {too_large or f'{total} bytes in all'}")
    (args.output / "manifest.json").write_text(json.dumps({"bytes": total, "files": files}, indent=1) + "\n")
    print(f"{len(files)} files, {total / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
