"""A customer, who earns and spends points: a class of the library `eventsourcing`, used unchanged."""

from eventsourcing.domain import Aggregate, event


class NotEnoughPoints(Exception):
    """A customer would spend more points than there are."""


class Customer(Aggregate):
    """Somebody who buys, and gets points for it."""

    @event("Registered")
    def __init__(self, name: str) -> None:
        self.name = name
        self.points = 0

    @event("PointsEarned")
    def earn(self, points: int) -> None:
        """So many more."""
        if points < 1:
            raise ValueError("points are earned one by one, at least")
        self.points += points

    @event("PointsSpent")
    def spend(self, points: int) -> None:
        """So many less, if there are as many."""
        if not 1 <= points <= self.points:
            raise NotEnoughPoints(f"there are {self.points} points")
        self.points -= points
