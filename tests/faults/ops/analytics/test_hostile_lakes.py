"""A lake from elsewhere is read, and nothing beside it is, whatever its manifest and its files say."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.services.command_line import Result, hyperpage
from tests.support.stores.backing_up import Stored

SECRET = "what-nobody-may-read"
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with Stored(folder / "data") as stored:
        stored.work(60)
        stored.backup()
        stored.work(20)
        stored.backup()
    assert hyperpage("analytics", "export", "--data", folder / "data").code == 0
    return folder / "data"


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def outside(data: Path, tmp_path: Path) -> Path:
    """A Parquet file outside of the lake, of the shape that one inside has, with a secret in it."""
    lake = data / "lake"
    (jobs,) = [*json.loads((lake / "lake.json").read_text())["snapshots"][-1]["tables"]["app_state"]][:1]
    path = tmp_path / "outside.parquet"
    duckdb.execute(
        f"COPY (SELECT * REPLACE ('{SECRET}' AS value) FROM read_parquet('{lake / jobs['path']}',"
        f" hive_partitioning = false)) TO '{path}' (FORMAT parquet)"
    )
    return path


def every_question(data: Path, folder: Path) -> list[Result]:
    """The results of every command that reads a lake or makes a file of it."""
    names = [one["name"] for one in json.loads((data / "lake" / "lake.json").read_text())["snapshots"]]
    lake = ("--lake", data / "lake", "--data", data)
    asked = [
        ("sql", "FROM app_state"),
        ("sql", "FROM all_app_state"),
        ("sql", "FROM snapshots"),
        ("diff", "1", "60"),
        ("diff", *names[-2:]),
        ("report", "--out", folder / "report.html"),
        ("database", "--out", folder / "lake.duckdb"),
    ]
    results = [hyperpage("analytics", *arguments, *lake) for arguments in asked]
    results.append(hyperpage("analytics", "shell", *lake, stdin="FROM app_state;\n"))
    results.append(hyperpage("analytics", "export", "--data", data))
    return results


def require_nothing_told(results: list[Result], folder: Path) -> None:
    for result in results:
        assert SECRET not in result.out, result
        assert SECRET not in result.err, result
        assert "Traceback" not in result.err, result
    report, database = folder / "report.html", folder / "lake.duckdb"
    assert not report.exists() or SECRET not in report.read_text()
    assert not database.exists() or SECRET.encode() not in database.read_bytes()


def in_last_snapshot(change: Callable[[Manifest], object]) -> Callable[[Manifest], object]:
    return lambda manifest: change(manifest["snapshots"][-1])


def with_path(path: str) -> Callable[[Manifest], object]:
    return in_last_snapshot(lambda snapshot: snapshot["tables"]["app_state"][0].update(path=path))


HOSTILE: dict[str, Callable[[Path], Callable[[Manifest], object]]] = {
    "an absolute path": lambda outside: with_path(str(outside)),
    "a way out": lambda outside: with_path(f"app_state/../../../{outside.name}"),
    "a way out behind a folder of the lake": lambda outside: with_path(
        f"app_state/snapshot=1/../../../../{outside.name}"
    ),
    "a pattern": lambda _: with_path("app_state/snapshot=1/*.parquet"),
    "a set": lambda _: with_path("app_state/snapshot=1/[a-z].parquet"),
    "all below": lambda _: with_path("**/*.parquet"),
    "the web": lambda _: with_path("http://127.0.0.1:9/x.parquet"),
    "a bucket": lambda _: with_path("s3://bucket/x.parquet"),
    "an address": lambda outside: with_path(f"file:{outside}"),
    "two paths": lambda outside: with_path(f"app_state/snapshot=1/a.parquet\n{outside}"),
    "a line behind": lambda _: with_path("app_state/snapshot=1/app_state-1.parquet\n"),
    "the place of the lake": lambda outside: with_path(f"%../{outside.name}"),
    "SQL in a path": lambda outside: with_path(f"x') UNION ALL FROM read_parquet('{outside}') --.parquet"),
    "a name with SQL": lambda outside: in_last_snapshot(
        lambda one: one.update(
            snapshot=f"1' UNION ALL SELECT * EXCLUDE (snapshot) FROM read_parquet('{outside}') --"
        )
    ),
    "a table with SQL": lambda outside: in_last_snapshot(
        lambda one: one["tables"].update({f"a AS FROM '{outside}'; --": one["tables"]["app_state"]})
    ),
    "a hash with SQL": lambda _: lambda manifest: manifest["stretches"][0].update(last_hash="' --"),
    "a replaced file outside": lambda outside: (
        lambda manifest: manifest.update(replaced=[f"../../{outside.name}"])
    ),
    "a file of the log outside": lambda outside: (
        lambda manifest: manifest["stretches"][0]["files"]["events"][0].update(path=f"../../{outside.name}")
    ),
    "numbers that are texts": lambda outside: (
        lambda manifest: manifest["stretches"][0].update(timeline=f"1) FROM read_parquet('{outside}') --")
    ),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_manifest_that_names_something_else_is_refused(data: Path, outside: Path, tmp_path: Path, how: str):
    file = data / "lake" / "lake.json"
    manifest = json.loads(file.read_text())
    HOSTILE[how](outside)(manifest)
    file.write_text(json.dumps(manifest))
    (tmp_path / "out").mkdir()

    results = every_question(data, tmp_path / "out")

    require_nothing_told(results, tmp_path / "out")
    for result in results:
        assert result.code == 1, result
        assert "lake.json cannot be read" in result.err
        assert "hint: " in result.err
    assert outside.exists()
    assert [*(tmp_path / "out").iterdir()] == []


def link_file(lake: Path, outside: Path) -> None:
    path = json.loads((lake / "lake.json").read_text())["snapshots"][-1]["tables"]["app_state"][0]["path"]
    (lake / path).unlink()
    (lake / path).symlink_to(outside)


def link_folder(lake: Path, outside: Path) -> None:
    path = json.loads((lake / "lake.json").read_text())["snapshots"][-1]["tables"]["app_state"][0]["path"]
    elsewhere = outside.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(outside, elsewhere / Path(path).name)
    shutil.rmtree((lake / path).parent)
    (lake / path).parent.symlink_to(elsewhere)


def link_table(lake: Path, outside: Path) -> None:
    (lake / "app_state").rename(outside.parent / "elsewhere")
    (lake / "app_state").symlink_to(outside.parent / "elsewhere")
    for one in (outside.parent / "elsewhere").rglob("*.parquet"):
        shutil.copy(outside, one)


def pipe_in_place(lake: Path, outside: Path) -> None:
    link_file(lake, outside)
    path = json.loads((lake / "lake.json").read_text())["snapshots"][-1]["tables"]["app_state"][0]["path"]
    (lake / path).unlink()
    os.mkfifo(lake / path)


@pytest.mark.parametrize("plant", [link_file, link_folder, link_table, pipe_in_place])
def test_no_link_leads_out_of_a_lake(
    data: Path, outside: Path, tmp_path: Path, plant: Callable[[Path, Path], None]
):
    plant(data / "lake", outside)
    before = {one: one.stat().st_size for one in tmp_path.rglob("*.parquet") if "lake" not in one.parts}
    (tmp_path / "out").mkdir()

    results = every_question(data, tmp_path / "out")

    require_nothing_told(results, tmp_path / "out")
    for result in results:
        assert result.code == 1, result
        assert "is no part of a lake" in result.err
    after = {one: one.stat().st_size for one in tmp_path.rglob("*.parquet") if "lake" not in one.parts}
    assert after == before


@pytest.mark.parametrize("name", ["lake.json.tmp", "lake.duckdb.tmp", "lake.duckdb"])
def test_an_export_writes_to_nothing_that_a_link_leads_to(data: Path, tmp_path: Path, name: str):
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    (data / "lake" / name).unlink(missing_ok=True)
    (data / "lake" / name).symlink_to(victim)
    assert hyperpage("backup", "create", "--data", data).code == 0

    assert hyperpage("analytics", "export", "--data", data).code == 0

    assert victim.read_text() == "as it was"


@pytest.mark.parametrize("name", ["lake.json", ".lock", ".readers"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "endless"])
def test_what_stands_in_place_of_a_lakes_own_file_is_refused(
    data: Path, tmp_path: Path, name: str, kind: str
):
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    place = data / "lake" / name
    place.unlink(missing_ok=True)
    match kind:
        case "link":
            place.symlink_to(victim)
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case _:
            place.symlink_to("/dev/zero")

    result = hyperpage("analytics", "export", "--data", data)

    assert result.code == 1
    assert "it is no regular file" in result.err or "Is a directory" in result.err
    assert "Traceback" not in result.err
    assert victim.read_text() == "as it was"


def test_a_sweep_of_a_lake_removes_nothing_that_a_link_leads_to(data: Path, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    kept = tmp_path / "photos" / "mine.parquet"
    kept.write_text("mine")
    (data / "lake" / "app_state" / "snapshot=2").symlink_to(tmp_path / "photos")
    (data / "lake" / "albums").symlink_to(tmp_path)
    (tmp_path / "of=me").mkdir()
    (tmp_path / "of=me" / "other.parquet").write_text("mine, too")

    assert hyperpage("analytics", "export", "--data", data).code == 0

    assert kept.read_text() == "mine"
    assert (tmp_path / "of=me" / "other.parquet").read_text() == "mine, too"


def test_names_of_columns_are_names_and_nothing_else(data: Path, outside: Path, tmp_path: Path):
    lake = data / "lake"
    manifest = json.loads((lake / "lake.json").read_text())
    hostile = f"x, (SELECT value FROM read_parquet('{outside}') LIMIT 1) AS y"
    for number, snapshot in enumerate(manifest["snapshots"][-2:]):
        for file in snapshot["tables"]["app_state"]:
            path = lake / file["path"]
            rows = f"read_parquet('{path}', hive_partitioning = false)"
            duckdb.execute(
                f"COPY (SELECT *, {number} AS \"{hostile}\" FROM {rows}) TO '{path}.new' (FORMAT parquet)"
            )
            Path(f"{path}.new").replace(path)
            file["columns"] = ""
    (lake / "lake.json").write_text(json.dumps(manifest))
    (tmp_path / "out").mkdir()

    results = every_question(data, tmp_path / "out")

    require_nothing_told(results, tmp_path / "out")
    names = [one["name"] for one in manifest["snapshots"]][-2:]
    differing = hyperpage("analytics", "diff", *names, "--lake", lake, "--json")
    assert differing.code == 0
    assert hostile in differing.json["app_state"]["changed"][0]["columns"]


def test_a_confined_session_reads_nothing_else_and_writes_nothing(data: Path, outside: Path):
    for query in (
        f"FROM read_parquet('{outside}')",
        f"FROM read_text('{outside}')",
        f"FROM '{outside}'",
        "FROM glob('/etc/*')",
        "FROM read_csv('/etc/passwd')",
    ):
        result = hyperpage("analytics", "sql", query, "--data", data)
        assert (result.code, SECRET in result.out, "root:" in result.out) == (1, False, False)


def test_a_manifest_that_is_nested_without_end_is_damaged(data: Path):
    (data / "lake" / "lake.json").write_text(
        '{"format": 2, "store_id": ' + "[" * 200_000 + "]" * 200_000 + "}"
    )
    result = hyperpage("analytics", "sql", "FROM jobs", "--data", data)
    assert result.code == 1
    assert "lake.json cannot be read" in result.err
