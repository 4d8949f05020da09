"""The disk of the store is gone: backup and archive on another one miss the last 2 s at most."""

import asyncio
import shutil
import time
from pathlib import Path

import msgspec
import pytest

from ops.store.data_directory import read_admin
from tests.support.patience import patiently
from tests.support.services.command_line import Served, hyperpage
from tests.support.services.pacing import Answered, PacedLoad, command
from tests.support.services.raw_nats import RawNats

LOST_AT_MOST_SECONDS = patiently(2.0)
RATE = 300
ASKED_AT_ONCE = 200


def lose_the_disk(folder: Path, seconds: float) -> float:
    """The age, in seconds, of the oldest answered command that is missing."""
    folder.mkdir(exist_ok=True)
    data, archive = folder / "data", folder / "elsewhere" / "archive"
    elsewhere = {
        "HYPERPAGE_ARCHIVE": str(archive),
        "HYPERPAGE_BACKUPS": str(folder / "elsewhere" / "backups"),
        "HYPERPAGE_BACKUP_INTERVAL_MINUTES": "0",
    }
    with Served(data, **elsewhere) as service:
        answered, killed_at = asyncio.run(_work_until_it_is_killed(service, seconds))
        service.process.wait()
    shutil.rmtree(data)
    restored = hyperpage("backup", "restore", "--latest", "--yes", "--data", data, "--json", **elsewhere)
    assert restored.code == 0, restored.err
    assert ".db" in restored.json["backup"]
    with Served(data, **elsewhere) as service:
        again = asyncio.run(_ask_again(service.runtime["nats_url"], answered))
        assert service("projections", "verify").code == 0
    # In the order of the log; answers may overtake each other on their way.
    answered.sort(key=_position)
    is_there = [again[one.command_id] == one.answer for one in answered]
    there = is_there.count(True)
    missing = [one for one, found in zip(answered, is_there, strict=True) if not found]
    oldest = max((killed_at - one.sent_at - one.seconds for one in missing), default=0.0)
    print(
        f"of {len(answered)} answered commands {len(missing)} are missing, {oldest:.2f} s old; restored to"
        f" {restored.json['position']} from a backup and {restored.json['segments']} segments"
    )
    assert there > 0
    # Only the end is lost: all other commands are answered as before, byte for byte, position included.
    assert is_there == [True] * there + [False] * len(missing)
    return oldest


async def _work_until_it_is_killed(service: Served, seconds: float) -> tuple[list[Answered], float]:
    """The answered commands, and when the service was killed; a backup was made in the middle."""
    admin = read_admin(service.data)
    assert admin is not None
    async with (
        await RawNats.connect(service.runtime["nats_url"]) as client,
        await RawNats.connect(admin.nats_url, inbox_prefix=f"{admin.inbox_prefix}.") as operator,
    ):
        load = PacedLoad(client, RATE)
        working = asyncio.create_task(load.run())
        await asyncio.wait([working], timeout=seconds / 2)
        made = await operator.ask("hyperpage.adm.v1.backup.create", {})
        assert made.code is None, made.body
        await asyncio.wait([working], timeout=seconds / 2)
        answered = list(load.answered)
        killed_at = time.perf_counter()
        service.process.kill()
        load.stop()
        await asyncio.gather(working, return_exceptions=True)
        assert load.refused == []
    return answered, killed_at


async def _ask_again(url: str, answered: list[Answered]) -> dict[str, bytes]:
    again: dict[str, bytes] = {}
    async with await RawNats.connect(url) as client:
        for start in range(0, len(answered), ASKED_AT_ONCE):
            portion = answered[start : start + ASKED_AT_ONCE]
            answers = await asyncio.gather(*(command(client, one.number) for one in portion))
            again |= {one.command_id: answer.body for one, answer in zip(portion, answers, strict=True)}
    return again


def _position(one: Answered) -> int:
    position: int = msgspec.json.decode(one.answer)["position"]
    return position


def test_what_is_lost_with_the_disk_is_the_end_and_nothing_else(tmp_path: Path):
    assert lose_the_disk(tmp_path, 3) <= LOST_AT_MOST_SECONDS


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_what_is_lost_with_the_disk_is_two_seconds_at_most_each_time(tmp_path: Path):
    for number in range(10):
        assert lose_the_disk(tmp_path / str(number), 4) <= LOST_AT_MOST_SECONDS
