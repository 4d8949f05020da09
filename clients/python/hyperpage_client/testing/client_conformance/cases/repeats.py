"""Cases about ids of commands, and about commands that are sent again."""

import json

from hyperpage_client.contract.headers import COMMAND_ID
from hyperpage_client.testing.client_conformance.case import Group
from hyperpage_client.testing.client_conformance.expecting import equal, true
from hyperpage_client.testing.client_conformance.setting import Setting
from hyperpage_client.testing.client_conformance.subjects import command
from hyperpage_client.testing.client_conformance.wire import AnswerChanged, Sent, Swallowed

REPEATS = Group("Ids and repeats")

SET = command("app_state.set")


def ids(sent: list[Sent]) -> list[str | None]:
    """The ids of the commands that were sent."""
    return [one.message.headers.get(COMMAND_ID) for one in sent]


@REPEATS.case(
    "each command has an id of its own",
    "Send each command under an id (Hyperpage-Command-Id); make one, such as a UUIDv7, where none is given.",
)
async def own_ids(at: Setting) -> None:
    client = await at.connect()
    answers = [await client.command("app_state.set", {"key": at.key(), "value": one}) for one in (1, 2)]
    sent = list(dict.fromkeys(ids(at.wire.sent_to(SET))))
    true("both have one, and not the same", all(sent) and len(sent) == 2, came=sent)
    equal("the ids in the answers", [one["command_id"] for one in answers], sent)


@REPEATS.case(
    "an id that is given is sent as it is",
    "Take an id from the caller, and send exactly that, also where it is no UUID.",
)
async def given_id(at: Setting) -> None:
    client = await at.connect()
    given = at.key("Auftrag/7: späte Antwort 漢")
    answer = await client.command("app_state.set", {"key": at.key(), "value": 1}, command_id=given)
    equal("the id in the answer", answer["command_id"], given)


@REPEATS.case(
    "the same id gets the same answer",
    "Hand on the answer to a repeated command as it is: it is the first one's, byte for byte.",
)
async def same_answer(at: Setting) -> None:
    client = await at.connect()
    body, command_id = {"type": "mail", "id": at.key()}, at.key("id")
    first, second = [await client.command("jobs.enqueue", body, command_id=command_id) for _ in range(2)]
    equal("the second answer, as JSON", json.dumps(second), json.dumps(first))
    equal("its version", second["version"], 1)


@REPEATS.case(
    "an id that was used for something else is refused",
    "Hand on `command_id_reused`, and send nothing again.",
)
async def reused(at: Setting) -> None:
    client = await at.connect()
    command_id = at.key("id")
    await client.command("app_state.set", {"key": at.key(), "value": 1}, command_id=command_id)
    other = {"key": at.key(), "value": 2}
    said = {"command": "app_state.set", "body": other, "command_id": command_id}
    refused = await client.refused("command", **said)
    equal("the code", refused["code"], "command_id_reused")
    equal("how often the two were sent", len(at.wire.sent_to(SET)), 2)


@REPEATS.case(
    "a lost answer is asked for again, under the same id",
    "Send a command again where no answer came in time: the same id, the same body, until the time is up.",
)
async def lost_answer(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(AnswerChanged(SET, 1, lambda _: None))
    answer = await client.command("app_state.set", {"key": at.key(), "value": 1})
    sent = at.wire.sent_to(SET)
    true("it was sent again", len(sent) > 1, came=len(sent))
    equal("the ids", set(ids(sent)), {answer["command_id"]})
    equal("the bodies", {one.message.body for one in sent}, {sent[0].message.body})
    equal("the version", answer["version"], 1)


@REPEATS.case(
    "a command that got nowhere is sent again",
    "Send it again under its id also where the first one never arrived.",
)
async def swallowed(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(Swallowed(SET, 1))
    answer = await client.command("app_state.set", {"key": at.key(), "value": 1})
    equal("the events", answer["events"], ["app_state.set.v1"])
    equal("the ids", set(ids(at.wire.sent_to(SET))), {answer["command_id"]})


@REPEATS.case(
    "an expected version holds for a repeat, too",
    "Send Hyperpage-Expected-Version with every attempt: a repeat gets the first answer, and no conflict.",
)
async def expected_version_again(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(AnswerChanged(SET, 1, lambda _: None))
    answer = await client.command("app_state.set", {"key": at.key(), "value": 1}, expected_version=0)
    equal("the version", answer["version"], 1)
