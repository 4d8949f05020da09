"""`hyperpage analytics`: SQL over backups and the whole history, offline."""

from cyclopts import App

from ops.cli.analytics.diff import diff
from ops.cli.analytics.export import export_backups
from ops.cli.analytics.lake import database, report, shell, sql


def analytics() -> App:
    """The commands of analysts."""
    app = App(name="analytics", help="Asks SQL questions of backups and of the whole history, offline.")
    app.command(export_backups, name="export")
    app.command(sql)
    app.command(diff)
    app.command(report)
    app.command(shell)
    app.command(database)
    return app
