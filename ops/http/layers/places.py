"""How many requests are answered at once, in all and for one holder: `Places`. `Stay` is one request."""

from collections import Counter

from domain.errors import Busy

# How many requests are answered at once. Event streams have a limit of their own and do not count.
MAXIMUM_UNDER_WAY = 256
# How many of them one address may have, and one token.
MAXIMUM_OF_ONE = 128
# Health checks have places of their own, so that other requests cannot block them. So have scrapers of
# metrics, whose answers take longer.
MAXIMUM_WATCHING = 32
MAXIMUM_SCRAPING = 8
RETRY_AFTER_MS = 1_000


class Places:
    """Places for requests: `most` in all, `most_of_one` for one holder, an address or a token by name."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self.taken = 0
        self._of_one: Counter[tuple[str, str]] = Counter()

    def take(self) -> None:
        """Counts one more request.

        Raises:
            Busy: there are too many.
        """
        if self.taken >= self._most:
            raise Busy("too many requests are under way", hint="try again", retry_after_ms=RETRY_AFTER_MS)
        self.taken += 1

    def give_back(self) -> None:
        """Counts one request less."""
        self.taken -= 1

    def take_for(self, holder: tuple[str, str]) -> None:
        """Counts one more request of a holder.

        Raises:
            Busy: the holder has too many.
        """
        if self._of_one[holder] >= self._most_of_one:
            kind, _ = holder
            raise Busy(
                f"too many requests of this {kind} are under way",
                hint="try again",
                retry_after_ms=RETRY_AFTER_MS,
            )
        self._of_one[holder] += 1

    def give_back_for(self, holder: tuple[str, str]) -> None:
        """Counts one request of a holder less."""
        self._of_one[holder] -= 1
        if self._of_one[holder] == 0:
            del self._of_one[holder]


class Stay:
    """The place of one request, from the end of its body until its answer begins."""

    def __init__(self, places: Places, address: str) -> None:
        self._places = places
        self._holders = [("address", address)]
        self._taken: list[tuple[str, str]] = []
        self._is_in = False
        self._is_over = False

    def enter(self) -> None:
        """Takes a place, unless this request has one or has left.

        Raises:
            Busy: no place is left, in all or for this request's holders.
        """
        if self._is_in or self._is_over:
            return
        self._places.take()
        self._is_in = True
        try:
            for holder in self._holders:
                self._take_for(holder)
        except Busy:
            self.leave()
            raise

    def is_of(self, token: str) -> None:
        """Notes the token of the request, which is a holder of its place, too.

        Raises:
            Busy: the token has too many places.
        """
        holder = ("token", token)
        self._holders.append(holder)
        if self._is_in:
            self._take_for(holder)

    def leave(self) -> None:
        """Gives the place back for good; further calls do nothing."""
        self._is_over = True
        if self._is_in:
            self._is_in = False
            self._places.give_back()
            while self._taken:
                self._places.give_back_for(self._taken.pop())

    def _take_for(self, holder: tuple[str, str]) -> None:
        self._places.take_for(holder)
        self._taken.append(holder)
