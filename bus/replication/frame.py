"""A frame: one group commit of the leader's, as the log stream has it and a follower applies it.

    message     "HPL", the format, where it belongs: term, position before it, last position, part, parts;
                CRC-32 of that
                SHA-256 of what follows, zstd of MessagePack; or a part of these

The first frame of a leader is its *term*: it has a name, all leases that there are, and nothing else. A
frame that is larger than one message may be comes in parts, which follow each other; only all of them
together are one, and those of a leader that did not come to the end are passed over. The hashes of its rows
follow from `before`, the log's end before it, so each frame vouches for where it belongs.

    FrameError             what is in a message is no frame that may be applied; `repair` says what to do
    ├── DamagedFrameError  its bytes are not those that were sent
    ├── NewerFrameError    a newer version of this program has written it
    └── ForeignFrameError  it is of another store, or nobody's of ours
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

import msgspec
import zstandard

from bus.log import chain
from bus.log.answers import Answer
from bus.writing.content import Content
from domain.decider import Lease
from domain.errors import TooLarge
from hyperpage_client.transport.jetstream_answers import StoredMessage

# The newest form, and the first one: each is read as long as somebody writes it, and written as long as
# somebody reads no newer one. What a frame has more than before needs a new form: who does not know a field
# of the MessagePack passes it over.
FORMAT = 2
FIRST_FORMAT = 1
# The first one that says whether a log trails. Such a frame has it, whatever others read: who passed that
# over would begin no timeline.
TRAILING_FORMAT = 2
# Below the most that a broker takes in one message by default, with headers.
PART_BYTES = 900 * 1024
# A group may hold as much as may wait for the writer, and some more around it.
MAXIMUM_FRAME_BYTES = 320 * 1024 * 1024
# Fast, and for the small groups of a service that is not busy about as small as any other.
LEVEL = 1

_MAGIC = b"HPL"
_FORMAT_AT = len(_MAGIC)
# Term, position before, last position, part, parts.
_PLACE = struct.Struct(">QQQII")
_PLACE_END = _FORMAT_AT + 1 + _PLACE.size
_CHECK_BYTES = 4
_HEAD_BYTES = _PLACE_END + _CHECK_BYTES
_DIGEST_BYTES = hashlib.sha256().digest_size


class FrameError(RuntimeError):
    """A message of the log stream is no frame that may be applied; `repair` says what to do."""

    def __init__(self, problem: str, repair: str) -> None:
        super().__init__(f"{problem}; {repair}")
        self.problem = problem
        self.repair = repair


class DamagedFrameError(FrameError):
    """Its bytes are not those that were sent."""


class NewerFrameError(FrameError):
    """A newer version of this program has written it."""


class ForeignFrameError(FrameError):
    """It is another store's, or nobody's."""


# The seventh is text, bytes or nothing; the decoder knows no such type.
_Row = tuple[int, str, int, str, int, str | None, Any, str | None, bytes]
_Answer = tuple[str, bytes, int, str, int]


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a leader has stored in its term behind `before`. `leader` is the name in a term's first frame.

    Where `leases` are `all_leases`, there are no others: whoever applies it ends those that it does not name.
    Where the log `trails`, its leader may have answered more behind it than it has.

    Rows in the order of the table's columns; answers as (command id, hash of the request, position, answer,
    how many events say all of it).
    """

    store_id: str
    timeline: int
    term: int
    before: chain.Head
    leader: str = ""
    rows: Sequence[_Row] = ()
    answers: Sequence[_Answer] = ()
    leases: Sequence[Lease] = ()
    ended_leases: Sequence[str] = ()
    all_leases: bool = False
    trails: bool = False

    @property
    def last(self) -> int:
        """The position at which the log ends behind it."""
        return self.rows[-1][0] if self.rows else self.before.position

    @property
    def content(self) -> Content:
        """The same, as it is written into a file."""
        leases: dict[str, Lease | None] = {one.job_id: one for one in self.leases}
        return Content(
            before=self.before,
            rows=[chain.Row(*row) for row in self.rows],
            answers=[(Answer(*answer[:4]), answer[4]) for answer in self.answers],
            leases=leases | dict.fromkeys(self.ended_leases),
        )


class Place(NamedTuple):
    """Where a message belongs: the term, where the log ends before and behind its frame, which part it is."""

    term: int
    after: int
    last: int
    part: int = 1
    parts: int = 1


def frame_of(content: Content, *, store_id: str, timeline: int, term: int, trails: bool = False) -> Frame:
    """The frame of what a transaction writes."""
    return Frame(
        store_id=store_id,
        timeline=timeline,
        term=term,
        before=content.before,
        rows=[msgspec.structs.astuple(row) for row in content.rows],
        answers=[(*answer, events) for answer, events in content.answers],
        leases=[lease for lease in content.leases.values() if lease is not None],
        ended_leases=[job_id for job_id, lease in content.leases.items() if lease is None],
        trails=trails,
    )


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


def messages_of(frame: Frame, part_bytes: int = PART_BYTES, *, form: int | None = None) -> list[bytes]:
    """The messages of a frame, in order, of a form, or the first one for such; by default, of the newest.

    Raises:
        TooLarge: it is larger than whoever reads it takes.
    """
    content = _encode(frame)
    if len(content) > MAXIMUM_FRAME_BYTES:
        raise TooLarge(
            "what these commands lead to is too large for one transaction",
            hint="send fewer in one batch",
            limit_bytes=MAXIMUM_FRAME_BYTES,
            size_bytes=len(content),
        )
    packed = zstandard.ZstdCompressor(level=LEVEL).compress(content)
    whole = hashlib.sha256(packed).digest() + packed
    parts = [whole[start : start + part_bytes] for start in range(0, len(whole), part_bytes)]
    form = FORMAT if form is None else form
    if frame.trails:
        form = max(form, TRAILING_FORMAT)
    return [
        _head(Place(frame.term, frame.before.position, frame.last, part, len(parts)), form) + content
        for part, content in enumerate(parts, 1)
    ]


def _head(place: Place, form: int) -> bytes:
    head = _MAGIC + bytes((form,)) + _PLACE.pack(*place)
    return head + crc32(head).to_bytes(_CHECK_BYTES)


def place_of(stream: str, message: StoredMessage) -> Place:
    """Where a message of the log stream belongs.

    Raises:
        ForeignFrameError: it was not published by a leader. NewerFrameError: this program can't read it.
    """
    body = message.payload
    if body.startswith(_MAGIC) and len(body) > _HEAD_BYTES:
        if (form := body[_FORMAT_AT]) > FORMAT:
            raise NewerFrameError(
                f"message {message.sequence} of {stream} is of format {form}, and this program reads up to"
                f" {FORMAT}",
                "a newer version has written it: update this one",
            )
        place = Place(*_PLACE.unpack_from(body, _FORMAT_AT + 1))
        if body[:_HEAD_BYTES] != _head(place, form):
            raise _damaged(f"message {message.sequence} of {stream}", "its head is not as it was written")
        if 1 <= place.part <= place.parts and place.after <= place.last:
            return place
    raise ForeignFrameError(
        f"message {message.sequence} of {stream} is no frame of a leader",
        f"somebody else has published there: only the user of the relay may have the right to it. Delete the"
        f" stream {stream}, and start the member with the highest position anew: it makes the log again",
    )


def _frame_in(name: str, whole: bytes) -> Frame:
    """The frame of the contents of its messages, one behind the other."""
    digest, packed = whole[:_DIGEST_BYTES], whole[_DIGEST_BYTES:]
    if hashlib.sha256(packed).digest() != digest:
        raise _damaged(name, "its SHA-256 does not fit")
    try:
        return _decode(_unpacked(packed))
    except (msgspec.DecodeError, zstandard.ZstdError, ValueError) as error:
        raise _damaged(name, str(error)) from error


def _unpacked(packed: bytes) -> bytes:
    # A forged one might be as large as the memory.
    with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
        content = reader.read(MAXIMUM_FRAME_BYTES)
        if reader.read(1):
            raise ValueError("it is larger than any frame")
    return content


def _damaged(name: str, why: str) -> DamagedFrameError:
    return DamagedFrameError(
        f"{name} is damaged: {why}",
        "the files of members are whole: delete that stream, and start the member with the highest position"
        " anew: it makes the log again",
    )


class Frames:
    """Puts the messages of a stream together, in order: whole frames."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._parts: list[bytes] = []
        self._begun: Place | None = None
        self._size = 0

    def take(self, message: StoredMessage) -> Frame | None:
        """The frame that ends with a message; `None` where its end is still to come.

        Raises:
            FrameError: it is none, damaged, or newer than this program.
        """
        place = place_of(self._stream, message)
        if place.part == 1 or self._begun is None or self._begun._replace(part=place.part) != place:
            # What was begun before was never ended; or the log had no room for its end, and it comes again.
            self._drop()
        if place.part != len(self._parts) + 1:
            # The end of something whose beginning is gone: only the whole counts.
            self._drop()
            return None
        self._begun = place
        self._parts.append(message.payload[_HEAD_BYTES:])
        self._size += len(message.payload)
        name = f"the frame at {message.sequence} of {self._stream}"
        if self._size > MAXIMUM_FRAME_BYTES:
            raise _damaged(name, "it is larger than any")
        if place.part < place.parts:
            return None
        whole = b"".join(self._parts)
        self._drop()
        return _frame_in(name, whole)

    def _drop(self) -> None:
        self._parts, self._begun, self._size = [], None, 0
