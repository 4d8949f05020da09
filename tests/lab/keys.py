"""Commands and queries about a few keys, also as operations on registers."""

import random
from collections.abc import Callable
from math import inf
from typing import Any

import msgspec

from domain.errors import Busy, Refusal, Unavailable, VersionConflict
from hyperpage_client.asking.connection import Unreachable
from hyperpage_client.client import Client
from tests.lab.linearizability import Operation
from tests.lab.registers import Accepted, Change, Create, Found, Read, Refused, Remove, Write

KEY_FIELDS = {"app_state": "key", "tool_configs": "tool_name", "jobs": "id"}


class Wish(msgspec.Struct, frozen=True):
    """A command about a key of a table, with its operation on a register; without a name, it is a `get`."""

    table: str
    key: str
    asked: Any
    name: str = ""
    body: Any = None
    expected: int | None = None

    @property
    def stream(self) -> str:
        return f"{self.table}/{self.key}"


def wish(chance: random.Random, table: str, key: str, value: int, expected: int | None) -> Wish:
    """A change of a key; no other change writes the same `value`."""
    if table == "app_state":
        if chance.random() < 0.2:
            return Wish(table, key, Remove(expected), "app_state.delete", {"key": key}, expected)
        body: dict[str, Any] = {"key": key, "value": value}
        return Wish(table, key, Write(value, expected), "app_state.set", body, expected)
    if table == "tool_configs":
        body = {"tool_name": key, "config": {"value": value}}
        return Wish(table, key, Write(value, expected), "tool_configs.set", body, expected)
    if chance.random() < 0.3:
        body = {"id": key, "type": "sync", "name": "j", "payload": {"value": value}, "hold": True}
        # Held, so that no worker claims it.
        return Wish(table, key, Create(value), "jobs.enqueue", body)
    body = {"id": key, "payload": {"value": value}}
    return Wish(table, key, Change(value, expected), "jobs.update_payload", body, expected)


def refused(refusal: Refusal) -> Refused:
    """A refusal, as the answer of a register."""
    version = refusal.details.get("actual_version") if isinstance(refusal, VersionConflict) else None
    return Refused(refusal.code, version)


def found(table: str, row: dict[str, Any]) -> Found:
    """A row, as the answer of a register."""
    values = {"app_state": lambda: row["value"], "tool_configs": lambda: row["config"]["value"]}
    return Found(row["version"], values.get(table, lambda: row["payload"]["value"])())


class KeyUser:
    """One client that changes and reads keys, one operation after the other, and notes the answers.

    `reads` is the share of reads.
    """

    def __init__(
        self,
        chance: random.Random,
        keys: list[tuple[str, str]],
        histories: dict[str, list[Operation]],
        clock: Callable[[], float],
        next_value: Callable[[], int],
        *,
        reads: float = 0.4,
    ) -> None:
        self._chance = chance
        self._keys = keys
        self._histories = histories
        self._clock = clock
        self._next_value = next_value
        self._reads = reads
        self._versions: dict[str, int] = {}

    async def act(self, client: Client, *, within_seconds: float) -> None:
        """Makes one operation, and notes its outcome.

        Raises:
            Unreachable: no service answered.
        """
        table, key = self._chance.choice(self._keys)
        begin = self._clock()
        if self._chance.random() < self._reads:
            await self._read(client, Wish(table, key, Read()), begin, within_seconds)
            return
        known = self._versions.get(f"{table}/{key}", 0)
        expected = self._chance.choice([None, None, known, known, 0])
        await self._change(
            client, wish(self._chance, table, key, self._next_value(), expected), begin, within_seconds
        )

    async def _read(self, client: Client, one: Wish, begin: float, within_seconds: float) -> None:
        try:
            body = {KEY_FIELDS[one.table]: one.key}
            row = await client.query(f"{one.table}.get", body, timeout_seconds=within_seconds)
        except (Busy, Unavailable):
            return
        except Refusal as refusal:
            self._note(one, refused(refusal), begin)
            return
        self._versions[one.stream] = row["version"]
        self._note(one, found(one.table, row), begin)

    async def _change(self, client: Client, one: Wish, begin: float, within_seconds: float) -> None:
        about: dict[str, Any] = {} if one.expected is None else {"expected_version": one.expected}
        try:
            answer = await client.send(one.name, one.body, timeout_seconds=within_seconds, **about)
        except (Busy, Unavailable):
            self._note(one, None, begin, inf)
        except Unreachable as error:
            if error.may_have_been_carried_out:
                self._note(one, None, begin, inf)
            raise
        except Refusal as refusal:
            self._note(one, refused(refusal), begin)
        else:
            assert answer.version is not None
            self._versions[one.stream] = answer.version
            self._note(one, Accepted(answer.version), begin)

    def _note(self, one: Wish, answered: Any, begin: float, end: float | None = None) -> None:
        self._histories.setdefault(one.stream, []).append(
            Operation(
                asked=one.asked, answered=answered, begin=begin, end=self._clock() if end is None else end
            )
        )
