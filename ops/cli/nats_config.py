"""`hyperpage nats-config`: writes the configuration that an operator's own nats-server needs."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ops.cli.terminal.exits import Exit, failure
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_result
from ops.cli.terminal.recording import recorded


def nats_config(
    folder: Annotated[
        Path | None,
        Parameter(help="The folder to write into. Default: nats-config in the data directory."),
    ] = None,
    /,
    *,
    rotate: Annotated[
        bool,
        option(
            "New keys for the service's roles. The ones before stay good until this command runs again"
            " without it. Default: keys that are there, stay."
        ),
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the accounts, users and rights for a nats-server of your own.

    For example:

        hyperpage nats-config /etc/hyperpage/nats
        hyperpage nats-config /etc/hyperpage/nats --rotate

    The folder gets hyperpage.conf, which that nats-server includes in its
    accounts, and a key for each of the service's roles: relay, responder, app
    and admin, in files of their owner's alone. The keys' public halves and
    those of the users that `hyperpage user` has made are in hyperpage.conf:
    run it again after a change of users, and have the nats-server read its
    configuration again (nats-server --signal reload).
    """
    from hyperpage_client.transport.nkeys import SeedError
    from ops.security.outside_nats import write_configuration
    from ops.security.users import UserError

    settings = settings_for(data)
    place = (folder or settings.data / "nats-config").absolute()
    try:
        with recorded(settings, "nats.configure", {"folder": str(place), "rotate": rotate}):
            written = write_configuration(settings, place, rotate=rotate)
    except (SeedError, UserError) as error:
        raise failure(
            Exit.FAILED,
            "failed",
            str(error),
            "nothing was written: `hyperpage nats-config --rotate` makes new keys",
        ) from error
    lines = "\n".join(f'{name} = "{value}"' for name, value in written.settings.items())
    print_result(
        written,
        as_json,
        f"{written.configuration}\n\n"
        "The nats-server includes it, with a path from its own configuration's folder on:\n\n"
        "accounts { include hyperpage.conf }\n\n"
        "The service's hyperpage.toml has:\n\n"
        f'nats = "tls://HOST:4222"\nnats_responder = "tls://HOST:4222"\n{lines}',
    )
