"""Repairs a file with events that no other member has, since a leader took over without them: `put_right`.

    the file ──▶ its last events, which the log lacks, into a file for the operator
        └─────▶ the events before them, and then those of the log

If commands are answered before the log has them, the last ones of a lost leader are in its file alone. When
that member comes back, the others have gone on without them, in a new timeline.
"""

import logging
from contextlib import closing
from functools import partial
from pathlib import Path

from bus.kept_files import sync_folder
from bus.log import chain
from bus.log.cloud_events import read_origin, scan_events
from bus.replication.applying import Applier
from bus.replication.comparing import last_in_common
from bus.replication.following import Reading
from bus.replication.history import History
from bus.replication.log_stream import LogStream
from hyperpage_client.tasks import to_its_end
from migrations.connection import open_reader, open_writer
from ops.audit.own_acts import own_act
from ops.backup.copying import copy_store
from ops.backup.opening import require_room
from ops.backup.restoring.materialize import cut_back, remove_leftovers, seal
from ops.backup.restoring.swap import WORK_SUFFIX, remove
from ops.backup.sound import head_at
from ops.progress import ignore_progress
from ops.service.restores import put_on_record
from ops.settings import Settings
from ops.store.led_terms import forget_led
from ops.store.lost_events import lost_events_path
from ops.store.tables import Tables
from ops.targets.target import sync_file

# How many events are read at once.
_EVENTS = 1_000

logger = logging.getLogger(__name__)


async def put_right(settings: Settings, log: LogStream) -> None:
    """Changes an unused file so that the log continues it, after a leader took over without its last events.

    The events that the file alone has are written first to a file of CloudEvents, one a line, with a name by
    `ops.store.lost_events`. If the log continues the file, or differs in another way, nothing is done.

    Raises:
        LogStreamError, FrameError, JetStreamError: the log cannot be read.
        BackupError: the tables of the new file cannot be made to agree with its log.
        OSError, apsw.Error: the disk is full.
    """
    store = settings.store_path
    work = store.with_name(store.name + WORK_SUFFIX)
    common = await _common(store, log)
    if common is None:
        return
    remove_leftovers(work)
    try:
        await to_its_end(partial(_copy, store, work))
        head = await brought_forward(work, log)
        first = 1 + await to_its_end(partial(common_end, work, store))
        aside = await to_its_end(partial(_put_aside, settings.data, store, first))
        forget_led(settings.data)
        remove(store, None)
        work.replace(store)
        sync_folder(store.parent)
    finally:
        remove_leftovers(work)
    if aside is not None:
        logger.error(
            "the cluster went on without the last events of this store, from position %d on: %s has them",
            *(first, aside),
        )
    said = {"position": head.position, "lost_from": first, "aside": None if aside is None else aside.name}
    await put_on_record(settings, own_act("store.put_right", said))


async def brought_forward(work: Path, log: LogStream) -> chain.Head:
    """Brings a file to the end of the log, and gives its head; events that the log lacks are removed."""
    common = await _common(work, log)
    if common is not None:
        await to_its_end(partial(cut_back, work, common.position))
    with closing(open_writer(work)) as connection:
        applier = Applier(connection, Tables(), read_origin(connection))
        end = await log.end()
        # The whole log is read: frames with events that the file has may hold jobs' leases that it lacks.
        await Reading(log, applier, end.first - 1).up_to(end.sequence)
    await to_its_end(partial(seal, work))
    return applier.head


async def _common(store: Path, log: LogStream) -> chain.Head | None:
    with closing(open_reader(store)) as connection:
        history = History(connection, read_origin(connection))
        return await last_in_common(log, history, chain.read_head(connection))


def _copy(store: Path, work: Path) -> None:
    require_room(work.parent, store.stat().st_size)
    work.touch(mode=0o600)
    copy_store(store, work, ignore_progress)


def _put_aside(data: Path, store: Path, first: int) -> Path | None:
    """The file, now on disk, with the store's events from a position on; `None` if there are none."""
    with closing(open_reader(store)) as connection:
        head, origin = chain.read_head(connection), read_origin(connection)
        if head.position < first:
            return None
        path = lost_events_path(data, origin.timeline, first, head.position)
        path.touch(mode=0o600)
        with path.open("wb") as file:
            for after in range(first - 1, head.position, _EVENTS):
                for _, event in scan_events(connection, origin, after, streams=("*",), limit=_EVENTS):
                    file.write((event or b"") + b"\n")
    sync_file(path)
    sync_folder(data)
    return path


def common_end(one: Path, other: Path) -> int:
    """The last position up to which two files have the same events; neither may change meanwhile."""
    with closing(open_reader(one)) as first, closing(open_reader(other)) as second:
        same, end = 0, min(chain.read_head(first).position, chain.read_head(second).position)
        # A binary search, since each hash vouches for all events before it.
        while same < end:
            middle = (same + end + 1) // 2
            if head_at(first, middle) == head_at(second, middle):
                same = middle
            else:
                end = middle - 1
    return same
