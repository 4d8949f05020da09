"""Waiting for a job's end: by its events, and by a look now and then, since an event may be missed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeVar

import msgspec
from nats.errors import Error as NatsError

from hyperpage_client.asking.connection import ClientConnection
from hyperpage_client.asking.seen import Seen
from hyperpage_client.contract.log_place import LogPlace
from hyperpage_client.following.change_events import decode_event
from hyperpage_client.waiting import is_set_within

LOOK_SECONDS = 5.0
# The time for the last look, when all the time is up. It takes milliseconds, if the service is there.
LAST_LOOK_SECONDS = 0.25

T = TypeVar("T")


async def at_its_end(
    connection: ClientConnection,
    subject: str,
    seen: Seen,
    look: Callable[[float], Awaitable[T | None]],
    *,
    timeout_seconds: float | None,
) -> T:
    """The first result of `look` that is not None.

    `look` is given the seconds that it may take. It is called again when an event comes on `subject`, whose
    place `seen` takes in, when the connection was lost or is back, and every `LOOK_SECONDS`.

    Raises:
        TimeoutError: there was no result in that time.
        ClosedError: the connection is closed.
    """
    clock = asyncio.get_running_loop().time
    until = None if timeout_seconds is None else clock() + timeout_seconds
    heard = asyncio.Event()

    def until_next_look() -> float:
        return LOOK_SECONDS if until is None else min(LOOK_SECONDS, until - clock())

    def hear(_: str, __: str, ___: Mapping[str, str] | None, body: bytes) -> None:
        with suppress(msgspec.MsgspecError):
            event = decode_event(body)
            # The next look then gets no answer that is older than this event.
            seen.note(LogPlace(event.timeline, event.position))
        heard.set()

    subscription = await connection.listen(subject, hear)
    connection.listeners.add(heard.set)
    try:
        while True:
            heard.clear()
            if (found := await look(max(until_next_look(), LAST_LOOK_SECONDS))) is not None:
                return found
            if (left := until_next_look()) <= 0:
                raise TimeoutError(f"nothing came on {subject} within {timeout_seconds:g} s")
            await is_set_within(heard, left * 1000)
    finally:
        connection.listeners.discard(heard.set)
        if not connection.nats.is_closed:
            with suppress(NatsError):
                await subscription.unsubscribe()
