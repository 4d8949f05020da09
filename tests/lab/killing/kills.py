"""`kill -9` at any moment: an answered command is there once, and nothing is there twice."""

import asyncio
import json
import random
import time
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import nats

from bus.log import chain
from hyperpage_client.contract.subjects import escape
from hyperpage_client.identifiers import new_id
from migrations.connection import open_reader
from ops.store.projections_check import verify
from tests.lab.experiment import Experiment, Trial
from tests.support.patience import patiently, until
from tests.support.services.killable import READY_SECONDS, Killable
from tests.support.services.pacing import few_at_once
from tests.support.services.raw_nats import Message, RawNats
from tests.support.stores.looking_inside import log_of

STREAM, RESULTS = "HYPERPAGE_EVENTS", "HYPERPAGE_RESULTS"
CONNECTIONS = 4
REQUESTS_A_CONNECTION, STORING_A_CONNECTION = 4, 2
# The promised time after a restart within which the stream has caught up.
CAUGHT_UP_SECONDS = patiently(5.0)
# Messages that were under way when a broker died are delivered again after half a minute.
DURABLE_SECONDS = 60.0

Command = tuple[str, dict[str, Any]]


class Load:
    """Applications that send commands with ids until their connections end, and note the answers.

    `answered` are requests, `stored` durable commands that JetStream has acknowledged; the outcome of the
    others is unknown.
    """

    def __init__(self, served: Killable, chance: random.Random) -> None:
        self._served = served
        self._chance = chance
        self.answered: dict[str, tuple[Command, bytes]] = {}
        self.unanswered: dict[str, Command] = {}
        self.stored: dict[str, Command] = {}

    async def run(self) -> None:
        await asyncio.gather(*(self._application() for _ in range(CONNECTIONS)))

    async def _application(self) -> None:
        async with await RawNats.connect(self._served.url) as client:
            asking = [self._ask(client) for _ in range(REQUESTS_A_CONNECTION)]
            storing = [self._store(client) for _ in range(STORING_A_CONNECTION)]
            workers = [asyncio.create_task(work) for work in (*asking, *storing)]
            await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
            for worker in workers:
                worker.cancel()
            for ended in await asyncio.gather(*workers, return_exceptions=True):
                if not isinstance(ended, ConnectionError | asyncio.CancelledError | None):
                    raise ended
            assert client.errors == []

    async def _ask(self, client: RawNats) -> None:
        while True:
            command_id, command = new_id(), self._command()
            self.unanswered[command_id] = command
            answer = await client.ask(*_request("cmd", command, command_id))
            if answer.status == "503":
                # No responders: the broker runs, and the service does not.
                return
            assert answer.code is None, answer.body
            self.answered[command_id] = self.unanswered.pop(command_id), answer.body

    async def _store(self, client: RawNats) -> None:
        results = client.subscribe("hyperpage.res.v1.>")
        while True:
            command_id, command = new_id(), self._command()
            self.unanswered[command_id] = command
            said = (await client.ask(*_request("dcmd", command, command_id))).said
            if "seq" not in said:
                return
            self.stored[command_id] = self.unanswered.pop(command_id)
            while (await results.get()).subject != f"hyperpage.res.v1.{command_id}":
                """Another's."""

    def _command(self) -> Command:
        number = self._chance.randrange(50)
        commands: list[Command] = [
            ("app_state.set", {"key": f"key-{number}", "value": self._chance.random()}),
            ("app_state.set_many", {"items": [{"key": f"{new_id()}-{n}", "value": n} for n in range(3)]}),
            ("jobs.enqueue", {"type": "sync", "name": f"job {number}", "payload": {"number": number}}),
            ("jobs.claim", {"worker": "worker", "limit": 2}),
            ("tool_configs.set", {"tool_name": f"tool-{number}", "config": {"x": self._chance.random()}}),
            ("rate_limits.throttle", {"platform": f"platform-{number}", "until": number + 1}),
        ]
        return self._chance.choice(commands)


def _request(kind: str, command: Command, command_id: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    name, body = command
    return f"hyperpage.{kind}.v1.{name}", body, {"Hyperpage-Command-Id": command_id}


def rows_of(folder: Path) -> list[chain.Row]:
    with closing(open_reader(folder / "hyperpage.db")) as connection:
        chain.verify_chain(connection)
    return log_of(folder / "hyperpage.db")


async def connect(served: Killable) -> RawNats:
    """A connection to a service that answers, which it must soon after the restart.

    Queries and commands come to it on connections of their own, either of which may be back first.
    """
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    while True:
        client = None
        try:
            client = await RawNats.connect(served.url)
            answered = (await client.query("jobs.count")).status is None
            if answered and (await client.command("jobs.enqueue")).code == "invalid":
                return client
        except (OSError, TimeoutError, ValueError, AssertionError):
            # Not yet: there is no nats-server, or no service behind it.
            assert time.monotonic() < deadline, "there is no service"
        if client is not None:
            await client.close()
        await asyncio.sleep(0.02)


async def _require_caught_up(client: RawNats, folder: Path) -> None:
    """Checks that the stream ends where the log ends, soon after the restart."""

    async def is_caught_up() -> bool:
        connection = open_reader(folder / "hyperpage.db")
        head = chain.read_head(connection).position
        connection.close()
        info = await client.request(f"$JS.API.STREAM.INFO.{STREAM}")
        # The answer is empty while the broker comes back.
        return bool(info.body and info.said["state"]["last_seq"] == head)

    await until(is_caught_up, CAUGHT_UP_SECONDS)


async def _require_all_there(client: RawNats, load: Load, folder: Path) -> None:
    """Checks that answered commands get the same answers again, and unanswered ones can be sent again."""
    remembered = {
        command_id: (command, answer)
        for command_id, (command, answer) in load.answered.items()
        # An empty claim is not remembered, and may find something now.
        if command[0] != "jobs.claim" or json.loads(answer)["events"]
    }
    again = await _ask_all(client, {one: command for one, (command, _) in remembered.items()})
    assert {command_id: answer.body for command_id, answer in again.items()} == {
        command_id: answer for command_id, (_, answer) in remembered.items()
    }
    later = await _ask_all(client, load.unanswered)
    assert [answer.body for answer in later.values() if answer.code is not None] == []
    known = Counter(row.command_id for row in rows_of(folder))
    for command_id, (_, answer) in load.answered.items():
        assert known[command_id] == len(json.loads(answer)["events"])
    for command_id, message in later.items():
        assert known[command_id] == len(message.said["events"])


async def _ask_all(client: RawNats, commands: dict[str, Command]) -> dict[str, Message]:
    async with asyncio.timeout(READY_SECONDS):
        asking = [partial(client.ask, *_request("cmd", command, one)) for one, command in commands.items()]
        return dict(zip(commands, await few_at_once(asking), strict=True))


async def _require_stored_ones_answered(client: RawNats, stored: dict[str, Command], folder: Path) -> None:
    """Checks that each acknowledged durable command has an answer, and was carried out once.

    A command that was being decided at two kills is a dead letter, as documented: it may have been the cause.
    """
    waiting = dict.fromkeys(stored)
    answers: dict[str, Message] = {}

    async def are_answered() -> bool:
        for command_id in list(waiting):
            subject = f"hyperpage.res.v1.{escape(command_id)}"
            result = await client.request(f"$JS.API.DIRECT.GET.{RESULTS}.{subject}")
            if result.status == "404":
                return False
            answers[command_id] = result
            del waiting[command_id]
        return True

    await until(are_answered, DURABLE_SECONDS)
    aside = {one for one, answer in answers.items() if b"went down" in answer.body}
    assert [answer.body for one, answer in answers.items() if answer.code and one not in aside] == []
    known = Counter(row.command_id for row in rows_of(folder))
    for command_id, answer in answers.items():
        assert known[command_id] == (0 if command_id in aside else len(answer.said["events"])), answer.body


async def require_stream_equals_log(served: Killable) -> None:
    rows = rows_of(served.folder)
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    client = await nats.connect(served.url)
    try:
        jetstream = client.jetstream()
        subscription = await jetstream.subscribe("hyperpage.evt.v1.>", stream=STREAM, ordered_consumer=True)
        for row in rows:
            event = json.loads((await subscription.next_msg(timeout=10)).data)
            assert (event["id"], event["hash"]) == (f"1-{row.position}", row.hash.hex())
        assert (await jetstream.stream_info(STREAM)).state.messages == len(rows)
    finally:
        await client.close()


async def _round(served: Killable, chance: random.Random, stored: dict[str, Command]) -> int:
    load = Load(served, chance)
    working = asyncio.create_task(load.run())
    answers = chance.randrange(20, 400)

    async def are_answered() -> bool:
        return len(load.answered) >= answers or working.done()

    await until(are_answered, READY_SECONDS)
    what = chance.choice(["service", "nats-server", "both"])
    print(f"after {len(load.answered)} answers and {len(load.stored)} acknowledgements: kill -9 of {what}")
    served.kill(what)
    await working
    if what != "nats-server":
        await served.start()
    client = await connect(served)
    try:
        await _require_caught_up(client, served.folder)
        await _require_all_there(client, load, served.folder)
    finally:
        await client.close()
    stored |= load.stored
    return len(load.answered)


def strike(folder: Path, chance: random.Random, kills: int) -> dict[str, int]:
    """Kills so often, checks each time and at the end that everything is there, and returns the counts."""
    served = Killable(folder)
    stored: dict[str, Command] = {}
    answers = 0

    async def play() -> None:
        nonlocal answers
        await served.start()
        for _ in range(kills):
            answers += await _round(served, chance, stored)
        client = await connect(served)
        await _require_stored_ones_answered(client, stored, folder)
        await _require_caught_up(client, folder)
        await client.close()
        await require_stream_equals_log(served)

    try:
        asyncio.run(play())
        assert verify(folder / "hyperpage.db")["equal"]
    finally:
        served.stop()
    return {"kills": kills, "answers": answers, "acknowledged durable commands": len(stored)}


def _run(trial: Trial) -> dict[str, int]:
    return strike(trial.folder, random.Random(trial.seed), kills=3)


EXPERIMENT = Experiment(
    name="kills-under-load",
    promise="Every answered and every acknowledged command is there once, the same id gets the same bytes, "
    "and the stream equals the log within 5 s of a start.",
    means="`kill -9` of the service, its nats-server or both, three times in a trial, while four "
    "applications send commands.",
    run=_run,
    small=1,
)
