"""The end of the archive, and whether it is the end that its service has written: `ArchiveEnd`.

An archive whose end is missing looks whole. So the service notes beside its store how far it has written.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from ops.archive.segment import list_segments, runs
from ops.targets.documents import Whole, decode_document
from ops.targets.regular_files import read_regular
from ops.targets.target import Place, address

FILE = "archive.json"
_MAXIMUM_BYTES = 4_096


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """The service's note: the last position that it has archived, and the archive's folder."""

    store_id: str
    folder: str
    timeline: Whole
    position: Whole


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """The missing end of an archive: the position where it ends, and the one where it had ended."""

    ends: int
    ended: int

    def __str__(self) -> str:
        return f"it ends with position {self.ends}, and had been written up to {self.ended}"


class ArchiveEnd:
    """The end of one archive, as the service of a store knows it. One thread at a time uses it."""

    def __init__(self, store: Path, folder: Place, store_id: str) -> None:
        self._file = store.parent / FILE
        self._folder = folder
        self._store_id = store_id

    def note(self, timeline: int, position: int) -> None:
        """Notes how far the archive is written; after a power cut, the note may be of an earlier position."""
        said = _Said(
            store_id=self._store_id, folder=address(self._folder), timeline=timeline, position=position
        )
        temporary = self._file.with_suffix(".tmp")
        # Not synced, since commits wait for the same disk. A lost note only means that a cut goes unnoticed.
        with suppress(OSError):
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
                opened.write(msgspec.json.encode(said))
            temporary.replace(self._file)

    def cut(self, timeline: int) -> Cut | None:
        """The missing end of a timeline; `None` if nothing is missing, as far as is known.

        Raises:
            OSError: the archive cannot be listed, or its bucket is away.
        """
        said = self._said()
        if said is None or said.timeline != timeline:
            return None
        # While segments are merged, one listing may have neither the small ones nor the large one.
        ends = max(self._ends(timeline) for _ in range(2))
        return Cut(ends=ends, ended=said.position) if ends < said.position else None

    def written_up_to(self, timeline: int) -> int:
        """The last position of a timeline that the service has noted as written; 0 without such a note."""
        said = self._said()
        return 0 if said is None or said.timeline != timeline else said.position

    @property
    def said_anyhow(self) -> int:
        """The last position that was noted for this folder, of any store and timeline; 0 without a note."""
        said = self._read()
        return said.position if said is not None and said.folder == address(self._folder) else 0

    def _said(self) -> _Said | None:
        said = self._read()
        if said is None or (said.store_id, said.folder) != (self._store_id, address(self._folder)):
            return None
        return said

    def _read(self) -> _Said | None:
        try:
            return decode_document(read_regular(self._file, _MAXIMUM_BYTES), _Said)
        except (OSError, msgspec.DecodeError):
            return None

    def _ends(self, timeline: int) -> int:
        segments = list_segments(self._folder, timeline)
        if not segments:
            return 0
        # The oldest segments may have been pruned.
        start = min(one.first for one in segments) - 1
        return max([start, *(one.last for one in runs(segments, start))])
