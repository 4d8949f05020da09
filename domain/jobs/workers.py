"""Workers that ask for jobs: kept in memory alone, and not in the log."""

import msgspec


class SeenWorker(msgspec.Struct, kw_only=True, gc=False):
    """Claims of one worker for the same types of a queue; `types` is `None` where it takes all.

    Times are milliseconds since the epoch: of the first of these claims, and of the last.
    """

    worker: str
    queue: str
    types: tuple[str, ...] | None
    first_claim_at: int
    last_claim_at: int
    host: str | None = None
    version: str | None = None
