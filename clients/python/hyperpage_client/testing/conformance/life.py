"""A history that runs against a service: what was sent, what was answered, and which rows were seen when."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from hyperpage_client.client import Client
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.contract.headers import COMMAND_ID, EXPECTED_VERSION
from hyperpage_client.contract.subjects import split_stream
from hyperpage_client.errors import NotFound, Refusal
from hyperpage_client.testing.conformance.broken import LawBroken
from hyperpage_client.testing.conformance.histories import Wish
from hyperpage_client.testing.conformance.published import ANY_CODE, CommandSchema

# Long enough for a service that is starting.
_ANSWER_SECONDS = 30.0
_decode_answer = msgspec.json.Decoder(CommandAnswer).decode


class Accepted(NamedTuple):
    """A command that was accepted, and the answer as it came."""

    wish: Wish
    answer: bytes


class Seen:
    """The rows of one aggregate that were seen, by the position of their last event; `named` is its key.

    Where there was no row (any more), the position is that of the event that ended it.
    """

    def __init__(self, named: Mapping[str, Any]) -> None:
        self.named = named
        self.rows: dict[int, bytes | None] = {}


class Life:
    """A history so far. Each method is given a client, since a restarted service has another address."""

    def __init__(self, table: str, commands: Sequence[CommandSchema], key_fields: Sequence[str]) -> None:
        self.table = table
        # Whether all commands were sent, apart from repeats.
        self.is_over = False
        self.sent: list[Wish] = []
        self.accepted: list[Accepted] = []
        self.refused: list[Wish] = []
        self.tallies: dict[str, Counter[str]] = {one.name: Counter() for one in commands}
        self.seen: dict[str, Seen] = {}
        self._key_fields = key_fields
        self._commands = {one.name: one for one in commands}

    async def live(self, client: Client, wish: Wish) -> None:
        """Sends a command, checks the answer, reads the row, and repeats the command if that is wished.

        Raises:
            LawBroken: the answer is not what its verb declares, or is another one the second time.
        """
        self.sent.append(wish)
        try:
            answer = await send(client, wish)
        except Refusal as refusal:
            self._note_refusal(wish, refusal)
            return
        self.tallies[wish.name]["accepted"] += 1
        self.accepted.append(Accepted(wish, answer))
        said = _decode_answer(answer)
        undeclared = self._commands[wish.name].leads_to.undeclared_in(said)
        if undeclared is not None:
            raise LawBroken("declared", f"{wish} led to {undeclared}, which is not declared")
        if said.stream is not None and said.position is not None:
            await self._look(client, wish, said.stream, said.position)
        if wish.is_repeated and self.is_remembered(wish, said):
            await self.repeat(client, self.accepted[-1])

    def is_remembered(self, wish: Wish, said: CommandAnswer) -> bool:
        """Whether the same id gets the same answer, as the verb declares."""
        remembered = self._commands[wish.name].leads_to.remembered
        return remembered == "yes" or (remembered == "with_events" and bool(said.events))

    async def repeat(self, client: Client, one: Accepted) -> None:
        """Sends a command again that was accepted.

        Raises:
            LawBroken: the answer is another one.
        """
        try:
            again = await send(client, one.wish)
        except Refusal as refusal:
            again = repr(refusal).encode()
        if again != one.answer:
            first, second = one.answer.decode(), again.decode()
            raise LawBroken("repeated", f"{one.wish} was answered {first}, and again {second}")

    async def _look(self, client: Client, wish: Wish, stream: str, position: int) -> None:
        table, key = split_stream(stream)
        if table != self.table:
            return
        if key not in self.seen:
            body = msgspec.json.decode(wish.body)
            # The parts of a key that has several are fields of the body.
            parts = {name: body[name] for name in self._key_fields if name in body}
            self.seen[key] = Seen({self._key_fields[0]: key} if len(self._key_fields) == 1 else parts)
        seen = self.seen[key]
        row = await row_now(client, self.table, seen.named)
        # The row may be that of a later event already: the service also acts by itself.
        place = position if row is None else int(msgspec.json.decode(row)["position"])
        seen.rows[place] = row

    def _note_refusal(self, wish: Wish, refusal: Refusal) -> None:
        rule = refusal.details.get("rule")
        self.tallies[wish.name][str(rule or refusal.code)] += 1
        self.refused.append(wish)
        declared = self._commands[wish.name].leads_to
        if refusal.code == "internal":
            raise LawBroken("answered", f"{wish} was answered {refusal.message}: see the log of the service")
        if refusal.code in ("busy", "unavailable", "behind"):
            raise refusal
        if rule is not None and rule not in declared.rules:
            raise LawBroken("declared", f"{wish} was refused by the rule {rule}, which is not declared")
        if refusal.code not in declared.refusals | ANY_CODE:
            raise LawBroken("declared", f"{wish} was refused as {refusal.code}, which is not declared")


async def send(client: Client, wish: Wish) -> bytes:
    """The answer to a command, as it came.

    Raises:
        Refusal: it was refused.
    """
    headers = {COMMAND_ID: wish.command_id}
    if wish.expected_version is not None:
        headers[EXPECTED_VERSION] = str(wish.expected_version)
    subject = client.names.command(wish.name)
    return await client.connection.ask(subject, wish.body, headers, within_seconds=_ANSWER_SECONDS)


async def row_now(client: Client, table: str, key: Mapping[str, Any]) -> bytes | None:
    """A row, as it came; `None` where there is none."""
    try:
        return await client.ask(f"{table}.get", key, _ANSWER_SECONDS)
    except NotFound:
        return None


async def row_at(client: Client, table: str, key: Mapping[str, Any], position: int) -> bytes | None:
    """A row as it was at a position, as it came; `None` where there was none."""
    try:
        return await client.ask(f"{table}.as_of", {**key, "position": position}, _ANSWER_SECONDS)
    except NotFound:
        return None
