"""A nats-server with its streams, the service's side of them, and a connection of each user."""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg
from nats.js.api import RePublish, RetentionPolicy
from nats.js.client import JetStreamContext

from bus.broker.home import LOOPBACK
from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, USERS, BrokerUser, private_inbox
from bus.contract.rights import EVERYTHING, Principal, Rights
from bus.contract.senders import UserSubjects
from bus.serving.admission import Admission
from bus.serving.consumer_names import ConsumerNames
from bus.serving.discovery import Discovery
from bus.serving.stream_access import StreamAccess
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from tests.support.patience import until

EVENT = "hyperpage.evt.v1.jobs.1.enqueued"
READABLE = ("HYPERPAGE_EVENTS", "HYPERPAGE_RESULTS", "KV_hyperpage_tool_configs", "KV_hyperpage_app_state")
INTERNAL = ("HYPERPAGE_COMMANDS", "HYPERPAGE_DLQ")
SECONDS = 30
# Two users that may do everything, and one that may not.
BILLING, RIVAL, CLERK = "billing", "rival", "clerk"
RIGHTS_OF_CLERK = Rights(follows=("jobs",), reads=("app_state",))
FIRST_EVENTS = 100


def own_users() -> list[BrokerUser]:
    return [user_with(BILLING), user_with(RIVAL), user_with(CLERK, RIGHTS_OF_CLERK)]


def user_with(name: str, rights: Rights = EVERYTHING) -> BrokerUser:
    """A user whose password is its name."""
    return BrokerUser(name=name, credentials=({"user": name, "password": name},), rights=rights)


class UsersAtWork:
    """A nats-server with the streams that the relay makes, and a responder for users' requests and `echo`s.

    `served` has all messages that reached the responder. `consumers` has the real names of consumers; as a
    parameter, it is the number of consumers that a stream may have.
    """

    def __init__(self, data: Path, users: Sequence[BrokerUser], *, consumers: int = 0) -> None:
        self.runner = asyncio.Runner()
        self.server = NatsServer(data=data, port=0, users=users)
        self.subjects = UserSubjects(BusNames())
        self.clients: dict[str, LeanClient] = {}
        self.violations: dict[str, list[str]] = {}
        self.served: list[Msg] = []
        self._places = consumers
        self.consumers = ConsumerNames(b"known to the relay alone")
        self.principals: dict[str | None, Principal] = {}
        self._users: dict[str, BrokerUser] = {}
        self._have(users)

    def forget(self) -> None:
        """Forgets what was served and refused so far."""
        self.served.clear()
        for violations in self.violations.values():
            violations.clear()

    def run(self, scenario: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(scenario)

    async def open(self) -> None:
        await self.server.start()
        for user in (*USERS, *self._users):
            self.clients[user] = await self.connect(user)
        await make_streams(self.jetstream(RELAY))
        await self.jetstream(RESPONDER).publish(self.result_of(APP, "earlier"), b"{}")
        await self._serve()
        await self.flush()

    async def close(self) -> None:
        await self.access.stop()
        for client in self.clients.values():
            await client.close()
        await self.server.stop()

    async def connect(self, user: str, inbox_prefix: str | None = None) -> LeanClient:
        """One more connection of a user's; the service's own users, and `admin`, have private inboxes."""
        violations = self.violations.setdefault(user, [])

        async def note(error: Exception) -> None:
            violations.append(str(error))

        usual = private_inbox(user) if user in (RELAY, RESPONDER, ADMIN) else "_INBOX"
        # Not the client of nats-py, whose flush may return before the server has read a subscription.
        client = LeanClient()
        inbox = (inbox_prefix or usual).encode()
        await client.connect(self.url_of(user), inbox_prefix=inbox, error_cb=note)
        return client

    def url_of(self, user: str) -> str:
        return (
            f"nats://{user}:{user}@{LOOPBACK}:{self.server.port}"
            if user in self._users
            else self.server.url_for(user)
        )

    def jetstream(self, user: str) -> JetStreamContext:
        return self.clients[user].jetstream(timeout=SECONDS)

    async def set_users(self, users: Sequence[BrokerUser]) -> None:
        """Replaces the users beside the server's own."""
        self._have(users)
        await self.server.set_users(users)

    def result_of(self, user: str, command_id: str) -> str:
        """The subject on which the responder stores a result of a user's."""
        return self.subjects.sent(user, f"hyperpage.res.v1.{command_id}")

    async def flush(self) -> None:
        for client in self.clients.values():
            await client.flush()

    async def settled(self) -> None:
        """Returns when all that was published has been answered, delivered and stored.

        A flush tells that nats-server has read what a client sent. What JetStream does with it goes through
        queues inside the server, which the answer to a later request of the same kind has passed too.
        """
        await self.flush()
        # When this is answered, the requests that came before it are under way.
        await self.jetstream(APP).account_info()
        await until(lambda: self.access.under_way == 0)
        relay = self.jetstream(RELAY)
        await relay.account_info()
        await relay.stream_info("HYPERPAGE_EVENTS")
        await relay.get_msg("HYPERPAGE_EVENTS", 1, direct=True)
        await self.flush()

    async def contents(self) -> dict[str, tuple[Any, ...]]:
        """Each stream's configuration and contents."""
        await self.settled()
        streams = await self.jetstream(RELAY).streams_info()
        return {
            stream.config.name or "": (
                stream.config,
                stream.state.messages,
                stream.state.first_seq,
                stream.state.last_seq,
            )
            for stream in streams
        }

    async def ask(self, user: str, subject: str, body: Any = b"") -> dict[str, Any]:
        """JetStream's answer to a request about streams, as the user gets it."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self.clients[user].request(f"$JS.API.{subject}", payload, timeout=SECONDS)
        said: dict[str, Any] = json.loads(answer.data)
        return said

    async def create_consumer(self, user: str, stream: str, name: str, **config: Any) -> dict[str, Any]:
        """The answer to a consumer that a user wants to have."""
        request = {"stream_name": stream, "config": {"name": name, "ack_policy": "explicit", **config}}
        return await self.ask(user, f"CONSUMER.CREATE.{stream}.{name}", request)

    async def heard(self, user: str, *subjects: str) -> list[Msg]:
        """The messages that a user gets on these subjects from now on, if it may subscribe."""
        messages: list[Msg] = []

        async def note(message: Msg) -> None:
            messages.append(message)

        for subject in subjects:
            await self.clients[user].subscribe(subject, cb=note)
        await self.clients[user].flush()
        return messages

    def _have(self, users: Sequence[BrokerUser]) -> None:
        self._users = {user.name: user for user in users}
        self.principals = {name: Principal(name=name) for name in (APP, ADMIN)}
        for user in users:
            self.principals[user.name] = Principal(name=user.name, rights=user.rights)

    async def _serve(self) -> None:
        relay, responder = self.clients[RELAY], self.clients[RESPONDER]
        self.access = StreamAccess(
            relay,
            self.subjects,
            key=b"known to the relay alone",
            admission=Admission(self.subjects, self._principal_of),
            consumers=self._places,
        )
        await self.access.start()
        for subject in ("hyperpage.cmd.v1.>", "hyperpage.qry.v1.>", "hyperpage.adm.v1.>"):
            for arrivals in self.subjects.both(subject):
                await responder.subscribe(arrivals, cb=self._receive)
        # Subscribed by its full name, too: a message can be pushed only to such a subject.
        await responder.subscribe("hyperpage.adm.v1.backup.create", cb=self._receive)
        await Discovery(responder, self.subjects, version="0.1.0", endpoints=(), metadata={}).start()

    def _principal_of(self, user: str | None) -> Principal | None:
        return self.principals.get(user)

    async def _receive(self, message: Msg) -> None:
        self.served.append(message)
        is_operators = ".adm.v1." in message.subject
        sender = self.subjects.sender(message.subject, message.reply, is_operators=is_operators)
        if sender is not None and sender.name.endswith("echo"):
            await self.clients[RESPONDER].publish(sender.reply, message.data)


async def make_streams(relay: JetStreamContext) -> None:
    """Makes the streams as the service does, with events, and with a row in each bucket."""
    names = BusNames()
    subjects = UserSubjects(names)
    live = RePublish(src=names.events_of(), dest=names.live_events)
    await relay.add_stream(name=names.events, subjects=[names.events_of()], allow_direct=True, republish=live)
    await relay.add_stream(name=names.results, subjects=[*names.result_filters], allow_direct=True)
    await relay.add_stream(
        name=names.commands,
        subjects=[*subjects.both(names.durable_command(">"))],
        retention=RetentionPolicy.WORK_QUEUE,
    )
    await relay.add_stream(name=names.dead_letters, subjects=[names.dead_letter(">")])
    for bucket in names.buckets:
        mirror = await relay.create_key_value(bucket=bucket, direct=True)
        await mirror.put("first", b"1")
    for _ in range(FIRST_EVENTS):
        await relay.publish(EVENT, b"{}")


def violation(action: str, subject: str) -> str:
    """The server's error for a violation, as nats-py words it, in lower case."""
    return f'nats: permissions violation for {action} "{subject.lower()}"'
