"""Who is told what: `hand_on` tells all that a commit concerns, `Notices` those who listen now."""

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nats.errors import Error as NatsError

from bus.contract.codec import encode
from bus.contract.subjects import BusNames
from bus.serving.audit import Act, write_to_log
from bus.serving.durable.delivery import Delivery
from bus.tasks import Tasks
from bus.transport.connection import LeanClient
from bus.writing.submission import Commit
from domain.decider import Notice
from ops.audit.entry import Head
from ops.parts import Parts
from ops.service.traces import Traces

if TYPE_CHECKING:
    # Nothing of HTTP is loaded for a service that has none.
    from ops.http.backend import Backend


class Notices:
    """News beside the events that are kept: of commits, of backups and of what operators do.

    Used from the event loop's thread only.
    """

    def __init__(self, connection: LeanClient, names: BusNames) -> None:
        self._connection = connection
        self._names = names
        self._under_way = Tasks()

    def of_commit(self, notice: Notice) -> None:
        """Tells what a group of commands has to say."""
        self._under_way.start(
            self._connection.publish(self._names.notice(*notice.topic), encode(notice.body))
        )

    async def of_backup(self, change: str, what: dict[str, Any]) -> None:
        """Tells what became of a backup."""
        await self._tell(self._names.notice("backup", change), what)

    def record(self, act: Act, head: Head | None = None) -> None:
        """Has an administrative act stand in the service's log, with the audit log's head, and tells it."""
        write_to_log(act, "" if head is None else str(head))
        self._under_way.start(self._tell(self._names.notice("audit"), act))

    async def _tell(self, subject: str, what: Any) -> None:
        # A notice that is lost does no harm: the log of the service has it.
        with suppress(NatsError):
            await self._connection.publish(subject, encode(what))


def hand_on(
    commit: Commit, parts: Parts, notices: Notices, *, traces: Traces | None, backend: "Backend | None"
) -> None:
    """Answers the commands of a commit that is on disk, and wakes whatever follows the log."""
    requested, durable = [], []
    for one in commit.submissions:
        if isinstance(one.context, Delivery):
            durable.append(one)
        elif isinstance(one.context, threading.Event):
            one.context.set()
        else:
            requested.append(one)
    # Before the events go out: clients send their next commands meanwhile.
    parts.intake.answer(requested)
    if durable:
        parts.durable.answered(durable)
    if traces is not None:
        # Before the events go out: their spans end when the stream has them.
        traces.committed(commit)
    parts.archiver.notify(commit)
    if commit.rows:
        if backend is not None:
            backend.committed(commit.rows[-1].position)
        parts.relay.notify(commit.rows)
        parts.mirrors.notify(commit.rows)
    if commit.let_through:
        parts.let_through.hear(commit.let_through)
    for notice in commit.notices:
        notices.of_commit(notice)
