"""Numbers of things in sentences: `counted`."""


def counted(number: int, one: str, many: str = "") -> str:
    """A number with the noun that it counts: `counted(2, "event")` is `2 events`.

    `many` is the plural where that is not `one` with an s: `counted(2, "event is", "events are")`.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
