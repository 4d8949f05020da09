#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["pyiceberg[pyarrow,sql-sqlite]>=0.12,<0.13"]
# ///
"""Puts a lake into a bucket and into an Iceberg catalogue, or adds to them what is new.

    uv run docs/lakehouse/publish.py data/lake s3://BUCKET/FOLDER

The catalogue is the one that is called `lake` in PyIceberg's configuration, which says where the bucket is,
too (see README.md beside this). The files of the lake become those of the tables as they are: none is written
anew. What is new in a table is one commit, and files that it has taken the place of leave with it. It needs
nothing of hyperpage-persistence.
"""

import argparse
import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow
from pyarrow.parquet import read_schema
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.table import Table, TableProperties

CATALOGUE = "lake"
NAMESPACE = "hyperpage"
# What the names of the folders say of the files in them, as columns.
PARTITIONS = {"timeline": pyarrow.int32(), "snapshot": pyarrow.string()}
SNAPSHOTS = pyarrow.schema(
    [
        ("snapshot", pyarrow.string()),
        ("name", pyarrow.string()),
        ("timestamp", pyarrow.int64()),
        ("timeline", pyarrow.int32()),
        ("position", pyarrow.int64()),
    ]
)
TIMELINES = pyarrow.schema(
    [("timeline", pyarrow.int32()), ("first_position", pyarrow.int64()), ("last_position", pyarrow.int64())]
)


def publish(lake: Path, address: str) -> dict[str, int]:
    """How many files each table got that it had not got yet."""
    manifest = json.loads((lake / "lake.json").read_bytes())
    by_table: dict[str, list[str]] = defaultdict(list)
    for path in files_of(manifest):
        by_table[path.split("/")[0]].append(path)

    catalogue = load_catalog(CATALOGUE, warehouse=f"{address}/iceberg")
    catalogue.create_namespace_if_not_exists(NAMESPACE)
    added = {
        name: register(catalogue, name, lake, address, paths) for name, paths in sorted(by_table.items())
    }
    # Last: who reads what snapshots there are finds all that they have.
    replace(catalogue, "timelines", TIMELINES, history_of(manifest))
    replace(catalogue, "snapshots", SNAPSHOTS, manifest["snapshots"])
    return added


def files_of(manifest: Mapping[str, Any]) -> Iterable[str]:
    """The files that belong to a lake, by their paths in it."""
    for stretch in manifest["stretches"]:
        yield from (file["path"] for files in stretch["files"].values() for file in files)
    for snapshot in manifest["snapshots"]:
        yield from (file["path"] for files in snapshot["tables"].values() for file in files)


def history_of(manifest: Mapping[str, Any]) -> list[dict[str, int]]:
    """From which position to which each timeline is part of the newest history."""
    history: list[list[int]] = manifest["history"]
    ends = {one["timeline"]: one["last"] for one in manifest["stretches"]}
    followed = zip(history, [*history[1:], None], strict=True)
    return [
        {
            "timeline": timeline,
            "first_position": first,
            "last_position": ends.get(timeline, 0) if following is None else following[1] - 1,
        }
        for (timeline, first), following in followed
    ]


def register(catalogue: Catalog, name: str, lake: Path, address: str, paths: list[str]) -> int:
    """Makes files of the lake files of a table, which is made where it is missing; how many are new."""
    schema = pyarrow.unify_schemas([read_schema(lake / path) for path in paths])
    table = prepared(catalogue, name, schema, partition_of(paths[0])[0])
    known = set(table.inspect.files()["file_path"].to_pylist())
    new = [path for path in paths if f"{address}/{path}" not in known]
    # Small files that an export has made one: the one takes their place in the same commit.
    stale = known - {f"{address}/{path}" for path in paths}
    gone = [one.file for one in table.scan().plan_files() if one.file.file_path in stale] if stale else []
    for path in new:
        upload(table.io, lake / path, f"{address}/{path}")
    if new or gone:
        with table.transaction() as transaction:
            update = transaction.update_snapshot()
            with update.overwrite() if gone else update.fast_append() as change:
                for path in new:
                    file = parquet_file_to_data_file(
                        table.io, transaction.table_metadata, f"{address}/{path}"
                    )
                    # The file has no such column: readers take its value from here, as Iceberg's
                    # specification has it for tables that come from Hive's layout.
                    file.partition[0] = partition_of(path)[1]
                    change.append_data_file(file)
                for file in gone:
                    change.delete_data_file(file)
        for file in gone:
            table.io.delete(file.file_path)
    return len(new)


def upload(files: FileIO, path: Path, address: str) -> None:
    """Puts a file into the bucket. If it is there, a run that was cut off has put it there: the same one."""
    with path.open("rb") as source, files.new_output(address).create(overwrite=True) as target:
        shutil.copyfileobj(source, target)


def prepared(catalogue: Catalog, name: str, schema: pyarrow.Schema, partition: str) -> Table:
    """A table with these columns, and one more for what the folders' names say."""
    schema = schema.append(pyarrow.field(partition, PARTITIONS[partition]))
    identifier = f"{NAMESPACE}.{name}"
    if not catalogue.table_exists(identifier):
        with catalogue.create_table(identifier, schema=schema).update_spec() as specification:
            specification.add_identity(partition)
    table = catalogue.load_table(identifier)
    with table.update_schema() as update:
        # A newer version of the program may write more columns.
        update.union_by_name(schema)
    # Columns in the files have names, but no numbers of Iceberg's.
    mapping = table.schema().name_mapping.model_dump_json()
    if table.properties.get(TableProperties.DEFAULT_NAME_MAPPING) != mapping:
        with table.transaction() as transaction:
            transaction.set_properties({TableProperties.DEFAULT_NAME_MAPPING: mapping})
    return table


def partition_of(path: str) -> tuple[str, int | str]:
    """The column and the value that the name of a file's folder stands for."""
    column, _, value = PurePosixPath(path).parent.name.partition("=")
    return column, int(value) if column == "timeline" else value


def replace(catalogue: Catalog, name: str, schema: pyarrow.Schema, rows: list[dict[str, Any]]) -> None:
    """Makes these the rows of a small table, unless they are already."""
    table = catalogue.create_table_if_not_exists(f"{NAMESPACE}.{name}", schema=schema)
    found = pyarrow.Table.from_pylist(
        [{key: row[key] for key in schema.names} for row in rows], schema=schema
    )
    before = table.scan().to_arrow().to_pylist()
    if not before:
        table.append(found)
    elif before != found.to_pylist():
        table.overwrite(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lake", type=Path, help="the lake's folder")
    parser.add_argument("address", help="where its files go: s3://BUCKET/FOLDER")
    arguments = parser.parse_args()
    for name, count in publish(arguments.lake, arguments.address.rstrip("/")).items():
        print(f"{NAMESPACE}.{name}: {count} new files")


if __name__ == "__main__":
    main()
