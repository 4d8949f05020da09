"""Acts that wait for a disk that takes nothing for a while."""

import asyncio
from pathlib import Path

import pytest

from bus.serving.audit import Act
from ops.audit import recorder
from ops.audit.entry import Head
from ops.audit.files import AuditError, files_in
from ops.audit.recorder import Recorder
from ops.audit.trail import AuditTrail
from tests.support.services.acts import act

MAXIMUM_WAITING = 5


class Disk(AuditTrail):
    """A log on a disk that is full at times."""

    is_full = False

    def append(self, *acts: Act) -> Head:
        if self.is_full:
            raise AuditError(28, "no space left on device", "audit")
        return super().append(*acts)


def test_no_more_acts_wait_than_there_is_room_for_and_the_log_tells_how_many_were_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAXIMUM_WAITING", MAXIMUM_WAITING)
    monkeypatch.setattr("ops.audit.repeats.Repeats.is_to_be_written", lambda self, act: True)
    disk = Disk(tmp_path, kept_bytes=0)

    async def play() -> Recorder:
        kept = Recorder(disk)
        disk.is_full = True
        for _ in range(10):
            kept.note(act())
            kept.note(act())
            flushing = asyncio.create_task(kept.flush())
            await asyncio.sleep(0)
            # Meanwhile, what was noted is on its way.
            for _ in range(MAXIMUM_WAITING):
                kept.note(act())
            await flushing
            assert kept.figures["waiting"] <= MAXIMUM_WAITING
        disk.is_full = False
        await kept.flush()
        return kept

    kept = asyncio.run(play())
    assert (kept.figures["waiting"], kept.lost) == (0, 70 - MAXIMUM_WAITING)
    lines = b"".join(one.path.read_bytes() for one in files_in(tmp_path / "audit")).splitlines()
    assert len(lines) == MAXIMUM_WAITING + 1
    assert f'"acts":{kept.lost}'.encode() in lines[-1].replace(b"\\", b"")
