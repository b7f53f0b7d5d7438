"""Character encodings of catalogues: views of their bytes that show ASCII, C escapes, and the names gettext knows."""

from __future__ import annotations

import codecs
import re
from array import array

_ESCAPE = re.compile(r"((?:\\(?:x[0-9A-Fa-f]+|[0-7]{1,3}))+)|\\(.)")
_BYTE = re.compile(r"\\(?:x([0-9A-Fa-f]+)|([0-7]+))")
_ESCAPED = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}

#: Charsets whose later bytes of a character may be ASCII, with what a character of several bytes looks like.
_DOUBLE = re.compile(rb"[\x81-\xfe][\x00-\xff]")
_SHIFT_JIS = re.compile(rb"[\x81-\x9f\xe0-\xfc][\x00-\xff]")
_MASKS = {
    **dict.fromkeys(("gbk", "gb18030", "big5", "big5hkscs", "cp950", "johab"), _DOUBLE),
    **dict.fromkeys(("shift_jis", "cp932", "shift_jis_2004", "shift_jisx0213"), _SHIFT_JIS),
}
_UNITS = {"utf-16-le": (2, "<"), "utf-16-be": (2, ">"), "utf-32-le": (4, "<"), "utf-32-be": (4, ">")}


class Charset:
    """A character encoding as the scanner needs it; ``unit`` is how many bytes an ASCII character takes."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.unit, self._order = _UNITS.get(codec, (1, ""))
        self._mask = _MASKS.get(codec)
        self.plain = self.unit == 1 and self._mask is None  #: whether the bytes are their own view

    def view(self, data: bytes) -> bytes:
        """The view of ``data``: one byte per unit, with 0xff for everything outside ASCII where the two differ."""
        if self.plain:
            return data
        if self._mask is not None:
            return self._mask.sub(lambda match: b"\xff" * len(match[0]), data)
        units = array("H" if self.unit == 2 else "I", data[: len(data) // self.unit * self.unit])
        if (self._order == ">") != (array("H", b"\0\1")[0] == 1):
            units.byteswap()
        return bytes(unit if unit < 0x80 else 0xFF for unit in units)

    def decode(self, data: bytes) -> str:
        return data.decode(self.codec)

    def encode(self, text: str) -> bytes:
        return text.encode(self.codec)


def supported_codec(name: str) -> str | None:
    """Python's name of an encoding that catalogues can be read in, or ``None``; UTF-16 means that with a mark."""
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        return None
    codec = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(codec, codec)
    return codec if _is_supported(codec) else None


def _is_supported(codec: str) -> bool:
    """Whether catalogues in this encoding can be read: ASCII stands for itself and no byte changes later ones."""
    if codec in _UNITS:
        return True
    ascii_text = bytes(range(0x20, 0x7F)) + b"\n\r\t"
    try:
        same = ascii_text.decode(codec) == ascii_text.decode("ascii")
    except (LookupError, UnicodeError):
        return False
    return same and not codec.startswith(("iso2022", "hz", "utf-7", "unicode", "raw_unicode", "idna", "puny"))


def charset_label(codec: str) -> str:
    """The name that gettext knows for a Python codec."""
    label = codec.upper().replace("_", "-").replace("ISO8859", "ISO-8859")
    return {"SHIFT-JIS": "SHIFT_JIS", "UTF-16-LE": "UTF-16", "UTF-16-BE": "UTF-16"}.get(label, label)


def unescape(text: str, charset: Charset) -> str:
    """Text with C escapes decoded as gettext does: numeric ones are bytes of the charset.

    ``polib.unescape`` knows neither ``\\a`` nor numeric escapes, and lets wrong ones pass.

    :raises ValueError: naming the escape that is not valid.
    """

    if "\\\\" not in text:  # then these two cannot be part of anything else
        text = text.replace("\\n", "\n").replace('\\"', '"')
        if "\\" not in text:
            return text

    def replace(match: re.Match[str]) -> str:
        if match[2] is not None:
            if (character := _ESCAPED.get(match[2])) is None:
                raise ValueError(f"invalid escape \\{match[2]}")
            return character
        codes = [int(byte[1], 16) if byte[1] else int(byte[2], 8) for byte in _BYTE.finditer(match[1])]
        try:
            return bytes(code & 0xFF for code in codes).decode("utf-8" if charset.unit > 1 else charset.codec)
        except UnicodeDecodeError:
            raise ValueError(f"escape {match[1]} is not {charset.codec}") from None

    return _ESCAPE.sub(replace, text)
