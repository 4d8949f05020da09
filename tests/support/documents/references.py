"""References within a JSON document."""

from collections.abc import Iterator
from typing import Any


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def resolve(document: Any, reference: str) -> Any:
    """The part of a document that a reference points at (RFC 6901)."""
    assert reference.startswith("#/"), reference
    for part in reference[2:].split("/"):
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document


def reached(document: dict[str, Any], part: Any) -> Iterator[str]:
    """All references of a part of a document, including those of the parts that it refers to."""
    waiting, found = [*references(part)], set[str]()
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += references(resolve(document, name))
            yield name
