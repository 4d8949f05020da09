"""Accepts only requests that follow the standard exactly: `StrictConnection`.

h11 accepts input that other programs read in another way: line ends without a carriage return, folded
headers, a length twice, a length beside chunks. A proxy or cache in front may then see one request where we
see two. https://www.rfc-editor.org/rfc/rfc9112#section-11.2

It relies on h11's `ReceiveBuffer`, through which h11 reads all input: on `_data`, and on
`_multiple_lines_search`, the place up to which `_data` was searched for the end of a head.
"""

import re

import h11
from h11._receivebuffer import ReceiveBuffer

MAXIMUM_HEADERS = 100
# A chunk takes 5 µs to read, as long as a kilobyte takes: a body of 1 MiB in such chunks has so many.
MAXIMUM_CHUNKS = 1_024

# All control characters but the tab, and CR and LF, which have a rule of their own.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LONE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_FOLDED = re.compile(rb"\r\n[ \t]")
_LENGTHS = (b"content-length:", b"transfer-encoding:")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\r\n")


class NotStrictError(h11.RemoteProtocolError):
    """A request is malformed, or could be read in two ways; the message says how, and repeats no input."""


class StrictConnection(h11.Connection):
    """A server's side of a connection, which refuses requests that could be read in two ways."""

    def __init__(self, maximum_head_bytes: int) -> None:
        super().__init__(h11.SERVER, maximum_head_bytes)
        self._receive_buffer = self._strict = _StrictBuffer()

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next part of a request.

        Raises:
            h11.RemoteProtocolError: the input is refused; `error_status_hint` is the status to answer with.
        """
        if self.their_state is h11.IDLE:
            self._strict.begin_request()
        event = super().next_event()
        if isinstance(event, h11.Request):
            _require_one_meaning(event, self._strict.lengths)
        return event


class _StrictBuffer(ReceiveBuffer):
    """The bytes that have arrived and were not read yet; lines are checked as they are read."""

    def __init__(self) -> None:
        super().__init__()
        self.begin_request()

    def begin_request(self) -> None:
        """Resets the counts: the next bytes belong to a new request."""
        self._chunks = 0
        self.lengths = 0
        """How many times the head says how long the body is."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """The lines of a head, or of a trailer, once all of them have arrived."""
        # A copy of the input to check, made only once the head has its end: a head may come byte by byte.
        before = bytes(self) if self._has_end() else b""
        lines = super().maybe_extract_lines()
        if lines is None:
            return None
        block = before[: len(before) - len(self)]
        if _LONE_LINE_END.search(block) or _CONTROL.search(block):
            raise NotStrictError("a line has controls in it, or ends in another way than with CR and LF")
        if _FOLDED.search(block[:-2]):
            raise NotStrictError("a header goes on in the next line")
        if len(lines) > MAXIMUM_HEADERS + 1:
            raise NotStrictError("there are too many headers", error_status_hint=431)
        # Commas separate several lengths in one header; h11 merges equal ones.
        self.lengths = sum(1 + line.count(b",") for line in lines if line.lower().startswith(_LENGTHS))
        return lines

    def _has_end(self) -> bool:
        if self._data.startswith((b"\r\n", b"\n")):
            return True
        return any(self._data.find(end, self._multiple_lines_search) >= 0 for end in (b"\n\r\n", b"\n\n"))

    def maybe_extract_next_line(self) -> bytearray | None:
        """The line before a chunk, once it has arrived."""
        line: bytearray | None = super().maybe_extract_next_line()
        if line is None:
            return None
        self._chunks += 1
        if self._chunks > MAXIMUM_CHUNKS:
            raise NotStrictError("the body comes in too many chunks", error_status_hint=413)
        if _CHUNK_SIZE.fullmatch(line) is None:
            raise NotStrictError("the line before a chunk is its size and nothing else")
        return line


def _require_one_meaning(request: h11.Request, lengths: int) -> None:
    if request.http_version not in (b"1.0", b"1.1"):
        raise NotStrictError("HTTP/1.1 is spoken here")
    if lengths > 1:
        raise NotStrictError("the head says more than once how long the body is")
    if request.http_version == b"1.0" and any(name == b"transfer-encoding" for name, _ in request.headers):
        raise NotStrictError("HTTP/1.0 has no chunks")
    if not request.target.startswith(b"/") and (request.method, request.target) != (b"OPTIONS", b"*"):
        raise NotStrictError("a request names a path here")
