"""Requests that a member passes on to the leader, and how the leader reads them."""

import asyncio
from collections.abc import Mapping

import msgspec
import pytest

from bus.contract.senders import UserSubjects
from bus.serving.leader_door import LeaderDoor
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import UNREADABLE, LeanClient
from hyperpage_client.transport.protocol import Handler
from hyperpage_client.transport.sending import RawMessage

NAMES = BusNames(prefix="our.own", inbox_prefix="_IN.box.")
TOLD = UserSubjects(NAMES)
SHARED = UserSubjects(NAMES, are_told=False)
OF_BILLING = "our.own.usr.billing.qry.v1.jobs.get"
PLAIN = "our.own.qry.v1.jobs.get"


class Connection(LeanClient):
    """A connection to nowhere; `heard` is the handler of its inbox."""

    heard: Handler

    def __init__(self) -> None:
        super().__init__()
        self._max_payload = 1024

    async def subscribe_direct(self, subject: str, *, queue: str = "", handler: Handler) -> None:  # type: ignore[override]
        self.inbox, self.heard = subject.removesuffix(">"), handler


def door_on(subjects: UserSubjects, sent: list[RawMessage] | None = None) -> LeaderDoor:
    return LeaderDoor(Connection(), subjects, ([] if sent is None else sent).append)


def passed_on(
    subjects: UserSubjects, subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes
) -> RawMessage:
    sender = subjects.sender(subject, reply)
    assert sender is not None
    return door_on(subjects).passed_on(subject, sender, headers, body)


def refused_as(message: RawMessage) -> tuple[str, str]:
    """The reply subject of a refusal, and its code."""
    to, _, body, headers = message
    assert headers is not None
    return to, msgspec.json.decode(body)["error"]["code"]


@pytest.mark.parametrize(
    ("subjects", "subject", "reply"),
    [
        (TOLD, OF_BILLING, "_IN.box.abc.1"),
        (TOLD, OF_BILLING, "_INBOX_billing.abc"),
        (TOLD, OF_BILLING, "_IN.box.our.own_to.billing.led.v1.1"),
        (SHARED, PLAIN, "_IN.box.abc.1"),
    ],
)
def test_who_leads_gets_what_came_as_it_came(subjects: UserSubjects, subject: str, reply: str):
    to, inbox, body, headers = passed_on(subjects, subject, reply, {"a": "b"}, b"{}")

    assert (to, body, headers) == (f"our.own.led.v1.{subject}", b"{}", {"a": "b"})
    # Any member's inbox has as many tokens.
    assert door_on(subjects).came_to(to, inbox) == (subject, reply)


def test_where_all_are_one_nobody_leads_for_users():
    assert door_on(SHARED).arrivals(NAMES.query(">")) == ("our.own.led.v1.our.own.qry.v1.>",)
    assert len(door_on(TOLD).arrivals(NAMES.query(">"))) == 2


@pytest.mark.parametrize(
    ("reply", "headers", "body", "code"),
    [
        ("_IN.box." + "x" * 4000, None, b"", "too_large"),
        ("_IN.box.a", {"a": "x" * 1_010}, b"{}", "too_large"),
        ("_IN.box.a", dict(UNREADABLE), b"{}", "invalid"),
    ],
)
def test_what_cannot_be_passed_on_is_answered(
    reply: str, headers: dict[str, str] | None, body: bytes, code: str
):
    message = passed_on(TOLD, OF_BILLING, reply, headers, body)

    assert refused_as(message) == (f"our.own_to.billing.{reply}", code)


@pytest.mark.parametrize(
    ("subjects", "reply", "strange"),
    [
        (TOLD, "our.own_to.billing._IN.box.a", "our.own.evt.v1.jobs.1.completed"),
        (SHARED, "_IN.box.a", "our.own.evt.v1.jobs.1.completed"),
        (SHARED, "_IN.box.a", "our.own_to.billing._IN.box.a"),
    ],
)
def test_who_asks_while_nobody_leads_is_told_and_nobody_else(
    subjects: UserSubjects, reply: str, strange: str
):
    connection, sent = Connection(), list[RawMessage]()
    asyncio.run(LeaderDoor(connection, subjects, sent.append).start())
    for to in (reply, strange):
        connection.heard(connection.inbox + to, "", {"Status": "503"}, b"")
    connection.heard(connection.inbox + reply, "", {"Status": "408"}, b"")
    connection.heard(connection.inbox + reply, "", None, b"503")

    assert [refused_as(one) for one in sent] == [(reply, "unavailable")]
