"""What the commands of one batch may cost together: `Budget`. One of them alone has limits of its own.

It is counted as everything else here: beforehand, to everybody alike, in nanoseconds of a slow machine.
"""

from domain.errors import TooLarge

BATCH_NS = 500_000_000
# How many schemas are built once for a batch; of more, some are built anew.
_BUILT = 64


class Budget:
    """What is left for the rest of a batch. Once it is spent, whatever else costs something is refused."""

    def __init__(self) -> None:
        self._left = float(BATCH_NS)
        self._built: set[str] = set()

    def take(self, needed_ns: float = 0) -> None:
        """Takes what something needs, before it is done.

        Raises:
            TooLarge: there is not so much left.
        """
        self._left -= needed_ns
        if self._left < 0:
            raise TooLarge(
                "the configurations and schemas of this batch make too much work together",
                hint="send this command again in a batch of fewer, or alone",
                limit_ms=BATCH_NS // 1_000_000,
            )

    def is_new(self, schema: str) -> bool:
        """Whether a schema has to be built for the batch; the next time, it is there."""
        if schema in self._built:
            return False
        if len(self._built) == _BUILT:
            self._built.clear()
        self._built.add(schema)
        return True
