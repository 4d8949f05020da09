"""Rows that are gathered until they are a group of a Parquet file: `in_groups`."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

# A group of this weight is written, however few rows it has: it is in memory until then.
GROUP_BYTES = 64 * 1024 * 1024


def in_groups(batches: "Iterable[pyarrow.RecordBatch]", rows: int) -> "Iterator[pyarrow.Table]":
    """Batches gathered into groups of at least so many rows, or of great weight; the last may have fewer."""
    import pyarrow

    gathered: list[pyarrow.RecordBatch] = []
    for batch in chain(batches, (None,)):
        if batch is not None:
            gathered.append(batch)
        if gathered and (
            batch is None
            or sum(one.num_rows for one in gathered) >= rows
            or sum(one.nbytes for one in gathered) >= GROUP_BYTES
        ):
            yield pyarrow.Table.from_batches(gathered)
            gathered = []
