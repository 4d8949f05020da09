"""Stores of which backups, archives and lakes are made, and leases for members on a slow machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.replication.leader_watch import LeaderWatch
from tests.support.clusters.electing import UNHURRIED
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


@pytest.fixture
def unhurried_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lead changes only when it is handed over or the leader ends, however busy the machine is."""
    defaults = LeaderWatch.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "life", UNHURRIED)
    # No member loses its place, and a successor has all the time it needs.
    monkeypatch.setattr("bus.replication.members.LIVE_SECONDS", UNHURRIED.seconds)
    monkeypatch.setattr("bus.replication.leader_watch.HEAD_START_SECONDS", float(UNHURRIED.seconds))
    monkeypatch.setattr("ops.service.roles.election.HANDING_OVER_SECONDS", float(UNHURRIED.seconds))
