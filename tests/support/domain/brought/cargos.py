"""Cargo on its way: private attributes behind properties, a mutator for each event, values of own classes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import uuid4

from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate


class Port(Enum):
    HAMBURG = "hamburg"
    NEW_YORK = "new_york"
    STOCKHOLM = "stockholm"


class Handling(Enum):
    RECEIVE = "receive"
    LOAD = "load"
    UNLOAD = "unload"
    CLAIM = "claim"


@dataclass(frozen=True)
class Leg:
    origin: Port
    destination: Port
    voyage: str


@dataclass(frozen=True)
class Itinerary:
    legs: tuple[Leg, ...]


class Place:
    """Where cargo is; a plain class that stands in no event."""

    def __init__(self, port: Port, since: datetime) -> None:
        self.port = port
        self.since = since


class Cargo(Aggregate):
    def __init__(self, origin: Port, destination: Port, deadline: datetime):
        self._origin: Port = origin
        self._destination: Port = destination
        self._deadline = deadline
        self._route: Itinerary | None = None
        self._estimated_arrival: datetime | None = None
        self._place: Place | None = None
        self._next: tuple[Handling, Port] | None = None

    @property
    def origin(self) -> Port:
        return self._origin

    @property
    def destination(self) -> Port:
        return self._destination

    @property
    def deadline(self) -> datetime:
        return self._deadline

    @property
    def route(self) -> Itinerary | None:
        return self._route

    @property
    def estimated_arrival(self) -> datetime | None:
        return self._estimated_arrival

    @property
    def place(self) -> Place | None:
        return self._place

    @classmethod
    def book(cls, origin: Port, destination: Port, deadline: datetime) -> Cargo:
        return cls._create(cls.Booked, id=uuid4(), origin=origin, destination=destination, deadline=deadline)

    def assign_route(self, route: Itinerary) -> None:
        if route.legs[-1].destination is not self._destination:
            raise ValueError("the route ends elsewhere")
        self.trigger_event(self.RouteAssigned, route=route)

    def handle(self, handling: Handling, port: Port) -> None:
        self.trigger_event(self.Handled, handling=handling, port=port)

    class Event(Aggregate.Event):
        def apply(self, aggregate: Cargo) -> None:
            aggregate.when(self)

    class Booked(Aggregate.Created):
        origin: Port
        destination: Port
        deadline: datetime

    class RouteAssigned(Event):
        route: Itinerary

    class Handled(Event):
        handling: Handling
        port: Port

    @singledispatchmethod
    def when(self, event: Event) -> None:
        """What an event does, of which more is said below."""

    @when.register
    def _(self, event: Cargo.RouteAssigned) -> None:
        self._route = event.route
        # Of the event, and not of the clock: it is the same whenever it is applied.
        self._estimated_arrival = event.timestamp + timedelta(weeks=1)
        self._next = (Handling.RECEIVE, self._origin)

    @when.register
    def _(self, event: Cargo.Handled) -> None:
        if self._next is not None and event.handling is not self._next[0]:
            raise ValueError(f"{event.handling.value} is not what comes next")
        self._place = Place(event.port, event.timestamp)
        following = list(Handling)[list(Handling).index(event.handling) + 1 :]
        self._next = (following[0], event.port) if following else None
