"""The first start on a data directory after a cut, as a service does it, without an operator: `started`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from migrations.runner import MigrationError
from ops.backup.restoring.recovery import DamagedStoreError, require_sound_store
from ops.backup.restoring.swap import settle
from ops.settings import Settings
from ops.store.data_directory import DataDirectory
from ops.store.private_files import take_from_others
from tests.lab.experiment import Broken
from tests.lab.oracle import VERSION
from tests.support.stores.writing import Store


@contextmanager
def started(data: Path) -> Iterator[Store]:
    """The store of a data directory with its writer, as the first start after a cut opens it.

    Raises:
        Broken: it does not start.
    """
    settings = Settings(data=data)
    directory = DataDirectory(data)
    try:
        try:
            take_from_others(data, (settings.backup_folder, settings.archive_folder))
            settle(settings.store_path)
            require_sound_store(settings, after_a_crash=True, version=VERSION)
            store = Store(settings.store_path, laid_out=False)
        except (apsw.Error, DamagedStoreError, MigrationError, OSError) as error:
            raise Broken(f"it does not start: {type(error).__name__}: {error}") from error
        with store:
            yield store
    finally:
        directory.release()
