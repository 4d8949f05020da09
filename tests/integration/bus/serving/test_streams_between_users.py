"""Two users of one broker, who both may do everything: neither reads, forges or takes away the other's."""

import json
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.js.errors import APIError

from bus.broker.users import RELAY, RESPONDER
from tests.support.services.raw_nats import RawNats
from tests.support.services.users_at_work import BILLING, EVENT, RIVAL, SECONDS, UsersAtWork, violation

EVENTS, RESULTS = "HYPERPAGE_EVENTS", "HYPERPAGE_RESULTS"
# All that may arrive at a user without its having asked for anything else.
HEARD = ("_INBOX.>", "_INBOX_billing.>", "hyperpage.res.v1.>")

# Subjects of the other user's messages, in that user's own names and in the service's.
OF_BILLING = [
    "_INBOX.known",
    "_INBOX_billing.known",
    "hyperpage.res.v1.known",
    "hyperpage_to.billing._INBOX.known",
    "hyperpage_to.billing._INBOX_billing.known",
    "hyperpage.usr.billing.res.v1.known",
    "hyperpage.usr.billing.cmd.v1.jobs.enqueue",
    "hyperpage.usr.billing.dcmd.v1.jobs.enqueue",
    "hyperpage.usr.billing.js.CONSUMER.DELETE.HYPERPAGE_EVENTS.mine",
    "hyperpage.usr.admin.adm.v1.backup.create",
]
# Requests that JetStream answers on any reply subject that they carry.
ASKED: dict[str, tuple[str, Any]] = {
    "account": ("$JS.API.INFO", b""),
    "names": ("$JS.API.STREAM.NAMES", b""),
    "stored message": (f"$JS.API.STREAM.MSG.GET.{EVENTS}", {"seq": 1}),
    "direct": (f"$JS.API.DIRECT.GET.{EVENTS}", {"seq": 1}),
    "direct, by subject": (f"$JS.API.DIRECT.GET.{EVENTS}.{EVENT}", b""),
    "direct, several": (f"$JS.API.DIRECT.GET.{EVENTS}", {"seq": 1, "batch": 3}),
    "pull": (f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.own", {"batch": 2, "no_wait": True}),
    "pull of none": (f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.none", {"batch": 2, "no_wait": True}),
    "consumers": (f"$JS.API.CONSUMER.NAMES.{EVENTS}", b""),
    "query": ("hyperpage.qry.v1.echo", {"forged": True}),
    "command": ("hyperpage.cmd.v1.echo", {"forged": True}),
    "discovery": ("$SRV.PING", b""),
    "nonsense": ("$JS.API.NONSENSE", b""),
}


def test_a_user_hears_nothing_of_what_another_is_told(bus: UsersAtWork):
    async def scenario() -> list[str]:
        private = await bus.connect(BILLING, "_INBOX_billing")
        heard = await bus.heard(RIVAL, "_INBOX.>", "_INBOX_rival.>", "hyperpage.res.v1.>")
        for client in (private, bus.clients[BILLING]):
            await client.request("hyperpage.qry.v1.echo", b"secret", timeout=SECONDS)
            await client.request("hyperpage.cmd.v1.echo", b"secret", timeout=SECONDS)
            await client.request("$SRV.PING", timeout=SECONDS)
            billing = client.jetstream(timeout=SECONDS)
            ordered = await billing.subscribe("hyperpage.evt.v1.>", ordered_consumer=True)
            await ordered.next_msg(timeout=SECONDS)
            await ordered.unsubscribe()
            pull = await billing.pull_subscribe("hyperpage.evt.v1.>")
            for message in await pull.fetch(2, timeout=SECONDS):
                await message.ack_sync(timeout=SECONDS)
            await billing.get_msg(EVENTS, 1)
            await billing.get_msg(EVENTS, 1, direct=True)
            await billing.publish("hyperpage.dcmd.v1.jobs.enqueue", b"{}")
        await bus.jetstream(RESPONDER).publish(bus.result_of(BILLING, "c-1"), b"secret")
        await bus.settled()
        await private.close()
        return [message.subject for message in heard]

    assert bus.run(scenario()) == []


@pytest.mark.parametrize(
    "subject", [">", "*.>", "_INBOX_billing.>", "_INBOX_billing.x", "hyperpage_to.billing.>"]
)
def test_a_user_cannot_listen_where_another_is_answered(bus: UsersAtWork, subject: str):
    async def scenario() -> None:
        await bus.heard(RIVAL, subject)
        await bus.settled()

    bus.run(scenario())

    (refused,) = bus.violations[RIVAL]
    assert refused.startswith(violation("subscription to", subject))


@pytest.mark.parametrize("target", OF_BILLING)
@pytest.mark.parametrize("asked", ASKED)
def test_no_answer_to_a_user_reaches_another(bus: UsersAtWork, asked: str, target: str):
    subject, body = ASKED[asked]

    async def scenario() -> list[Msg]:
        heard = await bus.heard(BILLING, *HEARD)
        await bus.create_consumer(RIVAL, EVENTS, "own")
        await bus.create_consumer(RIVAL, EVENTS, "none", filter_subject="hyperpage.evt.v1.none.>")
        await bus.create_consumer(BILLING, EVENTS, "mine")
        heard.clear()
        before = await bus.contents()
        async with await RawNats.connect(bus.url_of(RIVAL)) as raw:
            raw.publish(subject, body, reply=target)
            await raw.flush()
            assert await bus.contents() == before
        assert "error" not in await bus.ask(BILLING, f"CONSUMER.INFO.{EVENTS}.mine")
        return [message for message in heard if not message.subject.startswith(own_inboxes(bus))]

    assert bus.run(scenario()) == []
    assert all(message.subject.startswith("hyperpage.usr.rival.") for message in bus.served)


@pytest.mark.parametrize("target", OF_BILLING)
@pytest.mark.parametrize("how", [b"+NXT", b'+NXT {"batch":3,"no_wait":true}', b"+ACK", b"-NAK"])
def test_no_acknowledgement_of_a_users_is_answered_to_another(bus: UsersAtWork, how: bytes, target: str):
    async def scenario() -> list[Msg]:
        heard = await bus.heard(BILLING, *HEARD)
        rival = bus.jetstream(RIVAL)
        consumer = await rival.pull_subscribe("hyperpage.evt.v1.>")
        (message,) = await consumer.fetch(1, timeout=SECONDS)
        before = await bus.contents()
        await bus.clients[RIVAL].publish(message.reply, how, reply=target)
        # A second acknowledgement on the same subject, whose answer comes behind that of the first.
        await bus.clients[RIVAL].request(message.reply, b"+WPI", timeout=SECONDS)
        assert await bus.contents() == before
        await consumer.unsubscribe()
        return [message for message in heard if not message.subject.startswith(own_inboxes(bus))]

    assert bus.run(scenario()) == []
    assert bus.served == []


@pytest.mark.parametrize(
    "target", [*OF_BILLING, "hyperpage_to.rival._INBOX.x", "_INBOX.>", "_INBOX.*", "_INBOX."]
)
def test_a_push_consumer_delivers_nothing_to_another(bus: UsersAtWork, target: str):
    async def scenario() -> list[Msg]:
        heard = await bus.heard(BILLING, *HEARD)
        # A subscription to its deliver subject makes a push consumer active, even if it is not allowed.
        await bus.heard(RIVAL, "_INBOX.known")
        before = await bus.contents()
        for stream in (EVENTS, "KV_hyperpage_app_state"):
            await bus.create_consumer(
                RIVAL, stream, "push", deliver_subject=target, ack_policy="none", deliver_policy="all"
            )
        assert await bus.contents() == before
        for stream in (EVENTS, "KV_hyperpage_app_state"):
            await bus.ask(RIVAL, f"CONSUMER.DELETE.{stream}.push")
        return [message for message in heard if not message.subject.startswith(own_inboxes(bus))]

    assert bus.run(scenario()) == []
    assert bus.served == []


def names_of_anothers_consumer(bus: UsersAtWork) -> list[str]:
    """Names of the owner's consumer: the owner's own, JetStream's, and guesses at JetStream's."""
    real = bus.consumers.real(BILLING, EVENTS, "mine")
    assert real is not None
    return [
        "mine",
        real,
        "billing-mine",
        real[:-1],
        real[:-1] + "0",
        real.upper(),
        "billing-mine-" + "0" * 32,
    ]


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("INFO", b""),
        ("DELETE", b""),
        ("MSG.NEXT", b'{"batch":5,"no_wait":true}'),
        ("PAUSE", b'{"pause_until":"2100-01-01T00:00:00Z"}'),
        ("UNPIN", b'{"group":"a"}'),
        ("CREATE", b""),
        ("DURABLE.CREATE", b""),
    ],
)
@pytest.mark.parametrize("place", range(7))
def test_a_user_takes_nothing_of_anothers_consumer(bus: UsersAtWork, verb: str, body: bytes, place: int):
    async def scenario() -> None:
        billing = bus.jetstream(BILLING)
        consumer = await billing.pull_subscribe("hyperpage.evt.v1.>", durable="mine")
        (first,) = await consumer.fetch(1, timeout=SECONDS)
        await bus.settled()
        before = await consumer.consumer_info()
        name = names_of_anothers_consumer(bus)[place]
        asked = body
        if not asked:
            config = {
                "durable_name": name,
                "ack_policy": "explicit",
                "filter_subject": "hyperpage.evt.v1.no.>",
            }
            asked = json.dumps({"stream_name": EVENTS, "config": config}).encode()
        async with await RawNats.connect(bus.url_of(RIVAL)) as raw:
            answer = await raw.request(f"$JS.API.CONSUMER.{verb}.{EVENTS}.{name}", asked)
            # A consumer that this made belongs to the rival.
            listed = await bus.ask(RIVAL, f"CONSUMER.NAMES.{EVENTS}")
            await raw.request(f"$JS.API.CONSUMER.DELETE.{EVENTS}.{name}")
        await bus.settled()
        after = await consumer.consumer_info()
        assert (after.delivered, after.ack_floor, after.num_ack_pending, after.config, after.created) == (
            before.delivered,
            before.ack_floor,
            before.num_ack_pending,
            before.config,
            before.created,
        )
        assert answer.body == b"" or "error" in answer.said or answer.said["name"] == name
        assert {*names_of_anothers_consumer(bus), "mine"} & {*listed["consumers"]} <= {name}
        await first.ack_sync(timeout=SECONDS)
        (second,) = await consumer.fetch(1, timeout=SECONDS)
        assert second.metadata.sequence.stream == first.metadata.sequence.stream + 1
        await billing.delete_consumer(EVENTS, "mine")

    bus.run(scenario())


@pytest.mark.parametrize("how", [b"", b"+ACK", b"+TERM", b"-NAK", b"+NXT"])
def test_a_user_acknowledges_nothing_of_anothers(bus: UsersAtWork, how: bytes):
    async def scenario() -> None:
        consumer = await bus.jetstream(BILLING).pull_subscribe("hyperpage.evt.v1.>", durable="mine")
        (message,) = await consumer.fetch(1, timeout=SECONDS)
        await bus.settled()
        before = await consumer.consumer_info()
        tokens = message.reply.split(".")
        for name in ("mine", "*", ">", "billing-mine", "billing-mine-" + "0" * 32, "billing-mine-*"):
            forged = ".".join([*tokens[:3], name, *tokens[4:]])
            await bus.clients[RIVAL].publish(forged, how)
            await bus.clients[RIVAL].publish(".".join([*tokens[:3], name]), how)
        await bus.settled()
        after = await consumer.consumer_info()
        assert (after.ack_floor, after.num_ack_pending, after.num_redelivered) == (
            before.ack_floor,
            before.num_ack_pending,
            before.num_redelivered,
        )
        await bus.jetstream(BILLING).delete_consumer(EVENTS, "mine")

    bus.run(scenario())


def test_two_users_have_consumers_of_one_name_and_each_sees_its_own(bus: UsersAtWork):
    async def scenario() -> Any:
        read = {}
        for user in (BILLING, RIVAL):
            consumer = await bus.jetstream(user).pull_subscribe("hyperpage.evt.v1.>", durable="workers")
            messages = await consumer.fetch(3, timeout=SECONDS)
            for message in messages:
                await message.ack_sync(timeout=SECONDS)
            names = [one.name for one in await bus.jetstream(user).consumers_info(EVENTS)]
            read[user] = ([one.metadata.sequence.stream for one in messages], "workers" in names)
        await bus.jetstream(RIVAL).delete_consumer(EVENTS, "workers")
        left = await bus.jetstream(BILLING).consumer_info(EVENTS, "workers")
        await bus.jetstream(BILLING).delete_consumer(EVENTS, "workers")
        return read, left.name

    read, left = bus.run(scenario())

    assert read == {BILLING: ([1, 2, 3], True), RIVAL: ([1, 2, 3], True)}
    assert left == "workers"


FILTERS = [
    {},
    {"filter_subject": ">"},
    {"filter_subjects": [">"]},
    {"filter_subject": "hyperpage.res.v1.>"},
    {"filter_subject": "hyperpage.res.v1.secret"},
    {"filter_subject": "hyperpage.usr.billing.res.v1.>"},
    {"filter_subject": "hyperpage.usr.*.res.v1.>"},
    {"filter_subjects": ["hyperpage.usr.rival.res.v1.>", "hyperpage.usr.billing.res.v1.>"]},
    {"filter_subjects": ["hyperpage.res.v1.secret", "hyperpage.usr.*.res.v1.secret"]},
    {"filter_subject": "*.>"},
    {"filter_subject": "hyperpage.usr.>"},
    {"filter_subject": "hyperpage.res.v1.>", "filter_subjects": ["hyperpage.usr.>"]},
]


@pytest.mark.parametrize("config", FILTERS)
@pytest.mark.parametrize("policy", ["all", "last", "last_per_subject", "by_start_sequence"])
def test_no_consumer_brings_anothers_results(bus: UsersAtWork, config: dict[str, Any], policy: str):
    start = {"opt_start_seq": 1} if policy == "by_start_sequence" else {}

    async def scenario() -> list[Any]:
        await bus.jetstream(RESPONDER).publish(bus.result_of(BILLING, "secret"), b"secret")
        await bus.jetstream(RESPONDER).publish(bus.result_of(RIVAL, "own"), b"own")
        await bus.ask(RIVAL, f"CONSUMER.DELETE.{RESULTS}.spy")
        made = await bus.create_consumer(RIVAL, RESULTS, "spy", deliver_policy=policy, **start, **config)
        if "error" in made:
            return []
        spy = await bus.jetstream(RIVAL).pull_subscribe_bind("spy", RESULTS)
        left = (await spy.consumer_info()).num_pending
        return [message.data for message in await spy.fetch(left, timeout=SECONDS)] if left else []

    assert {b"secret", b"{}"} & set(bus.run(scenario())) == set()


@pytest.mark.parametrize("verb", ["STREAM.MSG.GET", "DIRECT.GET"])
@pytest.mark.parametrize(
    "body",
    [
        {"last_by_subj": "hyperpage.res.v1.secret"},
        {"last_by_subj": "hyperpage.usr.billing.res.v1.secret"},
        {"last_by_subj": "hyperpage.usr.*.res.v1.secret"},
        {"last_by_subj": ">"},
        {"seq": 1, "next_by_subj": ">"},
        {"seq": 1, "next_by_subj": "hyperpage.usr.billing.>"},
        {"seq": 1, "batch": 100},
        {"seq": 1, "batch": 100, "next_by_subj": "hyperpage.usr.*.res.v1.>"},
        {"multi_last": ["hyperpage.usr.billing.res.v1.secret"]},
        {"multi_last": [">"], "batch": 100},
        {"multi_last": ["hyperpage.res.v1.own", "hyperpage.usr.billing.res.v1.>"], "up_to_seq": 1000},
        {"start_time": "2000-01-01T00:00:00Z"},
        {"start_time": "2000-01-01T00:00:00Z", "batch": 10},
        *({"seq": place} for place in range(1, 5)),
    ],
)
def test_nobody_gets_anothers_results(bus: UsersAtWork, verb: str, body: dict[str, Any]):
    async def scenario() -> list[bytes]:
        await bus.jetstream(RESPONDER).publish(bus.result_of(BILLING, "secret"), b"secret")
        return await got(bus, RIVAL, f"$JS.API.{verb}.{RESULTS}", body)

    # In base64, too.
    assert [one for one in bus.run(scenario()) if b"secret" in one or b"c2VjcmV0" in one] == []


@pytest.mark.parametrize(
    "subject",
    ["hyperpage.res.v1.secret", "hyperpage.usr.billing.res.v1.secret", "hyperpage.usr.*.res.v1.>", ">"],
)
def test_nobody_gets_anothers_result_by_its_subject(bus: UsersAtWork, subject: str):
    async def scenario() -> list[bytes]:
        await bus.jetstream(RESPONDER).publish(bus.result_of(BILLING, "secret"), b"secret")
        return await got(bus, RIVAL, f"$JS.API.DIRECT.GET.{RESULTS}.{subject}", b"")

    assert bus.run(scenario()) == [b""]


def test_what_subjects_a_stream_has_is_told_to_nobody(bus: UsersAtWork):
    async def scenario() -> Any:
        await bus.jetstream(RESPONDER).publish(bus.result_of(BILLING, "secret"), b"secret")
        return await bus.ask(
            RIVAL, f"STREAM.INFO.{RESULTS}", {"subjects_filter": ">", "deleted_details": True}
        )

    said = bus.run(scenario())

    assert said["config"]["name"] == RESULTS
    assert "subjects" not in said["state"]


def test_the_owner_has_its_results_by_each_road(bus: UsersAtWork):
    known = "hyperpage.res.v1.own"

    async def scenario() -> Any:
        stored = await bus.jetstream(RESPONDER).publish(bus.result_of(BILLING, "own"), b"own")
        billing = bus.jetstream(BILLING)
        messages: list[Any] = [
            await billing.get_last_msg(RESULTS, known),
            await billing.get_last_msg(RESULTS, known, direct=True),
            await billing.get_msg(RESULTS, stored.seq),
            await billing.get_msg(RESULTS, stored.seq, direct=True),
        ]
        consumer = await billing.pull_subscribe(known)
        ordered = await billing.subscribe(known, ordered_consumer=True)
        messages += [*await consumer.fetch(1, timeout=SECONDS), await ordered.next_msg(timeout=SECONDS)]
        await ordered.unsubscribe()
        return [(message.subject, message.data) for message in messages]

    assert bus.run(scenario())[:4] == [(known, b"own")] * 4
    assert [data for _, data in bus.run(scenario())] == [b"own"] * 6


SAID_OF_ONESELF = {
    "Nats-Request-Info": '{"acc":"USER_billing","user":"billing"}',
    "Hyperpage-Principal": BILLING,
    "Hyperpage-Actor": BILLING,
    "Nats-Subject": "hyperpage.usr.billing.cmd.v1.echo",
    "Nats-Sender": BILLING,
}


def test_what_a_user_says_of_itself_changes_nothing(bus: UsersAtWork):
    async def scenario() -> Any:
        await bus.create_consumer(BILLING, EVENTS, "mine")
        answer = await bus.clients[RIVAL].request(
            f"$JS.API.CONSUMER.INFO.{EVENTS}.mine", headers=SAID_OF_ONESELF, timeout=SECONDS
        )
        await bus.clients[RIVAL].request("hyperpage.cmd.v1.echo", headers=SAID_OF_ONESELF, timeout=SECONDS)
        stored = await bus.jetstream(RIVAL).publish("hyperpage.dcmd.v1.x", b"{}", headers=SAID_OF_ONESELF)
        found = await bus.jetstream(RELAY).get_msg(stored.stream, stored.seq)
        return json.loads(answer.data)["error"]["code"], found.subject

    assert bus.run(scenario()) == (404, "hyperpage.usr.rival.dcmd.v1.x")
    assert [message.subject for message in bus.served] == ["hyperpage.usr.rival.cmd.v1.echo"]


@pytest.mark.parametrize("target", OF_BILLING)
def test_a_message_is_not_traced_to_another(bus: UsersAtWork, target: str):
    async def scenario() -> list[Msg]:
        heard = await bus.heard(BILLING, *HEARD)
        before = await bus.contents()
        for subject in ("hyperpage.cmd.v1.x", f"$JS.API.STREAM.INFO.{EVENTS}", "hyperpage.dcmd.v1.x"):
            headers = {"Nats-Trace-Dest": target, "Nats-Trace-Only": "true"}
            await bus.clients[RIVAL].publish(subject, b"", headers=headers)
        assert await bus.contents() == before
        return [message for message in heard if not message.subject.startswith(own_inboxes(bus))]

    assert bus.run(scenario()) == []
    assert bus.served == []


def test_somebody_who_may_read_nothing_is_told_so(bus: UsersAtWork):
    async def scenario() -> None:
        with pytest.raises(APIError):
            await bus.jetstream(RIVAL).get_msg("HYPERPAGE_COMMANDS", 1, direct=True)

    bus.run(scenario())


def own_inboxes(bus: UsersAtWork) -> tuple[str, ...]:
    """The inbox of what billing itself asks."""
    prefix = getattr(bus.clients[BILLING], "_resp_sub_prefix", None)
    return (prefix.decode(),) if prefix else ("-",)


async def got(bus: UsersAtWork, user: str, subject: str, body: Any) -> list[bytes]:
    """All bodies that come as answers to a request."""
    async with await RawNats.connect(bus.url_of(user)) as raw:
        inbox = f"{raw.inbox}.several"
        arrived = raw.subscribe(inbox)
        raw.publish(subject, body, reply=inbox)
        await raw.flush()
        await bus.settled()
        await raw.flush()
        return [arrived.get_nowait().body for _ in range(arrived.qsize())]
