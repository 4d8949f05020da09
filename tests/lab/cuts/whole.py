"""The whole service, with its nats-server, on a disk from which the power is taken: a `Scenario`."""

import asyncio
import itertools
import random
from pathlib import Path

import msgspec

from ops.backup.metadata import list_backups
from ops.http.access.tokens import TokenFile
from ops.security.users import UserFile
from tests.lab.cuts.commands import Commands, answers_in, require_commands
from tests.lab.cuts.cutting import Heard, Notes
from tests.lab.cuts.keeping import places_in
from tests.lab.cuts.scenarios import DATA
from tests.lab.experiment import Broken
from tests.lab.killing.kills import connect, require_stream_equals_log
from tests.lab.oracle import Answered
from tests.support.patience import patiently, until
from tests.support.services.command_line import separately
from tests.support.services.killable import Killable
from tests.support.services.raw_nats import Message, RawNats
from tests.support.stores.writing import Sent

AT_ONCE = 4
# One of so many states is checked with the whole service, the others with the store alone.
WHOLE_OF = 12
OPERATIONS = (
    "backup create",
    "stream refill --yes",
    "projections rebuild",
    "token create token-{number} --role read",
    "user create user-{number} --allow jobs.* --out {folder}/user-{number}.nk",
)
HEALTHY_SECONDS = patiently(10.0)


class WholeService:
    """A service answers requests and durable commands, runs an operator's commands, and is restarted."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._commands = Commands(chance)
        self._looked_at = itertools.count()

    def play(self, root: Path, notes: Notes) -> None:
        served = Killable(root / DATA, ("tests.lab.cuts.sites", str(root)))
        try:
            for _ in range(2):
                asyncio.run(self._serve(served, notes))
                served.stop()
        finally:
            served.stop()

    async def _serve(self, served: Killable, notes: Notes) -> None:
        await served.start()
        client = await connect(served)
        async with client:
            results = client.subscribe("hyperpage.res.v1.>")
            await client.flush()
            await asyncio.gather(*(self._ask(client, notes) for _ in range(AT_ONCE)))
            await self._store(client, results, notes)
            await asyncio.gather(
                asyncio.to_thread(self._operate, served.folder, notes),
                *(self._ask(client, notes) for _ in range(AT_ONCE)),
            )
            await asyncio.gather(*(self._ask(client, notes) for _ in range(AT_ONCE)))

    def _operate(self, data: Path, notes: Notes) -> None:
        """Runs commands of an operator meanwhile."""
        number = len(self._commands.sent)
        for command in self._chance.sample(OPERATIONS, 3):
            words = command.format(number=number, folder=data.parent).split()
            done = separately(*words, "--data", data, "--json")
            assert done.code == 0, done.err
            if words[:2] == ["backup", "create"]:
                notes(backup=Path(done.json["path"]).name)
            elif words[:2] == ["token", "create"]:
                notes(token=words[2])
            elif words[:2] == ["user", "create"]:
                notes(user=words[2])

    async def _ask(self, client: RawNats, notes: Notes) -> None:
        for _ in range(10):
            one = self._commands.next()
            answer = await client.request(*_request("cmd", one))
            if answer.code is None:
                notes(id=one.id, name=one.name, answer=answer.body.decode())

    async def _store(self, client: RawNats, results: asyncio.Queue[Message], notes: Notes) -> None:
        """Sends durable commands, whose promises are in their results."""
        sent = {one.id: one for one in (self._commands.next() for _ in range(10))}
        for one in sent.values():
            await client.request(*_request("dcmd", one))
        while sent:
            async with asyncio.timeout(HEALTHY_SECONDS):
                result = await results.get()
            one = sent.pop(result.subject.removeprefix("hyperpage.res.v1."))
            if result.code is None:
                notes(id=one.id, name=one.name, answer=result.body.decode())

    def require(self, root: Path, heard: Heard) -> int:
        answered = answers_in(heard)
        if next(self._looked_at) % WHOLE_OF == 0:
            served = Killable(root / DATA)
            try:
                asyncio.run(self._ask_again(served, answered))
            finally:
                served.stop()
        listed = {one["backup"] for one in heard if "backup" in one}
        there = {one.name for one in list_backups(places_in(root / DATA).backups)}
        listed |= {one[kind] for kind in ("token", "user") for one in heard if kind in one}
        there |= {one.name for one in TokenFile(root / DATA).read() if one.revoked_at is None}
        there |= {one.name for one in UserFile(root / DATA).read() if one.revoked_at is None}
        if lost := [
            one["user"] for one in heard if "user" in one and not (root / f"{one['user']}.nk").exists()
        ]:
            raise Broken(f"keys of users are gone: {lost}")
        if missing := listed - there:
            raise Broken(f"backups, tokens or users that somebody was told of are gone: {missing}")
        return require_commands(root / DATA, heard, self._commands.sent)

    async def _ask_again(self, served: Killable, answered: list[Answered]) -> None:
        """Checks that, without an operator, the same ids get the same answers, and the stream is the log."""
        await served.start()
        client = await connect(served)
        async with client:
            for one in answered:
                if one.is_remembered:
                    sent = self._commands.sent[one.command_id]
                    again = await client.request(*_request("cmd", sent))
                    if again.body != one.answer:
                        raise Broken(
                            f"{one.name} was answered with {one.answer!r}, and again with {again.body!r}"
                        )

            async def is_healthy() -> bool:
                return (await client.query("service.status")).said["status"] == "healthy"

            await until(is_healthy, HEALTHY_SECONDS)
        await require_stream_equals_log(served)


def _request(kind: str, one: Sent) -> tuple[str, bytes, dict[str, str]]:
    """A command as it is sent; its body is encoded as `Store` does it, since either may send the retry."""
    assert one.id is not None
    body = msgspec.json.encode(one.body)
    return f"hyperpage.{kind}.v1.{one.name}", body, {"Hyperpage-Command-Id": one.id}
