"""The guide to a lake in a bucket, with other engines: its commands and programs run word for word."""

import fcntl
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pytest
from pyarrow.parquet import read_table, write_table
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.utils.config import Config

from ops.analytics import connect
from ops.analytics.export import merging
from ops.analytics.export.exporting import export
from ops.analytics.lake.locks import READERS
from ops.analytics.lake.manifest import read_manifest
from ops.backup.metadata import list_backups
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from tests.support.documents.guides import blocks, guide
from tests.support.machines.bucket_server import CREDENTIALS, BucketServer
from tests.support.repository import ROOT
from tests.support.stores.backing_up import VERSION, Stored

GUIDE = guide("lakehouse/README.md")
PYTHON = blocks("python", GUIDE)
SQL = blocks("sql", GUIDE)
[CONFIGURATION] = blocks("yaml", GUIDE)
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
        self.configure(folder)
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

    def configure(self, folder: Path) -> None:
        """Writes the catalogue's settings into a folder."""
        (folder / ".pyiceberg.yaml").write_text(CONFIGURATION.replace("http://127.0.0.1:8333", self.endpoint))

    def publish(
        self, lake: Path | None = None, address: str | None = None, folder: Path | None = None
    ) -> dict[str, int]:
        """Runs the script as the guide has it; the number of new files by table."""
        command = [sys.executable, str(PUBLISH), str(lake or self.lake), address or self.address]
        done = subprocess.run(
            command, cwd=folder or self.folder, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, **CREDENTIALS},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return {
            name: int(count) for name, count in re.findall(r"hyperpage\.(\w+): (\d+) new files", done.stdout)
        }

    def make_anew(self, lake: Path, *, without: int) -> list[str]:
        """Exports a second lake without the oldest backups; its snapshots."""
        backups = list_backups(self._stored.folder)
        export(backups[:-without], lake, store_id=self._stored.store.origin.store_id)
        manifest = read_manifest(lake)
        assert manifest is not None
        return [one.snapshot for one in manifest.snapshots]

    def run(self, block: str) -> dict[str, Any]:
        """The names that an example of the guide has defined when it ends."""
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


def files_of(found: Catalog, table: str) -> list[str]:
    return found.load_table(f"hyperpage.{table}").inspect.files()["file_path"].to_pylist()


def assert_equal(lake: duckdb.DuckDBPyConnection, view: str, theirs: pyarrow.Table) -> None:
    """Checks that both have the same rows, each as often."""
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
    polars_, duckdb_, without, named = (published.run(block) for block in PYTHON)

    with closing(connect(published.lake)) as lake:

        def ask(query: str) -> list[tuple[Any, ...]]:
            return lake.execute(query).fetchall()

        assert polars_["by_type"].rows() == ask("SELECT type, count(*) FROM events GROUP BY ALL ORDER BY ALL")
        assert len(polars_["by_type"]) > 5
        assert duckdb_["by_status"].fetchall() == ask(
            "SELECT status, count(*) FROM jobs GROUP BY ALL ORDER BY ALL"
        )
        by_timeline = ask("SELECT timeline, count(*) FROM all_events GROUP BY ALL ORDER BY ALL")
        assert without["by_timeline"].rows() == by_timeline
        assert named["named_by_timeline"].rows() == by_timeline

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
    held = load_catalog("lake").load_table("hyperpage.events").io
    small = {path: held.new_input(path).open().read() for path in files_of(load_catalog("lake"), "events")}

    assert published.publish()["events"] >= 1

    found = load_catalog("lake")
    with closing(connect(published.lake)) as lake:
        assert_equal(lake, "all_events", rows_of(found, "events"))
        files = files_of(found, "jobs_versions")
        assert len(files) == len([one for one in after.stretches if "jobs_versions" in one.files])
        # Readers of the bucket's folder see the same.
        by_timeline = published.run(PYTHON[2])["by_timeline"].rows()
        query = "SELECT timeline, count(*) FROM all_events GROUP BY ALL ORDER BY ALL"
        assert by_timeline == lake.execute(query).fetchall()

        # As if the run had been cut off before it removed the old files.
        for path in small.keys() - set(files_of(found, "events")):
            with held.new_output(path).create(overwrite=True) as file:
                file.write(small[path])
        assert published.run(PYTHON[2])["by_timeline"].rows() != by_timeline
        assert set(published.publish().values()) == {0}
        assert published.run(PYTHON[2])["by_timeline"].rows() == by_timeline


@pytest.mark.prove
def test_what_a_lake_made_anew_has_nothing_in_place_of_stays(
    published: Published, bucket_server: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    published.configure(tmp_path)
    address, other = bucket_server.new_bucket(), bucket_server.new_bucket()
    anew = tmp_path / "anew"
    snapshots = published.make_anew(anew, without=1)
    published.publish(address=address, folder=tmp_path)
    published.publish(anew, address, tmp_path)

    found = load_catalog("lake")
    with closing(connect(published.lake)) as before, closing(connect(anew)) as lake:
        assert before.execute("SELECT count(*) FROM snapshots").fetchall() == [(len(snapshots) + 1,)]
        assert_equal(before, "all_jobs", rows_of(found, "jobs"))
        assert_equal(before, "snapshots", rows_of(found, "snapshots"))
        assert_equal(lake, "all_events", rows_of(found, "events"))
        files = read_manifest(anew)
        assert files is not None
        assert sorted(files_of(found, "events")) == sorted(
            f"{address}/{file.path}" for one in files.stretches for file in one.files["events"]
        )

    # How a backup's rows are divided among its files depends on the backups that the lake had before it.
    path = f"jobs/snapshot={snapshots[-1]}/jobs-1.parquet"
    row = read_table(anew / path, partitioning=None)[:1]
    (anew / path).unlink()
    write_table(row, anew / path)
    content = json.loads((anew / "lake.json").read_bytes())
    content["snapshots"][-1]["tables"]["jobs"][0]["size"] = (anew / path).stat().st_size
    (anew / "lake.json").write_text(json.dumps(content))
    assert published.publish(anew, address, tmp_path)["jobs"] == 1
    assert set(published.publish(anew, address, tmp_path).values()) == {0}
    newest = found.load_table("hyperpage.jobs").scan(row_filter=f"snapshot = '{snapshots[-1]}'").to_arrow()
    assert newest.column("id").to_pylist() == row.column("id").to_pylist()

    # Another lake in the same catalogue.
    published.publish(address=other, folder=tmp_path)
    others = {path for path in files_of(found, "events") if path.startswith(other)}
    assert others
    published.publish(anew, address, tmp_path)
    assert others <= set(files_of(found, "events"))
    assert all(found.load_table("hyperpage.events").io.new_input(path).exists() for path in others)


def test_no_export_removes_files_while_a_lake_is_published(tmp_path: Path):
    held = runpy.run_path(str(PUBLISH))["held"]
    (tmp_path / READERS).touch()
    with (tmp_path / READERS).open("a") as file:
        with held(tmp_path), pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with held(tmp_path / "a copy"):
        pass


def test_a_file_of_the_log_goes_when_all_its_events_are_in_others_and_a_backups_when_it_has_others():
    module: Any = runpy.run_path(str(PUBLISH))
    stretches = [{"timeline": 1, "first": 1, "last": 100}, {"timeline": 1, "first": 101, "last": 150}]

    def name(first: int, last: int, timeline: int = 1, suffix: str = "") -> str:
        return f"events/timeline={timeline}/events-{first:012d}-{last:012d}{suffix}.parquet"

    log = module["Files"]({name(1, 100): 1, name(101, 150): 1}, stretches)
    replaced = [name(1, 50), name(50, 120), name(1, 150), name(1, 100, suffix="-1")]
    stay = [
        name(1, 100),
        name(100, 151),
        name(151, 160),
        name(1, 50, timeline=2),
        "events/timeline=1/x.parquet",
    ]
    assert [one for one in (*replaced, *stay) if log.replace(one)] == replaced

    jobs = module["Files"]({"jobs/snapshot=A/jobs-1.parquet": 1}, stretches)
    assert jobs.replace("jobs/snapshot=A/jobs-2.parquet")
    assert not jobs.replace("jobs/snapshot=A/jobs-1.parquet")
    assert not jobs.replace("jobs/snapshot=B/jobs-1.parquet")


@pytest.mark.prove
def test_duckdb_with_its_extensions_takes_the_lake_as_it_is(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
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
    asked_of_both(published, tmp_path)

    # Merging replaces the files that DuckLake knows.
    before = set(files_of(load_catalog("lake"), "events"))
    monkeypatch.setattr(merging, "SMALL_STRETCHES", 2)
    published.go_on_later()
    published.publish()
    assert not before <= set(files_of(load_catalog("lake"), "events"))
    asked_of_both(published, tmp_path)


def asked_of_both(published: Published, folder: Path) -> None:
    """Does what the guide says of DuckDB and DuckLake, with the extensions in a folder, in a new process."""
    loads = [f"LOAD '{next(folder.rglob(f'{name}.duckdb_extension'))}'" for name in EXTENSIONS]
    metadata = load_catalog("lake").load_table("hyperpage.events").metadata_location
    text = "\n".join(SQL[1:]).replace("METADATA_LOCATION", metadata).replace(ADDRESS, published.address)
    text = text.replace("s3://lake/ducklake/", f"{published.address}/ducklake/")
    text = text.replace("catalogue.ducklake", str(folder / "catalogue.ducklake"))
    text = text.replace("127.0.0.1:8333", published.endpoint.removeprefix("http://"))
    text = text.replace("'analyst'", f"'{CREDENTIALS['AWS_ACCESS_KEY_ID']}'")
    text = text.replace("'only-for-trying-it'", f"'{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}'")
    statements = [*loads, *(one for one in text.split(";\n") if one.strip())]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
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
