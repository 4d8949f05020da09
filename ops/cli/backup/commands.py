"""`hyperpage backup`: proven copies of the store, and the way back from them."""

from cyclopts import App

from ops.cli.backup.keep import create, delete, list_all, pin, prune, unpin
from ops.cli.backup.key import new_key
from ops.cli.backup.restore import restore
from ops.cli.backup.verify import drill, verify, verify_archive


def backup() -> App:
    """The commands around backups."""
    app = App(name="backup", help="Makes proven copies of the store, and brings them back.")
    app.command(create)
    app.command(list_all, name="list")
    app.command(verify)
    app.command(drill)
    app.command(verify_archive)
    app.command(prune)
    app.command(pin)
    app.command(unpin)
    app.command(delete)
    app.command(restore)
    app.command(new_key)
    return app
