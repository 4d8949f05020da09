"""Pulls: requests for messages of a JetStream consumer, and how many of those are still to come."""

import msgspec


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
        # The key is its number, the value how many messages it may still bring, and until when.
        self._out: dict[str, tuple[int, float]] = {}
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._out)

    @property
    def messages_to_come(self) -> int:
        """How many messages the broker may still send."""
        return sum(left for left, _ in self._out.values())

    def begin(self, stream: str, consumer: str, now: float) -> tuple[str, bytes, str]:
        """One more pull, as it is to be published: subject, body, reply subject."""
        self._last_number += 1
        number = str(self._last_number)
        self._out[number] = (self._messages, now + self._lost_after_seconds)
        return f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", self._request, f"{self._inbox}.{number}"

    def count_one(self) -> bool:
        """Counts a message that came; whether its pull has brought all that it asked for."""
        # Pulls are served in the order in which they were made.
        for number, (left, until) in self._out.items():
            if left > 1:
                self._out[number] = (left - 1, until)
                return False
            del self._out[number]
            return True
        return False

    def end(self, subject: str) -> None:
        """Takes out the pull whose end was told on a subject."""
        self._out.pop(subject.rpartition(".")[2], None)

    def drop_lost(self, now: float) -> bool:
        """Takes out the pulls that the broker forgot; whether there were any."""
        lost = [number for number, (_, until) in self._out.items() if now > until]
        for number in lost:
            del self._out[number]
        return bool(lost)

    def clear(self) -> None:
        """Takes out all of them."""
        self._out.clear()


def sequences_in(acknowledgement: str) -> tuple[int, int]:
    """The sequence in the stream, and that of the delivery, of the subject that would acknowledge a message.

    $JS.ACK.<stream>.<consumer>.<times delivered>.<stream's>.<delivery's>.<time>.<left>
    $JS.ACK.<domain>.<account>.<stream>.…  (NATS ADR-15)

    Raises:
        ValueError: it is no such subject.
    """
    tokens = acknowledgement.split(".")
    first = 5 if len(tokens) == 9 else 7
    if len(tokens) < 9:
        raise ValueError(f"{acknowledgement!r} acknowledges nothing")
    return int(tokens[first]), int(tokens[first + 1])
