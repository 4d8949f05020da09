"""The states of a job for the reference: a picture of how events move it, a table of what verbs do in each.

Neither is written by hand: both are made from what happened when every verb was tried in every state.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, get_args

from domain.catalogue import VERBS
from domain.jobs.state import State

_INTRODUCTION = """
## The states of a job

Every verb was tried in every state, and this is what happened. The arrows are events, `job.<name>.v1`; what
leaves a job in its state has none, and an import brings jobs along in any state.

"""
_LEGEND = """
The table has the state in which a verb leaves a job, by the state in which it meets it; `–` where nothing
changes, as with a value that is there already; and the rule of a refusal, or its code. Where there are
several, it depends on more than the state: whether `run_at` has come, the lease is valid, attempts are left,
the job was asked to stop. What stands in *italics* the service does of its own accord.

"""
_NOTHING = "–"


class Move(NamedTuple):
    """An event that took a job from one state to another; `None` is outside the tables."""

    before: str | None
    event: str
    after: str | None


class TriedVerb(NamedTuple):
    """The effect of a verb on a job in a state: the state `after`, a `refusal` by rule or code, or neither.

    A job that does not exist is in the state `None`, and one that leaves the tables is `gone`.
    """

    verb: str
    state: str | None
    after: str | None
    refusal: str | None

    @property
    def cell(self) -> str:
        """The cell of the table."""
        if self.refusal is not None:
            return f"`{self.refusal}`"
        return self.after or _NOTHING


def job_states(moves: Iterable[Move], outcomes: Iterable[TriedVerb]) -> str:
    """The section about the states of a job."""
    return "".join([_INTRODUCTION, *_picture(set(moves)), _LEGEND, *_table(set(outcomes))])


def _picture(moves: set[Move]) -> Iterator[str]:
    """A state diagram in Mermaid, with one arrow from each state to each other."""
    yield "```mermaid\nstateDiagram-v2\n"
    arrows: dict[tuple[str | None, str | None], list[str]] = {}
    for move in sorted(moves, key=lambda one: (_place(one.before), _place(one.after), one.event)):
        if move.before != move.after:
            arrows.setdefault((move.before, move.after), []).append(move.event)
    for (before, after), events in arrows.items():
        yield f"    {before or '[*]'} --> {after or '[*]'}: {', '.join(events)}\n"
    yield "```\n"


def _table(outcomes: set[TriedVerb]) -> Iterator[str]:
    columns: list[str | None] = [None, *get_args(State)]
    yield f"| verb | {' | '.join(state or 'no such job' for state in columns)} |\n"
    yield f"|---|{'---|' * len(columns)}\n"
    cells: dict[tuple[str, str | None], set[TriedVerb]] = {}
    for outcome in outcomes:
        cells.setdefault((outcome.verb, outcome.state), set()).add(outcome)
    verbs = [name for name in VERBS if any(one.verb == name for one in outcomes)]
    for verb in sorted(verbs, key=lambda name: VERBS[name][1].internal):
        label = f"*{verb}*" if VERBS[verb][1].internal else f"[{verb}](#{verb.replace('.', '')})"
        yield f"| {label} | {' | '.join(_cell(cells.get((verb, state), set())) for state in columns)} |\n"


def _cell(outcomes: Iterable[TriedVerb]) -> str:
    ordered = sorted(outcomes, key=lambda one: (one.refusal is not None, _place(one.after), one.cell))
    return ", ".join(dict.fromkeys(one.cell for one in ordered))


def _place(state: str | None) -> int:
    """The order of the states, as it is everywhere."""
    return get_args(State).index(state) if state in get_args(State) else -1
