"""The disk of the store is gone: what backups and archive on another one have is at most 2 s old."""

import asyncio
import shutil
import time
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from bus.headers import COMMAND_ID
from tests.e2e.command_line import Served, hyperpage

LOST_AT_MOST_SECONDS = 2.0


def lose_the_disk(folder: Path, seconds: float) -> float:
    """How old, in seconds, the oldest answered command is that is missing."""
    folder.mkdir(exist_ok=True)
    data, archive = folder / "data", folder / "elsewhere" / "archive"
    elsewhere = {
        "HYPERPAGE_ARCHIVE": str(archive),
        "HYPERPAGE_BACKUPS": str(folder / "elsewhere" / "backups"),
    }
    answered: list[tuple[float, str, bytes]] = []

    with Served(data, **elsewhere) as service:
        asyncio.run(_load(service.runtime["nats_url"], seconds, answered))
        service.process.kill()
        killed_at = time.monotonic()
        service.process.wait()
    shutil.rmtree(data)
    restored = hyperpage("backup", "restore", "--latest", "--yes", "--data", data, "--json", **elsewhere)
    assert restored.code == 0, restored.err
    with Served(data, **elsewhere) as service:
        again = asyncio.run(_ask_again(service.runtime["nats_url"], answered))
        assert service("projections", "verify").code == 0
    missing = [
        killed_at - at for (at, _, before), after in zip(answered, again, strict=True) if before != after
    ]
    oldest = max(missing, default=0.0)
    print(f"of {len(answered)} answered commands {len(missing)} are missing, {oldest:.2f} s old")
    assert len(missing) < len(answered)
    # None is missing before one that is there: it is the end that is lost.
    assert [before == after for (_, _, before), after in zip(answered, again, strict=True)] == [
        *[True] * (len(answered) - len(missing)),
        *[False] * len(missing),
    ]
    return oldest


async def _load(url: str, seconds: float, answered: list[tuple[float, str, bytes]]) -> None:
    client = await nats.connect(url)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        number = len(answered)
        answer = await _send(client, number)
        answered.append((time.monotonic(), str(number), answer))
    await client.close()


async def _ask_again(url: str, answered: list[tuple[float, str, bytes]]) -> list[bytes]:
    client = await nats.connect(url)
    again = [await _send(client, number) for number in range(len(answered))]
    await client.close()
    return again


async def _send(client: Client, number: int) -> bytes:
    answer = await client.request(
        "hyperpage.cmd.v1.app_state.set",
        b'{"key": "k%d", "value": %d}' % (number % 50, number),
        headers={COMMAND_ID: f"command-{number}"},
        timeout=10,
    )
    return bytes(answer.data)


def test_what_is_lost_with_the_disk_is_the_end_and_nothing_else(tmp_path: Path):
    lose_the_disk(tmp_path, 3)


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_what_is_lost_with_the_disk_is_two_seconds_at_most_each_time(tmp_path: Path):
    for number in range(10):
        assert lose_the_disk(tmp_path / str(number), 4) <= LOST_AT_MOST_SECONDS
