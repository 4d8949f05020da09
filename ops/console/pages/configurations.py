"""Configurations of tools: `configurations.html`, `configuration.html`, `configuration_edit.html`."""

from typing import Any

from starlette.responses import Response

from bus.contract import codec
from domain.errors import NotFound, Refusal
from ops.console.rendering import PREFIX, pretty, segment
from ops.console.routing import action, page
from ops.console.typed import without_credentials
from ops.console.visit import Visit, said_of, whole_number

PAGE_ROWS = 100
PATH = f"{PREFIX}/tool_configs"
HISTORY_EVENTS = 50
# The notice after each verb.
DONE = {
    "enable": "The tool is on",
    "disable": "The tool is off",
    "delete": "The tool has no configuration any more",
    "rollback": "The old content is back, as a new version",
}


async def show_configurations(visit: Visit) -> Response:
    """Every tool, with the main fields of its configuration."""
    after = visit.parameter("after")
    listed = await visit.query("tool_configs.list", after=after, limit=PAGE_ROWS)
    counted = await visit.query("tool_configs.count")
    return visit.render(
        "configurations/configurations.html",
        rows=listed["items"],
        next=listed["next"],
        count=counted["count"],
        is_first=after is None,
    )


async def show_edit(visit: Visit) -> Response:
    """A form with a tool's configuration as it is, or an empty one."""
    tool = visit.parameter("tool")
    row = {"version": 0, "enabled": True, "config": {}, "refresh_interval": None, "notifications": True}
    if tool is not None:
        try:
            row = await visit.query("tool_configs.get", tool_name=tool)
        except NotFound:
            # The configuration was deleted, or has only a schema: the next version follows its last event.
            newest = await visit.query("events.find", stream=f"tool_configs/{tool}", limit=1)
            row["version"] = newest["items"][0]["version"] if newest["items"] else 0
    return _form(visit, tool, {**row, "config": pretty(row["config"]), "reason": ""})


async def save(visit: Visit) -> Response:
    """Stores a tool's configuration if it has not changed since; if refused, shows the filled-in form."""
    form = visit.form
    tool = form.text("tool")
    filled_in = {
        "version": form.text("version"),
        "enabled": form.has("enabled"),
        "config": form.text("config"),
        "refresh_interval": form.text("refresh_interval"),
        "notifications": form.has("notifications"),
        "reason": form.text("reason"),
    }
    try:
        await visit.command("tool_configs.set", _body(tool, filled_in), expected_version=_version(filled_in))
    except Refusal as refusal:
        said = {name: without_credentials(form.text(name)) for name in ("config", "reason")}
        return _form(visit, tool, filled_in | said, refusal)
    visit.tell(f"The configuration of {tool} is stored")
    return visit.go(f"{PATH}/{segment(tool)}")


def _form(
    visit: Visit, tool: str | None, filled_in: dict[str, Any], refusal: Refusal | None = None
) -> Response:
    return visit.render(
        "configurations/configuration_edit.html",
        200 if refusal is None else refusal.number,
        tool=tool,
        said=filled_in,
        is_new=visit.form.has("is_new") if refusal else tool is None,
        problem=None if refusal is None else said_of(refusal),
        findings=() if refusal is None else refusal.details.get("errors", ()),
    )


def _body(tool: str, filled_in: dict[str, Any]) -> dict[str, Any]:
    """The form as the body of the command.

    Raises:
        Invalid: a field is wrong.
    """
    interval = filled_in["refresh_interval"]
    problem = "the refresh interval is a number of milliseconds"
    body = {
        "tool_name": tool,
        "enabled": filled_in["enabled"],
        "config": codec.decode(dict[str, Any], filled_in["config"].encode()),
        "refresh_interval": whole_number(interval, problem, path="refresh_interval") if interval else None,
        "notifications": filled_in["notifications"],
    }
    return body | ({"reason": filled_in["reason"]} if filled_in["reason"] else {})


def _version(filled_in: dict[str, Any]) -> int:
    return whole_number(filled_in["version"], "the page says which version it shows", path="version")


async def show_configuration(visit: Visit) -> Response:
    """A configuration with its history, and the changes between two versions or those of a rollback."""
    tool = visit.request.path_params["key"]
    events, has_more = await visit.history("tool_configs", tool, HISTORY_EVENTS)
    if not events:
        raise NotFound(f"there is no tool {tool[:200]}")
    newest = events[0].version
    back_to = visit.number("rollback")
    before, after = visit.number("from"), visit.number("to")
    if back_to is not None:
        before, after = newest, back_to
    if before is None or after is None:
        before, after = newest - 1, newest
    return visit.render(
        "configurations/configuration.html",
        key=tool,
        row=await visit.row("tool_configs.get", tool_name=tool),
        events=events,
        has_more=has_more,
        newest=newest,
        before=before,
        after=after,
        back_to=back_to,
        changes=await _changes(visit, tool, before, after),
    )


async def change_configuration(visit: Visit) -> Response:
    """Carries out one of the verbs, if the configuration has not changed since the page was shown."""
    verb = visit.form.verb(DONE, "a configuration is switched on or off, rolled back or deleted here")
    version = whole_number(visit.form.text("version"), "the page says which version it shows", path="version")
    body: dict[str, Any] = {"tool_name": visit.request.path_params["key"], **visit.form.given("reason")}
    if verb == "rollback":
        body["to_version"] = whole_number(
            visit.form.text("to_version") or "0", "a rollback leads to a version", path="to_version"
        )
    await visit.command(f"tool_configs.{verb}", body, expected_version=version)
    visit.tell(DONE[verb])
    return visit.go(visit.here)


async def _changes(visit: Visit, tool: str, before: int, after: int) -> list[tuple[str, str, Any, Any]]:
    """The differences between two versions, in the order of paths: kind, path, old value, new value."""
    diff = await visit.query("tool_configs.diff", tool_name=tool, from_version=before, to_version=after)
    changes = [
        *(("added", one["path"], None, one["value"]) for one in diff["added"]),
        *(("removed", one["path"], one["value"], None) for one in diff["removed"]),
        *(("changed", one["path"], one["from"], one["to"]) for one in diff["changed"]),
    ]
    return sorted(changes, key=lambda change: change[1])


ROUTES = [
    page("/tool_configs", show_configurations),
    page("/tool_configs/-/edit", show_edit, role="operate"),
    action("/tool_configs/-/edit", save),
    page("/tool_configs/{key:path}", show_configuration),
    action("/tool_configs/{key:path}", change_configuration),
]
