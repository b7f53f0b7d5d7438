"""Splicing decisions into the bytes of a document, and reading the result back before it replaces anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from .alignment import AlignmentRecord
from .errors import VerifyError
from .translator import Decision, decision_from_records
from .types import Document, Edit, Format, OpenOptions, Segment, State


def merge(document: Document, groups: Iterator[list[AlignmentRecord]]) -> Iterator[bytes | Decision]:
    """The pieces of a document, each segment with its decision from the log.

    The log holds the groups of a window in the order in which batches came back, so a group may be read ahead of
    its turn; what is held is bounded by two windows, or five with a backend in the background.

    :raises VerifyError: if the log lacks a segment.
    """
    ahead: dict[str, list[AlignmentRecord]] = {}
    for piece in document.pieces():
        if isinstance(piece, bytes):
            yield piece
            continue
        while piece.id not in ahead:
            group = next(groups, None)
            if group is None:
                raise VerifyError(
                    f"the log has no record of the segment at line {piece.location.line} of {document.path}",
                    "Run again with --fresh to start a new log.",
                )
            ahead[group[0].segment] = group
        yield decision_from_records(piece, ahead.pop(piece.id))


class _Digest:
    """A fingerprint of all that must not change (bytes outside slots, ids) and all that must be there (targets)."""

    def __init__(self) -> None:
        self._bytes = hashlib.blake2b()
        self._segments = hashlib.blake2b()

    def literal(self, data: bytes) -> None:
        self._bytes.update(data)

    def segment(self, segment: Segment, target: tuple[str, ...]) -> None:
        self._bytes.update(segment.skeleton())
        texts = list(target)
        while texts and not texts[-1]:  # an untranslated plural entry may have any number of empty forms
            texts.pop()
        self._segments.update("\0".join((segment.id, *texts, "")).encode("utf-8", "surrogatepass"))

    def parts(self) -> tuple[bytes, bytes]:
        return self._bytes.digest(), self._segments.digest()


class Edits:
    """Declared edits, applied to literal bytes as they stream past. ``position`` counts bytes of the original."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._waiting = sorted(edits, key=lambda edit: (edit.start, edit.end))
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
        while self._waiting and self._waiting[0].start < end:
            edit = self._waiting[0]
            if edit.start >= start:
                out += (data[cursor - start : edit.start - start], edit.data)
            cursor = max(cursor, min(edit.end, end))
            if edit.end > end:
                break
            self._waiting.pop(0)
        out.append(data[cursor - start :])
        self.position = end
        return b"".join(out)

    def rest(self) -> bytes:
        """What is inserted at the end of the file.

        :raises VerifyError: if an edit was declared inside a segment and so never met.
        """
        data = self._due(self.position)
        if self._waiting:
            raise VerifyError("a format declared an edit outside the literal bytes of its document")
        return data

    def _due(self, position: int) -> bytes:
        data = b""
        while self._waiting and self._waiting[0].start == self._waiting[0].end == position:
            data += self._waiting.pop(0).data
        return data


def splice(
    document: Document, pieces: Iterable[bytes | Decision], edits: Sequence[Edit], file: IO[bytes], *, changed: bool
) -> tuple[str, tuple[bytes, bytes]]:
    """Write the output document; returns its SHA-256 and the digests that :func:`verify` wants to see again.

    ``changed`` says whether any target of the document changed; if none did, untouched segments are copied, and
    otherwise they are rendered with ``State.SKIP`` so that a format can complete its structure.
    """
    digest, sha256, editing = _Digest(), hashlib.sha256(), Edits(edits)

    def emit(data: bytes) -> None:
        file.write(data)
        sha256.update(data)

    for piece in pieces:
        if isinstance(piece, bytes):
            data = editing.literal(piece)
            digest.literal(data)
            emit(data)
            continue
        segment = piece.segment
        inserted = editing.before_segment()
        digest.literal(inserted)
        digest.segment(segment, piece.target)
        if piece.written:
            data = document.render(segment, piece.target, piece.state)
        else:
            data = document.render(segment, segment.target, State.SKIP) if changed else segment.raw
        emit(inserted + data)
        editing.pass_over(len(segment.raw))
    rest = editing.rest()
    digest.literal(rest)
    emit(rest)
    return sha256.hexdigest(), digest.parts()


def verify(opener: Format, path: Path, options: OpenOptions, expected: tuple[bytes, bytes]) -> None:
    """Read a written output back and compare: ids and targets as decided, and every byte outside the slots.

    :raises VerifyError: if it is not what was meant to be written.
    """
    digest = _Digest()
    for piece in opener.open(path, options).pieces():
        if isinstance(piece, bytes):
            digest.literal(piece)
        else:
            digest.segment(piece, piece.target)
    bytes_found, segments_found = digest.parts()
    if segments_found != expected[1]:
        what = "the translations read back from the output are not those that were written"
    elif bytes_found != expected[0]:
        what = "the output differs from the input outside the translated slots"
    else:
        return
    raise VerifyError(what, "The output was not put in place. This is a defect of the format; please report it.")
