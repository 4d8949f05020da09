"""The names of commands and queries, and the refusals of unknown names, which suggest a known one."""

from collections.abc import Collection, Iterator

from bus.contract.violations import nearest
from domain.catalogue import BY_TABLE, COMMANDS
from domain.credentials.scanning import Finding, kind_of_text, rejected
from domain.errors import Invalid, NotFound, Refusal

_QUERIES_OF_EACH_TABLE = ("get", "list", "count", "history", "as_of")
_QUERIES_OF_THE_LOG = ("events.read", "events.find", "events.chain")
# The table of the streams about the store itself; it has no rows.
SYSTEM = "system"
_LONGEST_NAME = 100


def query_names() -> Iterator[str]:
    """The names of all queries."""
    for table, decider in BY_TABLE.items():
        yield from (f"{table}.{verb}" for verb in (*_QUERIES_OF_EACH_TABLE, *decider.queries))
    yield from _QUERIES_OF_THE_LOG


def no_such_command(name: str, away: Collection[str] = (), *, explains: bool = True) -> Refusal:
    """The refusal of an unknown command. A name that looks like a credential is refused as one.

    If its table is `away`, the refusal says so. With `explains`, it takes the time to look for the name that
    was meant.
    """
    if (table := name.partition(".")[0]) in away:
        return is_away(table)
    if not explains:
        return _refusal("command", name, (), ("query", ()))
    return _refusal("command", name, tuple(COMMANDS), ("query", tuple(query_names())))


def no_such_query(name: str, away: Collection[str] = ()) -> Refusal:
    """The refusal of an unknown query, as in `no_such_command`."""
    if (table := name.partition(".")[0]) in away:
        return is_away(table)
    return _refusal("query", name, tuple(query_names()), ("command", tuple(COMMANDS)))


def is_away(table: str) -> Refusal:
    """The refusal of commands and queries of a table whose package is no longer installed."""
    return NotFound(
        f"{table}.* belongs to a package that is not installed here: its table is kept, and nobody answers",
        hint="nothing is lost: whoever runs the service installs that package, and starts it again;"
        " `hyperpage status` says what is kept",
        away=table,
    )


def no_such_table(table: str, away: Collection[str] = (), *, path: str) -> Refusal:
    """The refusal of an unknown table, which lists the known ones; `path` is the field that names it.

    If the table is `away`, the refusal says so.
    """
    if table in away:
        return is_away(table)
    if (secret := kind_of_text(table)) is not None:
        return rejected(Finding(path, secret))
    tables = (*BY_TABLE, SYSTEM)
    near = nearest(table, tables)
    opening, details = (f"did you mean {near}? ", {"did_you_mean": near}) if near else ("", {})
    return Invalid(
        f"there is no table {table[:_LONGEST_NAME]}",
        hint=f"{opening}it is one of {', '.join(tables)}",
        path=path,
        **details,
    )


def schema_hint(name: str) -> str:
    """A hint that names the schema of a command or query."""
    return f"`hyperpage schema {name}` says what it takes"


def tell_schema(refusal: Refusal, name: str) -> None:
    """Adds the schema of a command or query to the hint of an `Invalid`, if it has the usual hint."""
    if isinstance(refusal, Invalid) and refusal.hint == refusal.usual_hint:
        refusal.hint = f"nothing was changed: correct it and send it again; {schema_hint(name)}"


def meant(name: str, names: Collection[str]) -> str | None:
    """The one of `names` that `name` may have meant, if there is one; all have the form `table.verb`."""
    table, dot, verb = name.partition(".")
    if not dot:
        table, verb = "", name
    tables = tuple(dict.fromkeys(one.partition(".")[0] for one in names))
    if (near_table := table if table in tables else nearest(table, tables)) is None:
        return next((one for one in names if one.partition(".")[2] == verb), None)
    verbs = tuple(dict.fromkeys(verbs_of(near_table, names)))
    near_verb = verb if verb in verbs else nearest(verb, verbs)
    return None if near_verb is None else f"{near_table}.{near_verb}"


def verbs_of(table: str, names: Collection[str]) -> Iterator[str]:
    """The verbs of a table among names of the form `table.verb`."""
    return (verb for one, _, verb in (name.partition(".") for name in names) if one == table)


def _refusal(kind: str, name: str, own: tuple[str, ...], others: tuple[str, tuple[str, ...]]) -> Refusal:
    if (secret := kind_of_text(name)) is not None:
        return rejected(Finding(kind, secret))
    other_kind, other_names = others
    message = f"there is no {kind} {name[:_LONGEST_NAME]}"
    near = meant(name, own + other_names)
    if near is None:
        verbs = ", ".join(verbs_of(name.partition(".")[0], own))
        there_is = f"its table has {verbs}; " if verbs else ""
        return NotFound(message, hint=f"{there_is}`hyperpage schema` lists all of them")
    opening = "" if near == name else f"did you mean {near}? "
    if near in own:
        return NotFound(message, hint=opening + schema_hint(near), did_you_mean=near)
    way = {"query": f"qry.v1.{near}", "command": f"cmd.v1.{near}"}[other_kind]
    program = {"query": "query", "command": "send"}[other_kind]
    return NotFound(
        message,
        hint=f"{opening}{near} is a {other_kind}: it goes to {way} behind the prefix of all subjects, or with"
        f" `hyperpage {program} {near}`; {schema_hint(near)}",
        did_you_mean=near,
        kind=other_kind,
    )
