"""One example of each command and query, really sent: what the reference shows.

    python -m tests.support.documents.reference_examples > docs/reference.md

Each has a new store of its own, whose clock stands still and whose ids count up, so that the page stays the
same until the program changes. What is sent before an example makes ready for it, and is not shown.
"""

import itertools
import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from bus.contract import codec
from bus.serving.queries.reading import QueryVerb
from bus.writing.group_context import GroupContext
from domain.errors import Refusal
from hyperpage_client.contract.subjects import BATCH
from migrations.connection import open_reader
from ops.contract.queries import query_verbs
from ops.contract.reference.page import Example, reference
from ops.store.tables import Tables
from tests.support.clock import DAY_MS, MINUTE_MS, NOW, Clock
from tests.support.documents.job_states import job_states
from tests.support.domain.job_states import everything_tried
from tests.support.stores.writing import Sent, Store

# Stands for the token of the newest lease.
LEASE = "$lease"
STORE_ID = "01a3185c-5000-7000-8000-000000000000"

ID = {"id": "sync-1"}
HELD = ID | {"lease": LEASE}
TOOL = {"tool_name": "github"}
CORE = {"platform": "github", "resource": "core"}
NIGHTLY = {"id": "nightly"}
KEY = {"key": "theme"}


class Shown(NamedTuple):
    """An example's body, and what comes before it: commands, and milliseconds that pass."""

    body: dict[str, Any]
    before: tuple[tuple[str, dict[str, Any]] | int, ...] = ()


SYNC = ("jobs.enqueue", ID | {"type": "sync", "name": "Sync acme/site"})
CLAIM = ("jobs.claim", {"worker": "worker-1"})
COMPLETE = ("jobs.complete", HELD)
CANCEL = ("jobs.cancel", ID)
MEMBER = ("jobs.enqueue", SYNC[1] | {"group_id": "import-7"})
INDEX_OF_GROUP = ("jobs.enqueue", {"type": "index", "group_id": "import-7"})
INDEX = ("jobs.enqueue", {"id": "index-1", "type": "index", "name": "Index acme/site"})
SCHEDULE = (
    "schedules.set",
    NIGHTLY
    | {"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "job": {"type": "sync", "name": "Nightly"}},
)
CONFIG = ("tool_configs.set", TOOL | {"config": {"owner": "acme", "pages": 10}, "reason": "first setup"})
SCHEMA = (
    "tool_configs.register_schema",
    TOOL | {"schema": {"type": "object", "properties": {"pages": {"type": "integer", "maximum": 100}}}},
)
OBSERVED = (
    "rate_limits.observe",
    CORE | {"remaining": 4200, "limit": 5000, "reset_time": NOW + 30 * MINUTE_MS},
)
RESERVED = ("rate_limits.reserve", CORE | {"cost": 10, "reservation": "worker-1"})
FAILED = {
    "error": "KeyError: 'pages'",
    "traceback": 'Traceback (most recent call last):\n  File "/srv/sync.py", line 7, in sync\n'
    "    return repository['pages']\nKeyError: 'pages'",
}
DARK = ("app_state.set", KEY | {"value": "dark"})

COMMANDS: dict[str, Shown] = {
    "jobs.enqueue": Shown(
        ID | {"type": "sync", "name": "Sync acme/site", "priority": 3, "payload": {"repository": "acme/site"}}
    ),
    "jobs.claim": Shown({"worker": "worker-1", "types": ["sync"], "limit": 10}, (SYNC,)),
    "jobs.heartbeat": Shown(HELD, (SYNC, CLAIM, 10_000)),
    "jobs.progress": Shown(HELD | {"percent": 40, "note": "2 of 5 pages"}, (SYNC, CLAIM)),
    "jobs.complete": Shown(HELD | {"result": {"pages": 5}}, (SYNC, CLAIM)),
    "jobs.fail": Shown(HELD | FAILED | {"retry_at": NOW + MINUTE_MS}, (SYNC, CLAIM)),
    "jobs.snooze": Shown(HELD | {"run_at": NOW + MINUTE_MS}, (SYNC, CLAIM)),
    "jobs.interrupt": Shown(HELD, (SYNC, CLAIM)),
    "jobs.cancel": Shown(ID | {"reason": "not needed any more"}, (SYNC,)),
    "jobs.ack_cancel": Shown(HELD, (SYNC, CLAIM, CANCEL)),
    "jobs.retry": Shown(ID, (SYNC, CANCEL)),
    "jobs.hold": Shown(ID, (SYNC,)),
    "jobs.release": Shown(ID, (SYNC, ("jobs.hold", ID))),
    "jobs.reschedule": Shown(ID | {"run_at": NOW + DAY_MS}, (SYNC,)),
    "jobs.reprioritize": Shown(ID | {"priority": 4}, (SYNC,)),
    "jobs.update_payload": Shown(ID | {"payload": {"repository": "acme/docs"}}, (SYNC,)),
    "jobs.archive": Shown(ID, (SYNC, CANCEL)),
    "jobs.cancel_many": Shown({"filter": {"type": "sync"}, "reason": "a wrong list"}, (SYNC, INDEX)),
    "jobs.retry_many": Shown({"filter": {"state": "cancelled"}}, (SYNC, CANCEL)),
    "jobs.pause_queue": Shown({"queue": "default", "reason": "the network is down"}),
    "jobs.limit_queue": Shown(
        {"queue": "default", "concurrency": 20, "rate": {"limit": 600, "window_ms": 60_000}}
    ),
    "jobs.resume_queue": Shown({"queue": "default"}, (("jobs.pause_queue", {"queue": "default"}),)),
    "schedules.set": Shown(SCHEDULE[1]),
    "schedules.delete": Shown(NIGHTLY, (SCHEDULE,)),
    "schedules.pause": Shown(NIGHTLY, (SCHEDULE,)),
    "schedules.resume": Shown(NIGHTLY, (SCHEDULE, ("schedules.pause", NIGHTLY))),
    "schedules.trigger": Shown(NIGHTLY, (SCHEDULE,)),
    "rate_limits.observe": Shown(OBSERVED[1]),
    "rate_limits.observe_response": Shown(
        {
            "platform": "github",
            "status": 200,
            "headers": {
                "x-ratelimit-resource": "core",
                "x-ratelimit-limit": "5000",
                "x-ratelimit-remaining": "120",
                "x-ratelimit-reset": str((NOW + 30 * MINUTE_MS) // 1_000),
            },
        }
    ),
    "rate_limits.throttle": Shown(
        CORE | {"until": NOW + MINUTE_MS, "reason": "an abuse notice came by mail"}
    ),
    "rate_limits.set_thresholds": Shown(CORE | {"warning_percent": 10}, (OBSERVED,)),
    "rate_limits.reserve": Shown(RESERVED[1], (OBSERVED,)),
    "rate_limits.release": Shown(CORE | {"reservation": "worker-1", "used": 7}, (OBSERVED, RESERVED)),
    "rate_limits.clear": Shown(CORE, (OBSERVED,)),
    "tool_configs.set": Shown(CONFIG[1]),
    "tool_configs.patch": Shown(TOOL | {"patch": {"pages": 20, "owner": None}}, (CONFIG,)),
    "tool_configs.enable": Shown(TOOL, (CONFIG, ("tool_configs.disable", TOOL))),
    "tool_configs.disable": Shown(TOOL | {"reason": "its API is being moved"}, (CONFIG,)),
    "tool_configs.set_refresh_interval": Shown(TOOL | {"refresh_interval": 5 * MINUTE_MS}, (CONFIG,)),
    "tool_configs.set_notifications": Shown(TOOL | {"notifications": False}, (CONFIG,)),
    "tool_configs.rollback": Shown(
        TOOL | {"to_version": 1}, (CONFIG, ("tool_configs.patch", TOOL | {"patch": {"pages": 20}}))
    ),
    "tool_configs.delete": Shown(TOOL, (CONFIG,)),
    "tool_configs.register_schema": Shown(SCHEMA[1], (CONFIG,)),
    "tool_configs.remove_schema": Shown(TOOL, (CONFIG, SCHEMA)),
    "tool_configs.validate": Shown(TOOL | {"config": {"pages": 500}}, (CONFIG, SCHEMA)),
    "app_state.set": Shown(DARK[1]),
    "app_state.set_if": Shown(KEY | {"value": "light", "expected_version": 1}, (DARK,)),
    "app_state.delete": Shown(KEY, (DARK,)),
    "app_state.set_many": Shown({"items": [KEY | {"value": "dark"}, {"key": "language", "value": "de"}]}),
    BATCH: Shown(
        {
            "atomic": False,
            "commands": [
                {"command": "app_state.set", "id": "set-theme", "body": DARK[1]},
                {"command": "jobs.cancel", "body": {"id": "unknown"}},
            ],
        }
    ),
}

PATCHED = ("tool_configs.patch", TOOL | {"patch": {"pages": 20}})
PAUSED = ("jobs.pause_queue", {"queue": "default", "reason": "the network is down"})
DONE = (SYNC, 2_000, CLAIM, 3_000, COMPLETE)
AT_FIRST = {"position": 1}

QUERIES: dict[str, Shown] = {
    "jobs.get": Shown(ID, (SYNC, CLAIM)),
    "jobs.list": Shown({"state": "pending", "limit": 1}, (SYNC, INDEX)),
    "jobs.count": Shown({"type": "sync"}, (SYNC, INDEX)),
    "jobs.history": Shown(ID, (SYNC, CANCEL)),
    "jobs.as_of": Shown(ID | AT_FIRST, (SYNC, CANCEL)),
    "jobs.attempts": Shown(ID, DONE),
    "jobs.await": Shown(ID, DONE),
    "schedules.preview": Shown({"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "count": 2}, ()),
    "jobs.stats": Shown({"queue": "default"}, DONE),
    "jobs.throughput": Shown({"window_ms": 60_000, "parts": 2}, DONE),
    "jobs.workers": Shown({}, DONE),
    "jobs.running": Shown({"worker": "worker-1"}, (SYNC, CLAIM)),
    "jobs.group": Shown({"group_id": "import-7"}, (MEMBER, CLAIM, INDEX_OF_GROUP)),
    "queues.get": Shown({"name": "default"}, (PAUSED,)),
    "queues.list": Shown({"paused": True}, (PAUSED,)),
    "queues.count": Shown({}, (PAUSED,)),
    "queues.history": Shown({"name": "default"}, (PAUSED,)),
    "queues.as_of": Shown({"name": "default"} | AT_FIRST, (PAUSED,)),
    "schedules.get": Shown(NIGHTLY, (SCHEDULE,)),
    "schedules.list": Shown({"paused": False}, (SCHEDULE,)),
    "schedules.count": Shown({}, (SCHEDULE,)),
    "schedules.history": Shown(NIGHTLY, (SCHEDULE,)),
    "schedules.as_of": Shown(NIGHTLY | {"time": NOW}, (SCHEDULE,)),
    "rate_limits.get": Shown(CORE, (OBSERVED,)),
    "rate_limits.list": Shown({"level": "normal"}, (OBSERVED,)),
    "rate_limits.count": Shown({"platform": "github"}, (OBSERVED,)),
    "rate_limits.history": Shown(CORE, (OBSERVED,)),
    "rate_limits.as_of": Shown(CORE | AT_FIRST, (OBSERVED,)),
    "rate_limits.may_call": Shown(CORE | {"cost": 5}, (OBSERVED,)),
    "rate_limits.forecast": Shown(
        CORE, (OBSERVED, 2 * MINUTE_MS, ("rate_limits.observe", CORE | {"remaining": 3000}))
    ),
    "tool_configs.get": Shown(TOOL, (CONFIG,)),
    "tool_configs.list": Shown({"enabled": True}, (CONFIG,)),
    "tool_configs.count": Shown({"notifications": True}, (CONFIG,)),
    "tool_configs.history": Shown(TOOL, (CONFIG,)),
    "tool_configs.as_of": Shown(TOOL | AT_FIRST, (CONFIG, PATCHED)),
    "tool_configs.diff": Shown(TOOL | {"from_version": 1, "to_version": 2}, (CONFIG, PATCHED)),
    "app_state.get": Shown(KEY, (DARK,)),
    "app_state.list": Shown({"prefix": "th"}, (DARK,)),
    "app_state.count": Shown({}, (DARK,)),
    "app_state.history": Shown(KEY, (DARK,)),
    "app_state.as_of": Shown(KEY | AT_FIRST, (DARK,)),
    "jobs.browse": Shown({"state": "completed", "limit": 1}, DONE),
    "events.find": Shown({"table": "tool_configs", "limit": 1}, (CONFIG, DARK)),
    "events.chain": Shown({"position": 1}, (DARK,)),
    "events.read": Shown({"after": 0, "table": "app_state"}, (DARK,)),
}


def examples(folder: Path) -> dict[str, Example]:
    """Every example with its answer; the stores are made in the folder."""
    made: dict[str, Example] = {}
    for name, shown in (COMMANDS | QUERIES).items():
        with prepared(folder / f"{name}.db", shown) as (store, body):
            made[name] = Example(msgspec.json.encode(body), answer(store, name, body))
    return made


@contextmanager
def prepared(path: Path, shown: Shown) -> Iterator[tuple[Store, dict[str, Any]]]:
    """A store in which all has happened that comes before an example, and the body to send to it."""
    lease = ""
    with counted_ids(), Store(path, Clock(), next_upkeep=math.inf) as store:
        store.in_writer(lambda connection: connection.execute("UPDATE store SET store_id = ?", (STORE_ID,)))
        for step in shown.before:
            if isinstance(step, int):
                store.clock.now += step
                continue
            reply = store.send(step[0], with_lease(step[1], lease))
            assert reply.code is None, reply.said
            if step[0] == CLAIM[0]:
                lease = reply["result"]["jobs"][0]["lease"]
        yield store, with_lease(shown.body, lease)


@contextmanager
def counted_ids() -> Iterator[None]:
    """Ids that look as the real ones do, and count from 1."""
    numbers = itertools.count(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GroupContext, "new_id", lambda _: f"01a3185c-5000-7000-8000-{next(numbers):012}")
        yield


def with_lease(body: dict[str, Any], lease: str) -> dict[str, Any]:
    return body | {"lease": lease} if body.get("lease") == LEASE else body


def answer(store: Store, name: str, body: dict[str, Any]) -> bytes:
    """The answer to a command or query, byte for byte.

    Raises:
        Refusal: to a query.
    """
    if name in QUERIES:
        return ask(store, name, body)
    if name == BATCH:
        items = codec.decode_batch(msgspec.json.encode(body)).commands
        sent = [Sent(item.command, bytes(item.body), id=item.id) for item in items]
        return store.send_batch(*sent, atomic=body["atomic"]).body
    return store.send(name, body).body


def ask(store: Store, name: str, body: dict[str, Any]) -> bytes:
    verb: QueryVerb = query_verbs(Tables().row_json, store.clock, store.writer.seen_workers)[name]
    reader = open_reader(store.path)
    try:
        return verb.answer(reader, codec.decode(verb.shape, msgspec.json.encode(body)))
    finally:
        reader.close()


def refusal_of(store: Store, name: str, body: dict[str, Any]) -> str | None:
    """The code of the refusal of a query, if it is refused."""
    try:
        ask(store, name, body)
    except Refusal as refusal:
        return refusal.code
    return None


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        sys.stdout.write(reference(examples(Path(temporary)), job_states(*everything_tried())))
