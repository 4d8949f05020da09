"""What is looked at before a table of somebody else is made anew, and what is said where that fails."""

import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec

from domain.catalogue import UnknownEventTypeError
from domain.decider import Decider
from domain.installed.error import AggregateError
from domain.messages import Event
from projections.rebuild import FoldError, streams_of

# With so much room, nobody counts.
_MOST_NEEDED_BYTES = 64 * 1024**3


def free_beside(path: str) -> int:
    """How many bytes there is room for beside a file."""
    return shutil.disk_usage(Path(path).parent).free


def require_room(
    connection: apsw.Connection, table: str, source: str, free_bytes: Callable[[str], int]
) -> None:
    """Returns if the rows of a table fit onto the disk, as far as one can know before they are made.

    What they hold came by their events. It is written twice, into the WAL and from there into the file.

    Raises:
        AggregateError: of the aggregate that came from `source`: they do not.
    """
    path = connection.filename
    if not path or (free := free_bytes(path)) >= _MOST_NEEDED_BYTES:
        return
    of_events = connection.execute(
        "SELECT total(octet_length(data)) FROM events WHERE stream >= ? AND stream < ?", streams_of(table)
    ).get
    if free < (needed := 2 * int(of_events)):
        raise AggregateError(
            source,
            f"its table is made anew of its events, which may take {needed} bytes beside {path}, and"
            f" {free} are free",
            "make room, or move the data directory; nothing was changed",
        )


def what_to_do(decider: Decider, error: FoldError, *, is_class: bool) -> str:
    """What an author does about an event that does not fold, in the words of the style of the aggregate."""
    events = decider.events
    name, _, version = error.type.rpartition(".v")
    newest = max((int(one.rpartition(".v")[2]) for one in events if one.startswith(f"{name}.v")), default=0)
    if isinstance(error.__cause__, UnknownEventTypeError):
        if newest:
            return f"a later version of the package wrote it, with a v{version} of {name}: install that one"
        where = "the class" if is_class else "the decider's `events`"
        return f"an event stays what it was: {where} goes on having {error.type}, even if nothing leads to it"
    if not isinstance(error.__cause__, msgspec.MsgspecError):
        takes = "its `apply`, or the method that it is of," if is_class else "`evolve`"
        return f"what was accepted once happened: {takes} goes on taking it, whatever is refused today"
    if int(version) < newest:
        step = f"upcast_v{version}_v{int(version) + 1}" if is_class else "the upcasters"
        return f"mend {step}: what comes of it is no {name}.v{newest}"
    if is_class:
        # Its event is an attribute of the class.
        event = events.get(f"{name}.v{newest}", Event).__name__
        step = f"upcast_v{newest}_v{newest + 1}"
        return (
            f"an event stays what it was: give {event} `class_version = {newest + 1}` and a static method"
            f" {step}(state), which makes what the log has into what it is now"
        )
    return (
        "an event stays what it was: give the changed struct a type of its own"
        f" ({name}.v{newest + 1}) and the decider an upcaster from {name}.v{newest}"
    )
