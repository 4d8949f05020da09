"""`hyperpage console`: a link that logs a browser in."""

from typing import Annotated, Literal

from ops.cli.asking import nothing_runs
from ops.cli.terminal.exits import Exit, failure
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_result
from ops.cli.terminal.recording import recorded, user
from ops.store.data_directory import read_runtime


def console(
    *,
    role: Annotated[
        Literal["read", "operate", "admin"],
        option(
            "read: only look; operate: also send commands, make backups; admin: everything. Default: admin."
        ),
    ] = "admin",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints a link that opens the console of the running service, logged in.

    For example:

        hyperpage console
        hyperpage console --role read

    The link works once, within ten minutes. The session lasts for 12 h at most,
    and until the service stops. Behind a proxy, replace the address in the link
    with the proxy's.
    """
    from ops.http.access.links import LIFETIME_MS, LogInLinks, address_of_link

    settings = settings_for(data)
    folder = settings.data
    runtime = read_runtime(folder)
    if runtime is None:
        raise nothing_runs(folder)
    if runtime.http_url is None:
        raise failure(Exit.FAILED, "failed", "the service serves no HTTP", "start it without --no-http")
    with recorded(settings, "console.link", {"role": role}):
        code = LogInLinks(folder).create(by=user(), role=role)
    link = address_of_link(runtime.http_url, code)
    note = f"It is good once, within {LIFETIME_MS // 60_000} minutes."
    print_result({"url": link, "role": role}, as_json, link, note=note)
