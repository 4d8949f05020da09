"""Commands that go out together, in one message or a few."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from hyperpage_client.asking.outgoing import BatchCommand
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.errors import Refusal
from hyperpage_client.identifiers import new_id

# The most of one message. A batch that is not atomic goes out in as many as it takes, one after the other.
MAXIMUM_COMMANDS = 1_000

Outcomes = Sequence[CommandAnswer | Refusal]


class Pending:
    """A command of a batch, and its outcome once the batch was sent."""

    def __init__(self, command: BatchCommand) -> None:
        self.command = command
        self.outcome: CommandAnswer | Refusal | None = None

    @property
    def answer(self) -> CommandAnswer:
        """What it was answered with.

        Raises:
            Refusal: it was refused.
            RuntimeError: the batch was not sent yet.
        """
        if self.outcome is None:
            raise RuntimeError("the batch goes out at the end of its block")
        if isinstance(self.outcome, Refusal):
            raise self.outcome
        return self.outcome


class Batch:
    """Commands that are collected in a block, and sent at its end."""

    def __init__(self, *, atomic: bool = False) -> None:
        # All in one message, then: the service refuses what is too much for one.
        self._at_once = MAXIMUM_COMMANDS if not atomic else sys.maxsize
        self._pending: list[Pending] = []

    def __len__(self) -> int:
        return len(self._pending)

    def add(
        self,
        command: str | msgspec.Struct,
        body: Any = None,
        *,
        command_id: str | None = None,
        expected_version: int | None = None,
    ) -> Pending:
        """Takes a command, as `Client.send` does. Under its id it is carried out once, also if sent again."""
        one = BatchCommand(
            command=command,
            body=body,
            command_id=command_id or new_id(),
            expected_version=expected_version,
        )
        self._pending.append(pending := Pending(one))
        return pending

    async def send(self, send: Callable[[Sequence[BatchCommand]], Awaitable[Outcomes]]) -> None:
        """Sends all of them with `send`, in order.

        Raises:
            ExceptionGroup: some were refused; the others were carried out.
        """
        for start in range(0, len(self._pending), self._at_once):
            some = self._pending[start : start + self._at_once]
            outcomes = await send([one.command for one in some])
            for one, outcome in zip(some, outcomes, strict=True):
                one.outcome = outcome
        refused = [one.outcome for one in self._pending if isinstance(one.outcome, Refusal)]
        if refused:
            raise ExceptionGroup(f"{len(refused)} of {len(self._pending)} commands were refused", refused)
