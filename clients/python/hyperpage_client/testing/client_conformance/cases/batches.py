"""Cases about batches: several commands in one message."""

import json
from typing import Any

from hyperpage_client.testing.client_conformance.case import Group
from hyperpage_client.testing.client_conformance.expecting import equal, true
from hyperpage_client.testing.client_conformance.setting import Driven, Setting
from hyperpage_client.testing.client_conformance.subjects import command
from hyperpage_client.testing.client_conformance.wire import AnswerChanged

BATCHES = Group("Batches", "batch")

BATCH = command("batch")
TOO_MANY = 1_001


def set_to(key: str, value: Any, **about: Any) -> dict[str, Any]:
    """A command of a batch."""
    return {"command": "app_state.set", "body": {"key": key, "value": value}, **about}


async def outcomes(client: Driven, *commands: dict[str, Any], atomic: bool = False) -> list[dict[str, Any]]:
    """The outcome of each command."""
    told = await client.ok("batch", commands=list(commands), atomic=atomic)
    return list(told["outcomes"])


@BATCHES.case(
    "each command of a batch has an outcome, in order",
    "Send up to 1,000 commands to `batch`; hand on an answer or a refusal for each, in their order.",
)
async def in_order(at: Setting) -> None:
    client = await at.connect()
    cancel = {"command": "jobs.cancel", "body": {"id": at.key()}}
    told = await outcomes(client, set_to(at.key("a"), 1), cancel, set_to(at.key("b"), 2))
    equal(
        "the streams",
        [told[0]["ok"]["stream"], told[2]["ok"]["stream"]],
        [f"app_state/{at.key(one)}" for one in "ab"],
    )
    equal("the refusal", [told[1]["error"]["code"], told[1]["error"]["details"]["index"]], ["not_found", 1])


@BATCHES.case(
    "an atomic batch is carried out as a whole",
    "Send `atomic` where it is asked for; all outcomes are answers then.",
)
async def atomic(at: Setting) -> None:
    client = await at.connect()
    told = await outcomes(client, set_to(at.key("a"), 1), set_to(at.key("b"), 2), atomic=True)
    first, second = [one["ok"]["position"] for one in told]
    equal("the second position", second, first + 1)


@BATCHES.case(
    "an atomic batch is refused as a whole",
    "Hand on the refusal of an atomic batch as that of the batch; `details.index` is the command meant.",
)
async def atomic_refused(at: Setting) -> None:
    client = await at.connect()
    commands = [set_to(at.key(), 1), {"command": "jobs.cancel", "body": {"id": at.key()}}]
    error = await client.refused("batch", commands=commands, atomic=True)
    equal("the code and the index", [error["code"], error["details"]["index"]], ["not_found", 1])
    error = await client.refused("query", query="app_state.get", body={"key": at.key()})
    equal("the code of the row", error["code"], "not_found")


@BATCHES.case(
    "each command of a batch has an id of its own",
    "Give each command of a batch an id before you send it, so that a repeat does nothing twice.",
)
async def own_ids(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(AnswerChanged(BATCH, 1, lambda _: None))
    told = await outcomes(client, set_to(at.key("a"), 1), set_to(at.key("b"), 2))
    sent = [json.loads(one.message.body) for one in at.wire.sent_to(BATCH)]
    ids = [one.get("id") for one in sent[0]["commands"]]
    true("both have one, and not the same", all(ids) and len(set(ids)) == 2, came=ids)
    equal("what was sent again", sent[-1], sent[0])
    equal("the versions", [one["ok"]["version"] for one in told], [1, 1])


@BATCHES.case(
    "ids and expected versions of a batch's commands are those that were given",
    "Send a command's own `id` and `expected_version` with it, and leave out what was not given.",
)
async def given(at: Setting) -> None:
    client = await at.connect()
    first = set_to(at.key(), 1, id=at.key("id"), expected_version=0)
    told = await outcomes(client, first, set_to(at.key(), 2, expected_version=7))
    equal("the id", told[0]["ok"]["command_id"], at.key("id"))
    equal("the conflict", told[1]["error"]["code"], "version_conflict")
    again = await outcomes(client, first)
    equal("the first outcome again", again[0], told[0])


@BATCHES.case(
    "a batch with too many commands is refused",
    "Hand on `too_large`, and carry out nothing of it.",
)
async def too_many(at: Setting) -> None:
    client = await at.connect()
    error = await client.refused("batch", commands=[set_to(at.key(), 1)] * TOO_MANY, atomic=True)
    equal("the code", error["code"], "too_large")
