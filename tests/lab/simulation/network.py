"""The network between loops and the broker: bytes that arrive in order, late, in other pieces, or never."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.lab.simulation.scheduler import Scheduler, SimulatedLoop

# How long bytes are on their way, usually and sometimes.
USUAL_SECONDS = (50e-6, 800e-6)
SLOW_SECONDS = (0.002, 0.08)
SLOW_PROBABILITY = 0.02
# How often a piece arrives as two.
SPLIT_PROBABILITY = 0.05


class Wire:
    """One direction of a connection."""

    def __init__(self, scheduler: Scheduler, deliver: Callable[[bytes], None], name: str) -> None:
        self._scheduler = scheduler
        self._deliver = deliver
        self._name = name
        # The time at which the last sent bytes arrive.
        self.last_arrival = 0.0
        # No bytes arrive before this time.
        self.held_until = 0.0
        self.is_cut = False

    def send(self, data: bytes) -> None:
        """Sends bytes, which arrive behind all earlier ones."""
        chance = self._scheduler.random
        if len(data) > 1 and chance.random() < SPLIT_PROBABILITY:
            middle = chance.randrange(1, len(data))
            self._send(data[:middle])
            self._send(data[middle:])
        else:
            self._send(data)

    def _send(self, data: bytes) -> None:
        chance = self._scheduler.random
        takes = chance.uniform(*(SLOW_SECONDS if chance.random() < SLOW_PROBABILITY else USUAL_SECONDS))
        arrival = max(self._scheduler.time + takes, self.last_arrival, self.held_until)
        self.last_arrival = arrival

        def arrived() -> None:
            if not self.is_cut:
                self._scheduler.note(f"{self._name} {data!r}")
                self._deliver(data)

        self._scheduler.at(arrival, arrived)


class Connection(asyncio.Transport):
    """The client's end of a connection, a transport of asyncio, with the way to the broker's end.

    `peer` is called there: `receive(connection, data)` and `lost(connection)`.
    """

    def __init__(self, loop: SimulatedLoop, protocol: Any, peer: Any, number: int) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._peer = peer
        self.number = number
        self.process = loop.process
        self._is_closing = False
        self._is_paused = False
        self._kept: list[bytes] = []
        scheduler = loop.scheduler
        name = f"{loop.process.name}/{loop.name}#{number}"
        self._out = Wire(scheduler, lambda data: peer.receive(self, data), f"{name} >")
        self._in = Wire(scheduler, self._arrived, f"{name} <")
        loop.process.on_death.append(self.reset)

    # The broker's side.

    def answer(self, data: bytes) -> None:
        """Sends to the client."""
        self._in.send(data)

    def hold(self, until: float) -> None:
        """Holds back all bytes, in both directions, until that time."""
        self._in.held_until = self._out.held_until = until

    def hold_sent(self, until: float) -> None:
        """Holds back all bytes from the client until that time."""
        self._out.held_until = until

    def reset(self) -> None:
        """Ends the connection for both sides; bytes on their way are lost."""
        if self._out.is_cut:
            return
        self._out.is_cut = self._in.is_cut = True
        self._peer.lost(self)
        self._lose(ConnectionResetError("Connection reset by peer"))

    def lose_client(self) -> None:
        """Ends the client's side; bytes that it sent still arrive, and only then the broker sees the end."""
        if not self._out.is_cut:
            self._in.is_cut = True
            self._lose(ConnectionResetError("Connection reset by peer"))
            self._end_behind_what_was_sent()

    def _end_behind_what_was_sent(self) -> None:
        scheduler = self._loop.scheduler
        scheduler.at(max(self._out.last_arrival, scheduler.time), self._gone)

    def _lose(self, error: Exception | None) -> None:
        def lost() -> None:
            self._is_closing = True
            self._protocol.connection_lost(error)

        self._loop.scheduler.of_process(self.process, lambda: self._loop.call_soon(lost))()

    def _arrived(self, data: bytes) -> None:
        def take() -> None:
            if self._is_closing:
                return
            if self._is_paused:
                self._kept.append(data)
            else:
                self._protocol.data_received(data)

        self._loop.scheduler.of_process(self.process, lambda: self._loop.call_soon(take))()

    # The client's side, as asyncio has it.

    def write(self, data: Any) -> None:
        if not (self._is_closing or self._out.is_cut or self.process.is_dead) and data:
            self._out.send(bytes(data))

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._end_behind_what_was_sent()
        self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def _gone(self) -> None:
        if not self._out.is_cut:
            self._out.is_cut = self._in.is_cut = True
            self._peer.lost(self)

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        kept, self._kept = self._kept, []
        for data in kept:
            self._loop.call_soon(self._arrived_later, data)

    def _arrived_later(self, data: bytes) -> None:
        if not self._is_closing:
            self._protocol.data_received(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Network:
    """The network with the address of a broker; `peer` is `None` while no broker listens."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.peer: Any = None
        self._count = 0
        SimulatedLoop.connect_to = self._connect

    async def _connect(self, loop: SimulatedLoop, protocol: Any, _host: str, _port: int) -> tuple[Any, Any]:
        await asyncio.sleep(self._scheduler.random.uniform(*USUAL_SECONDS))
        if self.peer is None:
            raise ConnectionRefusedError(111, "Connect call failed")
        self._count += 1
        connection = Connection(loop, protocol, self.peer, self._count)
        protocol.connection_made(connection)
        self.peer.connected(connection)
        return connection, protocol
