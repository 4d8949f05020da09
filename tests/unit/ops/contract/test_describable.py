"""Types as the documents of the contract show them."""

import msgspec

from ops.contract.describable import Describer


class Node(msgspec.Struct):
    of: str
    children: list["Node"] = []


class Pair(msgspec.Struct):
    left: Node
    right: Node


def test_a_struct_within_itself_is_anything_there_and_described_once():
    described = Describer(lambda kind: str(kind.__name__)).describable(Pair)

    (_,), schemas = msgspec.json.schema_components([described])
    assert schemas["Pair"]["properties"]["right"] == {"$ref": "#/$defs/Node"}
    assert schemas["Node"]["properties"]["children"] == {"type": "array", "default": []}
