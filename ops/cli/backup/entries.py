"""How a backup is told of, to programs and to people."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ops.backup.metadata import Backup


def entry_of(backup: "Backup") -> dict[str, Any]:
    """What programs are told of a backup."""
    from ops.targets.target import address

    return {
        "name": backup.name,
        "path": address(backup.place),
        "status": backup.metadata.status,
        "metadata": backup.metadata,
    }


def size_text(size_bytes: int) -> str:
    """A size in the unit that fits."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
