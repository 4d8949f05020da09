"""Discovery as NATS ADR-32 has it: what `nats micro ls`, `info` and `stats` ask, asked by hand.

https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-32.md
"""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.catalogue import VERBS
from tests.support.services.raw_nats import Message
from tests.support.services.talking import Talk

NAME = "hyperpage-persistence"
PREFIXES = {"cmd": "hyperpage.cmd.v1.", "qry": "hyperpage.qry.v1."}
NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]+")
# The official pattern, https://semver.org, without its groups.
VERSION_PATTERN = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
COMMANDS = {name for name, (_, verb) in VERBS.items() if not verb.internal} | {"batch"}
TABLES = ("jobs", "queues", "schedules", "rate_limits", "tool_configs", "app_state")
QUERIES = {f"{table}.{verb}" for table in TABLES for verb in ("get", "list", "count", "history", "as_of")}
QUERIES |= {"jobs.attempts", "jobs.stats", "events.read", "service.status"}


def discover(talk: Talk, what: str) -> dict[str, Any]:
    """The one answer to `$SRV.<what>`."""

    async def answers() -> list[Message]:
        inbox = f"{talk.client.inbox}.discovery"
        heard = talk.client.subscribe(inbox)
        talk.client.publish(f"$SRV.{what}", b"", reply=inbox)
        async with asyncio.timeout(30):
            found = [await heard.get()]
        # When this query is answered, all other answers have come, too.
        await talk.client.query("jobs.count")
        return [*found, *(heard.get_nowait() for _ in range(heard.qsize()))]

    (answer,) = talk.run(answers())
    assert answer.headers == {}
    said: dict[str, Any] = answer.said
    return said


def endpoints(talk: Talk, what: str = "STATS") -> dict[str, Any]:
    return {one["subject"]: one for one in discover(talk, what)["endpoints"]}


@pytest.mark.parametrize("kind", ["PING", "INFO", "STATS"])
def test_each_question_is_answered_for_all_for_the_name_and_for_the_instance(shared: Talk, kind: str):
    instance = discover(shared, kind)["id"]

    for scope in ("", f".{NAME}", f".{NAME}.{instance}"):
        answer = discover(shared, kind + scope)
        assert answer["type"] == f"io.nats.micro.v1.{kind.lower()}_response"
        assert answer["name"] == NAME
        assert NAME_PATTERN.fullmatch(answer["name"])
        assert answer["id"] == instance
        assert VERSION_PATTERN.fullmatch(answer["version"])
        assert answer["version"] == shared.status["version"]
        assert all(isinstance(value, str) for value in answer["metadata"].values())


@pytest.mark.parametrize("scope", [".another-service", f".{NAME}.another-instance", ".*", f".{NAME}.x.y"])
def test_nobody_answers_for_others(shared: Talk, scope: str):
    answer = shared.run(shared.client.request(f"$SRV.PING{scope}"))

    assert (answer.status, answer.body) == ("503", b"")


def test_the_metadata_tells_one_store_from_another(shared: Talk):
    metadata = discover(shared, "PING")["metadata"]

    assert metadata["prefix"] == "hyperpage"
    assert metadata["store_id"] == shared.status["store_id"]


def test_a_ping_has_these_fields_and_no_others(shared: Talk):
    assert set(discover(shared, "PING")) == {"type", "name", "id", "version", "metadata"}


def test_info_names_every_command_and_every_query(shared: Talk):
    info = discover(shared, "INFO")

    assert set(info) == {"type", "name", "id", "version", "metadata", "description", "endpoints"}
    assert info["description"]
    for one in info["endpoints"]:
        assert set(one) == {"name", "subject", "queue_group", "metadata"}
        assert NAME_PATTERN.fullmatch(one["name"]), one["name"]
        assert all(isinstance(value, str) for value in one["metadata"].values())
    subjects = [one["subject"] for one in info["endpoints"]]
    assert len({one["name"] for one in info["endpoints"]}) == len(subjects) == len(set(subjects))
    commands = {subject.removeprefix(PREFIXES["cmd"]) for subject in subjects if PREFIXES["cmd"] in subject}
    queries = {subject.removeprefix(PREFIXES["qry"]) for subject in subjects if PREFIXES["qry"] in subject}
    assert commands == COMMANDS
    assert queries >= QUERIES
    assert len(commands) + len(queries) == len(subjects)


def test_each_endpoint_carries_the_json_schema_of_what_it_takes(shared: Talk):
    for subject, endpoint in endpoints(shared, "INFO").items():
        schema = json.loads(endpoint["metadata"]["schema"])
        assert schema, subject
        assert "$ref" in schema or schema["type"] == "object", subject
        references = re.findall(r'"\$ref":"#/\$defs/([^"]+)"', endpoint["metadata"]["schema"])
        assert set(references) <= set(schema.get("$defs", {})), subject


def test_a_schema_says_what_its_command_asks_for(shared: Talk):
    schema = endpoints(shared, "INFO")["hyperpage.cmd.v1.jobs.enqueue"]["metadata"]["schema"]

    for word in (
        '"priority"',
        '"required"',
        '"type"',
        '"name"',
        '"max_attempts"',
        '"additionalProperties":false',
    ):
        assert word in schema


def test_info_fits_into_a_message(shared: Talk):
    assert len(json.dumps(discover(shared, "INFO"))) < 500 * 1024


def test_stats_have_the_fields_of_the_contract(shared: Talk):
    stats = discover(shared, "STATS")

    assert set(stats) == {"type", "name", "id", "version", "metadata", "started", "endpoints"}
    started = datetime.fromisoformat(stats["started"])
    assert started.utcoffset() == timedelta(0)
    assert timedelta(0) < datetime.now(UTC) - started < timedelta(hours=1)
    for one in stats["endpoints"]:
        numbers = ("num_requests", "num_errors", "processing_time", "average_processing_time")
        assert set(one) == {"name", "subject", "queue_group", "last_error", *numbers}
        assert all(type(one[number]) is int and one[number] >= 0 for number in numbers)
        assert isinstance(one["last_error"], str)
    assert set(endpoints(shared, "STATS")) == set(endpoints(shared, "INFO"))


def test_the_counts_move_with_what_is_asked(shared: Talk):
    put, get = "hyperpage.cmd.v1.app_state.set", "hyperpage.qry.v1.app_state.get"
    before = endpoints(shared)

    for number in range(5):
        shared.command("app_state.set", {"key": "k", "value": number})
    shared.command("app_state.set", {"key": "k"})
    shared.query("app_state.get", {"key": "k"})
    shared.query("app_state.get", {"key": "nobody"})
    shared.batch({"command": "app_state.set", "body": {"key": "k", "value": "in a batch"}})
    after = endpoints(shared)

    def moved(subject: str, number: str) -> int:
        difference: int = after[subject][number] - before[subject][number]
        return difference

    assert (moved(put, "num_requests"), moved(put, "num_errors")) == (6, 1)
    assert (moved(get, "num_requests"), moved(get, "num_errors")) == (2, 1)
    assert moved("hyperpage.cmd.v1.batch", "num_requests") == 1
    assert moved("hyperpage.cmd.v1.jobs.enqueue", "num_requests") == 0
    assert after[put]["last_error"] == "400:invalid"
    assert after[get]["last_error"] == "404:not_found"
    for subject in (put, get):
        assert moved(subject, "processing_time") > 0
        one = after[subject]
        assert one["average_processing_time"] == one["processing_time"] // one["num_requests"]


def test_the_last_error_says_nothing_of_what_was_sent(shared: Talk):
    shared.command("app_state.set", {"key": "k", "value": 1, "my-password-is-hunter2": 1})

    assert "hunter2" not in json.dumps(discover(shared, "STATS"))


def test_an_unknown_command_is_nobodys(shared: Talk):
    before = endpoints(shared)

    shared.command("jobs.explode")
    shared.command("x" * 1000)

    after = endpoints(shared)
    assert set(after) == set(before)
    requests = [sum(one["num_requests"] for one in found.values()) for found in (before, after)]
    assert requests[1] - requests[0] == 1  # The query by which `discover` waits.


@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense", b"\xff" * 1000])
def test_the_body_of_a_question_does_not_matter(shared: Talk, body: bytes):
    answer = shared.run(shared.client.request("$SRV.PING", body))

    assert answer.said["name"] == NAME


def test_a_restarted_service_is_another_instance_and_counts_from_zero(
    tmp_path_factory: pytest.TempPathFactory,
):
    with Talk(tmp_path_factory.mktemp("restarted"), prefix="else.where") as talk:
        first = discover_alone(talk)
        talk.restart()
        second = discover_alone(talk)

    assert first["id"] != second["id"]
    assert first["metadata"] == second["metadata"]
    assert first["metadata"]["prefix"] == "else.where"
    assert {one["subject"].rpartition(".v1.")[0] for one in second["endpoints"]} == {
        "else.where.cmd",
        "else.where.qry",
    }
    assert {one["num_requests"] for one in second["endpoints"]} == {0}


def discover_alone(talk: Talk) -> dict[str, Any]:
    """The first answer, without any other request."""
    said: dict[str, Any] = talk.run(talk.client.request("$SRV.STATS")).said
    return said
