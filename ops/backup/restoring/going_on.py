"""The latest state that can be reached: appends to a backup's log all sound events that follow. `GoingOn`.

First come archived segments, as long as they follow; then rows of the present store, which may be damaged, as
long as their hashes follow; then the archive again. The hash chain vouches for each row, whatever its source.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import apsw

from bus.log import chain
from bus.log.answers import UNREADABLE
from bus.log.rows_of_answers import read_last_rows, take_over_rows
from domain.catalogue import TIMELINE_FORKED, TIMELINE_STREAM
from migrations.connection import open_reader, write_transaction
from migrations.rows import insert_rows
from migrations.runner import MigrationError
from migrations.schema import require_own_schema
from ops.archive.replay import Stretch, leading_on, replay
from ops.archive.timelines import Timelines
from ops.backup.restoring.restore_path import RestorePath
from ops.targets.errors import BackupError
from ops.targets.places import Places
from ops.targets.sealing import Identities
from ops.targets.signing import Signature

# Rows of the present store that are taken over in one transaction.
_ROWS = 2_000

logger = logging.getLogger(__name__)


class GoingOn:
    """The sources of later events. `source` has the archive, `without` the places of its damaged segments."""

    def __init__(
        self, places: Places, source: Places, identities: Identities = (), without: Collection[str] = ()
    ) -> None:
        self._places = places
        self._source = source
        self._without = frozenset(without)
        self._identities = identities

    def past(self, without: Collection[str]) -> "GoingOn":
        """The same sources, without these segments."""
        return GoingOn(self._places, self._source, self._identities, without)

    def go_on(self, connection: apsw.Connection, restore_path: RestorePath) -> Counter[str]:
        """Appends to a log all events that follow, with their answers; counts the segments by signature.

        Raises:
            BackupError: a segment is damaged, or there is no key for it; `backup` says which.
        """
        signatures: Counter[str] = Counter()
        store_id, timelines = restore_path.store_id, restore_path.timelines
        begun = before = chain.read_head(connection)
        with _present(self._places.store, store_id) as present:
            while True:
                for stretch in leading_on(self._source.archive, timelines, before.position, self._without):
                    signatures[str(self._replay(connection, stretch, store_id))] += 1
                for rows in _portions(present, chain.read_head(connection)):
                    with write_transaction(connection):
                        chain.insert(connection, rows)
                with write_transaction(connection):
                    # Answers refer to the timeline of their events, so timelines come first.
                    timelines = keep_timelines(connection, timelines)
                reached = chain.read_head(connection)
                if reached == before:
                    break
                before = reached
            if present is not None:
                with write_transaction(connection):
                    take_over_rows(connection, read_last_rows(present, begun.position))
        return signatures

    def _replay(self, connection: apsw.Connection, stretch: Stretch, store_id: str) -> Signature:
        try:
            return replay(connection, stretch, store_id, self._identities, self._places.signing)
        except BackupError as error:
            error.backup = str(stretch.segment.place)
            raise


def reach_of_present(store: Path, store_id: str, head: chain.Head) -> chain.Head:
    """The last head that the present store reaches from `head`; `head` itself if nothing there follows."""
    with _present(store, store_id) as present:
        for rows in _portions(present, head):
            head = rows[-1].head
    return head


def keep_timelines(connection: apsw.Connection, known: Timelines) -> Timelines:
    """The timelines of a log, which are stored in it: those `known`, and those that its forks began."""
    forks = connection.execute(
        "SELECT data ->> '$.timeline', position FROM events WHERE stream = ? AND type = ?",
        (TIMELINE_STREAM, TIMELINE_FORKED),
    )
    timelines = tuple(sorted({*known, *((int(timeline), first) for timeline, first in forks)}))
    insert_rows(connection, "INSERT OR IGNORE INTO timelines", timelines)
    return timelines


@contextmanager
def _present(store: Path, store_id: str) -> Iterator[apsw.Connection | None]:
    """The present store, opened for reading; `None` if it is a different store, unreadable, or missing."""
    connection: apsw.Connection | None = None
    is_ours = False
    with suppress(*UNREADABLE, MigrationError):
        connection = open_reader(store)
        require_own_schema(connection, store.name)
        is_ours = connection.execute("SELECT store_id FROM store").get == store_id
    try:
        yield connection if is_ours else None
    finally:
        if connection is not None:
            with suppress(apsw.Error):
                connection.close(True)


def _portions(present: apsw.Connection | None, head: chain.Head) -> Iterator[list[chain.Row]]:
    """The rows behind a head, as long as their hashes follow."""
    if present is None:
        return
    following = chain.rows_that_follow(present, head)
    while True:
        portion: list[chain.Row] = []
        try:
            # One by one, so that rows read before a damaged page are kept.
            for row in islice(following, _ROWS):
                portion.append(row)  # noqa: PERF402 - see above
        except (*UNREADABLE, chain.BrokenChainError) as error:
            last = portion[-1].position if portion else head.position
            logger.warning("%s leads on to position %d alone: %s", present.filename, last, error)
            following = iter(())
        if not portion:
            return
        head = chain.Head(portion[-1].position, portion[-1].hash, portion[-1].recorded_at)
        yield portion
