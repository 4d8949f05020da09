"""Puts a finished file in the place of a store's. After a crash, there is the old store or the new one.

intent (on disk) ─▶ old store set aside, or its side files removed ─▶ new file in place ─▶ remove the intent
before the intent is on disk: the old store       after that: the new one; a start finishes the swap
"""

from pathlib import Path

import msgspec

from bus.kept_files import sync_folder, write_private
from ops.targets.documents import decode_document

INTENT_FILE = "restore.json"
# The suffix, behind the store's name, of the file that a restore makes.
WORK_SUFFIX = ".restoring"


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A replacement of the store that is under way, with names of files in the data directory."""

    work: str
    set_aside: str | None
    """The name that the old file gets; `None` if it goes, since a backup has it."""
    position: int
    timeline: int


def swap(store: Path, intent: Intent) -> None:
    """Replaces a store that is not in use; the new one is on disk when this returns."""
    write_private(store.parent / INTENT_FILE, msgspec.json.encode(intent))
    finish_swap(store)


def finish_swap(store: Path) -> Intent | None:
    """Finishes an interrupted replacement; `None` if there was none. The caller holds the data directory."""
    path = store.parent / INTENT_FILE
    try:
        intent = decode_document(path.read_bytes(), Intent)
    except FileNotFoundError:
        return None
    work = store.parent / intent.work
    if work.exists():
        remove(store, intent.set_aside)
        sync_folder(store.parent)
        work.replace(store)
        sync_folder(store.parent)
    path.unlink()
    sync_folder(store.parent)
    return intent


def settle(store: Path) -> str | None:
    """Leaves the old store or the new one in place, and says which; `None` if no restore was interrupted.

    The caller holds the data directory.
    """
    intent = finish_swap(store)
    leftovers = list(store.parent.glob(f"{store.name}{WORK_SUFFIX}*"))
    for leftover in leftovers:
        leftover.unlink()
    if intent is not None:
        return (
            f"a restore to position {intent.position} was cut off at its end, and is done now:"
            f" this is the new store, on timeline {intent.timeline}"
        )
    if leftovers:
        return "a restore was cut off before its end: this is the old store, as it was"
    return None


def remove(store: Path, set_aside: str | None) -> None:
    """Renames a store that is not in use to `set_aside`; without a name, removes its side files alone."""
    # SQLite would apply the WAL of the old file to the new one, and destroy it.
    for suffix in ("-wal", "-shm", "-journal", ""):
        old = store.with_name(store.name + suffix)
        if not old.exists():
            continue
        if set_aside is not None:
            old.replace(store.with_name(set_aside + suffix))
        elif suffix:
            old.unlink()
