"""A secret that is told three times, and then refused by a rule that its verb does not declare."""

from operator import attrgetter

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import RuleViolated
from domain.messages import Command, Event, Key, Recorded


class Tell(Command, frozen=True, kw_only=True):
    id: Key


class Told(Event, frozen=True, kw_only=True):
    pass


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    times: int


def _tell(state: Secret | None, command: Tell, context: Context, key: str) -> Decision:
    if state is not None and state.times == 3:
        raise RuleViolated("told_too_often", "it is told no more", hint="have another one")
    return Decision(events=((key, Told()),))


def evolve(state: Secret | None, recorded: Recorded) -> Secret:
    return Secret(id=recorded.key, times=1 if state is None else state.times + 1)


DECIDER = Decider(
    table="secrets",
    state=Secret,
    evolve=evolve,
    events={"secret.told.v1": Told},
    verbs=(Verb(name="tell", command=Tell, key=attrgetter("id"), decide=_tell, events=(Told,)),),
)
