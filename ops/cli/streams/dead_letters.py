"""`hyperpage dlq`: durable commands that could not be processed."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from ops.cli.asking import administer
from ops.cli.terminal.exits import usage_failure
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_records, print_result, print_value, say

SequenceArgument = Annotated[
    int | None, Parameter(name="SEQUENCE", help="The number in the first column of `dlq list`.")
]


def dead_letters() -> App:
    """The commands about dead letters."""
    app = App(name="dlq", help="Dead letters: durable commands that could not be processed.")
    app.command(list_dead_letters, name="list")
    app.command(show_dead_letter, name="show")
    app.command(replay_dead_letters, name="replay")
    app.command(drop_dead_letters, name="drop")
    return app


def list_dead_letters(
    *,
    limit: Annotated[int, option("How many at most, 1 to 1000. Default: 100.")] = 100,
    after: Annotated[int, option("Only those behind this sequence. Default: 0.")] = 0,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists dead letters, the oldest first.

    For example:

        hyperpage dlq list --limit 20
    """
    page = administer("dlq.list", {"limit": limit, "after": after}, data)
    print_result(page, as_json, _print_page)


def show_dead_letter(
    sequence: SequenceArgument, /, *, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Shows one dead letter whole, with headers and body.

    For example:

        hyperpage dlq show 7
    """
    if sequence is None:
        raise usage_failure("which one? Name its sequence", "`hyperpage dlq list` has it")
    letter = administer("dlq.show", {"sequence": sequence}, data)
    print_result(letter, as_json, print_value)


def replay_dead_letters(
    sequence: SequenceArgument = None,
    /,
    *,
    every: Annotated[bool, option("All of them.", name="--all")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Puts dead letters back among the durable commands, to be tried again.

    For example:

        hyperpage dlq replay 7
        hyperpage dlq replay --all
    """
    answer = administer("dlq.replay", _chosen(sequence, every), data)
    print_result(answer, as_json, f"Replayed: {answer['replayed']}.")


def drop_dead_letters(
    sequence: SequenceArgument = None,
    /,
    *,
    every: Annotated[bool, option("All of them; asks for --yes.", name="--all")] = False,
    yes: Annotated[bool, option("Yes, drop all of them.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Drops dead letters for good.

    For example:

        hyperpage dlq drop 7
        hyperpage dlq drop --all --yes
    """
    chosen = _chosen(sequence, every)
    if every and not yes:
        raise usage_failure("this drops every dead letter, and nothing brings them back", "say --yes, too")
    answer = administer("dlq.drop", chosen, data)
    print_result(answer, as_json, f"Dropped: {answer['dropped']}.")


def _print_page(page: dict[str, Any]) -> None:
    shown = ("sequence", "time", "command", "code", "reason", "command_id", "size_bytes")
    print_records([{name: item.get(name) for name in shown} for item in page["items"]])
    if page["next"] is not None:
        say(f"There is more: --after {page['next']}")


def _chosen(sequence: int | None, every: bool) -> dict[str, Any]:
    if (sequence is None) == (not every):
        raise usage_failure(
            "which ones? Either a sequence, or --all", "`hyperpage dlq list` has the sequences"
        )
    return {"all": True} if every else {"sequence": sequence}
