"""A leader, the places that it shares with a member without a store yet, and their nats-server."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from bus.log.answers import read_answers
from bus.log.reader_pool import ReaderPool
from bus.replication.log_stream import LogStream
from migrations.connection import open_reader
from ops.archive.archiver import Archiver
from ops.backup.create import create_backup
from ops.backup.drill import prove
from ops.service.roles.seeding import seeded
from ops.settings import Settings
from tests.support.clock import HOUR_MS
from tests.support.stores.relaying import NAMES, Broker, broker_in
from tests.support.stores.replicated import Led, replicated_content


class Scene:
    """A leader's file, the places that it shares with a member, and that member's settings."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.broker = broker
        self.leaders = folder / "leader" / "hyperpage.db"
        self.leaders.parent.mkdir()
        self.settings = self.settings_of(folder / "member")
        self.settings.data.mkdir()

    def settings_of(self, data: Path) -> Settings:
        return Settings(
            data=data,
            backups=str(data.parent / "backups"),
            archive=str(data.parent / "archive"),
            replication="sync",
            replication_replicas=1,
        )

    async def seeded(self, *, may_lead: bool = True) -> None:
        await seeded(self.settings, self.broker.connection, may_lead=may_lead)

    def backup(self, *, proven: bool = False) -> None:
        create_backup(self.leaders, self.settings.backup_folder, version="0", prove=prove if proven else None)

    async def archive(self, led: Led) -> None:
        """Archives all that the leader has committed."""
        readers = ReaderPool(self.leaders)
        archiver = Archiver(
            self.settings.archive_folder, led.store.origin, readers.connection, store=self.leaders
        )
        for commit in led.store.commits:
            archiver.notify(commit)
        await archiver.stop()
        readers.close()

    def content(self) -> dict[str, list[Any]]:
        """The content of the member's file."""
        with closing(open_reader(self.settings.store_path)) as connection:
            return content_of(connection)

    async def cut(self, position: int) -> None:
        """Cuts the log, which then begins at the first frame that reaches a position."""
        log = await LogStream.there(self.broker.connection, NAMES)
        assert log is not None
        await self.broker.purge(NAMES.log, seq=await log.first_reaching(position, await log.end()))


def play(scenario: Callable[[Scene], Awaitable[None]], folder: Path) -> None:
    async def played() -> None:
        async with broker_in(folder / "broker") as broker:
            await scenario(Scene(folder, broker))

    asyncio.run(played())


def token_of(job_id: str, connection: apsw.Connection) -> str:
    return str(connection.execute("SELECT token FROM job_leases WHERE job_id = ?", (job_id,)).get)


async def work(led: Led, first: int, count: int = 10) -> None:
    """Changes some state, begins a job and ends another, each under a lease."""
    send = led.store.send
    for number in range(first, first + count):
        for name, body in (
            ("app_state.set", {"key": f"k.{number}", "value": number}),
            ("jobs.enqueue", {"id": f"job-{number}", "type": "mail", "name": "A mail"}),
            ("jobs.claim", {"worker": "w", "lease_ms": HOUR_MS}),
        ):
            reply = await asyncio.to_thread(send, name, body, id=f"{name}-{number}")
            assert reply.code is None
        if number % 2:
            token = led.store.in_writer(partial(token_of, f"job-{number}"))
            done = await asyncio.to_thread(send, "jobs.complete", {"id": f"job-{number}", "lease": token})
            assert done.code is None


def content_of(connection: apsw.Connection) -> dict[str, list[Any]]:
    """All content that must be the same in both files; snapshots and the form of answers may differ."""
    content = replicated_content(connection)
    del content["snapshots"]
    return content | {"command_answers": sorted(read_answers(connection, 0))}
