"""A law that does not hold, and what shows it: `LawBroken`."""

from typing import Literal

Law = Literal["answered", "declared", "repeated", "as_then", "rebuilt", "log", "stream", "restarted", "tried"]

# The text of each law.
LAWS: dict[Law, str] = {
    "answered": "a command is accepted or refused, and never ends in a defect",
    "declared": "a command leads to what its verb declares, and to nothing else",
    "repeated": "a command under the same id gets the same answer, byte for byte, and changes nothing",
    "as_then": "a row as it was at a position is what was read then",
    "rebuilt": "tables that are made anew of the events are the same, byte for byte",
    "log": "positions have no gap, and the log has exactly what was answered",
    "stream": "the stream of events is the log",
    "restarted": "a restart changes nothing",
    "tried": "every verb was accepted once at least: nothing is proved of one that never was",
}


class LawBroken(AssertionError):
    """A law that does not hold: its name, and `seen`, what shows it.

    `lived` are the commands that had been sent until then, of a history of `count` commands.
    `is_at_the_end`: all had been sent, and a check at the end found it.
    """

    def __init__(self, law: Law, seen: str) -> None:
        super().__init__(f"{law}: {LAWS[law]}\n  {seen}")
        self.law: Law = law
        self.seen = seen
        self.lived: list[str] = []
        self.count = 0
        self.is_at_the_end = False
