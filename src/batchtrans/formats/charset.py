"""Which encoding a file without a declared charset is read in: what the user says, its byte order mark, or UTF-8."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from ..textio import codec_name, is_wide, sniff_bom
from ..types import OpenOptions


def detect(path: Path, options: OpenOptions) -> tuple[bytes, str]:
    """The byte order mark that the file begins with (empty if none) and its encoding, as Python names it.

    The option ``encoding`` goes before the mark; the first bytes of a file in an 8-bit charset are then plain text,
    whatever they look like.

    :raises UsageError: for an unknown encoding, and for UTF-16 or UTF-32 of unknown byte order.
    """
    mark, found = sniff_bom(path)
    wanted = options.one("encoding")
    if not wanted:
        return mark, found or "utf-8"
    name = codec_name(wanted)
    if name == "utf-8-sig":
        name = "utf-8"
    if found == name or (found and name in ("utf-16", "utf-32") and found.startswith(name)):
        return mark, found
    if name in ("utf-16", "utf-32"):
        raise UsageError(
            f"{path} has no byte order mark, so {wanted} does not say enough",
            f"Name the byte order: -O encoding={name}-le or -O encoding={name}-be.",
        )
    if not is_wide(name) and not _holds_ascii(name):
        raise UsageError(f"{wanted} is not a charset of text files", "Name one such as utf-8, cp1252 or euc-kr.")
    return b"", name


def _holds_ascii(encoding: str) -> bool:
    """Whether ASCII text is itself in this encoding, so that line ends and delimiters can be found."""
    try:
        return "a\n".encode(encoding) == b"a\n"
    except LookupError:  # a codec from bytes to bytes, such as base64
        return False


def encode_problem(text: str, encoding: str) -> str | None:
    """Why ``text`` cannot be stored in this encoding, or ``None``."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        return f"the character {text[error.start]!r} is not in {encoding}; a file in UTF-8 could hold it"
    return None
