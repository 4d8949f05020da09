"""The paths beside commands and queries as operations of the OpenAPI document."""

from collections.abc import Iterator, Mapping

import msgspec

from bus.serving.administration import NoArguments
from bus.serving.dead_letters import ChooseDeadLetters, ListDeadLetters, ShowDeadLetter
from ops.backup.metadata import Metadata
from ops.backup.requests import CreateBackup, NameBackup, PruneBackups, RestoreRequest
from ops.contract.answers import INTEGER, TEXT, array_of, nullable, object_of
from ops.contract.schema import Schema, described
from ops.http.access.authentication import FORM
from ops.http.access.sessions import CSRF_HEADER
from ops.http.openapi.parts import (
    Operation,
    Parameter,
    answer,
    empty,
    json_body,
    operation,
    parameter,
    query_parameters,
)
from ops.http.routes import admin, events, legacy, session
from ops.http.routing import JSON

OPENAPI = "/openapi.json"
_EVENT_STREAM = events.MEDIA_TYPE

_STRUCTS: Mapping[str, type[msgspec.Struct]] = {
    "log_in": session.LogIn,
    "tool_configuration": legacy.ToolConfiguration,
    "save_configuration": legacy.SaveConfiguration,
    "create_backup_as_before": legacy.CreateBackup,
    "restore_backup": legacy.RestoreBackup,
    "create_backup": CreateBackup,
    "backup_metadata": Metadata,
    "restore": RestoreRequest,
    "list_dead_letters": ListDeadLetters,
    "show_dead_letter": ShowDeadLetter,
    "choose_dead_letters": ChooseDeadLetters,
    "name_backup": NameBackup,
    "prune_backups": PruneBackups,
    "nothing": NoArguments,
}
# What an operator can ask for, with what is sent and whether it may meet a rule.
ADMINISTRATION: Mapping[str, tuple[str, str]] = {
    "backup.list": ("The backups, newest first.", "nothing"),
    "backup.create": ("A new backup.", "create_backup"),
    "backup.verify": ("What a check of a whole backup finds.", "name_backup"),
    "backup.drill": ("What making a store from a backup finds.", "name_backup"),
    "backup.prune": ("Deletes the backups that no rule keeps.", "prune_backups"),
    "backup.pin": ("Keeps a backup for good.", "name_backup"),
    "backup.unpin": ("Leaves a backup to the rules of retention again.", "name_backup"),
    "backup.delete": ("Deletes one backup, unless something hangs on it.", "name_backup"),
    "backup.restore": ("Accepts a restore, which begins when it is answered.", "restore"),
    "backup.restored": ("How the last restore ended; null where there was none.", "nothing"),
    "dlq.list": ("Dead letters.", "list_dead_letters"),
    "dlq.show": ("One dead letter, whole.", "show_dead_letter"),
    "dlq.replay": ("Sends dead letters again.", "choose_dead_letters"),
    "dlq.drop": ("Drops dead letters.", "choose_dead_letters"),
    "projections.verify": ("Whether the tables are what the log says.", "nothing"),
    "projections.rebuild": ("Makes the tables what the log says.", "nothing"),
    "stream.refill": ("Fills the stream of events anew.", "nothing"),
}
_BACKUP_NAME: Schema = {"type": "string", "pattern": "^hyperpage-backup-[A-Za-z0-9._-]{1,100}$"}
_OBJECT: Schema = {"type": "object"}


def place_schemas() -> dict[str, Schema]:
    """What the operations refer to."""
    schemas: dict[str, Schema] = {}
    for name, struct in _STRUCTS.items():
        own, inner = described(name, struct, f"#/components/schemas/{name}.{{name}}")
        schemas[name] = own
        schemas |= {f"{name}.{one}": schema for one, schema in inner.items()}
    return schemas


def place_operations() -> Iterator[tuple[str, str, Operation]]:
    """Path, method and operation of everything that is neither a command nor a query of the contract."""
    yield from _of_the_service()
    yield from _of_sessions()
    yield from _of_the_system_before()
    yield from _of_backups()
    yield events.PATH, "get", _events()
    for name, (summary, body) in ADMINISTRATION.items():
        yield (
            admin.PREFIX + name.replace(".", "/"),
            "post",
            operation(
                f"admin.{name}",
                summary,
                tag="administration",
                role="admin",
                answers={200: answer("It was done.", {} if name == "backup.restored" else _OBJECT)},
                problems=(404, 422),
                body=json_body(_to(body)) | {"required": body in ("name_backup", "show_dead_letter")},
            ),
        )


def _of_the_service() -> Iterator[tuple[str, str, Operation]]:
    status = object_of({"status": {"enum": ["healthy", "degraded", "unhealthy"]}})
    alive = object_of({"status": {"enum": ["alive", "stuck"]}})
    verbose = parameter(
        "verbose", "query", TEXT, description="With it, in any form, everything is told, for the role `read`."
    )
    yield (
        "/livez",
        "get",
        operation(
            "livez",
            "Whether it makes sense to let it run.",
            tag="service",
            role=None,
            answers={200: answer("It lives.", alive), 503: answer("A restart would help.", alive)},
            problems=(),
        ),
    )
    yield (
        "/readyz",
        "get",
        operation(
            "readyz",
            "Whether it does what it is there for.",
            tag="service",
            role=None,
            answers={200: answer("Healthy or degraded.", status), 503: answer("Unhealthy.", status)},
            problems=(401, 403),
            parameters=[verbose],
        ),
    )
    yield (
        "/api/v1/service/-/status",
        "get",
        operation(
            "service.status",
            "How the service is, with the reasons.",
            tag="service",
            role="read",
            answers={200: answer("Its status.", status)},
            problems=(404,),
        ),
    )
    exposition = {kind: {"schema": TEXT} for kind in ("text/plain", "application/openmetrics-text")}
    yield (
        "/metrics",
        "get",
        operation(
            "metrics",
            "Figures for Prometheus.",
            tag="service",
            role="read",
            answers={200: {"description": "In the format that Accept prefers.", "content": exposition}},
        ),
    )
    yield (
        OPENAPI,
        "get",
        operation(
            "openapi",
            "This document.",
            tag="service",
            role=None,
            answers={200: answer("OpenAPI 3.1.", _OBJECT)},
        ),
    )


def _of_sessions() -> Iterator[tuple[str, str, Operation]]:
    who = answer("Who asks.", object_of({"name": TEXT, "role": TEXT, "csrf_token": nullable(TEXT)}))
    path = session.PATH
    yield path, "get", operation("session.get", "Who asks.", tag="session", role="read", answers={200: who})
    kinds = {JSON: {"schema": _to("log_in")}, FORM: {"schema": object_of({"token": TEXT})}}
    yield (
        path,
        "post",
        operation(
            "session.open",
            "A session for a browser, kept in a cookie.",
            tag="session",
            role=None,
            answers={200: who},
            problems=(401,),
            body={"required": True, "content": kinds},
            description=f"Whatever it then changes says `{CSRF_HEADER}`: the answer's `csrf_token`.",
        ),
    )
    yield (
        path,
        "delete",
        operation(
            "session.close",
            "The session's end.",
            tag="session",
            role="read",
            answers={204: empty("It is over.")},
        ),
    )


def _of_the_system_before() -> Iterator[tuple[str, str, Operation]]:
    tag = "as before"
    config = _to("tool_configuration")
    yield (
        legacy.CONFIG,
        "get",
        operation(
            "tools.config.get",
            "All configurations by the name of their tool, or that of one tool.",
            tag=tag,
            role="read",
            parameters=[parameter("tool", "query", TEXT)],
            answers={
                200: answer(
                    "Them, or it.", {"anyOf": [config, {"type": "object", "additionalProperties": config}]}
                )
            },
            problems=(404, 413),
        ),
    )
    yield (
        legacy.CONFIG,
        "post",
        operation(
            "tools.config.save",
            "The configuration of a tool, stored.",
            tag=tag,
            role="operate",
            answers={200: answer("It is stored.", object_of({"message": TEXT}))},
            problems=(404, 409, 412, 422),
            body=json_body(_to("save_configuration")),
        ),
    )
    backup = object_of({"name": TEXT, "path": TEXT, "size": INTEGER, "metadata": _to("backup_metadata")})
    yield (
        legacy.BACKUP,
        "get",
        operation(
            "backup.get",
            "The backups by the day (UTC) on which they were made, newest first.",
            tag=tag,
            role="read",
            answers={
                200: answer("Them.", {"type": "object", "additionalProperties": array_of(backup)}),
            },
        ),
    )
    made = object_of(
        {
            "success": {"type": "boolean"},
            "backupPath": TEXT,
            "metadata": _to("backup_metadata"),
            "size": INTEGER,
        }
    )
    yield (
        legacy.BACKUP,
        "post",
        operation(
            "backup.make",
            "A backup, made and checked.",
            tag=tag,
            role="operate",
            answers={200: answer("It is made.", object_of({"message": TEXT, "backup": made}))},
            problems=(422,),
            body=json_body(_to("create_backup_as_before")) | {"required": False},
        ),
    )
    restored = object_of({"message": TEXT, "restoredFrom": TEXT, "result": _OBJECT})
    yield (
        legacy.BACKUP,
        "put",
        operation(
            "backup.put_back",
            "The store as it was in a backup: answered when it is served again.",
            tag=tag,
            role="admin",
            answers={200: answer("It is served.", restored)},
            problems=(404, 422),
            body=json_body(_to("restore_backup")),
        ),
    )


def _of_backups() -> Iterator[tuple[str, str, Operation]]:
    known = {"name": TEXT, "metadata": _to("backup_metadata")}
    status = {"enum": ["good", "proven"]}
    yield (
        admin.BACKUPS,
        "get",
        operation(
            "backups.list",
            "The backups, newest first.",
            tag="backups",
            role="read",
            answers={
                200: answer("Them.", object_of({"items": array_of(object_of({**known, "status": status}))}))
            },
        ),
    )
    yield (
        admin.BACKUPS,
        "post",
        operation(
            "backups.create",
            "A new backup.",
            tag="backups",
            role="operate",
            answers={201: answer("It is made and checked.", object_of(known), headers=["Location"])},
            problems=(422,),
            body=json_body(_to("create_backup")) | {"required": False},
        ),
    )
    name: Parameter = parameter("name", "path", _BACKUP_NAME)
    for verb, summary in (
        ("verify", "What a check of a whole backup finds."),
        ("drill", "What making a store from a backup finds."),
    ):
        yield (
            f"{admin.BACKUPS}/{{name}}/{verb}",
            "post",
            operation(
                f"backups.{verb}",
                summary,
                tag="backups",
                role="operate",
                answers={200: answer("What was found.", _OBJECT)},
                problems=(404, 422),
                parameters=[name],
            ),
        )


def _events() -> Operation:
    parameters = query_parameters(described("follow", events.Follow, "#/components/schemas/{name}")[0])
    parameters.append(
        parameter(
            "Last-Event-ID",
            "header",
            {"type": "string", "pattern": r"^([0-9]{1,18}-)?[0-9]{1,18}$"},
            description="The id of the last event that was seen, as `1-41872`, or a position.",
        )
    )
    # As OpenAPI 3.2 describes each of a stream's events.
    frames = object_of(
        {
            "id": TEXT,
            "data": {"type": "string", "contentMediaType": JSON, "contentSchema": _to("cloud_event")},
            "retry": {"type": "integer", "description": "milliseconds"},
        },
        required=(),
    )
    return operation(
        "events.follow",
        "The events, live or from any position, as server-sent events.",
        tag="events",
        role="read",
        answers={200: answer("Each event once, in order, without an end.", frames, kind=_EVENT_STREAM)},
        parameters=parameters,
        description="Nothing is left out. Who reads too slowly is cut off, and resumes with `Last-Event-ID`.",
    )


def _to(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
