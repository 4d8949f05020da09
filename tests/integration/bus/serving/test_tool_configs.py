"""A configuration store over the wire: schemas, versions, and how they differ."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.services.raw_nats import Message
from tests.support.services.talking import Talk

SCHEMA = {"properties": {"retries": {"type": "integer"}}, "required": ["retries"]}


class Tool:
    """One tool of the shared service."""

    def __init__(self, talk: Talk, name: str) -> None:
        self.talk, self.name = talk, name

    def send(self, verb: str, expected: int | None = None, **body: Any) -> Message:
        return self.talk.command(f"tool_configs.{verb}", {"tool_name": self.name, **body}, expected=expected)

    def ask(self, verb: str, **body: Any) -> Message:
        return self.talk.query(f"tool_configs.{verb}", {"tool_name": self.name, **body})

    def diff(self, before: int, after: int) -> Any:
        return self.ask("diff", from_version=before, to_version=after).said


@pytest.fixture
def tool(shared: Talk, request: pytest.FixtureRequest) -> Tool:
    return Tool(shared, request.node.name.split("[")[0])


def test_a_schema_stands_beside_the_configuration_and_is_kept_across_a_restart(tmp_path: Path):
    with Talk(tmp_path) as talk:
        own = Tool(talk, "t")
        assert own.send("register_schema", schema=SCHEMA).code is None
        assert own.ask("get").code == "not_found"
        assert talk.query("tool_configs.count").said == {"count": 0}
        assert own.send("set", config={"retries": 3}).code is None
        assert own.ask("get").said["schema"] == SCHEMA
        talk.restart()
        own = Tool(talk, "t")
        error = own.send("set", config={"retries": "3"}).error
        assert (error["code"], error["details"]["rule"]) == ("refused", "config_matches_schema")
        assert [one["path"] for one in error["details"]["errors"]] == ["$.config.retries"]
        assert talk.administer("projections.verify").said["equal"]
        assert own.send("delete").code is None
        assert own.ask("get").code == "not_found"
        assert own.ask("as_of", position=2).said["config"] == {"retries": 3}
        assert own.ask("as_of", position=1).code == "not_found"
        assert talk.administer("projections.verify").said["equal"]


def test_validating_answers_with_what_is_wrong_and_stores_nothing(tool: Tool):
    tool.send("register_schema", schema=SCHEMA)
    before = tool.talk.position

    said = tool.send("validate", config={"retries": "3"}).said
    assert said["events"] == []
    assert said["result"]["valid"] is False
    assert [one["path"] for one in said["result"]["errors"]] == ["$.config.retries"]
    assert tool.send("validate", config={"retries": 3}).said["result"] == {"valid": True, "errors": []}
    assert tool.talk.position == before


def test_every_change_can_expect_a_version(tool: Tool):
    assert tool.send("register_schema", expected=0, schema=SCHEMA).code is None
    # There is a schema, and still no configuration.
    assert tool.send("set", expected=2, config={"retries": 1}).code == "version_conflict"
    assert tool.send("set", expected=0, config={"retries": 1}).said["version"] == 2
    assert tool.send("set", expected=0, config={"retries": 2}).code == "version_conflict"
    bodies: dict[str, dict[str, Any]] = {
        "patch": {"patch": {"retries": 2}}, "disable": {}, "enable": {},
        "set_refresh_interval": {"refresh_interval": 5}, "set_notifications": {"notifications": False},
        "register_schema": {"schema": {}}, "remove_schema": {}, "rollback": {"to_version": 2}, "delete": {},
    }  # fmt: skip
    for version, (verb, body) in enumerate(bodies.items(), 2):
        assert tool.send(verb, expected=version - 1, **body).code == "version_conflict"
        assert tool.send(verb, expected=version + 1, **body).code == "version_conflict"
        assert tool.send(verb, expected=version, **body).said["version"] == version + 1
    assert tool.send("rollback", expected=0, to_version=2).said["version"] == 12


def test_two_versions_differ_by_what_was_added_removed_and_changed(tool: Tool):
    tool.send("set", config={"a": 1, "b": {"c": [1, 2, 3], "d": True}, "same": "x"})
    tool.send("patch", patch={"a": 1.0, "b": {"c": [1, 5], "e": None, "f g": {}}})
    tool.send("disable")

    assert tool.diff(1, 3) == {
        "added": [{"path": '$.config.b["f g"]', "value": {}}],
        "removed": [{"path": "$.config.b.c[2]", "value": 3}],
        "changed": [
            {"path": "$.config.a", "from": 1, "to": 1.0},
            {"path": "$.config.b.c[1]", "from": 2, "to": 5},
            {"path": "$.enabled", "from": True, "to": False},
        ],
    }
    assert tool.diff(2, 2) == {"added": [], "removed": [], "changed": []}
    assert [one["path"] for one in tool.diff(3, 1)["added"]] == ["$.config.b.c[2]"]


def test_before_the_first_version_and_at_a_deletion_there_is_nothing(tool: Tool):
    tool.send("set", config={"a": 1})
    tool.send("delete")
    whole = [
        {"path": "$.config", "value": {"a": 1}},
        {"path": "$.enabled", "value": True},
        {"path": "$.notifications", "value": True},
        {"path": "$.refresh_interval", "value": None},
    ]

    assert tool.diff(0, 1) == {"added": whole, "removed": [], "changed": []}
    assert tool.diff(1, 2) == {"added": [], "removed": whole, "changed": []}
    assert tool.diff(0, 2) == {"added": [], "removed": [], "changed": []}


def test_a_version_that_is_none_is_not_found(tool: Tool):
    assert tool.ask("diff", from_version=0, to_version=1).code == "not_found"
    tool.send("set")
    assert tool.ask("diff", from_version=1, to_version=2).error["details"] == {"version": 2}
    assert tool.ask("diff", from_version=-1, to_version=1).code == "invalid"


def test_a_schema_is_a_part_of_what_differs(tool: Tool):
    tool.send("register_schema", schema=SCHEMA)
    tool.send("register_schema", schema=SCHEMA | {"title": "mine"})

    assert tool.diff(0, 1)["added"] == [{"path": "$.schema", "value": SCHEMA}]
    assert tool.diff(1, 2)["added"] == [{"path": "$.schema.title", "value": "mine"}]


def test_the_history_says_who_when_and_why(tool: Tool):
    tool.talk.command(
        "tool_configs.register_schema",
        {"tool_name": tool.name, "schema": {}, "reason": "order"},
        headers={"Hyperpage-Actor": "me"},
    )
    [event] = tool.ask("history").said["items"]

    assert event["type"] == "hyperpage.tool_config.schema_registered.v1"
    assert (event["actor"], event["data"]["reason"], event["version"]) == ("me", "order", 1)
    assert event["time"]


def test_a_batch_changes_schema_and_configuration_together(tool: Tool):
    tool.send("register_schema", schema=SCHEMA)
    tool.send("set", config={"retries": 1})
    names = {"tool_name": tool.name}
    new = SCHEMA | {"required": ["attempts"]}
    assert tool.send("register_schema", schema=new).code == "refused"

    answer = tool.talk.batch(
        {"command": "tool_configs.remove_schema", "body": names},
        {"command": "tool_configs.set", "body": names | {"config": {"attempts": 1}}},
        {"command": "tool_configs.register_schema", "body": names | {"schema": new}},
        atomic=True,
    )
    assert answer.code is None
    assert tool.ask("get").said["config"] == {"attempts": 1}
    assert tool.ask("get").said["schema"] == new


def test_the_answer_to_a_thousand_configurations_that_do_not_match_fits_into_a_message(tool: Tool):
    schema = {"additionalProperties": {"type": "null"}}
    tool.send("register_schema", schema=schema)
    wrong = {f"{index:0100}": 1 for index in range(6)}
    body = {"tool_name": tool.name, "config": wrong}

    answer = tool.talk.batch(*({"command": "tool_configs.set", "body": body} for _ in range(1_000)))
    assert [one["error"]["code"] for one in answer.said["outcomes"]] == ["refused"] * 1_000
