"""Completers: the words that the shell offers, other than options and fixed choices.

The shell runs the program at each Tab (`hyperpage __complete …`), so modules are imported only when needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def commands(context: Any) -> Mapping[str, str]:
    """The commands that can be sent, each with its summary."""
    from domain.catalogue import COMMANDS
    from hyperpage_client.contract.subjects import BATCH

    described = {name: _first_line(verb.command.__doc__) for name, verb in COMMANDS.items()}
    return described | {BATCH: "Several commands in one message."}


def queries(context: Any) -> Sequence[str]:
    """The queries that can be asked."""
    from bus.contract.names import query_names

    return tuple(query_names())


def bodies(context: Any) -> Sequence[str]:
    """The typed beginning of a body with each word that the schema of its command or query allows next."""
    from ops.cli.terminal.body_completion import completed_bodies
    from ops.contract.schema import schema_of

    try:
        return completed_bodies(context.incomplete, schema_of(str(context["name"].value)))
    except KeyError:
        return ()


def messages(context: Any) -> Mapping[str, str]:
    """All commands, queries and types of events, each with its summary."""
    from ops.contract.schema import all_structs

    return {
        name: _first_line(struct.__doc__)
        for structs in all_structs().values()
        for name, struct in structs.items()
    }


def tables(context: Any) -> Sequence[str]:
    """The tables that have events."""
    from domain.catalogue import BY_TABLE

    return tuple(BY_TABLE)


def tables_of_others(context: Any) -> Sequence[str]:
    """The tables of installed aggregates."""
    from domain.catalogue import INSTALLED

    return tuple(one.decider.table for one in INSTALLED)


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0]
