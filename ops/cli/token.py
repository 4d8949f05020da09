"""`hyperpage token`: makes, lists and revokes tokens for the HTTP API."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from ops.cli.terminal.exits import Exit, failure, usage_failure
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_records, print_result
from ops.cli.terminal.recording import recorded, user

if TYPE_CHECKING:
    from ops.http.access.tokens import Token

DAY_MS = 24 * 60 * 60 * 1000

_NOTHING_MADE = "nothing was made: `hyperpage token list` lists what there is"
_MEND = "put the file back as it was, or move it away and make new tokens: until then, nobody gets in by one"


def token() -> App:
    """The commands about tokens."""
    app = App(name="token", help="Tokens for the HTTP API: makes, lists and revokes them.")
    app.command(create)
    app.command(list_all, name="list")
    app.command(revoke)
    return app


def create(
    name: Annotated[str, Parameter(help="The name of its owner, which the records show.")],
    /,
    *,
    role: Annotated[
        Literal["read", "operate", "admin"],
        option(
            "read: queries and events; operate: also commands and backups; admin: everything. Default: read."
        ),
    ] = "read",
    days: Annotated[int | None, option("The days until it expires. Default: it never does.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a token, and prints it only this once, since only its hash is kept.

    For example:

        hyperpage token create dashboard
        hyperpage token create deploy --role operate --days 90

    Callers need a token for the HTTP API. A running service knows a new token at
    once. A service that listens only on the loopback, since there was no token,
    must be started again to listen at its proper address.
    """
    from ops.http.access.tokens import TokenError, TokenFile

    if days is not None and days < 1:
        raise usage_failure("a token lives for a day at least")
    settings = settings_for(data)
    lifetime_ms = None if days is None else days * DAY_MS
    try:
        with recorded(settings, "token.create", {"name": name, "role": role, "days": days}) as said:
            made, secret = TokenFile(settings.data).create(name, role, by=user(), lifetime_ms=lifetime_ms)
            said["id"] = made.id
    except TokenError as error:
        raise failure(Exit.FAILED, "failed", str(error), _NOTHING_MADE) from error
    note = f"The token {name} has the role {role}. It is not shown again."
    print_result({**_entry(made), "token": secret}, as_json, secret, note=note)


def list_all(*, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Lists the tokens, also those that were revoked or have expired.

    For example:

        hyperpage token list
    """
    from ops.http.access.tokens import TokenError, TokenFile

    file = TokenFile(settings_for(data).data)
    try:
        tokens = file.read()
    except TokenError as error:
        raise failure(Exit.FAILED, "failed", str(error), _MEND) from error
    if_none = "There is no token: nobody can use the HTTP API, unless it is open."
    entries = [_entry(one) for one in tokens]
    print_result(entries, as_json, lambda listed: print_records(listed, if_none=if_none))


def revoke(
    name: Annotated[str, Parameter(help="The token's name or id.")],
    /,
    *,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ends a token, at once and for good, with the sessions that were opened with it.

    For example:

        hyperpage token revoke dashboard
    """
    from ops.http.access.tokens import TokenError, TokenFile

    settings = settings_for(data)
    try:
        with recorded(settings, "token.revoke", {"name": name}, anyway=True) as said:
            gone = TokenFile(settings.data).revoke(name, by=user())
            said["id"] = gone.id
    except TokenError as error:
        raise failure(Exit.NOT_FOUND, "not_found", str(error), "`hyperpage token list` lists them") from error
    print_result(_entry(gone), as_json, f"{gone.name}: revoked")


def _entry(token: "Token") -> dict[str, Any]:
    # The hash is left out, since it is of no use.
    return {
        "name": token.name,
        "role": token.role,
        "state": _state(token),
        "id": token.id,
        "created_at": token.created_at,
        "created_by": token.created_by,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
    }


def _state(token: "Token") -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "good" if token.is_good(time.time_ns() // 1_000_000) else "expired"
