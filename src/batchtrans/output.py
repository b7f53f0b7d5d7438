"""Splicing decisions into the bytes of a document, and reading the result back before it replaces anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from .alignment import Values
from .errors import VerifyError
from .translator import Decision, decision_from_values
from .types import Document, Edit, Format, OpenOptions, Segment, State

#: So many bytes are written, and hashed, at a time.
_BATCH = 1 << 17


def merge(document: Document, groups: Iterator[list[Values]]) -> Iterator[bytes | Decision]:
    """The pieces of a document, each segment with its decision from the log.

    The log holds the groups of a window in the order in which batches came back, so a group may be read ahead of
    its turn; what is held is bounded by two windows, or five with a backend in the background.

    :raises VerifyError: if the log lacks a segment.
    """
    ahead: dict[str, list[Values]] = {}
    for piece in document.pieces():
        if isinstance(piece, bytes):
            yield piece
            continue
        found = ahead.pop(piece.id, None) if ahead else None
        while found is None:
            group = next(groups, None)
            if group is None:
                raise VerifyError(
                    f"the log has no record of the segment at line {piece.location.line} of {document.path}",
                    "Run again with --fresh to start a new log.",
                )
            if group[0]["segment"] == piece.id:
                found = group
            else:
                ahead[group[0]["segment"]] = group
        yield decision_from_values(piece, found)


class Digest:
    """A fingerprint of all that must not change (bytes outside slots, ids) and all that must be there (targets).

    It is kept of many pieces at a time: ``kept`` and ``texts`` take them until :meth:`add`.
    """

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.texts: list[str] = []
        self._bytes = hashlib.blake2b()
        self._segments = hashlib.blake2b()

    @classmethod
    def of(cls, document: Document) -> Digest:
        """That of a document as it is."""
        digest, size = cls(), 0
        for piece in document.pieces():
            if isinstance(piece, bytes):
                digest.kept.append(piece)
                size += len(piece)
            else:
                digest.segment(piece, piece.target)
                size += len(piece.raw)
            if size > _BATCH:
                digest.add()
                size = 0
        return digest

    def segment(self, segment: Segment, target: tuple[str, ...]) -> None:
        self.kept.append(segment.skeleton())
        while target and not target[-1]:  # an untranslated plural entry may have any number of empty forms
            target = target[:-1]
        self.texts += (segment.id, *target, "")

    def add(self) -> None:
        """Take what has been gathered."""
        self._bytes.update(b"".join(self.kept))
        self._segments.update("\0".join((*self.texts, "")).encode("utf-8", "surrogatepass"))
        self.kept.clear()
        self.texts.clear()

    def parts(self) -> tuple[bytes, bytes]:
        self.add()
        return self._bytes.digest(), self._segments.digest()


class Edits:
    """Declared edits, applied to literal bytes as they stream past. ``position`` counts bytes of the original, as long
    as edits are ``waiting``."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self.waiting = sorted(edits, key=lambda edit: (edit.start, edit.end))
        self.position = 0

    def before_segment(self) -> bytes:
        """What is inserted right before the segment at the current position."""
        return self._due(self.position)

    def pass_over(self, length: int) -> None:
        self.position += length

    def literal(self, data: bytes) -> bytes:
        """The literal ``data`` with the edits that fall into it; an edit may span several literals."""
        start, end = self.position, self.position + len(data)
        out: list[bytes] = []
        cursor = start
        while self.waiting and self.waiting[0].start < end:
            edit = self.waiting[0]
            if edit.start >= start:
                out += (data[cursor - start : edit.start - start], edit.data)
            cursor = max(cursor, min(edit.end, end))
            if edit.end > end:
                break
            self.waiting.pop(0)
        out.append(data[cursor - start :])
        self.position = end
        return b"".join(out)

    def rest(self) -> bytes:
        """What is inserted at the end of the file.

        :raises VerifyError: if an edit was declared inside a segment and so never met.
        """
        data = self._due(self.position)
        if self.waiting:
            raise VerifyError("a format declared an edit outside the literal bytes of its document")
        return data

    def _due(self, position: int) -> bytes:
        data = b""
        while self.waiting and self.waiting[0].start == self.waiting[0].end == position:
            data += self.waiting.pop(0).data
        return data


def splice(
    document: Document,
    pieces: Iterable[bytes | Decision],
    edits: Sequence[Edit],
    file: IO[bytes],
    digest: Digest | None,
) -> str:
    """Write the output document; returns its SHA-256.

    ``digest`` takes what :func:`verify` wants to see again. There is none where no target of the document changed;
    untouched segments are copied then, and otherwise rendered with ``State.SKIP`` so that a format can complete its
    structure.
    """
    sha256, editing = hashlib.sha256(), Edits(edits)
    out: list[bytes] = []
    size = 0

    def hand_on() -> None:
        data = b"".join(out)
        file.write(data)
        sha256.update(data)
        if digest:
            digest.add()
        out.clear()

    for piece in pieces:
        if isinstance(piece, bytes):
            data = editing.literal(piece) if editing.waiting else piece
            if digest:
                digest.kept.append(data)
        else:
            segment, target, state, written, _ = piece
            if editing.waiting:
                out.append(editing.before_segment())
                editing.pass_over(len(segment.raw))
                if digest:
                    digest.kept.append(out[-1])
            if written:
                data = document.render(segment, target, state)
            else:
                data = document.render(segment, segment.target, State.SKIP) if digest else segment.raw
            if digest:
                digest.segment(segment, target)
        out.append(data)
        size += len(data)
        if size > _BATCH:
            hand_on()
            size = 0
    out.append(editing.rest())
    if digest:
        digest.kept.append(out[-1])
    hand_on()
    return sha256.hexdigest()


def verify(opener: Format, path: Path, options: OpenOptions, expected: Digest) -> None:
    """Read a written output back and compare: ids and targets as decided, and every byte outside the slots.

    :raises VerifyError: if it is not what was meant to be written.
    """
    bytes_expected, segments_expected = expected.parts()
    bytes_found, segments_found = Digest.of(opener.open(path, options)).parts()
    if segments_found != segments_expected:
        what = "the translations read back from the output are not those that were written"
    elif bytes_found != bytes_expected:
        what = "the output differs from the input outside the translated slots"
    else:
        return
    raise VerifyError(what, "The output was not put in place. This is a defect of the format; please report it.")
