"""How much each stream on the broker may hold: `Limits`, and `StreamLimits` for all of a service's."""

from typing import Any

import msgspec

# A stream may have one message for so many of its bytes: nats-server keeps some 350 bytes of memory for each
# subject, and of results, mirrored keys and commands that somebody made up, each has its own.
BYTES_A_MESSAGE = 512
# Of a broker that has not even so much room, nothing can be had.
SMALLEST_BYTES = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a stream may hold, how long it keeps that, how many consumers it may have.

    It is kept on so many nats-servers at least: `replicas`. 0: as the stream has it already, and none if it
    is made.
    """

    size_bytes: int = 0
    messages: int = 0
    kept_seconds: float = 0
    consumers: int = 0
    replicas: int = 0

    @property
    def config(self) -> dict[str, Any]:
        """The part of a stream's configuration that says so."""
        said = {
            "max_bytes": self.size_bytes,
            "max_msgs": self.messages,
            "max_age": int(self.kept_seconds * 1e9),
            "max_consumers": self.consumers,
            "num_replicas": self.replicas,
        }
        return {name: value for name, value in said.items() if value}


NO_LIMITS = Limits()


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of each of a service's streams; each mirror, of which there are some, has `mirrors`."""

    events: Limits = NO_LIMITS
    commands: Limits = NO_LIMITS
    results: Limits = NO_LIMITS
    dead_letters: Limits = NO_LIMITS
    mirrors: Limits = NO_LIMITS
    mirrored_tables: int = 2
    log: Limits = NO_LIMITS

    @property
    def set_aside_bytes(self) -> int:
        """The bytes that a broker must have for all of them."""
        each = (
            self.events,
            self.commands,
            self.results,
            self.dead_letters,
            *[self.mirrors] * self.mirrored_tables,
            self.log,
        )
        return sum(one.size_bytes for one in each) + SMALLEST_BYTES
