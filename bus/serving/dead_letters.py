"""Dead letters: durable commands that cannot be processed, kept with the reason until an operator looks."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError
from nats.js.errors import NotFoundError as NoMessageError

from bus.contract import codec
from bus.contract.senders import UserSubjects
from bus.serving.administration import AdministrationVerb
from bus.serving.decoding import LOOKED_AT, findings_in_headers
from bus.transport.ensured_streams import ensure_stream
from bus.transport.jetstream import JetStreamApi
from bus.transport.stream_limits import BYTES_A_MESSAGE, Limits
from domain.credentials.scanning import AllowedPaths, kind_of_text
from domain.errors import Invalid, NotFound, Refusal, SecretRejected, Unavailable
from hyperpage_client.contract.headers import COMMAND_ID
from hyperpage_client.transport.connection import LeanClient

REASON_CODE = "Hyperpage-Reason-Code"
REASON = "Hyperpage-Reason"
# The name of the command, if it cannot be the end of a subject.
NAME = "Hyperpage-Name"
# The user that sent the command, where the broker tells it.
USER = "Hyperpage-User"
# The size of a body that does not fit into a message beside the reason.
WHOLE_SIZE = "Hyperpage-Whole-Size"
# These headers are left out when a message is sent again. So are the broker's own, which are about the old
# message.
_OURS = (REASON_CODE, REASON, NAME, USER, WHOLE_SIZE)
# The path in the body that a reason is about is cut to this length: a key may be as long as the body.
MAXIMUM_PLACE_CHARACTERS = 200
# These texts replace a body.
WITHHELD = b"withheld: it looks as if it holds a credential"
UNSEEN = b"withheld: looking through it for credentials took the service down"
MAXIMUM_LISTED = 1_000
# The share of the stream that messages may take that are not commands at all.
UNREADABLE_SHARE = 0.5

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}(\.[A-Za-z0-9_-]{1,100}){0,3}")
# The names of headers that can be sent (RFC 9110, 5.6.2); the broker accepts others, too.
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SENT_HEADERS = re.compile(r"Hyperpage-[A-Za-z-]+|traceparent")
# The bytes that a header takes beside its name and value, and those that the whole block of headers adds.
_HEADER_BYTES, _HEADERS_BYTES = 4, 12


Sequence = Annotated[int, msgspec.Meta(ge=1, le=2**62)]


class ListDeadLetters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The dead letters after sequence `after`."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_LISTED)] = 100


class ShowDeadLetter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dead letter, whole."""

    sequence: Sequence


class ChooseDeadLetters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dead letter, or all of them."""

    sequence: Sequence | None = None
    all: bool = False


class DeadLetter(msgspec.Struct, frozen=True):
    """The message that is stored in the stream of dead letters."""

    subject: str
    body: bytes
    headers: dict[str, str]

    @property
    def size_bytes(self) -> int:
        """The bytes that the letter counts for; small ones count more, as the stream limits messages, too."""
        return max(len(self.body) + _size(self.headers), BYTES_A_MESSAGE)


class DeadLetters:
    """The stream of dead letters, through the connection that may write it.

    `unkept` counts the messages that were answered but not kept here, because there was no room for them.
    """

    def __init__(
        self, relay: LeanClient, subjects: UserSubjects, allowed_secrets: AllowedPaths, limits: Limits
    ) -> None:
        self._relay = relay
        self._jetstream = relay.jetstream(timeout=5)
        self._api = JetStreamApi(relay)
        self._names = subjects.names
        self._subjects = subjects
        self._allowed_secrets = allowed_secrets
        self._limits = limits
        self._is_prepared = False
        # The size of the stream when it was looked at last, plus the letters that were stored since.
        self._stored_bytes = 0
        self._limit_bytes = 0
        # The size of the letters that are not stored yet.
        self._under_way_bytes = 0
        self.unkept = 0

    async def prepare(self) -> None:
        """Returns when the stream exists; notes its size and its limit."""
        report = await ensure_stream(
            self._api,
            {
                "name": self._names.dead_letters,
                "subjects": [self._names.dead_letter(">")],
                "storage": "file",
                "allow_direct": True,
            },
            # A letter stays until an operator has looked; a full stream refuses new ones.
            {**self._limits.config, "discard": "new"},
            is_adjusted=not self._is_prepared,
        )
        self._is_prepared = True
        self._stored_bytes = max(report.state.bytes, report.state.messages * BYTES_A_MESSAGE)
        self._limit_bytes = max(0, report.config.get("max_bytes", 0))

    def has_room_for_unreadable(self, size_bytes: int) -> bool:
        """Whether a message that is not a command is kept; if not, it is counted as `unkept`.

        Every user can send any number of such messages, and each is answered. So they get only half of the
        stream. The other half is for commands that the service itself failed to process.
        """
        taken_bytes = self._stored_bytes + self._under_way_bytes
        if self._limit_bytes and taken_bytes + size_bytes > self._limit_bytes * UNREADABLE_SHARE:
            self.unkept += 1
            return False
        return True

    def letter(
        self,
        name: str,
        body: bytes,
        headers: Mapping[str, str],
        refusal: Refusal,
        *,
        user: str | None,
        message_id: str,
        is_looked_through: bool = True,
    ) -> DeadLetter:
        """A command with the reason why it cannot be processed, kept once for each `message_id`.

        Nothing that looks like a credential is kept. A header with one is left out. A body with one, or a
        body that is not `is_looked_through`, is replaced by a line that says so. That line is not a valid
        command if it is sent again.

        If a message is so large that the reason does not fit beside it, it loses its own headers, and then
        the end of its body: a message of that size would be refused anyway when it is sent again.
        """
        reasons = {
            "Nats-Msg-Id": message_id,
            REASON_CODE: refusal.code,
            REASON: codec.one_line(_with_place(refusal)),
        }
        if user is not None:
            reasons[USER] = user
        if kind_of_text(name) is not None:
            name = "unknown"
        elif not _NAME.fullmatch(name):
            reasons[NAME] = codec.one_line(name)[:200]
            name = "unknown"
        kept = _forwarded(headers)
        if is_looked_through:
            try:
                self._allowed_secrets.require(name, codec.findings_in(body))
            except SecretRejected:
                body = WITHHELD
        else:
            body = UNSEEN
            kept = {one: value for one, value in kept.items() if one == COMMAND_ID}
        kept = {one: value for one, value in kept.items() if _may_be_kept(one, value)}
        room = self._relay.max_payload - _size(reasons)
        if _size(kept) + len(body) > room:
            kept = {name: value for name, value in kept.items() if _SENT_HEADERS.fullmatch(name)}
        if _size(kept) + len(body) > room:
            kept = {COMMAND_ID: kept[COMMAND_ID]} if COMMAND_ID in kept else {}
            kept[WHOLE_SIZE] = str(len(body))
            body = body[: room - _size(kept)]
        letter = DeadLetter(self._names.dead_letter(name), body, {**kept, **reasons})
        self._under_way_bytes += letter.size_bytes
        return letter

    async def put(self, letter: DeadLetter) -> None:
        """Returns when the letter is stored. To be called exactly once for each letter."""
        try:
            await self._jetstream.publish(letter.subject, letter.body, headers=letter.headers)
            self._stored_bytes += letter.size_bytes
        finally:
            self._under_way_bytes -= letter.size_bytes

    def verbs(self) -> tuple[AdministrationVerb, ...]:
        """The verbs for operators."""
        return (
            AdministrationVerb(
                name="dlq.list", shape=ListDeadLetters, carry_out=self._list, changes_nothing=True
            ),
            # Reading is not recorded, here as elsewhere: each reload of a page would be an act.
            AdministrationVerb(
                name="dlq.show", shape=ShowDeadLetter, carry_out=self._show, changes_nothing=True
            ),
            AdministrationVerb(name="dlq.replay", shape=ChooseDeadLetters, carry_out=self._replay),
            AdministrationVerb(
                name="dlq.drop", shape=ChooseDeadLetters, carry_out=self._drop, makes_room=True
            ),
        )

    async def _list(self, request: ListDeadLetters) -> dict[str, Any]:
        items: list[dict[str, Any]] = []
        after, size = request.after, 0
        while (message := await self._next(after + 1)) is not None:
            summary = self._summary(message)
            size += len(codec.encode(summary)) + 1
            if len(items) == request.limit or size > codec.MAXIMUM_ANSWER_BYTES:
                return {"items": items, "next": after}
            after = message.seq or after + 1
            items.append(summary)
        return {"items": items, "next": None}

    async def _show(self, request: ShowDeadLetter) -> dict[str, Any]:
        message = await self._get(request.sequence)
        headers = {name: value for name, value in (message.headers or {}).items() if not _is_brokers(name)}
        body = (message.data or b"").decode("utf-8", "replace")
        room = codec.MAXIMUM_ANSWER_BYTES - len(codec.encode(headers))
        return self._summary(message) | {"headers": headers if room > 0 else {}, "body": _cut(body, room)}

    async def _replay(self, request: ChooseDeadLetters) -> dict[str, int]:
        replayed = 0
        for message in await self._chosen(request):
            name = self._names.name_in(message.subject or "")
            subject = self._names.durable_command(name)
            user = (message.headers or {}).get(USER) or self._subjects.user_of(subject)
            # The message is stored again before the letter is deleted: at worst both exist, with one command
            # id.
            try:
                await self._jetstream.publish(
                    subject if user is None else self._subjects.sent(user, subject),
                    message.data or b"",
                    headers=_forwarded(message.headers or {}) or None,
                )
            except APIError as error:
                raise Unavailable(
                    f"the broker takes no more durable commands: {error.description}",
                    hint="try again when fewer wait",
                    replayed=replayed,
                ) from error
            await self._jetstream.delete_msg(self._names.dead_letters, message.seq or 0)
            replayed += 1
        await self.prepare()
        return {"replayed": replayed}

    async def _drop(self, request: ChooseDeadLetters) -> dict[str, int]:
        chosen = await self._chosen(request)
        for message in chosen:
            await self._jetstream.delete_msg(self._names.dead_letters, message.seq or 0)
        await self.prepare()
        return {"dropped": len(chosen)}

    async def _chosen(self, request: ChooseDeadLetters) -> list[RawStreamMsg]:
        if (request.sequence is None) == (not request.all):
            raise Invalid("either a sequence or all", path="$")
        if request.sequence is not None:
            return [await self._get(request.sequence)]
        chosen: list[RawStreamMsg] = []
        after = 0
        # Messages that come in meanwhile (a replayed one that fails again, for instance) are not chosen.
        while len(chosen) < MAXIMUM_LISTED and (message := await self._next(after + 1)) is not None:
            after = message.seq or after + 1
            chosen.append(message)
        return chosen

    async def _next(self, sequence: int) -> RawStreamMsg | None:
        try:
            # `direct`, because otherwise nats-py parses the headers as those of a mail, and loses all but
            # ASCII.
            return await self._jetstream.get_msg(
                self._names.dead_letters,
                seq=sequence,
                subject=self._names.dead_letter(">"),
                next=True,
                direct=True,
            )
        except NoMessageError:
            return None

    async def _get(self, sequence: int) -> RawStreamMsg:
        try:
            return await self._jetstream.get_msg(self._names.dead_letters, seq=sequence, direct=True)
        except NoMessageError:
            raise NotFound(f"there is no dead letter {sequence}") from None

    def _summary(self, message: RawStreamMsg) -> dict[str, Any]:
        headers = message.headers or {}
        return {
            "sequence": message.seq,
            "subject": message.subject,
            "command": headers.get(NAME) or self._names.name_in(message.subject or ""),
            "command_id": headers.get(COMMAND_ID),
            "code": headers.get(REASON_CODE),
            "reason": headers.get(REASON),
            "time": message.time.isoformat() if message.time else None,
            "size_bytes": len(message.data or b""),
        }


def _with_place(refusal: Refusal) -> str:
    """The message of a refusal, with the path in the body that it is about."""
    place = str(refusal.details.get("path", "$"))[:MAXIMUM_PLACE_CHARACTERS]
    return refusal.message if place == "$" else f"{refusal.message} (at {place})"


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name not in _OURS and not _is_brokers(name) and _HEADER_NAME.fullmatch(name)
    }


def _may_be_kept(name: str, value: str) -> bool:
    if name in LOOKED_AT:
        return not findings_in_headers({name: value})
    return not codec.findings_in(codec.encode({name: value}))


def _is_brokers(name: str) -> bool:
    # `Status` and `Description` count, too: readers of the message would take them for the broker's.
    return name.lower().startswith("nats-") or name in ("Status", "Description")


def _size(headers: Mapping[str, str]) -> int:
    """The bytes that headers take in a message, at most."""
    texts = (f"{name}{value}".encode() for name, value in headers.items())
    return _HEADERS_BYTES + sum(len(text) + _HEADER_BYTES for text in texts)


def _cut(text: str, size_bytes: int) -> str:
    """The beginning of a text, cut so that it takes at most `size_bytes` in JSON."""
    # A character takes up to six bytes in JSON.
    return text if len(codec.encode(text)) <= size_bytes else text[: max(0, size_bytes) // 6]
