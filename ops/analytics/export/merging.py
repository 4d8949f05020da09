"""Merging small stretches: `merge_small`, `remove_replaced`.

Each export that finds new events writes a stretch of its own, of five files or so. After a thousand exports,
a query would open thousands of files, and so would each export, to make the views. So small stretches are
merged, a few at a time, and the time of an export stays the same, however many there were before it.

This is done while no session reads the lake, and the small files are removed at once. A program that reads
the files of the folder itself sees events twice for that moment.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ops.analytics.export.row_groups import GROUP_BYTES, ROW_GROUP_ROWS, in_groups, write_groups
from ops.analytics.lake.files import File
from ops.analytics.lake.layout import stretch_path
from ops.analytics.lake.manifest import Manifest, Stretch, write_manifest

if TYPE_CHECKING:
    import pyarrow

# A stretch with fewer events, and fewer bytes than fill a group, is small.
SMALL_EVENTS = 25_000
# How many small stretches in a row are merged.
SMALL_STRETCHES = 16


class _NotMergedError(Exception):
    """Some small stretches stay as they are."""


def merge_small(lake: Path, manifest: Manifest) -> tuple[Manifest, list[str]]:
    """The manifest with one stretch in place of many small ones; all that it names is whole and on disk.

    The second value are the reasons why some stay as they are: a file is damaged, or the disk has no room.
    Call it while no session reads the lake.
    """
    stretches: list[Stretch] = []
    replaced: list[str] = []
    problems: list[str] = []
    for run in _runs(manifest.stretches):
        if len(run) < SMALL_STRETCHES:
            stretches += run
            continue
        try:
            stretches.append(_merged(lake, run))
            replaced += [file.path for file in _files_of(run)]
        except _NotMergedError as error:
            stretches += run
            problems.append(f"{len(run)} exports' files of the log do not become one: {error}")
    if replaced:
        manifest = msgspec.structs.replace(
            manifest, stretches=tuple(stretches), replaced=(*manifest.replaced, *replaced)
        )
    return manifest, problems


def remove_replaced(lake: Path, manifest: Manifest) -> Manifest:
    """Removes the files that were replaced by merged ones, and returns the manifest without them.

    Call it while no session reads the lake: one that began earlier may have views of these files.
    """
    if not manifest.replaced:
        return manifest
    for path in manifest.replaced:
        (lake / path).unlink(missing_ok=True)
    manifest = msgspec.structs.replace(manifest, replaced=())
    write_manifest(lake, manifest)
    return manifest


def _runs(stretches: Sequence[Stretch]) -> Iterator[list[Stretch]]:
    """The stretches in order, in lists: small neighbours of a timeline with the same columns are together."""
    run: list[Stretch] = []
    for one in stretches:
        if run and not (_is_small(one) and _is_small(run[-1]) and _follows(one, run)):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _is_small(stretch: Stretch) -> bool:
    size = sum(file.size for files in stretch.files.values() for file in files)
    return stretch.last - stretch.first + 1 < SMALL_EVENTS and size < GROUP_BYTES


def _follows(stretch: Stretch, run: Sequence[Stretch]) -> bool:
    if stretch.left_out != run[-1].left_out:
        # Row versions that are left out are added later for whole stretches.
        return False
    return (stretch.timeline, stretch.first) == (run[-1].timeline, run[-1].last + 1) and all(
        # Another version of the program may have written other columns.
        len({file.columns for one in (*run, stretch) for file in one.files.get(name, ())}) == 1
        for name in stretch.files
    )


def _files_of(run: Iterable[Stretch]) -> Iterator[File]:
    return (file for stretch in run for files in stretch.files.values() for file in files)


def _require_whole(lake: Path, file: File) -> None:
    # A merged file gets a new checksum, so damage that is copied into it would not be noticed later.
    with (lake / file.path).open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != file.sha256:
            raise _NotMergedError(f"{file.path} is not what was written")


def _merged(lake: Path, run: Sequence[Stretch]) -> Stretch:
    import pyarrow

    first, last = run[0], run[-1]
    paths = {
        name: stretch_path(lake, name, first.timeline, first.first, last.last)
        for name in sorted({name for one in run for name in one.files})
    }
    try:
        for file in _files_of(run):
            _require_whole(lake, file)
        files = {}
        for name, path in paths.items():
            rows = _rows_of(lake, [file for one in run for file in one.files.get(name, ())])
            files[name] = write_groups(lake, path, in_groups(rows, ROW_GROUP_ROWS))
    except (OSError, pyarrow.ArrowException) as error:
        for path in paths.values():
            path.unlink(missing_ok=True)
        raise _NotMergedError(str(error)) from error
    return Stretch(
        timeline=first.timeline,
        first=first.first,
        last=last.last,
        last_hash=last.last_hash,
        files={name: (file,) for name, file in files.items()},
        left_out=last.left_out,
    )


def _rows_of(lake: Path, files: Sequence[File]) -> "Iterator[pyarrow.RecordBatch]":
    """The rows of some files, in their order; no more than a group of them is in memory."""
    from pyarrow.parquet import ParquetFile

    for file in files:
        with ParquetFile(lake / file.path) as source:
            for number in range(source.num_row_groups):
                yield from source.read_row_group(number).combine_chunks().to_batches()
