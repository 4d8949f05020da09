"""Stores whose backups and archive are signed, and forgeries of these without the key."""

import hashlib
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bus.log import chain
from ops.archive.reading import read_segment
from ops.archive.segment import END_BYTES, END_FRAME, SIGNATURE_FRAME_BYTES, Segment
from ops.archive.writing import row_lines, write_segment
from ops.backup.create import create_backup
from ops.backup.metadata import Backup, metadata_path, write_metadata
from ops.targets.places import Places
from ops.targets.sealing import Sealing
from ops.targets.signing import Signing, SigningKey, make_key
from ops.targets.target import delete_file, write_file
from ops.targets.vouching import checksum_of
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import VERSION
from tests.support.stores.keys import KEY


class SignedStore(Archived):
    """A store with a key of its own, in a folder or where `places` says."""

    def __init__(
        self,
        folder: Path,
        sealing: Sealing = Sealing(),  # noqa: B008 - nothing changes it
        seed: int = 0,
        places: Places | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.key_file = folder / "signing-key.txt"
        here = places or Places(
            store=folder / "hyperpage.db",
            backups=folder / "backups",
            archive=folder / "archive",
            sealing=sealing,
        )
        super().__init__(
            folder, seed, places=msgspec.structs.replace(here, signing=Signing(key_file=self.key_file))
        )

    @property
    def signing(self) -> Signing:
        return self.places.signing

    @property
    def strict(self) -> Signing:
        """The same signing, which also refuses what no trusted key has signed."""
        return msgspec.structs.replace(self.signing, is_required=True)

    @property
    def strict_places(self) -> Places:
        return msgspec.structs.replace(self.places, signing=self.strict)

    @property
    def key(self) -> SigningKey:
        found = self.signing.own_key
        assert found is not None
        return found


def key_in(folder: Path) -> SigningKey:
    """A key that the store does not know."""
    folder.mkdir(exist_ok=True)
    file = folder / "their-key.txt"
    make_key(file)
    found = Signing(key_file=file).own_key
    assert found is not None
    return found


def forged_store(store: Path, folder: Path) -> Path:
    """A copy of a store in which one event is forged, and all else fits it."""
    folder.mkdir(exist_ok=True)
    forged = folder / "forged.db"
    with closing(apsw.Connection(str(store))) as source, closing(apsw.Connection(str(forged))) as target:
        with target.backup("main", source, "main") as backup:
            backup.step()
        target.pragma("journal_mode", "delete")
        target.execute('UPDATE events SET metadata = \'{"actor":"nobody"}\' WHERE position = 2')
        previous = chain.GENESIS_HASH
        rows: list[Any] = target.execute("SELECT * FROM events ORDER BY position").fetchall()
        for row in rows:
            previous = chain.chain_hash(previous, *row[:-1])
            target.execute("UPDATE events SET hash = ? WHERE position = ?", (previous, row[0]))
    return forged


def forge_backup(backup: Backup, store: Path, folder: Path, signer: SigningKey | None = None) -> None:
    """Puts another store's file in the place of a backup, with metadata that fit it."""
    made = create_backup(
        forged_store(store, folder),
        folder / "made",
        version=VERSION,
        now_ms=backup.metadata.timestamp,
        sealing=backup.metadata.sealing,
    )
    assert made.name == backup.name
    if signer is not None:
        write_metadata(made.place, made.metadata, signer)
    write_file(backup.place, made.path.read_bytes())
    write_file(metadata_path(backup.place), metadata_path(made.path).read_bytes())
    shutil.rmtree(folder)


def signature_line(backup: Backup) -> bytes:
    """The member of a backup's metadata that is its signature, as it stands there."""
    content = metadata_path(backup.place).read_bytes()
    return content[content.rindex(b',\n  "signature": ') :]


def change_metadata(backup: Backup, **changes: Any) -> None:
    """Changes members of a backup's metadata; its own checksum fits, and the signature is left as it was."""
    content = metadata_path(backup.place).read_bytes()
    members = msgspec.json.decode(content, type=dict[str, Any])
    del members["signature"]
    members |= changes
    members["metadata_checksum"] = checksum_of(members)
    body = msgspec.json.format(msgspec.json.encode(members)) + b"\n"
    write_file(metadata_path(backup.place), body.removesuffix(b"\n}\n") + signature_line(backup))


def strip_backup(backup: Backup) -> None:
    """Removes the signature of a backup."""
    content = metadata_path(backup.place).read_bytes()
    write_file(metadata_path(backup.place), content.removesuffix(signature_line(backup)) + b"\n}\n")


def forge_segment(segment: Segment, signer: SigningKey | None = None) -> None:
    """Puts a segment in the place of another: the same events, and other remembered answers."""
    content = read_segment(segment, [KEY])
    answers = [one._replace(answer='{"forged":true}') for one in content.answers]
    rows = content.rows
    write_segment(
        segment.place,
        content.header,
        row_lines(rows),
        answers,
        last_hash=rows[-1].hash.hex() if rows else None,
        recipients=_recipients(segment),
        signer=signer,
    )


def graft_signature(before: bytes, segment: Segment) -> None:
    """Gives a segment that is not encrypted the signature of what was there before."""
    content = segment.place.read_bytes()[:-END_BYTES]
    signed = content + before[:-END_BYTES][-SIGNATURE_FRAME_BYTES:]
    write_file(segment.place, signed + END_FRAME + hashlib.sha256(signed).digest())


def contents(folder: Path) -> dict[Path, bytes]:
    """The files in a folder with their content, except those that SQLite keeps for readers."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if not path.name.endswith(("-shm", "-wal"))}


def remove_key(store: SignedStore) -> None:
    delete_file(store.key_file)


def _recipients(segment: Segment) -> tuple[str, ...]:
    return (str(KEY.to_public()),) if segment.is_encrypted else ()
