"""JetStream's API as users have it, asked by stock clients with their defaults."""

import asyncio
import json
import time
from typing import Any

import pytest
from nats.errors import NoRespondersError
from nats.js.errors import APIError
from nats.js.kv import KeyValue

from bus.broker.users import ADMIN, APP, RELAY, RESPONDER
from bus.serving.consumer_requests import IDLE_NS
from bus.serving.stream_access import CONFIRMED_SECONDS
from hyperpage_client.contract.subjects import BusNames
from tests.support.documents.bucket_reading import read_bucket
from tests.support.patience import patiently
from tests.support.services.raw_nats import RawNats
from tests.support.services.users_at_work import BILLING, EVENT, INTERNAL, READABLE, SECONDS, UsersAtWork

NOT_FOR_USERS = [
    *(f"STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE") for stream in (*READABLE, "NEW")),
    *(
        f"STREAM.{verb}.{stream}"
        for verb in ("DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE")
        for stream in (*READABLE, *INTERNAL)
    ),
    *(
        f"{verb}.HYPERPAGE_COMMANDS"
        for verb in ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET", "CONSUMER.NAMES", "CONSUMER.LIST")
    ),
    *(f"{verb}.OBJ_hyperpage_backups" for verb in ("STREAM.MSG.GET", "DIRECT.GET", "CONSUMER.CREATE")),
    "CONSUMER.CREATE.HYPERPAGE_COMMANDS",
    *(f"CONSUMER.{verb}.HYPERPAGE_COMMANDS.worker" for verb in ("CREATE", "DURABLE.CREATE", "INFO")),
    *(f"CONSUMER.{verb}.HYPERPAGE_COMMANDS.worker" for verb in ("MSG.NEXT", "DELETE", "PAUSE", "UNPIN")),
    "CONSUMER.PAUSE.HYPERPAGE_EVENTS.worker",
    "STREAM.LIST",
    "STREAM.INFO.*",
    "STREAM.MSG.GET.*",
    "DIRECT.GET.*",
    "DIRECT.GET.>",
    "CONSUMER.NAMES.*",
    "STREAM.LEADER.STEPDOWN.HYPERPAGE_EVENTS",
    "STREAM.PEER.REMOVE.HYPERPAGE_EVENTS",
    "CONSUMER.LEADER.STEPDOWN.HYPERPAGE_EVENTS.x",
    "META.LEADER.STEPDOWN",
    "SERVER.REMOVE",
    "ACCOUNT.PURGE.STREAMS",
    "ACCOUNT.STREAM.MOVE.STREAMS.HYPERPAGE_EVENTS",
    "NONSENSE",
]

# Requests of the application user that JetStream answers on any reply subject that they carry.
ASKING = {
    "account": ("$JS.API.INFO", b""),
    "names": ("$JS.API.STREAM.NAMES", b""),
    "stream": ("$JS.API.STREAM.INFO.HYPERPAGE_EVENTS", b""),
    "stored message": ("$JS.API.STREAM.MSG.GET.HYPERPAGE_EVENTS", b'{"seq":1}'),
    "stored message, directly": ("$JS.API.DIRECT.GET.HYPERPAGE_EVENTS", b'{"seq":1}'),
    "pull": ("$JS.API.CONSUMER.MSG.NEXT.HYPERPAGE_EVENTS.puller", b'{"batch":1,"no_wait":true}'),
    "pull of nothing": ("$JS.API.CONSUMER.MSG.NEXT.HYPERPAGE_RESULTS.puller", b'{"batch":1,"no_wait":true}'),
}

# Reply subjects on which such an answer must have no effect: subjects of streams and of JetStream's API.
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


@pytest.mark.parametrize("user", [APP, ADMIN, BILLING])
@pytest.mark.parametrize("asked", NOT_FOR_USERS)
def test_what_is_not_for_users_is_refused_and_changes_nothing(bus: UsersAtWork, user: str, asked: str):
    async def scenario():
        before = await bus.contents()
        answer = await bus.clients[user].request(f"$JS.API.{asked}", b"{}", timeout=SECONDS)
        assert await bus.contents() == before
        return answer

    answer = bus.run(scenario())

    if asked.startswith(("DIRECT.GET", "CONSUMER.MSG.NEXT")):
        assert answer.data == b""
        assert answer.headers["Status"] in ("403", "409")
    else:
        assert json.loads(answer.data)["error"]["code"] == 403
    assert bus.violations[user] == []


@pytest.mark.parametrize("asked", ASKING)
@pytest.mark.parametrize("target", EFFECTIVE)
def test_an_answer_of_jetstream_is_stored_nowhere_and_does_nothing(bus: UsersAtWork, asked: str, target: str):
    subject, body = ASKING[asked]

    async def scenario():
        await make_pullers(bus)
        before = await bus.contents()
        await bus.clients[APP].publish(subject, body, reply=target)
        assert await bus.contents() == before

    bus.run(scenario())

    assert bus.violations[APP] == []


@pytest.mark.parametrize("asked", ASKING)
def test_an_answer_of_jetstream_does_not_reach_administration(bus: UsersAtWork, asked: str):
    subject, body = ASKING[asked]

    async def scenario():
        await make_pullers(bus)
        await bus.clients[APP].publish(subject, body, reply="hyperpage.adm.v1.backup.create")
        await bus.settled()

    bus.run(scenario())

    assert bus.served == []


@pytest.mark.parametrize("listening", [False, True], ids=["", "with a subscription to it"])
@pytest.mark.parametrize("policy", ["none", "explicit"])
@pytest.mark.parametrize("target", [*EFFECTIVE, "hyperpage.adm.v1.backup.create", "_INBOX_relay.x"])
def test_a_push_consumer_stores_nothing_and_reaches_no_service(
    bus: UsersAtWork, target: str, policy: str, listening: bool
):
    async def scenario():
        before = await bus.contents()
        # A subscription makes a push consumer active, even if it is not allowed.
        subscription = await bus.clients[APP].subscribe(target) if listening else None
        for source in ("HYPERPAGE_EVENTS", "HYPERPAGE_RESULTS", "KV_hyperpage_app_state"):
            await make_anew(bus, source, "made", deliver_subject=target, ack_policy=policy)
            # A later consumer with an allowed subject: once it has pushed, the first would have pushed, too.
            allowed = await bus.clients[APP].subscribe("_INBOX.allowed")
            await make_anew(bus, source, "allowed", deliver_subject="_INBOX.allowed", ack_policy="none")
            await allowed.next_msg(timeout=SECONDS)
            await allowed.unsubscribe()
        assert await bus.contents() == before
        if subscription is not None:
            await subscription.unsubscribe()

    bus.run(scenario())

    assert bus.served == []


def test_the_right_to_read_one_stream_is_not_stretched_to_another(bus: UsersAtWork):
    async def scenario():
        request = {"stream_name": "HYPERPAGE_COMMANDS", "config": {"name": "thief", "ack_policy": "explicit"}}
        return await bus.ask(APP, "CONSUMER.CREATE.HYPERPAGE_EVENTS.thief", request)

    assert bus.run(scenario())["error"] == {
        "code": 400,
        "err_code": 10025,
        "description": "stream and consumer are named differently in subject and body",
    }


def test_a_result_is_seen_live_and_stored(bus: UsersAtWork):
    async def scenario():
        live = await bus.clients[APP].subscribe("hyperpage.res.v1.c-1")
        await bus.clients[APP].flush()
        stored = await bus.jetstream(RESPONDER).publish(bus.result_of(APP, "c-1"), b"answer")
        seen = await live.next_msg(timeout=SECONDS)
        found = await bus.jetstream(APP).get_last_msg("HYPERPAGE_RESULTS", "hyperpage.res.v1.c-1")
        await live.unsubscribe()
        return stored.stream, (seen.subject, seen.data), (found.subject, found.data)

    result = ("hyperpage.res.v1.c-1", b"answer")
    assert bus.run(scenario()) == ("HYPERPAGE_RESULTS", result, result)


def test_streams_can_be_found_and_described(bus: UsersAtWork):
    async def scenario():
        app = bus.jetstream(APP)
        found = await app.find_stream_name_by_subject("hyperpage.evt.v1.jobs.>")
        described = [(await app.stream_info(stream)).config.name for stream in READABLE]
        return found, described

    assert bus.run(scenario()) == ("HYPERPAGE_EVENTS", list(READABLE))


@pytest.mark.parametrize("user", [APP, ADMIN])
def test_an_ordered_consumer_reads_all_with_flow_control(bus: UsersAtWork, user: str):
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
def test_a_pull_consumer_fetches_and_acknowledges(bus: UsersAtWork, durable: str | None):
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


def test_a_durable_push_consumer_delivers_and_is_acknowledged(bus: UsersAtWork):
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
def test_mirrors_are_read_and_watched(bus: UsersAtWork, bucket: str):
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


def test_messages_are_got_by_sequence_and_by_subject(bus: UsersAtWork):
    async def scenario():
        app = bus.jetstream(APP)
        return [
            (await app.get_msg("HYPERPAGE_EVENTS", 1)).subject,
            (await app.get_msg("HYPERPAGE_EVENTS", 1, direct=True)).subject,
            (await app.get_last_msg("HYPERPAGE_EVENTS", EVENT, direct=True)).subject,
        ]

    assert bus.run(scenario()) == [EVENT, EVENT, EVENT]


def test_the_relay_moves_what_cannot_be_processed_aside_and_the_operator_reads_it(bus: UsersAtWork):
    async def scenario():
        relay, admin = bus.jetstream(RELAY), bus.jetstream(ADMIN)
        await bus.jetstream(APP).publish("hyperpage.dcmd.v1.jobs.nonsense", b"?")
        consumer = await relay.pull_subscribe("hyperpage.usr.*.dcmd.v1.>", durable="worker")
        for message in await consumer.fetch(100, timeout=SECONDS):
            if message.subject.endswith("nonsense"):
                await relay.publish("hyperpage.dlq.v1.jobs.nonsense", message.data, headers={"reason": "odd"})
            await message.ack_sync()
        read = await (await admin.pull_subscribe("hyperpage.dlq.v1.>")).fetch(1, timeout=SECONDS)
        return read[0].data, read[0].headers

    assert bus.run(scenario()) == (b"?", {"reason": "odd"})


@pytest.mark.parametrize("config", [{}, {"durable_name": "gone"}], ids=["", "durable"])
def test_a_pull_of_a_consumer_that_is_gone_is_answered_at_once(bus: UsersAtWork, config: dict[str, str]):
    pull = {"batch": 1, "expires": SECONDS * 10**9}

    async def scenario() -> tuple[float, list[str | None]]:
        app = bus.jetstream(APP)
        nothing = {"filter_subject": "hyperpage.evt.v1.none.>"}
        await bus.create_consumer(APP, "HYPERPAGE_EVENTS", "gone", **config, **nothing)
        async with await RawNats.connect(bus.url_of(APP)) as raw:
            waiting = raw.ask("$JS.API.CONSUMER.MSG.NEXT.HYPERPAGE_EVENTS.gone", pull)
            await raw.flush()
            await bus.settled()
            assert (await app.consumer_info("HYPERPAGE_EVENTS", "gone")).num_waiting == 1
            began = time.monotonic()
            await app.delete_consumer("HYPERPAGE_EVENTS", "gone")
            async with asyncio.timeout(SECONDS):
                told = [
                    (await waiting).status,
                    (await raw.request("$JS.API.CONSUMER.MSG.NEXT.HYPERPAGE_EVENTS.gone", pull)).status,
                ]
            return time.monotonic() - began, told

    took, told = bus.run(scenario())

    # 409: the consumer was deleted. 503: no responder for a consumer that is gone.
    assert told == ["409", "503"]
    assert took < patiently(1.0)


def test_a_pull_of_a_consumer_that_somebody_else_has_deleted_is_answered(bus: UsersAtWork):
    async def scenario() -> None:
        consumer = await bus.jetstream(APP).pull_subscribe("hyperpage.evt.v1.none.>", durable="gone")
        real = bus.consumers.real(APP, "HYPERPAGE_EVENTS", "gone") or ""
        await bus.jetstream(RELAY).delete_consumer("HYPERPAGE_EVENTS", real)
        # It is taken to be there for a while; then, it is looked for.
        await asyncio.sleep(CONFIRMED_SECONDS)
        with pytest.raises((APIError, NoRespondersError)):
            await consumer.fetch(1, timeout=SECONDS)

    bus.run(scenario())


def test_an_ordered_consumer_that_is_deleted_is_made_anew(bus: UsersAtWork):
    async def scenario() -> list[int]:
        ordered = await bus.jetstream(APP).subscribe(
            "hyperpage.evt.v1.>", ordered_consumer=True, idle_heartbeat=0.5
        )
        read = [(await ordered.next_msg(timeout=SECONDS)).metadata.sequence.stream for _ in range(100)]
        name = (await ordered.consumer_info()).name
        await bus.jetstream(APP).delete_consumer("HYPERPAGE_EVENTS", name)
        last = await bus.jetstream(RELAY).publish(EVENT, b"{}")
        while read[-1] < last.seq:
            read.append((await ordered.next_msg(timeout=SECONDS)).metadata.sequence.stream)
        await ordered.unsubscribe()
        return read

    read = bus.run(scenario())

    assert read == list(range(1, read[-1] + 1))


@pytest.mark.parametrize(
    ("durable", "asked", "kept"),
    [
        (True, None, IDLE_NS),
        (True, 60 * 10**9, 60 * 10**9),
        (True, 1_000 * IDLE_NS, IDLE_NS),
        (True, -1, IDLE_NS),
        (False, 60 * 10**9, 60 * 10**9),
        (False, 1_000 * IDLE_NS, IDLE_NS),
        (False, None, 5 * 10**9),
    ],
)
def test_a_consumer_that_nobody_uses_goes(bus: UsersAtWork, durable: bool, asked: int | None, kept: int):
    config: dict[str, Any] = {"durable_name": "idle"} if durable else {}
    if asked is not None:
        config |= {"inactive_threshold": asked}

    async def scenario() -> Any:
        made = await bus.create_consumer(APP, "HYPERPAGE_EVENTS", "idle", **config)
        await bus.ask(APP, "CONSUMER.DELETE.HYPERPAGE_EVENTS.idle")
        return made["config"]["inactive_threshold"]

    assert bus.run(scenario()) == kept


def test_messages_are_got_several_at_a_time(bus: UsersAtWork):
    async def scenario() -> list[str | None]:
        async with await RawNats.connect(bus.url_of(APP)) as raw:
            inbox = f"{raw.inbox}.several"
            arrived = raw.subscribe(inbox)
            raw.publish("$JS.API.DIRECT.GET.HYPERPAGE_EVENTS", {"seq": 3, "batch": 4}, reply=inbox)
            async with asyncio.timeout(SECONDS):
                messages = [await arrived.get() for _ in range(5)]
            return [message.headers.get("Nats-Sequence") for message in messages[:4]] + [messages[4].status]

    assert bus.run(scenario()) == ["3", "4", "5", "6", "204"]


async def make_pullers(bus: UsersAtWork) -> None:
    """Consumers by known names that the application pulls from, one with messages and one without."""
    await make_anew(bus, "HYPERPAGE_EVENTS", "puller")
    await make_anew(
        bus, "HYPERPAGE_RESULTS", "puller", ack_policy="none", filter_subject="hyperpage.res.v1.none"
    )


async def make_anew(bus: UsersAtWork, stream: str, name: str, **config: str) -> None:
    """The application's consumer; it may be refused."""
    await bus.ask(APP, f"CONSUMER.DELETE.{stream}.{name}")
    await bus.create_consumer(APP, stream, name, deliver_policy="all", **config)
