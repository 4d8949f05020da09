"""Completions of a body that is being typed: names of members, and values of enumerations."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# For bash, appended to the script that completes everything else. In a word with an open single quote, bash
# replaces the text behind the quote. If there is a single candidate, bash would close the quote behind it, so
# a second one is added.
BASH = r"""
_hyperpage_or_body() {
  local word="${COMP_WORDS[COMP_CWORD]}" line
  [[ "$word" == "'{"* ]] || { _hyperpage; return; }
  compopt -o nospace 2>/dev/null
  COMPREPLY=()
  while IFS= read -r line; do
    [[ "$line" == $'\x1f'* || -z "$line" ]] || COMPREPLY+=("${line%%$'\t'*}")
  done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" "${word:1}" 2>/dev/null)
  [[ ${#COMPREPLY[@]} -ne 1 ]] || COMPREPLY+=("${COMPREPLY[0]} ")
}
complete -F _hyperpage_or_body hyperpage
"""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],:]|[^\s{}\[\],:"]+')
Schema = Mapping[str, Any]


class _Open:
    """An object or an array that is not closed yet: its last member, and all members that are there."""

    def __init__(self, *, is_object: bool) -> None:
        self.is_object = is_object
        self.wants_name = is_object
        self.member = ""
        self.named: list[str] = []


def completed_bodies(text: str, schema: Schema) -> list[str]:
    """The typed beginning of a body with each word that its schema allows next; empty if none is known."""
    opened: list[_Open] = []
    begun, previous, end = "", "", 0
    for token in _TOKEN.finditer(text):
        word, end = token[0], token.end()
        is_open_text = word.startswith('"') and (len(word) == 1 or not word.endswith('"'))
        if is_open_text or (end == len(text) and word[0] not in '{}[],:"'):
            begun, end = word, token.start()
            break
        _take(word, opened)
        previous = word
    if not opened or (previous and previous not in "{[,:"):
        return []
    inner = opened[-1]
    node = _inside(schema, opened[:-1])
    if inner.wants_name:
        words = _names(node, inner.named)
    else:
        words = _values(_inside(schema, opened))
    stem = text[:end] + (" " if previous in (",", ":") and text[:end].endswith(previous) else "")
    return [stem + word for word in words if word.startswith(begun)]


def _take(word: str, opened: list[_Open]) -> None:
    inner = opened[-1] if opened else None
    if word in ("{", "["):
        opened.append(_Open(is_object=word == "{"))
    elif word in ("}", "]"):
        del opened[-1:]
    elif inner is not None and word == ",":
        inner.wants_name = inner.is_object
    elif inner is not None and inner.wants_name and word != ":":
        inner.member, inner.wants_name = word.strip('"'), False
        inner.named.append(inner.member)


def _inside(schema: Schema, opened: list[_Open]) -> list[Schema]:
    """The schemas that the value inside the opened objects and arrays may have."""
    nodes = _each(schema, schema)
    for one in opened:
        inside = [
            node.get("properties", {}).get(one.member) if one.is_object else node.get("items")
            for node in nodes
        ]
        nodes = [each for node in inside if isinstance(node, Mapping) for each in _each(node, schema)]
    return nodes


def _each(node: Schema, root: Schema) -> list[Schema]:
    """A schema, with its reference resolved, and all of its alternatives."""
    if "$ref" in node:
        return _each(root["$defs"][node["$ref"].rpartition("/")[2]], root)
    others = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    return [node, *(each for other in others for each in _each(other, root))]


def _names(nodes: list[Schema], named: list[str]) -> Iterator[str]:
    for node in nodes:
        required = node.get("required", ())
        names = sorted(node.get("properties", {}), key=lambda name: name not in required)
        yield from (f"{json.dumps(name)}: " for name in names if name not in named)


def _values(nodes: list[Schema]) -> Iterator[str]:
    for node in nodes:
        allowed = node.get("enum", [node["const"]] if "const" in node else ())
        yield from (json.dumps(value) for value in allowed)
        if node.get("type") == "boolean":
            yield from ("true", "false")
