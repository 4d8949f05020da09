"""How the names of Python become those of the house."""

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
    """What one row of a table is called: `dog` of `dogs`, `entry` of `entries`, `box` of `boxes`."""
    if table.endswith("ies") and len(table) > 4:
        return f"{table[:-3]}y"
    if table.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return table[:-2]
    return table[:-1] if table.endswith("s") and not table.endswith(("ss", "us", "is")) else table


def plural(name: str) -> str:
    """The table of what is called so: `dogs` of `dog`, `entries` of `entry`, `boxes` of `box`."""
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "sh", "ch", "x", "z")) else f"{name}s"


def change_of(event_class: type) -> str:
    """The change of an event's type name: of its class, or of the end of its `TOPIC` if it has one.

    Whoever gives a topic promises that it stays, whatever becomes of the class.
    """
    topic: str | None = getattr(event_class, "TOPIC", None)
    return snake(re.split(r"[.:/]", topic)[-1] if topic else event_class.__name__)
