"""Frames in messages: whole again in order, and refused where they are not what was sent."""

from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.log import chain
from bus.log.answers import Answer
from bus.replication import frame as frame_module
from bus.replication.frame import (
    DamagedFrameError,
    ForeignFrameError,
    Frame,
    FrameError,
    Frames,
    NewerFrameError,
    frame_of,
    messages_of,
    place_of,
)
from bus.writing.content import Content
from domain.decider import Lease
from domain.errors import TooLarge
from hyperpage_client.transport.jetstream_answers import StoredMessage

LEASE = Lease(job_id="j", token="t", worker="w", lease_ms=1_000, expires_at=5)


def content(count: int = 2, *, data: Any = '{"x":1}', after: chain.Head | None = None) -> Content:
    before = after or chain.Head()
    entries = [chain.Entry(f"jobs/{n}", 1, "job.enqueued.v1", None, data, None) for n in range(count)]
    rows, _ = chain.extend(before, entries, 7)
    return Content(
        before=before,
        rows=rows,
        answers=[(Answer("c-1", b"h" * 32, before.position + 1, "{}"), 1)],
        leases={"j": LEASE, "gone": None},
    )


def frame(some: Content | None = None, term: int = 1) -> Frame:
    return frame_of(content() if some is None else some, store_id="s", timeline=1, term=term)


def stored(messages: list[bytes], first: int = 1) -> list[StoredMessage]:
    return [
        StoredMessage(sequence, "hyperpage.log.v1", body) for sequence, body in enumerate(messages, first)
    ]


def taken(messages: list[StoredMessage]) -> list[Frame]:
    frames = Frames("LOG")
    return [found for message in messages if (found := frames.take(message)) is not None]


@given(st.integers(0, 5), st.integers(60, 400), st.one_of(st.text(max_size=300), st.binary(), st.none()))
def test_whatever_the_size_of_its_parts_a_frame_is_whole_again(count: int, part_bytes: int, data: Any):
    sent = content(count, data=data)

    messages = messages_of(frame(sent), part_bytes)
    (found,) = taken(stored(messages))

    assert found.content == sent


def test_the_head_of_a_message_says_where_its_frame_belongs():
    after = chain.Head(10, b"x" * 32, 5)

    first, *_ = stored(messages_of(frame(content(3, after=after), term=4), 100))

    place = place_of("LOG", first)
    assert (place.term, place.after, place.last, place.part) == (4, 10, 13, 1)


def test_the_parts_of_a_leader_that_did_not_come_to_the_end_are_passed_over():
    begun = messages_of(frame(content(5)), 60)[:2]
    next_term = messages_of(msgspec.structs.replace(frame(Content(before=chain.Head()), 2), leader="b"))

    (found,) = taken(stored([*begun, *next_term]))

    assert (found.term, found.leader) == (2, "b")


def test_a_frame_that_is_sent_again_from_its_beginning_is_whole():
    parts = messages_of(frame(content(5)), 60)

    for begun in range(1, len(parts)):
        assert taken(stored([*parts[:begun], *parts])) == [frame(content(5))]


def test_an_end_without_its_beginning_is_passed_over():
    parts = messages_of(frame(content(5)), 60)

    assert taken(stored(parts[1:], 2)) == []


@pytest.mark.parametrize("where", [0.0, 0.1, 0.3, 0.99])
def test_a_frame_of_which_a_byte_differs_is_refused(where: float):
    (body,) = messages_of(frame())
    at = 4 + int(where * (len(body) - 4))
    damaged = body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :]

    with pytest.raises(DamagedFrameError, match=r"at 9 of LOG|message 9 of LOG"):
        taken(stored([damaged], 9))


def test_a_frame_of_a_newer_format_asks_for_a_newer_program():
    (body,) = messages_of(frame())

    with pytest.raises(NewerFrameError, match="update this one"):
        taken(stored([body[:3] + bytes((200,)) + body[4:]]))


def test_who_does_not_know_what_it_means_that_a_log_trails_reads_no_such_frame(
    monkeypatch: pytest.MonkeyPatch,
):
    trailing = msgspec.structs.replace(frame(), trails=True)
    before, behind = (messages_of(one, form=1) for one in (trailing, frame()))
    assert taken(stored([*before, *behind])) == [trailing, frame()]

    monkeypatch.setattr(frame_module, "FORMAT", 1)
    assert taken(stored(behind)) == [frame()]
    with pytest.raises(NewerFrameError, match="of format 2, and this program reads up to 1"):
        taken(stored(before))


def test_what_is_written_in_an_older_form_is_read_by_both(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frame_module, "FORMAT", 2)
    older, newer = (messages_of(frame(content(3)), 60, form=form) for form in (1, 2))
    assert taken(stored(older)) == taken(stored(newer)) == [frame(content(3))]

    monkeypatch.setattr(frame_module, "FORMAT", 1)
    assert taken(stored(older)) == [frame(content(3))]
    with pytest.raises(NewerFrameError, match="of format 2, and this program reads up to 1"):
        taken(stored(newer))


def head(part: int, parts: int, *, after: int = 0, last: int = 2) -> bytes:
    numbers = b"".join(n.to_bytes(8) for n in (1, after, last)) + part.to_bytes(4) + parts.to_bytes(4)
    return b"HPL\1" + numbers + crc32(b"HPL\1" + numbers).to_bytes(4)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"HPL\1",
        head(1, 1),
        head(2, 1) + b"hello",
        head(0, 0) + b"hello",
        head(1, 1, after=5) + b"hello",
    ],
)
def test_what_somebody_else_has_published_there_is_called_so(body: bytes):
    with pytest.raises(ForeignFrameError):
        taken(stored([body]))


@given(st.binary(max_size=100))
def test_whatever_stands_behind_the_head_is_a_frame_or_refused(content: bytes):
    with pytest.raises(FrameError):
        taken(stored([head(1, 1) + content]))


def test_a_frame_that_nobody_could_read_is_not_sent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bus.replication.frame.MAXIMUM_FRAME_BYTES", 1_000)

    with pytest.raises(TooLarge, match="too large"):
        messages_of(frame(content(50)))
