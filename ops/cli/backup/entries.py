"""How a backup is told of to people."""


def size_text(size_bytes: int) -> str:
    """A size in the unit that fits."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
