"""Pure operations on JSON values."""

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec

_PLAIN_NAME = re.compile(r"[A-Za-z_][\w-]{0,99}", re.ASCII)


class Change(NamedTuple):
    """One difference between two JSON values; a side without a value is `None`."""

    kind: Literal["added", "removed", "changed"]
    path: str
    before: Any
    after: Any


def merge_patch(target: Any, patch: Any) -> Any:
    """The target with a JSON merge patch applied (RFC 7386, section 2); neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def step(name: str) -> str:
    """The step of a JSON path to a member: `.name`, or `["a name"]`."""
    if _PLAIN_NAME.fullmatch(name):
        return f".{name}"
    return f"[{msgspec.json.encode(name).decode()}]"


def differences(before: Any, after: Any, path: str = "$") -> Iterator[Change]:
    """The changes from one JSON value to another, member by member and, in arrays, place by place."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before.keys() | after.keys():
            yield from _between(
                name in before, name in after, before.get(name), after.get(name), path + step(name)
            )
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            was, is_there = index < len(before), index < len(after)
            old, new = before[index] if was else None, after[index] if is_there else None
            yield from _between(was, is_there, old, new, f"{path}[{index}]")
    # Compared as JSON, since 1, 1.0 and True are equal in Python.
    elif msgspec.json.encode(before) != msgspec.json.encode(after):
        yield Change("changed", path, before, after)


def _between(was: bool, is_there: bool, before: Any, after: Any, path: str) -> Iterator[Change]:
    if not was:
        yield Change("added", path, None, after)
    elif not is_there:
        yield Change("removed", path, before, None)
    else:
        yield from differences(before, after, path)
