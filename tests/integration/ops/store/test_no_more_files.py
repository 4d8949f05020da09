"""Files that cannot be read while the process may open no more are read later, and not given up."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

import bus.broker.synced_streams
from bus.broker.synced_streams import SyncedStreams
from bus.contract.rights import Rights
from migrations.connection import open_reader
from ops.backup.metadata import list_backups
from ops.http.access.tokens import TokenFile, Tokens
from ops.security.users import KnownUsers, UserFile
from ops.store.lost_events import lost_events, lost_events_path
from tests.support.machines.no_more_files import needs_prlimit, no_more_files
from tests.support.patience import until
from tests.support.stores.backing_up import Stored


@needs_prlimit
def test_a_user_is_known_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    UserFile(tmp_path).create("billing", Rights())
    known = KnownUsers(tmp_path)

    with no_more_files():
        found = [known.named("billing") for _ in range(3)]

    assert found == [None] * 3
    assert known.named("billing") is not None
    # The problem is logged once, however many requests come meanwhile.
    assert [one.getMessage().partition(":")[0] for one in caplog.records] == ["no user is known"]


@needs_prlimit
def test_a_token_lets_its_bearer_in_again_and_is_told_as_made_once(tmp_path: Path) -> None:
    file, told = TokenFile(tmp_path), list[str]()
    tokens = Tokens(tmp_path, on_change=lambda verb, token: told.append(f"{verb} {token.name}"))
    file.create("ops", "operate")
    assert tokens.named("ops") is not None

    file.create("other", "read")
    with no_more_files():
        found = tokens.named("ops"), tokens.problem is None

    assert found == (None, False)
    assert tokens.named("ops") is not None
    assert tokens.problem is None
    assert told == ["create ops", "create other"]


@needs_prlimit
def test_lost_events_that_cannot_be_looked_for_are_not_taken_for_none(tmp_path: Path) -> None:
    kept = lost_events_path(tmp_path, 1, 5, 7)
    kept.touch()

    with no_more_files(), pytest.raises(OSError, match="Too many open files"):
        lost_events(tmp_path)

    assert lost_events(tmp_path) == [kept]


def test_backups_whose_metadata_cannot_be_opened_are_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Stored(tmp_path) as stored:
        stored.work(1)
        stored.backup()
    # Listing the folder has taken the last descriptor, so its files cannot be opened.
    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    monkeypatch.setattr("ops.backup.metadata.read_files", lambda files: [error for _ in files])

    with pytest.raises(OSError, match="Too many open files"):
        list_backups(tmp_path / "backups")


class Advisories:
    """A connection on which a test sends nats-server's advisories of changed streams."""

    async def subscribe(self, subject: str, cb: Callable[[Any], Awaitable[None]]) -> None:
        self.come = cb


def test_streams_that_could_not_be_synced_are_synced_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("PAUSE_SECONDS", "AGAIN_SECONDS"):
        monkeypatch.setattr(bus.broker.synced_streams, name, 0.01)
    folder, advisories = tmp_path / "nats", Advisories()
    streams = SyncedStreams(folder)
    # It cannot be opened.
    folder.symlink_to(folder)

    async def scenario() -> None:
        await streams.watch(advisories)  # type: ignore[arg-type]
        running = asyncio.create_task(streams.run())
        await advisories.come(None)
        await until(lambda: len(caplog.records) >= 3)
        running.cancel()

    asyncio.run(scenario())


def test_a_folder_that_cannot_be_looked_at_is_sqlites_to_tell(tmp_path: Path) -> None:
    with pytest.raises(apsw.CantOpenError):
        open_reader(tmp_path / ("x" * 300))
