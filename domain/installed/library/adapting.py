"""Adapting a class of the library: its parts are put together as a decider and a row."""

from domain.decider import Decider
from domain.installed.library.adapted import Adapted
from domain.installed.library.anatomy import Anatomy
from domain.installed.library.attributes import attributes_of
from domain.installed.library.columns import Row
from domain.installed.library.deciding import Deciding
from domain.installed.library.events import Events
from domain.installed.library.states import States
from domain.installed.library.verbs import Verbs

# An attribute of the class: the columns that its rows are listed and counted by.
FILTERS = "hyperpage_filters"
# Another: whether its rows are in a KV bucket, too.
MIRRORED = "hyperpage_mirrored"


def adapt(kind: type, table: str) -> Adapted:
    """The decider and the row of a class, under the name of a table.

    Raises:
        AggregateError: a part of the class cannot be kept or be a verb.
    """
    anatomy = Anatomy(kind)
    verbs = Verbs(anatomy)
    named = verbs.events_named
    events = Events(
        anatomy, table, [one for one in anatomy.events if one in named or not anatomy.never_comes(one)]
    )
    attributes = attributes_of(anatomy)
    states = States(anatomy, table, attributes)
    row = Row(anatomy, table, attributes, states.keeper)
    deciding = Deciding(anatomy, table, events, states, row)
    return Adapted(
        decider=Decider(
            table=table,
            state=states.struct,
            events=events.types,
            verbs=verbs.made(deciding, events),
            evolve=deciding.evolve,
            upcasters=events.upcasters(),
        ),
        row_shape=row.shape,
        row=row,
        filters=tuple(getattr(kind, FILTERS, ())),
        mirrored=bool(getattr(kind, MIRRORED, False)),
        left_out=verbs.left_out,
    )
