"""Bytes to lines and back without loss, and putting a finished file in place atomically.

A line keeps its raw bytes beside its decoded text, so that a format can splice bytes and never has to re-encode what
it did not touch. Line ends are ``\\n``, ``\\r\\n`` and ``\\r`` only; form feeds and the like are text.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from .errors import BatchtransError, FormatError, UsageError

_CHUNK = 1 << 18
_BOMS = (  # UTF-32 before UTF-16: the little-endian marks share their first two bytes
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BYTE_END = re.compile(rb"\r\n|\n|\r")
_TEXT_END = re.compile(r"\r\n|\n|\r")


class Line(NamedTuple):
    """One line: its bytes (line end included), its text without the line end, the line end, the byte offset of its
    start in the file, and its number from 1. A byte order mark belongs to no line."""

    raw: bytes
    text: str
    end: str
    offset: int
    number: int


def codec_name(name: str) -> str:
    """Python's name of a character encoding.

    :raises UsageError: if there is no such encoding.
    """
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise UsageError(f"unknown encoding {name!r}", "Python knows utf-8, cp1252, euc-kr ...") from None


def sniff_bom(path: Path) -> tuple[bytes, str | None]:
    """The byte order mark that a file begins with (empty if none) and the encoding it stands for."""
    with path.open("rb") as file:
        head = file.read(4)
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return mark, encoding
    return b"", None


def is_wide(encoding: str) -> bool:
    """Whether ASCII characters take more than one byte in this encoding, so that bytes cannot be split at ``\\n``."""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def read_lines(path: Path, encoding: str, bom: bytes = b"") -> Iterator[Line]:
    """The lines of a file after its byte order mark, with bounded memory for bounded lines.

    The joined ``raw`` of all lines after ``bom`` are the file. A wide encoding must name its byte order
    (``utf-16-le``), as :func:`sniff_bom` does.

    :raises FormatError: at the first byte that does not decode, naming its offset.
    """
    lines = _wide_lines if is_wide(encoding) else _narrow_lines
    with path.open("rb") as file:
        file.seek(len(bom))
        yield from lines(file, path, encoding, len(bom))


def _narrow_lines(file: IO[bytes], path: Path, encoding: str, offset: int) -> Iterator[Line]:
    number, rest, at_end = 1, b"", False
    while not at_end:
        chunk = file.read(max(_CHUNK, len(rest)))  # as much again, so that a long line costs linear time
        at_end = not chunk
        buffer = rest + chunk
        position = 0
        for match in _BYTE_END.finditer(buffer):
            if match.end() == len(buffer) and not at_end and buffer.endswith(b"\r"):
                break  # the line feed of a CR LF pair may be in the next chunk
            raw = buffer[position : match.end()]
            yield _narrow_line(raw, path, encoding, offset, number)
            offset += len(raw)
            number += 1
            position = match.end()
        rest = buffer[position:]
    if rest:
        yield _narrow_line(rest, path, encoding, offset, number)


def _narrow_line(raw: bytes, path: Path, encoding: str, offset: int, number: int) -> Line:
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise undecodable(path, encoding, offset + error.start, raw[error.start]) from None
    body = text.rstrip("\r\n")
    return Line(raw, body, text[len(body) :], offset, number)


def _wide_lines(file: IO[bytes], path: Path, encoding: str, offset: int) -> Iterator[Line]:
    decoder = codecs.getincrementaldecoder(encoding)()
    number, rest, at_end, consumed = 1, "", False, offset
    while not at_end:
        chunk = file.read(max(_CHUNK, len(rest)))
        at_end = not chunk
        try:
            buffer = rest + decoder.decode(chunk, final=at_end)
        except UnicodeDecodeError as error:
            raise undecodable(path, encoding, consumed + error.start, 0) from None
        consumed += len(chunk)
        position = 0
        for match in _TEXT_END.finditer(buffer):
            if match.end() == len(buffer) and not at_end and buffer.endswith("\r"):
                break
            line = _wide_line(buffer[position : match.end()], encoding, offset, number)
            yield line
            offset += len(line.raw)
            number += 1
            position = match.end()
        rest = buffer[position:]
    if rest:
        yield _wide_line(rest, encoding, offset, number)


def _wide_line(text: str, encoding: str, offset: int, number: int) -> Line:
    body = text.rstrip("\r\n")
    return Line(text.encode(encoding), body, text[len(body) :], offset, number)


def first_undecodable(path: Path, encoding: str) -> tuple[int, int] | None:
    """Offset and value of the first byte of a file that does not decode in this encoding, if there is one."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        read = 0
        while True:
            chunk = file.read(_CHUNK)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return read - pending + error.start, error.object[error.start]
            read += len(chunk)
            if not chunk:
                return None


def undecodable(path: Path, encoding: str, offset: int, byte: int) -> FormatError:
    return FormatError(
        f"byte 0x{byte:02x} is not {encoding}",
        path=path,
        offset=offset,
        hint="Name the file's encoding, for example -O encoding=cp1252.",
    )


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def no_more_open_than(new: Path, *paths: Path) -> int:
    """The permission bits for a ``new`` file that tells what is in others: nobody but its owner can read or write it
    who could not do so with each of them. The owner can, also where one is protected against writing, since a log is
    gone on with."""
    mode, group = _usual_mode(), new.stat().st_gid
    for path in paths:
        status = path.stat()
        allowed = status.st_mode | 0o600
        if status.st_gid != group:  # whose members may be anybody there
            common = allowed >> 3 & allowed & 0o007
            allowed = allowed & 0o700 | common << 3 | common
        mode &= allowed
    return mode


def _take_permissions(new: Path, old: Path) -> None:
    """Give a file the permission bits and the group of another one; the bits alone would open it to another group,
    which gets no more than others where the group cannot be changed."""
    status = old.stat()
    mode = stat.S_IMODE(status.st_mode)
    if new.stat().st_gid != status.st_gid:
        try:
            os.chown(new, -1, status.st_gid)
        except OSError:
            mode &= no_more_open_than(new, old) | 0o700
    os.chmod(new, mode)


def _usual_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def unwritable(path: Path, error: OSError, *, atomically: bool = False, option: str = "-o") -> BatchtransError:
    """What to say of a file that cannot be opened for writing or, where it comes to its place ``atomically``, not be
    made beside it. One that is not there yet, or is to be replaced, it is the directory that does not allow. Where the
    file stands is chosen by ``option``."""
    exists = os.path.exists(path)
    verb = "replaced" if exists else "made"
    what = "cannot be written" if exists and not atomically else f"cannot be {verb} in the directory {path.parent}"
    return BatchtransError(
        f"{path} {what}: {error.strerror or error}", f"Make it writable, or write elsewhere with {option}."
    )


class AtomicFile:
    """A file written beside its destination and put in place by :meth:`commit`, whole or not at all.

    Used as a context manager: leaving it without a commit removes the temporary file. The destination keeps its
    permission bits and its group where it exists. A new file has those of the one that it is ``like``, or what the
    umask allows, but is no more open than the files that it ``tells_of``.

    :raises BatchtransError: for a destination that is no file, as a directory or a device, and where no file can be
        written beside it.
    """

    def __init__(self, destination: Path, *, like: Path | None = None, tells_of: Iterable[Path] = ()) -> None:
        if os.path.exists(destination) and not os.path.isfile(destination):
            raise BatchtransError(f"{destination} is not a file that could be replaced", "Name another one.")
        self.destination = destination.resolve()  # behind a symbolic link the file is replaced, not the link
        self._like, self._tells_of = like, tuple(tells_of)
        prefix, directory = f".{self.destination.name}.", self.destination.parent
        try:
            descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=directory)
        except OSError as error:  # which would name the temporary file
            raise unwritable(destination, error, atomically=True) from None
        self.path = Path(name)
        self.file: IO[bytes] = os.fdopen(descriptor, "wb")
        self._committed = False

    def __enter__(self) -> AtomicFile:
        return self

    def close(self) -> None:
        """Bring every byte written so far to the disk; the file can then be read back."""
        if not self.file.closed:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()

    def commit(self) -> None:
        """Replace the destination by this file."""
        self.close()
        if like := self.destination if self.destination.exists() else self._like:
            _take_permissions(self.path, like)
        else:
            os.chmod(self.path, no_more_open_than(self.path, *self._tells_of))
        os.replace(self.path, self.destination)
        self._committed = True
        sync_directory(self.destination.parent)

    def __exit__(self, *exception: Any) -> None:
        if not self.file.closed:
            self.file.close()
        if not self._committed:
            self.path.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Make a rename in ``directory`` outlive a power cut."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return  # Windows cannot open a directory; there the rename is as durable as the system makes it
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
