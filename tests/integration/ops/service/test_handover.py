"""Answers do not wait for the event loop after a commit; events do."""

import asyncio
import threading
from pathlib import Path

import nats

from bus.broker.users import APP
from tests.support.patience import COMES_WITHIN_SECONDS
from tests.support.services.serving import broker_of, client_of, serving, take

COMMAND = "hyperpage.cmd.v1.app_state.set"


async def set_keys(url: str, count: int, answered: threading.Event) -> None:
    connection = await nats.connect(url)
    try:
        for number in range(count):
            body = b'{"key": "key-%d", "value": 1}' % number
            answer = await connection.request(COMMAND, body, timeout=COMES_WITHIN_SECONDS)
            assert answer.headers is None
        answered.set()
    finally:
        await connection.close()


def test_commands_are_answered_while_the_event_loop_stands_still(tmp_path: Path):
    async def scenario() -> list[str]:
        async with serving(tmp_path) as service, client_of(service) as client:
            answered = threading.Event()
            url = broker_of(service).url_for(APP)
            sender = threading.Thread(target=asyncio.run, args=(set_keys(url, 20, answered),))
            sender.start()
            # The loop is held up here.
            assert answered.wait(COMES_WITHIN_SECONDS)
            sender.join()
            async with client.subscribe() as subscription:
                return [event.stream for event in await take(subscription, 20)]

    assert asyncio.run(scenario()) == [f"app_state/key-{number}" for number in range(20)]


def test_a_command_by_another_way_is_answered_also_when_nobody_writes_any_more(tmp_path: Path):
    async def scenario() -> str:
        async with serving(tmp_path) as service:
            await asyncio.to_thread(service.leading.writer.stop)
            asked = service.leading.intake.carry_out("app_state.set", b'{"key": "k", "value": 1}', {})
            outcome = await asyncio.wait_for(asked, COMES_WITHIN_SECONDS)
            assert outcome.refusal is not None
            return outcome.refusal.code

    assert asyncio.run(scenario()) == "unavailable"
