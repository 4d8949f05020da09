"""Cases about final refusals: a client hands them on, and does not send the command again."""

from typing import Any

from hyperpage_client.testing.client_conformance.case import Group
from hyperpage_client.testing.client_conformance.expecting import equal, true
from hyperpage_client.testing.client_conformance.refused import refusal
from hyperpage_client.testing.client_conformance.setting import Driven, Setting
from hyperpage_client.testing.client_conformance.subjects import command
from hyperpage_client.testing.client_conformance.wire import Answered

REFUSALS = Group("Refusals")

# Looks like a credential, and opens nothing: issuers give such texts for documents and tests.
LOOKS_LIKE_A_TOKEN = "ghp_" + "aB3dE5gH7j" * 3 + "aB3dE5"
# More than any command may have, and more than a message of NATS.
OVER_A_BODY, OVER_A_MESSAGE = 300_000, 2_000_000


async def refused(client: Driven, name: str, body: dict[str, Any], **about: Any) -> dict[str, Any]:
    """The error of a command that is refused, after a check that it has all members of a refusal."""
    error = await client.refused("command", command=name, body=body, **about)
    missing = {"code", "message", "hint", "details"} - error.keys()
    equal("what the refusal lacks", sorted(missing), [])
    true("message and hint are said", bool(error["message"]) and bool(error["hint"]), came=error)
    return error


@REFUSALS.case(
    "a body that is wrong is invalid, and says where",
    "Hand on code, message, hint and details of a refusal; `details.violations` has all that is wrong.",
)
async def invalid(at: Setting) -> None:
    client = await at.connect()
    error = await refused(client, "jobs.enqueue", {"type": "mail", "priority": 9, "querue": "mail"})
    equal("the code", error["code"], "invalid")
    equal("the path", error["details"]["path"], "$.priority")
    paths = [one["path"] for one in error["details"]["violations"]]
    equal("all paths", paths, ["$.priority", "$"])


@REFUSALS.case(
    "a refusal is final",
    "Send nothing again that was refused, but for `busy`, `unavailable` and `behind`.",
)
async def final(at: Setting) -> None:
    client = await at.connect()
    await refused(client, "app_state.set", {"key": "no..key", "value": 1})
    equal("how often it was sent", len(at.wire.sent_to(command("app_state.set"))), 1)


@REFUSALS.case(
    "what is not there is not found",
    "Hand on `not_found`, of a command and of a query.",
)
async def not_found(at: Setting) -> None:
    client = await at.connect()
    error = await refused(client, "jobs.cancel", {"id": at.key()})
    equal("the code of the command", error["code"], "not_found")
    error = await client.refused("query", query="jobs.get", body={"id": at.key()})
    equal("the code of the query", error["code"], "not_found")


@REFUSALS.case(
    "an expected version that is not that of the stream is a conflict",
    "Send an expected version as the header Hyperpage-Expected-Version; 0 asks that there is nothing yet.",
)
async def version_conflict(at: Setting) -> None:
    client = await at.connect()
    await client.command("app_state.set", {"key": at.key(), "value": 1}, expected_version=0)
    error = await refused(client, "app_state.set", {"key": at.key(), "value": 2}, expected_version=0)
    equal("the code", error["code"], "version_conflict")
    equal("the details", error["details"], {"expected_version": 0, "actual_version": 1})
    await client.command("app_state.set", {"key": at.key(), "value": 2}, expected_version=1)


@REFUSALS.case("a key that is taken is refused", "Hand on `already_exists`.")
async def already_exists(at: Setting) -> None:
    client = await at.connect()
    await client.command("jobs.enqueue", {"type": "mail", "id": at.key()})
    error = await refused(client, "jobs.enqueue", {"type": "mail", "id": at.key()})
    equal("the code", error["code"], "already_exists")


@REFUSALS.case(
    "a rule that says no is named",
    "Hand on `refused` with its `details.rule`, by which programs decide.",
)
async def rule(at: Setting) -> None:
    client = await at.connect()
    await client.command("jobs.enqueue", {"type": "mail", "id": at.key()})
    error = await refused(client, "jobs.complete", {"id": at.key(), "lease": "of somebody else"})
    equal("the code and the rule", [error["code"], error["details"]["rule"]], ["refused", "stale_lease"])


@REFUSALS.case(
    "what looks like a credential is refused, and not repeated",
    "Hand on `secret_rejected` with its path; do not put the value into an error or a log.",
)
async def secret_rejected(at: Setting) -> None:
    client = await at.connect()
    error = await refused(client, "app_state.set", {"key": at.key(), "value": {"a": LOOKS_LIKE_A_TOKEN}})
    equal(
        "the code and the path", [error["code"], error["details"]["path"]], ["secret_rejected", "$.value.a"]
    )
    true("the value is not repeated", LOOKS_LIKE_A_TOKEN not in repr(error), came=error)


@REFUSALS.case(
    "a body over its limit is too large",
    "Hand on `too_large` with the limit and the size.",
)
async def too_large(at: Setting) -> None:
    client = await at.connect()
    error = await refused(client, "app_state.set", {"key": at.key(), "value": "x" * OVER_A_BODY})
    equal("the code", error["code"], "too_large")
    true(
        "it has the limit and the size", error["details"].keys() >= {"limit_bytes", "size_bytes"}, came=error
    )


@REFUSALS.case(
    "a message that NATS does not take is too large, and costs no connection",
    "Look at `max_payload` before you send, and refuse: NATS ends a connection over a larger message.",
)
async def over_a_message(at: Setting) -> None:
    client = await at.connect()
    body = {"key": at.key(), "value": "x" * OVER_A_MESSAGE}
    error = await client.refused("command", command="app_state.set", body=body)
    equal("the code", error["code"], "too_large")
    equal("how often it was sent", len(at.wire.sent_to(command("app_state.set"))), 0)
    await client.command("app_state.set", {"key": at.key(), "value": 1})


@REFUSALS.case(
    "a defect of the service is told with its incident",
    "Hand on `internal` with its `details.incident`, under which an operator finds it.",
)
async def internal(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(Answered(command("app_state.set"), 1, *refusal("internal", 500, incident="f00d")))
    error = await refused(client, "app_state.set", {"key": at.key(), "value": 1})
    equal("the code and the incident", [error["code"], error["details"]], ["internal", {"incident": "f00d"}])


@REFUSALS.case(
    "a code that a client does not know is a refusal, too",
    "Hand on the code of a newer service as it is. It is final.",
)
async def unknown_code(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(Answered(command("app_state.set"), 1, *refusal("of_a_newer_service", 418)))
    error = await refused(client, "app_state.set", {"key": at.key(), "value": 1})
    equal("the code", error["code"], "of_a_newer_service")
    equal("how often it was sent", len(at.wire.sent_to(command("app_state.set"))), 1)


@REFUSALS.case(
    "a user of its own is told what it may not do",
    "Connect with the seed of an NKey out of a file, and hand on `forbidden`.",
    needs=("credentials",),
)
async def forbidden(at: Setting) -> None:
    seed = await at.user_of_its_own("--allow", "app_state.*", "--read")
    client = await at.connect(url=at.wire.bare_url, credentials=str(seed))
    await client.command("app_state.set", {"key": at.key(), "value": 1})
    error = await refused(client, "jobs.enqueue", {"type": "mail"})
    equal("the code", error["code"], "forbidden")
