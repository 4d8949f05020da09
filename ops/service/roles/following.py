"""`Following`: a service reads a log that another member writes, and applies it to its file.

start  reads frames of the log ─▶ writes their rows into the file ─▶ tells the readers that wait for events
stop   finishes the rows that are being applied ─▶ the connection that writes is free
"""

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack

import apsw

from bus.log import chain
from bus.replication.applying import Applier
from bus.replication.following import Follower
from ops.service.roles.ground import Ground
from ops.store.led_terms import forget_led

logger = logging.getLogger(__name__)


def applier_on(ground: Ground, connection: apsw.Connection) -> Applier:
    """The applier of frames to the store's file; `connection` is the one that writes."""
    return Applier(
        connection,
        ground.tables,
        ground.origin,
        cache_capacity=ground.settings.hot_aggregates,
        cache_bytes=ground.settings.hot_aggregates_kib * 1024,
    )


class Following:
    """Has the store follow the log, from `start` to `stop`; used once.

    `connection` is the one that writes; nothing else uses it meanwhile. A follower takes no commands, and
    publishes, mirrors and archives nothing: the leader does all of that.
    """

    def __init__(self, ground: Ground, connection: apsw.Connection) -> None:
        self._ground = ground
        self.follower = Follower(
            ground.relay_connection,
            ground.names,
            ground.origin.store_id,
            applier_on(ground, connection),
            on_applied=self._applied,
            damage=ground.readers.damage,
        )
        # Whether the file has events of another leader.
        self._has_others = False
        self._stack = AsyncExitStack()
        self._background = ground.background.ended_by(self._stack)

    def start(self) -> None:
        """Begins to follow; `follower` has the progress."""
        self._background.start(self.follower.run(), "following the log")

    async def stop(self) -> None:
        """Stops following; returns when nothing is being applied any more."""
        self.follower.stop()
        await self._stack.aclose()

    def _applied(self, rows: Sequence[chain.Row]) -> None:
        if not self._has_others:
            # Only once the missing events are in the file: until then, it has less than the log.
            try:
                forget_led(self._ground.settings.data)
            except OSError as error:
                logger.warning("that this file is no leader's any more is not on disk yet: %s", error)
            else:
                self._has_others = True
        self._ground.tell(rows)
