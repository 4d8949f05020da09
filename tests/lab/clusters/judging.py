"""Checks of all members together: of the running members, then of their files."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Collection
from contextlib import closing, suppress
from typing import Any

from migrations.connection import open_reader
from tests.lab.clusters.processes import Cluster
from tests.lab.experiment import Broken
from tests.lab.machines.applications import Applications
from tests.lab.machines.judging import NoAnswer, ask_again, go_on, require_file, require_followed
from tests.lab.machines.service_process import ServiceProcess
from tests.support.patience import patiently, until
from tests.support.services.raw_nats import RawNats
from tests.support.stores.replicated import replicated_content

# The promised time within which all members are healthy after everything is repaired.
HEALED_WITHIN_SECONDS = patiently(30.0)
ANSWERS_WITHIN_SECONDS = 1.0
# A nats-server that was cut off may be without a leader of a stream for some seconds more.
JUDGED_SECONDS = patiently(10.0)


async def reports_of(url: str, count: int) -> list[dict[str, Any]]:
    """The health reports of up to `count` members."""
    async with await RawNats.connect(url) as client:
        inbox = "_INBOX.reports.here"
        answers = client.subscribe(inbox)
        await client.flush()
        client.publish("$SRV.STATUS.hyperpage-persistence", reply=inbox)
        found: list[dict[str, Any]] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWERS_WITHIN_SECONDS):
                while len(found) < count:
                    found.append((await answers.get()).said)
        return found


async def leader_of(cluster: Cluster) -> str:
    """The name of the member that says that it leads."""
    found: list[str] = []

    async def is_known() -> bool:
        found[:] = [
            said["name"]
            for one in await reports_of(cluster.url, len(cluster.members))
            if (said := one.get("cluster")) is not None and said["role"] == "leader"
        ]
        return len(found) == 1

    await until(is_known, HEALED_WITHIN_SECONDS)
    return found[0]


async def become_well(cluster: Cluster) -> None:
    """Returns when each member says that it is healthy, and one that it leads.

    Raises:
        Broken: they do not within the promised time.
    """
    said: list[dict[str, Any]] = []

    async def are_well() -> bool:
        nonlocal said
        with suppress(OSError, TimeoutError, ValueError, AssertionError):
            async with asyncio.timeout(3):
                said = await reports_of(cluster.url, len(cluster.members))
        well = [one["cluster"]["role"] for one in said if one.get("status") == "healthy" and one["cluster"]]
        return len(well) == len(cluster.members) and well.count("leader") == 1

    try:
        await until(are_well, HEALED_WITHIN_SECONDS)
    except TimeoutError:
        words = "; ".join(f"{one.data.name}: {one.last_words[-600:]}" for one in cluster.services)
        raise Broken(
            f"not all are healthy {HEALED_WITHIN_SECONDS:g} s after the repair: {said}; {words}"
        ) from None


async def require_all(
    cluster: Cluster, applications: Applications, *, others: Collection[str]
) -> dict[str, int]:
    """Checks that running members keep all promises to clients; then ends them, and compares their files.

    `others` are streams that other clients changed.
    """
    services = cluster.services
    applications.answer_seconds = JUDGED_SECONDS
    async with await RawNats.connect(cluster.url) as client:
        await _ask_again(client, applications)
        await go_on(client, applications, applications.stored)
    await until(lambda: len({_end_of(one) for one in services}) == 1, HEALED_WITHIN_SECONDS)
    await require_followed(services[0], applications, stream_is_whole=True)
    for one in cluster.members:
        await one.stop()
    for service in services:
        require_file(service.data / "hyperpage.db", applications, others=others)
    _require_equal(services)
    return {"answers": len(applications.told), "events seen": len(applications.seen)}


async def _ask_again(client: RawNats, applications: Applications) -> None:
    """As `ask_again`, for members of which none may lead for a moment."""
    until = time.monotonic() + HEALED_WITHIN_SECONDS
    while True:
        try:
            return await ask_again(client, applications)
        except NoAnswer:
            if time.monotonic() > until:
                raise
        await asyncio.sleep(0.5)


def _end_of(service: ServiceProcess) -> Any:
    with closing(open_reader(service.data / "hyperpage.db")) as connection:
        return connection.execute(
            "SELECT position, hash FROM events ORDER BY position DESC LIMIT 1"
        ).fetchone()


def _require_equal(services: list[ServiceProcess]) -> None:
    contents = []
    for service in services:
        with closing(open_reader(service.data / "hyperpage.db")) as connection:
            contents.append(replicated_content(connection))
    longest = max(range(len(contents)), key=lambda number: len(contents[number]["events"]))
    whole, name = contents[longest], services[longest].data.name
    for service, content in zip(services, contents, strict=True):
        events = len(content["events"])
        # The last leader may have rescued a job after another member had ended: that one has fewer events.
        is_shorter = events < len(whole["events"])
        for table, rows in {"events": whole["events"][:events]}.items() if is_shorter else whole.items():
            if content[table] != rows:
                differing = Counter(rows)
                differing.subtract(Counter(content[table]))
                shown = json.dumps([one for one in differing.items() if one[1]][:4], default=str)
                raise Broken(f"{table} of {service.data.name} is not that of {name}: {shown}")
