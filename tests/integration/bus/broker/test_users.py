"""The permissions of each user of the embedded nats-server; every other attempt has no effect.

Tests of JetStream's API, as users have it, are in tests/integration/bus/serving/test_stream_access.py.
"""

import asyncio
import json
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, USERS
from bus.contract.rights import Principal
from bus.contract.senders import UserSubjects
from bus.serving.admission import Admission
from bus.serving.discovery import SERVICE_NAME
from bus.serving.stream_access import StreamAccess
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from tests.support.services.users_at_work import (
    BILLING,
    EVENT,
    SECONDS,
    UsersAtWork,
    violation,
)

# Subjects at which no message of a user's own may arrive, in a stream or at a service.
FORBIDDEN = [
    EVENT,
    "hyperpage.evt.v1.jobs.1.forged",
    "hyperpage.res.v1.forged",
    "hyperpage.dlq.v1.forged",
    "hyperpage.sys.v1.forged",
    "hyperpage.adm.v1.backup.create",
    "hyperpage_live.evt.v1.jobs.1.forged",
    "hyperpage.usr.admin.adm.v1.backup.create",
    "hyperpage.usr.admin.cmd.v1.jobs.enqueue",
    "hyperpage.usr.app.dcmd.v1.jobs.enqueue",
    "hyperpage.usr.app.res.v1.forged",
    "hyperpage.usr.app.js.INFO",
    "hyperpage_to.admin._INBOX.x",
    "hyperpage_to.app._INBOX.x",
    "void.app.INFO",
    "$KV.hyperpage_tool_configs.forged",
    "$KV.hyperpage_app_state.forged",
    "$KV.hyperpage_cluster.leader",
    "$O.hyperpage_backups.C.forged",
    "$O.hyperpage_backups.M.forged",
    "hyperpage.log.v1",
    "_INBOX.somebody",
    "_INBOX.somebody.else",
    "_INBOX_relay.x",
    "_INBOX_responder.x",
    "_INBOX_admin.x",
    "$JS.ACK.HYPERPAGE_COMMANDS.worker.1.1.1.1.0",
    "$JS.FC.HYPERPAGE_COMMANDS.x",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.USER.INFO",
    "$SYS.REQ.ACCOUNT.PING",
    *(f"$JS.ACK.{stream}.1.1.1.1.1.0" for stream in ("HYPERPAGE_DLQ", "*")),
]


@pytest.mark.parametrize("user", [APP, BILLING])
@pytest.mark.parametrize("subject", FORBIDDEN)
def test_a_user_may_not_publish(bus: UsersAtWork, user: str, subject: str):
    async def scenario():
        before = await bus.contents()
        await bus.clients[user].publish(subject, b"{}", reply="_INBOX.answer")
        after = await bus.contents()
        assert after == before

    bus.run(scenario())

    assert bus.violations[user] == [violation("publish to", subject)]
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
        "hyperpage.usr.>",
        "hyperpage.usr.*.res.v1.>",
        "hyperpage.usr.admin.>",
        "hyperpage_to.>",
        "hyperpage_to.*.>",
        "hyperpage_to.admin.>",
        "*.usr.>",
        "void.>",
    ],
)
@pytest.mark.parametrize("queue", ["", "hyperpage"])
@pytest.mark.parametrize("user", [APP, BILLING])
def test_a_user_may_not_subscribe(bus: UsersAtWork, user: str, subject: str, queue: str):
    async def scenario():
        await bus.clients[user].subscribe(subject, queue=queue)
        await bus.settled()

    bus.run(scenario())

    (refused,) = bus.violations[user]
    assert refused.startswith(violation("subscription to", subject))


@pytest.mark.parametrize("target", ["hyperpage.evt.v1.forged", "hyperpage.adm.v1.backup.create"])
def test_a_message_is_not_traced_to_where_its_sender_may_not_publish(bus: UsersAtWork, target: str):
    async def scenario():
        before = await bus.contents()
        await bus.clients[APP].publish("hyperpage.cmd.v1.x", b"", headers={"Nats-Trace-Dest": target})
        assert await bus.contents() == before

    bus.run(scenario())

    assert bus.violations[APP] == [violation("publish to", target)]
    assert bus.served == []


@pytest.mark.parametrize("reply", ["_R_.forged", "$JS.ACK.HYPERPAGE_COMMANDS.worker.1.1.1.1.0"])
def test_a_reply_subject_cannot_be_one_of_the_servers_own(bus: UsersAtWork, reply: str):
    async def scenario():
        await bus.clients[APP].publish("hyperpage.cmd.v1.x", b"", reply=reply)
        await bus.settled()

    bus.run(scenario())

    assert bus.violations[APP] == [violation("publish with reply of", reply)]
    assert bus.served == []


def test_the_application_does_not_see_the_answers_to_others(bus: UsersAtWork):
    seen: list[Msg] = []

    async def scenario():
        async def see(message: Msg) -> None:
            seen.append(message)

        listening = await bus.clients[APP].subscribe("_INBOX.>", cb=see)
        await bus.clients[APP].flush()
        await bus.clients[ADMIN].request("hyperpage.qry.v1.echo", b"for the operator", timeout=SECONDS)
        await bus.jetstream(RELAY).account_info()
        await bus.jetstream(RESPONDER).publish(bus.result_of(ADMIN, "secret"), b"{}")
        await bus.clients[APP].request("hyperpage.qry.v1.echo", b"for a service", timeout=SECONDS)
        await bus.settled()
        await listening.unsubscribe()

    bus.run(scenario())

    # The first answer that the application sees is its own, although its request came last.
    assert seen[0].data == b"for a service"


def test_a_command_reaches_the_responder_with_the_callers_own_reply_subject(bus: UsersAtWork):
    """The responder checks the reply subject, so no account may replace it; the subject names the user."""

    async def scenario():
        await bus.clients[APP].publish(
            "hyperpage.cmd.v1.jobs.enqueue", b"{}", reply="hyperpage.evt.v1.forged"
        )
        await bus.settled()

    bus.run(scenario())

    (message,) = bus.served
    assert message.subject == "hyperpage.usr.app.cmd.v1.jobs.enqueue"
    assert message.reply == "hyperpage.evt.v1.forged"


def test_a_query_is_answered_and_the_service_discovered(bus: UsersAtWork):
    async def scenario():
        app = bus.clients[APP]
        answer = await app.request("hyperpage.qry.v1.echo", b"?", timeout=SECONDS)
        pong = await app.request("$SRV.PING", timeout=SECONDS)
        stats = await app.request(f"$SRV.STATS.{SERVICE_NAME}", timeout=SECONDS)
        old_style = await app.request("$SRV.INFO", old_style=True, timeout=SECONDS)
        return answer.data, [json.loads(message.data)["name"] for message in (pong, stats, old_style)]

    assert bus.run(scenario()) == (b"?", [SERVICE_NAME] * 3)


def test_a_durable_command_is_stored_as_it_was_sent_under_its_senders_name(bus: UsersAtWork):
    headers = {"Hyperpage-Command-Id": "c-1", "Hyperpage-Reply-To": "_INBOX.x"}

    async def scenario():
        stored = await bus.jetstream(APP).publish("hyperpage.dcmd.v1.jobs.enqueue", b"{}", headers=headers)
        found = await bus.jetstream(RELAY).get_msg(stored.stream, stored.seq)
        return stored.stream, found.subject, found.data, found.headers

    stored = bus.run(scenario())

    assert stored == ("HYPERPAGE_COMMANDS", "hyperpage.usr.app.dcmd.v1.jobs.enqueue", b"{}", headers)


@pytest.mark.parametrize("subject", ["hyperpage.evt.v1.>", EVENT])
def test_an_event_is_seen_live_on_its_own_subject(bus: UsersAtWork, subject: str):
    async def scenario():
        live = await bus.clients[APP].subscribe(subject)
        await bus.clients[APP].flush()
        await bus.jetstream(RELAY).publish(EVENT, b"event")
        seen = await live.next_msg(timeout=SECONDS)
        await live.unsubscribe()
        return seen.subject, seen.data

    assert bus.run(scenario()) == (EVENT, b"event")


def test_notices_are_seen(bus: UsersAtWork):
    async def scenario():
        live = await bus.clients[APP].subscribe("hyperpage.sys.v1.>")
        await bus.clients[APP].flush()
        await bus.clients[RELAY].publish("hyperpage.sys.v1.restored", b"{}")
        seen = await live.next_msg(timeout=SECONDS)
        await live.unsubscribe()
        return seen.subject

    assert bus.run(scenario()) == "hyperpage.sys.v1.restored"


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
        "hyperpage.usr.app.cmd.v1.jobs.enqueue",
        "hyperpage.usr.app.dcmd.v1.jobs.enqueue",
        "hyperpage.usr.app.js.INFO",
        "_INBOX.x",
        "$KV.hyperpage_app_state.x",
        "$JS.API.INFO",
        "$JS.API.STREAM.PURGE.HYPERPAGE_EVENTS",
        "$JS.API.CONSUMER.CREATE.HYPERPAGE_EVENTS",
        "$SYS.REQ.SERVER.PING",
        "_INBOX_relay.x",
    ],
)
def test_the_responder_publishes_nothing_but_answers_and_results(bus: UsersAtWork, subject: str):
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
        "hyperpage.usr.admin.adm.v1.backup.create",
        "hyperpage.usr.app.cmd.v1.jobs.enqueue",
        "hyperpage.res.v1.x",
        "hyperpage.usr.app.res.v1.x",
        "_INBOX.x",
        "_INBOX_admin.x",
        "$SYS.REQ.SERVER.PING",
    ],
)
def test_the_relay_neither_commands_nor_answers(bus: UsersAtWork, subject: str):
    async def scenario():
        await bus.clients[RELAY].publish(subject, b"{}")
        await bus.clients[RELAY].flush()
        await bus.settled()

    bus.run(scenario())

    assert bus.violations[RELAY] == [violation("publish to", subject)]
    assert bus.served == []


@pytest.mark.parametrize("user", USERS)
def test_nobody_hears_the_system_account(bus: UsersAtWork, user: str):
    async def scenario():
        await bus.clients[user].subscribe("$SYS.>")
        await bus.clients[user].flush()
        await bus.settled()

    bus.run(scenario())

    (refused,) = bus.violations[user]
    assert refused.startswith(violation("subscription to", "$SYS.>"))


def test_the_operator_administers_and_is_answered_in_its_own_inbox(bus: UsersAtWork):
    async def scenario():
        own = await bus.clients[ADMIN].request("hyperpage.adm.v1.test.echo", b"own", timeout=SECONDS)
        # A tool that knows nothing of private inboxes, given the address in admin.json.
        tool = await nats.connect(bus.server.url_for(ADMIN))
        default = await tool.request("hyperpage.adm.v1.test.echo", b"default", timeout=SECONDS)
        await tool.close()
        return own.data, default.data

    assert bus.run(scenario()) == (b"own", b"default")
    assert bus.served[0].reply.startswith("_INBOX_admin.")


@pytest.mark.parametrize(
    "subject",
    [
        EVENT,
        "hyperpage.res.v1.x",
        "hyperpage.usr.app.res.v1.x",
        "hyperpage.dlq.v1.x",
        "$KV.hyperpage_app_state.x",
    ],
)
def test_the_operator_changes_nothing_past_the_service(bus: UsersAtWork, subject: str):
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
            relay = LeanClient()
            await relay.connect(server.url_for(RELAY), inbox_prefix=b"_INBOX_relay")
            app = await nats.connect(server.url_for(APP), inbox_prefix=b"_ACME")
            subjects = UserSubjects(names)
            admission = Admission(subjects, lambda user: Principal(name=user))
            access = StreamAccess(relay, subjects, key=b"k", admission=admission)
            await access.start()
            jetstream = relay.jetstream()
            await jetstream.add_stream(name=names.events, subjects=["acme.pages.evt.v1.>"])
            await jetstream.create_key_value(bucket=names.buckets[1])
            await jetstream.publish("acme.pages.evt.v1.x", b"event")
            ordered = await app.jetstream().subscribe("acme.pages.evt.v1.>", ordered_consumer=True)
            event = await ordered.next_msg(timeout=SECONDS)
            bucket = await app.jetstream().key_value(names.buckets[1])
            state = await bucket.status()
            await access.stop()
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
