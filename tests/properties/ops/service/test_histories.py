"""The laws hold from end to end for any history: generated histories, over sockets, through a service.

Here the service does what it does of its own accord, too, and the stream of events follows. Every history has
keys of its own in one store, whose jobs, queues and ids they share.
"""

import asyncio
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bus.log import chain
from domain.catalogue import VERBS
from migrations.connection import open_reader
from ops.store.projections_check import verify
from tests.support.clock import Clock
from tests.support.domain.generated_histories import Again, Chance, Group, Later, Restart, Wish
from tests.support.services.raw_nats import Message
from tests.support.services.serving import EVENTS, broker_of, published
from tests.support.services.talking import Talk
from tests.support.stores.cloud_events import cloud_event
from tests.support.stores.relaying import PatientApi, connect

# Each restart takes half a second.
HISTORIES_A_RESTART = 20
ASKED_AT_ONCE = 500


class Outgoing(NamedTuple):
    """A command as it is sent, and sent again."""

    name: str
    body: dict[str, Any]
    id: str | None
    expected_version: int | None

    @property
    def item(self) -> dict[str, Any]:
        """As one of a batch."""
        return {
            "command": self.name,
            "id": self.id,
            "expected_version": self.expected_version,
            "body": self.body,
        }

    @property
    def headers(self) -> dict[str, str]:
        headers = {} if self.id is None else {"Hyperpage-Command-Id": self.id}
        if self.expected_version is not None:
            headers["Hyperpage-Expected-Version"] = str(self.expected_version)
        return headers


class LifeOnTheBus:
    """A service, and all that it was asked and answered."""

    def __init__(self, talk: Talk, clock: Clock) -> None:
        self._talk = talk
        self._clock = clock
        self._tokens: dict[str, list[str]] = {}
        self._ids = 0
        self.codes: set[str | None] = set()
        self.remembered: list[tuple[Outgoing, bytes]] = []

    def live(self, history: list[Any], prefix: str) -> None:
        """Plays a history on keys that begin with `prefix`."""
        for one in history:
            match one:
                case Later(milliseconds):
                    self._clock.now += milliseconds
                case Again(which) if self.remembered:
                    sent, body = self.remembered[-1 - which % len(self.remembered)]
                    (again,) = self._ask([("single", [sent])])
                    assert again.body == body
                case Group(submissions):
                    self._send(submissions, prefix)

    def check_delivering_again(self) -> None:
        """Each command that was answered is answered with the same bytes, and does nothing."""
        before = self._talk.position
        for start in range(0, len(self.remembered), ASKED_AT_ONCE):
            portion = self.remembered[start : start + ASKED_AT_ONCE]
            answers = self._ask([("single", [sent]) for sent, _ in portion])
            assert [answer.body for answer in answers] == [body for _, body in portion]
        # The service's own commands have other ids.
        ids = {sent.id for sent, _ in self.remembered}
        assert not [row for row in self._talk.rows[before:] if row.command_id in ids]

    def _send(self, submissions: list[tuple[str, list[Wish]]], prefix: str) -> None:
        sent = [
            (kind, [self._resolved(wish, prefix) for wish in wished if not VERBS[wish.name][1].internal])
            for kind, wished in submissions
        ]
        sent = [(kind, commands) for kind, commands in sent if commands]
        for (kind, commands), answer in zip(sent, self._ask(sent), strict=True):
            self.codes.add(answer.code)
            if kind == "single":
                self._note(commands[0], answer.said, answer.body)
            elif answer.code is None:
                for command, outcome in zip(commands, answer.said["outcomes"], strict=True):
                    self._note(command, outcome, None)

    def _ask(self, submissions: list[tuple[str, list[Outgoing]]]) -> list[Message]:
        client = self._talk.client

        async def ask_at_once() -> list[Message]:
            asked = [
                client.ask(f"hyperpage.cmd.v1.{commands[0].name}", commands[0].body, commands[0].headers)
                if kind == "single"
                else client.ask(
                    "hyperpage.cmd.v1.batch",
                    {"atomic": kind == "atomic", "commands": [one.item for one in commands]},
                )
                for kind, commands in submissions
            ]
            async with asyncio.timeout(60):
                return await asyncio.gather(*asked)

        answers: list[Message] = self._talk.run(ask_at_once())
        return answers

    def _note(self, sent: Outgoing, said: dict[str, Any], body: bytes | None) -> None:
        if "error" in said:
            assert said["error"]["code"] != "internal", said
            return
        if sent.name == "jobs.claim":
            for job in said["result"]["jobs"]:
                self._tokens.setdefault(job["id"], []).append(job["lease"])
        verb = VERBS[sent.name][1]
        if body is None or sent.id is None or not verb.remembered:
            return
        if said["events"] or verb.empty_is_remembered:
            self.remembered.append((sent, body))

    def _resolved(self, wished: Wish, prefix: str) -> Outgoing:
        body = _with_own_keys(wished.body, prefix)
        if wished.lease is not None:
            known = self._tokens.get(body["id"], [])
            body["lease"] = known[wished.lease] if -len(known) <= wished.lease < len(known) else "none"
        body |= {name: self._clock.now + delay for name, delay in wished.after_ms.items()}
        self._ids += wished.has_id
        command_id = f"command {self._ids}" if wished.has_id else None
        return Outgoing(wished.name, body, command_id, wished.expected_version)


def _with_own_keys(body: dict[str, Any], prefix: str) -> dict[str, Any]:
    own = dict(body)
    for name in ("id", "tool_name", "key", "platform"):
        if name in own:
            own[name] = prefix + own[name]
    if "depends_on" in own:
        own["depends_on"] = [prefix + one for one in own["depends_on"]]
    if "items" in own:
        own["items"] = [item | {"key": prefix + item["key"]} for item in own["items"]]
    return own


@pytest.mark.parametrize("count", [8, pytest.param(1_000, marks=pytest.mark.prove)])
def test_the_laws_hold_from_end_to_end(tmp_path: Path, count: int):
    first = random.SystemRandom().randrange(10**9)
    print(f"histories {first} to {first + count - 1}")
    clock = Clock()
    with Talk(tmp_path, clock=clock) as talk:
        life = LifeOnTheBus(talk, clock)
        for number in range(count):
            history = Chance(first + number).history(60)
            life.live(history, f"h{number}-")
            if number % HISTORIES_A_RESTART == 0 and Restart() in history:
                talk.restart()
        life.check_delivering_again()
        rows = talk.rows
        talk.run(published(talk.service, rows[-1].position))
        _check_the_log(tmp_path)
        assert verify(tmp_path / "hyperpage.db")["equal"]
        expected = [cloud_event(talk.service.origin, row) for row in rows]
        assert talk.run(_stream(talk))[: len(rows)] == list(enumerate(expected, start=1))
    print(f"{len(rows)} events, {len(life.remembered)} commands delivered again")
    # It was not all refusals.
    assert len(rows) > 10 * count
    assert {None, "invalid", "refused", "not_found", "version_conflict"} <= life.codes


def _check_the_log(folder: Path) -> None:
    connection = open_reader(folder / "hyperpage.db")
    try:
        head = chain.verify_chain(connection)
        positions = [row[0] for row in connection.execute("SELECT position FROM events ORDER BY position")]
    finally:
        connection.close()
    assert positions == list(range(1, head.position + 1))


async def _stream(talk: Talk) -> list[tuple[int, bytes]]:
    """All that the stream of events holds: sequence and body."""
    connection = await connect(broker_of(talk.service))
    api = PatientApi(connection)
    found: list[tuple[int, bytes]] = []
    while messages := await api.messages_from(EVENTS, found[-1][0] + 1 if found else 1):
        found += [(message.sequence, message.payload) for message in messages]
    await connection.close()
    return found
