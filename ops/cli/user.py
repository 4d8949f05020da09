"""`hyperpage user`: users, which are programs with an account, a key and rights of their own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from bus.kept_files import write_new_private
from hyperpage_client.transport.access import without_credentials
from ops.cli.asking import administer
from ops.cli.terminal.exits import Exit, failure, usage_failure
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_records, print_result, say
from ops.cli.terminal.recording import recorded
from ops.cli.terminal.recording import user as whoami
from ops.store.data_directory import read_runtime

if TYPE_CHECKING:
    from ops.security.users import Secrets, User

NameArgument = Annotated[str, Parameter(help="The user's name: 1 to 64 of a-z, 0-9, _ and -.")]
OutOption = Annotated[
    Path | None,
    option("The file for the seed of its key, which is written this once. Default: ./NAME.nk."),
]
MINUTE_MS = 60_000

_NOTHING_MADE = "nothing was made: `hyperpage user create --help` says what may be given"
_LISTED = "nothing was changed: `hyperpage user list` lists them"
_MEND = "put the file back as it was: without it, no user of its own gets in"


def user() -> App:
    """The commands about users."""
    app = App(name="user", help="Users: services with an account, a key and rights of their own.")
    app.command(create)
    app.command(list_all, name="list")
    app.command(rotate)
    app.command(revoke)
    return app


def create(
    name: NameArgument,
    /,
    *,
    allow: Annotated[
        list[str] | None,
        option("A command that it may send, or all of a table: jobs.enqueue, jobs.*. Again for more."),
    ] = None,
    keys: Annotated[
        list[str] | None, option("Its keys, by how they begin: billing/*. Again for more. Default: all.")
    ] = None,
    table: Annotated[
        list[str] | None,
        option("A table that it may read and follow beside those of its commands. Again for more."),
    ] = None,
    read: Annotated[bool, option("It may query its tables. Default: no.")] = False,
    follow: Annotated[
        bool, option("It may follow the events of its tables, of all keys. Default: no.")
    ] = False,
    out: OutOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a user, and writes the seed of its key to a file, only this once.

    The seed is for NATS; the token that is printed is for HTTP. The service
    keeps neither. A running service and its nats-server know the user at once.

    For example:

        hyperpage user create billing --allow 'jobs.*' --keys 'billing/*' --read --follow
    """
    from ops.http.access.tokens import TokenError, TokenFile
    from ops.security.users import UserError, UserFile, rights_of

    settings = settings_for(data)
    path = _new_file(out or Path(f"{name}.nk"))
    try:
        # Events only have a name, so no user may get the name of a token, not even of a revoked one.
        tokens = {one.name for one in TokenFile(settings.data).read()}
        rights = rights_of(allow=allow or [], keys=keys or [], tables=table or [], reads=read, follows=follow)
        said = {"name": name, "allow": allow, "keys": keys, "tables": table, "read": read, "follow": follow}
        with recorded(settings, "user.create", said):
            made, given = UserFile(settings.data).create(name, rights, by=whoami(), others=tokens)
    except (UserError, TokenError) as error:
        raise failure(Exit.FAILED, "failed", str(error), _NOTHING_MADE) from error
    _hand_out(made, given, path, data, as_json)


def list_all(*, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Lists the users, also those that were revoked.

    For example:

        hyperpage user list
    """
    from ops.security.users import UserError, UserFile

    try:
        users = UserFile(settings_for(data).data).read()
    except UserError as error:
        raise failure(Exit.FAILED, "failed", str(error), _MEND) from error
    if_none = "There is no user of its own: all services share the one in runtime.json, and trust each other."
    entries = [_entry(one) for one in users]
    print_result(entries, as_json, lambda listed: print_records(listed, if_none=if_none))


def rotate(
    name: NameArgument,
    /,
    *,
    old_key_minutes: Annotated[
        int,
        option("How long its old key and token stay good, for its processes to change over. Default: 60."),
    ] = 60,
    out: OutOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Gives a user a new key and a new token. The old ones stay good for a while.

    The users app and admin get another password, which is then in runtime.json
    and admin.json; this needs a running service.

    For example:

        hyperpage user rotate billing --old-key-minutes 10
        hyperpage user rotate app
    """
    from ops.security.users import UserError, UserFile

    if not 0 <= old_key_minutes <= 60 * 24 * 30:
        raise usage_failure("an old key stays good for 0 to 43200 minutes (30 days)")
    if name in ("app", "admin"):
        done = administer("user.rotate", {"user": name, "old_ms": old_key_minutes * MINUTE_MS}, data)
        print_result(done, as_json, f"{name}: another password, in runtime.json and admin.json")
        return
    settings, path = settings_for(data), _new_file(out or Path(f"{name}.nk"))
    try:
        with recorded(settings, "user.rotate", {"name": name, "old_key_minutes": old_key_minutes}):
            changed, given = UserFile(settings.data).rotate(name, old_key_ms=old_key_minutes * MINUTE_MS)
    except UserError as error:
        raise failure(Exit.NOT_FOUND, "not_found", str(error), _LISTED) from error
    _hand_out(changed, given, path, data, as_json)


def revoke(name: NameArgument, /, *, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Ends a user, at once and for good, with its connections. Its name stays taken.

    For example:

        hyperpage user revoke billing
    """
    from ops.security.users import UserError, UserFile

    settings = settings_for(data)
    try:
        with recorded(settings, "user.revoke", {"name": name}, anyway=True):
            gone = UserFile(settings.data).revoke(name, by=whoami())
    except UserError as error:
        raise failure(Exit.NOT_FOUND, "not_found", str(error), _LISTED) from error
    _take_effect(data)
    print_result(_entry(gone), as_json, f"{gone.name}: revoked")


def _new_file(path: Path) -> Path:
    """The path of a new file for a seed.

    Raises:
        CommandFailure: the file is there already, or its folder is not.
    """
    if path.exists() or not path.parent.is_dir():
        why = "is there already" if path.exists() else "is in no folder that there is"
        raise usage_failure(f"{path} {why}", "nothing was made: name another file with --out")
    return path


def _hand_out(user: "User", given: "Secrets", path: Path, data: Path | None, as_json: bool) -> None:
    # Without a newline: some libraries take the whole file for the seed.
    write_new_private(path, given.seed.encode())
    _take_effect(data)
    runtime = read_runtime(settings_for(data).data)
    url = None if runtime is None else without_credentials(runtime.nats)
    note = f"{path} has the seed of {user.name}'s key, its token for HTTP is above. Neither is shown again."
    if user.rights.keys and user.rights.follows:
        note += " It follows whole tables: the events of all keys."
    answer = {**_entry(user), "seed_file": str(path.resolve()), "nats_url": url, "token": given.token}
    print_result(answer, as_json, given.token, note=note)


def _take_effect(data: Path | None) -> None:
    """Makes a running service and its nats-server load the users as they are now."""
    if read_runtime(settings_for(data).data) is None:
        return
    if not administer("user.reload", {}, data)["broker"]:
        say("The service has a nats-server of yours: `hyperpage nats-config` writes what it has to know.")


def _entry(user: "User") -> dict[str, Any]:
    rights = user.rights
    return {
        "name": user.name,
        "commands": list(rights.commands),
        "keys": [f"{one}*" for one in rights.keys],
        "reads": list(rights.reads),
        "follows": list(rights.follows),
        "public_keys": [one.public for one in user.keys],
        "created_at": user.created_at,
        "created_by": user.created_by,
        "revoked_at": user.revoked_at,
    }
