"""The contents that a disk may have after a power cut, made from its journal."""

import random
from pathlib import Path

from tests.lab.machines.crash_images import SUPERBLOCK_BYTES, crash_images
from tests.lab.machines.disk_server import FLUSH, RECORD, WRITE

BLOCK = 4096
SEED = 1


def test_any_sector_of_what_was_not_synced_may_be_missing_but_no_part_of_the_superblock(
    tmp_path: Path,
) -> None:
    base, journal = tmp_path / "base", tmp_path / "journal"
    base.write_bytes(bytes(2 * BLOCK))
    written = RECORD.pack(1, 0, 2 * BLOCK, WRITE) + b"x" * 2 * BLOCK
    # The power goes before one of these.
    journal.write_bytes(written + RECORD.pack(2, 0, 0, FLUSH))

    found = [
        one.image.read_bytes() for one in crash_images(base, journal, 100, random.Random(SEED), tmp_path)
    ]

    assert {len(set(image[:SUPERBLOCK_BYTES])) for image in found} == {1}
    assert {len(set(image[SUPERBLOCK_BYTES:])) for image in found} == {1, 2}
