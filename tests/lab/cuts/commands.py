"""Commands of many kinds to a store, noted as they are answered, and the checks of them after a cut."""

import random
from pathlib import Path
from typing import Any

from tests.lab.cuts.cutting import Heard, Notes
from tests.lab.cuts.starting import started
from tests.lab.experiment import Broken
from tests.lab.oracle import Answered, require_store
from tests.support.stores.looking_inside import answers_by_id
from tests.support.stores.writing import Reply, Sent, Store

# The usual most of commands in a group.
MOST_AT_ONCE = 6


class Commands:
    """Sends commands, each with an id of its own; `sent` has all of them by their ids."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.sent: dict[str, Sent] = {}

    def send(self, store: Store, groups: int, notes: Notes) -> None:
        """Sends so many groups, one after the other, and notes each answer as it comes."""
        for _ in range(groups):
            store.clock.now += self._chance.randint(0, 2_000)
            together = [self.next() for _ in range(self._chance.randint(1, MOST_AT_ONCE))]
            for one, reply in zip(together, store.send_together(*together), strict=True):
                if reply.code is None:
                    notes(id=one.id, name=one.name, answer=reply.body.decode())

    def next(self) -> Sent:
        """A command that was not sent yet."""
        number, chance = len(self.sent) + 1, self._chance
        some = chance.randint(1, 12)
        bodies: list[tuple[str, dict[str, Any]]] = [
            ("jobs.enqueue", {"type": "sync", "name": f"job {number}", "id": f"job-{number}"}),
            (
                "jobs.enqueue",
                {"type": "sync", "name": "large", "payload": {"x": "y" * chance.randint(0, 9_000)}},
            ),
            ("jobs.claim", {"worker": "w", "lease_ms": 3_600_000}),
            ("jobs.cancel", {"id": f"job-{max(1, number - some)}"}),
            ("app_state.set", {"key": f"key-{some}", "value": {"at": number}}),
            ("app_state.set_many", {"items": [{"key": f"key-{n}", "value": number} for n in range(some)]}),
            ("app_state.delete", {"key": f"key-{some}"}),
            ("tool_configs.set", {"tool_name": f"tool-{some}", "config": {"n": some % 2}}),
            ("rate_limits.observe", {"platform": f"p{some}", "remaining": some, "limit": 60}),
        ]
        name, body = chance.choice(bodies)
        one = Sent(name, body, id=f"command-{number}")
        self.sent[f"command-{number}"] = one
        return one


def answers_in(heard: Heard) -> list[Answered]:
    """The answers among what was noted."""
    return [Answered(one["id"], one["name"], one["answer"].encode()) for one in heard if "answer" in one]


def require_commands(data: Path, heard: Heard, sent: dict[str, Sent]) -> int:
    """Checks that the store starts and has every answer, and that the same ids get the same bytes again.

    Returns the number of answers.
    """
    answered = answers_in(heard)
    with started(data) as store:
        remembered = [one for one in answered if one.is_remembered]
        # Checked first, since a forgotten command that is carried out again may get the same answer.
        known = answers_by_id(data / "hyperpage.db")
        if forgotten := [one.command_id for one in remembered if one.command_id not in known]:
            raise Broken(f"these were answered, and are not remembered: {forgotten}")
        again = store.send_together(*(sent[one.command_id] for one in remembered))
        for one, reply in zip(remembered, again, strict=True):
            require_same(one, reply)
    require_store(data / "hyperpage.db", sent, answered)
    return len(answered)


def require_same(one: Answered, again: Reply) -> None:
    """Checks that the same id got the same bytes.

    Raises:
        Broken: it did not.
    """
    if again.body != one.answer:
        raise Broken(f"{one.name} was answered with {one.answer!r}, and again with {again.body!r}")
