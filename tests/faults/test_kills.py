"""`kill -9` at any moment: an answered command is there once, and nothing is there twice."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest
from nats.aio.client import Client

from bus import log
from bus.identifiers import new_id
from migrations.connection import open_reader
from ops.data_directory import read_runtime
from ops.projections_check import verify

ROOT = Path(__file__).parents[2]
# `SEED=… make prove` plays the same kills again.
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
STREAM = "HYPERPAGE_EVENTS"
WORKERS = 16
READY_SECONDS = 30.0
# The promise: through so soon after the restart.
CAUGHT_UP_SECONDS = 5.0

Command = tuple[str, dict[str, Any]]


class Served:
    """The service as a process of its own, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = subprocess.Popen(  # noqa: ASYNC220 (milliseconds, and nothing else runs)
            [sys.executable, "-m", "ops.cli", "serve", "--data", str(self.folder), "--nats-port", "0"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            # Inherited: pytest shows it beside a failure.
        )
        process = self._process
        await _until(lambda: (found := read_runtime(self.folder)) is not None and found.pid == process.pid)

    @property
    def url(self) -> str:
        runtime = read_runtime(self.folder)
        assert runtime is not None
        return runtime.nats_url

    def kill(self, what: str) -> None:
        assert self._process is not None
        # The tether has become the nats-server: a child of the service.
        found = subprocess.run(
            ["pgrep", "-P", str(self._process.pid), "nats-server"],
            capture_output=True,
            text=True,
            check=False,
        )
        if what in ("nats-server", "both"):
            for child in found.stdout.split():
                os.kill(int(child), signal.SIGKILL)
        if what in ("service", "both"):
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(timeout=30) == 0


class Load:
    """Workers that send commands with ids, and note every answer that came."""

    def __init__(self, served: Served, chance: random.Random) -> None:
        self._served = served
        self._chance = chance
        self._stopped = False
        self.answered: dict[str, tuple[Command, bytes]] = {}
        self.unanswered: dict[str, Command] = {}

    async def run(self) -> None:
        client = await _connect(self._served.url)
        try:
            await asyncio.gather(*(self._work(client) for _ in range(WORKERS)))
        finally:
            await client.close()

    def stop(self) -> None:
        self._stopped = True

    async def _work(self, client: Client) -> None:
        while not self._stopped:
            command_id, command = new_id(), self._command()
            self.unanswered[command_id] = command
            answer = await ask(client, command, command_id, timeout_seconds=1.0)
            if answer is not None:
                del self.unanswered[command_id]
                self.answered[command_id] = (command, answer)

    def _command(self) -> Command:
        number = self._chance.randrange(50)
        commands: list[Command] = [
            ("app_state.set", {"key": f"key-{number}", "value": self._chance.random()}),
            ("jobs.enqueue", {"type": "sync", "name": f"job {number}", "payload": {"number": number}}),
            ("jobs.claim", {"worker": "worker", "limit": 2}),
            ("tool_configs.set", {"tool_name": f"tool-{number}", "config": {"x": self._chance.random()}}),
            ("rate_limits.throttle", {"platform": f"platform-{number}", "until": number + 1}),
        ]
        return self._chance.choice(commands)


async def ask(client: Client, command: Command, command_id: str, *, timeout_seconds: float) -> bytes | None:
    """The answer to a command; `None` where none came, and nobody knows whether it was carried out."""
    name, body = command
    try:
        message = await client.request(
            f"hyperpage.cmd.v1.{name}",
            json.dumps(body).encode(),
            timeout=timeout_seconds,
            headers={"Hyperpage-Command-Id": command_id},
        )
    except (nats.errors.Error, TimeoutError, OSError, asyncio.CancelledError):
        # nats-py cancels the futures of a connection that it gives up; nobody else cancels here.
        # A lost connection refuses at once: nothing else would give the others their turn.
        await asyncio.sleep(0)
        return None
    assert not message.headers, message.data
    return message.data


async def ask_again(client: Client, command: Command, command_id: str) -> bytes:
    """The answer to a command, asked for until it comes: the service may still be on its way back."""
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    while time.monotonic() < deadline:
        answer = await ask(client, command, command_id, timeout_seconds=CAUGHT_UP_SECONDS)
        if answer is not None:
            return answer
    raise AssertionError("no answer within the time after which all is to be well again")


async def _connect(url: str) -> Client:
    async def ignore(error: Exception) -> None:
        """Connections break here on purpose."""

    return await nats.connect(
        url,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.05,
        error_cb=ignore,
    )


async def _until(condition: Any, seconds: float = READY_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.02)


def _rows(folder: Path) -> list[log.Row]:
    connection = open_reader(folder / "hyperpage.db")
    try:
        log.verify_chain(connection)
        return log.read_after(connection, 0, limit=10**9)
    finally:
        connection.close()


async def _require_caught_up(client: Client, folder: Path) -> None:
    """The stream ends where the log ends, soon after the restart."""
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    jetstream = client.jetstream(timeout=1)
    last = head = -1
    while time.monotonic() < deadline:
        connection = open_reader(folder / "hyperpage.db")
        head = log.read_head(connection).position
        connection.close()
        try:
            last = (await jetstream.stream_info(STREAM)).state.last_seq
        except (nats.errors.Error, TimeoutError):
            continue
        if last == head:
            return
    raise AssertionError(f"the stream is at {last}, the log at {head}")


async def _require_all_there(client: Client, load: Load, folder: Path) -> None:
    """Each answered command answers the same again; each unanswered one can be asked again."""
    before = len(_rows(folder))
    for command_id, (command, answer) in load.answered.items():
        if command[0] == "jobs.claim" and json.loads(answer)["events"] == []:
            # An empty claim is not remembered, and may find something now.
            continue
        assert await ask_again(client, command, command_id) == answer
    assert len(_rows(folder)) == before
    for command_id, command in list(load.unanswered.items()):
        await ask_again(client, command, command_id)
    known = Counter(row.command_id for row in _rows(folder))
    for command_id, (_, answer) in load.answered.items():
        assert known[command_id] == len(json.loads(answer)["events"])
    for command_id, (name, _) in load.unanswered.items():
        assert known[command_id] <= (2 if name == "jobs.claim" else 1)


async def _require_stream_equals_log(client: Client, folder: Path) -> None:
    rows = _rows(folder)
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    subscription = await client.jetstream().subscribe(
        "hyperpage.evt.v1.>", stream=STREAM, ordered_consumer=True
    )
    for row in rows:
        message = await subscription.next_msg(timeout=10)
        event = json.loads(message.data)
        assert (event["id"], event["hash"]) == (f"1-{row.position}", row.hash.hex())
    assert (await client.jetstream().stream_info(STREAM)).state.messages == len(rows)


async def _round(served: Served, chance: random.Random) -> None:
    load = Load(served, chance)
    working = asyncio.create_task(load.run())
    answers = chance.randrange(20, 400)
    await _until(lambda: len(load.answered) >= answers or working.done())
    what = chance.choice(["service", "nats-server", "both"])
    print(f"after {len(load.answered)} answers: kill -9 of {what}")
    served.kill(what)
    load.stop()
    await working
    if what != "nats-server":
        await served.start()
    client = await _connect(served.url)
    try:
        await _require_caught_up(client, served.folder)
        await _require_all_there(client, load, served.folder)
    finally:
        await client.close()


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.prove)])
def test_whatever_is_killed_answered_commands_are_there_once(tmp_path: Path, kills: int) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    served = Served(tmp_path)

    async def play() -> None:
        await served.start()
        for _ in range(kills):
            await _round(served, chance)
        client = await _connect(served.url)
        await _require_caught_up(client, tmp_path)
        await _require_stream_equals_log(client, tmp_path)
        await client.close()

    try:
        asyncio.run(play())
        assert verify(tmp_path / "hyperpage.db")["equal"]
    finally:
        served.stop()
