"""Files that are whole or not there: `replaced`, and `finished`, which makes the manifest's entry of one."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

if TYPE_CHECKING:
    import pyarrow

# The end of a file's name until it is whole.
TEMPORARY_SUFFIX = ".tmp"
# zstd takes half the space of snappy, and queries of a lake read it as fast.
COMPRESSION = "zstd"


# The parts of a path, as a lake's layout makes them. A lake may come from elsewhere, and its paths and names
# become part of SQL and are opened, linked and removed: so no path may lead out of the lake or be a pattern.
TableName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_]{0,63}\Z")]
Stamp = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9]{1,64}\Z")]
RelativePath = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[a-z][a-z0-9_]{0,63}/(timeline=[0-9]{1,10}|snapshot=[A-Za-z0-9]{1,64})"
        r"/[a-z][A-Za-z0-9_.-]{0,150}\.parquet\Z"
    ),
]


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A Parquet file of the lake. `path` is relative to the lake's folder, the checksum is its SHA-256.

    Files that have the same `columns` have columns of the same names and types, in the same order.
    """

    path: RelativePath
    rows: int
    size: int
    sha256: str
    columns: str = ""


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder; a file that is there when the block ends replaces `path`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    # There may be a link at this path, which would lead to another file.
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        if temporary.exists():
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def finished(lake: Path, path: Path, rows: int) -> File:
    """The manifest's entry of a whole file; the file is on disk when this returns."""
    from pyarrow.parquet import read_schema

    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
    return File(
        path=path.relative_to(lake).as_posix(),
        rows=rows,
        size=size,
        sha256=sha256,
        columns=columns_digest(read_schema(path)),
    )


def columns_digest(schema: "pyarrow.Schema") -> str:
    """A short hash, the same for all files with columns of the same names and types in the same order."""
    columns = "\n".join(f"{one.name} {one.type}" for one in schema)
    return hashlib.sha256(columns.encode()).hexdigest()[:16]
