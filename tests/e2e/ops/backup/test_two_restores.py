"""Two restores of one backup, one after the other: two timelines, which all followers get through."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tests.support.documents.documented_follower import STREAM, Follower
from tests.support.documents.guides import blocks, guide
from tests.support.patience import patiently, until
from tests.support.repository import ROOT
from tests.support.services.command_line import Served, separately
from tests.support.services.raw_nats import RawNats
from tests.support.stores.looking_inside import log_of

# A subscriber may wait for 5 s before it looks whether something went wrong.
FOLLOWED_SECONDS = patiently(15)
GUIDE = guide("subscribing.md")
Event = tuple[str, str, str]
"""Its id, its stream and its hash."""


class Drama:
    """A service that is worked with and restored, while it is followed."""

    def __init__(self, service: Served) -> None:
        self.service = service
        self._sent = 0

    async def command(self, *arguments: str) -> Any:
        """The answer to an operator's command; it runs in a thread, so that followers go on meanwhile."""
        done = await asyncio.to_thread(separately, *arguments, "--data", self.service.data, "--json")
        assert done.code == 0, done.err
        return done.json

    async def work(self, commands: int) -> None:
        async with await RawNats.connect(self.service.runtime["nats_url"]) as client:
            for _ in range(commands):
                self._sent += 1
                body = {"key": f"key-{self._sent % 7}", "value": self._sent}
                assert (await client.command("app_state.set", body)).code is None

    async def restore(self, backup: str) -> Any:
        return await self.command("backup", "restore", backup, "--yes")

    def log(self, store: Path, timelines: tuple[tuple[int, int], ...]) -> list[Event]:
        """The events of a store or of a backup of it."""
        return [
            (
                f"{max(number for number, first in timelines if first <= row.position)}-{row.position}",
                row.stream,
                row.hash.hex(),
            )
            for row in log_of(store)
        ]

    async def streamed(self) -> list[Event]:
        """All that is in the stream, in its order."""
        async with await RawNats.connect(self.service.runtime["nats_url"]) as client:
            state = (await client.request(f"$JS.API.STREAM.INFO.{STREAM}")).said["state"]
            assert (state["first_seq"], state["messages"]) == (1, state["last_seq"])
            arrived = client.subscribe(f"{client.inbox}-all")
            config = {
                "deliver_policy": "all",
                "ack_policy": "none",
                "deliver_subject": f"{client.inbox}-all",
                "flow_control": False,
            }
            await client.request(
                f"$JS.API.CONSUMER.CREATE.{STREAM}", {"stream_name": STREAM, "config": config}
            )
            async with asyncio.timeout(patiently(10)):
                return [as_event((await arrived.get()).said) for _ in range(state["messages"])]


def as_event(event: dict[str, Any]) -> Event:
    return event["id"], event["subject"], event["hash"]


def changes_of(example: Path) -> list[tuple[int, str, str]]:
    """The changes that the example of the guide has stored."""
    with closing(sqlite3.connect(example.with_name("changes.db"))) as database:
        # The example may not have made its table yet.
        with suppress(sqlite3.OperationalError):
            return database.execute("SELECT position, stream, type FROM changes ORDER BY position").fetchall()
        return []


def test_whoever_follows_the_documentation_ends_with_the_log_after_two_restores_of_one_backup(tmp_path: Path):
    (source,) = blocks("python", GUIDE)
    example = tmp_path / "example.py"
    example.write_text(source, encoding="utf-8")

    async def play(service: Served) -> None:
        drama, throughout, away = Drama(service), Follower(), Follower()
        follow = lambda one: asyncio.create_task(one.follow(service.runtime["nats_url"]))  # noqa: E731
        program = subprocess.Popen(  # noqa: ASYNC220 - milliseconds
            [sys.executable, str(example)], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        tasks = [follow(throughout), follow(away)]
        try:
            await drama.work(30)
            backup = Path((await drama.command("backup", "create"))["path"])
            await drama.work(20)
            await until(
                lambda: len(throughout.events) == len(away.events) == len(changes_of(example)) == 50,
                FOLLOWED_SECONDS,
            )
            # This follower comes back when both restores are over.
            tasks.pop().cancel()

            first = await drama.restore(backup.name)
            await drama.work(15)
            second = await drama.restore(backup.name)
            await drama.work(10)

            assert (first["timeline"], second["timeline"]) == (2, 3)
            log = drama.log(service.data / "hyperpage.db", ((1, 1), (3, 31)))
            kept, new = (
                (f"1-{number}" for number in range(1, 31)),
                (f"3-{number}" for number in range(31, 42)),
            )
            assert [one[0] for one in log] == [*kept, *new]
            tasks.append(follow(away))
            await until(lambda: len(throughout.events) == len(away.events) == len(log), FOLLOWED_SECONDS)
            for follower in (throughout, away):
                assert list(map(as_event, follower.events)) == log
                assert len(set(follower.handled)) == len(follower.handled)
            rows = log_of(service.data / "hyperpage.db", 10**9)
            expected = [(row.position, row.stream, row.type) for row in rows]
            await until(lambda: changes_of(example) == expected, FOLLOWED_SECONDS)
            assert program.poll() is None

            # The events that were given up are in the stream, too, each once.
            given_up = drama.log(Path(first["safety_backup"]), ((1, 1),))
            given_up_next = drama.log(Path(second["safety_backup"]), ((1, 1), (2, 31)))
            assert (len(given_up), len(given_up_next)) == (50, 46)
            assert await drama.streamed() == [*given_up, *given_up_next[30:], *log[30:]]
            # A follower who stayed was handed each of them.
            assert set(throughout.handled) == {one[0] for one in (*given_up, *given_up_next, *log)}
        finally:
            program.kill()
            program.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    with Served(tmp_path / "data") as service:
        asyncio.run(play(service))
        assert json.loads(separately("projections", "verify", "--data", service.data, "--json").out)["equal"]
