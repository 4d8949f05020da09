"""A school for dogs: events named by the decorator, an attribute that is changed in place."""

from eventsourcing.domain import Aggregate, event


class Dog(Aggregate):
    """A dog that learns."""

    @event("Registered")
    def __init__(self, name: str):
        self.name = name
        self.tricks: list[str] = []

    @event("TrickAdded")
    def add_trick(self, trick: str, loudly: bool = False) -> None:
        """The dog can do one more."""
        self.tricks.append(trick.upper() if loudly else trick)

    def knows(self, trick: str) -> bool:
        return trick in self.tricks
