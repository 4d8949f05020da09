"""Finds the aggregates that other distributions bring, and loads them.

A distribution names its aggregates in the group `hyperpage.aggregates` of its entry points. To try one out,
name it in the variable `HYPERPAGE_AGGREGATES` (`serve --aggregates` sets it), with commas between several.
The name is `module`, for a module that has a `DECIDER` and perhaps a `TABLE` and a `DEMO`, or `module:Class`,
for an aggregate of the library `eventsourcing`. The table of such a class has the name of the entry point:
`dogs = "school.domain:Dog"`. In the variable, a table without a name is called by the plural of its class:
`dogs=school.domain:Dog` and `school.domain:Dog` are the same.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import msgspec

from domain.decider import Decider
from domain.installed.error import AggregateError
from domain.installed.library import adapted, is_library_class
from domain.installed.library.names import plural, snake

GROUP = "hyperpage.aggregates"
VARIABLE = "HYPERPAGE_AGGREGATES"
# The value of the variable that leaves out all aggregates but ours, whatever is installed.
NONE = "none"
MAXIMUM_AGGREGATES = 100
# A static method of a class of the library: what `DEMO` is in a module.
DEMO = "hyperpage_demo"


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate that was loaded, and its source, as users are told it.

    `table` is the `TABLE` of its module, or an `Adapted` for a class of the library, or `None`. `demo` makes
    (verb, body) pairs with a `random.Random`, for `serve --demo`. `file` is the file of its module.
    """

    decider: Decider
    table: Any = None
    demo: Any = None
    source: str
    file: str | None = None

    @property
    def place(self) -> str:
        """The source of the aggregate, and the file that it is written in."""
        return self.source if self.file is None else f"{self.source}, in {self.file}"


class _Named(msgspec.Struct, frozen=True):
    """An aggregate to load: its table's name if one is given, its `module` or `module:Class`, and its source.

    `source` is the same name for users, with the distribution that has the entry point.
    """

    table: str | None
    place: str
    source: str


def installed(environment: Mapping[str, str] = os.environ) -> tuple[Installed, ...]:
    """Every aggregate that is to be served beside ours, in the order of their tables' names.

    Raises:
        AggregateError: one cannot be imported, or is no aggregate.
    """
    said = environment.get(VARIABLE, "")
    if said.strip() == NONE:
        return ()
    named = [*_of_distributions(), *_to_try_out(said)]
    if len(named) > MAXIMUM_AGGREGATES:
        raise AggregateError(
            named[MAXIMUM_AGGREGATES].source,
            f"there may be {MAXIMUM_AGGREGATES} of them, and there are {len(named)}",
            "take some of the packages out",
        )
    # An aggregate that is tried out may be installed as well: it is loaded once.
    places = {one.place: one for one in named}
    loaded = [_loaded(one) for one in places.values()]
    for one in loaded:
        if one.decider.queries or any(verb.finds for verb in one.decider.verbs):
            raise AggregateError(
                one.source,
                "it has `queries` of its own, or a verb that `finds` what it is about",
                "leave that out: this program has the code for its own alone",
            )
    return tuple(sorted(loaded, key=lambda one: one.decider.table))


def _of_distributions() -> Iterator[_Named]:
    for one in entry_points(group=GROUP):
        by = f" ({one.dist.name} {one.dist.version})" if one.dist is not None else ""
        yield _Named(one.name, one.value.replace(" ", ""), f"{one.value}{by}")


def _to_try_out(said: str) -> Iterator[_Named]:
    for one in filter(None, map(str.strip, said.split(","))):
        table, _, place = one.rpartition("=")
        yield _Named(table or None, place, place)
    if said and (here := os.getcwd()) not in sys.path:  # noqa: PTH109 - no files are of interest here
        # At the end, so that no file in this folder is taken for a module of ours.
        sys.path.append(here)


def _loaded(named: _Named) -> Installed:
    module_name, _, attribute = named.place.partition(":")
    module = _guarded(named, lambda: import_module(module_name), "it cannot be imported")
    file: str | None = getattr(module, "__file__", None)
    if not attribute:
        decider = getattr(module, "DECIDER", None)
        if not isinstance(decider, Decider):
            raise AggregateError(
                named.source,
                f"{module_name} has no DECIDER",
                "give the module a `DECIDER` (domain.decider.Decider), or name a class: `module:Class`",
            )
        table, demo = getattr(module, "TABLE", None), getattr(module, "DEMO", None)
        return Installed(decider=decider, table=table, demo=demo, source=named.source, file=file)
    found = _guarded(named, lambda: getattr(module, attribute), f"{module_name} has no {attribute}")
    if isinstance(found, Decider):
        return Installed(decider=found, source=named.source, file=file)
    if is_library_class(found):
        brought = adapted(found, table=named.table or plural(snake(attribute)))
        demo = getattr(found, DEMO, None)
        return Installed(decider=brought.decider, table=brought, demo=demo, source=named.source, file=file)
    raise AggregateError(
        named.source,
        f"{attribute} is neither a Decider nor an Aggregate of the library eventsourcing",
        "docs/your-own-aggregates.md shows both",
    )


def _guarded(named: _Named, load: Callable[[], Any], reason: str) -> Any:
    try:
        # The output of a module must not mix with the answers of a command line.
        with redirect_stdout(sys.stderr):
            return load()
    except AggregateError as error:
        raise AggregateError(named.source, error.reason, error.hint) from error
    except (Exception, SystemExit) as error:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith("<") and "importlib" not in frame.filename
        ]
        # The first two frames are those of this function and of `load`.
        place = f" ({frames[-1].filename}:{frames[-1].lineno})" if len(frames) > 2 else ""
        raise AggregateError(
            named.source,
            f"{reason}: {type(error).__name__}: {error}{place}",
            f"mend it, or take it out: it is named in {VARIABLE}, or by a package under {GROUP!r};"
            f" with {VARIABLE}={NONE}, ours are served alone",
        ) from error
