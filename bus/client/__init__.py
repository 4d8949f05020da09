"""The client of `hyperpage_client`, for programs in whose environment the service is installed, too.

Commands may be structs of the domain, such as `domain.jobs.commands.Enqueue`, and refusals are those of
`domain.errors` as well as those of `hyperpage_client.errors`.
"""

import domain.errors
import hyperpage_client.errors
from domain.catalogue import COMMANDS
from hyperpage_client import (
    BatchCommand,
    ChangeEvent,
    Client,
    ClosedError,
    CommandAnswer,
    EventPage,
    PlaceLostError,
    Subscription,
    UnknownRefusal,
    Unreachable,
    connect,
)
from hyperpage_client.asking.outgoing import NAMES

# The name of `CommandAnswer` that programs know from the first versions on.
Answer = CommandAnswer

__all__ = [
    "Answer",
    "BatchCommand",
    "ChangeEvent",
    "Client",
    "ClosedError",
    "CommandAnswer",
    "EventPage",
    "PlaceLostError",
    "Subscription",
    "UnknownRefusal",
    "Unreachable",
    "connect",
]

NAMES.update({verb.command: name for name, verb in COMMANDS.items()})

for _kind in tuple(hyperpage_client.errors.KINDS.values()):
    _own = getattr(domain.errors, _kind.__name__, domain.errors.Refusal)
    if not issubclass(_kind, _own):
        hyperpage_client.errors.KINDS[_kind.code] = type(_kind.__name__, (_kind, _own), {})
