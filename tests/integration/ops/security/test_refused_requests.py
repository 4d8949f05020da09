"""Refused requests of users in the audit log: with names, without bodies, and with an upper limit."""

import asyncio
import json
from pathlib import Path
from typing import Any

from ops.audit.listing import ListAudit, listed
from ops.audit.repeats import REFUSED_A_WINDOW
from ops.audit.verification import verify
from ops.service.composition import Service
from tests.support.patience import until
from tests.support.services.own_users import connected, new_user, query, send
from tests.support.services.serving import client_of, serving

JOB = {"type": "sync", "name": "a job"}


async def refusals(service: Service) -> list[dict[str, Any]]:
    """The refusals in the audit log by now, oldest first."""
    await service.audit.flush()
    folder = service.audit.trail.folder
    found = listed(folder, ListAudit(limit=1_000))
    return [one for one in reversed(found["items"]) if one["outcome"] == "refused"]


async def until_refusals(service: Service, number: int) -> None:
    """Returns when the log has so many: a refused user hears of it a moment before the log does."""

    async def are_there() -> bool:
        return len(await refusals(service)) >= number

    await until(are_there)


def test_what_a_user_may_not_do_is_told_with_its_name_and_without_a_body(tmp_path: Path):
    async def play() -> list[tuple[str, ...]]:
        async with serving(tmp_path) as service:
            _, seed = await new_user(service, "billing", allow=("jobs.*",), keys=("billing/*",))
            async with connected(service, seed) as billing:
                await send(billing, "jobs.enqueue", {**JOB, "id": "eve/1", "payload": {"of": "nobody else"}})
                mixed = [
                    {"command": "jobs.enqueue", "body": {**JOB, "id": one}}
                    for one in ("billing/1", "eve/1", "eve/2")
                ]
                await send(billing, "batch", {"commands": mixed})
                await query(billing, "app_state.get", {"key": "theirs"})
                await billing.request("$JS.API.STREAM.PURGE.HYPERPAGE_EVENTS", b"", timeout=10)
                await billing.publish("hyperpage.dcmd.v1.app_state.set", b'{"key": "theirs", "value": 1}')
                await billing.publish(
                    "hyperpage.cmd.v1.jobs.enqueue", json.dumps(JOB).encode(), reply="evil.1"
                )
                await until_refusals(service, 6)
            async with client_of(service) as app:
                await app.send("jobs.enqueue", JOB)
            assert verify(service.audit.trail.folder).is_sound
            told = ("principal", "action", "code", "via", "request")
            return [tuple(one[name] for name in told) for one in await refusals(service)]

    told = asyncio.run(play())

    assert sorted(told) == sorted(
        [
            ("billing", "command.send", "forbidden", "nats", '{"name":"jobs.enqueue"}'),
            ("billing", "command.send", "forbidden", "nats", '{"name":"batch","commands":2}'),
            ("billing", "query.ask", "forbidden", "nats", '{"name":"app_state.get"}'),
            ("billing", "stream.ask", "forbidden", "nats", '{"name":"STREAM.PURGE.HYPERPAGE_EVENTS"}'),
            ("billing", "command.send", "forbidden", "nats", '{"name":"app_state.set"}'),
            (
                "billing",
                "request.send",
                "unknown_inbox",
                "nats",
                '{"subject":"hyperpage.cmd.v1.jobs.enqueue"}',
            ),
        ]
    )


def test_a_user_that_is_refused_all_the_time_fills_no_log_and_hides_nobody(tmp_path: Path):
    async def play() -> list[tuple[str | None, str]]:
        async with serving(tmp_path) as service:
            _, one = await new_user(service, "billing", allow=("jobs.*",), keys=("billing/*",))
            _, other = await new_user(service, "shop", allow=("jobs.*",), keys=("shop/*",))
            async with connected(service, one) as billing, connected(service, other) as shop:
                for number in range(300):
                    await send(billing, "jobs.enqueue", {**JOB, "id": f"eve/{number}"})
                await send(shop, "jobs.enqueue", {**JOB, "id": "eve/1"})
            await until_refusals(service, REFUSED_A_WINDOW + 1)
            await service.audit.flush(last=True)
            return [(one["principal"], one["request"]) for one in await refusals(service)]

    told = asyncio.run(play())

    assert told[:REFUSED_A_WINDOW] == [("billing", '{"name":"jobs.enqueue"}')] * REFUSED_A_WINDOW
    assert told[REFUSED_A_WINDOW] == ("shop", '{"name":"jobs.enqueue"}')
    ((principal, request),) = told[REFUSED_A_WINDOW + 1 :]
    assert (principal, json.loads(request)["more_of_these"]) == ("billing", 300 - REFUSED_A_WINDOW)
