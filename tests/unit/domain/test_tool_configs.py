from typing import Any

import pytest

from domain.messages import Event, Recorded
from domain.tool_configs import decider
from domain.tool_configs.messages import (
    ConfigPatched,
    ConfigSet,
    Deleted,
    Disabled,
    Enabled,
    NotificationsSet,
    RefreshIntervalSet,
    RolledBack,
    SchemaRegistered,
    SchemaRemoved,
)
from tests.support.clock import NOW
from tests.support.domain.given_when_then import KEY, Story, given

TABLE = "tool_configs"
HERE = {"tool_name": KEY}
CONTENT: dict[str, Any] = {
    "enabled": True,
    "config": {"a": 1},
    "refresh_interval": 60_000,
    "notifications": False,
}


def config_set(**changes) -> ConfigSet:
    return ConfigSet(**(CONTENT | changes))


def known(**changes) -> Story:
    return given(config_set(**changes))


def test_setting_a_configuration_keeps_all_of_it_and_why():
    given().when("tool_configs.set", **HERE, **CONTENT, reason="new").then(config_set(reason="new"))


def test_a_configuration_that_says_nothing_is_on_empty_and_notifies():
    story = given().when("tool_configs.set", **HERE).then(ConfigSet())
    state = story.state(TABLE)

    assert (state.enabled, state.config, state.refresh_interval, state.notifications) == (
        True,
        {},
        None,
        True,
    )


def test_setting_replaces_all_of_it():
    known().when("tool_configs.set", **HERE, config={"b": 2}).then(ConfigSet(config={"b": 2}))


def test_a_patch_merges_and_null_removes():
    story = known(config={"a": 1, "b": {"c": 1, "d": [1]}})

    story.when("tool_configs.patch", **HERE, patch={"a": None, "b": {"d": [2], "e": 3}}, reason="why").then(
        ConfigPatched(**(CONTENT | {"config": {"b": {"c": 1, "d": [2], "e": 3}}}), reason="why")
    )


@pytest.mark.parametrize(
    ("verb", "body", "event"),
    [
        ("enable", {}, Enabled(**CONTENT)),
        ("disable", {}, Disabled(**(CONTENT | {"enabled": False}))),
        (
            "set_refresh_interval",
            {"refresh_interval": 5},
            RefreshIntervalSet(**(CONTENT | {"refresh_interval": 5})),
        ),
        (
            "set_refresh_interval",
            {"refresh_interval": None},
            RefreshIntervalSet(**(CONTENT | {"refresh_interval": None})),
        ),
        (
            "set_notifications",
            {"notifications": True},
            NotificationsSet(**(CONTENT | {"notifications": True})),
        ),
    ],
)
def test_each_change_of_one_thing_leaves_the_rest_and_says_why(verb: str, body, event):
    # One that is off, to be turned on; else, as it is.
    story = known(enabled=verb != "enable")

    story.when(f"tool_configs.{verb}", **HERE, **body, reason="why")

    [(key, happened)] = story.decision.events
    assert key == KEY
    assert happened == type(event)(**{name: getattr(event, name) for name in CONTENT}, reason="why")


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("set", CONTENT),
        ("patch", {"patch": {}}),
        ("patch", {"patch": {"a": 1}}),
        ("patch", {"patch": {"missing": None}}),
        ("enable", {}),
        ("set_refresh_interval", {"refresh_interval": 60_000}),
        ("set_notifications", {"notifications": False}),
        ("rollback", {"to_version": 1}),
    ],
)
def test_what_changes_nothing_is_accepted_without_an_event(verb: str, body):
    known().when(f"tool_configs.{verb}", **HERE, **body, reason="again").then_nothing()


def test_the_same_members_in_another_order_change_nothing():
    known(config={"a": 1, "b": {"c": 1, "d": 2}}).when(
        "tool_configs.set", **HERE, **CONTENT | {"config": {"b": {"d": 2, "c": 1}, "a": 1}}
    ).then_nothing()


@pytest.mark.parametrize(("old", "new"), [(1, 1.0), (1, True), (0, False), (None, False), ([1], [1.0])])
def test_what_only_python_takes_for_equal_is_a_change(old, new):
    known(config={"a": old}).when("tool_configs.set", **HERE, **CONTENT | {"config": {"a": new}}).then(
        config_set(config={"a": new})
    )


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("patch", {"patch": {}}),
        ("enable", {}),
        ("disable", {}),
        ("set_refresh_interval", {"refresh_interval": 5}),
        ("set_notifications", {"notifications": True}),
        ("rollback", {"to_version": 1}),
        ("delete", {}),
    ],
)
def test_a_tool_without_a_configuration_is_not_found(verb: str, body):
    given().when(f"tool_configs.{verb}", **HERE, **body).then_refused("not_found")


# Rollback


def test_a_rollback_is_a_new_version_with_the_old_content():
    story = known().given(Disabled(enabled=False, config={"b": 2}))

    story.when("tool_configs.rollback", **HERE, to_version=1, reason="oops").then(
        RolledBack(**CONTENT, to_version=1, reason="oops")
    )
    story.when("tool_configs.rollback", **HERE, to_version=2).then(
        RolledBack(enabled=False, config={"b": 2}, to_version=2)
    )
    assert len(story.streams[TABLE, KEY]) == 4


@pytest.mark.parametrize("version", [3, 4, 10**30])
def test_there_is_nothing_to_roll_back_to_where_there_was_no_configuration(version: int):
    known().given(Deleted(), ConfigSet()).when("tool_configs.rollback", **HERE, to_version=2).then_refused(
        "not_found", to_version=2
    )
    known().when("tool_configs.rollback", **HERE, to_version=version).then_refused(
        "not_found", to_version=version
    )


def test_a_rollback_brings_back_what_was_deleted():
    story = known().when("tool_configs.delete", **HERE, reason="gone").then(Deleted(reason="gone"))
    assert story.state(TABLE) is None

    story.when("tool_configs.rollback", **HERE, to_version=1).then(RolledBack(**CONTENT, to_version=1))
    assert story.state(TABLE).config == {"a": 1}


# Size


def test_a_configuration_does_not_grow_over_its_limit_by_patches():
    story = known(config={})
    big = "x" * 100_000
    story.when("tool_configs.patch", **HERE, patch={"a": big})
    story.when("tool_configs.patch", **HERE, patch={"b": big})
    assert story.refusal is None

    story.when("tool_configs.patch", **HERE, patch={"c": big}).then_refused(
        "too_large", limit_bytes=256 * 1024, size_bytes=300_022
    )
    story.when("tool_configs.patch", **HERE, patch={"a": None, "c": big})
    assert story.refusal is None


def test_a_configuration_is_measured_as_it_is_stored():
    # Sent as 1e15 (4 bytes), stored as 1000000000000000.0 (18).
    given().when("tool_configs.set", **HERE, config={"a": [1e15] * 20_000}).then_refused("too_large")


def test_a_foreign_event_is_not_taken_for_one_of_a_configuration():
    class Strange(Event, frozen=True, kw_only=True):
        pass

    with pytest.raises(TypeError):
        decider.evolve(None, Recorded(1, KEY, 1, NOW, Strange()))


# Schemas

SCHEMA: dict[str, Any] = {"properties": {"a": {"type": "integer"}}, "required": ["a"]}
REGISTERED = SchemaRegistered(schema=SCHEMA)
RULE = {"rule": "config_matches_schema"}


def strict(**changes) -> Story:
    """A tool with a configuration and a schema that it matches."""
    return known(**changes).given(REGISTERED)


def errors(story: Story) -> list[str]:
    assert story.refusal is not None
    return [error["path"] for error in story.refusal.details["errors"]]


def test_a_schema_is_registered_with_the_reason():
    story = known().when("tool_configs.register_schema", **HERE, schema=SCHEMA, reason="why")

    story.then(SchemaRegistered(schema=SCHEMA, reason="why"))
    story.when("tool_configs.register_schema", **HERE, schema=SCHEMA, reason="again").then_nothing()
    assert story.state(TABLE).config == {"a": 1}


def test_a_schema_that_the_configuration_does_not_match_is_refused():
    story = known(config={"a": "x"}).when("tool_configs.register_schema", **HERE, schema=SCHEMA)

    story.then_refused("refused", **RULE)
    assert errors(story) == ["$.config.a"]
    story.when("tool_configs.register_schema", **HERE, schema={"type": "strin"}).then_refused(
        "invalid", path="$.schema.type"
    )


def test_a_configuration_that_does_not_match_is_refused_with_the_places():
    story = strict().when("tool_configs.set", **HERE, config={"a": [1]}).then_refused("refused", **RULE)
    assert errors(story) == ["$.config.a"]
    story.when("tool_configs.set", **HERE).then_refused("refused", **RULE)
    assert errors(story) == ["$.config"]
    story.when("tool_configs.patch", **HERE, patch={"a": None}).then_refused("refused", **RULE)
    story.when("tool_configs.patch", **HERE, patch={"a": 2}).then(
        ConfigPatched(**CONTENT | {"config": {"a": 2}})
    )


def test_a_rollback_to_what_does_not_match_any_more_is_refused():
    story = known(config={"b": 1}).given(config_set()).given(REGISTERED)

    story.when("tool_configs.rollback", **HERE, to_version=1).then_refused("refused", **RULE)
    assert errors(story) == ["$.config"]
    story.when("tool_configs.rollback", **HERE, to_version=2).then_nothing()


@pytest.mark.parametrize("verb", ["enable", "disable", "set_refresh_interval", "set_notifications"])
def test_what_leaves_the_configuration_as_it_is_needs_no_schema(verb: str):
    bodies: dict[str, dict[str, Any]] = {
        "set_refresh_interval": {"refresh_interval": 5},
        "set_notifications": {"notifications": True},
    }
    story = strict(enabled=verb != "enable").when(f"tool_configs.{verb}", **HERE, **bodies.get(verb, {}))

    assert len(story.decision.events) == 1
    assert story.state(TABLE).schema is not None


def test_a_removed_schema_forbids_nothing():
    story = (
        strict().when("tool_configs.remove_schema", **HERE, reason="why").then(SchemaRemoved(reason="why"))
    )

    story.when("tool_configs.set", **HERE, config={"b": 2}).then(ConfigSet(config={"b": 2}))
    story.when("tool_configs.remove_schema", **HERE).then_refused("not_found")


def test_a_schema_can_come_before_the_configuration():
    story = given().when("tool_configs.register_schema", **HERE, schema=SCHEMA).then(REGISTERED)

    bodies: dict[str, dict[str, Any]] = {
        "enable": {},
        "patch": {"patch": {}},
        "rollback": {"to_version": 1},
        "delete": {},
    }
    for verb, body in bodies.items():
        story.copy().when(f"tool_configs.{verb}", **HERE, **body).then_refused("not_found")
    story.when("tool_configs.set", **HERE, config={}).then_refused("refused", **RULE)
    story.when("tool_configs.set", **HERE, config={"a": 1}).then(ConfigSet(config={"a": 1}))
    assert story.state(TABLE).present


def test_an_empty_configuration_is_set_where_there_is_only_a_schema():
    given(SchemaRegistered(schema={})).when("tool_configs.set", **HERE).then(ConfigSet())


def test_a_schema_outlives_the_configuration_and_ends_by_itself():
    story = strict().when("tool_configs.delete", **HERE).then(Deleted())
    assert not decider.exists(story.state(TABLE), NOW)

    story.copy().when("tool_configs.set", **HERE, config={}).then_refused("refused", **RULE)
    story.copy().when("tool_configs.rollback", **HERE, to_version=1).then(RolledBack(**CONTENT, to_version=1))
    story.when("tool_configs.remove_schema", **HERE).then(SchemaRemoved())
    assert story.state(TABLE) is None


def test_a_configuration_is_tried_without_storing_it():
    story = strict()

    story.when("tool_configs.validate", **HERE, config={"a": 1}).then_nothing()
    assert story.result == {"valid": True, "errors": []}
    story.when("tool_configs.validate", **HERE, config={"a": "x"}).then_nothing()
    assert not story.result["valid"]
    assert [one["path"] for one in story.result["errors"]] == ["$.config.a"]
    story.when("tool_configs.validate", **HERE, config={"a": "x" * 300_000}).then_refused("too_large")
    given().when("tool_configs.validate", **HERE, config={"b": 1}).then_nothing()


def test_many_places_are_named_only_as_far_as_the_answer_has_room():
    story = given(SchemaRegistered(schema={"additionalProperties": {"type": "null"}}))
    wrong = {f"m{index}": 1 for index in range(100)}

    assert len(errors(story.copy().when("tool_configs.set", **HERE, config=wrong))) == 20
    story.answer_bytes_left = 3_000
    assert len(errors(story.when("tool_configs.set", **HERE, config=wrong))) == 1


def nested_conditions(levels: int) -> dict[str, Any]:
    """A schema whose work doubles with each level."""
    schema: dict[str, Any] = {"properties": {"a": {}}}
    for _ in range(levels):
        schema = {"if": schema, "unevaluatedProperties": False}
    return schema


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"properties": {"a": {"pattern": "(?<=a)(?=[ab]*c)x"}}}, "$.schema.properties.a.pattern"),
        ({"$ref": "#"}, '$.schema["$ref"]'),
        (nested_conditions(23), "$.schema"),
    ],
)
def test_a_schema_that_was_registered_when_it_was_still_taken_is_not_applied(
    schema: dict[str, Any], path: str
):
    story = given(config_set(), SchemaRegistered(schema=schema))
    rule = {"rule": "schema_is_still_taken", "schema_path": path}

    story.when("tool_configs.set", **HERE, config={"a": "a" * 40_000}).then_refused("refused", **rule)
    story.when("tool_configs.patch", **HERE, patch={"a": "b"}).then_refused("refused", **rule)
    story.when("tool_configs.validate", **HERE, config={"a": "b"}).then_refused("refused", **rule)
    story.when("tool_configs.register_schema", **HERE, schema=schema)
    assert story.refusal is not None
    assert story.state(TABLE).config == {"a": 1}

    # Commands that leave the configuration as it is go through, and so do all under another schema.
    story.when("tool_configs.disable", **HERE).then(Disabled(**(CONTENT | {"enabled": False})))
    story.when("tool_configs.register_schema", **HERE, schema=SCHEMA).then(REGISTERED)
    story.when("tool_configs.patch", **HERE, patch={"b": 2}).then(
        ConfigPatched(**(CONTENT | {"enabled": False, "config": {"a": 1, "b": 2}}))
    )


def test_a_version_from_before_is_not_brought_back_under_a_schema_that_is_no_longer_taken():
    story = given(config_set(config={"a": 2}), config_set(), SchemaRegistered(schema={"pattern": "(?=a)"}))

    story.when("tool_configs.rollback", **HERE, to_version=1).then_refused(
        "refused", rule="schema_is_still_taken"
    )
    story.when("tool_configs.remove_schema", **HERE).then(SchemaRemoved())
    story.when("tool_configs.rollback", **HERE, to_version=1).then(
        RolledBack(**(CONTENT | {"config": {"a": 2}}), to_version=1)
    )
