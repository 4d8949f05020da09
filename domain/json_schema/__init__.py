"""JSON Schemas that users register: which are accepted, and whether a document matches one.

Any user may send a schema. It is applied in the writer's thread, which all commands wait for, by a library
that cannot be interrupted. So its cost is bounded beforehand: the schema alone tells how much work it makes
for each value and byte of a document, and the document's size then tells whether it is applied at all. Such a
bound is the same for all users and on all machines. A deadline is not: on a slow day it would refuse a
document that it accepted the day before.

acceptance   accepts or refuses schemas, and matches documents against them
references   the references of a schema: to its own parts, never in a circle
work         the most that a schema costs, by itself and on a document
keywords     the cost of each keyword, and the parts of a value that its schemas are applied to
patterns     the regular expressions that are accepted, and their costs
sizes        the size of a document
costs        sums and maxima of costs
budget       the work that the commands of a batch may make together
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
