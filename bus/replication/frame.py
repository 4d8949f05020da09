"""A frame: one group commit of a leader, as the log stream has it and a follower applies it.

    message     "HPL", the format, where it belongs: term, position before it, last position, part, parts;
                CRC-32 of that
                SHA-256 of what follows, zstd of MessagePack; or a part of these

The first frame of a leader is its *term*: it has the leader's name, all leases that there are, and nothing
else. A frame that is too large for one message comes in parts, which follow each other. Readers pass over the
parts of a frame that its leader did not complete. The hashes of a frame's rows follow from `before`, the end
of the log before it, so each frame proves where it belongs.

    FrameError             a message is no frame that may be applied; `repair` says what to do
    ├── DamagedFrameError  its bytes are not those that were sent
    ├── NewerFrameError    a newer version of this program has written it
    └── ForeignFrameError  no leader has written it
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

# The newest form of frames, and the first one. A form is read as long as a member writes it, and written as
# long as a member reads no newer one. A new field of a frame needs a new form: a reader passes over a field
# of the MessagePack that it does not know.
FORMAT = 2
FIRST_FORMAT = 1
# The first form that says whether a log trails. A frame that trails always has at least this form: a member
# that passed the field over would not begin a timeline.
TRAILING_FORMAT = 2
# Less than the most that a broker takes in one message by default, with headers.
PART_BYTES = 900 * 1024
# A group may hold as much as may wait for the writer, and some more around it.
MAXIMUM_FRAME_BYTES = 320 * 1024 * 1024
# This level is fast, and small groups, those of a service that is not busy, get about as small as with any.
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
    """The bytes of a frame are not those that were sent."""


class NewerFrameError(FrameError):
    """A newer version of this program has written the frame."""


class ForeignFrameError(FrameError):
    """No leader has written the message."""


# The seventh value is text, bytes or nothing, which the decoder has no type for.
_Row = tuple[int, str, int, str, int, str | None, Any, str | None, bytes]
_Answer = tuple[str, bytes, int, str, int]


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The changes that a leader stored in its term after `before`. `leader` is named in a term's first frame.

    With `all_leases`, there are no other `leases`: a file that applies the frame ends those that it does not
    name. If the log `trails`, its leader may have answered more than the log has.

    Rows are in the order of the table's columns; answers are (command id, hash of the request, position,
    answer, number of the events that it can be told from, or 0).
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
        """The position at which the log ends after this frame."""
        return self.rows[-1][0] if self.rows else self.before.position

    @property
    def content(self) -> Content:
        """The content of the frame, as it is written into a file."""
        leases: dict[str, Lease | None] = {one.job_id: one for one in self.leases}
        return Content(
            before=self.before,
            rows=[chain.Row(*row) for row in self.rows],
            answers=[(Answer(*answer[:4]), answer[4]) for answer in self.answers],
            leases=leases | dict.fromkeys(self.ended_leases),
        )


class Place(NamedTuple):
    """Where a message belongs: its term, where the log ends before and after its frame, which part it is."""

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
    """The messages of a frame, in order. They have this form, or the newest by default.

    A frame that trails has at least the first form that can say so.

    Raises:
        TooLarge: it is larger than readers take.
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
    """The frame in the joined contents of its messages."""
    digest, packed = whole[:_DIGEST_BYTES], whole[_DIGEST_BYTES:]
    if hashlib.sha256(packed).digest() != digest:
        raise _damaged(name, "its SHA-256 does not fit")
    try:
        return _decode(_unpacked(packed))
    except (msgspec.DecodeError, zstandard.ZstdError, ValueError) as error:
        raise _damaged(name, str(error)) from error


def _unpacked(packed: bytes) -> bytes:
    # A forged frame might unpack to more than the memory.
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
    """Joins the messages of a stream, given in order, into whole frames."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._parts: list[bytes] = []
        self._begun: Place | None = None
        self._size = 0

    def take(self, message: StoredMessage) -> Frame | None:
        """The frame that ends with a message; `None` if the message does not complete one.

        Raises:
            FrameError: the message is no frame, or damaged, or newer than this program.
        """
        place = place_of(self._stream, message)
        if place.part == 1 or self._begun is None or self._begun._replace(part=place.part) != place:
            # The frame begun before never ended; or the log had no room for its end, and it comes again.
            self._drop()
        if place.part != len(self._parts) + 1:
            # The beginning of this frame is gone: only a whole frame counts.
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
