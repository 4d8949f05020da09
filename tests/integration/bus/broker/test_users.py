"""What each user of the embedded nats-server may do, and that nothing else happens, however it is tried."""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.micro
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import RePublish, RetentionPolicy
from nats.js.client import JetStreamContext
from nats.js.kv import KeyValue
from nats.micro.request import Request

from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, USERS, private_inbox
from bus.contract.subjects import BusNames
from bus.transport.connection import LeanClient
from tests.support.documents.bucket_reading import read_bucket

EVENT = "hyperpage.evt.v1.jobs.1.enqueued"
READABLE = ("HYPERPAGE_EVENTS", "HYPERPAGE_RESULTS", "KV_hyperpage_tool_configs", "KV_hyperpage_app_state")
INTERNAL = ("HYPERPAGE_COMMANDS", "HYPERPAGE_DLQ")
SECONDS = 30

# Where no message of the application user's making may arrive, in a stream or at a service.
FORBIDDEN = [
    EVENT,
    "hyperpage.evt.v1.jobs.1.forged",
    "hyperpage.res.v1.forged",
    "hyperpage.dlq.v1.forged",
    "hyperpage.sys.v1.forged",
    "hyperpage.adm.v1.backup.create",
    "hyperpage_live.evt.v1.jobs.1.forged",
    "$KV.hyperpage_tool_configs.forged",
    "$KV.hyperpage_app_state.forged",
    "_INBOX.somebody",
    "_INBOX.somebody.else",
    "_INBOX_relay.x",
    "_INBOX_responder.x",
    "_INBOX_admin.x",
    *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE") for stream in (*READABLE, "NEW")),
    *(
        f"$JS.API.STREAM.{verb}.{stream}"
        for verb in ("DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE")
        for stream in (*READABLE, *INTERNAL)
    ),
    *(
        f"$JS.API.{verb}.{stream}"
        for verb in ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET", "CONSUMER.NAMES", "CONSUMER.CREATE")
        for stream in INTERNAL
    ),
    *(f"$JS.API.CONSUMER.{verb}.HYPERPAGE_COMMANDS.worker" for verb in ("CREATE", "DURABLE.CREATE", "INFO")),
    *(f"$JS.API.CONSUMER.{verb}.HYPERPAGE_COMMANDS.worker" for verb in ("MSG.NEXT", "DELETE", "PAUSE")),
    "$JS.API.STREAM.LIST",
    "$JS.API.META.LEADER.STEPDOWN",
    "$JS.API.ACCOUNT.PURGE.STREAMS",
    "$JS.ACK.HYPERPAGE_COMMANDS.worker.1.1.1.1.0",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.USER.INFO",
]

# Requests of the application user that JetStream answers on whatever reply subject they carry.
ASKING = {
    "account": ("$JS.API.INFO", b""),
    "names": ("$JS.API.STREAM.NAMES", b""),
    "stream": ("$JS.API.STREAM.INFO.HYPERPAGE_EVENTS", b""),
    "stored message": ("$JS.API.STREAM.MSG.GET.HYPERPAGE_EVENTS", b'{"seq":1}'),
    "stored message, directly": ("$JS.API.DIRECT.GET.HYPERPAGE_EVENTS", b'{"seq":1}'),
    "pull": ("$JS.API.CONSUMER.MSG.NEXT.HYPERPAGE_EVENTS.puller", b'{"batch":1,"no_wait":true}'),
    "pull of nothing": ("$JS.API.CONSUMER.MSG.NEXT.HYPERPAGE_RESULTS.puller", b'{"batch":1,"no_wait":true}'),
}

# Where such an answer must have no effect: what a stream takes in, and JetStream's own API.
EFFECTIVE = [
    "hyperpage.evt.v1.jobs.1.forged",
    "hyperpage.res.v1.forged",
    "hyperpage.dlq.v1.forged",
    "hyperpage.dcmd.v1.jobs.forged",
    "$KV.hyperpage_tool_configs.forged",
    "$KV.hyperpage_app_state.forged",
    "$JS.API.STREAM.PURGE.HYPERPAGE_EVENTS",
    "$JS.API.STREAM.DELETE.HYPERPAGE_RESULTS",
]


class Bus:
    """A nats-server with the streams as the relay makes them, and a connection of each user."""

    def __init__(self, data: Path) -> None:
        self.runner = asyncio.Runner()
        self.server = NatsServer(data=data, port=0)
        self.clients: dict[str, Client] = {}
        self.violations: dict[str, list[str]] = {user: [] for user in USERS}
        # Messages that arrived where the responder serves.
        self.served: list[Msg] = []

    def run(self, scenario: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(scenario)

    async def open(self) -> None:
        await self.server.start()
        for user in USERS:
            self.clients[user] = await self._connect(user)
        await make_streams(self.jetstream(RELAY))
        await self.jetstream(RESPONDER).publish("hyperpage.res.v1.earlier", b"{}")
        for subject in ("hyperpage.cmd.>", "hyperpage.qry.>", "hyperpage.adm.>"):
            await self.clients[RESPONDER].subscribe(subject, cb=self._serve)
        # By its full name too, as an endpoint of a service subscribes: only such can be pushed to.
        await self.clients[RESPONDER].subscribe("hyperpage.adm.v1.backup.create", cb=self._serve)
        service = await nats.micro.add_service(self.clients[RESPONDER], name="hyperpage", version="0.1.0")
        await service.add_endpoint(name="echo", subject="hyperpage.qry.v1.echo", handler=echo)
        for client in self.clients.values():
            await client.flush()

    async def close(self) -> None:
        for client in self.clients.values():
            await client.close()
        await self.server.stop()

    def jetstream(self, user: str) -> JetStreamContext:
        return self.clients[user].jetstream(timeout=SECONDS)

    async def settled(self) -> None:
        """Returns when all that was published has been answered, delivered and stored.

        A flush tells that nats-server has read what a client sent. What JetStream does with it goes through
        queues inside the server, which the answer to a later request of the same kind has passed too.
        """
        await self.clients[APP].flush()
        app = self.jetstream(APP)
        await app.account_info()
        await app.stream_info("HYPERPAGE_EVENTS")
        await app.get_msg("HYPERPAGE_EVENTS", 1, direct=True)
        for client in self.clients.values():
            await client.flush()

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

    async def _connect(self, user: str) -> Client:
        async def note(error: Exception) -> None:
            self.violations[user].append(str(error))

        inbox = "_INBOX" if user == APP else private_inbox(user)
        # Not nats-py's own: its flush may return before the server has read a subscription.
        client = LeanClient()
        await client.connect(self.server.url_for(user), inbox_prefix=inbox.encode(), error_cb=note)
        return client

    async def _serve(self, message: Msg) -> None:
        self.served.append(message)


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    bus = Bus(tmp_path_factory.mktemp("data"))
    bus.run(bus.open())
    yield bus
    bus.run(bus.close())
    bus.runner.close()


@pytest.fixture(autouse=True)
def clean_record(bus: Bus) -> None:
    bus.served.clear()
    for violations in bus.violations.values():
        violations.clear()


@pytest.mark.parametrize("subject", FORBIDDEN)
def test_the_application_may_not_publish(bus: Bus, subject: str):
    async def scenario():
        before = await bus.contents()
        await bus.clients[APP].publish(subject, b"{}", reply="_INBOX.answer")
        after = await bus.contents()
        assert after == before

    bus.run(scenario())

    assert bus.violations[APP] == [violation("publish to", subject)]
    assert bus.served == []


@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "*",
        "*.>",
        "hyperpage.>",
        "hyperpage.*.v1.>",
        "hyperpage.cmd.v1.>",
        "hyperpage.qry.v1.>",
        "hyperpage.adm.v1.>",
        "hyperpage.dcmd.v1.>",
        "hyperpage.dlq.v1.>",
        "hyperpage_live.>",
        "$KV.>",
        "$SRV.>",
        "$JS.>",
        "$JS.ACK.>",
        "$JS.EVENT.ADVISORY.>",
        "$SYS.>",
        "_R_.>",
        "_INBOX_relay.>",
        "_INBOX_responder.>",
        "_INBOX_admin.>",
    ],
)
@pytest.mark.parametrize("queue", ["", "hyperpage"])
def test_the_application_may_not_subscribe(bus: Bus, subject: str, queue: str):
    async def scenario():
        await bus.clients[APP].subscribe(subject, queue=queue)
        await bus.settled()

    bus.run(scenario())

    (refused,) = bus.violations[APP]
    assert refused.startswith(violation("subscription to", subject))


@pytest.mark.parametrize("asked", ASKING)
@pytest.mark.parametrize("target", EFFECTIVE)
def test_an_answer_of_jetstream_is_stored_nowhere_and_does_nothing(bus: Bus, asked: str, target: str):
    subject, body = ASKING[asked]

    async def scenario():
        await make_pullers(bus)
        before = await bus.contents()
        await bus.clients[APP].publish(subject, body, reply=target)
        assert await bus.contents() == before

    bus.run(scenario())

    assert bus.violations[APP] == []


@pytest.mark.parametrize("asked", ASKING)
def test_an_answer_of_jetstream_that_reaches_administration_has_no_inbox_to_answer_to(bus: Bus, asked: str):
    """It cannot be kept away, so whoever serves administration refuses what has no inbox as reply subject."""
    subject, body = ASKING[asked]

    async def scenario():
        await make_pullers(bus)
        await bus.clients[APP].publish(subject, body, reply="hyperpage.adm.v1.backup.create")
        await bus.settled()

    bus.run(scenario())

    assert bus.served != []
    assert all(message.reply == "" or message.reply.startswith("$JS.") for message in bus.served)


@pytest.mark.parametrize("listening", [False, True], ids=["", "with a subscription to it"])
@pytest.mark.parametrize("policy", ["none", "explicit"])
@pytest.mark.parametrize("target", [*EFFECTIVE, "hyperpage.adm.v1.backup.create", "_INBOX_relay.x"])
def test_a_push_consumer_stores_nothing_and_reaches_no_service(
    bus: Bus, target: str, policy: str, listening: bool
):
    async def scenario():
        before = await bus.contents()
        # Allowed or not, it is what makes a push consumer active.
        subscription = await bus.clients[APP].subscribe(target) if listening else None
        for source in ("HYPERPAGE_EVENTS", "HYPERPAGE_RESULTS", "KV_hyperpage_app_state"):
            await create_consumer(bus, source, deliver_subject=target, ack_policy=policy)
            # One made later, to where it may push: by the time it has, the other has had its chance.
            allowed = await bus.clients[APP].subscribe("_INBOX.allowed")
            await create_consumer(
                bus, source, name="allowed", deliver_subject="_INBOX.allowed", ack_policy="none"
            )
            await allowed.next_msg(timeout=SECONDS)
            await allowed.unsubscribe()
        assert await bus.contents() == before
        if subscription is not None:
            await subscription.unsubscribe()

    bus.run(scenario())

    assert bus.served == []


@pytest.mark.parametrize("target", ["hyperpage.evt.v1.forged", "hyperpage.adm.v1.backup.create"])
def test_a_message_is_not_traced_to_where_its_sender_may_not_publish(bus: Bus, target: str):
    async def scenario():
        before = await bus.contents()
        await bus.clients[APP].publish("hyperpage.cmd.v1.x", b"", headers={"Nats-Trace-Dest": target})
        assert await bus.contents() == before

    bus.run(scenario())

    assert bus.violations[APP] == [violation("publish to", target)]
    assert bus.served == []


@pytest.mark.parametrize("reply", ["_R_.forged", "$JS.ACK.HYPERPAGE_COMMANDS.worker.1.1.1.1.0"])
def test_a_reply_subject_cannot_be_one_of_the_servers_own(bus: Bus, reply: str):
    async def scenario():
        await bus.clients[APP].publish("hyperpage.cmd.v1.x", b"", reply=reply)
        await bus.settled()

    bus.run(scenario())

    assert bus.violations[APP] == [violation("publish with reply of", reply)]
    assert bus.served == []


def test_the_right_to_read_one_stream_is_not_stretched_to_another(bus: Bus):
    async def scenario():
        request = {"stream_name": "HYPERPAGE_COMMANDS", "config": {"name": "thief", "ack_policy": "explicit"}}
        answer = await bus.clients[APP].request(
            "$JS.API.CONSUMER.CREATE.HYPERPAGE_EVENTS.thief", json.dumps(request).encode(), timeout=SECONDS
        )
        return json.loads(answer.data)["error"]["description"]

    assert bus.run(scenario()) == "stream name in subject does not match request"


def test_the_application_does_not_see_the_answers_to_others(bus: Bus):
    seen: list[Msg] = []

    async def scenario():
        async def see(message: Msg) -> None:
            seen.append(message)

        # nats-server grants it, so others' inboxes lie elsewhere.
        listening = await bus.clients[APP].subscribe("_INBOX.>", cb=see)
        await bus.clients[APP].flush()
        await bus.clients[ADMIN].request("hyperpage.qry.v1.echo", b"for the operator", timeout=SECONDS)
        await bus.jetstream(RELAY).account_info()
        await bus.jetstream(RESPONDER).publish("hyperpage.res.v1.secret", b"{}")
        await bus.clients[APP].request("hyperpage.qry.v1.echo", b"for a service", timeout=SECONDS)
        await bus.settled()
        await listening.unsubscribe()

    bus.run(scenario())

    # Up to its own, the last of the requests.
    assert seen[0].data == b"for a service"


def test_a_command_reaches_the_responder_with_the_callers_own_reply_subject(bus: Bus):
    """Which the responder checks, so no account may put another in its place."""

    async def scenario():
        await bus.clients[APP].publish(
            "hyperpage.cmd.v1.jobs.enqueue", b"{}", reply="hyperpage.evt.v1.forged"
        )
        await bus.settled()

    bus.run(scenario())

    (message,) = bus.served
    assert message.reply == "hyperpage.evt.v1.forged"


def test_a_query_is_answered_and_the_service_discovered(bus: Bus):
    async def scenario():
        app = bus.clients[APP]
        answer = await app.request("hyperpage.qry.v1.echo", b"?", timeout=SECONDS)
        pong = await app.request("$SRV.PING", timeout=SECONDS)
        stats = await app.request("$SRV.STATS.hyperpage", timeout=SECONDS)
        old_style = await app.request("$SRV.INFO", old_style=True, timeout=SECONDS)
        return answer.data, [json.loads(message.data)["name"] for message in (pong, stats, old_style)]

    assert bus.run(scenario()) == (b"?", ["hyperpage"] * 3)


def test_a_durable_command_is_stored_as_it_was_sent(bus: Bus):
    headers = {"Hyperpage-Command-Id": "c-1", "Hyperpage-Reply-To": "_INBOX.x"}

    async def scenario():
        stored = await bus.jetstream(APP).publish("hyperpage.dcmd.v1.jobs.enqueue", b"{}", headers=headers)
        found = await bus.jetstream(RELAY).get_msg(stored.stream, stored.seq)
        return stored.stream, found.subject, found.data, found.headers

    stored = bus.run(scenario())

    assert stored == ("HYPERPAGE_COMMANDS", "hyperpage.dcmd.v1.jobs.enqueue", b"{}", headers)


def test_a_result_is_seen_live_and_stored(bus: Bus):
    async def scenario():
        live = await bus.clients[APP].subscribe("hyperpage.res.v1.c-1")
        await bus.clients[APP].flush()
        stored = await bus.jetstream(RESPONDER).publish("hyperpage.res.v1.c-1", b"answer")
        seen = await live.next_msg(timeout=SECONDS)
        found = await bus.jetstream(APP).get_last_msg("HYPERPAGE_RESULTS", "hyperpage.res.v1.c-1")
        await live.unsubscribe()
        return stored.stream, seen.data, found.data

    assert bus.run(scenario()) == ("HYPERPAGE_RESULTS", b"answer", b"answer")


@pytest.mark.parametrize("subject", ["hyperpage.evt.v1.>", EVENT])
def test_an_event_is_seen_live_on_its_own_subject(bus: Bus, subject: str):
    async def scenario():
        live = await bus.clients[APP].subscribe(subject)
        await bus.clients[APP].flush()
        await bus.jetstream(RELAY).publish(EVENT, b"event")
        seen = await live.next_msg(timeout=SECONDS)
        await live.unsubscribe()
        return seen.subject, seen.data

    assert bus.run(scenario()) == (EVENT, b"event")


def test_notices_are_seen(bus: Bus):
    async def scenario():
        live = await bus.clients[APP].subscribe("hyperpage.sys.v1.>")
        await bus.clients[APP].flush()
        await bus.clients[RELAY].publish("hyperpage.sys.v1.restored", b"{}")
        seen = await live.next_msg(timeout=SECONDS)
        await live.unsubscribe()
        return seen.subject

    assert bus.run(scenario()) == "hyperpage.sys.v1.restored"


def test_streams_can_be_found_and_described(bus: Bus):
    async def scenario():
        app = bus.jetstream(APP)
        found = await app.find_stream_name_by_subject("hyperpage.evt.v1.jobs.>")
        described = [(await app.stream_info(stream)).config.name for stream in READABLE]
        return found, described

    assert bus.run(scenario()) == ("HYPERPAGE_EVENTS", list(READABLE))


@pytest.mark.parametrize("user", [APP, ADMIN])
def test_an_ordered_consumer_reads_all_with_flow_control(bus: Bus, user: str):
    async def scenario():
        for _ in range(300):
            # Large enough that nats-server waits for the client now and then.
            await bus.clients[RELAY].publish(EVENT, bytes(4_000))
        last = (await bus.jetstream(RELAY).stream_info("HYPERPAGE_EVENTS")).state.last_seq
        ordered = await bus.jetstream(user).subscribe("hyperpage.evt.v1.>", ordered_consumer=True)
        read = [(await ordered.next_msg(timeout=SECONDS)).metadata.sequence.stream for _ in range(last)]
        await ordered.unsubscribe()
        return read, last

    read, last = bus.run(scenario())

    assert read == list(range(1, last + 1))
    assert bus.violations[user] == []


@pytest.mark.parametrize("durable", ["billing", None])
def test_a_pull_consumer_fetches_and_acknowledges(bus: Bus, durable: str | None):
    async def scenario():
        app = bus.jetstream(APP)
        if durable:
            consumer = await app.pull_subscribe("hyperpage.evt.v1.>", durable=durable)
        else:
            consumer = await app.pull_subscribe("hyperpage.evt.v1.>")
        for _ in range(3):
            await bus.jetstream(RELAY).publish(EVENT, b"{}")
        first = await consumer.fetch(2, timeout=SECONDS)
        for message in first:
            await message.ack_sync(timeout=SECONDS)
        (third,) = await consumer.fetch(1, timeout=SECONDS)
        await third.ack()
        await bus.settled()
        state = await consumer.consumer_info()
        await app.delete_consumer("HYPERPAGE_EVENTS", state.name)
        return [message.metadata.sequence.stream for message in (*first, third)], state.num_ack_pending

    assert bus.run(scenario()) == ([1, 2, 3], 0)
    assert bus.violations[APP] == []


def test_a_durable_push_consumer_delivers_and_is_acknowledged(bus: Bus):
    async def scenario():
        app = bus.jetstream(APP)
        pushed = await app.subscribe(
            "hyperpage.evt.v1.>", durable="pushed", idle_heartbeat=1, flow_control=True, manual_ack=True
        )
        message = await pushed.next_msg(timeout=SECONDS)
        await message.ack_sync(timeout=SECONDS)
        state = await pushed.consumer_info()
        await pushed.unsubscribe()
        await app.delete_consumer("HYPERPAGE_EVENTS", "pushed")
        return state.ack_floor and state.ack_floor.stream_seq

    assert bus.run(scenario()) == 1


@pytest.mark.parametrize("bucket", BusNames().buckets)
def test_mirrors_are_read_and_watched(bus: Bus, bucket: str):
    async def scenario():
        written = await bus.jetstream(RELAY).key_value(bucket)
        mirror = await bus.jetstream(APP).key_value(bucket)
        watcher = await mirror.watchall()
        # nats-py may say too early that the present is over: before the row that it has.
        present = [await watcher.updates(timeout=SECONDS) for _ in range(2)]
        await written.put("later", b"2")
        later = await watcher.updates(timeout=SECONDS)
        await watcher.stop()
        historian = await mirror.watch("first", include_history=True)
        history = [await historian.updates(timeout=SECONDS) for _ in range(2)]
        await historian.stop()
        read = (await mirror.get("first")).value, sorted(await read_bucket(bus.jetstream(APP), bucket))
        return sorted(map(key_and_value, present)), later.key, read, sorted(map(key_and_value, history))

    present = history = [("", None), ("first", b"1")]
    assert bus.run(scenario()) == (present, "later", (b"1", ["first", "later"]), history)


def key_and_value(entry: KeyValue.Entry | None) -> tuple[str, bytes | None]:
    """Nothing, for the end of what there is."""
    return ("", None) if entry is None else (entry.key, entry.value)


def test_messages_are_got_by_sequence_and_by_subject(bus: Bus):
    async def scenario():
        app = bus.jetstream(APP)
        return [
            (await app.get_msg("HYPERPAGE_EVENTS", 1)).subject,
            (await app.get_msg("HYPERPAGE_EVENTS", 1, direct=True)).subject,
            (await app.get_last_msg("HYPERPAGE_EVENTS", EVENT, direct=True)).subject,
        ]

    assert bus.run(scenario()) == [EVENT, EVENT, EVENT]


@pytest.mark.parametrize(
    "subject",
    [
        EVENT,
        "hyperpage.cmd.v1.jobs.enqueue",
        "hyperpage.dcmd.v1.jobs.enqueue",
        "hyperpage.adm.v1.backup.create",
        "hyperpage.sys.v1.x",
        "hyperpage.dlq.v1.x",
        "hyperpage_live.evt.v1.x",
        "$KV.hyperpage_app_state.x",
        "$JS.API.INFO",
        "$JS.API.STREAM.PURGE.HYPERPAGE_EVENTS",
        "$JS.API.CONSUMER.CREATE.HYPERPAGE_EVENTS",
        "$SYS.REQ.SERVER.PING",
        "_INBOX_relay.x",
    ],
)
def test_the_responder_publishes_nothing_but_answers_and_results(bus: Bus, subject: str):
    async def scenario():
        before = await bus.contents()
        await bus.clients[RESPONDER].publish(subject, b"{}")
        assert await bus.contents() == before

    bus.run(scenario())

    assert bus.violations[RESPONDER] == [violation("publish to", subject)]
    assert bus.served == []


@pytest.mark.parametrize(
    "subject",
    [
        "hyperpage.cmd.v1.jobs.enqueue",
        "hyperpage.adm.v1.backup.create",
        "hyperpage.res.v1.x",
        "_INBOX.x",
        "_INBOX_admin.x",
        "$SYS.REQ.SERVER.PING",
    ],
)
def test_the_relay_neither_commands_nor_answers(bus: Bus, subject: str):
    async def scenario():
        await bus.clients[RELAY].publish(subject, b"{}")
        await bus.clients[RELAY].flush()
        await bus.settled()

    bus.run(scenario())

    assert bus.violations[RELAY] == [violation("publish to", subject)]
    assert bus.served == []


@pytest.mark.parametrize("user", USERS)
def test_nobody_hears_the_system_account(bus: Bus, user: str):
    async def scenario():
        await bus.clients[user].subscribe("$SYS.>")
        await bus.clients[user].flush()
        await bus.settled()

    bus.run(scenario())

    (refused,) = bus.violations[user]
    assert refused.startswith(violation("subscription to", "$SYS.>"))


def test_the_relay_moves_what_cannot_be_processed_aside_and_the_operator_reads_it(bus: Bus):
    async def scenario():
        relay, admin = bus.jetstream(RELAY), bus.jetstream(ADMIN)
        await bus.jetstream(APP).publish("hyperpage.dcmd.v1.jobs.nonsense", b"?")
        consumer = await relay.pull_subscribe("hyperpage.dcmd.v1.>", durable="worker")
        for message in await consumer.fetch(100, timeout=SECONDS):
            if message.subject.endswith("nonsense"):
                await relay.publish("hyperpage.dlq.v1.jobs.nonsense", message.data, headers={"reason": "odd"})
            await message.ack_sync()
        read = await (await admin.pull_subscribe("hyperpage.dlq.v1.>")).fetch(1, timeout=SECONDS)
        return read[0].data, read[0].headers

    assert bus.run(scenario()) == (b"?", {"reason": "odd"})


def test_the_operator_administers_and_is_answered_in_its_own_inbox(bus: Bus):
    async def scenario():
        service = await nats.micro.add_service(bus.clients[RESPONDER], name="administration", version="0.1.0")
        await service.add_endpoint(name="echo", subject="hyperpage.adm.v1.test.echo", handler=echo)
        await bus.clients[RESPONDER].flush()
        own = await bus.clients[ADMIN].request("hyperpage.adm.v1.test.echo", b"own", timeout=SECONDS)
        # A tool that knows nothing of private inboxes, given the address in admin.json.
        tool = await nats.connect(bus.server.url_for(ADMIN))
        default = await tool.request("hyperpage.adm.v1.test.echo", b"default", timeout=SECONDS)
        await tool.close()
        await service.stop()
        return own.data, default.data

    assert bus.run(scenario()) == (b"own", b"default")
    assert bus.served[0].reply.startswith("_INBOX_admin.")


@pytest.mark.parametrize(
    "subject",
    [
        EVENT,
        "hyperpage.res.v1.x",
        "$KV.hyperpage_app_state.x",
        "$JS.API.STREAM.PURGE.HYPERPAGE_DLQ",
        "$JS.API.STREAM.MSG.DELETE.HYPERPAGE_DLQ",
        "$JS.API.CONSUMER.CREATE.HYPERPAGE_COMMANDS",
    ],
)
def test_the_operator_changes_nothing_past_the_service(bus: Bus, subject: str):
    async def scenario():
        before = await bus.contents()
        await bus.clients[ADMIN].publish(subject, b"{}")
        await bus.clients[ADMIN].flush()
        assert await bus.contents() == before

    bus.run(scenario())

    assert bus.violations[ADMIN] == [violation("publish to", subject)]


def test_configured_prefixes_are_served(tmp_path: Path):
    names = BusNames(prefix="acme.pages", inbox_prefix="_ACME.")

    async def scenario():
        async with NatsServer(data=tmp_path, port=0, names=names) as server:
            relay = await nats.connect(server.url_for(RELAY), inbox_prefix=b"_INBOX_relay")
            app = await nats.connect(server.url_for(APP), inbox_prefix=b"_ACME")
            jetstream = relay.jetstream()
            await jetstream.add_stream(name=names.events, subjects=["acme.pages.evt.v1.>"])
            await jetstream.create_key_value(bucket=names.buckets[1])
            await jetstream.publish("acme.pages.evt.v1.x", b"event")
            ordered = await app.jetstream().subscribe("acme.pages.evt.v1.>", ordered_consumer=True)
            event = await ordered.next_msg(timeout=SECONDS)
            bucket = await app.jetstream().key_value(names.buckets[1])
            state = await bucket.status()
            await relay.close()
            await app.close()
            return names.events, event.data, state.bucket

    assert asyncio.run(scenario()) == ("ACME_PAGES_EVENTS", b"event", "acme_pages_app_state")


@pytest.mark.parametrize(
    ("prefix", "inbox_prefix"),
    [
        ("hyperpage.*", "_INBOX."),
        ("hyperpage.>", "_INBOX."),
        ("", "_INBOX."),
        ("hyper page", "_INBOX."),
        ("hyperpage", "_INBOX"),
        ("hyperpage", "."),
        ("hyperpage", "hyperpage."),
        ("hyperpage", "hyperpage.evt."),
        ("acme.hyperpage", "acme."),
    ],
)
def test_prefixes_that_would_grant_more_than_meant_are_refused(prefix: str, inbox_prefix: str):
    with pytest.raises(ValueError, match=r"prefix|outside"):
        BusNames(prefix=prefix, inbox_prefix=inbox_prefix)


async def make_streams(relay: JetStreamContext) -> None:
    live = RePublish(src="hyperpage.evt.v1.>", dest=BusNames().live_events)
    await relay.add_stream(
        name="HYPERPAGE_EVENTS", subjects=["hyperpage.evt.v1.>"], allow_direct=True, republish=live
    )
    await relay.add_stream(name="HYPERPAGE_RESULTS", subjects=["hyperpage.res.v1.>"], allow_direct=True)
    await relay.add_stream(
        name="HYPERPAGE_COMMANDS", subjects=["hyperpage.dcmd.v1.>"], retention=RetentionPolicy.WORK_QUEUE
    )
    await relay.add_stream(name="HYPERPAGE_DLQ", subjects=["hyperpage.dlq.v1.>"])
    for bucket in BusNames().buckets:
        mirror = await relay.create_key_value(bucket=bucket, direct=True)
        await mirror.put("first", b"1")
    for _ in range(100):
        await relay.publish(EVENT, b"{}")


async def make_pullers(bus: Bus) -> None:
    """Consumers by known names that the application pulls from, one with messages and one without."""
    await create_consumer(bus, "HYPERPAGE_EVENTS", name="puller", ack_policy="explicit")
    await create_consumer(
        bus, "HYPERPAGE_RESULTS", name="puller", ack_policy="none", filter_subject="hyperpage.res.v1.none"
    )


async def create_consumer(bus: Bus, stream: str, *, name: str = "made", **settings: str) -> None:
    """As the application does it, anew; JetStream may refuse."""
    app = bus.clients[APP]
    await app.request(f"$JS.API.CONSUMER.DELETE.{stream}.{name}", timeout=SECONDS)
    request = {"stream_name": stream, "config": {"name": name, "deliver_policy": "all", **settings}}
    await app.request(
        f"$JS.API.CONSUMER.CREATE.{stream}.{name}", json.dumps(request).encode(), timeout=SECONDS
    )


async def echo(request: Request) -> None:
    await request.respond(request.data)


def violation(action: str, subject: str) -> str:
    """As nats-py words it, all in lower case."""
    return f'nats: permissions violation for {action} "{subject.lower()}"'
