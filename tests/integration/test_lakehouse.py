"""The lake goes on in a bucket, with engines that are not ours: what its guide says, done word for word."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.utils.config import Config

from ops.analytics import connect, merging
from ops.analytics.export import export
from ops.analytics.layout import read_manifest
from ops.backup.metadata import list_backups
from ops.backup.restore import restore
from ops.backup.way import Moment
from tests.integration.backing_up import VERSION, Stored
from tests.integration.bucket_server import CREDENTIALS, BucketServer

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "lakehouse" / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
SQL = re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)
[CONFIGURATION] = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
PUBLISH = ROOT / "docs" / "lakehouse" / "publish.py"
ADDRESS = "s3://lake/hyperpage"
# The newest DuckDB that there are wheels of its extensions for; what `INSTALL` fetches comes from elsewhere.
DUCKDB = "1.5.5"
EXTENSIONS = ("avro", "httpfs", "iceberg", "ducklake")
# Runs statements, and prints the rows of each.
ASK = """
import json, sys
import duckdb
engine = duckdb.connect(config={"autoinstall_known_extensions": False})
for statement in json.load(sys.stdin):
    print(json.dumps(engine.execute(statement).fetchall()))
"""


class Published:
    """A lake with two timelines, published after each export to a bucket and a catalogue."""

    def __init__(self, folder: Path, server: BucketServer) -> None:
        self.folder = folder
        self.lake = folder / "data" / "lake"
        self.address = server.new_bucket()
        self.endpoint = server.endpoint
        (folder / ".pyiceberg.yaml").write_text(
            CONFIGURATION.replace("http://127.0.0.1:8333", server.endpoint)
        )
        self._stored = Stored(folder / "data")
        try:
            self._stored.work(80)
            self._stored.backup()
            self._stored.work(40)
            self._stored.backup()
            self._stored.close()
            restore(self._stored.places, Moment(position=60), version=VERSION, safety=False)
            self._stored.reopen()
            self.go_on()
            self.first = self.publish()
            self.go_on()
            self.second = self.publish()
        finally:
            self._stored.close()

    def go_on(self) -> None:
        """Works some more, makes a backup and exports it."""
        self._stored.clock.now += 60_000
        self._stored.work(50)
        self._stored.backup()
        done = export(
            list_backups(self._stored.folder), self.lake, store_id=self._stored.store.origin.store_id
        )
        assert not done.refused

    def go_on_later(self) -> None:
        """The same, when the store was closed."""
        self._stored.reopen()
        try:
            self.go_on()
        finally:
            self._stored.close()

    def publish(self) -> dict[str, int]:
        """Runs the script as the guide has it; how many files of each table were new."""
        command = [sys.executable, str(PUBLISH), str(self.lake), self.address]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, **CREDENTIALS},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return {
            name: int(count) for name, count in re.findall(r"hyperpage\.(\w+): (\d+) new files", done.stdout)
        }

    def run(self, block: str) -> dict[str, Any]:
        """What an example of the guide leaves behind."""
        names: dict[str, Any] = {}
        exec(block.replace(ADDRESS, self.address), names)
        return names


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, bucket_server: BucketServer) -> Iterator[Published]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", bucket_server.endpoint)
        patch.setenv("AWS_ALLOW_HTTP", "true")
        # Else it warns that there is a faster one to install.
        patch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
        published = Published(tmp_path_factory.mktemp("published"), bucket_server)
        # It reads the file of the folder that it is in once, as it is imported.
        patch.chdir(published.folder)
        patch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())
        yield published


def rows_of(found: Catalog, table: str) -> pyarrow.Table:
    return found.load_table(f"hyperpage.{table}").scan().to_arrow()


def assert_equal(lake: duckdb.DuckDBPyConnection, view: str, theirs: pyarrow.Table) -> None:
    """The rows are the same, each as often."""
    lake.register("theirs", theirs)
    names = ", ".join(f'"{name}"' for name in theirs.column_names)
    for one, other in ((view, "theirs"), ("theirs", view)):
        missing = f"(SELECT {names} FROM {one}) EXCEPT ALL (SELECT {names} FROM {other})"
        assert lake.execute(f"SELECT count(*) FROM ({missing})").fetchall() == [(0,)], view
    lake.unregister("theirs")


def test_each_run_adds_what_is_new(published: Published):
    manifest = read_manifest(published.lake)
    assert manifest is not None
    assert published.first["jobs"] == len(manifest.snapshots) - 1 == 3
    assert published.first["events"] == len(manifest.stretches) - 1
    assert published.second["events"] == published.second["jobs"] == 1
    assert set(published.publish().values()) == {0}


def test_the_tables_of_the_catalogue_have_every_row_of_the_lake(published: Published):
    found = load_catalog("lake")
    with closing(connect(published.lake)) as lake:
        assert_equal(lake, "all_events", rows_of(found, "events"))
        for table in ("jobs", "job_history", "rate_limits", "tool_configs", "app_state"):
            assert_equal(lake, f"all_{table}", rows_of(found, table))
        assert_equal(lake, "timelines", rows_of(found, "timelines"))
        assert_equal(lake, "snapshots", rows_of(found, "snapshots"))
        timelines = lake.execute("SELECT DISTINCT timeline FROM all_events ORDER BY 1").fetchall()
    assert timelines == [(1,), (2,)]


def test_the_examples_of_the_guide_answer_as_the_lake_does(published: Published):
    polars_, duckdb_, without = (published.run(block) for block in PYTHON)

    with closing(connect(published.lake)) as lake:

        def ask(query: str) -> list[tuple[Any, ...]]:
            return lake.execute(query).fetchall()

        assert polars_["by_type"].rows() == ask("SELECT type, count(*) FROM events GROUP BY ALL ORDER BY ALL")
        assert len(polars_["by_type"]) > 5
        assert duckdb_["by_status"].fetchall() == ask(
            "SELECT status, count(*) FROM jobs GROUP BY ALL ORDER BY ALL"
        )
        assert without["by_timeline"].rows() == ask(
            "SELECT timeline, count(*) FROM all_events GROUP BY ALL ORDER BY ALL"
        )

        found = load_catalog("lake")
        with duckdb.connect() as engine:
            for table in ("jobs_versions", "timelines"):
                engine.register(table, rows_of(found, table))
            for position in (10, 55, 70, 100):
                query = SQL[0].replace("hyperpage.", "").replace("1000", str(position))
                expected = ask(f"SELECT id, status, version FROM jobs_at({position}) ORDER BY id")
                assert (
                    engine.sql(f"SELECT id, status, version FROM ({query}) ORDER BY id").fetchall()
                    == expected
                )


def test_small_files_that_have_become_one_leave_the_tables_and_the_bucket(
    published: Published, monkeypatch: pytest.MonkeyPatch
):
    before = read_manifest(published.lake)
    monkeypatch.setattr(merging, "SMALL_STRETCHES", 2)
    published.go_on_later()
    after = read_manifest(published.lake)
    assert before is not None
    assert after is not None
    assert len(after.stretches) < len(before.stretches)

    assert published.publish()["events"] >= 1

    found = load_catalog("lake")
    with closing(connect(published.lake)) as lake:
        assert_equal(lake, "all_events", rows_of(found, "events"))
        files = found.load_table("hyperpage.jobs_versions").inspect.files()["file_path"].to_pylist()
        assert len(files) == len([one for one in after.stretches if "jobs_versions" in one.files])
        # For those who read the folder in the bucket.
        by_timeline = published.run(PYTHON[2])["by_timeline"].rows()
        query = "SELECT timeline, count(*) FROM all_events GROUP BY ALL ORDER BY ALL"
        assert by_timeline == lake.execute(query).fetchall()
    assert set(published.publish().values()) == {0}


@pytest.mark.prove
def test_duckdb_with_its_extensions_takes_the_lake_as_it_is(published: Published, tmp_path: Path):
    packages = [f"duckdb=={DUCKDB}", *(f"duckdb-extension-{name}=={DUCKDB}" for name in EXTENSIONS)]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path),
        *packages,
    ]
    subprocess.run(pip, check=True, timeout=600)
    loads = [f"LOAD '{next(tmp_path.rglob(f'{name}.duckdb_extension'))}'" for name in EXTENSIONS]
    metadata = load_catalog("lake").load_table("hyperpage.events").metadata_location
    text = "\n".join(SQL[1:]).replace("METADATA_LOCATION", metadata).replace(ADDRESS, published.address)
    text = text.replace("s3://lake/ducklake/", f"{published.address}/ducklake/")
    text = text.replace("catalogue.ducklake", str(tmp_path / "catalogue.ducklake"))
    text = text.replace("127.0.0.1:8333", published.endpoint.removeprefix("http://"))
    text = text.replace("'analyst'", f"'{CREDENTIALS['AWS_ACCESS_KEY_ID']}'")
    text = text.replace("'only-for-trying-it'", f"'{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}'")
    statements = [*loads, *(one for one in text.split(";\n") if one.strip())]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ASK], input=json.dumps(statements), env=environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    answers = [sorted(json.loads(line)) for line in done.stdout.splitlines()]
    with closing(connect(published.lake)) as lake:
        expected = lake.execute(
            "SELECT timeline, count(*) FROM all_events GROUP BY ALL ORDER BY 1"
        ).fetchall()
    assert [tuple(row) for row in answers[len(loads) + 1]] == expected
    assert [tuple(row) for row in answers[-1]] == expected
