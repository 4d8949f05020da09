import errno
import os
from pathlib import Path

import pytest

from ops.targets.regular_files import open_regular, open_to_write, read_regular, require_regular


def test_a_file_is_read_up_to_its_limit_and_not_beyond(tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    assert read_regular(file, 3) == b"abc"
    with pytest.raises(OSError, match="it has more than 2 bytes") as caught:
        read_regular(file, 2)
    assert caught.value.errno == errno.EFBIG


def test_a_link_is_followed_unless_it_must_not_be(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"abc")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    assert read_regular(link, 3) == b"abc"
    for refused in (open_regular, require_regular):
        with pytest.raises(OSError, match="it is no regular file, but a link"):
            refused(link, follow=False)


def test_what_is_not_there_is_told_as_ever(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")


def test_what_is_written_goes_to_no_link_and_to_no_pipe(tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"as it was")
    (tmp_path / "link").symlink_to(victim)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "old").write_bytes(b"old")
    for name in ("link", "pipe", "old", "new"):
        with os.fdopen(open_to_write(tmp_path / name), "wb") as file:
            file.write(b"new")
        assert (tmp_path / name).read_bytes() == b"new"
        assert not (tmp_path / name).is_symlink()
    assert victim.read_bytes() == b"as it was"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
