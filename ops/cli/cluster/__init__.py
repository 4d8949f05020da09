"""`hyperpage cluster`: several services that follow one log.

reseed    has the file of a member made anew
run       a whole cluster on one machine, to try it out
"""

from cyclopts import App

from ops.cli.cluster.reseed import reseed
from ops.cli.cluster.run import run


def cluster() -> App:
    """The commands about a cluster."""
    app = App(name="cluster", help="Several services that follow one log: a leader, and others behind it.")
    app.command(run)
    app.command(reseed)
    return app
