"""A store whose values are as long and as odd as they may be, and lists with thousands of rows: `fill`."""

from typing import Any

from tests.support.patience import patiently, until
from tests.support.services.asking import HttpTalk
from tests.support.services.watching import eventually, number_of_letters

ROWS = 10_000
MARKUP = "<img src=x onerror=alert(1)>'\"&"
# Nowhere to break a line; 500 characters, of which a field gets as many as it may have.
UNBROKEN = ("Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 7)[:500]
# Written from right to left, with a mark that also turns the text behind it unless the page isolates it.
LEFTWARDS = "\u202eمرحبا بالعالم، שלום עולם" * 8
# As long as a key may be.
KEY = ("sync/github.com:acme-corporation/the-repository-with-a-long-name@" * 4)[:199] + "1"
PART = ("resource/search@" * 4)[:64]
LIMIT = {"platform": PART, "resource": PART, "identifier": PART}
# Headers take no letters beyond ASCII.
CORRELATION_ID = UNBROKEN.replace("ä", "a")
TRACEBACK = "\n".join(
    (
        "Traceback (most recent call last):",
        *(
            f'  File "/srv/app/releases/2026-11-29/module_{number}/handlers.py", line {number}, in call'
            f"\n    return self.follow(request, {UNBROKEN[:90]}={number})"
            for number in range(30)
        ),
        f"ValueError: {UNBROKEN}",
    )
)


def fill(talk: HttpTalk) -> str:
    """Puts some of everything into a service, and answers with the name of its backup."""
    for first in range(0, ROWS, 1_000):
        many = [_enqueue(f"job-{number:05}", name=f"Sync {number}") for number in range(first, first + 1_000)]
        talk.batch(*({"command": "jobs.enqueue", "body": body} for body in many))
    _jobs(talk)
    _configurations(talk)
    _state(talk)
    _limits(talk)
    job = {"type": UNBROKEN[:200], "name": LEFTWARDS[:200]}
    _does(talk, "schedules.set", {"id": KEY[:180], "every_ms": 3_600_000, "job": job})
    _does(talk, "schedules.trigger", {"id": KEY[:180]})
    _does(talk, "jobs.pause_queue", {"queue": KEY, "reason": UNBROKEN * 2})
    _letter(talk)
    name = talk.administer("backup.create", {"description": UNBROKEN * 2}).said["path"].rpartition("/")[2]
    talk.administer("backup.drill", {"name": name})
    talk.run(until(lambda: talk.service.health.look.backups.last_proven == name, patiently(15)))
    return name


def _does(talk: HttpTalk, name: str, body: Any) -> Any:
    headers = {
        "Hyperpage-Correlation-Id": CORRELATION_ID,
        "Hyperpage-Causation-Id": "c" * 500,
        "Hyperpage-Actor": "the-actor-" * 50,
    }
    answer = talk.command(name, body, headers=headers)
    assert answer.code is None, answer.said
    return answer.said["result"]


def _enqueue(key: str, **fields: Any) -> dict[str, Any]:
    return {"id": key, "type": "sync", "name": "Sync", **fields}


def _jobs(talk: HttpTalk) -> None:
    hostile = {
        "type": UNBROKEN[:200],
        "name": UNBROKEN[:200],
        "tool": UNBROKEN[:200],
        "endpoint": UNBROKEN * 2,
        "tags": [f"{number}{UNBROKEN[:99]}" for number in range(5)],
        "payload": {UNBROKEN: [LEFTWARDS, MARKUP, None, {"n": 1}] * 9},
        "priority": 4,
    }
    one, other = {"queue": KEY, "unique": {"key": UNBROKEN[:200]}}, {"queue": KEY}
    _does(talk, "jobs.enqueue", _enqueue(KEY, **hostile | one))
    _does(talk, "jobs.enqueue", _enqueue(f"running/{KEY[:190]}", **hostile | other))
    _does(talk, "jobs.enqueue", _enqueue(f"completed/{KEY[:190]}", **hostile | other))
    _does(
        talk,
        "jobs.enqueue",
        _enqueue(f"blocked/{KEY[:190]}", **hostile | {"depends_on": [KEY], "on_dependency_failure": "wait"}),
    )
    _does(talk, "jobs.enqueue", _enqueue("leftwards", **hostile | {"name": LEFTWARDS[:200]}))
    _does(
        talk,
        "jobs.enqueue",
        _enqueue("markup", **hostile | {"name": MARKUP, "type": MARKUP, "tags": [MARKUP]}),
    )
    wanted = {"worker": UNBROKEN[:200], "queue": KEY, "limit": 3, "lease_ms": 3_600_000}
    claimed = _does(talk, "jobs.claim", wanted)["jobs"]
    failed, runs, completed = ({"id": job["id"], "lease": job["lease"]} for job in claimed)
    for job in (failed, runs):
        _does(talk, "jobs.progress", job | {"percent": 42, "note": UNBROKEN * 2})
    _does(talk, "jobs.fail", failed | {"error": TRACEBACK, "retryable": False})
    _does(talk, "jobs.complete", completed | {"result": {UNBROKEN: TRACEBACK}})


def _configurations(talk: HttpTalk) -> None:
    schema = {"properties": {UNBROKEN[:100]: {"type": ["string", "array"]}}, "description": UNBROKEN}
    for config in ({"a": UNBROKEN}, {UNBROKEN: [LEFTWARDS, MARKUP] * 9}):
        fields = {"config": config, "refresh_interval": 86_400_000, "reason": UNBROKEN * 2}
        _does(talk, "tool_configs.set", {"tool_name": KEY, **fields})
    _does(talk, "tool_configs.register_schema", {"tool_name": KEY, "schema": schema})
    _does(talk, "tool_configs.set", {"tool_name": "plain", "config": {"pages": 10}})


def _state(talk: HttpTalk) -> None:
    for number in range(100):
        _does(talk, "app_state.set", {"key": f"key-{number:03}", "value": {"number": number}})
    for value in (LEFTWARDS * 3, {UNBROKEN: [UNBROKEN, MARKUP] * 9}):
        _does(talk, "app_state.set", {"key": KEY, "value": value, "ttl_ms": 86_400_000})


def _limits(talk: HttpTalk) -> None:
    now = talk.service.now_ms()
    for number in range(3):
        observed = {"remaining": 900_000_000 - number, "limit": 1_000_000_000}
        times = {"observed_at": now + (number - 3) * 60_000, "reset_time": now + 3_600_000}
        _does(talk, "rate_limits.observe", {**LIMIT, **observed, **times})
    throttled = {**LIMIT, "until": now + 3_600_000, "reason": UNBROKEN * 2}
    _does(talk, "rate_limits.throttle", throttled)
    _does(
        talk,
        "rate_limits.observe",
        {"platform": "github", "remaining": 9, "limit": 10, "reset_time": now + 1},
    )


def _letter(talk: HttpTalk) -> None:
    body = b'{"id": "' + UNBROKEN.encode() + b'"}'
    talk.run(talk.client.request("hyperpage.dcmd.v1.jobs.enqueue", body))
    eventually(talk, number_of_letters(talk, 1))
