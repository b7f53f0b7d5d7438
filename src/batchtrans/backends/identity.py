"""The losslessness probe: every segment comes back as it is, and still passes through the whole engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..types import Backend, Request, Result


class IdentityBackend(Backend):
    """Gives back each request's present text: the target of a catalogue entry, also an empty one, and the source
    where source and target are one."""

    verbatim = True
    batch_size = 4096
    batch_chars = 1 << 24

    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        return {"backend": "identity"}

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        for request in requests:
            yield Result(request.id, request.target)
