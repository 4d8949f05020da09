"""The stories that authors of aggregates tell in their tests."""

import msgspec
import pytest

from domain.decider import Verb
from domain.given_when_then import NOW, UndeclaredError, given
from domain.rate_limits import DECIDER as LIMITS
from domain.tool_configs import DECIDER as CONFIGS
from domain.tool_configs.messages import ConfigSet, Delete, Deleted, Set

CONFIG = Set(tool_name="one", config={"a": 1})


def without(name: str, **declared: object):
    """The decider of configurations, with changed declarations of one verb."""

    def changed(verb: Verb) -> Verb:
        return msgspec.structs.replace(verb, **declared) if verb.name == name else verb

    return msgspec.structs.replace(CONFIGS, verbs=tuple(map(changed, CONFIGS.verbs)))


def test_what_is_accepted_takes_effect():
    story = given(CONFIGS).when(CONFIG)

    [(key, event)] = story.decision.events
    assert (key, type(event)) == ("one", ConfigSet)
    assert story.state_of("one").config == {"a": 1}
    story.when(Delete(tool_name="one")).then(Deleted())
    story.when(Delete(tool_name="one")).then_refused("not_found")


def test_a_story_that_goes_otherwise_fails():
    with pytest.raises(AssertionError, match="refused"):
        given(CONFIGS).when(Delete(tool_name="one")).then_nothing()
    with pytest.raises(AssertionError, match="accepted"):
        given(CONFIGS).when(CONFIG).then_refused("not_found")
    with pytest.raises(AssertionError):
        given(CONFIGS).when(CONFIG).then(Deleted())


def test_what_a_verb_does_not_declare_ends_the_story():
    with pytest.raises(UndeclaredError, match="add it to its `events`"):
        given(without("set", events=())).when(CONFIG)
    with pytest.raises(UndeclaredError, match="add it to its `refusals`"):
        given(without("delete", refusals=())).when(Delete(tool_name="one"))


def test_a_command_comes_in_as_it_would_be_sent():
    with pytest.raises(msgspec.ValidationError):
        given(CONFIGS).when(Set(tool_name="no key", config={}))
    with pytest.raises(TypeError, match="no command"):
        given(LIMITS).when(CONFIG)


def test_the_clock_stands_until_it_is_moved():
    assert given(CONFIGS).later(5).now == NOW + 5
