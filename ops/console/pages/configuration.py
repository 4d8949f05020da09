"""One tool's configuration, its history, and the way back to an old version: `configuration.html`."""

from typing import Any

from starlette.responses import Response

from domain.errors import NotFound
from ops.console.routing import action, page
from ops.console.visit import Visit, whole_number

HISTORY_EVENTS = 50
# What the page says once a verb was carried out.
DONE = {
    "enable": "The tool is on",
    "disable": "The tool is off",
    "delete": "The tool has no configuration any more",
    "rollback": "The old content is back, as a new version",
}


async def show_configuration(visit: Visit) -> Response:
    """A configuration with its history, and how two versions differ or what a rollback would change."""
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
        "configuration.html",
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
    """Carries out one of the verbs, if the configuration is still as it was on the page."""
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
    """The differences between two versions, by path: how, old value, new value."""
    diff = await visit.query("tool_configs.diff", tool_name=tool, from_version=before, to_version=after)
    changes = [
        *(("added", one["path"], None, one["value"]) for one in diff["added"]),
        *(("removed", one["path"], one["value"], None) for one in diff["removed"]),
        *(("changed", one["path"], one["from"], one["to"]) for one in diff["changed"]),
    ]
    return sorted(changes, key=lambda change: change[1])


ROUTES = [
    page("/tool_configs/{key:path}", show_configuration),
    action("/tool_configs/{key:path}", change_configuration),
]
