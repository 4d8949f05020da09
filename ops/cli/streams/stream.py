"""`hyperpage stream`: what operators do with the stream of events."""

from typing import Annotated

from cyclopts import App

from ops.cli.asking import administer
from ops.cli.terminal.exits import usage_failure
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_result


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

    The repair for whatever `hyperpage status` says is wrong with the stream:
    the log has every event. The service goes on meanwhile. Consumers that
    others keep on the stream are deleted with it; who follows as
    docs/subscribing.md says goes on, and handles no event twice.
    """
    if not yes:
        raise usage_failure(
            "this deletes the stream of events, with all consumers on it, before it is filled again",
            "say --yes, too",
        )
    answer = administer("stream.refill", {}, data)
    print_result(answer, as_json, "The stream is being filled again; `hyperpage status` tells how far it is.")
