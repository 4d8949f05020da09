"""`Notices`: messages for the clients that listen now. They are not stored."""

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
    """Sends notices of commits, of backups and of acts of operators, beside the events that are kept.

    Used from the event loop's thread only.
    """

    def __init__(self, connection: LeanClient, names: BusNames) -> None:
        self._connection = connection
        self._names = names
        self._under_way = Tasks()

    def of_commit(self, notice: Notice) -> None:
        """Sends a notice of a commit."""
        self._under_way.start(
            self._connection.publish(self._names.notice(*notice.topic), encode(notice.body))
        )

    async def of_backup(self, change: str, what: dict[str, Any]) -> None:
        """Sends a notice of a change of a backup."""
        await self._tell(self._names.notice("backup", change), what)

    def record(self, act: Act, head: Head | None = None) -> None:
        """Writes an administrative act to the service's log, with the audit log's head, and sends it."""
        write_to_log(act, "" if head is None else str(head))
        self._under_way.start(self._tell(self._names.notice("audit"), act))

    async def _tell(self, subject: str, what: Any) -> None:
        # A lost notice does no harm: the service's log tells the same.
        with suppress(NatsError):
            await self._connection.publish(subject, encode(what))
