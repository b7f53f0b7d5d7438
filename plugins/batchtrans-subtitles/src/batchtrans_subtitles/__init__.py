"""SubRip subtitles for batchtrans: declares the format and imports nothing that implements it."""

from __future__ import annotations

from collections.abc import Iterable

from batchtrans import Declared, hookimpl


@hookimpl
def batchtrans_formats() -> Iterable[Declared]:
    return [
        Declared(
            "srt",
            "batchtrans_subtitles.srt:SrtFormat",
            "SubRip subtitles",
            {"encoding": "character encoding of the file"},
            (".srt",),
        )
    ]
