"""All connections at once: how many there are, of whom, and which one gives way to a new one: `Crowd`.

Nobody is turned away as long as somebody else only waits. A connection gives way that holds a place and gives
nothing for it: no request yet, half a request, none any more, or an answer that is not read. It is one of
whoever has most, and there the one that was of use longest ago. So a request that comes at once is answered,
however many others hold their connections open.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address, ip_network

from ops.http.layers.addresses import network_of
from ops.metrics.http_counts import HttpCounts


class Seat:
    """One connection, from the moment at which it is accepted. Who serves it says what the functions do."""

    def __init__(self, network: str, abort: Callable[[], None]) -> None:
        self.network = network
        self.abort = abort
        """Ends it at once."""
        self.only_waits: Callable[[], bool] = lambda: True
        """Whether nothing is done for it at the moment."""
        self.look_after: Callable[[float], None] = lambda now: None
        """Ends it if something has taken too long, by the loop's clock."""


class Crowd:
    """The connections of one server: `most` of them, `most_of_one` of one address unless it is a proxy's."""

    def __init__(
        self, counts: HttpCounts, *, most: int, most_of_one: int, proxies: Collection[str] = ()
    ) -> None:
        self._counts = counts
        self._most = most
        self._most_of_one = most_of_one
        self._proxies = [ip_network(one, strict=False) for one in proxies if _is_network(one)]
        self._all_are_proxies = "*" in proxies
        # By address; of each, in the order in which they were of use, at first of their beginning.
        self._seats: dict[str, dict[Seat, None]] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return self._counts.connections

    def enter(self, host: str, abort: Callable[[], None]) -> Seat | None:
        """The seat of a new connection; `None` if all that there are are in use."""
        network = network_of(host)
        its_own = self._seats.get(network, {})
        if len(its_own) >= self._most_of_one and not self._is_proxy(host) and not self._end_one_of(its_own):
            return None
        if self.count >= self._most and not self.make_room():
            return None
        seat = Seat(network, abort)
        self._seats.setdefault(network, {})[seat] = None
        self._counts.connections += 1
        return seat

    def was_of_use(self, seat: Seat) -> None:
        """Takes in that a request came, or was answered: it is the last of its address to give way now."""
        its_own = self._seats.get(seat.network, {})
        if seat in its_own:
            del its_own[seat]
            its_own[seat] = None

    def leave(self, seat: Seat) -> None:
        """Takes a connection out that has ended; once is enough."""
        its_own = self._seats.get(seat.network, {})
        if seat in its_own:
            del its_own[seat]
            self._counts.connections -= 1
            if not its_own:
                del self._seats[seat.network]

    def make_room(self) -> bool:
        """Ends a connection that only waits, of the address that has most; false if there is none."""
        fullest: dict[Seat, None] = max(self._seats.values(), key=len, default={})
        if self._end_one_of(fullest):
            return True
        return any(self._end_one_of(its_own) for its_own in list(self._seats.values()))

    def look_after_all(self) -> None:
        """Has each connection look whether it is too late for something."""
        now = asyncio.get_running_loop().time()
        for seat in [one for its_own in self._seats.values() for one in its_own]:
            seat.look_after(now)

    def end_all(self) -> None:
        """Ends every connection at once."""
        for seat in [one for its_own in self._seats.values() for one in its_own]:
            seat.abort()

    def _end_one_of(self, seats: Iterable[Seat]) -> bool:
        seat = next((one for one in seats if one.only_waits()), None)
        if seat is None:
            return False
        self.leave(seat)
        self._counts.gave_way += 1
        seat.abort()
        return True

    def _is_proxy(self, host: str) -> bool:
        if self._all_are_proxies:
            return True
        if not self._proxies:
            return False
        address = ip_address(host)
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in one for one in self._proxies)


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
