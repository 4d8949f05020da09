"""The manifest of a lake: tables of any name, and lakes of the previous format."""

from pathlib import Path

import msgspec

from ops.analytics.lake.files import File
from ops.analytics.lake.layout import stretch_path
from ops.analytics.lake.manifest import FORMAT, MANIFEST, Manifest, Stretch, read_manifest, write_manifest


def test_a_table_may_have_digits_in_its_name(tmp_path: Path):
    path = stretch_path(tmp_path, "things_1_versions", 1, 1, 2).relative_to(tmp_path)
    file = File(path=str(path), rows=1, size=1, sha256="0" * 64)
    files: dict[str, tuple[File, ...]] = {"things_1_versions": (file,)}
    stretch = Stretch(timeline=1, first=1, last=2, last_hash="0" * 64, files=files, left_out=("things_2",))
    written = Manifest(store_id="s", stretches=(stretch,))

    write_manifest(tmp_path, written)

    assert read_manifest(tmp_path) == written


def test_a_lake_of_the_format_before_is_read_as_one_of_todays(tmp_path: Path):
    (tmp_path / MANIFEST).write_bytes(msgspec.json.encode({"format": 2, "store_id": "s"}))

    assert read_manifest(tmp_path) == Manifest(format=FORMAT, store_id="s")
