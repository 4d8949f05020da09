"""Documents with deeper nesting than the service writes count as damaged, in all places."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
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
from ops.targets.vouching import checksum_of
from tests.support.stores.backing_up import Stored

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


HEADER: dict[str, Any] = {
    "format": 1,
    "store_id": "s",
    "timelines": [[1, 1]],
    "first": 1,
    "last": 1,
    "previous_hash": "0" * 64,
}
EVENT = [1, "jobs/1", 1, "job.archived.v1", 1, None, "{}", None, "0" * 64, None]
ANSWER = ["id", "00", 1, "{}"]


@pytest.mark.parametrize(
    "lines",
    [
        [DEEP],
        [HEADER | {"timelines": []}],
        [HEADER | {"timelines": [[1, -5]]}, EVENT],
        [HEADER | {"previous_hash": "zz"}, EVENT],
        [HEADER | {"last": 2**70}],
        [HEADER, DEEP],
        [HEADER, [{"a": 1}, *EVENT[1:]]],
        [HEADER, [*EVENT[:2], 2**70, *EVENT[3:]]],
        [HEADER, [*EVENT[:2], "1", *EVENT[3:]]],
        [HEADER, [*EVENT[:8], 7, None]],
        [HEADER, EVENT[:9]],
        [HEADER, EVENT, [1, 2, 3, 4]],
        [HEADER, EVENT, [*ANSWER[:3], None]],
        [HEADER, EVENT, {"a": 1, "b": 2, "c": 3, "d": 4}],
        [HEADER, EVENT, ANSWER[:1]],
    ],
)
def test_a_segment_in_which_something_else_stands_is_damaged(tmp_path: Path, lines: list[Any]):
    body = b"".join((one if isinstance(one, bytes) else msgspec.json.encode(one)) + b"\n" for one in lines)
    body += b'{"sha256":"%s"}\n' % hashlib.sha256(body).hexdigest().encode()
    compressed = zstandard.compress(body)
    place = tmp_path / "timeline-0001" / "events-000000000001-000000000001.jsonl.zst"
    put(place).write_bytes(compressed + END_FRAME + hashlib.sha256(compressed).digest())
    (one,) = list_segments(tmp_path)
    with pytest.raises(BackupError) as caught:
        read_segment(one)
    assert caught.value.reason == "segment_damaged"


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": 10**18},
        {"timestamp": -(10**15)},
        {"position": -1},
        {"size": 2**70},
        {"timelines": [[1, -5]]},
        {"rows": {"events": -1}},
        {"checks": {"checksum": 10**18}},
        {"audit_head": "9" * 1_000},
    ],
)
def test_metadata_with_what_no_backup_has_are_damaged(tmp_path: Path, change: dict[str, Any]):
    with Stored(tmp_path) as store:
        store.work(3)
        made = store.backup()
        place = metadata_path(made.path)
        said = {**msgspec.json.decode(place.read_bytes()), **change}
        said.pop("signature", None)
        said["metadata_checksum"] = checksum_of(said)
        place.write_bytes(msgspec.json.format(msgspec.json.encode(said)) + b"\n")
        ((_, error),) = damaged_backups(made.place.parent)
    assert error.reason == "metadata_damaged"


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
