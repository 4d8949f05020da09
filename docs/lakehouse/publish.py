#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["pyiceberg[pyarrow,sql-sqlite]>=0.12,<0.13"]
# ///
"""Puts a lake into a bucket and into an Iceberg catalogue, or adds to them what is new.

    uv run docs/lakehouse/publish.py data/lake s3://BUCKET/FOLDER

The catalogue is called `lake` in PyIceberg's configuration, which also says where the bucket is (see
README.md beside this). The files of the lake become those of the tables as they are: none is written anew.
All that is new in a table is one commit, and files that the new ones replace leave with it. Files that
nothing replaces stay: rows of a backup that a lake made anew has not got, files of another lake. The script
needs nothing of hyperpage-persistence.
"""

import argparse
import fcntl
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow
from pyarrow.fs import FileSelector
from pyarrow.parquet import read_schema
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO, parquet_file_to_data_file
from pyiceberg.table import Table, TableProperties

CATALOGUE = "lake"
NAMESPACE = "hyperpage"
# While somebody holds a lock on this file, no export removes a file that the manifest names.
READERS = ".readers"
# The positions in the name of a file of the log: the first and the last of its events or row versions.
POSITIONS = re.compile(r"-(\d{12,})-(\d{12,})[^/]*\.parquet$")
# The columns whose values the names of the folders say.
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
    """How many new files each table got."""
    with held(lake):
        manifest = json.loads((lake / "lake.json").read_bytes())
        by_table: dict[str, dict[str, int]] = defaultdict(dict)
        for file in files_of(manifest):
            by_table[file["path"].split("/")[0]][file["path"]] = file["size"]

        catalogue = load_catalog(CATALOGUE, warehouse=f"{address}/iceberg")
        catalogue.create_namespace_if_not_exists(NAMESPACE)
        added = {
            name: register(catalogue, name, lake, address, Files(sizes, manifest["stretches"]))
            for name, sizes in sorted(by_table.items())
        }
    # Last, so that a reader of the snapshots finds all that they have.
    replace(catalogue, "timelines", TIMELINES, history_of(manifest))
    replace(catalogue, "snapshots", SNAPSHOTS, manifest["snapshots"], keep_others_by="snapshot")
    return added


@contextmanager
def held(lake: Path) -> Iterator[None]:
    """Keeps the files that the manifest names where they are, as every reader of a lake does."""
    with ExitStack() as stack:
        # A copy of a lake may lack the file, and on a disk that knows no locks no export writes.
        with suppress(OSError):
            readers = stack.enter_context((lake / READERS).open("rb"))
            fcntl.flock(readers, fcntl.LOCK_SH)
        yield


class Files:
    """The files of one table by their paths in the lake, and the files that they replace."""

    def __init__(self, sizes: Mapping[str, int], stretches: Iterable[Mapping[str, Any]]) -> None:
        self.sizes = sizes
        self.paths = list(sizes)
        self._folders = {str(PurePosixPath(path).parent) for path in sizes}
        self._stretches = sorted((one["timeline"], one["first"], one["last"]) for one in stretches)

    def replace(self, path: str) -> bool:
        """Whether these have all rows of another file of the table, so that they would be there twice.

        The folder of a backup is written whole by one export. A folder of the log has all of a timeline.
        """
        folder = str(PurePosixPath(path).parent)
        if path in self.sizes or folder not in self._folders:
            return False
        column, value = partition_of(path)
        if column != "timeline":
            return True
        found = POSITIONS.search(path)
        return found is not None and self._have(value, int(found[1]), int(found[2]))

    def _have(self, timeline: int | str, first: int, last: int) -> bool:
        for number, start, end in self._stretches:
            if number == timeline and start <= first <= end:
                first = end + 1
        return first > last


def files_of(manifest: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """The files that belong to a lake."""
    for stretch in manifest["stretches"]:
        yield from (file for files in stretch["files"].values() for file in files)
    for snapshot in manifest["snapshots"]:
        yield from (file for files in snapshot["tables"].values() for file in files)


def history_of(manifest: Mapping[str, Any]) -> list[dict[str, int]]:
    """The first and the last position of each timeline that are part of the newest history."""
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


def register(catalogue: Catalog, name: str, lake: Path, address: str, files: Files) -> int:
    """Makes files of the lake files of a table, which is made where it is missing; how many are new."""
    schema = pyarrow.unify_schemas([read_schema(lake / path) for path in files.paths])
    table = prepared(catalogue, name, schema, partition_of(files.paths[0])[0])
    found = table.inspect.files().select(["file_path", "file_size_in_bytes"]).to_pylist()
    known = {
        one["file_path"].removeprefix(f"{address}/"): one["file_size_in_bytes"]
        for one in found
        if one["file_path"].startswith(f"{address}/")
    }
    # In a lake made anew, a file of the same name may have other rows.
    new = [path for path in files.paths if known.get(path) != files.sizes[path]]
    # An export may have made one file of many small ones. It takes their place in the same commit.
    replaced = {path for path in known if files.replace(path)} | known.keys() & set(new)
    stale = {f"{address}/{path}" for path in replaced}
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
    # All that are there, not only those of this commit: a run that was cut off may have left some.
    for path in uploaded(table.io, address, name):
        if files.replace(path):
            table.io.delete(f"{address}/{path}")
    return len(new)


def uploaded(files: FileIO, address: str, name: str) -> list[str]:
    """The files of a table in the bucket, by their paths in the lake."""
    scheme, bucket, folder = PyArrowFileIO.parse_location(address)
    found = (
        PyArrowFileIO(files.properties)
        .fs_by_scheme(scheme, bucket)
        .get_file_info(FileSelector(f"{folder}/{name}", recursive=True, allow_not_found=True))
    )
    return [one.path.removeprefix(f"{folder}/") for one in found if one.is_file]


def upload(files: FileIO, path: Path, address: str) -> None:
    """Puts a file into the bucket, in place of one of the same name that may be there."""
    with path.open("rb") as source, files.new_output(address).create(overwrite=True) as target:
        shutil.copyfileobj(source, target)


def prepared(catalogue: Catalog, name: str, schema: pyarrow.Schema, partition: str) -> Table:
    """A table with these columns, and one more for the value that the folders' names say."""
    schema = schema.append(pyarrow.field(partition, PARTITIONS[partition]))
    identifier = f"{NAMESPACE}.{name}"
    if not catalogue.table_exists(identifier):
        with catalogue.create_table(identifier, schema=schema).update_spec() as specification:
            specification.add_identity(partition)
    table = catalogue.load_table(identifier)
    with table.update_schema() as update:
        # A newer version of the program may write more columns.
        update.union_by_name(schema)
    # The columns in the files have names, but not the numbers that Iceberg gives columns.
    mapping = table.schema().name_mapping.model_dump_json()
    if table.properties.get(TableProperties.DEFAULT_NAME_MAPPING) != mapping:
        with table.transaction() as transaction:
            transaction.set_properties({TableProperties.DEFAULT_NAME_MAPPING: mapping})
    return table


def partition_of(path: str) -> tuple[str, int | str]:
    """The column and the value that the name of a file's folder stands for."""
    column, _, value = PurePosixPath(path).parent.name.partition("=")
    return column, int(value) if column == "timeline" else value


def replace(
    catalogue: Catalog,
    name: str,
    schema: pyarrow.Schema,
    rows: list[dict[str, Any]],
    *,
    keep_others_by: str | None = None,
) -> None:
    """Makes these the rows of a small table, unless they are already; those with another key may stay."""
    table = catalogue.create_table_if_not_exists(f"{NAMESPACE}.{name}", schema=schema)
    before = table.scan().to_arrow().to_pylist()
    after = [{key: row[key] for key in schema.names} for row in rows]
    if keep_others_by is not None:
        keys = {row[keep_others_by] for row in after}
        after += [row for row in before if row[keep_others_by] not in keys]
    found = pyarrow.Table.from_pylist(after, schema=schema)
    if not before:
        table.append(found)
    elif before != after:
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
