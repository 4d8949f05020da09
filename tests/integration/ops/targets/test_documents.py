"""Documents that go deeper than any of ours are damaged ones, wherever they lie."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from ops.archive.reading import read_segment
from ops.archive.segment import END_FRAME, list_segments
from ops.backup.metadata import damaged_backups, list_backups, metadata_path
from ops.http.access.links import LogInLinks
from ops.http.access.tokens import TokenError, TokenFile
from ops.security.users import UserError, UserFile
from ops.store.data_directory import read_admin, read_runtime
from ops.targets.errors import BackupError

DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


def put(path: Path) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(DEEP)
    path.chmod(0o600)
    return path


def test_a_backup_with_such_metadata_is_none_and_the_others_are_listed(tmp_path: Path):
    backup = tmp_path / "hyperpage-backup-20261124T081500000Z.db"
    put(backup)
    put(metadata_path(backup))
    assert list_backups(tmp_path) == []
    ((path, error),) = damaged_backups(tmp_path)
    assert (path, error.reason) == (backup, "metadata_damaged")


def test_a_segment_of_the_archive_is_damaged(tmp_path: Path):
    lines = DEEP + b"\n"
    lines += b'{"sha256":"%s"}\n' % hashlib.sha256(lines).hexdigest().encode()
    compressed = zstandard.compress(lines)
    place = tmp_path / "timeline-0001" / "events-000000000001-000000000001.jsonl.zst"
    put(place).write_bytes(compressed + END_FRAME + hashlib.sha256(compressed).digest())
    (one,) = list_segments(tmp_path)
    with pytest.raises(BackupError, match="nested too deeply"):
        read_segment(one)


@pytest.mark.parametrize(
    ("name", "read", "error"),
    [
        ("tokens.json", lambda data: TokenFile(data).read(), TokenError),
        ("users.json", lambda data: UserFile(data).read(), UserError),
    ],
)
def test_a_file_of_tokens_or_users_is_refused(
    tmp_path: Path, name: str, read: Callable[[Path], object], error: type[Exception]
):
    put(tmp_path / name)
    with pytest.raises(error):
        read(tmp_path)


def test_what_a_service_says_of_itself_is_not_believed(tmp_path: Path):
    for name in ("runtime.json", "admin.json"):
        put(tmp_path / name)
    assert (read_runtime(tmp_path), read_admin(tmp_path)) == (None, None)


def test_a_link_is_none(tmp_path: Path):
    put(tmp_path / "log-ins" / "a.json")
    assert LogInLinks(tmp_path).use("code") is None
