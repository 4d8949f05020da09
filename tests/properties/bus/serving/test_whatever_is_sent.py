"""Bodies that the schemas allow, and some that they do not, are answered, or refused for a reason.

Bodies are made of the schemas, with the ends of every range and texts that are odd. None is a defect of the
service's (`internal`), and after all of them the tables still equal the log.
"""

import math
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.contract import codec
from domain.catalogue import VERBS
from domain.errors import Refusal
from hyperpage_client.contract.subjects import BATCH
from migrations.connection import open_reader
from ops.contract.queries import query_verbs
from ops.contract.schema import all_schemas
from ops.store.tables import Tables
from projections import rebuild
from tests.support.clock import NOW, Clock
from tests.support.stores.writing import Sent, Store

KINDS = all_schemas()
IDS = ["one", "two", "three"]
TEXTS = [
    "",
    "a",
    "core",
    "x" * 200,
    "x" * 1_001,
    "a b",
    "ä",
    "a..b",
    "\0",
    "\U0001f600",
    "%",
    "'",
    "${env:X}",
]
NUMBERS = [-1, 0, 1, 2, 100, 30_000, 2**31, 2**53, 2**63 - 1, 2**63]
TIMES = ("run_at", "retry_at", "until", "observed_at", "reset_time", "time")
VALUES = [
    None, {}, {"a": {"b": [1, {"c": None}]}}, [1], "x", 1e308, True, {"type": "object", "required": ["a"]},
    {"$ref": "#/$defs/a", "$defs": {"a": {"maxProperties": 1}}}, {"pattern": "["}, {"ä": "\0", "": ""},
]  # fmt: skip
# How many times as much is sent at most, until each verb was carried out once. What is sent follows from the
# seed and from all schemas, so each change of a schema has other bodies sent.
MOST = 15
HEADERS = ["Retry-After", "X-RateLimit-Remaining", "RateLimit-Limit", "X-RateLimit-Reset", "RateLimit"]
SAID = [
    "0", "5000", "-1", "9" * 20, "Wed, 21 Oct 2015 07:28:00 GMT", "2027-01-15T09:00:00Z", "0000-00-00T00:00Z",
    '"a";r=1;t=1,"b";r=0;t=999999999999', '"a";q=1;qu=2', "limit=1, remaining=2", "(a b);r=1", ";;",
]  # fmt: skip


class Bodies(random.Random):
    """The chance that bodies are made of."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        # The leases of claimed jobs.
        self.leases: list[tuple[str, str]] = []

    def body_of(self, schema: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = self._made(schema, schema, "")
        if "lease" in body and self.leases and self.random() < 0.8:
            body["id"], body["lease"] = self.choice(self.leases[-3:])
        return body

    def _made(self, part: dict[str, Any], whole: dict[str, Any], name: str) -> Any:
        if "$ref" in part:
            return self._made(whole["$defs"][part["$ref"].rpartition("/")[2]], whole, name)
        if "anyOf" in part:
            return self._made(self.choice(part["anyOf"]), whole, name)
        if "enum" in part:
            return self.choice(part["enum"])
        special = self._special(name)
        return self._of_type(part, whole, name) if special is None else special()

    def _special(self, name: str) -> Callable[[], Any] | None:
        """A maker of likely values for a field in which most values would be refused."""
        likely: dict[str, Callable[[], Any]] = {
            **dict.fromkeys(("id", "key", "tool_name", "name"), lambda: self.choice(IDS)),
            **dict.fromkeys(TIMES, lambda: NOW + self.choice([-5_000, 0, 1_000, 100_000])),
            "queue": lambda: "default",
            "types": lambda: ["a", "core"],
            "cron": lambda: "* * * * *",
            "time_zone": lambda: "Europe/Berlin",
            "position": lambda: self.randrange(1, 400),
            "depends_on": lambda: self.sample(IDS, self.randrange(3)),
            "headers": lambda: {self.choice(HEADERS): self.choice(SAID) for _ in range(3)},
        }
        return likely.get(name) if self.random() < 0.8 else None

    def _of_type(self, part: dict[str, Any], whole: dict[str, Any], name: str) -> Any:
        match part.get("type"):
            case "string":
                return self.choice(TEXTS if self.random() < 0.2 else ["a", "core", "default", *IDS])
            case "integer" | "number":
                least = part.get("minimum", 0)
                most = min(part.get("maximum", 10**6), least + 1_000)
                return self.choice(NUMBERS) if self.random() < 0.2 else self.choice([least, most])
            case "boolean":
                return self.random() < 0.5
            case "array":
                return [self._made(part.get("items", {}), whole, name) for _ in range(self.randrange(1, 4))]
            case "object" if "properties" in part:
                return {
                    inner: self._made(field, whole, inner)
                    for inner, field in part["properties"].items()
                    if self.random() < (0.99 if inner in part.get("required", ()) else 0.4)
                }
            case "null":
                return None
            case _:
                return self.choice(VALUES)


@pytest.mark.parametrize(
    ("seed", "count", "most", "may_miss"),
    [(1, 1_500, 1_500, 20), pytest.param(2, 100_000, MOST * 100_000, 0, marks=pytest.mark.prove)],
)
def test_no_body_is_a_defect_and_the_tables_still_equal_the_log(
    tmp_path: Path, seed: int, count: int, most: int, may_miss: int
):
    chance = Bodies(seed)
    clock = Clock()
    codes = Counter[tuple[str, str]]()
    names = [*(KINDS["commands"].keys() - {BATCH}), *KINDS["queries"]]
    # Not synced: no power cut is tested here.
    with Store(tmp_path / "hyperpage.db", clock, next_upkeep=math.inf, synced=False) as store:
        queries = query_verbs(Tables().row_json, clock)
        reader = open_reader(store.path)
        for number in range(most):
            if number >= count and {name for name, code in codes if code == ""} == set(names):
                break
            name = chance.choice(sorted(names))
            clock.now += chance.choice([0, 0, 1, 1_000])
            if name in VERBS:
                code = command(store, name, chance)
            else:
                code = query(reader, queries[name], chance.body_of(KINDS["queries"][name]))
            codes[name, code] += 1
        equal = rebuild.verify(reader, tmp_path / "scratch").equal
        reader.close()

    assert {one for one in codes if one[1] == "internal"} == set()
    assert equal
    # Most verbs were carried out, too.
    assert len(set(names) - {name for name, code in codes if code == ""}) <= may_miss


def command(store: Store, name: str, chance: Bodies) -> str:
    """The code of the refusal, empty where it was accepted."""
    body = chance.body_of(KINDS["commands"][name])
    try:
        codec.decode_command(VERBS[name][1], msgspec.json.encode(body))
    except Refusal as refusal:
        return refusal.code
    reply = store.send_together(Sent(name, body))[0]
    if name == "jobs.claim" and reply.code is None:
        chance.leases += [(job["id"], job["lease"]) for job in reply["result"]["jobs"]]
    return reply.code or ""


def query(reader: Any, verb: Any, body: dict[str, Any]) -> str:
    try:
        verb.answer(reader, codec.decode(verb.shape, msgspec.json.encode(body)))
    except Refusal as refusal:
        return refusal.code
    return ""
