"""A durable command on its way: as it has `Arrived`, and as a `Delivery` that is to be answered."""

from collections.abc import Mapping

import msgspec

from bus.serving.durable.suspects import Place


class Arrived(msgspec.Struct, frozen=True):
    """A message of the stream, delivered for the how manieth time.

    `stream` is when the stream was made, `stored_ns` when the message came into it.
    """

    stream: int
    sequence: int
    stored_ns: int
    times: int
    subject: str
    acknowledgement: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def place(self) -> Place:
        """Which one of its stream it is."""
        return self.sequence, self.stored_ns

    @property
    def id(self) -> str:
        """The id of a command to which its sender gave none."""
        # A broker that lost its tail in a power cut gives the same sequences again, to other commands.
        return f"durable-{self.stream}-{self.sequence}-{self.stored_ns}"


class Delivery(msgspec.Struct, frozen=True):
    """One delivered command.

    `reply` is as its sender knows it; `user` is the sender, where the broker tells.
    """

    name: str
    user: str | None
    command_id: str
    reply: str | None
    message: Arrived
