"""A user that may follow one table and read another sees only those, by any request of JetStream's API."""

import json
from collections.abc import Iterator
from typing import Any

import nats.js.errors
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy

from bus.broker.users import RELAY
from bus.contract.rights import Principal, Rights
from hyperpage_client.contract.subjects import BusNames, escape
from tests.support.services.raw_nats import RawNats
from tests.support.services.users_at_work import BILLING, CLERK, EVENT, SECONDS, UsersAtWork

EVENTS = "HYPERPAGE_EVENTS"
# Keeps an unused consumer: nats-server's default of 5 s may be over before a slow test is.
LASTING: dict[str, Any] = {"inactive_threshold": 10**12}
SEEN, SECRET = b"seen", b"secret"
OTHERS_EVENT = "hyperpage.evt.v1.queues.1.paused"
SYSTEM_EVENT = "hyperpage.evt.v1.system.timeline.forked"
BUCKET, OTHER_BUCKET = BusNames().buckets[1], BusNames().buckets[0]


async def events_of_both(bus: UsersAtWork) -> tuple[int, int]:
    """The sequences of an event that the clerk may see, and of one that it may not."""
    relay = bus.jetstream(RELAY)
    seen = await relay.publish(EVENT, SEEN)
    secret = await relay.publish(OTHERS_EVENT, SECRET)
    return seen.seq, secret.seq


async def asked(bus: UsersAtWork, subject: str, body: Any = b"") -> list[tuple[str | None, bytes]]:
    """Status and body of each answer to the clerk."""
    async with await RawNats.connect(bus.url_of(CLERK)) as raw:
        inbox = f"{raw.inbox}.several"
        arrived = raw.subscribe(inbox)
        raw.publish(f"$JS.API.{subject}", body, reply=inbox)
        await raw.flush()
        await bus.settled()
        await raw.flush()
        return [(one.status, one.body) for one in (arrived.get_nowait() for _ in range(arrived.qsize()))]


@pytest.mark.parametrize("subject", ["hyperpage.evt.v1.>", "hyperpage.evt.v1.queues.>", OTHERS_EVENT])
def test_it_hears_no_other_tables_events(bus: UsersAtWork, subject: str):
    async def scenario() -> list[bytes]:
        heard = await bus.heard(CLERK, subject, "hyperpage.evt.v1.jobs.>", "hyperpage.evt.v1.system.>")
        await events_of_both(bus)
        await bus.jetstream(RELAY).publish(SYSTEM_EVENT, SEEN)
        await bus.settled()
        return [message.data for message in heard]

    heard = bus.run(scenario())

    assert heard != []
    assert set(heard) == {SEEN}


@pytest.mark.parametrize("subject", ["hyperpage.sys.v1.>", "hyperpage.sys.v1.queues.>"])
def test_it_hears_no_other_tables_notices(bus: UsersAtWork, subject: str):
    async def scenario() -> list[bytes]:
        heard = await bus.heard(CLERK, subject, "hyperpage.sys.v1.jobs.>")
        await bus.clients[RELAY].publish("hyperpage.sys.v1.queues.x", SECRET)
        await bus.clients[RELAY].publish("hyperpage.sys.v1.jobs.x", SEEN)
        await bus.settled()
        return [message.data for message in heard]

    assert set(bus.run(scenario())) == {SEEN}


def test_it_is_told_of_its_streams_alone(bus: UsersAtWork):
    async def scenario() -> Any:
        return await bus.ask(CLERK, "STREAM.NAMES")

    said = bus.run(scenario())

    assert sorted(said["streams"]) == [EVENTS, "HYPERPAGE_RESULTS", f"KV_{BUCKET}"]
    assert said["total"] == 3


@pytest.mark.parametrize("is_direct", [False, True])
def test_it_gets_a_message_by_its_sequence_only_where_it_may_see_it(bus: UsersAtWork, is_direct: bool):
    async def scenario() -> bytes | None:
        seen, secret = await events_of_both(bus)
        clerk = bus.jetstream(CLERK)
        with pytest.raises(nats.js.errors.NotFoundError):
            await clerk.get_msg(EVENTS, secret, direct=is_direct)
        return (await clerk.get_msg(EVENTS, seen, direct=is_direct)).data

    assert bus.run(scenario()) == SEEN


ROADS: list[tuple[str, Any]] = [
    *(
        (f"{verb}.{EVENTS}", body)
        for verb in ("STREAM.MSG.GET", "DIRECT.GET")
        for body in (
            {"last_by_subj": OTHERS_EVENT},
            {"last_by_subj": "hyperpage.evt.v1.queues.>"},
            {"last_by_subj": "hyperpage.evt.v1.>"},
            {"last_by_subj": "hyperpage.evt.v1.*.1.paused"},
            {"last_by_subj": ">"},
            {"last_by_subj": "*.>"},
            {"seq": 1, "next_by_subj": OTHERS_EVENT},
            {"seq": 1, "next_by_subj": "hyperpage.evt.v1.queues.>"},
            {"seq": 1, "next_by_subj": "hyperpage.*.v1.queues.>"},
            {"start_time": "2000-01-01T00:00:00Z", "next_by_subj": ">"},
            {"start_time": "2000-01-01T00:00:00Z", "batch": 1_000},
            {"seq": 1, "batch": 1_000},
            {"batch": 1_000},
            {"seq": 1, "batch": 1_000, "next_by_subj": "hyperpage.evt.v1.>"},
            {"seq": 1, "batch": 1_000, "next_by_subj": "hyperpage.evt.v1.*.>"},
            {"multi_last": [OTHERS_EVENT]},
            {"multi_last": [EVENT, OTHERS_EVENT], "batch": 10},
            {"multi_last": ["hyperpage.evt.v1.>"]},
            {"multi_last": [">"], "up_to_seq": 100_000},
            {"multi_last": ["hyperpage.evt.v1.jobs.>", "hyperpage.evt.v1.*.1.paused"]},
        )
    ),
    (f"DIRECT.GET.{EVENTS}.{OTHERS_EVENT}", b""),
    (f"DIRECT.GET.{EVENTS}.hyperpage.evt.v1.queues.>", b""),
    (f"DIRECT.GET.{EVENTS}.hyperpage.evt.v1.>", b""),
    (f"DIRECT.GET.{EVENTS}.>", b""),
    (f"DIRECT.GET.{EVENTS}.{EVENT}", {"last_by_subj": OTHERS_EVENT}),
    (f"DIRECT.GET.{EVENTS}.{EVENT}", {"multi_last": [">"], "batch": 1_000}),
    (f"STREAM.INFO.{EVENTS}", {"subjects_filter": ">"}),
    (f"STREAM.INFO.{EVENTS}", {"subjects_filter": "hyperpage.evt.v1.queues.>", "offset": 0}),
    (f"STREAM.INFO.KV_{OTHER_BUCKET}", b""),
    (f"STREAM.MSG.GET.KV_{OTHER_BUCKET}", {"seq": 1}),
    (f"DIRECT.GET.KV_{OTHER_BUCKET}.$KV.{OTHER_BUCKET}.first", b""),
    (f"DIRECT.GET.KV_{BUCKET}.$KV.{OTHER_BUCKET}.first", b""),
    (f"CONSUMER.NAMES.KV_{OTHER_BUCKET}", b""),
    (f"CONSUMER.CREATE.KV_{OTHER_BUCKET}.x", {"stream_name": f"KV_{OTHER_BUCKET}", "config": {"name": "x"}}),
]


@pytest.mark.parametrize(("subject", "body"), ROADS)
def test_no_request_tells_of_what_it_may_not_see(bus: UsersAtWork, subject: str, body: Any):
    async def scenario() -> list[tuple[str | None, bytes]]:
        await events_of_both(bus)
        return await asked(bus, subject, body)

    answers = bus.run(scenario())

    assert answers != []
    for _, said in answers:
        # In base64, too.
        assert all(one not in said for one in (SECRET, b"c2VjcmV0", b"queues", b".first"))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"filter_subject": ">"},
        {"filter_subject": ""},
        {"filter_subjects": []},
        {"filter_subjects": [">"]},
        {"filter_subjects": ["hyperpage.evt.v1.jobs.>"]},
    ],
)
@pytest.mark.parametrize("policy", ["all", "last_per_subject"])
def test_a_consumer_without_subjects_brings_all_that_it_may_see(
    bus: UsersAtWork, config: dict[str, Any], policy: str
):
    async def scenario() -> set[str]:
        await events_of_both(bus)
        await bus.ask(CLERK, f"CONSUMER.DELETE.{EVENTS}.all")
        made = await bus.create_consumer(CLERK, EVENTS, "all", deliver_policy=policy, **config)
        assert "error" not in made
        consumer = await bus.jetstream(CLERK).pull_subscribe_bind("all", EVENTS)
        left = (await consumer.consumer_info()).num_pending
        assert left
        return {message.subject.split(".")[3] for message in await consumer.fetch(left, timeout=SECONDS)}

    assert bus.run(scenario()) <= {"jobs", "system"}


@pytest.mark.parametrize(
    "config",
    [
        {"filter_subject": OTHERS_EVENT},
        {"filter_subject": "hyperpage.evt.v1.queues.>"},
        {"filter_subject": "hyperpage.evt.v1.*.>"},
        {"filter_subject": "hyperpage.evt.v1.>"},
        {"filter_subject": "hyperpage.evt.v1.*.*.paused"},
        {"filter_subject": "*.evt.v1.queues.>"},
        {"filter_subjects": ["hyperpage.evt.v1.jobs.>", "hyperpage.evt.v1.queues.>"]},
        {"filter_subjects": ["hyperpage.evt.v1.jobs.>", "*.>"]},
        {"filter_subject": "hyperpage.evt.v1.jobs.>", "filter_subjects": ["hyperpage.evt.v1.queues.>"]},
        {"subject_transforms": [{"src": "hyperpage.evt.v1.queues.>", "dest": "hyperpage.evt.v1.jobs.>"}]},
        {"direct": True, "filter_subject": "hyperpage.evt.v1.jobs.>"},
        {"priority_policy": "x", "filter_subject": OTHERS_EVENT},
    ],
)
@pytest.mark.parametrize("deliver", [None, "_INBOX.pushed"])
@pytest.mark.parametrize("is_there", [False, True], ids=["new", "changed"])
def test_a_consumer_of_what_it_may_not_see_is_refused(
    bus: UsersAtWork, config: dict[str, Any], deliver: str | None, is_there: bool
):
    async def scenario() -> tuple[Any, list[bytes]]:
        heard = await bus.heard(CLERK, "_INBOX.pushed")
        await bus.ask(CLERK, f"CONSUMER.DELETE.{EVENTS}.own")
        push = {"deliver_subject": deliver} if deliver else {}
        if is_there:
            await bus.create_consumer(CLERK, EVENTS, "own", **push, filter_subject="hyperpage.evt.v1.none.>")
        refused = await bus.create_consumer(CLERK, EVENTS, "own", **push, **config)
        await events_of_both(bus)
        await bus.settled()
        return refused, [message.data for message in heard if message.data == SECRET]

    refused, heard = bus.run(scenario())

    assert refused["error"]["code"] in (400, 403)
    assert heard == []


def test_it_reads_and_watches_the_bucket_of_its_table_and_no_other(bus: UsersAtWork):
    async def scenario() -> Any:
        clerk = bus.jetstream(CLERK)
        with pytest.raises(nats.js.errors.Error):
            await clerk.key_value(OTHER_BUCKET)
        bucket = await clerk.key_value(BUCKET)
        watcher = await bucket.watchall()
        first = await watcher.updates(timeout=SECONDS)
        while first is None:
            first = await watcher.updates(timeout=SECONDS)
        await watcher.stop()
        return first.key, (await bucket.get("first")).value, await bucket.keys()

    assert bus.run(scenario()) == ("first", b"1", ["first"])


@pytest.fixture
def keyed(bus: UsersAtWork) -> Iterator[UsersAtWork]:
    """The clerk may read only keys that begin with its name."""
    rights = Rights(reads=("app_state",), keys=("clerk/",))
    before = bus.principals[CLERK]
    bus.principals[CLERK] = Principal(name=CLERK, rights=rights)
    yield bus
    bus.principals[CLERK] = before


def test_keys_that_are_not_its_own_are_not_in_a_bucket(keyed: UsersAtWork):
    own, other = escape("clerk/a"), escape("other/a")

    async def scenario() -> Any:
        written = await keyed.jetstream(RELAY).key_value(BUCKET)
        revision = await written.put(own, b"own")
        hidden = await written.put(other, SECRET)
        bucket = await keyed.jetstream(CLERK).key_value(BUCKET)
        values = (await bucket.get(own)).value, (await bucket.get(own, revision=revision)).value
        for key, at in ((other, None), (other, hidden), (own, hidden)):
            with pytest.raises(nats.js.errors.Error):
                await bucket.get(key, revision=at)
        with pytest.raises(nats.js.errors.Error):
            await bucket.watchall()
        watcher = await bucket.watch(own)
        entries = [await watcher.updates(timeout=SECONDS) for _ in range(2)]
        await watcher.stop()
        return values, {entry.value for entry in entries if entry}

    assert keyed.run(scenario()) == ((b"own", b"own"), {b"own"})


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (f"DIRECT.GET.KV_{BUCKET}", {"last_by_subj": f"$KV.{BUCKET}.>"}),
        (f"DIRECT.GET.KV_{BUCKET}", {"last_by_subj": f"$KV.{BUCKET}.*"}),
        (f"DIRECT.GET.KV_{BUCKET}", {"multi_last": [f"$KV.{BUCKET}.>"], "batch": 100}),
        (f"DIRECT.GET.KV_{BUCKET}", {"multi_last": [f"$KV.{BUCKET}.clerk=2Fa", f"$KV.{BUCKET}.other=2Fa"]}),
        (f"DIRECT.GET.KV_{BUCKET}", {"seq": 1, "batch": 100}),
        (f"STREAM.MSG.GET.KV_{BUCKET}", {"last_by_subj": f"$KV.{BUCKET}.other=2Fa"}),
        (f"STREAM.MSG.GET.KV_{BUCKET}", {"seq": 1, "next_by_subj": f"$KV.{BUCKET}.>"}),
        (f"DIRECT.GET.KV_{BUCKET}.$KV.{BUCKET}.other=2Fa", b""),
        (f"DIRECT.GET.KV_{BUCKET}.$KV.{BUCKET}.clerk=2F>", b""),
        *(
            (
                f"CONSUMER.CREATE.KV_{BUCKET}.x",
                {"stream_name": f"KV_{BUCKET}", "config": {"name": "x", **config}},
            )
            for config in (
                {},
                {"filter_subject": f"$KV.{BUCKET}.>"},
                {"filter_subject": f"$KV.{BUCKET}.*"},
                {"filter_subjects": [f"$KV.{BUCKET}.clerk=2Fa", f"$KV.{BUCKET}.other=2Fa"]},
            )
        ),
    ],
)
def test_no_request_tells_of_a_key_that_is_not_its_own(keyed: UsersAtWork, subject: str, body: Any):
    async def scenario() -> list[tuple[str | None, bytes]]:
        written = await keyed.jetstream(RELAY).key_value(BUCKET)
        await written.put("clerk=2Fa", b"own")
        await written.put("other=2Fa", SECRET)
        return await asked(keyed, subject, body)

    ((status, said),) = keyed.run(scenario())

    assert status in ("400", "403") or json.loads(said)["error"]["code"] == 403


def test_a_consumer_that_was_made_with_more_rights_brings_nothing_any_more(bus: UsersAtWork):
    async def scenario() -> list[tuple[str | None, bytes]]:
        before = bus.principals[CLERK]
        bus.principals[CLERK] = Principal(name=CLERK)
        try:
            await bus.ask(CLERK, f"CONSUMER.DELETE.{EVENTS}.older")
            made = await bus.create_consumer(CLERK, EVENTS, "older", deliver_policy="last")
            assert "error" not in made
        finally:
            bus.principals[CLERK] = before
        await events_of_both(bus)
        return await asked(bus, f"CONSUMER.MSG.NEXT.{EVENTS}.older", {"batch": 10, "no_wait": True})

    ((status, said),) = bus.run(scenario())

    assert (status, said) == ("403", b"")


@pytest.mark.parametrize("deliver", [{}, {"deliver_subject": "_INBOX.pushed"}])
def test_consumers_beyond_a_users_rights_go_when_users_have_changed(
    bus: UsersAtWork, deliver: dict[str, str]
):
    async def scenario() -> Any:
        before = bus.principals[CLERK]
        bus.principals[CLERK] = Principal(name=CLERK)
        heard = await bus.heard(CLERK, "_INBOX.pushed")
        filters = {"filter_subject": "hyperpage.evt.v1.jobs.>", **LASTING}
        # More than are listed at once.
        configs: dict[str, dict[str, Any]] = {
            "whole": LASTING,
            **{f"jobs-{number}": filters for number in range(300)},
        }
        for name, config in configs.items():
            await bus.create_consumer(CLERK, EVENTS, name, deliver_policy="new", **config, **deliver)
        bus.principals[CLERK] = before
        await bus.access.drop_consumers()
        heard.clear()
        await events_of_both(bus)
        await bus.settled()
        listed = (await bus.ask(CLERK, f"CONSUMER.NAMES.{EVENTS}"))["consumers"]
        mine = await bus.ask(BILLING, f"CONSUMER.INFO.{EVENTS}.mine")
        for name in listed:
            await bus.ask(CLERK, f"CONSUMER.DELETE.{EVENTS}.{name}")
        return {message.data for message in heard}, set(listed), mine["name"]

    bus.run(bus.create_consumer(BILLING, EVENTS, "mine", **LASTING))
    heard, listed, mine = bus.run(scenario())

    assert SECRET not in heard
    assert "whole" not in listed
    assert {f"jobs-{number}" for number in range(300)} <= listed
    assert mine == "mine"


def test_a_user_without_rights_has_its_results_alone(bus: UsersAtWork):
    async def scenario() -> Any:
        before = bus.principals[CLERK]
        bus.principals[CLERK] = Principal(name=CLERK, rights=Rights())
        try:
            return await bus.ask(CLERK, "STREAM.NAMES"), await bus.ask(CLERK, f"STREAM.INFO.{EVENTS}")
        finally:
            bus.principals[CLERK] = before

    named, refused = bus.run(scenario())

    assert named["streams"] == ["HYPERPAGE_RESULTS"]
    assert refused["error"]["code"] == 403


def test_somebody_that_is_no_user_any_more_is_not_answered(bus: UsersAtWork):
    async def scenario() -> Any:
        before = bus.principals.pop(CLERK)
        try:
            return await asked(bus, "INFO")
        finally:
            bus.principals[CLERK] = before

    assert bus.run(scenario()) == []


def test_a_bucket_is_read_as_documented_by_a_limited_user(bus: UsersAtWork):
    async def scenario() -> list[str]:
        newest = ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)
        clerk = bus.jetstream(CLERK)
        consumer = await clerk.pull_subscribe(f"$KV.{BUCKET}.>", stream=f"KV_{BUCKET}", config=newest)
        return [message.subject for message in await consumer.fetch(1, timeout=SECONDS)]

    assert bus.run(scenario()) == [f"$KV.{BUCKET}.first"]
