"""A store's file that is moved ends its service; a disk that does not say where it is, does not."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

import ops.store.file_watch
from ops.store.file_watch import MovedError, watch


def test_a_disk_that_does_not_answer_has_moved_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops.store.file_watch, "LOOK_SECONDS", 0)
    store = tmp_path / "hyperpage.db"
    store.touch()
    looks, stat = 0, Path.stat

    def stat_of(path: Path, **how: Any) -> os.stat_result:
        nonlocal looks
        if path == store:
            looks += 1
            if looks in (2, 3):
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            if looks == 5:
                store.rename(tmp_path / "moved")
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", stat_of)

    with pytest.raises(MovedError, match="was moved or deleted"):
        asyncio.run(watch(store))

    assert looks == 5
