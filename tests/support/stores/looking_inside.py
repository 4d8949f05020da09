"""The whole log and the whole memory of a writer, for comparisons."""

from contextlib import closing
from pathlib import Path

import apsw

from bus.log import chain
from bus.log.answers import read_answers
from bus.log.chain import Row
from bus.writing.hot_states import HotStates
from bus.writing.jobs.awaited_groups import AwaitedGroups
from bus.writing.jobs.dependents import Dependents
from bus.writing.jobs.unique import UniqueJobs
from domain.decider import Aggregate
from migrations.connection import open_reader


def read_after(connection: apsw.Connection, position: int, *, limit: int) -> list[Row]:
    """At most `limit` rows of the log behind `position`, in order."""
    rows = connection.execute(
        "SELECT position, stream, version, type, recorded_at, command_id, data, metadata, hash FROM events"
        " WHERE position > ? ORDER BY position LIMIT ?",
        (position, limit),
    )
    return [Row(*row) for row in rows]


def edges(dependents: Dependents) -> set[tuple[str, str, bool]]:
    """Each awaited job with a job that waits for it, and True if that one waits patiently."""
    return {
        (awaited, job_id, patient)
        for patient, waiting in ((True, dependents._patient), (False, dependents._impatient))
        for awaited, jobs in waiting.items()
        for job_id in jobs
    }


def awaited(groups: AwaitedGroups) -> set[tuple[str, tuple[str, str], str]]:
    """Each awaited group with a job that waits for it, and how it waits."""
    return {
        (group_id, kind, job_id)
        for group_id, kinds in groups._waiting.items()
        for kind, jobs in kinds.items()
        for job_id in jobs
    }


def unfinished(unique: UniqueJobs) -> dict[str, set[str]]:
    """The jobs of each unique key, after a transaction."""
    return {key: {job_id for _, job_id in jobs} for key, jobs in unique._by_key.items()}


def states(hot: HotStates) -> dict[str, Aggregate]:
    """Everything that is in memory, the one used longest ago first."""
    return {stream: place.aggregate for stream, place in hot._places.items()}


def log_of(path: Path, up_to: int = 10**9) -> list[chain.Row]:
    """The events of a file, all or up to a position."""
    with closing(open_reader(path)) as connection:
        return [row for row in read_after(connection, 0, limit=10**9) if row.position <= up_to]


def answers_by_id(path: Path) -> dict[str, str]:
    """The remembered answers of a file, by command id."""
    with closing(open_reader(path)) as connection:
        return {one.command_id: one.answer for one in read_answers(connection, 0)}
