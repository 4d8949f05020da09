"""`hyperpage schema`: the contract, for programs and for people; needs no running service."""

from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from ops.cli.terminal.completing import messages
from ops.cli.terminal.exits import Exit, failure, usage_failure
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import say

Format = Literal["jsonschema", "asyncapi", "openapi", "markdown"]


def schema(
    name: Annotated[
        str | None,
        Parameter(
            name="NAME",
            help="One command, query or event type, such as jobs.enqueue or job.completed.v1.",
            completer=messages,
        ),
    ] = None,
    /,
    *,
    form: Annotated[
        Format | None,
        option(
            "jsonschema: all in one; asyncapi: subjects and messages (3.0); openapi: the HTTP API (3.1);"
            " markdown: the reference.",
            name="--format",
        ),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows the commands, queries and events, and the schema of each.

    For example:

        hyperpage schema
        hyperpage schema jobs.enqueue
        hyperpage schema --format asyncapi > asyncapi.json
        hyperpage schema --format openapi > openapi.json
        hyperpage schema --format markdown > reference.md

    Without a name and a format, it lists the names. Needs no running service.
    """
    settings = settings_for(data)
    from ops.contract.bundle import bundle
    from ops.version import service_version

    if form in ("asyncapi", "openapi", "markdown") and name is not None:
        raise usage_failure("such a document describes all messages", "leave the name out")
    if form == "asyncapi":
        from ops.contract.asyncapi import asyncapi_document

        _print_document(asyncapi_document(settings.names, service_version()))
    elif form == "openapi":
        from ops.http.openapi.document import openapi_document

        _print_document(openapi_document(service_version(), needs_token=True))
    elif form == "markdown":
        from ops.contract.reference.page import reference

        # Only the page in the repository has examples, since they come from tests.
        print(reference({}), end="")
    elif name is not None:
        _print_document(_one(name))
    elif form == "jsonschema" or as_json:
        _print_document(bundle())
    else:
        _print_names()


def _print_document(document: dict[str, Any]) -> None:
    # Indented, since people read the documents, too.
    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def _one(name: str) -> dict[str, Any]:
    from difflib import get_close_matches

    from ops.contract.schema import all_structs, schema_of

    try:
        return schema_of(name)
    except KeyError:
        names = [known for structs in all_structs().values() for known in structs]
        close = get_close_matches(name, names, n=3)
        raise failure(
            Exit.NOT_FOUND,
            "not_found",
            f"there is no command, query or event type {name}",
            f"did you mean {' or '.join(close)}?" if close else "`hyperpage schema` lists all of them",
        ) from None


def _print_names() -> None:
    from ops.contract.schema import all_structs

    structs = all_structs()
    for kind, named in structs.items():
        print(f"{kind.capitalize()}:")
        width = max(map(len, named))
        for name, struct in named.items():
            first_line = (struct.__doc__ or "").partition("\n")[0]
            print(f"  {name.ljust(width)}  {first_line}".rstrip())
    say("`hyperpage schema NAME` shows one of them; `--format jsonschema` all.")
