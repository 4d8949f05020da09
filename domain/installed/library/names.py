"""Names of Python as names of verbs, commands, events and tables."""

import re

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9]+")


def snake(name: str) -> str:
    """`trick_added` of `TrickAdded`, `sent_by_http` of `SentByHTTP`."""
    words = [word for part in _NOT_A_WORD.split(name) for word in _WORD.findall(part)]
    return "_".join(words).lower()


def camel(name: str) -> str:
    """`AddTrick` of `add_trick`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def singular(table: str) -> str:
    """The name of one row of a table: `dog` of `dogs`, `entry` of `entries`, `box` of `boxes`."""
    if table.endswith("ies") and len(table) > 4:
        return f"{table[:-3]}y"
    if table.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return table[:-2]
    return table[:-1] if table.endswith("s") and not table.endswith(("ss", "us", "is")) else table


def plural(name: str) -> str:
    """The name of the table of such rows: `dogs` of `dog`, `entries` of `entry`, `boxes` of `box`."""
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "sh", "ch", "x", "z")) else f"{name}s"


def change_of(event_class: type) -> str:
    """The change in an event's type name: from its class, or from the end of its `TOPIC` if it has one.

    A class with a `TOPIC` may be renamed: its author promises that the topic stays the same.
    """
    topic: str | None = getattr(event_class, "TOPIC", None)
    return snake(re.split(r"[.:/]", topic)[-1] if topic else event_class.__name__)
