"""Cases about answers: a client hands them on whole."""

import asyncio

import msgspec

from hyperpage_client.documents import encode
from hyperpage_client.testing.client_conformance.case import Group
from hyperpage_client.testing.client_conformance.expecting import equal, true
from hyperpage_client.testing.client_conformance.nats_messages import Message
from hyperpage_client.testing.client_conformance.setting import Setting
from hyperpage_client.testing.client_conformance.subjects import command
from hyperpage_client.testing.client_conformance.wire import AnswerChanged

ANSWERS = Group("Answers")

MEMBERS = ["command_id", "stream", "version", "position", "timeline", "events", "result"]
AT_ONCE = 100


@ANSWERS.case(
    "an answer has all of its members, in their order",
    "Hand on the answer to a command with all seven members, in the order of the reference.",
)
async def members(at: Setting) -> None:
    client = await at.connect()
    answer = await client.command("app_state.set", {"key": at.key(), "value": 1})
    equal("the members", list(answer), MEMBERS)
    equal("the stream", answer["stream"], f"app_state/{at.key()}")
    equal("the version", answer["version"], 1)
    equal("the events", answer["events"], ["app_state.set.v1"])
    equal("the result", answer["result"], None)


@ANSWERS.case(
    "a command that changes nothing is accepted",
    "Take null for stream, version and position, and no events: nothing was to be changed.",
)
async def nothing_changed(at: Setting) -> None:
    client = await at.connect()
    await client.command("app_state.set", {"key": at.key(), "value": 1})
    answer = await client.command("app_state.set", {"key": at.key(), "value": 1})
    said = {name: answer[name] for name in ("stream", "version", "position", "events")}
    equal("the answer", said, {"stream": None, "version": None, "position": None, "events": []})


@ANSWERS.case(
    "the result of a command comes with its answer",
    "Hand on the result of a command, such as the jobs of a claim, each with its lease.",
)
async def result(at: Setting) -> None:
    client = await at.connect()
    queue = at.key("queue")
    body = {"type": "mail", "id": at.key(), "queue": queue, "payload": {"to": "a"}}
    await client.command("jobs.enqueue", body)
    answer = await client.command("jobs.claim", {"worker": "conformance", "queue": queue})
    [job] = answer["result"]["jobs"]
    equal("the job", [job["id"], job["payload"], job["state"]], [at.key(), {"to": "a"}, "running"])
    true("it has a lease", bool(job["lease"]), came=job["lease"])


@ANSWERS.case(
    "members that a client does not know are passed over",
    "Take an answer with members of a newer service; pass over those that you do not know.",
)
async def newer_service(at: Setting) -> None:
    def grown(message: Message) -> Message:
        body = {**msgspec.json.decode(message.body), "of_a_newer_service": {"deep": [1]}}
        return msgspec.structs.replace(message, body=encode(body))

    client = await at.connect()
    at.wire.disturb(AnswerChanged(command("app_state.set"), 1, grown))
    answer = await client.command("app_state.set", {"key": at.key(), "value": 1})
    equal("the events", answer["events"], ["app_state.set.v1"])


@ANSWERS.case(
    "a row that has an error is no refusal",
    "Tell a refusal by the header Nats-Service-Error-Code: the row of a job has an `error` of its own.",
)
async def row_with_error(at: Setting) -> None:
    client = await at.connect()
    queue = at.key("queue")
    await client.command("jobs.enqueue", {"type": "mail", "id": at.key(), "queue": queue})
    claimed = await client.command("jobs.claim", {"worker": "conformance", "queue": queue})
    held = {"id": at.key(), "lease": claimed["result"]["jobs"][0]["lease"]}
    await client.command("jobs.fail", {**held, "error": "it is broken", "retryable": False})
    row = await client.query("jobs.get", {"id": at.key()})
    equal("the row", [row["state"], row["error"]], ["failed", "it is broken"])


@ANSWERS.case(
    "each of a hundred commands at once gets its own answer",
    "Have several commands under way at once; give each the answer to its own reply subject.",
)
async def at_once(at: Setting) -> None:
    client = await at.connect()
    keys = [at.key(str(number)) for number in range(AT_ONCE)]
    bodies = [{"key": key, "value": number} for number, key in enumerate(keys)]
    answers = await asyncio.gather(*(client.command("app_state.set", body) for body in bodies))
    equal("the streams", [one["stream"] for one in answers], [f"app_state/{key}" for key in keys])


@ANSWERS.case(
    "what is said about a command stands with its event",
    "Send actor, correlation id, causation id and traceparent as headers, where they are given.",
)
async def about(at: Setting) -> None:
    client = await at.connect()
    said = {
        "actor": "conformance",
        "correlation_id": at.key("correlation"),
        "causation_id": at.key("causation"),
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    await client.command("app_state.set", {"key": at.key(), "value": 1}, **said)
    look = await at.look()
    [event] = [one async for one in look.history("app_state", key=at.key())]
    equal("what the event says", {name: getattr(event, name) for name in said}, said)
