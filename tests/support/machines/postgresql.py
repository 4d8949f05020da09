"""A real PostgreSQL for the length of a block, on a socket in a folder of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.patience import wait_for

USER = "tester"
# The database is deleted after the test, so it need not be durable.
_QUICKLY = ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB"]


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database; without the programs of PostgreSQL, the test is skipped."""
    initdb, server = _program("initdb"), _program("postgres")
    # PostgreSQL refuses to run as root. Its user needs access to the folder, whose path has to be short.
    user = None if os.geteuid() else _somebody()
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    if user is not None:
        shutil.chown(folder, user)
    try:
        asked = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run([initdb, "-D", folder / "store", *asked], user=user, check=True, capture_output=True)
        where: list[str | Path] = ["-D", folder / "store", "-k", folder, "-c", "listen_addresses="]
        log = folder / "log"
        with (
            log.open("wb") as said,
            subprocess.Popen([server, *where, *_QUICKLY], user=user, stderr=said) as process,
        ):
            try:
                wait_for(lambda: "ready to accept connections" in log.read_text())
                yield f"postgresql://{USER}@/postgres?host={folder}"
            finally:
                # An immediate shutdown: clients are told that the server ends.
                process.send_signal(signal.SIGQUIT)
                process.wait(20)
    finally:
        shutil.rmtree(folder)


def _program(name: str) -> Path:
    # Debian keeps these programs out of the path.
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(places[-1]) if places else shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} of PostgreSQL: `.ci/postgresql` installs it")
    return Path(found)


def _somebody() -> str:
    names = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
