"""A service is frozen, another takes over on a copy of its data, the first one thaws: one of them answers."""

import asyncio
import shutil
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER
from tests.support.patience import patiently
from tests.support.services.command_line import Served
from tests.support.services.raw_nats import RawNats

ENDS_WITHIN_SECONDS = patiently(20.0)
COMMANDS = 300


def _served(folder: Path, server: NatsServer) -> Served:
    return Served(
        folder,
        HYPERPAGE_NATS=server.url_for(APP),
        HYPERPAGE_NATS_RELAY=server.url_for(RELAY),
        HYPERPAGE_NATS_RESPONDER=server.url_for(RESPONDER),
        HYPERPAGE_NATS_ADMIN=server.url_for(ADMIN),
        HYPERPAGE_NO_HTTP="true",
    )


def test_of_a_frozen_service_and_its_successor_one_answers_and_the_other_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with NatsServer(data=tmp_path / "broker", port=0) as server, AsyncExitStack() as stack:
            first = await asyncio.to_thread(_served, tmp_path / "first", server)
            stack.callback(first.process.kill)
            async with await RawNats.connect(server.url_for(APP)) as client:
                before = await client.command("app_state.set", {"key": "before", "value": 1}, id="before")
                first.process.send_signal(signal.SIGSTOP)
                shutil.copytree(tmp_path / "first", tmp_path / "second")
                second = await asyncio.to_thread(_served, tmp_path / "second", server)
                try:
                    first.process.send_signal(signal.SIGCONT)
                    answers = [
                        await client.command("app_state.set", {"key": f"k{one}", "value": 1}, id=f"id{one}")
                        for one in range(COMMANDS)
                    ]
                    again = await client.command("app_state.set", {"key": "before", "value": 1}, id="before")
                    assert await asyncio.to_thread(first.process.wait, ENDS_WITHIN_SECONDS) == 1
                    assert "another service" in first.log.read_text()
                    # Each accepted command is once in the history that goes on; the others were refused.
                    accepted = [answer for answer in answers if answer.code is None]
                    assert {answer.code for answer in answers} <= {None, "unavailable"}
                    assert [answer.said["position"] for answer in accepted] == list(
                        range(2, 2 + len(accepted))
                    )
                    assert again.code == "unavailable" or again.body == before.body
                    assert (await asyncio.to_thread(second.ask, "status"))["status"] != "unhealthy"
                finally:
                    second.stop()

    asyncio.run(scenario())
