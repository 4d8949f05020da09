"""`Seen`: how far into the log a client has seen, so that it never reads what is older."""

from collections.abc import Mapping

from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.contract.headers import MINIMUM_POSITION
from hyperpage_client.contract.log_place import LogPlace, place_in

_NOTHING = LogPlace(0, 0)


class Seen:
    """The newest place in the log that answers and events told of; used in one event loop."""

    def __init__(self) -> None:
        self._newest = _NOTHING

    @property
    def place(self) -> str | None:
        """The place as `1-41872`, timeline and position, for `Hyperpage-Min-Position`; `None`: none yet."""
        return None if self._newest is _NOTHING else str(self._newest)

    @property
    def headers(self) -> dict[str, str] | None:
        """The header with which a query reads nothing older."""
        return None if self._newest is _NOTHING else {MINIMUM_POSITION: str(self._newest)}

    def note_answer(self, answer: CommandAnswer) -> None:
        """Takes in the place of an answer to a command."""
        if answer.position is not None and (answer.timeline, answer.position) > self._newest:
            self._newest = LogPlace(answer.timeline, answer.position)

    def note_headers(self, headers: Mapping[str, str]) -> None:
        """Takes in the place that the headers of a query's answer have."""
        if (place := place_in(headers)) is not None:
            self.note(place)

    def note(self, place: LogPlace) -> None:
        """Takes in a place that the log has reached."""
        self._newest = max(self._newest, place)

    def forget(self) -> None:
        """Forgets the place, so that older answers are taken again: the store is another one."""
        self._newest = _NOTHING
