"""Leading a log that others follow: everything in it applied, then a term of one's own."""

import asyncio
from contextlib import suppress

import apsw

from bus.replication.applying import Applier
from bus.replication.frame import FrameError
from bus.replication.log_stream import LogStream, LogStreamError
from bus.replication.replicating import Replicator, take_term
from ops.service.errors import ServiceError
from ops.service.roles.ground import Ground


async def replicator_on(ground: Ground, connection: apsw.Connection) -> Replicator | None:
    """The leader of a new term, with everything in the log in the file; `None` where there is no log.

    The service ends when it leads no more.

    Raises:
        ServiceError: the log is not this store's, cannot be read, or cannot be kept as the settings say.
        JetStreamError: JetStream refuses, or does not answer.
    """
    settings = ground.settings
    if settings.replication == "off":
        return None
    store_id, timeline = ground.origin.store_id, ground.origin.timeline
    try:
        log = LogStream(ground.relay_connection, ground.names, store_id)
        applier = Applier(connection, ground.tables, store_id=store_id, timeline=timeline)
        await log.prepare(settings.replication_replicas, timeline=timeline, position=applier.head.position)
        term = await take_term(log, applier, settings.member_name)
    except LogStreamError as error:
        raise ServiceError(error.problem, hint=error.repair) from error
    except FrameError as error:
        raise ServiceError(error.problem, hint=error.hint) from error
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    why: list[str] = []

    def note_end(problem: str) -> None:
        why.append(problem)
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    async def led_no_more() -> None:
        await ended.wait()
        raise ServiceError(why[0], hint="it goes on with what the log has once it is started again")

    ground.background.start(led_no_more(), "the lead of the log")
    return Replicator(ground.connect_relay, ground.names, term, on_end=note_end)
