"""`QueueAge`: how long messages that are read from a connection have waited at the broker and in the sockets.

    PING ──▶ ┌ message, message, message … ┐ ──▶ PONG        all of these are older than the ping

The server sends the answer to a ping behind all messages that it has for the connection by then. So a message
that is read while a ping is unanswered was waiting before the ping was sent.
"""

from collections import deque
from functools import partial

from hyperpage_client.transport.connection import LeanClient

# How often a ping is sent while messages come, and so the accuracy of an age.
PING_NS = 50_000_000
# The fewest messages between two pings: where few messages come, a ping would cost as much as they do.
PING_MESSAGES = 64


class QueueAge:
    """The age of one connection's messages. `since` is called for each message read, in one thread."""

    def __init__(self, connection: LeanClient) -> None:
        self._connection = connection
        self._reconnects = 0
        self._next_ns = 0
        self._messages = 0
        # When the pings were sent that are not answered yet.
        self._sent: deque[int] = deque()

    def since(self, now_ns: int) -> int:
        """The latest time at which the message that is read now began to wait, by `time.perf_counter_ns`."""
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
            # Pings that were sent over a lost connection are never answered.
            self._reconnects = reconnects
            self._sent = deque()

    def _answered(self, sent: deque[int]) -> None:
        sent.popleft()
