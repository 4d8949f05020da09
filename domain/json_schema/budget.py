"""`Budget`: the work that the commands of a batch may make together. A single command has its own limits.

Work is counted before it is done, in nanoseconds of a slow machine, and alike for all users.
"""

from domain.errors import TooLarge

BATCH_NS = 500_000_000
# So many different schemas are counted once for a batch; with more, some are counted again.
_BUILT = 64


class Budget:
    """The work that is left for the rest of a batch. Once it is spent, what needs more is refused."""

    def __init__(self) -> None:
        self._left = float(BATCH_NS)
        self._built: set[str] = set()

    def take(self, needed_ns: float = 0) -> None:
        """Takes the nanoseconds that some work needs, before it is done.

        Raises:
            TooLarge: there are not so many left.
        """
        self._left -= needed_ns
        if self._left < 0:
            raise TooLarge(
                "the configurations and schemas of this batch make too much work together",
                hint="send this command again in a batch of fewer, or alone",
                limit_ms=BATCH_NS // 1_000_000,
            )

    def is_new(self, schema: str) -> bool:
        """Whether a schema is to be counted as built for the batch: true only for the first time."""
        if schema in self._built:
            return False
        if len(self._built) == _BUILT:
            self._built.clear()
        self._built.add(schema)
        return True
