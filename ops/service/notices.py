"""`Notices` for those who listen now."""

from contextlib import suppress
from typing import Any

from nats.errors import Error as NatsError

from bus.contract.codec import encode
from bus.serving.audit import Act, write_to_log
from domain.decider import Notice
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.tasks import Tasks
from hyperpage_client.transport.connection import LeanClient
from ops.audit.entry import Head


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
