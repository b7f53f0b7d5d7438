"""Which encoding a file without a declared charset is read in: what the user says, its byte order mark, or UTF-8."""

from __future__ import annotations

from pathlib import Path

from ..errors import FormatError, UsageError
from ..textio import codec_name, is_wide, sniff_bom
from ..types import OpenOptions

_HEAD = 1 << 12
#: Which bytes of four are zero in a Latin text.
_ZEROS = {"utf-32-le": (1, 2, 3), "utf-32-be": (0, 1, 2), "utf-16-le": (1, 3), "utf-16-be": (0, 2)}


def detect(path: Path, options: OpenOptions) -> tuple[bytes, str]:
    """The byte order mark that the file begins with (empty if none) and its encoding, as Python names it.

    The option ``encoding`` goes before the mark; the first bytes of a file in an 8-bit charset are then plain text,
    whatever they look like.

    :raises UsageError: for an unknown encoding, and for UTF-16 or UTF-32 of unknown byte order.
    :raises FormatError: for a text in one of these that nobody says it is in: in UTF-8 it would be texts full of NULs.
    """
    mark, found = sniff_bom(path)
    wanted = options.one("encoding")
    if not wanted:
        if not found and (wide := _likely_wide(path)):
            raise FormatError(
                f"the zero bytes stand where {wide} has them, but there is no byte order mark",
                path=path,
                hint=f"Name its encoding: -O encoding={wide}, or -O encoding=utf-8 if it is that all the same.",
            )
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


def _likely_wide(path: Path) -> str | None:
    """The wide encoding that a file is in by the places of its zero bytes, where most of it is ASCII."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    units = len(head) // 4
    often = {place for place in range(4) if head[place : units * 4 : 4].count(0) * 4 > units * 3}
    return next((name for name, places in _ZEROS.items() if often == set(places)), None)


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
