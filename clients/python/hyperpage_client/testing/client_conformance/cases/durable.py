"""Cases about durable commands, which the broker stores."""

import asyncio

from hyperpage_client.contract.headers import COMMAND_ID
from hyperpage_client.testing.client_conformance.case import Group
from hyperpage_client.testing.client_conformance.expecting import equal, true
from hyperpage_client.testing.client_conformance.setting import Driven, Setting
from hyperpage_client.testing.client_conformance.subjects import NAMES, durable_command
from hyperpage_client.testing.client_conformance.wire import Answered, Swallowed

DURABLE = Group("Durable commands", "durable")

SET = durable_command("app_state.set")
# JetStream's answer when a stream takes no more.
FULL = {
    "error": {"code": 400, "err_code": 10077, "description": "maximum bytes exceeded"},
    "stream": NAMES.commands,
    "seq": 0,
}
LATE_SECONDS = 0.3


async def stored(client: Driven, at: Setting, value: int = 1, **about: str) -> str:
    """The id of a command that the broker has stored."""
    body = {"key": at.key(), "value": value}
    told = await client.ok("store", command="app_state.set", body=body, **about)
    return str(told["command_id"])


@DURABLE.case(
    "a command is stored, and its answer is kept",
    "Publish to `dcmd` as a request, with an id; look at the acknowledgement, and fetch the answer later.",
)
async def kept(at: Setting) -> None:
    client = await at.connect()
    command_id = await stored(client, at)
    answer = await client.ok("stored_answer", command_id=command_id)
    equal("the answer", [answer["command_id"], answer["events"]], [command_id, ["app_state.set.v1"]])


@DURABLE.case(
    "an answer that is not there yet is waited for",
    "Look again, after a pause, where there is no answer yet.",
)
async def late(at: Setting) -> None:
    client = await at.connect()
    waiting = at.begin(client.ok("stored_answer", command_id=at.key("id")))
    await asyncio.sleep(LATE_SECONDS)
    look = await at.look()
    body = {"key": at.key(), "value": 1}
    await look.send_durable("app_state.set", body, wait=False, command_id=at.key("id"))
    equal("the events", (await waiting)["events"], ["app_state.set.v1"])


@DURABLE.case(
    "an answer that never comes ends in `unreachable`, in time",
    "Give up when the time is up; the command stays stored.",
)
async def never(at: Setting) -> None:
    client = await at.connect()
    error = await client.refused("stored_answer", command_id=at.key(), timeout_ms=300)
    equal("the code", error["code"], "unreachable")


@DURABLE.case(
    "an id may have any character",
    "Write each byte of an id outside `A-Za-z0-9_-` as =XX in the subject of its answer, not in its header.",
)
async def escaped(at: Setting) -> None:
    client = await at.connect()
    given = at.key("Auftrag/7.späte * > 漢")
    equal("the id", await stored(client, at, command_id=given), given)
    answer = await client.ok("stored_answer", command_id=given)
    equal("the id in the answer", answer["command_id"], given)


@DURABLE.case(
    "a refusal is kept, too",
    "Hand on a kept refusal as the refusal that it is.",
)
async def refused(at: Setting) -> None:
    client = await at.connect()
    told = await client.ok("store", command="jobs.cancel", body={"id": at.key()}, command_id=at.key("id"))
    error = await client.refused("stored_answer", command_id=told["command_id"])
    equal("the code", error["code"], "not_found")


@DURABLE.case(
    "what is no command becomes a dead letter, and says so",
    "Hand on the refusal of what is no command at all; operators find it among the dead letters.",
)
async def dead_letter(at: Setting) -> None:
    client = await at.connect()
    said = {"command": "app_state.of_a_newer_service", "body": {"key": at.key()}}
    told = await client.ok("store", **said, command_id=at.key("id"))
    error = await client.refused("stored_answer", command_id=told["command_id"])
    equal("the code", error["code"], "not_found")


@DURABLE.case(
    "stored twice under one id, it is carried out once",
    "Store it again under its id where it is not known to be stored: the answer is the first one's.",
)
async def twice(at: Setting) -> None:
    client = await at.connect()
    command_id = at.key("id")
    await stored(client, at, command_id=command_id)
    first = await client.ok("stored_answer", command_id=command_id)
    await stored(client, at, command_id=command_id)
    equal("the answer", await client.ok("stored_answer", command_id=command_id), first)
    equal("the version", first["version"], 1)


@DURABLE.case(
    "without an acknowledgement, it is stored again",
    "Publish it again under the same id until the broker acknowledges it.",
)
async def unacknowledged(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(Swallowed(SET, 1))
    command_id = await stored(client, at)
    sent = {one.message.headers.get(COMMAND_ID) for one in at.wire.sent_to(SET)}
    equal("the ids", sent, {command_id})
    answer = await client.ok("stored_answer", command_id=command_id)
    equal("the version", answer["version"], 1)


@DURABLE.case(
    "what the broker does not take is not stored",
    "Read the acknowledgement: `error` in it says that nothing was taken in. Hand it on as `unavailable`.",
)
async def full(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(Answered(SET, 1_000, {}, FULL))
    body = {"key": at.key(), "value": 1}
    error = await client.refused("store", command="app_state.set", body=body, timeout_ms=1_000)
    equal("the code", error["code"], "unavailable")
    true("it says why", "maximum bytes exceeded" in error["message"], came=error)


@DURABLE.case(
    "a stored command is carried out over a `kill -9` of the service",
    "Trust an acknowledgement: go on asking for the answer while the service is away.",
    service="killed",
)
async def killed(at: Setting) -> None:
    client = await at.connect()
    command_id = await stored(client, at)
    await at.kill_and_start()
    answer = await client.ok("stored_answer", command_id=command_id, timeout_ms=60_000)
    equal("the version", answer["version"], 1)
