"""`hyperpage status`, `projections` and `dlq`: what operators ask of a running service."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from ops.cli.asking import administer, application_address, ask
from ops.cli.terminal.exits import CommandFailure, Exit, usage_failure
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import (
    compact,
    print_json,
    print_members,
    print_records,
    print_table,
    print_value,
    say,
)
from ops.cli_http import asked_over_http

STATUS_SECONDS = 10.0
# A verification reads the whole log: a million events take some tens of seconds.
CHECK_SECONDS = 3_600.0


def status(
    *,
    ready: Annotated[
        bool, option("Exit with 0 also when it is degraded: for whoever decides by it about a restart.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tells whether the running service is healthy, and if not, why.

    For example:

        hyperpage status
        hyperpage status --json --data /var/lib/hyperpage

    Exits with 0 when it is healthy, with 1 when it is degraded or unhealthy,
    with 5 when none runs.
    """
    answer = asked_status(data)
    report = msgspec.json.decode(answer)
    if as_json:
        print_json(answer)
    else:
        _print_status(report)
    good = ("healthy", "degraded") if ready else ("healthy",)
    return Exit.DONE if report["status"] in good else Exit.FAILED


def asked_status(data: Path | None) -> bytes:
    """What the running service says of its health, over the bus or, without its broker, over HTTP.

    Raises:
        CommandFailure: none runs, or it does not answer.
    """
    try:
        address = application_address(data)
        question = ask(address, address.names.query("service.status"), b"", timeout_seconds=STATUS_SECONDS)
        return asyncio.run(question)
    except CommandFailure as error:
        # Without its broker, it still answers over HTTP.
        said = asyncio.run(asked_over_http(data, "/readyz?verbose", timeout_seconds=STATUS_SECONDS))
        if said is None:
            # Whoever watches the field `status` finds it here, too.
            report = {"status": "unhealthy", "reasons": [error.message], "error": error.error}
            raise CommandFailure(error.exit_code, error.error, answer=report) from error
        return said


def _print_status(report: Mapping[str, Any]) -> None:
    print(report["status"])
    for reason in report.get("reasons", ()):
        print(f"  because {reason}")
    print_members({name: value for name, value in report.items() if name not in ("status", "reasons")})


def projections() -> App:
    """The commands that compare the tables with the log."""
    app = App(name="projections", help="Compares the tables with the log, and rebuilds what differs.")
    app.command(verify)
    app.command(rebuild)
    return app


def verify(*, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Compares every row of every table with what the events say; nothing is changed.

    For example:

        hyperpage projections verify

    Works on a running service, and on the file of a stopped one. Exits with 6
    on any difference.
    """
    report = _check("verify", data)
    _print_check(report, as_json)
    return Exit.DONE if report["equal"] else Exit.VERIFICATION_FAILED


def rebuild(*, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Compares as `verify` does, and writes the rows that differ anew from the events.

    For example:

        hyperpage projections rebuild

    The report tells what was found; afterwards the tables are equal. Works on
    a running service, and on the file of a stopped one.
    """
    report = _check("rebuild", data)
    _print_check(report, as_json)
    if not as_json:
        print(f"Rebuilt: {report['rebuilt_streams']} streams.")
    return Exit.DONE


def _check(verb: str, data: Path | None) -> dict[str, Any]:
    from ops.cli.migrate import stopped_store
    from ops.store import projections_check

    with stopped_store(data) as path:
        if path is None:
            return administer(f"projections.{verb}", {}, data, timeout_seconds=CHECK_SECONDS)
        return projections_check.rebuild_file(path) if verb == "rebuild" else projections_check.verify(path)


def _print_check(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    print_table(
        [
            {"table": name, **{kind: found[kind] for kind in ("rows", "missing", "unexpected", "different")}}
            for name, found in report["tables"].items()
        ]
    )
    for name, found in report["tables"].items():
        for example in found["examples"]:
            print(f"{name} {compact(example['key'])}: {_difference(name, example)}")
    verdict = "The tables equal the log" if report["equal"] else "The tables differ from the log"
    print(f"{verdict} at position {report['position']}.")


def _difference(table: str, example: Mapping[str, Any]) -> str:
    from projections.jobs import HISTORY_COLUMNS
    from projections.tables import TABLES

    expected, found = example["expected"], example["found"]
    if expected is None or found is None:
        return "the row should not be there" if expected is None else "the row is missing"
    columns = TABLES[table].columns if table in TABLES else HISTORY_COLUMNS
    return "; ".join(
        f"{column} is {compact(is_there)} instead of {compact(should_be)}"
        for column, should_be, is_there in zip(columns, expected, found, strict=True)
        if should_be != is_there
    )


SequenceArgument = Annotated[
    int | None, Parameter(name="SEQUENCE", help="The number in the first column of `dlq list`.")
]


def dead_letters() -> App:
    """The commands that look at durable commands which could not be processed."""
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
) -> int:
    """Lists dead letters, the oldest first.

    For example:

        hyperpage dlq list --limit 20
    """
    page = administer("dlq.list", {"limit": limit, "after": after}, data)
    if as_json:
        print_json(page)
        return Exit.DONE
    shown = ("sequence", "time", "command", "code", "reason", "command_id", "size_bytes")
    print_records([{name: item.get(name) for name in shown} for item in page["items"]])
    if page["next"] is not None:
        say(f"There is more: --after {page['next']}")
    return Exit.DONE


def show_dead_letter(
    sequence: SequenceArgument, /, *, data: DataOption = None, as_json: JsonOption = False
) -> int:
    """Shows one dead letter whole, with headers and body.

    For example:

        hyperpage dlq show 7
    """
    if sequence is None:
        raise usage_failure("which one? Name its sequence", "`hyperpage dlq list` has it")
    letter = administer("dlq.show", {"sequence": sequence}, data)
    if as_json:
        print_json(letter)
    else:
        print_value(letter)
    return Exit.DONE


def replay_dead_letters(
    sequence: SequenceArgument = None,
    /,
    *,
    every: Annotated[bool, option("All of them.", name="--all")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Puts dead letters back among the durable commands, to be tried again.

    For example:

        hyperpage dlq replay 7
        hyperpage dlq replay --all
    """
    answer = administer("dlq.replay", _chosen(sequence, every), data)
    if as_json:
        print_json(answer)
    else:
        print(f"Replayed: {answer['replayed']}.")
    return Exit.DONE


def drop_dead_letters(
    sequence: SequenceArgument = None,
    /,
    *,
    every: Annotated[bool, option("All of them; asks for --yes.", name="--all")] = False,
    yes: Annotated[bool, option("Yes, drop all of them.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Drops dead letters for good.

    For example:

        hyperpage dlq drop 7
        hyperpage dlq drop --all --yes
    """
    chosen = _chosen(sequence, every)
    if every and not yes:
        raise usage_failure("this drops every dead letter, and nothing brings them back", "say --yes, too")
    answer = administer("dlq.drop", chosen, data)
    if as_json:
        print_json(answer)
    else:
        print(f"Dropped: {answer['dropped']}.")
    return Exit.DONE


def _chosen(sequence: int | None, every: bool) -> dict[str, Any]:
    if (sequence is None) == (not every):
        raise usage_failure(
            "which ones? Either a sequence, or --all", "`hyperpage dlq list` has the sequences"
        )
    return {"all": True} if every else {"sequence": sequence}
