"""`QueueAge`: how long what is read from a connection has waited at the broker and in the sockets.

    PING ──▶ ┌ message, message, message … ┐ ──▶ PONG        all of these are older than the ping

The server answers a ping behind all that it has for us by then. So whatever is read while a ping is not
answered was there before it was sent.
"""

from collections import deque
from functools import partial

from hyperpage_client.transport.connection import LeanClient

# How often a ping is sent, while messages come: this is how exact an age is.
PING_NS = 50_000_000
# And behind how many messages at least: where few come, a ping would cost as much as they do.
PING_MESSAGES = 64


class QueueAge:
    """Looked at with each message that is read from one connection, in its thread."""

    def __init__(self, connection: LeanClient) -> None:
        self._connection = connection
        self._reconnects = 0
        self._next_ns = 0
        self._messages = 0
        # When the pings were sent that are not answered.
        self._sent: deque[int] = deque()

    def since(self, now_ns: int) -> int:
        """Since when what is read now waits at least; times are those of `time.perf_counter_ns`."""
        self._messages += 1
        if self._messages >= PING_MESSAGES and now_ns >= self._next_ns:
            self._messages = 0
            self._next_ns = now_ns + PING_NS
            self._ping(now_ns)
        if not self._sent:
            return now_ns
        self._forget_lost()
        return self._sent[0] if self._sent else now_ns

    def _ping(self, now_ns: int) -> None:
        if not self._connection.is_connected:
            return
        self._forget_lost()
        self._sent.append(now_ns)
        self._connection.ask_for_sign(partial(self._answered, self._sent))

    def _forget_lost(self) -> None:
        reconnects = self._connection.stats["reconnects"]
        if reconnects != self._reconnects:
            # Nobody answers what was sent over a connection that is gone.
            self._reconnects = reconnects
            self._sent = deque()

    def _answered(self, sent: deque[int]) -> None:
        sent.popleft()
