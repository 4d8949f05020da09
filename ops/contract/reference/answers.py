"""Notes on the answers to queries, and on their refusals, for the reference."""

import msgspec

from domain.rate_limits.availability import Availability
from domain.rate_limits.forecast import Forecast
from projections.jobs.board import COLUMNS as BOARD_COLUMNS
from projections.jobs.history import HISTORY_COLUMNS
from projections.jobs.statistics import MAXIMUM_QUEUES, GroupProgress
from projections.jobs.workers import MAXIMUM_ASKED, MAXIMUM_ATTEMPTS, MAXIMUM_WORKERS, RUNNING_COLUMNS
from projections.tables import TABLES


class QueryNotes(msgspec.Struct, frozen=True):
    """Notes on a query beside its fields, without the refusals that any query can have."""

    answer: str
    refusals: tuple[str, ...] = ()


_EVENTS = "CloudEvents, as subscribers get them"
_OTHERS = {
    "rate_limits.may_call": QueryNotes(", ".join(f"`{field}`" for field in Availability.__struct_fields__)),
    "rate_limits.forecast": QueryNotes(", ".join(f"`{field}`" for field in Forecast.__struct_fields__)),
    "jobs.attempts": QueryNotes(
        f"`items`, each with {', '.join(f'`{column}`' for column in HISTORY_COLUMNS)}; and `next`"
    ),
    "jobs.stats": QueryNotes(
        "`since` and `until`; `total`, the sum of all queues: jobs by state, how many are overdue, the"
        " longest overdue one, and the attempts that ended; `queues` by name, each with the same counts and"
        f" with percentiles of waiting and running in milliseconds, {MAXIMUM_QUEUES:,} of them at most; and"
        " `queues_left_out`, how many were left out"
    ),
    "jobs.throughput": QueryNotes(
        "`since`, `until` and `part_ms`, and `parts`, the oldest first, each with the number of its attempts"
        " by outcome"
    ),
    "jobs.workers": QueryNotes(
        "`since` and `until`, and `workers` by name, each with how many jobs it has, when the oldest of their"
        " attempts began, when the first of their leases ends, how many of its attempts ended since `since`,"
        " by outcome, and the queues and types that it claims from. The leading service remembers those for"
        f" an hour, {MAXIMUM_ASKED} of each worker at most. An answer has as many workers as fit, at most"
        f" {MAXIMUM_WORKERS}: those with jobs first, then those with the latest claims; and the counts cover"
        f" the latest {MAXIMUM_ATTEMPTS:,} attempts"
    ),
    "jobs.running": QueryNotes(
        "`items`, the attempt that began first at the top, each with"
        f" {', '.join(f'`{column}`' for column in RUNNING_COLUMNS)}; and `next`, null on the last page"
    ),
    "schedules.preview": QueryNotes(
        "`items`, each with its `run_at`, in milliseconds since the epoch; fewer than asked for if there"
        " are no more"
    ),
    "jobs.group": QueryNotes(", ".join(f"`{field}`" for field in GroupProgress.__struct_fields__)),
    "tool_configs.diff": QueryNotes("`added`, `removed` and `changed`, each an array", ("not_found",)),
    "jobs.browse": QueryNotes(
        f"`items`, the newest first, each with {', '.join(f'`{column}`' for column in BOARD_COLUMNS)}; and"
        " `next`, null on the last page"
    ),
    "events.find": QueryNotes(
        f"`items`, the newest first, {_EVENTS}; `next`, null at the beginning of the log; and the position of"
        " the `head`"
    ),
    "events.chain": QueryNotes(
        f"`items` in the order of the log, each with the position of its `cause`, or null, and the `event`,"
        f" one of the {_EVENTS}; `complete`, false if there are more than an answer can hold",
        ("not_found",),
    ),
    "jobs.await": QueryNotes(
        "`has_ended`, false if the time ran out first, and the `job`, a row as with `get`",
        ("not_found",),
    ),
    "events.read": QueryNotes(
        f"`items`, {_EVENTS}; `next`, null at the head of the log; the position of the `head`; and the"
        " `timelines` of the store `store_id`, each with its first position"
    ),
}


def query_notes(name: str) -> QueryNotes:
    """The notes on a query.

    Raises:
        KeyError: there are none.
    """
    if name in _OTHERS:
        return _OTHERS[name]
    table, _, verb = name.partition(".")
    columns = ", ".join(f"`{column}`" for column in TABLES[table].columns)
    unlisted = TABLES[table].columns[len(TABLES[table].listed.__struct_fields__) :]
    shown = "".join(f", but for `{column}`" for column in unlisted)
    return {
        "get": QueryNotes(f"the row, with {columns}", ("not_found",)),
        "as_of": QueryNotes("the row as it was then, as with `get`", ("not_found",)),
        "list": QueryNotes(f"`items`, rows as with `get`{shown}, and `next`, null on the last page"),
        "count": QueryNotes(
            "`count`; with `by`, `groups` of `value` and `count`, the largest first, 1,000 at most, and"
            " `groups_left_out`, how many were left out"
            if table == "jobs"
            else "`count`"
        ),
        "history": QueryNotes(f"`items`, {_EVENTS}; and `next`, null on the last page", ("not_found",)),
    }[verb]
