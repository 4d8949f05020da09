"""Processes that may open no more files, as when all their descriptors are in use."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_prlimit = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="needs Linux, to take files from a process"
)


@contextmanager
def no_more_files(process_id: int | None = None) -> Iterator[None]:
    """A process, or this one, can open nothing for the length of the block, and keeps what it has open."""
    process_id = os.getpid() if process_id is None else process_id
    soft, hard = resource.prlimit(process_id, resource.RLIMIT_NOFILE)
    resource.prlimit(process_id, resource.RLIMIT_NOFILE, (1, hard))
    try:
        yield
    finally:
        resource.prlimit(process_id, resource.RLIMIT_NOFILE, (soft, hard))
