"""Command ids of several users: no user gets or takes away another's answer by one."""

import asyncio
import json
from pathlib import Path
from typing import Any

import nats

from bus.broker.users import APP
from tests.support.patience import until
from tests.support.services.own_users import connected, new_user, query, send
from tests.support.services.serving import broker_of, serving

JOB = {"type": "sync", "name": "a job", "id": "1"}
CLAIM = {"worker": "w"}


def test_nobody_gets_the_lease_of_another_by_the_id_of_its_command(tmp_path: Path):
    async def play() -> tuple[Any, Any, list[Any]]:
        async with serving(tmp_path) as service:
            # Both users have the same rights, and can read command ids in the events.
            _, one = await new_user(service, "billing")
            _, other = await new_user(service, "eve")
            async with connected(service, one) as billing, connected(service, other) as eve:
                await send(billing, "jobs.enqueue", JOB)
                taken = await send(billing, "jobs.claim", CLAIM, command_id="claim-1")
                again = await send(billing, "jobs.claim", CLAIM, command_id="claim-1")
                batch = {
                    "atomic": False,
                    "commands": [{"command": "jobs.claim", "id": "claim-1", "body": CLAIM}],
                }
                stolen = [
                    await send(eve, "jobs.claim", CLAIM, command_id="claim-1"),
                    (await send(eve, "batch", batch))["outcomes"][0],
                ]
                shared = await nats.connect(broker_of(service).url_for(APP))
                stolen.append(await send(shared, "jobs.claim", CLAIM, command_id="claim-1"))
                await shared.close()
                return taken, again, stolen

    taken, again, stolen = asyncio.run(play())

    assert again == taken
    assert [job["id"] for job in taken["result"]["jobs"]] == ["1"]
    assert [one["result"]["jobs"] for one in stolen] == [[], [], []]


def test_a_message_id_takes_no_durable_command_away(tmp_path: Path):
    async def play() -> tuple[list[Any], list[Any]]:
        async with serving(tmp_path) as service:
            _, one = await new_user(service, "billing")
            _, other = await new_user(service, "eve")
            async with connected(service, one) as billing, connected(service, other) as eve:
                stored = []
                for client, key in ((eve, "eve"), (billing, "billing")):
                    answer = await client.request(
                        "hyperpage.dcmd.v1.app_state.set",
                        f'{{"key":"{key}","value":1}}'.encode(),
                        timeout=10,
                        headers={"Nats-Msg-Id": "invoice-7"},
                    )
                    stored.append(json.loads(answer.data))
                await until(lambda: service.leading.writer.head.position >= 2)
                return stored, [await query(billing, "app_state.get", {"key": "billing"})]

    stored, rows = asyncio.run(play())

    assert ["duplicate" in one for one in stored] == [False, False]
    assert [row["key"] for row in rows] == ["billing"]


def test_an_id_that_one_user_has_taken_is_free_for_others(tmp_path: Path):
    async def play() -> list[Any]:
        async with serving(tmp_path) as service:
            _, one = await new_user(service, "billing", keys=("billing/*",))
            _, other = await new_user(service, "eve", keys=("eve/*",))
            async with connected(service, one) as billing, connected(service, other) as eve:
                return [
                    await send(client, "app_state.set", {"key": key, "value": 1}, command_id="invoice-7")
                    for client, key in ((eve, "eve/1"), (billing, "billing/1"), (billing, "billing/1"))
                ]

    answers = asyncio.run(play())

    assert [one["stream"] for one in answers] == [
        "app_state/eve/1",
        "app_state/billing/1",
        "app_state/billing/1",
    ]
    assert answers[1] == answers[2]
