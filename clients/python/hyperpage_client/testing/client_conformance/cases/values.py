"""Cases about values that a client sends and reads back."""

from datetime import datetime
from typing import Any

from hyperpage_client.testing.client_conformance.case import Group
from hyperpage_client.testing.client_conformance.expecting import equal
from hyperpage_client.testing.client_conformance.setting import Setting

VALUES = Group("Values")

TEXTS = ["", "plain", "äöü", "漢字", "🦤 👩‍🚀", 'quotes " and \\', "\u2028 \u2029", "a\nb\tc\u0001", "\u0000"]
NUMBERS = [0, -1, 2**53 - 1, -(2**53 - 1), 0.1, -1.5, 1e-7, 1e21, 123456.789]
LARGE = [2**53 + 1, -(2**53 + 1), 2**63 - 1, -(2**63)]
SHAPES: list[Any] = [None, True, False, {}, [], "", 0, [None], {"a": None}, {"a": {"b": [{"c": []}]}}]


async def there_and_back(at: Setting, value: Any) -> Any:
    """A value, after it was set and read back."""
    client = await at.connect()
    await client.command("app_state.set", {"key": at.key(), "value": value})
    row = await client.query("app_state.get", {"key": at.key()})
    return row["value"]


@VALUES.case("text of any script comes back as it was", "Write JSON in UTF-8, and read it so.")
async def texts(at: Setting) -> None:
    equal("the texts", await there_and_back(at, TEXTS), TEXTS)


@VALUES.case(
    "numbers come back as they were",
    "Keep integers up to 2⁵³ − 1, and fractions as precise as a double is.",
)
async def numbers(at: Setting) -> None:
    equal("the numbers", await there_and_back(at, NUMBERS), NUMBERS)


@VALUES.case(
    "integers of 64 bits come back as they were",
    "Keep integers up to 64 bits exact; a client whose language has none says so.",
    needs=("int64",),
)
async def large_numbers(at: Setting) -> None:
    equal("the numbers", await there_and_back(at, LARGE), LARGE)


@VALUES.case(
    "null, false, nothing and the like are told apart",
    "Keep null, false, 0, an empty text, list and object apart, and a member that is null in its object.",
)
async def shapes(at: Setting) -> None:
    equal("the values", await there_and_back(at, SHAPES), SHAPES)


@VALUES.case(
    "a value may be null itself",
    "Send a null that is given: it is a value. Leave out only what is absent.",
)
async def null(at: Setting) -> None:
    equal("the value", await there_and_back(at, None), None)


@VALUES.case(
    "what is absent is not sent as null",
    "Leave out a field that was not given: it has a default, and null is often none.",
)
async def absent(at: Setting) -> None:
    client = await at.connect()
    await client.command("jobs.enqueue", {"type": "mail", "id": at.key()})
    row = await client.query("jobs.get", {"id": at.key()})
    said = [row[name] for name in ("name", "priority", "queue", "payload", "max_attempts")]
    equal("the defaults", said, ["mail", 2, "default", {}, 5])


@VALUES.case(
    "null takes a member out of a configuration",
    "Send null in a merge patch (RFC 7396) as null: it removes the member.",
)
async def merge_patch(at: Setting) -> None:
    client = await at.connect()
    tool = {"tool_name": at.key()}
    await client.command("tool_configs.set", {**tool, "config": {"a": 1, "b": {"c": 2, "d": 3}}})
    await client.command("tool_configs.patch", {**tool, "patch": {"a": None, "b": {"c": None}}})
    row = await client.query("tool_configs.get", tool)
    equal("the configuration", row["config"], {"b": {"d": 3}})


@VALUES.case(
    "times are milliseconds since the epoch",
    "Take times as integers of milliseconds since 1970, in UTC, and send them so.",
)
async def times(at: Setting) -> None:
    client = await at.connect()
    due_at = round(datetime.fromisoformat("2099-03-28T23:59:59.999+01:00").timestamp() * 1000)
    await client.command("jobs.enqueue", {"type": "mail", "id": at.key(), "run_at": due_at})
    row = await client.query("jobs.get", {"id": at.key()})
    equal("the time and the state", [row["run_at"], row["state"]], [due_at, "scheduled"])


@VALUES.case(
    "keys may have slashes, dots and signs",
    "Send a key as it is in a body; only in a subject is it escaped.",
)
async def keys(at: Setting) -> None:
    client = await at.connect()
    key = at.key("a/b:c.d@e+f=g-h_i")
    answer = await client.command("app_state.set", {"key": key, "value": 1})
    row = await client.query("app_state.get", {"key": key})
    equal("the stream and the key", [answer["stream"], row["key"]], [f"app_state/{key}", key])
