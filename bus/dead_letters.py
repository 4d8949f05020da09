"""Dead letters: durable commands that cannot be processed, kept with the reason until somebody looks."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from nats.aio.client import Client
from nats.js.api import RawStreamMsg, StorageType, StreamConfig
from nats.js.errors import NotFoundError as NoMessageError

from bus import codec
from bus.administration import AdministrationVerb
from bus.intake import COMMAND_ID
from bus.streams import ensure_stream
from bus.subjects import BusNames
from domain.errors import Invalid, NotFound, Refusal

REASON_CODE = "Hyperpage-Reason-Code"
REASON = "Hyperpage-Reason"
# The broker's own headers are about the message that was, not about the one that is sent again.
_OURS = (REASON_CODE, REASON)
MAXIMUM_LISTED = 1_000


class ListDeadLetters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Those behind sequence `after`."""

    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_LISTED)] = 100


class ShowDeadLetter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of them, whole."""

    sequence: Annotated[int, msgspec.Meta(ge=1)]


class ChooseDeadLetters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of them, or all."""

    sequence: Annotated[int, msgspec.Meta(ge=1)] | None = None
    all: bool = False


class DeadLetters:
    """The stream of dead letters, through the connection that may write it."""

    def __init__(self, relay: Client, names: BusNames) -> None:
        self._jetstream = relay.jetstream(timeout=5)
        self._names = names

    async def prepare(self) -> None:
        """The stream is there when this returns."""
        await ensure_stream(
            self._jetstream,
            StreamConfig(
                name=self._names.dead_letters,
                subjects=[self._names.dead_letter(">")],
                storage=StorageType.FILE,
                allow_direct=True,
            ),
        )

    async def put(self, name: str, body: bytes, headers: Mapping[str, str], refusal: Refusal | None) -> None:
        """Keeps a command with the reason; it is stored when this returns."""
        assert refusal is not None
        reasons = {REASON_CODE: refusal.code, REASON: codec.one_line(refusal.message)}
        await self._jetstream.publish(
            self._names.dead_letter(name), body, headers={**_forwarded(headers), **reasons}
        )

    def verbs(self) -> tuple[AdministrationVerb, ...]:
        """What an operator can do with them."""
        return (
            AdministrationVerb(name="dlq.list", shape=ListDeadLetters, carry_out=self._list),
            AdministrationVerb(name="dlq.show", shape=ShowDeadLetter, carry_out=self._show),
            AdministrationVerb(name="dlq.replay", shape=ChooseDeadLetters, carry_out=self._replay),
            AdministrationVerb(name="dlq.drop", shape=ChooseDeadLetters, carry_out=self._drop),
        )

    async def _list(self, request: ListDeadLetters) -> dict[str, Any]:
        items: list[dict[str, Any]] = []
        after = request.after
        while len(items) < request.limit and (message := await self._next(after + 1)) is not None:
            after = message.seq or after + 1
            items.append(self._summary(message))
        more = len(items) == request.limit and await self._next(after + 1) is not None
        return {"items": items, "next": after if more else None}

    async def _show(self, request: ShowDeadLetter) -> dict[str, Any]:
        message = await self._get(request.sequence)
        body = (message.data or b"").decode("utf-8", "replace")
        return self._summary(message) | {"headers": message.headers or {}, "body": body}

    async def _replay(self, request: ChooseDeadLetters) -> dict[str, int]:
        replayed = 0
        for message in await self._chosen(request):
            name = self._names.name_in(message.subject or "")
            # Stored anew before the old one goes: at worst it is there twice, and its command id tells.
            await self._jetstream.publish(
                self._names.durable_command(name),
                message.data or b"",
                headers=_forwarded(message.headers or {}) or None,
            )
            await self._jetstream.delete_msg(self._names.dead_letters, message.seq or 0)
            replayed += 1
        return {"replayed": replayed}

    async def _drop(self, request: ChooseDeadLetters) -> dict[str, int]:
        chosen = await self._chosen(request)
        for message in chosen:
            await self._jetstream.delete_msg(self._names.dead_letters, message.seq or 0)
        return {"dropped": len(chosen)}

    async def _chosen(self, request: ChooseDeadLetters) -> list[RawStreamMsg]:
        if (request.sequence is None) == (not request.all):
            raise Invalid("either a sequence or all", path="$")
        if request.sequence is not None:
            return [await self._get(request.sequence)]
        chosen: list[RawStreamMsg] = []
        after = 0
        # What comes in meanwhile (a replayed one that fails again, say) is not chosen.
        while len(chosen) < MAXIMUM_LISTED and (message := await self._next(after + 1)) is not None:
            after = message.seq or after + 1
            chosen.append(message)
        return chosen

    async def _next(self, sequence: int) -> RawStreamMsg | None:
        try:
            return await self._jetstream.get_msg(
                self._names.dead_letters, seq=sequence, subject=self._names.dead_letter(">"), next=True
            )
        except NoMessageError:
            return None

    async def _get(self, sequence: int) -> RawStreamMsg:
        try:
            return await self._jetstream.get_msg(self._names.dead_letters, seq=sequence)
        except NoMessageError:
            raise NotFound(f"there is no dead letter {sequence}") from None

    def _summary(self, message: RawStreamMsg) -> dict[str, Any]:
        headers = message.headers or {}
        return {
            "sequence": message.seq,
            "subject": message.subject,
            "command": self._names.name_in(message.subject or ""),
            "command_id": headers.get(COMMAND_ID),
            "code": headers.get(REASON_CODE),
            "reason": headers.get(REASON),
            "time": message.time.isoformat() if message.time else None,
            "size_bytes": len(message.data or b""),
        }


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name not in _OURS and not name.lower().startswith("nats-")
    }
