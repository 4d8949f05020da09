"""NATS's protocol, as it is read and written: whole messages at once, without a coroutine for each step.

https://docs.nats.io/reference/reference-protocols/nats-protocol

It leans on nats-py's `Parser`: on `parse`, `state`, `needed`, and `buf`, which stays the same object until
`reset`; and on that it takes a control line by itself, and the beginning of a message whose end comes later.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol

from nats.errors import BadHeaderError
from nats.protocol.parser import AWAITING_MSG_PAYLOAD, Parser

# Subject, reply subject ("" for none), headers (`None` for none), body.
Handler = Callable[[str, str, Mapping[str, str] | None, bytes], None]

CRLF = b"\r\n"

_PLAIN_HEADERS = b"NATS/1.0\r\n"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_WHITE_SPACE = re.compile(r"\s")


class Receiver(Protocol):
    """The client that a parser works for."""

    def hand_over(
        self, handler: Handler, subject: bytes, reply: bytes, headers: Mapping[str, str] | None, body: bytes
    ) -> None:
        """Has a direct subscription's message handled."""

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        """Takes any message."""


class DirectParser(Parser):
    """nats-py's parser, which is spared every message that is there as a whole.

    The rest comes to it in the pieces that it would take anyway: control lines, the beginning of a message
    whose end is not there yet, and that end.
    """

    def __init__(self, client: Receiver, direct: Mapping[bytes, Handler]) -> None:
        super().__init__(client)
        self._client = client
        self._direct = direct

    @property
    def is_amid(self) -> bool:
        """Whether the beginning of something was kept, whose end is to come."""
        return bool(self.buf) or self.state == AWAITING_MSG_PAYLOAD

    def take(self, data: bytes, position: int = 0) -> int:
        """Handles all direct messages that come there, one behind the other, as a whole.

        The position behind the last of them. Only where nothing was kept.
        """
        while (line_end := data.find(CRLF, position)) >= 0:
            words = data[position:line_end].split(b" ")
            if not _is_message(words) or (handler := self._direct.get(words[2])) is None:
                break
            begin = line_end + len(CRLF)
            end = begin + int(words[-1])
            if end + len(CRLF) > len(data):
                break
            headers = None
            words_without_reply = 4
            if words[0] == b"HMSG":
                words_without_reply = 5
                headers_end = begin + int(words[-2])
                if headers_end > begin:
                    if not data.startswith(_PLAIN_HEADERS, begin):
                        break
                    headers = decode_headers(data[begin + len(_PLAIN_HEADERS) : headers_end]) or None
                begin = headers_end
            reply = words[3] if len(words) > words_without_reply else b""
            self._client.hand_over(handler, words[1], reply, headers, data[begin:end])
            position = end + len(CRLF)
        return position

    async def parse(self, data: bytes = b"") -> None:
        """Handles what is complete with `data`, and keeps the rest for the next call."""
        # A reset replaces it: what is left of `data` then came from a connection that is gone.
        kept = self.buf
        position = 0
        if self.state == AWAITING_MSG_PAYLOAD:
            position = self.needed + len(CRLF) - len(kept)
            await super().parse(data[:position])
        elif kept:
            # The beginning of a control line was kept.
            data = bytes(kept) + data
            kept.clear()
        while position < len(data) and self.buf is kept:
            position = self.take(data, position)
            end = end_of_next(data, position)
            if end is None:
                await super().parse(data[position:])
                return
            await super().parse(data[position:end])
            position = end
            if self.buf is kept and self.is_amid:
                # nats-py reads more into that line than any server writes.
                await super().parse(data[position:])
                return


def end_of_next(data: bytes, position: int) -> int | None:
    """Where the message or control line ends that begins there; None where that is still to come."""
    line_end = data.find(CRLF, position)
    if line_end < 0:
        return None
    end = line_end + len(CRLF)
    words = data[position:line_end].split(b" ")
    if _is_message(words):
        end += int(words[-1]) + len(CRLF)
    return end if end <= len(data) else None


class RepeatedHeaders(dict[str, str]):
    """Headers that many messages have, encoded once; they stay as they are.

    Raises:
        nats.errors.BadHeaderError: the name of a header is no token.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.block = _encode_headers(headers)


def head(subject: str, reply: str, body_bytes: int, headers: Mapping[str, str] | None) -> bytes:
    """The bytes before a message's body. A line's end comes after the body.

    Raises:
        nats.errors.BadHeaderError: the name of a header is no token.
    """
    if headers is None:
        return f"PUB {subject} {reply} {body_bytes}\r\n".encode()
    block = headers.block if isinstance(headers, RepeatedHeaders) else _encode_headers(headers)
    return f"HPUB {subject} {reply} {len(block)} {len(block) + body_bytes}\r\n".encode() + block


def status_message(subject: str, status: int, description: str) -> bytes:
    """A whole message that says nothing but a status, as the server's own do; no header can say it.

    The description becomes one line. The subject is one that the broker has seen as such.
    """
    said = " ".join(description.split())
    block = f"NATS/1.0 {status} {said}".rstrip().encode() + b"\r\n\r\n"
    return b"HPUB %s %d %d\r\n%s\r\n" % (subject.encode(), len(block), len(block), block)


def decode_headers(lines: bytes) -> dict[str, str]:
    """The headers in these lines, as nats-py's `_parse_header_lines` reads them, in half the time."""
    headers = {}
    for line in lines.split(CRLF):
        name, colon, value = line.partition(b":")
        if not colon:
            continue
        if (key := _name_in(name)) is not None:
            headers[key] = value.strip().decode("utf-8", "replace")
    return headers


# Few names are ever sent.
@lru_cache(maxsize=256)
def _name_in(line: bytes) -> str | None:
    """The name that a header's line begins with; `None` if it is none, for which it is passed over."""
    try:
        key = line.strip().decode("ascii")
    except UnicodeDecodeError:
        return None
    return None if _WHITE_SPACE.search(key) else key


def _encode_headers(headers: Mapping[str, str]) -> bytes:
    block = "NATS/1.0\r\n"
    for name, value in headers.items():
        if key := _header_name(name):
            said = value.strip()
            if "\n" in said or "\r" in said:
                said = said.replace("\r", " ").replace("\n", " ")
            block += f"{key}: {said}\r\n"
    return f"{block}\r\n".encode()


# Few names are ever sent.
@lru_cache(maxsize=256)
def _header_name(name: str) -> str:
    key = name.strip()
    # A token (RFC 9110, 5.6.2); nats-py leaves empty names out.
    if key and not _TOKEN.fullmatch(key):
        raise BadHeaderError(key)
    return key


def _is_message(words: list[bytes]) -> bool:
    """Whether these are the words of `MSG subject sid [reply] size` or `HMSG … headers-size size`."""
    count = len(words)
    if not words[-1].isdigit():
        return False
    if words[0] == b"MSG":
        return 4 <= count <= 5 and words[2].isdigit()
    return words[0] == b"HMSG" and 5 <= count <= 6 and words[2].isdigit() and words[-2].isdigit()
