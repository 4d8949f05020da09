"""`hyperpage`: all commands, and the exit code of each."""

import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import App, CycloptsError, Group

from domain.installed.error import AggregateError
from ops.cli.analytics.diff import diff
from ops.cli.analytics.export import export_backups
from ops.cli.analytics.lake import database, report, shell, sql
from ops.cli.audit import audit
from ops.cli.backup.keep import create, delete, list_all, pin, prune, unpin
from ops.cli.backup.key import new_key, sign_archive, signing_key
from ops.cli.backup.restore import restore
from ops.cli.backup.verify import drill, verify, verify_archive
from ops.cli.cluster import cluster
from ops.cli.console import console
from ops.cli.contract.client_types import client_types
from ops.cli.contract.schema import schema
from ops.cli.doctor import doctor
from ops.cli.files import files
from ops.cli.import_file import import_file
from ops.cli.messages import query, send
from ops.cli.nats_config import nats_config
from ops.cli.new_aggregate import new_aggregate
from ops.cli.projections import projections
from ops.cli.serve import follow, serve
from ops.cli.status import status
from ops.cli.streams.dead_letters import dead_letters
from ops.cli.streams.stream import stream
from ops.cli.tail import tail
from ops.cli.terminal.exits import CommandFailure, Exit, failure, usage_failure
from ops.cli.terminal.output import print_json, printable, say
from ops.cli.token import token
from ops.cli.upgrading.check_upgrade import check_upgrade
from ops.cli.upgrading.migrate import migrate
from ops.cli.user import user
from ops.settings import SettingsError

# Short lines: help is read in terminals of 80 columns, too.
HELP = """An event-sourced persistence service with a message bus.

Commands come in over NATS, their events are kept in one SQLite file, and go
out through JetStream. A first look around, in two terminals:

    hyperpage serve

    hyperpage send jobs.enqueue '{"type": "sync", "name": "acme/site"}'
    hyperpage query jobs.list
    hyperpage tail --from 1"""

EPILOGUE = """Exit codes: 0 done, 1 refused or failed, 2 usage, 3 not found, 4 version
conflict, 5 unreachable or timed out, 6 verification failed."""


def main() -> None:
    """Runs a command, and exits with its code."""
    # SIGTERM becomes an exception, so that an interrupted backup tidies up; `serve` ends in its own way.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # Files of a command (a store, a backup, a lake) are for their owner alone. Memory may have passwords and
    # keys, so no core file is written. Both hold for child processes, too.
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """The exit code of one command; a wrong command line exits at once, with 2."""
    # A character that the terminal cannot show is escaped, and raises no error.
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    command, bound, _ = application().parse_args(_with_options_behind(arguments))
    as_json = bool(bound.arguments.get("as_json"))
    try:
        exit_code = _guarded(command, *bound.args, **bound.kwargs)
        sys.stdout.flush()
    except CommandFailure as error:
        return _report(error, as_json=as_json)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _write_no_more()
        return Exit.DONE
    return exit_code


def _with_options_behind(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `--json` and `--data` moved from before the command to behind it."""
    command, in_front = list(arguments), []
    while command and command[0].partition("=")[0] in ("--json", "--data"):
        in_front.append(command.pop(0))
        if in_front[-1] == "--data" and command:
            in_front.append(command.pop(0))
    # Everything behind `--` is an argument, so the options go before that.
    end = command.index("--") if "--" in command else len(command)
    return command[:end] + in_front + command[end:]


class _Program(App):
    """All commands, with a completion script for bash that also completes members inside bodies."""

    def generate_completion(self, **asked: Any) -> str:
        from ops.cli.terminal.body_completion import BASH

        script = super().generate_completion(**asked)
        return script + BASH if script.startswith("# Bash") else script


def application() -> App:
    """Every command, with its help."""
    service, messages = Group("Service", sort_key=1), Group("Messages", sort_key=2)
    operation, others = Group("Operation", sort_key=3), Group("Others", sort_key=4)
    app = _Program(
        name="hyperpage",
        help=HELP,
        help_epilogue=EPILOGUE,
        # Plain text keeps examples and line breaks as they are written.
        help_format="plaintext",
        error_formatter=_mistake,
        version=_version,
    )
    app.command(serve, group=service)
    app.command(follow, group=service)
    each: tuple[Callable[..., int | None], ...] = (send, query, tail, schema, client_types)
    for place, message in enumerate(each):
        app.command(message, group=messages, sort_key=place)
    app.command(status, group=operation, sort_key=0)
    app.command(doctor, group=operation, sort_key=1)
    app.command(console, group=operation, sort_key=2)
    access = (token(), user(), audit())
    of_data = (_backup(), projections(), migrate(), dead_letters(), stream(), cluster())
    several = (*of_data, *access, _analytics())
    for place, commands in enumerate(several, start=3):
        commands.group, commands.sort_key = operation, place
        app.command(commands)
    app.command(import_file, name="import", group=operation, sort_key=len(several) + 3)
    app.command(check_upgrade, group=operation, sort_key=len(several) + 4)
    app.command(files, group=operation, sort_key=len(several) + 5)
    app.command(nats_config, group=operation, sort_key=len(several) + 6)
    app.command(new_aggregate, group=others)
    app.register_install_completion_command(
        help="Have the shell complete commands and options; for bash, zsh and fish.", group=others
    )
    app["--help"].group = app["--version"].group = others
    return app


def _backup() -> App:
    app = App(name="backup", help="Makes proven copies of the store, and brings them back.")
    app.command(create)
    app.command(list_all, name="list")
    app.command(verify)
    app.command(drill)
    app.command(verify_archive)
    app.command(prune)
    app.command(pin)
    app.command(unpin)
    app.command(delete)
    app.command(restore)
    app.command(new_key)
    app.command(signing_key)
    app.command(sign_archive)
    return app


def _analytics() -> App:
    app = App(name="analytics", help="Asks SQL questions of backups and of the whole history, offline.")
    app.command(export_backups, name="export")
    app.command(sql)
    app.command(diff)
    app.command(report)
    app.command(shell)
    app.command(database)
    return app


def _version() -> str:
    # Imported here, so that `--help` does not wait for it.
    from ops.version import service_version

    return service_version()


def _mistake(error: CycloptsError) -> Any:
    # Imported here, since a correct command line does not need them.
    from cyclopts import CycloptsPanel
    from cyclopts.exceptions import UnknownOptionError, UnusedCliTokensError

    chain = error.command_chain or ()
    if isinstance(error, UnusedCliTokensError) and {"send", "query"} & set(chain):
        # Without single quotes, the shell removes the quotes of JSON, and splits the body at spaces.
        more = " ".join(error.unused_tokens or ())
        return CycloptsPanel(
            f"""The body is one argument, in single quotes: '{{"key": "theme"}}'. Too much: {more}"""
        )
    if isinstance(error, UnknownOptionError) and (near := _option_in_front_of(error)):
        return CycloptsPanel(
            f"Unknown option: {error.token.keyword or error.token.value}. Did you mean {near}?"
        )
    return CycloptsPanel(error)


def _option_in_front_of(error: Any) -> str | None:
    """The longest option that an unknown one begins with: `--http` for `--http-port`.

    Similarity of letters would suggest `--nats-port`, which means something else.
    """
    unknown = error.token.keyword or error.token.value
    names = [name for one in error.argument_collection if one.parse for name in one.names]
    return max((name for name in names if unknown.startswith(f"{name}-")), key=len, default=None)


def _guarded(command: Callable[..., Any], *arguments: Any, **options: Any) -> int:
    """The exit code of a command; a command that returns nothing has succeeded.

    Raises:
        CommandFailure: also for errors of the machine, of settings and of installed aggregates.
    """
    try:
        return int(command(*arguments, **options) or Exit.DONE)
    except SettingsError as error:
        raise usage_failure(str(error), error.hint) from error
    except AggregateError as error:
        raise failure(Exit.FAILED, "failed", error.message, error.hint) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        from ops.store.troubles import hint_of, message_of

        raise failure(Exit.FAILED, "failed", message_of(error), hint_of(error)) from error


def _write_no_more() -> None:
    # The reader, such as `head`, has closed the pipe. The interpreter would report an error when it flushes.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: CommandFailure, *, as_json: bool) -> int:
    if as_json:
        try:
            print_json(error.answer)
            sys.stdout.flush()
        except BrokenPipeError:
            _write_no_more()
    say(f"error: {error.message}")
    for line in error.explanation:
        say(printable(line))
    if error.hint:
        say(f"hint: {error.hint}")
    return error.exit_code
