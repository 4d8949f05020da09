"""One look at a store, however many statements it takes: `begin_snapshot` and `end_snapshot`."""

import apsw

from bus.log.damage import Damage
from hyperpage_client.contract.log_place import LogPlace


def begin_snapshot(connection: apsw.Connection, known: LogPlace, damage: Damage) -> LogPlace:
    """Where the log is in what is read until the end of the snapshot, whatever is written meanwhile.

    `known` is a place that the log had come to before. It is the answer where the end of the log cannot be
    read; `damage` is told then.
    """
    connection.execute("BEGIN")
    try:
        position = connection.execute("SELECT max(position) FROM events").get
    except apsw.Error as error:
        # What is asked for may well be readable.
        damage.note(error, "a reader")
        return known
    return LogPlace(known.timeline, int(position or 0))


def end_snapshot(connection: apsw.Connection) -> None:
    """Lets the connection see what is new."""
    # Some failures have ended it already.
    if connection.in_transaction:
        connection.execute("COMMIT")
