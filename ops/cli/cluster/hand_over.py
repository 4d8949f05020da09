"""`hyperpage cluster hand-over`: makes another member the leader."""

from typing import Annotated

from cyclopts import Parameter

from ops.cli.asking import administer
from ops.cli.terminal.options import DataOption, JsonOption
from ops.cli.terminal.output import print_result, printable


def hand_over(
    name: Annotated[
        str,
        Parameter(
            name="NAME",
            help="The new leader. Default: of the other members, the one with the most events.",
        ),
    ] = "",
    /,
    *,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes another member the leader; no command over NATS is refused meanwhile.

    For example:

        hyperpage cluster hand-over
        hyperpage cluster hand-over b

    The new leader answers commands that are sent meanwhile, within about a
    second. The command works on the directory of any member. It is refused, and
    changes nothing, if the new leader is not live, only follows, or is far
    behind.
    """
    answer = administer("cluster.hand_over", {"to": name}, data)
    print_result(answer, as_json, f"{printable(answer['leader'])} leads, in term {answer['term']}.")
