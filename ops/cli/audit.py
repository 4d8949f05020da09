"""`hyperpage audit`: lists the acts of operators, and checks that the audit log is as it was written."""

from typing import Annotated, Any

from cyclopts import App

from domain.counting import counted
from ops.cli.terminal.exits import Exit, failure, usage_failure
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.moments import milliseconds
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_records, print_result, printable, say


def audit() -> App:
    """The commands about the audit log."""
    app = App(name="audit", help="The audit log: who did what to the service.")
    app.command(list_acts, name="list")
    app.command(verify_log, name="verify")
    return app


def list_acts(
    *,
    since: Annotated[
        str | None, option("The earliest time: 2026-11-24T08:15:00Z, or milliseconds since 1970.")
    ] = None,
    until: Annotated[str | None, option("The latest time, written likewise.")] = None,
    action: Annotated[
        str | None, option("Only these acts: token.create, say, or token.* for several.")
    ] = None,
    actor: Annotated[str | None, option("Only acts of this actor, token or user.")] = None,
    limit: Annotated[int, option("How many lines at most, 1 to 1000. Default: 100.")] = 100,
    after: Annotated[int | None, option("Go on after this sequence, towards older lines.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists acts with their outcomes, the newest first, whether the service runs or not.

    For example:

        hyperpage audit list --since 2026-11-24T00:00:00Z
        hyperpage audit list --action 'session.*' --actor dashboard

    The acts are administrative requests, log-ins, refusals, the making and
    revoking of tokens and users, restores, and texts that look like
    credentials and that the settings let through.
    """
    from ops.audit.files import FOLDER, AuditError
    from ops.audit.listing import ListAudit, listed

    if not 1 <= limit <= 1_000:
        raise usage_failure("a page has 1 to 1000 acts")
    wish = ListAudit(
        since=None if since is None else milliseconds(since),
        until=None if until is None else milliseconds(until),
        action=action,
        actor=actor,
        limit=limit,
        after=after,
    )
    try:
        page = listed(settings_for(data).data / FOLDER, wish)
    except AuditError as error:
        raise _unreadable(error) from error
    print_result(page, as_json, _print_page)


def verify_log(
    *,
    head: Annotated[
        tuple[str, ...],
        option("An earlier head of the log, from this command, `status` or a backup; also several."),
    ] = (),
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Checks line by line that the audit log is as it was written, and prints its head.

    For example:

        hyperpage audit verify
        hyperpage audit verify --head 4711:9f86d081884c7d65…

    The hashes show lines that were changed, removed, inserted or moved. The
    heads in the metadata of the store's backups show that the end was cut off,
    or that the whole log was written anew; so does any head that you kept on
    another machine. Exits with 6 if something is wrong.
    """
    from ops.audit.entry import head_in
    from ops.audit.files import FOLDER, AuditError
    from ops.audit.verification import verify
    from ops.backup.audit_heads import kept_heads
    from ops.backup.content import store_id_of

    known = [one for one in map(head_in, head) if one is not None]
    if len(known) < len(head):
        raise usage_failure("a head is a number and a hash, as 7:9f86d0…, or a hash alone")
    settings = settings_for(data)
    folder = settings.data / FOLDER
    with understandable():
        store_id = store_id_of(settings.store_path)
        kept = kept_heads(settings.backup_folder, store_id, settings.signing) if store_id else ()
    if not folder.exists() and not known and not kept:
        raise failure(
            Exit.NOT_FOUND,
            "not_found",
            f"there is no audit log in {folder.parent}",
            "it begins with the first act: the start of a service, say",
        )
    try:
        verdict = verify(folder, known, kept)
    except AuditError as error:
        raise _unreadable(error) from error
    if verdict.wrong is None:
        fits = f", as {counted(verdict.compared_with, 'backup')} had it" if verdict.compared_with else ""
        said = f"{counted(verdict.lines, 'line')} in order; the head is {verdict.head}{fits}"
    else:
        wrong = verdict.wrong
        where = f"{wrong.file}, line {wrong.line}: " if wrong.line else ""
        said = where + printable(wrong.reason)
    notes = []
    if verdict.torn_bytes:
        notes.append(f"a power cut has left {counted(verdict.torn_bytes, 'byte')} of another line")
    if verdict.earlier is not None:
        notes.append(f"it was begun anew: there was an earlier log ({verdict.earlier})")
    print_result(verdict, as_json, said, note="; ".join(notes))
    return Exit.DONE if verdict.wrong is None else Exit.VERIFICATION_FAILED


def _unreadable(error: OSError) -> Exception:
    from ops.store.troubles import hint_of, message_of

    return failure(Exit.FAILED, "failed", message_of(error), hint_of(error))


def _print_page(page: dict[str, Any]) -> None:
    print_records([_shown(one) for one in page["items"]], if_none="There is no such act.")
    if page["next"] is not None:
        say(f"There is more: --after {page['next']}")


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "sequence": item["sequence"],
        "recorded_at": item["at"],
        "actor": item["actor"],
        "action": item["action"],
        "outcome": item["outcome"]
        + (", a dry run" if item["dry_run"] else "")
        + (f" ({item['code']})" if item["code"] else ""),
        "via": item["via"],
        "address": item["address"],
        "request": item["request"],
    }
