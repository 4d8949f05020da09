"""Every state of a job, by the events that led there, and the effect of each verb in each state."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from domain.jobs import DECIDER
from domain.jobs.events import (
    Archived,
    AttemptFailed,
    AttemptTimedOut,
    Cancelled,
    CancelRequested,
    Claimed,
    Completed,
    Enqueued,
    Failed,
    Held,
    Interrupted,
    Released,
    Rescheduled,
    Rescued,
    Retried,
    Snoozed,
    TimedOut,
)
from domain.jobs.groups import AwaitedGroup
from domain.jobs.limits import MAXIMUM_RESCUES
from tests.support.clock import NOW
from tests.support.documents.job_states import Move, TriedVerb
from tests.support.domain.given_when_then import KEY, TOKEN, Story, given, raw

LATER = NOW + 60_000
HOUR = 3_600_000


def enqueued(**changes) -> Enqueued:
    said: dict[str, Any] = {"type": "mail", "name": "A mail", "run_at": NOW}
    return Enqueued(**said | changes)


def claimed(attempt: int = 1) -> Claimed:
    return Claimed(worker="worker", attempt=attempt)


def running(**changes) -> Story:
    """A job in its first attempt, under a lease with the token `TOKEN`."""
    return given(enqueued(**changes), claimed()).leased()


def stopping(**changes) -> Story:
    return running(**changes).given(CancelRequested(reason="no need"))


# Every state of a job, by the events that led there. A running job has a lease if a worker holds it.
STATES: dict[str, Callable[[], Story]] = {
    "absent": Story,
    "scheduled": lambda: given(enqueued(run_at=LATER)),
    "scheduled and due": lambda: given(enqueued(run_at=LATER)).at(LATER),
    "pending": lambda: given(enqueued()),
    "running": running,
    "stopping": stopping,
    "running, expired": lambda: running().later(30_000),
    "running, too long": lambda: running().leased(lease_ms=HOUR).later(900_000),
    "last attempt, too long": lambda: running(max_attempts=1).leased(lease_ms=HOUR).later(900_000),
    "stopping, too long": lambda: stopping().leased(lease_ms=HOUR).later(900_000),
    "running, lost": lambda: given(enqueued(), claimed()),
    "running, lost too often": lambda: given(
        enqueued(), *(claimed(), Rescued(next_run_at=NOW)) * MAXIMUM_RESCUES, claimed()
    ),
    "stopping, lost": lambda: given(enqueued(), claimed(), CancelRequested(reason="no need")),
    "retrying": lambda: given(enqueued(), claimed(), AttemptFailed(error="x", next_run_at=LATER)),
    "retrying and due": lambda: given(
        enqueued(), claimed(), AttemptFailed(error="x", next_run_at=LATER)
    ).at(LATER),
    "rescued": lambda: given(enqueued(), claimed(), Rescued(next_run_at=LATER)),
    "snoozed": lambda: given(enqueued(), claimed(), Snoozed(run_at=LATER)),
    "interrupted": lambda: given(enqueued(), claimed(), Interrupted()),
    "completed": lambda: given(enqueued(), claimed(), Completed(result=raw("1"))),
    "failed": lambda: given(enqueued(), claimed(), Failed(error="x")),
    "cancelled": lambda: given(enqueued(), Cancelled()),
    "cancelled while running": lambda: given(
        enqueued(), claimed(), CancelRequested(), Cancelled()
    ),
    "timed out once": lambda: given(
        enqueued(), claimed(), AttemptTimedOut(error="x", next_run_at=LATER)
    ),
    "timed out": lambda: given(enqueued(), claimed(), TimedOut(error="x")),
    "held from the start": lambda: given(enqueued(held=True)),
    "held": lambda: given(enqueued(), Held()),
    "held while retrying": lambda: given(
        enqueued(), claimed(), AttemptFailed(error="x", next_run_at=LATER), Held()
    ),
    "blocked": lambda: (
        Story().given(enqueued(queue="elsewhere"), key="other")
        .given(enqueued(depends_on=("other",), waiting_for=("other",)))
        .given(claimed(), key="other")
    ),
    "held while blocked": lambda: (
        Story().given(enqueued(queue="elsewhere"), claimed(), key="other")
        .given(enqueued(depends_on=("other",), waiting_for=("other",)), Held())
    ),
    "released": lambda: given(enqueued(), Held(), Released()),
    "rescheduled": lambda: given(enqueued(), Rescheduled(run_at=LATER + 1)),
    "archived": lambda: given(enqueued(), Cancelled(), Archived()),
    "retried": lambda: given(enqueued(), claimed(), Failed(error="x"), Retried(max_attempts=5)),
    "imported while running": lambda: Story().when("jobs.import", **BODIES["import"]),
}  # fmt: skip

BODIES: dict[str, dict[str, Any]] = {
    "enqueue": {"id": KEY, "type": "mail", "name": "A mail"},
    "claim": {"worker": "worker"},
    "heartbeat": {"id": KEY, "lease": TOKEN},
    "progress": {"id": KEY, "lease": TOKEN, "percent": 50},
    "complete": {"id": KEY, "lease": TOKEN, "result": 1},
    "fail": {"id": KEY, "lease": TOKEN, "error": "x"},
    "snooze": {"id": KEY, "lease": TOKEN, "run_at": LATER},
    "interrupt": {"id": KEY, "lease": TOKEN},
    "cancel": {"id": KEY, "reason": "no need"},
    "ack_cancel": {"id": KEY, "lease": TOKEN},
    "retry": {"id": KEY},
    "hold": {"id": KEY},
    "release": {"id": KEY},
    "reschedule": {"id": KEY, "run_at": LATER + 99},
    "reprioritize": {"id": KEY, "priority": 4},
    "update_payload": {"id": KEY, "payload": {"new": True}},
    "archive": {"id": KEY},
    "time_out": {"id": KEY},
    "resolve_dependents": {"id": KEY},
    "resolve_group": {"id": "a-group"},
    "cancel_many": {"filter": {"queue": "default"}},
    "retry_many": {"filter": {"queue": "default"}},
    "rescue": {"id": KEY},
    "import": {
        "id": KEY, "type": "mail", "name": "A mail", "priority": 2, "status": "running", "created_at": 1,
        "updated_at": 1, "persisted_at": 1,
    },
}  # fmt: skip

# These verbs act on other jobs, or have a guide of their own.
NOT_ITS_OWN = {"resolve_dependents", "resolve_group", "import"}


def with_another(**changes: Any) -> Story:
    """A job that waits for another one, which is running."""
    waiting = enqueued(depends_on=("other",), waiting_for=("other",), **changes)
    return Story().given(enqueued(), claimed(), key="other").leased("other").given(waiting)


def with_a_group(**changes: Any) -> Story:
    """A job that waits for a group, of which there is one, which is running."""
    waiting = enqueued(after_group=AwaitedGroup(id="a-group", when="all_completed"), **changes)
    story = Story().given(enqueued(group_id="a-group"), claimed(), key="other").leased("other")
    return story.given(waiting)


def situations() -> Iterator[tuple[Story, str, dict[str, Any]]]:
    """Every state with every verb, and variants that differ by other members of the command or other jobs."""
    for story in STATES.values():
        yield from ((story(), verb, body) for verb, body in BODIES.items() if verb not in NOT_ITS_OWN)
    yield from _enqueueings()
    for before, after in ((NOW, LATER), (LATER, NOW)):
        yield given(enqueued(run_at=before)), "reschedule", BODIES["reschedule"] | {"run_at": after}
    yield given(enqueued(run_at=LATER), Held()), "release", BODIES["release"]
    other = {"id": "other", "lease": TOKEN}
    yield with_another(), "complete", other
    yield with_another(run_at=LATER), "complete", other
    yield with_another(), "fail", other | {"error": "x", "retryable": False}
    for verb in ("retry", "retry_many"):
        yield with_another().given(Cancelled()), verb, BODIES[verb]
    failed = with_another().given(Cancelled()).given(Failed(error="x"), key="other")
    yield failed.copy(), "retry", BODIES["retry"]
    yield failed.given(Archived(), key="other"), "retry", BODIES["retry"]
    yield with_a_group(), "complete", other
    yield with_a_group(run_at=LATER), "complete", other
    yield with_a_group(), "fail", other | {"error": "x", "retryable": False}
    yield with_a_group(held=True), "release", BODIES["release"]
    yield with_a_group().given(Cancelled()), "retry", BODIES["retry"]
    for ended in (Completed(), Failed(error="x")):
        yield with_a_group(held=True).given(ended, key="other"), "release", BODIES["release"]
        yield with_a_group().given(Cancelled()).given(ended, key="other"), "retry", BODIES["retry"]
    awaited = enqueued(depends_on=(KEY,), waiting_for=(KEY,), on_dependency_failure="wait")
    for end in (Completed(), Failed(error="x"), Cancelled(), TimedOut(error="x")):
        yield given(enqueued(), claimed(), end).given(awaited, key="other"), "archive", BODIES["archive"]


def _enqueueings() -> Iterator[tuple[Story, str, dict[str, Any]]]:
    new, depending = BODIES["enqueue"], BODIES["enqueue"] | {"depends_on": ["other"]}
    yield Story(), "enqueue", new | {"run_at": LATER}
    yield Story(), "enqueue", new | {"hold": True}
    yield given(enqueued(), key="other"), "enqueue", depending
    yield Story(), "enqueue", depending
    yield given(enqueued(), Cancelled(), key="other"), "enqueue", depending
    unique = given(enqueued(unique_key="k"), key="other")
    yield unique, "enqueue", new | {"unique": {"key": "k", "on_conflict": "reject"}}
    for before, after in ((NOW, LATER), (LATER, NOW)):
        replacing = {"id": "new", "run_at": after, "unique": {"key": "k", "on_conflict": "replace"}}
        yield given(enqueued(run_at=before, unique_key="k")), "enqueue", new | replacing
        # The same job, once more.
        put_off = {"debounce": {"key": "k", "wait_ms": 1_000}}
        yield given(enqueued(run_at=before, unique_key="k")), "enqueue", new | put_off


def everything_tried() -> tuple[set[Move], set[TriedVerb]]:
    """The moves of all jobs, and the effect of each verb on the job that it was for."""
    moves, outcomes = set[Move](), set[TriedVerb]()
    for story, verb, body in situations():
        story.when(f"jobs.{verb}", **body)
        moves |= set(moves_of(story))
        outcomes |= set(outcomes_of(story, body.get("id", KEY)))
    return moves, outcomes


def moves_of(story: Story) -> Iterator[Move]:
    """The moves of jobs by the last command."""
    names = {event: name.split(".")[1] for name, event in DECIDER.events.items()}
    left = Counter(key for key, event in story.decision.events)
    for key, event in story.decision.events:
        if type(event) in names:
            before, after = state_of(story, key, back=left[key] + 1), state_of(story, key, back=left[key])
            yield Move(before, names[type(event)], after)
        left[key] -= 1


def outcomes_of(story: Story, key: str) -> Iterator[TriedVerb]:
    """The effect of the last command on its own job; none where it changed others alone."""
    changed = Counter(event_key for event_key, _ in story.decision.events)
    if not changed:
        refusal = None if story.refusal is None else story.refusal.details.get("rule", story.refusal.code)
        yield TriedVerb(story.verb, state_of(story, key), None, refusal)
    elif key in changed:
        yield TriedVerb(
            story.verb, state_of(story, key, back=changed[key] + 1), state_of(story, key) or "gone", None
        )


def state_of(story: Story, key: str, *, back: int = 1) -> str | None:
    """The state of a job now or, with 2, before its last event, and so on; `None` where there was none."""
    states = [*(None,) * back, *story.states.get(("jobs", key), ())]
    return None if states[-back] is None else str(states[-back].state)
