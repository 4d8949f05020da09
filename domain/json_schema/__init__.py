"""JSON Schemas that others register: which are taken, and whether a document matches one.

A schema comes from anywhere, and is applied in a thread that everybody waits for, by a library that nothing
interrupts. So what it may cost is known before it is asked: from the schema alone, how much work it makes
for each value and byte of a document, and then, from the document's size, whether it is asked at all. That
can be told beforehand, to everybody alike, which a deadline can not: on a slow day it would refuse what it
took the day before.

acceptance   which schemas are taken, and whether a document matches one
references   what a schema refers to: its own parts, never in a circle
work         what a schema costs at most, by itself and on a document
keywords     what each keyword costs, and what it applies its schemas to
patterns     which regular expressions there may be, and what they cost
sizes        how large a document is
costs        how costs add up
budget       what the commands of a batch may cost together
"""

from domain.json_schema.acceptance import (
    MAXIMUM_ERRORS,
    MAXIMUM_SCHEMA_BYTES,
    RULE,
    Violation,
    problem_of,
    require_schema,
    violations,
)
from domain.json_schema.budget import BATCH_NS, Budget
from domain.json_schema.references import MAXIMUM_WEIGHT

__all__ = [
    "BATCH_NS",
    "MAXIMUM_ERRORS",
    "MAXIMUM_SCHEMA_BYTES",
    "MAXIMUM_WEIGHT",
    "RULE",
    "Budget",
    "Violation",
    "problem_of",
    "require_schema",
    "violations",
]
