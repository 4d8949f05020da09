"""Requests of operators: few and rare, each answered by a task of its own."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Literal

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from bus.contract import codec
from bus.contract.senders import ADMIN, Sender, UserSubjects
from bus.incident import internal
from bus.serving.admission import Admission
from bus.serving.audit import Actor, ActRecorder, AuditOutcome, acting
from bus.serving.decoding import findings_in_headers
from bus.serving.discovery import QUEUE_GROUP
from domain.credentials.scanning import Finding, kind_of_text, rejected
from domain.errors import NotFound, Refusal
from hyperpage_client.contract.headers import ACTOR, COMMAND_LINE
from hyperpage_client.tasks import Tasks
from hyperpage_client.transport.connection import stop_receiving

_AT = "at."

logger = logging.getLogger(__name__)


class AdministrationVerb(msgspec.Struct, frozen=True, kw_only=True):
    """One thing an operator can ask for. The answer of `carry_out` is encoded as JSON.

    A verb that `changes_nothing` only reads, and is not recorded. A verb that `ends_later` answers as soon as
    it has begun. A verb that `makes_room` is carried out even if the disk is too full to record it. A request
    whose field `dry_run` is set is recorded as a dry run, unless it comes by `Administration.look`.
    """

    name: str
    shape: type[Any]
    carry_out: Callable[[Any], Awaitable[Any]]
    changes_nothing: bool = False
    makes_room: bool = False
    ends_later: bool = False


def administration_at(instance: str, verb: str) -> str:
    """The name of a verb at one service, by its id `instance`; other services may serve the same prefix."""
    return f"{_AT}{instance}.{verb}"


def by_name(*verbs: AdministrationVerb) -> dict[str, AdministrationVerb]:
    """Verbs, by their names."""
    return {one.name: one for one in verbs}


class NoArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No arguments."""


class Administration:
    """The administrative subjects of a service. `record` gets each act: its author, the request, the outcome.

    `verbs` returns the verbs that can be asked for now. Several services may serve one prefix: a request that
    names an `instance` is answered by that service, and any other request by one of them.
    """

    def __init__(
        self,
        connection: Client,
        subjects: UserSubjects,
        verbs: Callable[[], Mapping[str, AdministrationVerb]],
        *,
        instance: str,
        record: ActRecorder,
        admission: Admission,
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._verbs = verbs
        self._record = record
        self._admission = admission
        self._own = administration_at(instance, "")
        self._shared: list[Subscription] = []
        self._under_way = Tasks()
        self.dropped = 0

    @property
    def names(self) -> Collection[str]:
        """The names of all verbs."""
        return self._verbs().keys()

    async def start(self) -> None:
        """Answers from now on the requests that name this service's id."""
        for subject in self._subjects.arrivals(self._subjects.names.administration(f"{self._own}>")):
            await self._connection.subscribe(subject, cb=self._receive)

    async def answer_for_all(self) -> None:
        """Answers from now on the requests that name no service, too."""
        for subject in self._subjects.arrivals(self._subjects.names.administration(">")):
            self._shared.append(
                await self._connection.subscribe(subject, queue=QUEUE_GROUP, cb=self._receive_shared)
            )

    async def leave_to_others(self) -> None:
        """Takes back `answer_for_all`."""
        shared, self._shared = self._shared, []
        for subscription in shared:
            await stop_receiving(subscription)

    async def stop(self) -> None:
        """Cancels the requests that are under way."""
        await self._under_way.cancel()

    async def carry_out(self, name: str, body: bytes, actor: Actor) -> Any:
        """Carries out a request of an operator; the answer is to be encoded as JSON.

        Raises:
            Refusal: the request was not carried out. A text in it looks like a credential, for instance.
        """
        verb = self._verb(name)
        if verb.changes_nothing:
            return await self._answer(verb, codec.decode(verb.shape, body))
        acting.set(actor)
        dry_run = False
        try:
            request = codec.decode(verb.shape, body)
            dry_run = getattr(request, "dry_run", False)
            _refuse_credentials(codec.findings_in(body))
            if not dry_run:
                await self._record.begin(actor, name, body, anyway=verb.makes_room)
            answer = await self._answer(verb, request)
        except Refusal as refusal:
            failed: AuditOutcome = "failed" if refusal.number == 500 else "refused"
            await self._record.end(actor, name, body, failed, refusal, dry_run=dry_run)
            raise
        outcome: AuditOutcome = "begun" if verb.ends_later and not dry_run else "done"
        await self._record.end(actor, name, body, outcome, None, dry_run=dry_run)
        return answer

    async def look(self, name: str, body: bytes) -> Any:
        """The answer to a request that changes nothing, such as a dry run. It is not recorded.

        Raises:
            Refusal: there is no answer.
            ValueError: the request changes something.
        """
        verb = self._verb(name)
        request = codec.decode(verb.shape, body)
        if not (verb.changes_nothing or getattr(request, "dry_run", False)):
            raise ValueError(f"{name} does something")
        return await self._answer(verb, request)

    def _verb(self, name: str) -> AdministrationVerb:
        verb = self._verbs().get(name)
        if verb is None:
            _refuse_credentials((Finding("command", kind),) if (kind := kind_of_text(name)) else ())
            raise NotFound(f"there is no {name[:100]}")
        return verb

    async def _answer(self, verb: AdministrationVerb, request: Any) -> Any:
        try:
            return await verb.carry_out(request)
        except Refusal:
            raise
        except Exception as error:
            raise internal(logger, f"{verb.name} failed", error, command=verb.name) from None

    async def _receive_shared(self, message: Msg) -> None:
        if not self._subjects.names.name_in(self._subjects.as_known(message.subject)).startswith(_AT):
            await self._receive(message)

    async def _receive(self, message: Msg) -> None:
        sender = self._subjects.sender(message.subject, message.reply, is_operators=True)
        # Only the administrator may send here. The broker's permissions have to ensure that where all users
        # share an account, because the sender is unknown then.
        if sender is None or sender.user not in (None, ADMIN):
            self.dropped += 1
            self._admission.dropped(message.subject, "unknown_inbox" if sender is None else "forbidden")
            return
        self._under_way.start(self._serve(sender, message))

    async def _serve(self, sender: Sender, message: Msg) -> None:
        headers: dict[str, str] | None = None
        try:
            name, actor = sender.name.removeprefix(self._own), _actor(message, sender.user)
            body = codec.encode(await self.carry_out(name, message.data, actor))
        except Refusal as refusal:
            body, headers = codec.error_body(refusal), codec.error_headers(refusal)
        try:
            await self._connection.publish(sender.reply, body, headers=headers)
        except NatsError as error:
            logger.warning("an answer could not be sent: %s", error)


def _refuse_credentials(findings: tuple[Finding, ...]) -> None:
    # Acts are published to their followers, and some of their texts are kept, such as a backup's description.
    if findings:
        raise rejected(findings[0])


def _actor(message: Msg, user: str | None) -> Actor:
    # Everyone with the administrator's credentials gives a name of their own choice; it cannot be checked.
    said = (message.headers or {}).get(ACTOR, "")
    _refuse_credentials(findings_in_headers({ACTOR: said}))
    name = codec.one_line(said)[:100] or "administrator"
    is_command_line = name.startswith(COMMAND_LINE)
    way: Literal["command line", "nats"] = "command line" if is_command_line else "nats"
    return Actor(name=name.removeprefix(COMMAND_LINE), via=way, principal=user)
