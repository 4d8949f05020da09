"""Pulls: requests for messages of a JetStream consumer, and how many messages are still to come."""

from typing import NamedTuple

import msgspec


class _Pull(msgspec.Struct):
    """How many messages a pull may still bring, and when it counts as lost."""

    left: int
    until: float


class Pulls:
    """The pulls that are out on one consumer; used from one event loop's thread.

    Each asks for `messages` at most (and `maximum_bytes`, where that is given), and ends after
    `expires_seconds`. One that has not ended `grace_seconds` later is lost: the broker forgot it. Any clock
    will do, as long as it is the same one.
    """

    def __init__(
        self,
        inbox: str,
        *,
        messages: int,
        expires_seconds: float,
        grace_seconds: float,
        maximum_bytes: int | None = None,
    ) -> None:
        self._inbox = inbox
        self._messages = messages
        self._lost_after_seconds = expires_seconds + grace_seconds
        request = {"batch": messages, "expires": int(expires_seconds * 1e9)}
        if maximum_bytes is not None:
            request["max_bytes"] = maximum_bytes
        self._request = msgspec.json.encode(request)
        # By their numbers, in the order in which they were made.
        self._out: dict[str, _Pull] = {}
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._out)

    @property
    def messages_to_come(self) -> int:
        """How many messages the broker may still send."""
        return sum(one.left for one in self._out.values())

    def begin(self, stream: str, consumer: str, now: float) -> tuple[str, bytes, str]:
        """One more pull, as it is to be published: subject, body, reply subject."""
        self._last_number += 1
        number = str(self._last_number)
        self._out[number] = _Pull(self._messages, now + self._lost_after_seconds)
        return f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", self._request, f"{self._inbox}.{number}"

    def count_one(self) -> bool:
        """Counts a message that came; returns whether its pull has brought all that it asked for."""
        # Pulls are served in the order in which they were made.
        for number, pull in self._out.items():
            pull.left -= 1
            if pull.left:
                return False
            del self._out[number]
            return True
        return False

    def end(self, subject: str) -> None:
        """Takes out the pull whose end was told on a subject."""
        self._out.pop(subject.rpartition(".")[2], None)

    def drop_lost(self, now: float) -> bool:
        """Takes out the pulls that the broker forgot; returns whether there were any."""
        lost = [number for number, pull in self._out.items() if now > pull.until]
        for number in lost:
            del self._out[number]
        return bool(lost)

    def clear(self) -> None:
        """Takes out all of them."""
        self._out.clear()


class Delivered(NamedTuple):
    """A delivery of a message to a `consumer`.

    `times` is how often the message was delivered by now, `sequence` its sequence in the stream, `number`
    that of the delivery, `stored_ns` when the message was stored, in nanoseconds since the epoch.
    """

    consumer: str
    times: int
    sequence: int
    number: int
    stored_ns: int


def delivery_in(acknowledgement: str) -> Delivered:
    """The delivery that a subject would acknowledge.

    $JS.ACK.<stream>.<consumer>.<times delivered>.<stream's sequence>.<delivery's>.<time>.<left>
    $JS.ACK.<domain>.<account>.<stream>.…  (NATS ADR-15)

    Raises:
        ValueError: it is no such subject.
    """
    tokens = acknowledgement.split(".")
    if len(tokens) < 9:
        raise ValueError(f"{acknowledgement!r} acknowledges nothing")
    first = 3 if len(tokens) == 9 else 5
    times, sequence, number, stored_ns = map(int, tokens[first + 1 : first + 5])
    return Delivered(tokens[first], times, sequence, number, stored_ns)
