"""Cases about a service that is busy, away or out of reach."""

import asyncio
import time
from typing import Any

from hyperpage_client.testing.client_conformance.case import Group
from hyperpage_client.testing.client_conformance.expecting import equal, true
from hyperpage_client.testing.client_conformance.refused import nobody_there, refusal
from hyperpage_client.testing.client_conformance.setting import GRACE_SECONDS, Driven, Setting
from hyperpage_client.testing.client_conformance.subjects import command, query
from hyperpage_client.testing.client_conformance.wire import AnswerChanged, Answered

OUTAGES = Group("Busy, away, out of reach")

SET, GET = command("app_state.set"), query("app_state.get")
ALWAYS = 1_000
RETRY_AFTER_MS = 300
# The time that a client gets for a question that stays without an answer.
SHORT_MS = 700
# An answer to the last attempt may come just after the time is up, so a case tries several times.
TRIES = 3
# How long no service is there, and how long a command may take from then on. A client that asks after 1, 3, 7
# and 15 seconds, and not when the connection is back, is too late.
AWAY_MS, PATIENCE_MS = 3_200, 3_500
# The time for a first connection of which one attempt fails.
CONNECT_MS = 10_000
# An address where nothing listens: no service takes that port.
NOWHERE = "nats://app:none@127.0.0.1:1"


async def in_vain(client: Driven, body: dict[str, Any]) -> dict[str, Any]:
    """The error of a command for which the client has little time."""
    return await client.refused("command", command="app_state.set", body=body, timeout_ms=SHORT_MS)


@OUTAGES.case(
    "a busy service is asked again, after the pause that it asks for",
    "Send again under the same id what was `busy`, not before `details.retry_after_ms` has passed.",
)
async def busy(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(Answered(SET, 1, *refusal("busy", 429, retry_after_ms=RETRY_AFTER_MS)))
    answer = await client.command("app_state.set", {"key": at.key(), "value": 1})
    first, second, *_ = at.wire.sent_to(SET)
    waited_ms = (second.at - first.at) * 1000
    true(f"it waited for {RETRY_AFTER_MS} ms", waited_ms >= RETRY_AFTER_MS, came=round(waited_ms))
    equal("the id", second.message.headers, first.message.headers)
    equal("the version", answer["version"], 1)


@OUTAGES.case(
    "a service that is unavailable is asked again",
    "Send again under the same id, after a pause, what was `unavailable`.",
)
async def unavailable(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(Answered(SET, 2, *refusal("unavailable", 503)))
    answer = await client.command("app_state.set", {"key": at.key(), "value": 1})
    equal("the version", answer["version"], 1)
    equal("how often it was sent", len(at.wire.sent_to(SET)), 3)


@OUTAGES.case(
    "a query is asked again, too",
    "Ask a query again where no answer came, or the service is busy.",
)
async def query_again(at: Setting) -> None:
    client = await at.connect()
    await client.command("app_state.set", {"key": at.key(), "value": 7})
    at.wire.disturb(Answered(GET, 1, *refusal("busy", 429, retry_after_ms=1)))
    at.wire.disturb(AnswerChanged(GET, 1, lambda _: None))
    row = await client.query("app_state.get", {"key": at.key()})
    equal("the value", row["value"], 7)


@OUTAGES.case(
    "a service that stays busy ends in `busy`, in time",
    "When the time for an answer is up, hand on the last refusal.",
)
async def busy_to_the_end(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(Answered(SET, ALWAYS, *refusal("busy", 429, retry_after_ms=50)))
    body = {"key": at.key(), "value": 1}
    began = time.monotonic()
    errors = [await in_vain(client, body) for _ in range(TRIES)]
    true("the code is `busy`", any(one["code"] == "busy" for one in errors), came=errors)
    seconds = time.monotonic() - began
    true("it came in time", seconds < GRACE_SECONDS, came=seconds)


@OUTAGES.case(
    "without an answer, a command may have been carried out",
    "Say `unreachable` then, that it may have been carried out, and under which id it may be sent again.",
)
async def without_an_answer(at: Setting) -> None:
    client = await at.connect()
    lost = at.wire.disturb(AnswerChanged(SET, ALWAYS, lambda _: None))
    body = {"key": at.key(), "value": 1}
    error = await in_vain(client, body)
    said = [error["code"], error.get("may_have_been_carried_out")]
    equal("the code, and whether it may have been carried out", said, ["unreachable", True])
    lost.end()
    answer = await client.command("app_state.set", body, command_id=error["command_id"])
    equal("the version that the same id is answered with", answer["version"], 1)


@OUTAGES.case(
    "where nobody listens, nothing was carried out",
    "Ask again where NATS answers that nobody is there (`503`); at the end, nothing was carried out.",
)
async def nobody(at: Setting) -> None:
    client = await at.connect()
    nobody = at.wire.disturb(Answered(SET, ALWAYS, *nobody_there()))
    body = {"key": at.key(), "value": 1}
    errors = [await in_vain(client, body) for _ in range(TRIES)]
    equal("the codes", {one["code"] for one in errors}, {"unreachable"})
    is_known = any(one["may_have_been_carried_out"] is False for one in errors)
    true("it is known that nothing was carried out", is_known, came=errors)
    true("it was asked again", len(at.wire.sent_to(SET)) > 1, came=len(at.wire.sent_to(SET)))
    nobody.end()
    await client.command("app_state.set", body)


@OUTAGES.case(
    "a connection that was lost is made again",
    "Connect again for ever, and send again what was under way.",
)
async def reconnected(at: Setting) -> None:
    client = await at.connect()
    await client.command("app_state.set", {"key": at.key(), "value": 1})
    await at.wire.cut()
    answer = await client.command("app_state.set", {"key": at.key(), "value": 2})
    equal("the version", answer["version"], 2)


@OUTAGES.case(
    "what was sent while nobody was there is sent when somebody is",
    "Send again, once the connection is back, what is under way: what a library kept meanwhile may be lost.",
)
async def sent_meanwhile(at: Setting) -> None:
    client = await at.connect()
    await client.command("app_state.set", {"key": at.key(), "value": 1})
    await at.wire.close()
    body = {"key": at.key(), "value": 2}
    sending = at.begin(client.command("app_state.set", body, timeout_ms=AWAY_MS + PATIENCE_MS))
    await asyncio.sleep(AWAY_MS / 1000)
    await at.wire.open()
    equal("the version", (await sending)["version"], 2)


@OUTAGES.case(
    "an address at which nobody is, is unreachable, in time",
    "Try a first connection for a while, and say `unreachable` then.",
)
async def nowhere(at: Setting) -> None:
    error = await at.connects_in_vain(url=NOWHERE, timeout_ms=SHORT_MS)
    equal("the code", error["code"], "unreachable")


@OUTAGES.case(
    "a user that is unknown for a moment is let in",
    "Try a first connection again that was refused once: while users are made, nobody is known for a moment.",
)
async def unknown_for_a_moment(at: Setting) -> None:
    at.wire.refusals = [b"-ERR 'Authorization Violation'\r\n"]
    client = await at.connect()
    await client.command("app_state.set", {"key": at.key(), "value": 1})


@OUTAGES.case(
    "a connection that ends before it stands is tried again, in time",
    "Give each attempt at a first connection a bound of its own: it may end, or hang, in the handshake.",
)
async def ends_in_the_handshake(at: Setting) -> None:
    at.wire.refusals = [b""]
    client = await at.connect(timeout_ms=CONNECT_MS)
    await client.command("app_state.set", {"key": at.key(), "value": 1})


@OUTAGES.case(
    "answers go to an inbox",
    "Have answers sent to subjects that begin with `_INBOX.`: a command with any other is dropped.",
)
async def inboxes(at: Setting) -> None:
    client = await at.connect()
    await client.command("app_state.set", {"key": at.key(), "value": 1})
    await client.query("app_state.get", {"key": at.key()})
    replies = [one.message.reply for subject in (SET, GET) for one in at.wire.sent_to(subject)]
    true("all are", all(one.startswith("_INBOX.") for one in replies), came=replies)


@OUTAGES.case(
    "a command over a `kill -9` of the service is carried out once",
    "Go on asking under the same id while the service is away: what it did is answered, and not done again.",
    service="killed",
)
async def killed(at: Setting) -> None:
    client = await at.connect()
    lost = at.wire.disturb(AnswerChanged(SET, ALWAYS, lambda _: None))
    sending = at.begin(client.command("app_state.set", {"key": at.key(), "value": 1}, timeout_ms=60_000))
    # Its answer is lost, and the client asks again.
    await at.until("the command arrives", lambda: lost.struck)
    await at.kill_and_start(lost.end)
    answer = await sending
    equal("the version", answer["version"], 1)
    answer = await client.command("app_state.set", {"key": at.key(), "value": 2})
    equal("the version of the next one", answer["version"], 2)
