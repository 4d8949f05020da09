"""Administration over HTTP: `POST /api/v1/admin/<area>/<verb>`, and backups, with paths of their own.

Each path does the same as its subject `hyperpage.adm.v1.…`, and is recorded in the audit log in the same way.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bus.contract import codec
from bus.replication.members import HandOver
from bus.serving.administration import NoArguments
from bus.serving.dead_letters import ChooseDeadLetters, ListDeadLetters, ShowDeadLetter
from domain.errors import Invalid
from ops.audit.administration import VerifyAudit
from ops.audit.entry import Entry
from ops.audit.listing import ListAudit
from ops.backup.metadata import Metadata
from ops.backup.requests import CreateBackup, NameBackup, PruneBackups, RestoreRequest, name_inside
from ops.backup.restoring.restore_path import Moment
from ops.contract.schema import Schema, described
from ops.contract.shapes import TEXT, array_of, object_of
from ops.http.meaning import query_body
from ops.http.operations import SCHEMAS as OF_SCHEMAS
from ops.http.operations import Operation, answer, parameter, query_parameters, reference, request_body
from ops.http.refusals import no_such_place
from ops.http.routing import actor_of, backend_of, json_body, json_response, next_page, route
from ops.security.registry import RotateLogin

PREFIX = "/api/v1/admin/"
BACKUPS = "/api/v1/backups"
AUDIT = f"{PREFIX}audit"
# Not served over HTTP, since it reads any file of this machine that the request names.
_NOT_HERE = frozenset({"import.file"})


async def carry_out(request: Request) -> Response:
    """Carries out an administrative act."""
    name = f"{request.path_params['area']}.{request.path_params['verb']}"
    if name in _NOT_HERE:
        raise no_such_place()
    body = await json_body(request)
    if name == "backup.restore":
        body = restore_of_ours(request, codec.decode(RestoreRequest, body))
    return json_response(codec.encode(await administer(request, name, body)))


async def list_audit(request: Request) -> Response:
    """Lines of the audit log, newest first."""
    wish = query_body(ListAudit, {}, request.query_params.multi_items())
    answer = codec.encode(await administer(request, "audit.list", wish))
    return json_response(answer, headers=next_page(request, answer))


async def list_backups(request: Request) -> Response:
    """The backups, newest first."""
    listed = await administer(request, "backup.list", b"")
    # Without the path on the server, which callers that can only read need not know.
    items = [{name: value for name, value in one.items() if name != "path"} for one in listed["items"]]
    return json_response(codec.encode({"items": items}))


async def create_backup(request: Request) -> Response:
    """A new backup."""
    made = await administer(request, "backup.create", await json_body(request))
    name = made["path"].rpartition("/")[2]
    described = {"name": name, **{member: made[member] for member in ("metadata", *_SIGNED)}}
    return json_response(codec.encode(described), 201, {"Location": f"{BACKUPS}/{name}"})


async def verify_backup(request: Request) -> Response:
    """The findings of a check of a whole backup."""
    return await _prove(request, "backup.verify")


async def drill_backup(request: Request) -> Response:
    """The findings of a drill, which makes a store from a backup and compares it."""
    return await _prove(request, "backup.drill")


async def _prove(request: Request, verb: str) -> Response:
    found = await administer(request, verb, codec.encode({"name": request.path_params["name"]}))
    return json_response(codec.encode({name: value for name, value in found.items() if name != "path"}))


async def administer(request: Request, name: str, body: bytes) -> Any:
    """The answer to an administrative request of the caller.

    Raises:
        Refusal: the request was not carried out.
    """
    return await backend_of(request).administer(name, body, actor_of(request))


def restore_of_ours(request: Request, wish: RestoreRequest) -> bytes:
    """The body of a request for a restore, if it names a backup in the service's folder or a moment.

    Raises:
        Invalid, NotFound: the request names something else, or nothing.
    """
    if wish.prepared is not None:
        # Only the command line on this machine, with the key, prepares restores.
        raise Invalid("it is for the command line", path="$.prepared")
    if wish.moment == Moment():
        raise Invalid("what to restore: a backup, a position, a time or the latest", path="$")
    if wish.backup is not None:
        folder = backend_of(request).now.parts.settings.backup_folder
        wish = msgspec.structs.replace(wish, backup=name_inside(folder, wish.backup))
    return codec.encode(wish)


# The administrative requests by name: the summary of each, and the schema of its body.
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
    "audit.list": ("Lines of the audit log, newest first.", "list_audit"),
    "audit.verify": ("Whether the audit log is what was written.", "verify_audit"),
    "stream.refill": ("Fills the stream of events anew.", "nothing"),
    "cluster.hand_over": ("Has another member lead; answered when it does.", "hand_over"),
    "user.reload": ("Takes in the users of their own, as the command line has changed them.", "nothing"),
    "user.rotate": ("Gives the application or the operator another password for NATS.", "rotate_login"),
}
SCHEMAS: Mapping[str, type[msgspec.Struct]] = {
    "create_backup": CreateBackup,
    "backup_metadata": Metadata,
    "restore": RestoreRequest,
    "list_dead_letters": ListDeadLetters,
    "show_dead_letter": ShowDeadLetter,
    "choose_dead_letters": ChooseDeadLetters,
    "name_backup": NameBackup,
    "prune_backups": PruneBackups,
    "rotate_login": RotateLogin,
    "hand_over": HandOver,
    "list_audit": ListAudit,
    "verify_audit": VerifyAudit,
    "audit_entry": Entry,
    "nothing": NoArguments,
}
_OBJECT: Schema = {"type": "object"}
_NAME = parameter("name", "path", {"type": "string", "pattern": "^hyperpage-backup-[A-Za-z0-9._-]{1,100}$"})
_KNOWN = {"name": TEXT, "metadata": reference("backup_metadata")}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_SIGNED: dict[str, Schema] = {
    "signature": {"enum": ["signed", "unsigned", "forged"]},
    "signed_by": _TEXT_OR_NULL,
}
_LISTED = object_of(
    {**_KNOWN, **_SIGNED, "status": {"enum": ["good", "proven", "damaged"]}, "trusted": {"type": "boolean"}}
)


_LINES = object_of(
    {
        "items": array_of({"allOf": [reference("audit_entry"), object_of({"hash": TEXT})]}),
        "next": {"type": ["integer", "null"]},
    }
)


def _act(name: str, summary: str, body: str) -> Operation:
    return Operation(
        f"admin.{name}",
        "administration",
        {200: answer("It was done.", {} if name == "backup.restored" else _OBJECT)},
        problems=(404, 422),
        body=request_body(
            reference(body), required=body in ("name_backup", "show_dead_letter", "rotate_login")
        ),
        summary=summary,
    )


ROUTES = [
    route(
        BACKUPS,
        list_backups,
        role="read",
        operation=Operation(
            "backups.list", "backups", {200: answer("Them.", object_of({"items": array_of(_LISTED)}))}
        ),
    ),
    route(
        BACKUPS,
        create_backup,
        role="operate",
        methods=("POST",),
        operation=Operation(
            "backups.create",
            "backups",
            {201: answer("It is made and checked.", object_of(_KNOWN | _SIGNED), headers=["Location"])},
            problems=(422,),
            body=request_body(reference("create_backup"), required=False),
        ),
    ),
    *(
        route(
            f"{BACKUPS}/{{name}}/{verb}",
            handler,
            role="operate",
            methods=("POST",),
            operation=Operation(
                f"backups.{verb}",
                "backups",
                {200: answer("What was found.", _OBJECT)},
                problems=(404, 422),
                parameters=[_NAME],
            ),
        )
        for verb, handler in (("verify", verify_backup), ("drill", drill_backup))
    ),
    route(
        AUDIT,
        list_audit,
        role="admin",
        operation=Operation(
            "audit.list",
            "administration",
            {200: answer("Them.", _LINES, headers=["Link"])},
            parameters=query_parameters(described("list_audit", ListAudit, f"{OF_SCHEMAS}{{name}}")[0]),
        ),
    ),
    route(
        PREFIX + "{area}/{verb}",
        carry_out,
        role="admin",
        methods=("POST",),
        operation={
            PREFIX + name.replace(".", "/"): _act(name, summary, body)
            for name, (summary, body) in ADMINISTRATION.items()
        },
    ),
]
