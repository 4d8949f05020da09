"""Stores of which backups, archives and lakes are made."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machines.bucket_server import BucketServer
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import Stored
from tests.support.stores.in_bucket import InBucket


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    """A store with backups beside it."""
    with Stored(tmp_path / "data") as stored:
        yield stored


@pytest.fixture
def archived(tmp_path: Path) -> Iterator[Archived]:
    """A store with backups and an archive beside it."""
    with Archived(tmp_path / "data") as archived:
        yield archived


@pytest.fixture
def in_bucket(tmp_path: Path, bucket_server: BucketServer) -> Iterator[InBucket]:
    """A store whose backups and archive are in a bucket."""
    with InBucket(tmp_path / "data", bucket_server) as in_bucket:
        yield in_bucket
