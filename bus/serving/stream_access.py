"""JetStream's API for users: the relay checks each request, and passes on what its sender may ask.

    user ── $JS.API.… ──▶ StreamAccess ── $JS.API.… ──▶ JetStream
     ▲                          │ answers                   │ messages
     └──────────────────────────┴───────────────────────────┘  into the inboxes of that user alone

A user may read its part of each stream (`bus.serving.stream_scope`), and has consumers of its own there
(`bus.serving.consumer_names`). Requests come through here; most messages go from JetStream to the user.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from bus.contract.rights import Principal, Rights
from bus.contract.senders import Sender, UserSubjects
from bus.incident import internal
from bus.serving.admission import Admission
from bus.serving.consumer_names import ConsumerNames
from bus.serving.consumer_requests import (
    ConsumerRequest,
    consumer_of,
    is_within,
    require_within,
    shown_consumer,
)
from bus.serving.stream_requests import (
    BAD_REQUEST,
    NOT_ALLOWED,
    UNAVAILABLE,
    ApiRefusal,
    body_of,
    directly_asked,
    message_asked,
    require_admitted,
    shown_message,
)
from bus.serving.stream_scope import Scope, scope_of
from hyperpage_client.tasks import Tasks
from hyperpage_client.transport.connection import LeanClient, stop_receiving
from hyperpage_client.transport.protocol import status_message

# The limit for one user, so that the requests of one user never cause those of another to be refused.
MAXIMUM_UNDER_WAY = 500
MAXIMUM_BODY_BYTES = 64 * 1024
# nats-server accepts control lines of 4 KiB, which hold the subject and the inbox of the answer.
MAXIMUM_SUBJECT_BYTES = 1_900
MAXIMUM_CONSUMERS = 1_000
# Once all users together have taken this share of a stream's consumers, each gets only this part of them.
SCARCE_FROM, SMALL_PART = 3 / 4, 1 / 20
ANSWER_SECONDS = 2.0
PAUSE_SECONDS = 0.02
# How long a consumer that was found is assumed to exist. JetStream would not tell the user if it did not, so
# a pull is passed on only for a consumer that was found.
CONFIRMED_SECONDS = 2.0
MAXIMUM_CONFIRMED = 10_000

_ANSWERED_WITH_MESSAGES = ("DIRECT.GET", "CONSUMER.MSG.NEXT")

_decode = msgspec.json.Decoder().decode
logger = logging.getLogger(__name__)


class _Page(msgspec.Struct, frozen=True):
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0


class StreamAccess:
    """Serves users' requests about streams. `relay` is the connection that may ask JetStream anything.

    `key` is the secret behind consumers' names. `consumers` is how many a stream may have; 0: no limit.
    """

    def __init__(
        self,
        relay: LeanClient,
        subjects: UserSubjects,
        *,
        key: bytes,
        admission: Admission,
        consumers: int = 0,
    ) -> None:
        self._relay = relay
        self._names = subjects.names
        self._subjects = subjects
        self._consumers = ConsumerNames(key)
        self._admission = admission
        self._places = consumers
        self._subscription: Subscription | None = None
        self._under_way = Tasks()
        self._asked_by: Counter[str | None] = Counter()
        # A lock for each user, so that its consumers are counted and made one after the other.
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        # Consumers that were found, by stream and real name: until when that counts, and for which rights.
        self._confirmed: dict[tuple[str, str], tuple[float, Rights]] = {}
        self.dropped = 0

    @property
    def under_way(self) -> int:
        """The number of requests that are being answered."""
        return len(self._under_way)

    def use_key(self, key: bytes) -> None:
        """Makes consumers' names from another key from now on."""
        self._consumers = ConsumerNames(key)

    async def start(self) -> None:
        """Serves from now on; also after `stop`."""
        sent = self._subjects.sent("*", "$JS.API.>")
        self._subscription = await self._relay.subscribe(sent, cb=self._receive)

    async def stop(self) -> None:
        """Serves no more, and cancels the requests that are under way."""
        if self._subscription is not None:
            await stop_receiving(self._subscription)
            self._subscription = None
        await self._under_way.cancel()

    async def drop_consumers(self) -> None:
        """Deletes consumers that deliver more than their users may see now; called when users have changed.

        Raises:
            ApiRefusal: JetStream does not answer.
        """
        for stream in (*self._names.readable, self._names.dead_letters):
            for real, info in (await self._consumers_of(stream)).items():
                user = self._consumers.user_of(stream, real)
                if user is None:
                    continue
                principal = self._admission.principal_of(user)
                rights = Rights() if principal is None else principal.rights
                scope = None if principal is None else scope_of(stream, user, rights, self._names)
                if scope is None or not is_within(info, scope):
                    self._confirmed.pop((stream, real), None)
                    await self._ask(f"CONSUMER.DELETE.{stream}.{real}", b"")

    async def _receive(self, message: Msg) -> None:
        found = self._admission.find(message.subject, message.reply)
        if found is None:
            self.dropped += 1
            return
        self._under_way.start(self._serve(*found, message.data))

    async def _serve(self, sender: Sender, principal: Principal, body: bytes) -> None:
        self._asked_by[sender.user] += 1
        try:
            answer = await self._answer_or_refuse(sender, principal.rights, body)
            if isinstance(answer, ApiRefusal) and answer.code == 403:
                self._admission.may_not(principal, "stream.ask", sender.name)
            if isinstance(answer, ApiRefusal) and sender.name.startswith(_ANSWERED_WITH_MESSAGES):
                # A status: the client would take an error in the body for a message of the stream.
                await self._tell(sender, answer.code, str(answer))
            elif answer is not None:
                await self._relay.publish(
                    sender.reply, answer.body if isinstance(answer, ApiRefusal) else answer
                )
        except NatsError as error:
            logger.warning("an answer could not be sent: %s", error)
        finally:
            self._asked_by[sender.user] -= 1

    async def _answer_or_refuse(
        self, sender: Sender, rights: Rights, body: bytes
    ) -> bytes | ApiRefusal | None:
        if self._asked_by[sender.user] > MAXIMUM_UNDER_WAY:
            return ApiRefusal(429, UNAVAILABLE, "too much is asked at once")
        subject_bytes = max(len(sender.name.encode()), len(sender.reply.encode()))
        if len(body) > MAXIMUM_BODY_BYTES or subject_bytes > MAXIMUM_SUBJECT_BYTES:
            return ApiRefusal(
                400,
                BAD_REQUEST,
                f"a request has at most {MAXIMUM_SUBJECT_BYTES} bytes in each of its subjects, and "
                f"{MAXIMUM_BODY_BYTES} in its body",
            )
        try:
            return await self._answer(sender, rights, body)
        except ApiRefusal as refusal:
            return refusal
        except Exception as error:
            internal(logger, "a request about streams failed", error, subject=sender.name[:200])
            return ApiRefusal(500, UNAVAILABLE, "internal error")

    async def _answer(self, sender: Sender, rights: Rights, body: bytes) -> bytes | None:
        """The answer to a request; `None` if JetStream, or a message already sent, answers it."""
        user, tokens = sender.user or "", sender.name.split(".")
        match tokens:
            case ["INFO"]:
                return await self._ask("INFO", b"")
            case ["STREAM", "NAMES"]:
                return self._visible_streams(await self._ask("STREAM.NAMES", body), user, rights)
            case ["STREAM", "INFO", stream]:
                self._scope(stream, user, rights)
                # Asked without the user's body, which could ask for all subjects of the stream.
                return await self._ask(f"STREAM.INFO.{stream}", b"")
            case ["STREAM", "MSG", "GET", stream]:
                scope = self._scope(stream, user, rights)
                asked = message_asked(body, scope, lambda known: self._inside(user, known))
                answer = await self._ask(f"STREAM.MSG.GET.{stream}", asked)
                return shown_message(answer, scope, self._subjects.as_known)
            case ["DIRECT", "GET", stream, *subject]:
                scope = self._scope(stream, user, rights)
                await self._answer_directly(sender, stream, ".".join(subject), body, scope)
                return None
            case ["CONSUMER", *which]:
                return await self._consumer(sender, rights, which, body)
        raise ApiRefusal(403, NOT_ALLOWED, f"{sender.name[:100]} is not for users")

    async def _answer_directly(
        self, sender: Sender, stream: str, subject: str, body: bytes, scope: Scope
    ) -> None:
        user = sender.user or ""
        asked = f"$JS.API.DIRECT.GET.{stream}"
        if subject:
            inside = self._inside(user, subject)
            require_admitted((inside,), scope)
            await self._pass_on(sender, f"{asked}.{inside}", b"", scope)
            return
        request = directly_asked(body, scope, lambda known: self._inside(user, known))
        if request.is_single:
            await self._pass_on(sender, asked, msgspec.json.encode(request), scope)
        else:
            await self._relay.publish(asked, msgspec.json.encode(request), reply=sender.reply)

    async def _pass_on(self, sender: Sender, asked: str, body: bytes, scope: Scope) -> None:
        """Gets one message and sends it on: only the connection that asks is told that there is no stream."""
        try:
            found = await self._relay.request(asked, body, timeout=ANSWER_SECONDS)
        except (NatsError, TimeoutError):
            await self._tell(sender, 503, "")
            return
        headers = dict(found.headers or {})
        if "Status" in headers:
            await self._tell(sender, int(headers["Status"]), headers.get("Description", ""))
            return
        if not scope.admits(headers.get("Nats-Subject", "")):
            await self._tell(sender, 404, "Message Not Found")
            return
        if "Nats-Subject" in headers:
            headers["Nats-Subject"] = self._subjects.as_known(headers["Nats-Subject"])
        await self._relay.publish(sender.reply, found.data, headers=headers)

    async def _consumer(self, sender: Sender, rights: Rights, which: list[str], body: bytes) -> bytes | None:
        user = sender.user or ""
        match which:
            case ["CREATE", stream, *place]:
                return await self._make(user, rights, stream, place[0] if place else None, body)
            case ["DURABLE", "CREATE", stream, name]:
                return await self._make(user, rights, stream, name, body)
            case ["NAMES" | "LIST" as verb, stream]:
                self._scope(stream, user, rights)
                return await self._list(user, verb, stream, body)
            case ["INFO" | "DELETE" as verb, stream, name]:
                self._scope(stream, user, rights)
                real = self._real(user, stream, name)
                self._confirmed.pop((stream, real), None)
                answer = await self._ask(f"CONSUMER.{verb}.{stream}.{real}", body)
                return shown_consumer(answer, name, real, user, self._subjects)
            case ["MSG", "NEXT", stream, name]:
                await self._pull(sender, rights, stream, name, body)
                return None
        raise ApiRefusal(403, NOT_ALLOWED, f"CONSUMER.{'.'.join(which)[:100]} is not for users")

    async def _make(self, user: str, rights: Rights, stream: str, name: str | None, body: bytes) -> bytes:
        request: ConsumerRequest = consumer_of(
            body, name, stream, self._scope(stream, user, rights), user, self._subjects
        )
        real = self._real(user, stream, request.name)
        async with self._making[user]:
            if (stream, real) not in self._confirmed:
                await self._require_place(user, stream, real)
            answer = await self._ask(
                f"CONSUMER.CREATE.{stream}.{real}{request.filter_token}", request.body(real)
            )
        self._confirm(stream, real, answer, rights)
        return shown_consumer(answer, request.name, real, user, self._subjects)

    async def _require_place(self, user: str, stream: str, real: str) -> None:
        own, total = await self._names_of(user, stream)
        is_scarce = total >= self._places * SCARCE_FROM and self._places * SMALL_PART >= 1
        most = int(self._places * SMALL_PART) if self._places and is_scarce else MAXIMUM_CONSUMERS
        if real not in own and len(own) >= most:
            raise ApiRefusal(400, 10_026, f"maximum consumers limit reached: {most} of a user")

    async def _consumers_of(self, stream: str) -> dict[str, Any]:
        """JetStream's description of each consumer of a stream, by its real name."""
        return {one["name"]: one async for page, _ in self._pages("LIST", stream) for one in page}

    async def _names_of(self, user: str, stream: str) -> tuple[list[str], int]:
        """JetStream's names of all consumers of a user, and the number of all consumers of the stream."""
        pages = [page async for page in self._pages("NAMES", stream)]
        known = self._consumers.known
        found = [one for page, _ in pages for one in page if known(user, stream, one) is not None]
        return found, pages[-1][1]

    async def _pages(self, verb: str, stream: str) -> AsyncIterator[tuple[list[Any], int]]:
        """The consumers of a stream as JetStream lists them, with the number of all, page by page."""
        offset, total = 0, 1
        while offset < total:
            answer = _decode(await self._ask(f"CONSUMER.{verb}.{stream}", b'{"offset":%d}' % offset))
            page, total = answer.get("consumers") or [], answer.get("total", 0)
            yield page, total
            offset += len(page) or total

    async def _list(self, user: str, verb: str, stream: str, body: bytes) -> bytes:
        page: _Page = body_of(_Page, body)
        names, _ = await self._names_of(user, stream)
        shown: list[Any] = []
        for real in names[page.offset :]:
            name = self._consumers.known(user, stream, real) or ""
            if verb == "NAMES":
                shown.append(name)
                continue
            answer = await self._ask(f"CONSUMER.INFO.{stream}.{real}", b"")
            info = _decode(shown_consumer(answer, name, real, user, self._subjects))
            if "error" not in info:
                shown.append(info)
        return msgspec.json.encode(
            {
                "type": f"io.nats.jetstream.api.v1.consumer_{verb.lower()}_response",
                "total": len(shown),
                "offset": 0,
                "limit": MAXIMUM_CONSUMERS,
                "consumers": shown,
            }
        )

    async def _pull(self, sender: Sender, rights: Rights, stream: str, name: str, body: bytes) -> None:
        user = sender.user or ""
        scope, real = self._scope(stream, user, rights), self._real(user, stream, name)
        until, confirmed_rights = self._confirmed.get((stream, real), (0.0, rights))
        if time.monotonic() > until or confirmed_rights != rights:
            answer = await self._ask(f"CONSUMER.INFO.{stream}.{real}", b"")
            # The consumer may have been made when its user had more rights.
            require_within(answer, scope)
            self._confirm(stream, real, answer, rights)
        if (stream, real) not in self._confirmed:
            await self._tell(sender, 503, "")
            return
        await self._relay.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{real}", body, reply=sender.reply)

    def _confirm(self, stream: str, real: str, answer: bytes, rights: Rights) -> None:
        self._confirmed.pop((stream, real), None)
        if b'"error"' in answer and "error" in _decode(answer):
            return
        if len(self._confirmed) >= MAXIMUM_CONFIRMED:
            self._confirmed.clear()
        self._confirmed[stream, real] = time.monotonic() + CONFIRMED_SECONDS, rights

    def _visible_streams(self, answer: bytes, user: str, rights: Rights) -> bytes:
        said = _decode(answer)
        if said.get("streams"):
            names = self._names
            said["streams"] = [
                one for one in said["streams"] if scope_of(one, user, rights, names) is not None
            ]
            said["total"] = len(said["streams"])
        return msgspec.json.encode(said)

    def _scope(self, stream: str, user: str, rights: Rights) -> Scope:
        scope = scope_of(stream, user, rights, self._names)
        if scope is None:
            raise ApiRefusal(403, NOT_ALLOWED, f"the stream {stream[:100]} is not for this user")
        return scope

    def _real(self, user: str, stream: str, name: str) -> str:
        real = self._consumers.real(user, stream, name)
        if real is None:
            raise ApiRefusal(400, 10_103, "a consumer has a name without dots, wildcards, slashes and spaces")
        return real

    def _inside(self, user: str, known: str) -> str:
        """The subject in a stream that a user knows as `known`. Results lie there below the user's prefix."""
        is_result = known.startswith(self._names.result_filter.removesuffix(">"))
        return self._subjects.sent(user, known) if is_result else known

    async def _ask(self, verb: str, body: bytes) -> bytes:
        until = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                return (await self._relay.request(f"$JS.API.{verb}", body, timeout=ANSWER_SECONDS)).data
            except NoRespondersError as error:
                # While nats-server reloads its configuration, JetStream does not respond for a moment.
                if time.monotonic() > until:
                    raise ApiRefusal(503, UNAVAILABLE, "JetStream is not there") from error
                await asyncio.sleep(PAUSE_SECONDS)
            except (NatsError, TimeoutError) as error:
                raise ApiRefusal(503, UNAVAILABLE, "JetStream does not answer") from error

    async def _tell(self, sender: Sender, status: int, description: str) -> None:
        await self._relay.publish_encoded(status_message(sender.reply, status, description), 1)
