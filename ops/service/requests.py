"""The requests that a service answers beside commands: queries, administration, and those about streams."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from bus.serving.administration import Administration
from bus.serving.discovery import Endpoint
from bus.serving.queries.answering import Queries
from bus.serving.queries.reading import QueryVerb
from bus.serving.stream_access import StreamAccess
from hyperpage_client.contract.log_place import LogPlace
from ops.parts import Role
from ops.service.roles.ground import Ground
from ops.store.data_directory import kept_key


class Requests:
    """Answers queries and administration in any role.

    As the leader, answers what names no instance, too: newest reads, requests about streams, administration.
    `consumer_names` is the file of the key that names users' consumers.
    """

    def __init__(
        self,
        ground: Ground,
        role: Role,
        verbs: Mapping[str, QueryVerb],
        endpoints: Mapping[str, Endpoint],
        administration: Administration,
        consumer_names: Path,
    ) -> None:
        settings, standing_alone = ground.settings, ground.standing_alone
        self.administration = administration
        self.stream_access = StreamAccess(
            ground.relay_connection,
            ground.subjects,
            key=kept_key(consumer_names),
            admission=ground.admission,
            consumers=settings.stream_consumers,
        )
        self.queries = Queries(
            ground.connect,
            ground.readers,
            ground.subjects,
            verbs,
            endpoints,
            ground.admission,
            lambda: LogPlace(ground.origin.timeline, role.head.position),
            # Members always answer queries, from their own files, which may be behind.
            (lambda: True) if settings.is_replicated else standing_alone.is_so,
            settings.busy_after_ms,
            lambda: role.leading is not None and standing_alone.holds(),
            current_at=lambda: role.current_at,
            has_others=settings.is_replicated,
            changes=ground.changes,
        )

    async def start(self, stack: AsyncExitStack) -> None:
        """Answers what goes to this service. `stack` ends that; who leads ends `stream_access` as well."""
        await self.queries.start()
        stack.push_async_callback(self.queries.stop)
        await self.administration.start()
        stack.push_async_callback(self.administration.stop)

    async def answer_for_all(self, key: bytes | None = None) -> None:
        """Answers what goes to the leader, too.

        `key` is the one that all members have agreed on, so that users find their consumers; `None` without
        other members.
        """
        if key is not None:
            self.stream_access.use_key(key)
        await self.queries.answer_for_all()
        await self.stream_access.start()
        await self.administration.answer_for_all()

    async def leave_to_others(self) -> None:
        """Answers what goes to the leader no more."""
        await self.queries.leave_to_others()
        await self.administration.leave_to_others()
        await self.stream_access.stop()
