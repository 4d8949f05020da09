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
            help="The member that is to lead. Default: the one with the most events, of the others.",
        ),
    ] = "",
    /,
    *,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Has another member lead; over NATS, no command is refused meanwhile.

    For example:

        hyperpage cluster hand-over
        hyperpage cluster hand-over b

    What is sent meanwhile is answered by the member that leads then, within
    about a second. It may be asked on any member's directory. Refused where that
    member is not live, only follows, or is far behind: nothing has changed then.
    """
    answer = administer("cluster.hand_over", {"to": name}, data)
    print_result(answer, as_json, f"{printable(answer['leader'])} leads, in term {answer['term']}.")
