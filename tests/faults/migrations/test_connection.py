"""Reading a file whose sectors cannot be read any more, and one that a power cut left in a transaction."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from migrations.connection import open_reader
from tests.support.repository import ROOT
from tests.support.stores.backing_up import Stored

# The file shrinks under an open connection: for a memory map, that is the same as an unreadable sector.
_READ_ON = """
import os, sys
from contextlib import closing
from pathlib import Path
import apsw
from migrations.connection import open_reader
from ops.backup.sound import open_sealed

path = Path(sys.argv[2])
with closing({"reader": open_reader, "sealed": open_sealed}[sys.argv[1]](path)) as connection:
    # Within a transaction it does not look at the file's length again.
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM events WHERE position = 1").fetchall()
    os.truncate(path, 8 * 4096)
    try:
        connection.execute("SELECT sum(length(data)) FROM events").fetchall()
    except apsw.Error as error:
        print("an error:", type(error).__name__)
"""

# A new or restored store is switched to a WAL at its first start; until then it has a rollback journal.
_END_IN_A_TRANSACTION = """
import os, sys
import apsw

connection = apsw.Connection(sys.argv[1])
connection.pragma("journal_mode", "delete")
# Changed pages go to the file before the commit.
connection.pragma("cache_size", 1)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE events SET metadata = NULL, data = data || ' '")
os._exit(0)
"""


@pytest.mark.parametrize("kind", ["reader", "sealed"])
def test_a_page_that_cannot_be_read_is_an_error_and_not_the_end_of_the_process(
    tmp_path: Path, kind: str
) -> None:
    with Stored(tmp_path) as stored:
        stored.work(300)

    reading = subprocess.run(
        [sys.executable, "-c", _READ_ON, kind, str(stored.path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (reading.returncode, reading.stdout.startswith("an error:")) == (0, True), reading.stderr


def test_a_transaction_that_a_power_cut_ended_is_taken_back_by_whoever_reads_first(tmp_path: Path) -> None:
    with Stored(tmp_path) as stored:
        stored.work(300)
    before = stored.path.read_bytes()
    subprocess.run([sys.executable, "-c", _END_IN_A_TRANSACTION, str(stored.path)], timeout=60, check=True)
    assert stored.path.read_bytes() != before
    assert stored.path.with_name("hyperpage.db-journal").stat().st_size > 0

    with closing(open_reader(stored.path)) as connection:
        changed = connection.execute("SELECT count(*) FROM events WHERE data LIKE '% '").get

    assert changed == 0
