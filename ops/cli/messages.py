"""`hyperpage send` and `query`: commands and queries from people and scripts."""

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from ops.cli.asking import application_address, ask, ask_durably
from ops.cli.terminal.completing import bodies, commands, queries
from ops.cli.terminal.exits import Exit, explanation_of, usage_failure
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_result, print_value, printable
from ops.targets.regular_files import read_regular

# A message has 1 MiB at most.
MAXIMUM_BODY_BYTES = 1024 * 1024
_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*|batch")
_WORD = re.compile(r"[\w./:-]+")
DEFAULT_TIMEOUT_SECONDS = 10.0
# The options of `send`; `query` has some of them. A misspelt option would be taken for the body.
_OPTIONS = (
    "--id",
    "--expected-version",
    "--actor",
    "--correlation-id",
    "--durable",
    "--timeout",
    "--data",
    "--json",
)
# The only query whose answer may take longer.
AWAITED = "jobs.await"

CommandArgument = Annotated[str, Parameter(name="TABLE.VERB", completer=commands)]
QueryArgument = Annotated[str, Parameter(name="TABLE.VERB", completer=queries)]
BodyArgument = Annotated[
    str,
    Parameter(
        name="JSON",
        completer=bodies,
        # `-` stands for standard input, and is no option.
        allow_leading_hyphen=True,
        help="The body: JSON, @FILE for a file's content, or - for standard input. Default: {}.",
        show_default=False,
    ),
]
TimeoutOption = Annotated[float, option("Give up after so many seconds. Default: 10.", name="--timeout")]


def send(
    name: CommandArgument,
    body: BodyArgument = "{}",
    /,
    *,
    command_id: Annotated[
        str | None,
        option("The command's id: sent again with the same one, it does nothing twice.", name="--id"),
    ] = None,
    expected_version: Annotated[
        int | None, option("Refuse unless the stream is at this version; 0: it must not exist.")
    ] = None,
    actor: Annotated[str | None, option("Who does this; kept with the events.")] = None,
    correlation_id: Annotated[str | None, option("What this belongs to; kept with the events.")] = None,
    durable: Annotated[
        bool, option("Have the broker keep the command until the service has answered it.")
    ] = False,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Sends a command, and prints the answer.

    The answer comes when the change is on disk. For example:

        hyperpage send jobs.enqueue '{"type": "sync", "name": "acme/site"}'
        hyperpage send app_state.set '{"key": "theme", "value": "dark"}' --id 1
        hyperpage send batch @commands.json

    `hyperpage schema` lists the commands; `hyperpage schema jobs.enqueue` shows
    the fields of one.
    """
    from hyperpage_client.contract.headers import ACTOR, COMMAND_ID, CORRELATION_ID, EXPECTED_VERSION

    headers = {
        COMMAND_ID: command_id,
        EXPECTED_VERSION: None if expected_version is None else str(expected_version),
        ACTOR: actor,
        CORRELATION_ID: correlation_id,
    }
    given = {header: value for header, value in headers.items() if value is not None}
    _require_name(name, "send")
    content = read_body(body, name)
    address = application_address(data)
    answer = asyncio.run(
        ask_durably(address, name, content, given, timeout_seconds=timeout)
        if durable
        else ask(address, address.names.command(name), content, headers=given, timeout_seconds=timeout)
    )
    print_result(answer, as_json, partial(print_answer, tried=_tried(content)))
    outcomes = msgspec.json.decode(answer)["outcomes"] if name == "batch" else ()
    return Exit.FAILED if any("error" in outcome for outcome in outcomes) else Exit.DONE


def query(
    name: QueryArgument,
    body: BodyArgument = "{}",
    /,
    *,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reads rows as they are or once were, or their history.

    For example:

        hyperpage query jobs.list '{"status": "failed", "limit": 20}'
        hyperpage query tool_configs.get '{"tool_name": "github"}' --json
        hyperpage query events.read '{"stream": "app_state/theme"}'

    Every table has get, list, count, history and as_of; `hyperpage schema
    jobs.list` shows the fields of one. `jobs.await` waits for a job's end.
    """
    _require_name(name, "query")
    content = read_body(body, name)
    if name == AWAITED:
        # The answer comes when the job has ended, or when its own timeout is over.
        timeout += _milliseconds(content) / 1_000
    address = application_address(data)
    answer = asyncio.run(ask(address, address.names.query(name), content, timeout_seconds=timeout))
    print_result(answer, as_json, print_value)


def _milliseconds(body: bytes) -> float:
    said = msgspec.json.decode(body or b"{}")
    wait_ms = said.get("timeout_ms") if isinstance(said, dict) else None
    return wait_ms if isinstance(wait_ms, int) else 0


def read_body(text: str, name: str) -> bytes:
    """The body of the command or query `name`: the argument itself, a file's content, or standard input.

    Raises:
        CommandFailure: the body cannot be read, or is not JSON.
    """
    if text == "-":
        body = sys.stdin.buffer.read(MAXIMUM_BODY_BYTES + 1)
        if len(body) > MAXIMUM_BODY_BYTES:
            raise usage_failure(f"the body has more than {MAXIMUM_BODY_BYTES} bytes", "send it in parts")
    elif text.startswith("@"):
        try:
            body = read_regular(Path(text[1:]), MAXIMUM_BODY_BYTES)
        except OSError as error:
            raise usage_failure(
                f"{text[1:]} cannot be read: {error.strerror}",
                f"it is looked for from {Path.cwd()} on; - reads from standard input, which may be a pipe"
                if isinstance(error, FileNotFoundError)
                else "- reads from standard input, which may be a pipe; a large batch is sent in parts",
            ) from error
    elif text.startswith("--"):
        from bus.contract.violations import nearest

        near = nearest(text.partition("=")[0], _OPTIONS)
        raise usage_failure(
            f"there is no option {text}", f"did you mean {near}?" if near else "`--help` lists them"
        )
    else:
        body = text.encode()
    try:
        msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise usage_failure(f"the body is not JSON: {error}", _hint_of_body(text, name)) from error
    return body


def _hint_of_body(text: str, name: str) -> str:
    """A hint how to write a body, with the typed words in it where their meaning is clear."""
    from bus.contract.names import schema_hint
    from ops.contract.schema import schema_of

    opening = "a body is an object of JSON, with double quotes around names and texts:"
    try:
        schema = schema_of(name)
    except KeyError:
        return f"""{opening} '{{"key": "theme"}}'"""
    required = schema.get("required", [])
    field, equals, value = text.partition("=")
    example = dict.fromkeys(required or [*schema.get("properties", {})][:1], "...")
    if equals and field in schema.get("properties", {}):
        example = {field: value}
    elif len(required) == 1 and _WORD.fullmatch(text) is not None:
        example = {required[0]: text}
    return f"{opening} '{json.dumps(example)}'; {schema_hint(name)}"


def print_answer(answer: dict[str, Any], tried: Sequence[bool]) -> None:
    """Prints an answer for people: the outcome of each command on one line, then its result.

    `tried` says for each command whether it was a dry run.
    """
    for index, outcome in enumerate(answer.get("outcomes", [answer])):
        if "error" in outcome:
            error = outcome["error"]
            print(printable(f"command {index} refused ({error['code']}): {error['message']}"))
            for line in explanation_of(error):
                print(printable(line))
            if error.get("hint"):
                print(f"  hint: {error['hint']}")
            continue
        print("A dry run; nothing was changed:" if tried[index] else _summary(outcome))
        if outcome["result"] not in (None, {"jobs": []}):
            print_value(outcome["result"])


def _tried(body: bytes) -> list[bool]:
    """Whether a command was a dry run; for a batch, whether each of its commands was."""
    sent = msgspec.json.decode(body or b"{}")
    bodies = [one.get("body", {}) for one in sent["commands"]] if "commands" in sent else [sent]
    return [one.get("dry_run") is True for one in bodies]


def _summary(answer: dict[str, Any]) -> str:
    if answer["result"] == {"jobs": []}:
        return "No job is due."
    if not answer["events"]:
        return "Accepted; nothing had to change."
    more = len(answer["events"]) - 1
    return (
        f"Accepted: {answer['events'][-1]}{f' and {more} more' if more else ''}"
        f"  {answer['stream']} version {answer['version']}  position {answer['position']}"
    )


def _require_name(name: str, program: str) -> None:
    if _NAME.fullmatch(name) is not None:
        return
    from bus.contract.names import meant, query_names, verbs_of
    from bus.contract.violations import nearest
    from domain.catalogue import BY_TABLE, COMMANDS

    names = tuple(query_names() if program == "query" else COMMANDS)
    table = name if name in BY_TABLE else nearest(name, tuple(BY_TABLE))
    if near := meant(re.sub(r"\W+", ".", name), (*names, *COMMANDS, *query_names())):
        hint = f"did you mean {near}?"
    elif table is not None and (verbs := [*verbs_of(table, names)]):
        hint = f"`hyperpage {program} {table}.{verbs[0]}`, say: {table} has {', '.join(verbs)}"
    else:
        hint = f"for example {names[0]}; see `hyperpage schema`"
    raise usage_failure(f"{name!r} is not TABLE.VERB", hint)
