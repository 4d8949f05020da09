"""The messages on a connection to NATS, one by one, in both directions.

https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import asyncio
from collections.abc import Mapping

import msgspec

from hyperpage_client.transport.protocol import decode_headers

CRLF = b"\r\n"
# The longest control line is the server's first: it names all servers of its cluster.
MAXIMUM_LINE_BYTES = 1024 * 1024
# The longest message that a nats-server can be made to take.
MAXIMUM_MESSAGE_BYTES = 64 * 1024 * 1024

_PLAIN = b"NATS/1.0"
# The operations of messages that a client sends and a server delivers, each without headers and with them.
_SENT, _DELIVERED = (b"PUB", b"HPUB"), (b"MSG", b"HMSG")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `subscription` is the number of the one that it is delivered to; empty if a client sends.

    A status, such as that of the broker's own messages, is the header `Status`.
    """

    subject: str
    reply: str = ""
    subscription: str = ""
    headers: dict[str, str] = {}
    body: bytes = b""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """A control line, and its message if it has one; `raw` is all of it, as it came."""

    operation: bytes
    words: list[bytes]
    raw: bytes
    message: Message | None = None


async def read_frame(stream: asyncio.StreamReader) -> Frame | None:
    """The next frame; `None` at the end of the connection.

    What is not as the protocol has it is a frame without a message, passed on as it came: the server refuses
    it in its own words.
    """
    try:
        line = await stream.readuntil(CRLF)
        operation, *words = line.split() or [b""]
        operation = operation.upper()
        size = _payload_bytes(operation, words)
        if size is None:
            return Frame(operation=operation, words=words, raw=line)
        payload = await stream.readexactly(size + len(CRLF))
    except asyncio.LimitOverrunError as overrun:
        # A line without an end, or too long a one: what there is of it.
        return Frame(operation=b"", words=[], raw=await stream.readexactly(overrun.consumed))
    except (OSError, asyncio.IncompleteReadError):
        return None
    try:
        message = _message(operation, words, payload.removesuffix(CRLF))
    except (ValueError, IndexError):
        message = None
    return Frame(operation=operation, words=words, raw=line + payload, message=message)


def delivered(message: Message) -> bytes:
    """A message as a server delivers it."""
    to = f"{message.subject} {message.subscription} {message.reply}".strip()
    if not message.headers:
        return b"MSG %s %d\r\n%s\r\n" % (to.encode(), len(message.body), message.body)
    block = _block(message.headers)
    sizes = (len(block), len(block) + len(message.body))
    return b"HMSG %s %d %d\r\n%s%s\r\n" % (to.encode(), *sizes, block, message.body)


def matches(pattern: str, subject: str) -> bool:
    """Whether a subscription to a pattern gets messages on a subject."""
    wanted, tokens = pattern.split("."), subject.split(".")
    for number, one in enumerate(wanted):
        if one == ">":
            return len(tokens) > number
        if number >= len(tokens) or one not in ("*", tokens[number]):
            return False
    return len(tokens) == len(wanted)


def _payload_bytes(operation: bytes, words: list[bytes]) -> int | None:
    """The length of the message behind a control line; `None` where no message follows that could be sent."""
    if operation not in (*_SENT, *_DELIVERED) or not words:
        return None
    try:
        size = int(words[-1])
    except ValueError:
        return None
    return size if 0 <= size <= MAXIMUM_MESSAGE_BYTES else None


def _message(operation: bytes, words: list[bytes], payload: bytes) -> Message:
    has_headers = operation.startswith(b"H")
    named = [word.decode() for word in words[: -2 if has_headers else -1]]
    headers_end = int(words[-2]) if has_headers else 0
    subscription = named.pop(1) if operation in _DELIVERED else ""
    return Message(
        subject=named[0],
        reply=named[1] if len(named) > 1 else "",
        subscription=subscription,
        headers=_headers(payload[:headers_end]),
        body=payload[headers_end:],
    )


def _headers(block: bytes) -> dict[str, str]:
    first, _, lines = block.partition(CRLF)
    status = first.removeprefix(_PLAIN).strip().partition(b" ")[0]
    said = {"Status": status.decode()} if status else {}
    return {**said, **decode_headers(lines)}


def _block(headers: Mapping[str, str]) -> bytes:
    status = headers.get("Status", "")
    lines = [f"NATS/1.0 {status}".strip()]
    lines += [f"{name}: {value}" for name, value in headers.items() if name != "Status"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
