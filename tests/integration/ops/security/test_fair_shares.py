"""One user that sends all the time stops no other user: the others' commands have room and turns."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ops.service.composition import Service
from ops.settings import Settings
from tests.support.patience import until
from tests.support.services.own_users import connected, new_user, send
from tests.support.stores.looking_inside import log_of

BATCHES = 24


@asynccontextmanager
async def held(service: Service) -> AsyncIterator[None]:
    """Holds the writer for the length of the block, so that commands wait."""
    begun, go_on = threading.Event(), threading.Event()

    def errand(_: Any) -> None:
        begun.set()
        go_on.wait(60)

    service.leading.writer.call(errand, lambda _: None)
    await until(begun.is_set)
    try:
        yield
    finally:
        go_on.set()


def sets(user: str, count: int) -> dict[str, Any]:
    commands = [
        {"command": "app_state.set", "body": {"key": f"{user}/{number}", "value": 1}}
        for number in range(count)
    ]
    return {"atomic": False, "commands": commands}


def test_a_user_that_fills_the_queue_is_busy_and_another_is_answered_in_its_turn(tmp_path: Path):
    async def play() -> tuple[list[Any], Any]:
        # No limit on the time of waiting: this test is about the room for waiting commands.
        async with Service(Settings(data=tmp_path, nats_port=0, no_http=True, busy_after_ms=0)) as service:
            _, one = await new_user(service, "flood", allow=("app_state.*",), keys=("flood/*",))
            _, other = await new_user(service, "billing", allow=("app_state.*",), keys=("billing/*",))
            async with connected(service, one) as flood, connected(service, other) as billing:
                async with held(service):
                    asked = [
                        asyncio.create_task(
                            flood.request(
                                "hyperpage.cmd.v1.batch",
                                json.dumps(sets("flood", 1_000)).encode(),
                                timeout=60,
                            )
                        )
                        for _ in range(BATCHES)
                    ]
                    await until(lambda: sum(task.done() for task in asked) > 0)
                    mine = asyncio.create_task(
                        send(billing, "app_state.set", {"key": "billing/1", "value": 1})
                    )
                    await until(lambda: service.leading.writer.waiting % 1_000 == 1)
                answers = [json.loads((await one).data) for one in asked]
                return answers, await mine

    answers, mine = asyncio.run(play())

    refused = [one["error"]["code"] for one in answers if "error" in one]
    assert set(refused) == {"busy"}
    assert 0 < len(refused) < BATCHES / 2
    assert mine["stream"] == "app_state/billing/1"
    streams = [row.stream for row in log_of(tmp_path / "hyperpage.db")]
    assert streams.index("app_state/billing/1") <= 1_000, "behind one of the others, not behind all"
