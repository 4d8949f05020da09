"""Random histories of a store: commands, times and restarts."""

import random
from typing import Any, NamedTuple

from tests.support.clock import HOUR_MS

JOBS = [f"job-{letter}" for letter in "abcdefgh"]
KEYS = ["k", "l"]
DELAYS_MS = [-5, 0, 1, 1_000, 50_000]
LEASED = {"heartbeat", "progress", "complete", "fail", "snooze", "interrupt", "ack_cancel"}
# How often each command comes. Commands that end a job are rarer than those that keep it going.
WEIGHTS = {
    "jobs.enqueue": 12, "jobs.claim": 14, "jobs.heartbeat": 4, "jobs.progress": 4, "jobs.complete": 3,
    "jobs.fail": 6, "jobs.snooze": 4, "jobs.interrupt": 4, "jobs.ack_cancel": 2, "jobs.cancel": 3,
    "jobs.retry": 5, "jobs.rescue": 5, "jobs.time_out": 4, "jobs.hold": 3, "jobs.release": 5,
    "jobs.reschedule": 2, "jobs.reprioritize": 2, "jobs.update_payload": 2, "jobs.archive": 3,
    "jobs.resolve_dependents": 4, "jobs.resolve_group": 2, "jobs.pause_queue": 1, "jobs.resume_queue": 3,
    "jobs.limit_queue": 2, "jobs.cancel_many": 1, "jobs.retry_many": 2,
    "schedules.set": 4, "schedules.delete": 1, "schedules.pause": 1, "schedules.resume": 2,
    "schedules.run": 6,
    "rate_limits.observe": 6, "rate_limits.observe_response": 4, "rate_limits.throttle": 2,
    "rate_limits.set_thresholds": 1, "rate_limits.reserve": 4, "rate_limits.release": 3,
    "rate_limits.clear": 1,
    "tool_configs.set": 4, "tool_configs.patch": 3, "tool_configs.enable": 1, "tool_configs.disable": 1,
    "tool_configs.set_refresh_interval": 1, "tool_configs.set_notifications": 1, "tool_configs.rollback": 2,
    "tool_configs.delete": 1, "tool_configs.register_schema": 2, "tool_configs.remove_schema": 1,
    "tool_configs.validate": 1,
    "app_state.set": 4, "app_state.set_if": 2, "app_state.delete": 2, "app_state.set_many": 2,
    "app_state.expire": 3,
}  # fmt: skip


class Wish(NamedTuple):
    """A command before it is sent: `lease` chooses among the tokens that its job has had so far."""

    name: str
    body: dict[str, Any]
    has_id: bool
    expected_version: int | None
    lease: int | None = None
    after_ms: dict[str, int] = {}


class Group(NamedTuple):
    """Commands that the writer takes at once: single ones, and batches, atomic or not."""

    submissions: list[tuple[str, list[Wish]]]


class Later(NamedTuple):
    milliseconds: int


class Restart(NamedTuple):
    pass


class Again(NamedTuple):
    """An answered command is delivered once more."""

    which: int


class Chance(random.Random):
    """The source of chance of a history; the same seed gives the same history."""

    def may(self, probability: float) -> bool:
        return self.random() < probability

    def history(self, length: int) -> list[Any]:
        return [self._step() for _ in range(length)]

    def _step(self) -> Any:
        kind = self.choices(["group", "later", "restart", "again"], [70, 18, 5, 7])[0]
        match kind:
            case "group":
                return Group([self._submission() for _ in range(self.choice([1, 1, 2, 3, 8]))])
            case "later":
                return Later(self.choice([0, 1, 999, 1_000, 5_000, 29_999, 60_000]))
            case "restart":
                return Restart()
            case _:
                return Again(self.randrange(1_000))

    def _submission(self) -> tuple[str, list[Wish]]:
        kind = self.choices(["single", "batch", "atomic"], [70, 15, 15])[0]
        return kind, [self._wish() for _ in range(1 if kind == "single" else self.randint(1, 4))]

    def _wish(self) -> Wish:
        name = self.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        body: dict[str, Any] = {}
        lease: int | None = None
        after_ms: dict[str, int] = {}
        table, verb = name.split(".")
        if table == "jobs":
            body, after_ms = self._job(verb)
            if verb in LEASED:
                lease = self.choices([-1, -2, 99], [90, 5, 5])[0]
        elif table == "schedules":
            body = self._schedule(verb)
        elif table == "rate_limits":
            body, after_ms = self._limit(verb)
        elif table == "tool_configs":
            body = self._tool(verb)
        else:
            body = self._state(verb)
        expected_version = self.randrange(5) if self.may(0.08) else None
        return Wish(name, body, self.may(0.5), expected_version, lease, after_ms)

    def _job(self, verb: str) -> tuple[dict[str, Any], dict[str, int]]:
        here: dict[str, Any] = {"id": self.choice(JOBS)}
        after_ms: dict[str, int] = {}
        match verb:
            case "enqueue":
                here |= {"type": self.choice(["mail", "call"]), "name": "n"}
                here |= self._some(priority=self.randint(1, 4), max_attempts=self.randint(1, 3))
                here |= self._some(payload={"a": 1}, tool="t", queue="other", tags=["x", "y"])
                here |= self._some(timeout_ms=self.choice([1_000, 30_000])) | (
                    {"hold": True} if self.may(0.1) else {}
                )
                after_ms = {"run_at": self.choice(DELAYS_MS)} if self.may(0.3) else {}
                if self.may(0.3):
                    here |= {"depends_on": self.choices(JOBS, k=self.randint(1, 3))}
                    here |= self._some(on_dependency_failure=self.choice(["cancel", "wait", "run"]))
                if self.may(0.4):
                    here |= self._once(after_ms)
                here |= self._some(group_id=self.choice("gh"))
                if self.may(0.2):
                    after = {"id": self.choice("gh")} | self._some(
                        when=self.choice(["all_completed", "all_ended", "one_failed"])
                    )
                    here |= {"after_group": after}
                    here |= self._some(on_dependency_failure=self.choice(["cancel", "wait", "run"]))
                if self.may(0.4):
                    limit, _ = self._limit("clear")
                    if "resource" not in limit:
                        # It would be refused when it is read.
                        limit.pop("identifier", None)
                    here |= {"budget": limit | self._some(cost=self.choice([2, 60]))}
                here |= self._some(result_ttl_ms=self.choice([1_000, HOUR_MS]))
                delays: list[dict[str, Any]] = [{"base_ms": 2_000, "jitter": 0}, {"delays_ms": [0, 60_000]}]
                here |= self._some(retry=self.choice(delays) | {"crashes_count": self.may(0.7)})
                if self.may(0.2):
                    here |= {"rate": self._rate() | self._some(key=self.choice("ab"))}
            case "claim":
                here = {"worker": self.choice("vw"), "limit": self.randint(1, 3)}
                here |= {"lease_ms": self.choice([1_000, HOUR_MS])} | self._some(
                    types=["mail"], queue="other"
                )
            case "heartbeat":
                here |= self._some(lease_ms=2_000)
            case "progress":
                here |= self._some(percent=self.choice([0, 12.5, 100]), note="n")
            case "complete":
                here |= self._some(result=self._value(), calls=self.choice([0, 1]))
            case "fail":
                # With a time for the retry, since the writer's own jitter is random.
                here |= {"error": "x"} | self._some(retryable=self.may(0.5))
                after_ms = {"retry_at": self.choice(DELAYS_MS)}
            case "snooze":
                after_ms = {"run_at": self.choice(DELAYS_MS)}
            case "limit_queue":
                here = {"queue": self.choice(["default", "other"])}
                here |= self._some(concurrency=self.randint(1, 4), rate=self._rate())
            case "pause_queue" | "resume_queue":
                here = {"queue": self.choice(["default", "other"])}
            case "cancel_many" | "retry_many":
                chosen = self.choice(
                    [{"queue": "default"}, {"type": "mail"}, {"tag": "x"}, {"tool": "t"}, {"group_id": "g"}]
                )
                chosen |= self._some(status=self.choice(["pending", "failed"]), older_than_ms=1_000)
                here = {"filter": chosen, "limit": self.randint(1, 4)} | self._some(dry_run=True)
            case "resolve_group":
                here = {"id": self.choice("gh")}
            case "reschedule":
                after_ms = {"run_at": self.choice(DELAYS_MS)}
            case "reprioritize":
                here |= {"priority": self.randint(1, 4)}
            case "update_payload":
                here |= {"payload": self._object()}
            case "cancel":
                here |= self._some(reason="why")
        return here, after_ms

    def _schedule(self, verb: str) -> dict[str, Any]:
        here: dict[str, Any] = {"id": self.choice("st")}
        if verb == "set":
            times: list[dict[str, Any]] = [
                {"every_ms": 1_000},
                {"every_ms": 7_000},
                {"cron": "* * * * *"},
                {"cron": "99 * * * *"},
                {},
            ]
            job = {"type": "mail", "name": "n"} | self._some(unique={"key": self.choice("kl")})
            here |= {"job": job} | self.choice(times)
            here |= self._some(on_missed="skip", time_zone=self.choice(["Europe/Berlin", "nowhere"]))
        return here

    def _once(self, after_ms: dict[str, int]) -> dict[str, Any]:
        """Asks for one job instead of several, in one way or another."""
        key = {"key": self.choice("kl")}
        if self.may(0.7):
            return {"unique": self._unique()}
        if self.may(0.5):
            return {"throttle": key | {"window_ms": 30_000} | self._some(limit=2)}
        # It sets the time when the job is due itself.
        after_ms.clear()
        return {"debounce": key | {"wait_ms": 2_000} | self._some(max_wait_ms=5_000)}

    def _rate(self) -> dict[str, Any]:
        return {"limit": self.randint(1, 3), "window_ms": self.choice([1_000, 50_000])}

    def _unique(self) -> dict[str, Any]:
        choices = ["return_existing", "reject", "replace", "preserve_run_at"]
        return {"key": self.choice("kl")} | self._some(
            scope=self.choice(["incomplete", "successful", "all", "waiting"]),
            window_ms=self.choice([1, 1_000, 60_000]),
            on_conflict=self.choice(choices),
        )

    def _limit(self, verb: str) -> tuple[dict[str, Any], dict[str, int]]:
        here: dict[str, Any] = {"platform": self.choice(["github", "jira"])}
        here |= self._some(resource="core", identifier="me")
        if verb in ("observe", "observe_response", "reserve", "release"):
            here |= self._some(reservation=self.choice("rs"))
        match verb:
            case "throttle":
                here |= {"until": self.randrange(3)} | self._some(reason="429")
            case "set_thresholds":
                here |= self._some(warning_percent=self.choice([1, 50, 96]))
            case "observe_response":
                here |= {"status": self.choice([200, 403, 429]), "headers": self._headers()}
            case "reserve":
                # With an id, since one that the writer makes is random.
                here |= {"reservation": self.choice("rs"), "cost": self.choice([1, 50]), "ttl_ms": 5_000}
            case "release":
                here |= {"reservation": self.choice("rs")} | self._some(used=3)
        if verb == "observe":
            here |= {self.choice(["remaining", "used"]): self.choice([0, 1, 50, 54, 100])}
            here |= self._some(limit=100, reset_time=5) | ({"data_fresh": False} if self.may(0.1) else {})
            return here, {"observed_at": self.choice(DELAYS_MS)} if self.may(0.3) else {}
        return here, {}

    def _headers(self) -> dict[str, str]:
        return self._some(
            **{
                "X-RateLimit-Remaining": self.choice(["0", "50", "x"]),
                "X-RateLimit-Limit": "100",
                "X-RateLimit-Reset": self.choice(["5", "3600"]),
                "RateLimit": '"second";r=3;t=1, "hour";r=70;t=600',
                "RateLimit-Policy": '"second";q=10;w=1, "hour";q=100;w=3600',
                "Retry-After": self.choice(["1", "soon"]),
            }
        )

    def _tool(self, verb: str) -> dict[str, Any]:
        here: dict[str, Any] = {"tool_name": self.choice("tu")} | self._some(reason="why")
        match verb:
            case "set":
                here |= self._some(config=self._object(), enabled=self.may(0.5), refresh_interval=7)
            case "patch":
                here |= {"patch": self._object()}
            case "set_refresh_interval":
                here |= {"refresh_interval": self.choice([None, 5])}
            case "set_notifications":
                here |= {"notifications": self.may(0.5)}
            case "rollback":
                here |= {"to_version": self.randint(1, 8)}
            case "register_schema":
                here |= {"schema": self.choice([{}, {"required": ["a"]}, {"maxProperties": 1}])}
            case "validate":
                here = {"tool_name": here["tool_name"], "config": self._object()}
        return here

    def _state(self, verb: str) -> dict[str, Any]:
        if verb == "set_many":
            keys = self.choices(KEYS, k=self.randint(1, 3))
            return {"items": [{"key": key, "value": self._value()} | self._ttl() for key in keys]}
        here: dict[str, Any] = {"key": self.choice(KEYS)}
        if verb not in ("delete", "expire"):
            here |= {"value": self._value()} | self._ttl()
        return here | ({"expected_version": self.randrange(4)} if verb == "set_if" else {})

    def _ttl(self) -> dict[str, Any]:
        return self._some(ttl_ms=self.choice([1, 999, 1_000, 30_000]))

    def _some(self, **fields: Any) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if self.may(0.35)}

    def _object(self) -> dict[str, Any]:
        return {name: self._value() for name in "abc" if self.may(0.5)}

    def _value(self) -> Any:
        return self.choice([None, 0, 1, 1.5, "", "é\u0001", [], {}, {"a": [1]}, "x" * 300])
