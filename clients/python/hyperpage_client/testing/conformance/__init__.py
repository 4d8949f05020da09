"""Whether an aggregate keeps the laws, over generated commands and a real service.

    from hyperpage_client.testing.conformance import check_laws

    def test_the_laws_hold() -> None:
        check_laws("baskets", aggregates="baskets.basket")

    python -m hyperpage_client.testing.conformance baskets --aggregates baskets.basket --seed 7

Commands are made of the schemas that the service publishes, by a seed; so is what each of them may lead to.

checking   `check_laws`, and the shortest history that breaks one
program    the same from the command line
laws       what is looked at when a history has been lived
life       a history, lived against a service: what was sent, answered and seen
histories  the commands, by a seed
values     JSON by a schema
published  what the service says of the commands of a table
broken     a law that was broken, and what was seen of it
"""

from hyperpage_client.testing.conformance.broken import LawBroken
from hyperpage_client.testing.conformance.checking import Report, check_laws

__all__ = ["LawBroken", "Report", "check_laws"]
