r"""Texts in another spelling: `%41` for `A`, `\n` within a string of JSON, Base64, hexadecimal.

Each spelling is undone once here. `domain.credentials.scanning` searches the result again, a few layers deep.
"""

import re
from binascii import Error, a2b_base64
from collections.abc import Iterator

# The shortest run of characters that has a shape, except for a URL.
RUN = 20
LONG_PIECE = b"a" * RUN
_PIECES = bytes.maketrans(
    bytes(range(256)),
    bytes(
        ord("a") if chr(code).isascii() and (chr(code).isalnum() or chr(code) in "_+=%~") else
        ord("-") if chr(code) == "-" else
        ord(" ")
        for code in range(256)
    ),
)  # fmt: skip
# Only a UUID between spaces is passed over: a few credentials are one behind their issuer's prefix.
_UUID = b" aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa "
_NO_UUID = b" " * len(_UUID)
_PERCENT = re.compile(r"%([0-9a-f]{2})", re.IGNORECASE)
_ESCAPE = re.compile(r"\\+(?:u00([0-7][0-9a-f])|([nrtbf])|([/\"'\\]))", re.IGNORECASE)
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]*")
_HEX = re.compile(rb"(?:0x)?((?:[0-9A-Fa-f]{2})+)")
_OF_TEXT = bytes(range(ord(" "), ord("~") + 1)) + b"\t\n\r"
# How many decoded bytes have to be text: so many random bytes hardly ever are.
_TRIED_BYTES = 18
_LONG_DATA = 200


def pieces_of(content: bytes) -> bytes:
    """The content with each character that credentials may have as an `a`, and all others as spaces."""
    return content.translate(_PIECES).replace(_UUID, _NO_UUID).replace(b"-", b"a")


def plainly(text: str) -> str:
    """The text with its percent-encoding and its escapes undone."""
    if "\\" in text:
        text = _ESCAPE.sub(_unescaped, text)
    if "%" in text:
        text = _PERCENT.sub(lambda found: chr(int(found[1], 16)), text)
    return text


def _unescaped(found: re.Match[str]) -> str:
    code, space, sign = found.groups()
    return chr(int(code, 16)) if code else " " if space else sign


def texts_within(text: str) -> Iterator[str]:
    """The texts that stand in a text as Base64 or hexadecimal."""
    content = text.encode("utf-8", "surrogatepass")
    return _texts_within(content, pieces_of(content))


def _texts_within(content: bytes, pieces: bytes) -> Iterator[str]:
    end = 0
    while (start := pieces.find(LONG_PIECE, end)) >= 0:
        end = pieces.find(b" ", start)
        if end < 0:
            end = len(pieces)
        # Four beginnings are tried: a word or a part with a slash in it may stand in front of the Base64.
        for place in range(start, start + 4):
            if _is_text(_from_base64(content[place : place + _TRIED_BYTES // 3 * 4])):
                found = _BASE64.match(content, place)
                assert found is not None
                # Base64 goes on behind a slash, where the piece ends.
                end = max(end, found.end())
                yield _from_base64(found[0]).decode("utf-8", "replace")
                break
        else:
            # Long data that does not begin with text is passed over: no credential is sought in its middle.
            found = _BASE64.match(content, start)
            assert found is not None
            end = max(end, found.end()) if found.end() - start >= _LONG_DATA else end
        found = _HEX.match(content, start)
        if found is not None and _is_text(bytes.fromhex(found[1][: 2 * _TRIED_BYTES].decode())):
            yield bytes.fromhex(found[1].decode()).decode("utf-8", "replace")


def _from_base64(encoded: bytes) -> bytes:
    encoded = encoded.translate(_URL_SAFE)
    if len(encoded) % 4 == 1:
        encoded = encoded[:-1]
    try:
        return a2b_base64(encoded + b"=" * (-len(encoded) % 4))
    except Error:
        return b""


def _is_text(decoded: bytes) -> bool:
    return len(decoded) >= _TRIED_BYTES and decoded.isascii() and not decoded.translate(None, _OF_TEXT)
