"""Statements that all see a store at one moment: `begin_snapshot` and `end_snapshot`."""

import apsw

from bus.log.damage import Damage
from hyperpage_client.contract.log_place import LogPlace


def begin_snapshot(connection: apsw.Connection, known: LogPlace, damage: Damage) -> LogPlace:
    """Where the log ends in the snapshot that begins now; what is written later is not seen until its end.

    `known` is a place that the log had come to before. It is the answer if the end of the log cannot be read;
    `damage` notes that.
    """
    connection.execute("BEGIN")
    try:
        position = connection.execute("SELECT max(position) FROM events").get
    except apsw.Error as error:
        # The rows that the caller wants may be readable all the same.
        damage.note(error, "a reader")
        return known
    return LogPlace(known.timeline, int(position or 0))


def end_snapshot(connection: apsw.Connection) -> None:
    """Ends the snapshot: the connection sees what was written since."""
    # Some failures have ended it already.
    if connection.in_transaction:
        connection.execute("COMMIT")
