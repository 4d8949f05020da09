"""`hyperpage cluster`: several services that follow one log.

status     the leader, the live members, and the copies of the log
hand_over  makes another member the leader
reseed     has the file of a member made anew
run        a whole cluster on one machine, to try it out
"""

from cyclopts import App

from ops.cli.cluster.hand_over import hand_over
from ops.cli.cluster.reseed import reseed
from ops.cli.cluster.run import run
from ops.cli.cluster.status import status


def cluster() -> App:
    """The commands about a cluster."""
    app = App(name="cluster", help="Several services that follow one log: a leader, and others behind it.")
    app.command(status)
    app.command(hand_over)
    app.command(run)
    app.command(reseed)
    return app
