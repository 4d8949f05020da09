"""A durable command that takes the service down does so only twice; all others are carried out."""

import asyncio
import json
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ops.store.data_directory import read_admin
from tests.support.patience import COMES_WITHIN_SECONDS, until
from tests.support.services.killable import Killable
from tests.support.services.raw_nats import Message, RawNats
from tests.support.stores.looking_inside import log_of

PROGRAM = "tests.support.programs.poisoned_program"
SUBJECT = "hyperpage.dcmd.v1.app_state.set"
# How long a supervisor waits for a service that does not answer.
FROZEN_SECONDS = 15.0


async def store(served: Killable, *commands: tuple[str, Any]) -> None:
    """Stores durable commands, whose ids are their keys with their values."""
    async with await RawNats.connect(served.url) as client:
        asked = [
            client.ask(SUBJECT, {"key": key, "value": value}, {"Hyperpage-Command-Id": f"{key}-{value}"})
            for key, value in commands
        ]
        assert all("seq" in one.said for one in await asyncio.gather(*asked))


async def answers(served: Killable) -> bool:
    with suppress(OSError, TimeoutError, ValueError, AssertionError):
        async with asyncio.timeout(FROZEN_SECONDS):
            client = await RawNats.connect(served.url)
            answer = await client.query("app_state.count")
            await client.close()
            return answer.status is None
    return False


async def supervise(served: Killable, *, until_value: int) -> int:
    """How often a supervisor has to start the service, until it has carried out all that is honest."""
    starts = 1
    deadline = time.monotonic() + 4 * COMES_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if served.has_ended or (served.is_announced and not await answers(served)):
            served.kill("service")
            served.launch()
            starts += 1
        elif served.is_announced and await is_carried_out(served, until_value):
            return starts
        await asyncio.sleep(0.02)
    raise AssertionError(f"not carried out after {starts} starts")


async def is_carried_out(served: Killable, value: int) -> bool:
    with suppress(OSError, TimeoutError, ValueError, AssertionError, KeyError):
        async with asyncio.timeout(FROZEN_SECONDS):
            client = await RawNats.connect(served.url)
            row = (await client.query("app_state.get", {"key": "honest"})).said
            await client.close()
            return bool(row["value"] == value)
    return False


async def administer(served: Killable, name: str, body: Any = b"{}") -> Any:
    admin = read_admin(served.folder)
    assert admin is not None
    async with await RawNats.connect(admin.nats_url, inbox_prefix=f"{admin.inbox_prefix}.") as client:
        message = await client.request(f"hyperpage.adm.v1.{name}", body)
    assert message.code is None, message.body
    return message.said


async def kept_result(served: Killable, command_id: str) -> Message:
    async with await RawNats.connect(served.url) as client:
        return await client.request(f"$JS.API.DIRECT.GET.HYPERPAGE_RESULTS.hyperpage.res.v1.{command_id}")


def carried_out(folder: Path, key: str) -> list[Any]:
    rows = log_of(folder / "hyperpage.db")
    return [json.loads(str(row.data))["value"] for row in rows if row.stream == f"app_state/{key}"]


@pytest.mark.parametrize("kind", ["kill", pytest.param("freeze", marks=pytest.mark.prove)])
def test_a_command_that_takes_the_service_down_twice_becomes_a_dead_letter(tmp_path: Path, kind: str):
    served = Killable(tmp_path, (PROGRAM, kind))
    honest = [("honest", value) for value in range(100)]

    async def scenario() -> None:
        await served.start()
        # While this command is decided, all others arrive together.
        await store(served, ("waits", 1))
        await until((tmp_path / "waits").exists)
        await store(served, *honest[:50], ("poison", 1), *honest[50:])
        (tmp_path / "go").touch()
        assert await supervise(served, until_value=99) == 3

        (letter,) = (await administer(served, "dlq.list"))["items"]
        assert (letter["command_id"], letter["code"]) == ("poison-1", "internal")
        assert "went down 2 times" in letter["reason"]
        result = await kept_result(served, "poison-1")
        assert result.said["error"]["message"] == letter["reason"]
        # All commands in flight beside it are carried out, and no other.
        assert carried_out(tmp_path, "honest") == list(range(100))
        assert carried_out(tmp_path, "waits") == [1]
        assert carried_out(tmp_path, "poison") == []

        # Once the defect is mended, the command can be replayed.
        served.stop()
        served.program = ("ops.cli",)
        await served.start()
        assert await administer(served, "dlq.replay", {"sequence": letter["sequence"]}) == {"replayed": 1}
        await until(lambda: carried_out(tmp_path, "poison") == [1])
        assert (await administer(served, "dlq.list"))["items"] == []

    try:
        asyncio.run(scenario())
    finally:
        served.stop()


def test_a_command_that_cannot_even_be_looked_through_becomes_a_dead_letter_without_its_body(tmp_path: Path):
    served = Killable(tmp_path, (PROGRAM, "read"))

    async def scenario() -> None:
        await served.start()
        await store(served, ("poison", 1), ("honest", 1))
        assert await supervise(served, until_value=1) == 4
        (letter,) = (await administer(served, "dlq.list"))["items"]
        shown = await administer(served, "dlq.show", {"sequence": letter["sequence"]})
        assert (letter["command_id"], shown["body"].split(":")[0]) == ("poison-1", "withheld")

    try:
        asyncio.run(scenario())
    finally:
        served.stop()


def test_a_command_that_was_in_flight_at_two_ends_that_were_not_its_fault_can_be_replayed(tmp_path: Path):
    served = Killable(tmp_path, (PROGRAM, "kill"))
    waiting = tmp_path / "waits"

    async def scenario() -> None:
        await served.start()
        await store(served, ("waits", 1), ("honest", 1))
        for _ in range(2):
            await until(waiting.exists)
            served.kill("service")
            waiting.unlink()
            served.launch()
        await until(lambda: served.is_announced)
        assert await supervise(served, until_value=1) == 1
        (letter,) = (await administer(served, "dlq.list"))["items"]
        assert letter["command_id"] == "waits-1"
        shown = await administer(served, "dlq.show", {"sequence": letter["sequence"]})
        assert json.loads(shown["body"]) == {"key": "waits", "value": 1}

        served.stop()
        served.program = ("ops.cli",)
        await served.start()
        await administer(served, "dlq.replay", {"all": True})
        await until(lambda: carried_out(tmp_path, "waits") == [1])

    try:
        asyncio.run(scenario())
    finally:
        served.stop()


def test_a_command_that_was_carried_out_before_two_ends_gets_its_own_answer(tmp_path: Path):
    served = Killable(tmp_path, (PROGRAM, "answered"))

    async def scenario() -> None:
        await served.start()
        await store(served, ("honest", 1))
        for _ in range(2):
            await until(lambda: served.has_ended)
            served.launch()
        await until(lambda: served.has_ended)
        (tmp_path / "go").touch()
        await served.start()

        async def is_kept() -> bool:
            return (await kept_result(served, "honest-1")).status != "404"

        await until(is_kept)
        assert (await kept_result(served, "honest-1")).said["events"] == ["app_state.set.v1"]
        assert carried_out(tmp_path, "honest") == [1]
        assert (await administer(served, "dlq.list"))["items"] == []

    try:
        asyncio.run(scenario())
    finally:
        served.stop()


@pytest.mark.prove
def test_ends_that_come_while_nothing_is_decided_make_no_suspect(tmp_path: Path):
    served = Killable(tmp_path)

    async def scenario() -> None:
        await served.start()
        for value in range(5):
            await store(served, ("honest", value))
            await until(partial(is_carried_out, served, value))
            await until(lambda: (tmp_path / "durable" / "deciding").read_bytes()[:1] == b"\n")
            served.kill("service")
            await served.start()
        assert not (tmp_path / "durable" / "counts.json").exists()

    try:
        asyncio.run(scenario())
    finally:
        served.stop()
