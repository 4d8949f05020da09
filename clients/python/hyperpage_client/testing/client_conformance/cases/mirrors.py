"""Cases about the KV buckets that have the rows of configurations and state."""

from typing import Any

from hyperpage_client.testing.client_conformance.case import Group
from hyperpage_client.testing.client_conformance.expecting import equal
from hyperpage_client.testing.client_conformance.setting import Driven, Setting

MIRRORS = Group("Mirrors", "mirror")


async def until_mirrored(at: Setting, client: Driven, table: str, key: str, version: int | None) -> Any:
    """The row in the bucket, once it has that version (`None`: once it is gone)."""

    async def found() -> list[Any]:
        row = (await client.ok("mirror", table=table, key=key))["row"]
        return [row] if (row and row["version"]) == version else []

    return (await at.until(f"the mirror is at version {version}", found))[0]


@MIRRORS.case(
    "a bucket has the rows of the state",
    "Read the bucket hyperpage_app_state: under each key, escaped as in a subject, is the row.",
)
async def state(at: Setting) -> None:
    client = await at.connect()
    key = at.key("a/b:c.d=e")
    await client.command("app_state.set", {"key": key, "value": {"null": None, "text": "漢"}})
    row = await until_mirrored(at, client, "app_state", key, 1)
    equal("the row", row, await client.query("app_state.get", {"key": key}))


@MIRRORS.case(
    "what is deleted is gone from its bucket",
    "Take a delete marker for what it is: there is no row.",
)
async def deleted(at: Setting) -> None:
    client = await at.connect()
    await client.command("app_state.set", {"key": at.key(), "value": 1})
    await until_mirrored(at, client, "app_state", at.key(), 1)
    await client.command("app_state.delete", {"key": at.key()})
    await until_mirrored(at, client, "app_state", at.key(), None)


@MIRRORS.case(
    "a bucket has the configurations",
    "Read the bucket hyperpage_tool_configs likewise.",
)
async def configurations(at: Setting) -> None:
    client = await at.connect()
    await client.command("tool_configs.set", {"tool_name": at.key(), "config": {"a": 1}})
    row = await until_mirrored(at, client, "tool_configs", at.key(), 1)
    equal("the configuration", row["config"], {"a": 1})
