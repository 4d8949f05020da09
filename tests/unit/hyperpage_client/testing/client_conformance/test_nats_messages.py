"""The messages on a connection to NATS: whatever comes is read, and passed on as it came."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperpage_client.testing.client_conformance.nats_messages import Frame, read_frame

LONGEST_LINE = 64
WORDS = [b"PUB", b"HPUB", b"MSG", b"HMSG", b"PING", b" ", b"\r\n", b"a", b"\xff", b"2", b"-1", b"9" * 70]


def frames_of(came: bytes) -> list[Frame]:
    async def read() -> list[Frame]:
        stream = asyncio.StreamReader(limit=LONGEST_LINE)
        stream.feed_data(came)
        stream.feed_eof()
        frames = []
        while (frame := await read_frame(stream)) is not None:
            frames.append(frame)
        return frames

    return asyncio.run(read())


@pytest.mark.parametrize(
    "came",
    [
        b"PUB a x\r\n",
        b"PUB\r\n",
        b"PUB a -1\r\n",
        b"PUB a 99999999999\r\n",
        b"PUB 2\r\nab\r\n",
        b"PUB \xff 2\r\nab\r\n",
        b"HPUB a 2\r\nab\r\n",
        b"HPUB a x 2\r\nab\r\n",
        b"P" * 2 * LONGEST_LINE + b"\r\n",
    ],
    ids=lambda came: came.decode(errors="replace").strip()[:20],
)
def test_what_is_no_message_is_passed_on_for_the_server_to_refuse(came: bytes):
    frames = frames_of(came + b"PING\r\n")
    assert [frame.message for frame in frames] == [None] * len(frames)
    assert b"".join(frame.raw for frame in frames) == came + b"PING\r\n"
    assert frames[-1].raw.endswith(b"PING\r\n")


@given(st.lists(st.sampled_from(WORDS)).map(b"".join))
def test_nothing_that_comes_is_lost_but_a_last_frame_without_its_end(came: bytes):
    passed_on = b"".join(frame.raw for frame in frames_of(came))
    assert came.startswith(passed_on)
    rest = came.removeprefix(passed_on)
    assert b"\r\n" not in rest or rest.lstrip().startswith((b"PUB", b"HPUB", b"MSG", b"HMSG"))
