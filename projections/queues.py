"""The table `queues`, with one row for each queue that was paused or limited at least once."""

from typing import Annotated

import apsw
import msgspec

from domain import queues
from domain.messages import Key, about
from domain.queues import Queue, QueueRate
from projections.table import Row, Table, page_query


class GetQueue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One queue."""

    name: Key


class CountQueues(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Queues that were paused or limited at least once."""

    paused: bool | None = None


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A queue that was paused or limited at least once. Times are milliseconds since the epoch."""

    name: str
    paused: Annotated[bool, about("whether the queue is paused: no job of it is handed out")]
    reason: Annotated[str | None, about("why the queue is paused")]
    paused_at: int | None
    updated_at: int
    version: Annotated[int, about("the version of its stream")]
    position: Annotated[int, about("the position of its last event")]
    concurrency: Annotated[
        int | msgspec.UnsetType, about("how many of its jobs may run at once; left out if unlimited")
    ] = msgspec.UNSET
    rate: Annotated[
        QueueRate | msgspec.UnsetType,
        about("how many attempts may begin in a window; left out if unlimited"),
    ] = msgspec.UNSET


def _row(queue: Queue, version: int, position: int) -> Row:
    return (
        queue.name,
        int(queue.is_paused),
        queue.reason,
        queue.paused_at,
        queue.updated_at,
        version,
        position,
        queue.concurrency,
        None if queue.rate is None else msgspec.json.encode(queue.rate).decode(),
    )


def paused_queues(connection: apsw.Connection) -> set[str]:
    """The names of the queues whose jobs are not handed out."""
    return {name for (name,) in connection.execute("SELECT name FROM queues WHERE paused")}


TABLE = Table(
    name=queues.TABLE,
    shape=QueueRow,
    row=_row,
    get_query=GetQueue,
    key_of=lambda query: str(query.name),
    count_query=CountQueues,
    list_query=page_query(
        CountQueues, "Queues that were paused or limited at least once, in the order of their names."
    ),
)
