"""The sample backups are what `make sample` makes, and nothing else."""

from pathlib import Path

from ops.backup.metadata import list_backups
from ops.backup.opening import opened
from tests.support.documents.sample_history import Company
from tests.support.repository import ROOT
from tests.support.stores.looking_inside import log_of

SAMPLE = ROOT / "docs" / "notebook" / "sample"
HOURS = 6


def test_made_again_the_sample_has_the_same_log_byte_for_byte(tmp_path: Path):
    company = Company(tmp_path)
    company.work(HOURS)
    rows = company.store.rows()
    company.close()

    [*_, newest] = sorted(list_backups(SAMPLE), key=lambda one: one.metadata.timestamp)
    with opened(newest, scratch=tmp_path) as backup:
        assert log_of(backup.path, rows[-1].position) == rows
    assert len(rows) > 100
