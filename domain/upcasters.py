"""Upcasters turn old payloads of events into new ones, by steps from one type name to the next."""

from collections.abc import Callable, Mapping
from typing import Any

# `{"job.completed.v1": ("job.completed.v2", step)}`; a step takes the decoded object and returns a new one.
Upcasters = Mapping[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]]


def upcast(type_name: str, data: dict[str, Any], steps: Upcasters) -> tuple[str, dict[str, Any]]:
    """The newest type name and payload that an old one leads to."""
    while type_name in steps:
        type_name, step = steps[type_name]
        data = step(data)
    return type_name, data
