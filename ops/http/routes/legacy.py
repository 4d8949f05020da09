"""The paths of the system that this one replaces, with the same meaning: `/api/tools/config`, `/api/backup`.

Errors have `error` beside the members of problem details, since its front ends look there. Where that system
had a text for an error, the message is the same text.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bus.contract import codec
from domain.errors import Invalid, NotFound, RuleViolated, TooLarge, Unavailable
from ops.backup.metadata import Metadata
from ops.backup.requests import Ended, RestoreRequest
from ops.contract.shapes import INTEGER, TEXT, array_of, map_of, object_of
from ops.http.operations import Operation, answer, parameter, reference, request_body
from ops.http.problem import LEGACY_PATHS
from ops.http.routes.admin import administer, restore_of_ours
from ops.http.routes.messages import bus_headers
from ops.http.routing import backend_of, bus_principal_of, json_body, json_response, route

CONFIG, BACKUP = LEGACY_PATHS
# The largest answer with all configurations.
MAXIMUM_BYTES = 16 * 1024 * 1024
# How long a request for a restore waits for the restored service.
RESTORE_SECONDS = 3600.0
POLL_SECONDS = 0.1

_PRESENT = Annotated[str, msgspec.Meta(min_length=1)]
_Wish = TypeVar("_Wish", bound=msgspec.Struct)


class ToolConfiguration(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """A tool's configuration, as the system before had it."""

    enabled: bool = True
    config: msgspec.Raw = msgspec.Raw(b"{}")
    refresh_interval: int | None = None
    notifications: bool = True


class SaveConfiguration(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """A tool, and its new configuration."""

    tool_name: _PRESENT
    config: ToolConfiguration


class CreateBackup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The purpose of the backup."""

    description: str | None = None


class RestoreBackup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A backup, by its name or by its path in the folder of the backups."""

    backup_path: _PRESENT


class _Rows(msgspec.Struct):
    items: list[dict[str, msgspec.Raw]]
    next: str | None


async def get_configuration(request: Request) -> Response:
    """The configuration of one tool, or all configurations by the names of their tools."""
    backend = backend_of(request)
    tool = request.query_params.get("tool")
    if tool:
        try:
            row = await backend.query("tool_configs.get", codec.encode({"tool_name": tool}))
        except NotFound as error:
            raise NotFound("Tool configuration not found", hint=error.hint, **error.details) from None
        return json_response(codec.encode(_as_before(msgspec.json.decode(row, type=dict[str, msgspec.Raw]))))
    found: dict[str, dict[str, msgspec.Raw]] = {}
    after, size = None, 0
    while True:
        page = await backend.query("tool_configs.list", codec.encode({"limit": 1000, "after": after}))
        size += len(page)
        if size > MAXIMUM_BYTES:
            raise TooLarge(
                "all configurations do not fit into one answer",
                hint="ask for one with ?tool=, or for pages of /api/v1/tool_configs",
                limit_bytes=MAXIMUM_BYTES,
            )
        rows = msgspec.json.decode(page, type=_Rows)
        found |= {msgspec.json.decode(row["tool_name"], type=str): _as_before(row) for row in rows.items}
        if (after := rows.next) is None:
            return json_response(codec.encode(found))


def _as_before(row: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """The fields of a configuration, by their names in the previous system."""
    names = zip(ToolConfiguration.__struct_encode_fields__, ToolConfiguration.__struct_fields__, strict=True)
    return {theirs: row[ours] for theirs, ours in names}


async def save_configuration(request: Request) -> Response:
    """Stores the configuration of a tool."""
    wish = _wish(SaveConfiguration, await json_body(request), "Tool name and configuration required")
    body = {"tool_name": wish.tool_name, **msgspec.structs.asdict(wish.config)}
    await backend_of(request).command(
        "tool_configs.set", codec.encode(body), bus_headers(request), bus_principal_of(request)
    )
    return json_response(codec.encode({"message": "Configuration saved successfully"}))


def _wish(shape: type[_Wish], body: bytes, incomplete: str) -> _Wish:
    """The request in a body; `incomplete` is the message if a required member is missing or empty."""
    given = codec.decode(dict[str, msgspec.Raw], body)
    for field in msgspec.structs.fields(shape):
        if field.required and bytes(given.get(field.encode_name, b"null")) in (b"null", b'""'):
            raise Invalid(incomplete, path=f"$.{field.encode_name}")
    wish: _Wish = codec.decode(shape, body)
    return wish


async def get_backups(request: Request) -> Response:
    """The backups by the day (UTC) on which they were made, newest first."""
    listed = await administer(request, "backup.list", b"")
    by_date: dict[str, list[dict[str, Any]]] = {}
    for one in listed["items"]:
        metadata: Metadata = one["metadata"]
        day = f"{datetime.fromtimestamp(metadata.timestamp / 1000, UTC):%Y-%m-%d}"
        by_date.setdefault(day, []).append(
            {"name": one["name"], "path": one["path"], "size": metadata.size, "metadata": metadata}
        )
    return json_response(codec.encode(by_date))


async def create_backup(request: Request) -> Response:
    """Makes and checks a backup."""
    wish = codec.decode(CreateBackup, await json_body(request))
    made = await administer(request, "backup.create", codec.encode({"description": wish.description or ""}))
    backup = {
        "success": True,
        "backupPath": made["path"],
        "metadata": made["metadata"],
        "size": made["metadata"]["size"],
    }
    return json_response(codec.encode({"message": "Backup created successfully", "backup": backup}))


async def restore_backup(request: Request) -> Response:
    """Restores the store from a backup; answered when the restored store is served."""
    wish = _wish(RestoreBackup, await json_body(request), "Backup path required")
    body = restore_of_ours(request, RestoreRequest(backup=wish.backup_path))
    accepted = await administer(request, "backup.restore", body)
    ended = await _end_of_restore(request, accepted["token"])
    if ended.result is None:
        raise RuleViolated("not_restored", ended.error or "the store was not restored", hint=ended.hint)
    return json_response(
        codec.encode(
            {
                "message": "Database restored successfully",
                "restoredFrom": wish.backup_path,
                "result": ended.result,
            }
        )
    )


async def _end_of_restore(request: Request, token: str) -> Ended:
    """How a restore ended; returns when the restored service serves."""
    deadline = asyncio.get_running_loop().time() + RESTORE_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        await backend_of(request).attached_within(POLL_SECONDS)
        try:
            ended: Ended | None = await administer(request, "backup.restored", b"")
        except Unavailable:
            continue
        if ended is not None and ended.token == token:
            return ended
        # The old service is still ending.
        await asyncio.sleep(POLL_SECONDS)
    raise Unavailable(
        f"the service did not come back within {RESTORE_SECONDS:.0f} s",
        hint="it may still be restoring: GET /readyz says when it serves, and its log how it ended",
    )


SCHEMAS: Mapping[str, type[msgspec.Struct]] = {
    "tool_configuration": ToolConfiguration,
    "save_configuration": SaveConfiguration,
    "create_backup_as_before": CreateBackup,
    "restore_backup": RestoreBackup,
}
_TAG = "as before"
_ONE = reference("tool_configuration")
_METADATA = reference("backup_metadata")
_LISTED = object_of({"name": TEXT, "path": TEXT, "size": INTEGER, "metadata": _METADATA})
_MADE = {"success": {"type": "boolean"}, "backupPath": TEXT, "metadata": _METADATA, "size": INTEGER}

ROUTES = [
    route(
        CONFIG,
        get_configuration,
        role="read",
        operation=Operation(
            "tools.config.get",
            _TAG,
            {200: answer("Them, or it.", {"anyOf": [_ONE, map_of(_ONE)]})},
            parameters=[parameter("tool", "query", TEXT)],
            problems=(404, 413),
        ),
    ),
    route(
        CONFIG,
        save_configuration,
        role="operate",
        methods=("POST",),
        operation=Operation(
            "tools.config.save",
            _TAG,
            {200: answer("It is stored.", object_of({"message": TEXT}))},
            problems=(404, 409, 412, 422),
            body=request_body(reference("save_configuration")),
        ),
    ),
    route(
        BACKUP,
        get_backups,
        role="read",
        operation=Operation("backup.get", _TAG, {200: answer("Them.", map_of(array_of(_LISTED)))}),
    ),
    route(
        BACKUP,
        create_backup,
        role="operate",
        methods=("POST",),
        operation=Operation(
            "backup.make",
            _TAG,
            {200: answer("It is made.", object_of({"message": TEXT, "backup": object_of(_MADE)}))},
            problems=(422,),
            body=request_body(reference("create_backup_as_before"), required=False),
        ),
    ),
    route(
        BACKUP,
        restore_backup,
        role="admin",
        methods=("PUT",),
        operation=Operation(
            "backup.put_back",
            _TAG,
            {
                200: answer(
                    "It is served.",
                    object_of({"message": TEXT, "restoredFrom": TEXT, "result": {"type": "object"}}),
                )
            },
            problems=(404, 422),
            body=request_body(reference("restore_backup")),
        ),
    ),
]
