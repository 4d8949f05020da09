"""Numbers of things in sentences: `counted`."""


def counted(number: int, one: str, many: str = "") -> str:
    """A number with what it counts: `counted(2, "event")` is `2 events`.

    `many` is what more than one are called where that is not `one` with an s, as with a verb behind it.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
