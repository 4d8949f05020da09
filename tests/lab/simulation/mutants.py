"""Mutants of the product: each of them breaks a promise, and a run notices it.

A simulation in which nothing ever breaks may be blind. Each mutant takes one step of the product away.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from bus.log.answers import Answers
from bus.publishing.event_messages import EventEncoder
from bus.publishing.incarnation import Incarnation
from bus.publishing.publisher import Publisher
from bus.serving.durable.delivery import Arrived
from bus.serving.durable.intake import DurableIntake
from bus.serving.intake import Caller
from bus.serving.queries.answering import Queries
from bus.writing.aggregates import Aggregates
from bus.writing.group_commits import GroupCommits
from bus.writing.submission import Commit
from bus.writing.transactions import Transactions
from bus.writing.writer import Writer
from tests.lab.simulation import faults
from tests.lab.simulation.faults import Fault

Patch = tuple[Any, str, Any]


def _answers_before_the_commit() -> list[Patch]:
    made, commit, on_disk = Writer.__init__, GroupCommits.commit, Transactions.commit
    under_way: list[Any] = []
    answers: dict[Transactions, Callable[[Commit], None]] = {}

    def known(self: Writer, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options)
        answers[self._transactions] = options["on_commit"]

    async def noted(self: GroupCommits, submissions: Any) -> Any:
        under_way[:] = [one for one in submissions if isinstance(one.context, Caller)]
        return await commit(self, submissions)

    async def answered(self: Transactions) -> None:
        answers[self](Commit(list(under_way), [], [], []))
        await asyncio.sleep(0.002)
        await on_disk(self)

    return [
        (Writer, "__init__", known),
        (GroupCommits, "commit", noted),
        (Transactions, "commit", answered),
    ]


def _commits_without_a_sync() -> list[Patch]:
    made = Writer.__init__

    def unsynced(self: Writer, connection: Any, *arguments: Any, **options: Any) -> None:
        connection.pragma("synchronous", "off")
        made(self, connection, *arguments, **options)

    return [(Writer, "__init__", unsynced)]


def _publishes_without_an_expectation() -> list[Patch]:
    made = EventEncoder.__init__

    def careless(self: EventEncoder, *arguments: Any) -> None:
        made(self, *arguments)
        self._messages = self._messages.replace("Nats-Expected-Last", "Nats-Whatever")

    return [(EventEncoder, "__init__", careless)]


def _acknowledges_what_it_has_only_read() -> list[Patch]:
    take = DurableIntake._take

    def hasty(self: DurableIntake, message: Arrived) -> None:
        self._consumer.acknowledge(message.acknowledgement)
        take(self, message)

    return [(DurableIntake, "_take", hasty)]


def _does_not_see_that_the_link_was_lost() -> list[Patch]:
    def blind(self: Publisher) -> None:
        if self._failure is not None:
            raise self._failure

    return [(Publisher, "_require_link", blind)]


def _answers_queries_beside_a_newer_one() -> list[Patch]:
    made = Queries.__init__

    def unfenced(self: Queries, *arguments: Any) -> None:
        made(self, *arguments[:6])

    return [(Queries, "__init__", unfenced)]


async def _does_nothing(_: Transactions) -> None:
    pass


class Mutant(msgspec.Struct, frozen=True):
    """The patches of a mutant, and the faults that make runs notice it if they come often."""

    patches: Callable[[], list[Patch]]
    often: tuple[Fault, ...] = ()


MUTANTS: dict[str, Mutant] = {
    "answers before the commit": Mutant(_answers_before_the_commit, (faults.kill, faults.disk_fails)),
    "commits without a sync": Mutant(_commits_without_a_sync, (faults.cut,)),
    "forgets the ids of commands": Mutant(lambda: [(Answers, "recall", lambda *_: {})]),
    "publishes without an expectation": Mutant(_publishes_without_an_expectation, (faults.lose_clients,)),
    "does not see that the link was lost": Mutant(
        _does_not_see_that_the_link_was_lost, (faults.restart_broker,)
    ),
    "acknowledges what it has only read": Mutant(
        _acknowledges_what_it_has_only_read, (faults.kill, faults.disk_fails)
    ),
    "makes up ids that repeat": Mutant(
        lambda: [(Arrived, "id", property(lambda one: f"durable-{one.stream}-{one.sequence}"))],
        (faults.roll_back_broker,),
    ),
    "does not undo a group that failed": Mutant(
        lambda: [(Aggregates, "undo_all", lambda _self: None)], (faults.disk_fails,)
    ),
    "leaves a failed commit where it is replayed": Mutant(
        lambda: [(Transactions, "overwrite", _does_nothing)],
        (faults.disk_fails_and_all_ends,),
    ),
    "serves on beside a newer one": Mutant(
        lambda: [(Incarnation, "is_valid", property(lambda _self: True))], (faults.twin,)
    ),
    "answers queries beside a newer one": Mutant(
        _answers_queries_beside_a_newer_one, (faults.twin, faults.restart_broker)
    ),
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Turns the product into that mutant, for the length of the block."""
    with ExitStack() as stack:
        for owner, attribute, replacement in MUTANTS[name].patches():
            stack.enter_context(patch.object(owner, attribute, replacement))
        yield
