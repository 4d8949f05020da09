"""How much each stream on the broker may hold: `Limits`, and `StreamLimits` for all streams of a service."""

from typing import Any

import msgspec

# A stream may have one message for this many of its bytes. nats-server keeps some 350 bytes of memory for
# each subject, and each result, each mirrored key and each command with a made-up name has a subject of its
# own.
BYTES_A_MESSAGE = 512
# The smallest limit that is asked for; a broker with less room is an error.
SMALLEST_BYTES = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a stream may hold, how long it keeps messages, how many consumers it may have.

    `replicas` is the least number of nats-servers that keep it. A value of 0 leaves an existing stream as it
    is, and sets no limit for a new one.
    """

    size_bytes: int = 0
    messages: int = 0
    kept_seconds: float = 0
    consumers: int = 0
    replicas: int = 0

    @property
    def config(self) -> dict[str, Any]:
        """The part of a stream's configuration with these limits."""
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
    """The limits of each stream of a service; `mirrors` are those of each of the `mirrored_tables`."""

    events: Limits = NO_LIMITS
    commands: Limits = NO_LIMITS
    results: Limits = NO_LIMITS
    dead_letters: Limits = NO_LIMITS
    mirrors: Limits = NO_LIMITS
    mirrored_tables: int = 2
    log: Limits = NO_LIMITS

    @property
    def set_aside_bytes(self) -> int:
        """The bytes that a broker must have for all streams together."""
        each = (
            self.events,
            self.commands,
            self.results,
            self.dead_letters,
            *[self.mirrors] * self.mirrored_tables,
            self.log,
        )
        return sum(one.size_bytes for one in each) + SMALLEST_BYTES
