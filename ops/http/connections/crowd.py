"""All connections: their number for each address, and which one is closed for a new one: `Crowd`.

A new connection is refused only if no other one can be closed. A connection can be closed while it only
waits: its request has not come or not whole, it was answered, or the client does not read the answer. The
address with most connections loses one, the one that was of use longest ago. So a client that sends its
request at once is answered, however many connections other clients hold open.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address, ip_network

from ops.http.layers.addresses import network_of
from ops.metrics.http_counts import HttpCounts


class Seat:
    """One connection, from the moment at which it is accepted. Its protocol replaces the functions."""

    def __init__(self, network: str, abort: Callable[[], None]) -> None:
        self.network = network
        self.abort = abort
        """Ends the connection at once."""
        self.only_waits: Callable[[], bool] = lambda: True
        """Whether nothing is done for the connection at the moment."""
        self.look_after: Callable[[float], None] = lambda now: None
        """Ends the connection if something has taken too long, by the loop's clock."""


class Crowd:
    """The connections of one server: `most` at most, `most_of_one` of one address unless it is a proxy's."""

    def __init__(
        self, counts: HttpCounts, *, most: int, most_of_one: int, proxies: Collection[str] = ()
    ) -> None:
        self._counts = counts
        self._most = most
        self._most_of_one = most_of_one
        self._proxies = [ip_network(one, strict=False) for one in proxies if _is_network(one)]
        self._all_are_proxies = "*" in proxies
        # By address: its connections in the order of their last use, or else of their beginning.
        self._seats: dict[str, dict[Seat, None]] = {}

    @property
    def count(self) -> int:
        """How many connections there are."""
        return self._counts.connections

    def enter(self, host: str, abort: Callable[[], None]) -> Seat | None:
        """The seat of a new connection; `None` if there is no place and all connections are in use."""
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
        """Notes that a request came or was answered: its address's other connections are closed first now."""
        its_own = self._seats.get(seat.network, {})
        if seat in its_own:
            del its_own[seat]
            its_own[seat] = None

    def leave(self, seat: Seat) -> None:
        """Removes a connection that has ended; further calls do nothing."""
        its_own = self._seats.get(seat.network, {})
        if seat in its_own:
            del its_own[seat]
            self._counts.connections -= 1
            if not its_own:
                del self._seats[seat.network]

    def make_room(self) -> bool:
        """Ends a connection that only waits, first of the address with most; false if there is none."""
        fullest: dict[Seat, None] = max(self._seats.values(), key=len, default={})
        if self._end_one_of(fullest):
            return True
        return any(self._end_one_of(its_own) for its_own in list(self._seats.values()))

    def look_after_all(self) -> None:
        """Has each connection check its deadlines."""
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
