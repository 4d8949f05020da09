"""A worker on a real service, and helpers with which a test observes it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg

from bus.broker.users import RESPONDER, private_inbox
from bus.client import BatchCommand, Client
from bus.worker import Handler, JobContext, Worker
from hyperpage_client.contract.headers import COMMAND_ID
from hyperpage_client.transport.connection import LeanClient
from ops.service.composition import Service
from tests.support.patience import until
from tests.support.services.serving import broker_of, client_of, serving
from tests.support.stores.looking_inside import log_of

# A pause between polls that is longer than any test: a worker that acts in time was notified.
NEVER = 3_600.0
FAR_AWAY = 4_102_444_800_000


class Claims:
    """Counts the claims that a broker carries; a claim that is refused as busy and sent again counts once."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    @property
    def seen(self) -> int:
        return len(self._ids)

    async def note(self, message: Msg) -> None:
        self._ids.add((message.headers or {})[COMMAND_ID])


@asynccontextmanager
async def counting_claims(service: Service) -> AsyncIterator[Claims]:
    """Counts every claim that is sent to the service."""
    claims = Claims()
    url = broker_of(service).url_for(RESPONDER)
    # Not the client of nats-py, whose flush may return before the server has read a subscription.
    connection = LeanClient()
    await connection.connect(url, inbox_prefix=private_inbox(RESPONDER).encode())
    try:
        await connection.subscribe("hyperpage.usr.app.cmd.v1.jobs.claim", cb=claims.note)
        await connection.flush()
        yield claims
    finally:
        await connection.close()


@asynccontextmanager
async def working(client: Client, handlers: Mapping[str, Handler], **options: Any) -> AsyncIterator[Worker]:
    """A worker for the length of the block, which hardly ever polls, and must not end by itself."""
    worker = Worker(client, handlers, **{"poll_seconds": NEVER, "grace_seconds": 0.0} | options)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
        assert not task.done()
    finally:
        worker.stop()
        await task


@asynccontextmanager
async def at_work(
    folder: Path, handlers: Mapping[str, Handler], **options: Any
) -> AsyncIterator[tuple[Client, Worker]]:
    """A service, a client and a worker."""
    async with (
        serving(folder) as service,
        client_of(service) as client,
        working(client, handlers, **options) as worker,
    ):
        yield client, worker


async def enqueue(client: Client, job_id: str, **more: Any) -> None:
    await client.send("jobs.enqueue", {"type": "sync", "name": job_id, "id": job_id} | more)


async def enqueue_many(client: Client, count: int, **more: Any) -> list[str]:
    """The ids of so many new jobs."""
    job_ids = [f"job-{number}" for number in range(count)]
    for start in range(0, count, 1_000):
        some = job_ids[start : start + 1_000]
        bodies = [{"type": "sync", "name": one, "id": one} | more for one in some]
        await client.send_batch(BatchCommand(command="jobs.enqueue", body=body) for body in bodies)
    return job_ids


async def in_state(client: Client, job_id: str, state: str) -> dict[str, Any]:
    """The row of a job, once it is in that state."""
    row: dict[str, Any] = {}

    async def is_there() -> bool:
        nonlocal row
        row = await client.get("jobs", id=job_id)
        return bool(row["state"] == state)

    await until(is_there)
    return row


async def completed(client: Client, count: int) -> None:
    """Returns when so many jobs have completed."""

    async def are_there() -> bool:
        return await client.count("jobs", state="completed") == count

    await until(are_there)


def changes(folder: Path) -> list[tuple[str, str]]:
    """The stream and the type of each event in the log."""
    return [(row.stream, row.type) for row in log_of(folder / "hyperpage.db")]


async def does_nothing(job: JobContext) -> None:
    """Returns at once."""
