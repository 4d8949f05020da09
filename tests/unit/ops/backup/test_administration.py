"""The error for an operator when backups cannot be listed."""

import asyncio
from pathlib import Path

import pytest

import ops.backup.administration
from bus.serving.administration import NoArguments
from domain.errors import Unavailable
from ops.backup.administration import RunningBackups
from ops.backup.schedule import BackupSchedule
from ops.settings import Settings
from ops.targets.bucket import BucketError


def test_a_bucket_that_is_away_is_to_be_looked_for_where_it_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def away(*_: object) -> None:
        raise BucketError("s3://backups does not answer")

    monkeypatch.setattr(ops.backup.administration, "list_backups", away)
    settings = Settings(data=tmp_path)

    async def tell_nobody(*_: object) -> None:
        raise AssertionError("nothing has changed")

    async def ask() -> None:
        schedule = BackupSchedule(settings, "store", notify=tell_nobody)
        verbs = RunningBackups(settings, "store", schedule).verbs()
        await next(one for one in verbs if one.name == "backup.list").carry_out(NoArguments())

    with pytest.raises(Unavailable, match="does not answer") as caught:
        asyncio.run(ask())

    assert "HYPERPAGE_S3_ENDPOINT" in caught.value.hint
