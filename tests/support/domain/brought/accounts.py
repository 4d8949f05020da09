"""Accounts at a bank: explicit event classes, exceptions that say no, amounts that are decimal."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

from eventsourcing.domain import Aggregate


class Account(Aggregate):
    def __init__(self, full_name: str, email: str) -> None:
        self.full_name = full_name
        self.email = email
        self.balance = Decimal("0.00")
        self.overdraft_limit = Decimal("0.00")
        self.is_closed = False

    @classmethod
    def open(cls, full_name: str, email: str) -> Account:
        """A new account, with nothing on it."""
        return cls._create(cls.Opened, id=uuid4(), full_name=full_name, email=email)

    def append_transaction(self, amount: Decimal, note: str = "") -> None:
        """Money comes, or, below zero, goes."""
        self.require_open()
        if self.balance + amount < -self.overdraft_limit:
            raise InsufficientFundsError({"balance": self.balance})
        self.trigger_event(self.TransactionAppended, amount=amount, note=note)

    def set_overdraft_limit(self, limit: Decimal) -> None:
        assert limit >= 0, "a limit is not below zero"
        self.require_open()
        self.trigger_event(self.OverdraftLimitSet, limit=limit)

    def close(self) -> None:
        self.require_open()
        self.trigger_event(self.Closed)

    def require_open(self) -> None:
        if self.is_closed:
            raise AccountClosedError

    def is_overdrawn(self) -> bool:
        return self.balance < 0

    class Opened(Aggregate.Created):
        full_name: str
        email: str

    class TransactionAppended(Aggregate.Event):
        amount: Decimal
        note: str = ""

        def apply(self, aggregate: Account) -> None:
            aggregate.balance += self.amount

    class OverdraftLimitSet(Aggregate.Event):
        limit: Decimal

        def apply(self, aggregate: Account) -> None:
            aggregate.overdraft_limit = self.limit

    class Closed(Aggregate.Event):
        def apply(self, aggregate: Account) -> None:
            aggregate.is_closed = True


class AccountClosedError(Exception):
    pass


class InsufficientFundsError(Exception):
    pass
