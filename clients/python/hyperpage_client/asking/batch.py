"""Commands that are sent together, in one message or a few."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import msgspec

from hyperpage_client.asking.outgoing import BatchCommand, batch_item
from hyperpage_client.contract.commands import (
    MAXIMUM_BATCH_BYTES,
    MAXIMUM_BATCH_COMMANDS,
    BatchItem,
    CommandAnswer,
)
from hyperpage_client.documents import encode
from hyperpage_client.errors import Refusal, TooLarge
from hyperpage_client.identifiers import new_id

# The size of a message without its commands, and of what stands between two commands.
_ENVELOPE_BYTES = len(encode({"atomic": False, "commands": []}))
_COMMA_BYTES = 1

Outcomes = Sequence[CommandAnswer | Refusal]


class Pending:
    """A command of a batch, and its outcome once the batch was sent."""

    def __init__(self, command: BatchCommand) -> None:
        self.command = command
        self.outcome: CommandAnswer | Refusal | None = None

    @property
    def answer(self) -> CommandAnswer:
        """The answer to the command.

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
        self._atomic = atomic
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
        """Adds a command, given as for `Client.send`. Its id has it carried out once, even if sent again."""
        one = BatchCommand(
            command=command,
            body=body,
            command_id=command_id or new_id(),
            expected_version=expected_version,
        )
        self._pending.append(pending := Pending(one))
        return pending

    async def send(self, send: Callable[[Sequence[BatchItem]], Awaitable[Outcomes]]) -> None:
        """Sends all of them with `send`, in order.

        Raises:
            ExceptionGroup: some were refused; the others were carried out.
        """
        items = [batch_item(one.command) for one in self._pending]
        waiting = iter(enumerate(self._pending))
        # An atomic batch is one message; the service refuses it if it is too large for that.
        for some in [items] if self._atomic and items else messages_of(items):
            try:
                outcomes = await send(some)
            except TooLarge as refusal:
                if self._atomic or len(some) > 1:
                    raise
                outcomes = [refusal]
            for outcome in outcomes:
                number, one = next(waiting)
                one.outcome = outcome
                if isinstance(outcome, Refusal):
                    # The service's index counts the commands of one message, this one those of the batch.
                    outcome.details["index"] = number
        refused = [one.outcome for one in self._pending if isinstance(one.outcome, Refusal)]
        if refused:
            raise ExceptionGroup(f"{len(refused)} of {len(self._pending)} commands were refused", refused)


def messages_of(items: Sequence[BatchItem]) -> Iterator[Sequence[BatchItem]]:
    """The commands, in order, in as few messages as possible; one that is too large gets its own message."""
    start, size_bytes = 0, _ENVELOPE_BYTES
    for number, item in enumerate(items):
        more_bytes = len(encode(item)) + _COMMA_BYTES
        count = number - start
        if count and (count == MAXIMUM_BATCH_COMMANDS or size_bytes + more_bytes > MAXIMUM_BATCH_BYTES):
            yield items[start:number]
            start, size_bytes = number, _ENVELOPE_BYTES
        size_bytes += more_bytes
    if start < len(items):
        yield items[start:]
