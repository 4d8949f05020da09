"""Makes a member's file before it is opened: `make_ready`.

    no file ──▶ newest backup that can be reached ──▶ archive ──▶ log ──▶ compared, put in place
                 └ if none leads to the log, the one on the nats-servers
    a file that ends before the log begins ──▶ the same; the new file must have all events of the old one
    a log of a later timeline, or an operator's request ──▶ the same, and the old file is kept
    a log that went on without the file's last events ──▶ they are put aside, and the file follows the log
    a file of a later timeline, after a restore ──▶ it stays, and no other live member may lead
    neither a file nor a log ──▶ a log of a store without events is made, and the file from it

The new file is made beside the old one, which stays in place until the new one has all events of the log.
"""

import asyncio
import logging
import time
from contextlib import closing
from functools import partial
from pathlib import Path

from bus.broker.users import RELAY
from bus.kept_files import make_folder, sync_folder
from bus.log import chain
from bus.replication.cluster_bucket import ClusterBucket, ClusterError
from bus.replication.frame import FrameError
from bus.replication.history import restored_timeline
from bus.replication.log_stream import (
    BEGIN_EMPTY,
    AnotherStoresLogError,
    DivergedLogError,
    LogBeginning,
    LogStream,
    LogStreamError,
)
from bus.replication.members import LIVE_SECONDS, Role, live_members
from bus.transport.jetstream import JetStreamApi
from hyperpage_client.contract.stream_metadata import STORE_ID
from hyperpage_client.identifiers import new_id
from hyperpage_client.tasks import to_its_end
from hyperpage_client.transport.connection import LeanClient
from migrations.connection import open_reader
from ops.archive.segment import list_segments
from ops.audit.own_acts import own_act
from ops.backup.metadata import list_backups
from ops.backup.restoring.materialize import remove_leftovers
from ops.backup.restoring.present import Present, read_present
from ops.backup.restoring.seed import Seed, make_seed
from ops.backup.restoring.swap import WORK_SUFFIX, remove
from ops.service.connections import connect_as
from ops.service.errors import ServiceError, told
from ops.service.restores import put_on_record, settled
from ops.service.roles.getting_ready import when_it_answers
from ops.service.roles.putting_right import brought_forward, common_end, put_right
from ops.service.roles.sharing import received
from ops.settings import Settings
from ops.store.led_terms import forget_led
from ops.store.reseeding import forget_reseed, reseed_asked
from ops.targets.errors import BackupError

# How long to wait for a backup or archive that reaches the log: a new leader's archive is some seconds
# behind.
SOURCE_WITHIN_SECONDS = 15.0
SOURCE_PAUSE_SECONDS = 0.5
# How long until a member that ended without leaving no longer counts as live.
ENDED_WITHIN_SECONDS = 2.0 * LIVE_SECONDS

logger = logging.getLogger(__name__)


async def make_ready(settings: Settings) -> None:
    """Makes sure that the log continues the file of a member of a cluster.

    Raises:
        The errors of `seeded`, and ServiceError if no nats-server lets the service in.
    """
    addresses = settings.outside_nats
    if addresses is None or not settings.is_replicated:
        # An embedded nats-server and its streams belong to this service alone: there is no cluster.
        return
    relay = await connect_as(RELAY, addresses[RELAY])
    try:
        await when_it_answers(partial(seeded, settings, relay, may_lead=not settings.only_follows))
    finally:
        await relay.close()


async def seeded(settings: Settings, relay: LeanClient, *, may_lead: bool) -> None:
    """Returns when there is a file that the log continues, or none is needed.

    The caller holds the data directory, and calls this before anything reads the store (before `make_sound`,
    too); `relay` is a connection as the relay. Without a log, an existing file stays as it is; a member
    without a file that `may_lead` begins a log and a store. If the store is gone and must be recovered first,
    or is damaged, this does nothing: `make_sound` deals with it.

    Raises:
        ServiceError: there is nothing to make the file from, or it has another history than the log.
        JetStreamError: JetStream refuses, or does not answer.
        OSError, apsw.Error: the disk is full, a bucket is away.
    """
    await settled(settings)
    try:
        log = await LogStream.there(relay, settings.names)
        present = await to_its_end(partial(read_present, settings.store_path))
        if present is None and not _is_empty(settings.store_path):
            return
        if log is None and present is None:
            log = await _first_log(settings, relay, may_lead=may_lead)
        if log is not None:
            await _seed_if_needed(settings, relay, log, present)
    except (ClusterError, LogStreamError, FrameError) as error:
        raise told(error) from error
    except BackupError as error:
        raise ServiceError(f"a file of the store cannot be made: {error.message}", hint=error.hint) from error


def _is_empty(store: Path) -> bool:
    return not store.exists() or store.stat().st_size == 0


async def _first_log(settings: Settings, relay: LeanClient, *, may_lead: bool) -> LogStream | None:
    """The log of a new store, made by the first of its members; `None` if a lost one is to be recovered."""
    if (events := await JetStreamApi(relay).report(settings.names.events)) is not None:
        raise ServiceError(
            f"there is no log yet, and the nats-server has events of the store"
            f" {events.metadata.get(STORE_ID)}, which is not in {settings.data}",
            hint="start the service that has its file first, with replication; where none has it any more:"
            f" hyperpage backup restore --latest --yes --data {settings.data}",
        )
    if await to_its_end(partial(_has_kept, settings)):
        return None
    if not may_lead:
        raise ServiceError(
            "there is no log to follow yet", hint="start a service that may lead first: it begins the log"
        )
    log = LogStream(relay, settings.names, new_id())
    try:
        await log.prepare(settings.replication_replicas, timeline=1, position=0)
    except AnotherStoresLogError:
        return await LogStream.there(relay, settings.names)
    return log


def _has_kept(settings: Settings) -> bool:
    return bool(list_backups(settings.backup_folder) or list_segments(settings.archive_folder))


async def _seed_if_needed(
    settings: Settings, relay: LeanClient, log: LogStream, present: Present | None
) -> None:
    begins = await log.beginning()
    if present is not None and present.store_id != log.store_id:
        raise AnotherStoresLogError(
            f"the stream {log.name} belongs to the store {log.store_id}, and {settings.store_path} is"
            f" {present.store_id}",
            BEGIN_EMPTY,
        )
    if present is None:
        await _seed(settings, relay, log, begins, None, is_kept=False)
    elif present.head is not None and (
        present.timeline < begins.timeline or reseed_asked(settings.data) == present.head
    ):
        await _seed(settings, relay, log, begins, present.head, is_kept=True)
    elif await to_its_end(partial(_was_restored, settings.store_path, begins.timeline)):
        # The begin of this log does not matter: a leader with the restored file begins the log anew.
        await _require_alone(settings, relay, present.timeline)
    elif present.head is not None and present.head.position < begins.position:
        await _seed(settings, relay, log, begins, present.head, is_kept=False)
    elif present.head is not None:
        await put_right(settings, log)
    forget_reseed(settings.data)


async def _require_alone(settings: Settings, relay: LeanClient, timeline: int) -> None:
    """Returns when no other live member may lead: its answered commands would be lost with the log.

    Raises:
        ServiceError: there is such a member.
    """
    bucket = ClusterBucket(relay, settings.names)
    until = time.monotonic() + ENDED_WITHIN_SECONDS
    while others := [
        one.member.name
        for one in await live_members(bucket)
        if one.member.name != settings.member_name and one.member.role is not Role.FOLLOWER
    ]:
        if time.monotonic() > until:
            raise ServiceError(
                f"{settings.store_path} was restored, to timeline {timeline}, and the cluster goes on without"
                f" that: {', '.join(others)}",
                hint="stop the others first, then start this one; or give the restored file up: hyperpage"
                f" cluster reseed --yes --data {settings.data}",
            )
        await asyncio.sleep(SOURCE_PAUSE_SECONDS)


async def _seed(
    settings: Settings,
    relay: LeanClient,
    log: LogStream,
    begins: LogBeginning,
    old: chain.Head | None,
    *,
    is_kept: bool,
) -> None:
    """Makes the file and puts it in its place; `old` is the head of a file that is there, if any."""
    store = settings.store_path
    work = store.with_name(store.name + WORK_SUFFIX)
    # The new file may lack events that this member has answered as a leader.
    forget_led(settings.data)
    aside = f"{store.name}.set-aside-{time.time_ns() // 1_000_000}" if is_kept else None
    common = 0
    try:
        seed = await _made(settings, relay, work, log, begins)
        head = await brought_forward(work, log)
        if old is not None:
            common = await to_its_end(partial(common_end, work, store))
            if not is_kept and common < old.position:
                raise DivergedLogError(
                    f"{store.name} has other events than the log, from position {common + 1} on",
                    "`hyperpage cluster reseed` has it made anew, and keeps the old file",
                )
        remove(store, aside)
        work.replace(store)
        sync_folder(store.parent)
    finally:
        remove_leftovers(work)
    for reason in seed.passed_over.values():
        logger.error("passed over: %s", reason)
    logger.warning(
        "%s is made of %s, %d segments of the archive and the log, up to position %d",
        *(store.name, seed.begins_with, seed.segments, head.position),
    )
    said = {"begins_with": seed.begins_with, "segments": seed.segments, "position": head.position}
    if old is not None and aside is not None:
        alone = f"{common + 1} to {old.position}" if common < old.position else "none"
        logger.warning("the old file is %s; events that it alone has: %s", store.with_name(aside), alone)
        said |= {"aside": aside, "events_of_it_alone": alone}
    await put_on_record(settings, own_act("store.seed", said))


async def _made(
    settings: Settings, relay: LeanClient, work: Path, log: LogStream, begins: LogBeginning
) -> Seed:
    make_folder(work.parent)
    make = partial(
        make_seed,
        settings.places,
        work,
        log.store_id,
        timeline=begins.timeline,
        newest=begins.newest,
        begins=begins.position,
        now_ms=time.time_ns() // 1_000_000,
    )
    until = time.monotonic() + SOURCE_WITHIN_SECONDS
    while True:
        try:
            return await to_its_end(make)
        except BackupError as error:
            if error.reason != "unreachable_moment":
                raise
            if await received(settings, relay, log.store_id, begins):
                continue
            if time.monotonic() > until:
                raise ServiceError(
                    f"the log begins behind position {begins.position} of timeline {begins.timeline}, and"
                    f" {error.message}",
                    hint="make a backup where the log is led (hyperpage backup create), in a place that both"
                    f" reach; this one looks in {settings.backup_folder}, {settings.archive_folder} and the"
                    f" object store {settings.names.backups}",
                ) from error
        await asyncio.sleep(SOURCE_PAUSE_SECONDS)


def _was_restored(store: Path, timeline: int) -> bool:
    """Whether a restore has begun a timeline in the file that is later than this one."""
    with closing(open_reader(store)) as connection:
        return restored_timeline(connection) > timeline
