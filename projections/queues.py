"""The table `queues`, one row a queue that was paused at least once."""

import msgspec

from domain import queues
from domain.messages import Key
from domain.queues import Queue
from projections.table import Row, Table, page_query


class GetQueue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One queue."""

    name: Key


class CountQueues(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Queues that were paused at least once."""

    paused: bool | None = None


def _row(queue: Queue, version: int, position: int) -> Row:
    return (
        queue.name,
        int(queue.is_paused),
        queue.reason,
        queue.paused_at,
        queue.updated_at,
        version,
        position,
    )


TABLE = Table(
    name=queues.TABLE,
    columns=("name", "paused", "reason", "paused_at", "updated_at", "version", "position"),
    row=_row,
    get_query=GetQueue,
    key_of=lambda query: str(query.name),
    count_query=CountQueues,
    list_query=page_query(CountQueues, "Queues that were paused at least once, in the order of their names."),
    boolean_columns=frozenset({"paused"}),
)
