"""The site of each sync: `os.fsync` and `os.fdatasync` of this process write their callers to the recording.

python -m tests.lab.cuts.sites FOLDER serve …     the command line, of which the syncs are told so
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from tests.lab.cuts.recording import SITES
from tests.support.repository import ROOT

_OURS = tuple(f"{ROOT}/{room}/" for room in ("bus", "migrations", "ops", "projections"))


@contextmanager
def told(root: Path) -> Iterator[None]:
    """During the block, each sync of this process notes its site in the recording of a mounted folder."""
    descriptor = os.open(root / SITES, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def telling(sync: Callable[[Any], None]) -> Callable[[Any], None]:
        def sync_and_tell(file: Any) -> None:
            if site := _site(sys._getframe(1)):
                os.write(descriptor, site.encode())
            sync(file)

        return sync_and_tell

    try:
        with patch.multiple(os, fsync=telling(os.fsync), fdatasync=telling(os.fdatasync)):
            yield
    finally:
        os.close(descriptor)


def _site(frame: FrameType | None) -> str:
    """The innermost two functions of ours, since a sync of a folder counts apart for each caller."""
    found: list[str] = []
    while frame is not None and len(found) < 2:
        code = frame.f_code
        if code.co_filename.startswith(_OURS):
            found.append(f"{Path(code.co_filename).relative_to(ROOT)}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return ", for ".join(found)


if __name__ == "__main__":
    from ops.cli.main import main

    with told(Path(sys.argv.pop(1))):
        main()
