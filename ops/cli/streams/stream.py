"""`hyperpage stream`: the operator's command for the stream of events."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App

from ops.cli.asking import administer
from ops.cli.stopped import free_directory, require_store
from ops.cli.terminal.exits import unreachable, usage_failure
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_result
from ops.cli.terminal.recording import recorded

if TYPE_CHECKING:
    from ops.settings import Settings


def stream() -> App:
    """The commands about the stream of events."""
    app = App(name="stream", help="The stream of events: fills it anew from the log.")
    app.command(refill)
    return app


def refill(
    *,
    yes: Annotated[bool, option("Yes, delete the stream.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deletes the stream of events, and has it filled again from position 1.

    For example:

        hyperpage stream refill --yes

    This repairs every problem of the stream that `hyperpage status` reports,
    since the log has every event. The service goes on meanwhile; if none runs,
    the next start fills the stream. All consumers on the stream are deleted
    with it. Subscribers that follow docs/subscribing.md go on by themselves,
    and handle no event twice.
    """
    if not yes:
        raise usage_failure(
            "this deletes the stream of events, with all consumers on it, before it is filled again",
            "say --yes, too",
        )
    settings = settings_for(data)
    require_store(settings.store_path)
    with free_directory(settings) as in_use:
        if in_use is None:
            _delete(settings)
            print_result(
                {"refilling": True}, as_json, "The stream is deleted; the next start fills it again."
            )
            return
    answer = administer("stream.refill", {}, data)
    print_result(answer, as_json, "The stream is being filled again; `hyperpage status` tells how far it is.")


def _delete(settings: "Settings") -> None:
    from bus.broker.server import NatsServerError
    from bus.transport.jetstream import JetStreamError
    from hyperpage_client.transport.connecting import NotConnectedError
    from ops.backup.restoring.stopped_stream import delete_stream

    try:
        with recorded(settings, "stream.refill", {}):
            delete_stream(settings)
    except (NatsServerError, NotConnectedError) as error:
        raise unreachable(f"the stream is as it was: {error}", error.hint) from error
    except JetStreamError as error:
        raise unreachable(
            f"the stream is as it was: {error}",
            error.repair or "see that its nats-server answers (`hyperpage status`), and try again",
        ) from error
