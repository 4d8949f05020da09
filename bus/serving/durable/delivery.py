"""A durable command: as a message that has `Arrived`, and as a `Delivery` that is to be answered."""

from collections.abc import Mapping

import msgspec

from bus.serving.durable.suspects import Place


class Arrived(msgspec.Struct, frozen=True):
    """A delivered message of the stream. `times` counts its deliveries, this one included.

    `stream` is when the stream was made (milliseconds since the epoch), `stored_ns` when the message was
    stored in it.
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
        """The place of the message in its stream, unique even if the stream gives a sequence twice."""
        return self.sequence, self.stored_ns

    @property
    def id(self) -> str:
        """The command id for a command whose sender gave none."""
        # A broker that lost the end of a stream in a power cut gives the same sequences to other commands.
        return f"durable-{self.stream}-{self.sequence}-{self.stored_ns}"


class Delivery(msgspec.Struct, frozen=True):
    """One delivered command.

    `reply` is the reply subject as the sender knows it; `user` is the sender, where the broker tells it.
    """

    name: str
    user: str | None
    command_id: str
    reply: str | None
    message: Arrived
