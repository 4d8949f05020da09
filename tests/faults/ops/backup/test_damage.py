"""Every damage that bytes can suffer is refused for the right reason, on verifying and on restoring.

Backups and segments in the clear, compressed, encrypted and both; `CASES` are what happens to them.
"""

import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from ops.archive.archiver import Archiver
from ops.archive.reading import read_segment
from ops.archive.segment import METADATA_SUFFIX, Segment, list_segments
from ops.archive.writing import row_lines, write_segment
from ops.backup.create import create_backup
from ops.backup.metadata import Backup, metadata_path, write_metadata
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.verify import verify_backup
from ops.store.projections_check import verify
from ops.targets.errors import BackupError
from ops.targets.places import Places
from ops.targets.sealing import Sealing
from tests.support.chance import SEED
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import VERSION
from tests.support.stores.keys import KEY, PUBLIC, SEALED
from tests.support.stores.looking_inside import log_of

FORMS = (Sealing(), Sealing("zstd"), Sealing("none", (PUBLIC,)), SEALED)


class Expected(NamedTuple):
    """Why it must be refused, and what the message must say: a regular expression."""

    reason: str
    message: str


SIZE = Expected("size_differs", r"has \d+ bytes, and had \d+ when it was made")
CHECKSUM = Expected("checksum_differs", "was changed: its SHA-256 is another one")
NO_METADATA = Expected("no_metadata", "has no .*: it was never finished, or its metadata was lost")
FORMAT = Expected("unknown_format", r"is of format (-?\d+|None|'.*'), and this program reads 1")
METADATA = Expected("metadata_damaged", "cannot be read|was changed: its own checksum does not fit")
FOREIGN = Expected("foreign", "is of store .*, not of ")
SEGMENT = Expected("segment_damaged", "is damaged: its SHA-256 does not fit")
BESIDE = Expected("segment_damaged", "cannot be read|its own checksum does not fit|is another one")
ANOTHER = Expected("segment_damaged", "is another one: it has events")
GAP = Expected("unreachable_moment", r"lacks event \d+ of timeline 1")


class Gallery:
    """A stopped store and another; backups of each form, and archives in the clear and encrypted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ours, self.our_backups = self._make(folder / "ours", 0)
        self.theirs, self.their_backups = self._make(folder / "theirs", 1)
        self.store_id = self.our_backups[FORMS[0]][0].metadata.store_id
        self.content = self.ours.path.read_bytes()

    def _make(self, folder: Path, seed: int) -> tuple[Archived, dict[Sealing, list[Backup]]]:
        stored = Archived(folder, seed)
        in_the_clear = stored.archiver
        encrypted = Archiver(
            folder / "encrypted",
            stored.store.origin,
            stored.readers.connection,
            store=stored.path,
            recipients=SEALED.recipients,
        )
        made: dict[Sealing, list[Backup]] = {form: [] for form in FORMS}
        for form in FORMS * 2:
            stored.work(15)
            made[form].append(
                create_backup(
                    stored.path, stored.folder, version=VERSION, now_ms=stored.clock.now, sealing=form
                )
            )
            told = stored._told
            for stored.archiver in (in_the_clear, encrypted):
                # Both archivers are notified of the same commits.
                stored._told = told
                stored.archive()
        stored.close()
        return stored, made

    def segments(self, whose: Archived, *, encrypted: bool) -> list[Segment]:
        return list_segments(whose.path.parent / ("encrypted" if encrypted else "archive"))

    def require_backup_refused(self, backup: Backup, expected: Expected) -> None:
        with pytest.raises(BackupError) as verifying:
            verify_backup(backup.place, store_id=self.store_id, identities=[KEY])
        with pytest.raises(BackupError) as restoring:
            restore(
                self.ours.places,
                Moment(backup=str(backup.place)),
                version=VERSION,
                safety=False,
                identities=[KEY],
            )
        for caught in (verifying, restoring):
            assert caught.value.reason == expected.reason, caught.value.message
            assert re.search(expected.message, caught.value.message), caught.value.message
            assert backup.name in caught.value.message
        # Nothing was done to the store, and nothing is left beside it.
        assert self.ours.path.read_bytes() == self.content
        assert not [path.name for path in self.ours.path.parent.iterdir() if "restor" in path.name]

    def require_archive_refused(self, segment: Segment, expected: Expected) -> None:
        folder = segment.path.parent.parent
        nothing = self.folder / "nothing" / "hyperpage.db"
        with pytest.raises(BackupError) as caught:
            restore(
                Places(store=nothing, backups=nothing.parent / "backups", archive=folder),
                # A restore of the latest would do without the refused segment.
                Moment(position=max(one.last for one in list_segments(folder))),
                version=VERSION,
                identities=[KEY],
            )
        assert caught.value.reason == expected.reason, caught.value.message
        assert re.search(expected.message, caught.value.message), caught.value.message
        assert expected is GAP or segment.name in caught.value.message
        assert not list(nothing.parent.glob("hyperpage*"))


@contextmanager
def healed(*paths: Path) -> Iterator[None]:
    """The files are as they were once the block has ended."""
    contents = [path.read_bytes() for path in paths]
    try:
        yield
    finally:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)


def flipped(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.choice([0, len(content) - 1, chance.randrange(len(content))])]


def grown(content: bytes, chance: random.Random) -> bytes:
    return content + chance.choice([b"\0", content[-1:], chance.randbytes(chance.randint(1, 5_000))])


def overwritten(content: bytes, chance: random.Random) -> bytes:
    """A block is empty, another's, or noise, as after a write that went wrong."""
    size = min(4096, len(content) // 3)
    at, other = chance.randrange(len(content) - size), chance.randrange(len(content) - size)
    block = chance.choice([bytes(size), content[other : other + size], chance.randbytes(size)])
    damaged = content[:at] + block + content[at + size :]
    return damaged if damaged != content else flipped(content, chance)


BYTES = (flipped, flipped, cut, grown, overwritten)


def damage(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.choice(BYTES)(path.read_bytes(), chance))


def file_is_damaged(gallery: Gallery, form: Sealing, chance: random.Random) -> None:
    backup = chance.choice(gallery.our_backups[form])
    with healed(backup.path):
        damage(backup.path, chance)
        same_size = backup.path.stat().st_size == backup.metadata.size
        gallery.require_backup_refused(backup, CHECKSUM if same_size else SIZE)


def metadata_is_damaged(gallery: Gallery, form: Sealing, chance: random.Random) -> None:
    backup = chance.choice(gallery.our_backups[form])
    beside = metadata_path(backup.path)
    with healed(beside):
        damage(beside, chance)
        is_of_format = _members(beside.read_bytes())["format"] == 1
        gallery.require_backup_refused(backup, METADATA if is_of_format else FORMAT)


def _members(content: bytes) -> dict[str, object]:
    """The members of damaged metadata; what is no JSON object is refused before its format is looked at."""
    try:
        members: dict[str, object] = msgspec.json.decode(content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {"format": 1}
    return {"format": None} | members


def metadata_is_missing(gallery: Gallery, form: Sealing, chance: random.Random) -> None:
    backup = chance.choice(gallery.our_backups[form])
    with healed(metadata_path(backup.path)):
        metadata_path(backup.path).unlink()
        gallery.require_backup_refused(backup, NO_METADATA)


def format_is_another(gallery: Gallery, form: Sealing, chance: random.Random) -> None:
    backup = chance.choice(gallery.our_backups[form])
    with healed(metadata_path(backup.path)):
        write_metadata(
            backup.path, msgspec.structs.replace(backup.metadata, format=chance.choice([0, 2, 77]))
        )
        gallery.require_backup_refused(backup, FORMAT)


def files_are_swapped(gallery: Gallery, form: Sealing, chance: random.Random) -> None:
    """Two backups of one form have each other's files, or each other's metadata; or the other store's."""
    one, other = gallery.our_backups[form]
    if chance.random() < 0.5:
        one, other = other, one
    other = chance.choice([other, chance.choice(gallery.their_backups[form])])
    part: Callable[[Path], Path] = chance.choice([lambda path: path, metadata_path])
    with healed(part(one.path), part(other.path)):
        theirs = part(other.path).read_bytes()
        part(other.path).write_bytes(part(one.path).read_bytes())
        part(one.path).write_bytes(theirs)
        expected = CHECKSUM if one.metadata.size == other.metadata.size else SIZE
        if part is metadata_path and one.metadata.store_id != other.metadata.store_id:
            expected = FOREIGN
        gallery.require_backup_refused(one, expected)


def backup_is_of_another_store(gallery: Gallery, form: Sealing, chance: random.Random) -> None:
    """A foreign backup lies among ours with its metadata, under its own name or one of ours."""
    theirs = chance.choice(gallery.their_backups[form])
    name = chance.choice([theirs.name, chance.choice(gallery.our_backups[form]).name])
    place = gallery.folder / "moved" / name
    place.parent.mkdir(exist_ok=True)
    shutil.copy(theirs.path, place)
    shutil.copy(metadata_path(theirs.path), metadata_path(place))
    gallery.require_backup_refused(Backup(place, theirs.metadata), FOREIGN)


def _segment(gallery: Gallery, form: Sealing, chance: random.Random) -> Segment:
    return chance.choice(gallery.segments(gallery.ours, encrypted=bool(form.recipients)))


def segment_is_damaged(gallery: Gallery, form: Sealing, chance: random.Random) -> None:
    segment = _segment(gallery, form, chance)
    with healed(segment.path):
        damage(segment.path, chance)
        gallery.require_archive_refused(segment, SEGMENT)


def segment_is_damaged_beside(gallery: Gallery, form: Sealing, chance: random.Random) -> None:
    """The metadata beside an encrypted segment, readable without the key; a plain segment has none."""
    segment = chance.choice(gallery.segments(gallery.ours, encrypted=True))
    beside = segment.path.with_name(segment.name + METADATA_SUFFIX)
    with healed(beside):
        damage(beside, chance)
        is_of_format = _members(beside.read_bytes())["format"] == 1
        gallery.require_archive_refused(segment, BESIDE if is_of_format else FORMAT)


def segment_is_missing(gallery: Gallery, form: Sealing, chance: random.Random) -> None:
    """A segment is missing, or the metadata beside it. The last one is not taken: that would go unnoticed."""
    segment = chance.choice(gallery.segments(gallery.ours, encrypted=bool(form.recipients))[:-1])
    beside = segment.path.with_name(segment.name + METADATA_SUFFIX)
    path = chance.choice([segment.path, beside]) if segment.is_encrypted else segment.path
    with healed(path):
        path.unlink()
        gallery.require_archive_refused(segment, GAP)


def segment_is_of_another_format(gallery: Gallery, form: Sealing, chance: random.Random) -> None:
    segment = _segment(gallery, form, chance)
    beside = segment.path.with_name(segment.name + METADATA_SUFFIX)
    with healed(segment.path, *([beside] if segment.is_encrypted else [])):
        content = read_segment(segment, [KEY])
        header = msgspec.structs.replace(content.header, format=chance.choice([0, 2]))
        recipients = SEALED.recipients if segment.is_encrypted else ()
        write_segment(segment.path, header, row_lines(content.rows), content.answers, recipients=recipients)
        gallery.require_archive_refused(segment, FORMAT)


def segment_is_another(gallery: Gallery, form: Sealing, chance: random.Random) -> None:
    """Another segment is under the name of one of ours: a neighbour, or one of the other store."""
    encrypted = bool(form.recipients)
    segment, neighbour = chance.sample(gallery.segments(gallery.ours, encrypted=encrypted), 2)
    other = chance.choice([neighbour, *gallery.segments(gallery.theirs, encrypted=encrypted)])
    paths = [segment.path, segment.path.with_name(segment.name + METADATA_SUFFIX)][: 1 + encrypted]
    with healed(*paths):
        shutil.copy(other.path, segment.path)
        if encrypted:
            shutil.copy(other.path.with_name(other.name + METADATA_SUFFIX), paths[1])
        same_name = (other.first, other.last) == (segment.first, segment.last)
        gallery.require_archive_refused(segment, FOREIGN if same_name else ANOTHER)


CASES = (
    file_is_damaged,
    file_is_damaged,
    metadata_is_damaged,
    metadata_is_missing,
    format_is_another,
    files_are_swapped,
    backup_is_of_another_store,
    segment_is_damaged,
    segment_is_damaged,
    segment_is_damaged_beside,
    segment_is_missing,
    segment_is_of_another_format,
    segment_is_another,
)


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("count", [65, pytest.param(1_000, marks=pytest.mark.prove)])
def test_whatever_is_damaged_is_refused_for_the_right_reason(tmp_path: Path, count: int):
    print(f"seed {SEED}")
    gallery = Gallery(tmp_path)
    tally: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        form = FORMS[number // len(CASES) % len(FORMS)]
        case = CASES[number % len(CASES)]
        try:
            case(gallery, form, random.Random(SEED + number))
        except BaseException:
            print(f"case {number}: {case.__name__}, {form}")
            raise
        tally[case.__name__, form.suffix or "plain"] += 1
    for (name, form_name), times in sorted(tally.items()):
        print(f"{times:5} {name.replace('_', ' ')}, {form_name}")

    # A healed file is as good as before.
    for backups in gallery.our_backups.values():
        for backup in backups:
            verify_backup(backup.place, store_id=gallery.store_id, identities=[KEY])
    rows = log_of(gallery.ours.path)
    for encrypted in (False, True):
        segments = gallery.segments(gallery.ours, encrypted=encrypted)
        assert [row for one in segments for row in read_segment(one, [KEY]).rows] == rows
    assert verify(gallery.ours.path)["equal"]
