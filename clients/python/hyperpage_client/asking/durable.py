"""Durable commands, from the sender's side: stored by a stream, answered by a message that is kept.

publish ──▶ stored ──▶ the answer, which also comes to the sender ──▶ its bytes
                        │ none for a second, connection lost
                        └▶ read the kept answer, again and again
"""

import asyncio

from hyperpage_client.asking.connection import ClientConnection, Unreachable
from hyperpage_client.asking.outgoing import Outgoing
from hyperpage_client.contract.headers import REPLY_TO
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.documents import encode
from hyperpage_client.errors import refusal_of
from hyperpage_client.transport.jetstream_answers import (
    FULL,
    NO_MESSAGE,
    StoredMessage,
    error_in,
    message_in,
)

# How often the kept result is read: it is there even if it was published while the connection was lost.
LOOK_SECONDS = 1.0
FIRST_LOOK_SECONDS = 0.05
# How long the broker may take to say which result is kept. It takes a millisecond, if the broker is there.
KEPT_WITHIN_SECONDS = 0.5
_NOT_TAKEN = "see that its stream is there and may be published to"

# Stands for the kept result if there is none.
_NO_RESULT = StoredMessage(0, "", b"")


class DurableSender:
    """Stores commands, and waits for their results."""

    def __init__(self, connection: ClientConnection, names: BusNames) -> None:
        self._connection = connection
        self._names = names

    async def store(self, command: Outgoing, *, timeout_seconds: float, reply_to: str | None = None) -> None:
        """Returns when the broker has stored the command. Stored twice, it is carried out once, by its id.

        The command's answer goes to `reply_to` as well.

        Raises:
            Unavailable: the broker refuses.
            Unreachable: the broker did not answer in time.
        """
        subject = self._names.durable_command(command.name)
        headers = command.headers if reply_to is None else {**command.headers, REPLY_TO: reply_to}
        answer = await self._connection.ask(subject, command.body, headers, within_seconds=timeout_seconds)
        refused = error_in(answer)
        if refused is not None:
            raise refusal_of(
                "unavailable",
                f"the broker did not store the command: {refused.description}",
                hint="nothing was stored: "
                + (
                    "too many durable commands wait; try again later"
                    if refused.description in FULL
                    else _NOT_TAKEN
                ),
                details={},
            )

    async def send(self, command: Outgoing, *, timeout_seconds: float) -> bytes:
        """The body of the command's result.

        Raises:
            Unavailable: the broker refuses.
            Unreachable: in time, the broker did not say that the command is stored, or no answer came.
            ClosedError: the connection is closed.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        subject = self._names.result(command.command_id)
        with self._connection.expecting() as expected:
            # A result that is kept already answers an earlier attempt; this one may end differently. If the
            # broker does not say now what is kept, only a result that comes to the inbox is known to be new.
            earlier = _NO_RESULT if command.is_new else await self._kept(subject)
            await self.store(command, timeout_seconds=max(0.0, deadline - clock()), reply_to=expected.subject)
            while clock() < deadline:
                answer = await expected.answer(min(deadline, clock() + LOOK_SECONDS))
                if answer is not None:
                    return answer
                kept = None if earlier is None else await self._kept(subject)
                if kept is not None and earlier is not None and kept.sequence > earlier.sequence:
                    return kept.payload
        raise Unreachable(
            f"the command is stored, and will be carried out; no answer within {timeout_seconds:g} s",
            may_have_been_carried_out=True,
        )

    async def kept_answer(self, command_id: str, *, timeout_seconds: float) -> bytes:
        """The body of the result of a command that was stored before.

        Raises:
            Unreachable: there is none, and none came in that time.
            ClosedError: the connection is closed.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        pause = FIRST_LOOK_SECONDS
        while (kept := await self._kept(self._names.result(command_id))) is None or not kept.sequence:
            if (left := deadline - clock()) <= 0:
                raise Unreachable(
                    f"there was no answer to {command_id} within {timeout_seconds:g} s",
                    may_have_been_carried_out=True,
                )
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, LOOK_SECONDS)
        return kept.payload

    async def _kept(self, subject: str) -> StoredMessage | None:
        """The result that is kept under a subject (sequence 0: none is); `None`: the broker does not say."""
        request = encode({"last_by_subj": subject})
        try:
            answer = await self._connection.ask(
                f"$JS.API.STREAM.MSG.GET.{self._names.results}", request, within_seconds=KEPT_WITHIN_SECONDS
            )
        except Unreachable:
            return None
        refused = error_in(answer)
        # Any other error, such as that of a stream without a leader, does not say that none is kept.
        is_none_kept = refused is not None and refused.err_code == NO_MESSAGE
        return _NO_RESULT if is_none_kept else message_in(answer)
