"""A table of a snapshot in parts, each a Parquet file: `Parts`."""

import errno
import os
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bus.kept_files import sync_folder
from ops.analytics.export.row_groups import in_groups
from ops.analytics.lake.files import COMPRESSION, File, columns_digest, finished, replaced
from ops.analytics.lake.layout import table_path
from projections.tables import stream_column

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

# How many rows a full part has. A part with less than half of them is written anew when another one is.
PART_ROWS = 160_000
# The rows of a group. Each core reads one group at a time: with few large ones, the last would occupy one
# core while the others wait.
GROUP_ROWS = 20_000
# The ids that tables are joined by differ in each row. Without a dictionary and compression, a join takes a
# seventh less time.
ID_ENCODING = "DELTA_LENGTH_BYTE_ARRAY"
ID_COMPRESSION = "none"
# The errors of a disk that cannot give a file a second name. Any other error would hit a copy, too.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK)


class Parts:
    """The files of one table of a snapshot, in the order in which they are written."""

    def __init__(self, lake: Path, table: str, snapshot: str, schema: "pyarrow.Schema") -> None:
        self.table = table
        self.rows = 0
        self._lake = lake
        self._snapshot = snapshot
        self._schema = schema
        self._files: list[File] = []
        self._writer: ParquetWriter | None = None
        self._part = ExitStack()
        self._part_rows = 0

    def have_the_columns_of(self, files: Iterable[File]) -> bool:
        """Whether the files are of a table with the same columns."""
        return {columns_digest(self._schema)} == {one.columns for one in files}

    def path_of(self, file: File) -> str:
        """The path of a file of the lake."""
        return str(self._lake / file.path)

    def keep(self, files: Iterable[File]) -> None:
        """Takes files of an earlier snapshot as they are."""
        for file in files:
            path = self._next_path()
            with replaced(path) as temporary:
                try:
                    os.link(self.path_of(file), temporary)
                except OSError as error:
                    if error.errno not in NO_LINKS:
                        raise
                    shutil.copyfile(self.path_of(file), temporary)
                    with temporary.open("rb") as copy:
                        os.fsync(copy.fileno())
            self._files.append(msgspec.structs.replace(file, path=path.relative_to(self._lake).as_posix()))
            self.rows += file.rows

    def write(self, batches: "Iterable[pyarrow.RecordBatch]") -> None:
        """Adds rows after those that were written."""
        for group in in_groups(batches, GROUP_ROWS):
            if group.num_rows:
                self._write_group(group)
                self.rows += group.num_rows

    def finish(self) -> tuple[File, ...]:
        """The files, whole and on disk. A table without rows has one, too."""
        if not self._files and self._writer is None:
            self._write_group(self._schema.empty_table())
        self._end_part()
        sync_folder(self._next_path().parent)
        return tuple(self._files)

    def remove(self) -> None:
        """Removes the files that were written."""
        self._end_part()
        for file in self._files:
            (self._lake / file.path).unlink()
        self._files = []
        self.rows = 0

    def _write_group(self, group: "pyarrow.Table") -> None:
        from pyarrow.parquet import ParquetWriter

        if self._writer is None:
            ids = [
                one.name
                for one in self._schema
                if one.name == stream_column(self.table) and one.type == "string"
            ]
            names = self._schema.names
            self._writer = ParquetWriter(
                self._part.enter_context(replaced(self._next_path())),
                self._schema,
                compression={name: ID_COMPRESSION if name in ids else COMPRESSION for name in names},
                use_dictionary=[name for name in names if name not in ids],
                column_encoding=dict.fromkeys(ids, ID_ENCODING),
                max_rows_per_page=2 * GROUP_ROWS,
            )
        self._writer.write_table(group, row_group_size=max(1, group.num_rows))
        self._part_rows += group.num_rows
        if self._part_rows >= PART_ROWS:
            self._end_part()

    def _end_part(self) -> None:
        if self._writer is None:
            return
        path = self._next_path()
        self._writer.close()
        self._part.close()
        self._files.append(finished(self._lake, path, self._part_rows))
        self._writer = None
        self._part_rows = 0

    def _next_path(self) -> Path:
        return table_path(self._lake, self.table, self._snapshot, len(self._files) + 1)
