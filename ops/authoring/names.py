"""The names in the package of an aggregate, and those that are refused."""

import builtins
import keyword
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import msgspec

from domain.catalogue import EVENT_TYPES, INSTALLED
from domain.installed.checking import TABLE_NAME, table_objections
from ops.authoring.error import AuthoringError
from projections.tables import TABLES

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ALLOWED = "a name has 1 to 40 of a-z, 0-9 and _, a letter first, and says what one of them is: basket"
_TABLE_HINT = "name the table otherwise: `hyperpage new-aggregate NAME --table OTHER`"
_NOT_PLURAL = ("ss", "us", "is")
# The names in the package's modules beside the aggregate's own class.
_SAID_IN_MODULES = frozenset(
    (
        *("Aggregate", "AlreadyClosed", "AlreadyExists", "Close", "Closed", "Command", "Context", "Create"),
        *("Created", "Decider", "Decision", "Event", "Key", "Literal", "Name", "NotFound", "Recorded"),
        *("Rename", "Renamed", "RuleViolated", "State", "Verb"),
    )
)
# The names of tables that are taken, each with what has the table.
_TAKEN = dict.fromkeys(TABLES, "this program itself") | {one.decider.table: one.place for one in INSTALLED}


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """The names in one package: all follow from the aggregate's name, except for that of a given table."""

    name: str
    table: str

    @property
    def package(self) -> str:
        return self.table

    @property
    def distribution(self) -> str:
        return self.table.replace("_", "-")

    @property
    def class_name(self) -> str:
        return "".join(part[:1].upper() + part[1:] for part in self.name.split("_"))

    @property
    def a_name(self) -> str:
        """The name in words, with its article: `an order line`."""
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name.replace('_', ' ')}"


def names_for(name: str, table: str | None = None) -> Names:
    """The names in the package of an aggregate: for `basket`, the package and its table are `baskets`.

    Raises:
        AuthoringError: one of the names is not allowed, or is taken.
    """
    names = Names(name=name, table=table or plural(name))
    for reason, hint in _objections(names, table_is_given=table is not None):
        raise AuthoringError(reason, hint)
    return names


def plural(name: str) -> str:
    """The regular plural of a noun; authors give another one with `--table`."""
    if re.search(r"[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    return f"{name}es" if re.search(r"(s|x|z|ch|sh)$", name) else f"{name}s"


def _objections(names: Names, *, table_is_given: bool) -> Iterator[tuple[str, str]]:
    name, table = names.name, names.table
    if not _NAME.fullmatch(name):
        yield f"{name!r} is no name of an aggregate", _ALLOWED
    if not table_is_given and name.endswith("s") and not name.endswith(_NOT_PLURAL):
        yield (
            f"{name!r} looks like the name of many",
            f"name one of them, or say that the table is called so: `new-aggregate {name} --table {name}`",
        )
    if keyword.iskeyword(name) or keyword.iskeyword(names.class_name) or hasattr(builtins, names.class_name):
        yield f"Python has another meaning for {name!r}", _ALLOWED
    if names.class_name in _SAID_IN_MODULES:
        yield f"{names.class_name} is the name of something else in every such package", _ALLOWED
    yield from ((reason, _TABLE_HINT) for reason, _ in table_objections(table, _TAKEN))
    if any(event.startswith(f"{name}.") for event in EVENT_TYPES):
        yield f"there are events {name}.… already", _ALLOWED
    yield from _of_modules(table)


def _of_modules(package: str) -> Iterator[tuple[str, str]]:
    # Modules in the working directory do not count: the installed program does not have it on its path.
    if not TABLE_NAME.fullmatch(package):
        return
    if package in sys.stdlib_module_names or find_spec(package) is not None:
        yield f"there is a Python module {package} already", _TABLE_HINT
