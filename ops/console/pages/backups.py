"""Making, proving, keeping, deleting and restoring backups: a template for each page, in `backups`."""

from typing import Any

from starlette.responses import Response

from domain.errors import Invalid, NotFound, Refusal
from ops.backup.requests import name_inside
from ops.console.rendering import PREFIX, milliseconds
from ops.console.routing import action, page
from ops.console.visit import Visit, said_of, whole_number
from ops.http.routing import backend_of

PATH = f"{PREFIX}/backups"
RESTORE = f"{PATH}/-/restore"
# How many backups the page of a restore offers; older ones have pages of their own, which link to it.
OFFERED = 30


async def show_backups(visit: Visit) -> Response:
    """The backups, newest first, and how far the archive is."""
    listed = await visit.administer("backup.list")
    archive = backend_of(visit.request).now.health.report()["archive"]
    return visit.render("backups/backups.html", backups=listed["items"], archive=archive)


async def show_backup(visit: Visit) -> Response:
    """One backup with its metadata."""
    name = visit.request.path_params["name"]
    listed = await visit.administer("backup.list")
    for one in listed["items"]:
        if one["name"] == name:
            return visit.render("backups/backup.html", backup=one, metadata=one["metadata"])
    raise NotFound(f"there is no backup {name[:200]}")


async def create_backup(visit: Visit) -> Response:
    """Begins to make a backup."""
    visit.tell("The backup is being made")
    return visit.begin(
        PATH,
        "backup.create",
        lambda made: f"There is a new backup, {made['path'].rpartition('/')[2]}",
        description=visit.form.text("description"),
        prove=visit.form.text("prove") == "yes",
    )


async def prove_backup(visit: Visit) -> Response:
    """Begins to verify a backup, or to drill it: to make a store from it and compare."""
    name, verb = visit.request.path_params["name"], visit.form.text("verb")
    match verb:
        case "verify":
            visit.tell("The backup is being checked")
            return visit.begin(visit.here, "backup.verify", lambda _: f"{name} is in order", name=name)
        case "drill":
            visit.tell("A store is being made from the backup")
            return visit.begin(visit.here, "backup.drill", lambda _: f"{name} is proven", name=name)
    raise Invalid("a backup is verified or drilled", path="verb")


async def pin_backup(visit: Visit) -> Response:
    """Pins a backup, so that it is kept for good, or unpins it, so that the rules decide again."""
    name = visit.request.path_params["name"]
    verb = visit.form.verb(("pin", "unpin"), "a backup is pinned or unpinned")
    await visit.administer(f"backup.{verb}", name=name)
    visit.tell("It is kept for good" if verb == "pin" else "It is kept as long as the rules say")
    return visit.go(f"{PATH}/{name}")


async def delete_backup(visit: Visit) -> Response:
    """Begins to delete a backup; refused for pinned ones and others that are kept whatever the rules say."""
    name = visit.request.path_params["name"]
    return visit.begin(PATH, "backup.delete", lambda _: f"{name} is deleted", name=name)


async def show_prune(visit: Visit) -> Response:
    """The backups that no rule keeps, and which rule keeps each of the others; nothing is deleted."""
    listed = await visit.administer("backup.list")
    plan = await visit.look("backup.prune")
    return visit.render(
        "backups/prune.html", backups=listed["items"], gone=plan["removed"], kept=plan["kept"]
    )


async def prune_backups(visit: Visit) -> Response:
    """Begins to delete the backups that no rule keeps."""
    visit.tell("Backups are being deleted")
    return visit.begin(PATH, "backup.prune", _pruned)


def _pruned(answer: dict[str, Any]) -> str:
    gone, kept = len(answer["removed"]), len(answer["kept"])
    said = f"{gone} {'backup was' if gone == 1 else 'backups were'} deleted"
    return f"{said}, {kept} {'is' if kept == 1 else 'are'} kept"


async def show_restore(visit: Visit) -> Response:
    """A form for a restore, with the plan of it if the address names a moment; nothing is restored.

    The newest backups are offered; any other moment can be typed.
    """
    given = {name: visit.parameter(name) for name in ("backup", "position", "time")}
    plan: Any = None
    refused: Refusal | None = None
    if any(given.values()):
        try:
            answer = await visit.look("backup.restore", **_moment(visit, given))
            plan = answer["plan"]
        except Refusal as refusal:
            # Shown with the form as it was filled in, so that the user can correct it.
            refused = refusal
    return visit.render(
        "backups/restore.html",
        200 if refused is None else refused.number,
        given=given,
        plan=plan,
        backups=await _offered(visit),
        problem=None if refused is None else said_of(refused),
    )


async def _offered(visit: Visit) -> list[dict[str, Any]]:
    """The newest backups; none if their folder or bucket does not answer. A name can still be typed."""
    try:
        listed = await visit.administer("backup.list")
    except Refusal:
        return []
    offered: list[dict[str, Any]] = listed["items"][:OFFERED]
    return offered


async def restore(visit: Visit) -> Response:
    """Has the service restore its store and serve again."""
    given = {name: visit.form.text(name) or None for name in ("backup", "position", "time")}
    moment = _moment(visit, given)
    if not moment:
        raise Invalid("a restore goes to a backup, a position or a time", path="position")
    await visit.administer("backup.restore", **moment, safety=visit.form.text("safety") == "yes")
    visit.tell("The store is being restored; the log of the service says how it goes")
    return visit.go(f"{RESTORE}/end")


async def show_end(visit: Visit) -> Response:
    """How the last restore ended. The page asks again every 2 s, also while the service is away."""
    return visit.render("backups/restored.html", ended=await visit.administer("backup.restored"))


def _moment(visit: Visit, given: dict[str, str | None]) -> dict[str, Any]:
    """The moment that a form names, as fields of the request for a restore."""
    moment: dict[str, Any] = {}
    if given["backup"] is not None:
        folder = backend_of(visit.request).now.parts.settings.backup_folder
        moment["backup"] = name_inside(folder, given["backup"])
    if given["position"] is not None:
        moment["position"] = whole_number(given["position"], "a position is a number", path="position")
    if given["time"] is not None:
        try:
            moment["time"] = milliseconds(given["time"])
        except ValueError:
            raise Invalid("a time is written like 2026-11-26T08:00:00, in UTC", path="time") from None
    return moment


ROUTES = [
    page("/backups", show_backups),
    action("/backups", create_backup),
    page("/backups/-/restore", show_restore, role="admin"),
    action("/backups/-/restore", restore, role="admin"),
    page("/backups/-/restore/end", show_end, role="admin"),
    page("/backups/-/prune", show_prune, role="admin"),
    action("/backups/-/prune", prune_backups, role="admin"),
    page("/backups/{name}", show_backup),
    action("/backups/{name}", prove_backup),
    action("/backups/{name}/pin", pin_backup, role="admin"),
    action("/backups/{name}/delete", delete_backup, role="admin"),
]
