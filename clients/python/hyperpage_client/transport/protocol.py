"""NATS's protocol, as it is read and written: whole messages at once, without a coroutine for each step.

https://docs.nats.io/reference/reference-protocols/nats-protocol

It leans on nats-py's `Parser`: on `parse`, `state`, `needed`, and `buf`, which stays the same object until
`reset`. The parser must take a control line alone, and the beginning of a message whose end comes later.
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
        """Calls the handler of a direct subscription with a message."""

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        """Takes any message."""


class DirectParser(Parser):
    """nats-py's parser, which does not get direct messages that are there as a whole.

    It gets the rest in pieces: control lines, other messages, the beginning of a message whose end is not
    there yet, and that end.
    """

    def __init__(self, client: Receiver, direct: Mapping[bytes, Handler]) -> None:
        super().__init__(client)
        self._client = client
        self._direct = direct

    @property
    def is_amid(self) -> bool:
        """Whether the beginning of a message or control line was kept, whose end is to come."""
        return bool(self.buf) or self.state == AWAITING_MSG_PAYLOAD

    def take(self, data: bytes, position: int = 0) -> int:
        """Handles the whole direct messages from `position` on, up to the first of something else.

        Returns the position behind the last of them. Only to be called while nothing is kept.
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
        # A reset replaces the buffer: what is left of `data` then came from a connection that is gone.
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
                # nats-py takes that line for the beginning of a message; no server writes such a line.
                await super().parse(data[position:])
                return


def end_of_next(data: bytes, position: int) -> int | None:
    """The end of the message or control line that begins at `position`; None if it is still to come."""
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
    """A whole message that has a status alone, as the server's own do; no header can express it.

    The description becomes one line. The subject must be valid, as one is that has come from the broker.
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


# Cached, since few different names are ever sent.
@lru_cache(maxsize=256)
def _name_in(line: bytes) -> str | None:
    """The name that a header's line begins with; `None` if that is no name: the line is passed over."""
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


# Cached, since few different names are ever sent.
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
