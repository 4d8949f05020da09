"""`PageCache`: the hits and misses of a connection's page cache."""

import apsw
import msgspec


class PageCache(msgspec.Struct, frozen=True):
    """Pages found in the cache and pages read from the file, since the start; the memory that it takes."""

    hits: int = 0
    misses: int = 0
    used_bytes: int = 0

    @property
    def hit_rate(self) -> float | None:
        """The share of hits, 0 to 1; `None` before the first look-up."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else None

    def later(self, found: "PageCache") -> "PageCache":
        """These counts plus those found since; the memory is the one found."""
        return PageCache(self.hits + found.hits, self.misses + found.misses, found.used_bytes)


def read_page_cache(connection: apsw.Connection, *, reset: bool = False) -> PageCache:
    """The counts of a connection since it was opened, or since the last `reset`.

    To be called in the thread that has the connection: SQLite takes its mutex.
    """
    return PageCache(
        hits=connection.status(apsw.SQLITE_DBSTATUS_CACHE_HIT, reset)[0],
        misses=connection.status(apsw.SQLITE_DBSTATUS_CACHE_MISS, reset)[0],
        used_bytes=connection.status(apsw.SQLITE_DBSTATUS_CACHE_USED)[0],
    )
