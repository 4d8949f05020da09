import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.json_values import Change, differences, merge_patch

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


# https://www.rfc-editor.org/rfc/rfc7386#appendix-A
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
        ('{"a":"b"}', '{"a":null}', "{}"),
        ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
        ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
        ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
        ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
        ('["a","b"]', '["c","d"]', '["c","d"]'),
        ('{"a":"b"}', '["c"]', '["c"]'),
        ('{"a":"foo"}', "null", "null"),
        ('{"a":"foo"}', '"bar"', '"bar"'),
        ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
        ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
        ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
    ],
)
def test_the_examples_of_the_rfc_hold(target: str, patch: str, result: str):
    assert merge_patch(json.loads(target), json.loads(patch)) == json.loads(result)


@given(json_values, json_values)
def test_patching_changes_neither_the_target_nor_the_patch(target, patch):
    before = copy.deepcopy((target, patch))

    merge_patch(target, patch)

    assert (target, patch) == before


@given(json_values, json_values)
def test_a_patch_applied_again_changes_nothing_more(target, patch):
    once = merge_patch(target, patch)

    assert merge_patch(once, patch) == once


@given(st.dictionaries(st.text(max_size=3), json_values, max_size=3))
def test_an_empty_patch_changes_nothing(target):
    assert merge_patch(target, {}) == target


# Differences

small_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, "", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b c"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(small_values)
def test_a_value_does_not_differ_from_itself(value: Any):
    assert list(differences(value, value)) == []


@given(small_values, small_values)
def test_the_way_back_is_the_same_with_ends_exchanged(one: Any, other: Any):
    opposite = {"added": "removed", "removed": "added", "changed": "changed"}

    there = {(change.path, change.kind, encoded(change)) for change in differences(one, other)}
    back = {
        (
            change.path,
            opposite[change.kind],
            encoded(change._replace(before=change.after, after=change.before)),
        )
        for change in differences(other, one)
    }
    assert there == back
    is_same = msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")
    assert (not there) == is_same


def encoded(change: Change) -> bytes:
    return msgspec.json.encode([change.before, change.after])
