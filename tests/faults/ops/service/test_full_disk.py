"""A disk that is really full, of the store and of the broker beside it: nothing is lost, and all goes on."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ops.store.projections_check import verify
from tests.support.machines.small_disk import SmallDisk, small_disk
from tests.support.patience import COMES_WITHIN_SECONDS, until
from tests.support.services.raw_nats import Message
from tests.support.services.serving import EVENTS, broker_of, published
from tests.support.services.talking import Talk
from tests.support.stores.relaying import connect

# Room for a hundred values, including what the broker stores of them.
MIB = 1024 * 1024
SMALL_MIB, LARGE_MIB = 30, 150
VALUE = "x" * 60_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", SMALL_MIB * MIB) as disk:
        yield disk


def test_a_full_disk_refuses_commands_and_all_goes_on_once_there_is_room(disk: SmallDisk, tmp_path: Path):
    with Talk(disk.folder / "data", archive=str(tmp_path / "archive"), backup_interval_minutes=0) as talk:

        def ask(number: int) -> tuple[str | None, bytes]:
            answer = talk.run(_answer(talk, number))
            return answer.code, answer.body

        answered: dict[int, bytes] = {}
        refused: list[str] = []
        for number in range(1_000):
            code, body = ask(number)
            if code is None:
                answered[number] = body
            else:
                refused.append(code)
            if len(refused) == 5:
                break
        assert set(refused) == {"unavailable"}
        assert talk.position == len(answered) > 20
        assert talk.query("app_state.count").said == {"count": len(answered)}
        # Tells whether the broker had no room to write, either.
        log = (disk.folder / "data" / "nats" / "nats-server.log").read_text()
        print(f"{len(answered)} answered; the broker's disk was full, too: {'no space left' in log}")

        disk.grow(LARGE_MIB * MIB)
        assert ask(10_000)[0] is None
        assert {number: ask(number)[1] for number in answered} == answered
        position = len(answered) + 1
        talk.run(published(talk.service, position))
        talk.run(
            until(lambda: all(one.healthy and not one.waiting for one in talk.service.leading.mirrors.state))
        )
        assert talk.run(_last_sequence(talk)) == talk.service.leading.writer.head.position == position
        assert verify(talk.settings.store_path)["equal"]


async def _answer(talk: Talk, number: int) -> Message:
    """The answer, if need be after connecting anew: nats-server restarts once its disk has room."""
    body = {"key": f"k{number}", "value": VALUE}
    async with asyncio.timeout(COMES_WITHIN_SECONDS):
        while True:
            try:
                answer = await talk.client.command("app_state.set", body, id=f"c{number}")
                # 503: the service is not connected yet.
                if answer.status != "503":
                    return answer
            except OSError:
                # nats-server does not listen yet, or ends before it greets.
                with suppress(OSError, AssertionError):
                    await talk.connect()
            await asyncio.sleep(0.01)


async def _last_sequence(talk: Talk) -> int:
    connection = await connect(broker_of(talk.service))
    state = (await connection.jetstream().stream_info(EVENTS)).state
    await connection.close()
    assert state.messages == state.last_seq
    return state.last_seq
