"""The error of `hyperpage stream refill` when the stream cannot be deleted."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

import bus.broker.server
from bus.broker.server import NatsServer
from migrations import runner
from migrations.connection import open_writer
from ops.cli.streams.stream import refill
from ops.cli.terminal.exits import CommandFailure, Exit


def test_whose_files_another_one_holds_is_told_how_to_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bus.broker.server, "LOCK_TIMEOUT_MS", 200)
    with closing(open_writer(tmp_path / "hyperpage.db")) as connection:
        runner.up(connection)

    async def scenario() -> CommandFailure:
        # As one that a killed service left behind.
        async with NatsServer(data=tmp_path, port=0):
            with pytest.raises(CommandFailure) as caught:
                await asyncio.to_thread(refill, yes=True, data=tmp_path)
            return caught.value

    failure = asyncio.run(scenario())

    assert failure.exit_code is Exit.UNREACHABLE
    assert "in use by another service" in failure.message
    assert "fuser" in failure.hint
