"""Checks that an aggregate keeps the laws, with generated commands and a real service.

    from hyperpage_client.testing.conformance import check_laws

    def test_the_laws_hold() -> None:
        check_laws("baskets", aggregates="baskets.basket")

    python -m hyperpage_client.testing.conformance baskets --aggregates baskets.basket --seed 7

Commands are generated, by a seed, from the schemas that the service publishes. The schemas also say what each
command may lead to.

checking   `check_laws`, and the shortest history that breaks a law
program    the same from the command line
laws       the checks of a history
life       a history that runs against a service: commands, answers and rows
histories  the commands of a history, by its seed
values     JSON by a schema
published  the commands of a table, as the service describes them
broken     a law that does not hold, and what shows it
"""

from hyperpage_client.testing.conformance.broken import LawBroken
from hyperpage_client.testing.conformance.checking import Report, check_laws

__all__ = ["LawBroken", "Report", "check_laws"]
