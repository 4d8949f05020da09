"""An answer may only have what its verb declares."""

import pytest

from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.testing.conformance.published import LeadsTo


@pytest.mark.parametrize(
    ("result", "declares", "found"),
    [
        (None, False, None),
        ({"said": 1}, True, None),
        ({"said": 1}, False, "a result"),
        # An older service does not declare whether the verb has a result.
        ({"said": 1}, None, None),
    ],
)
def test_a_result_that_is_not_declared_breaks_the_law(
    result: object, declares: bool | None, found: str | None
):
    leads_to = LeadsTo(frozenset(), frozenset(), frozenset(), "yes", declares)

    assert leads_to.undeclared_in(CommandAnswer("c1", None, None, None, 1, [], result)) == found
