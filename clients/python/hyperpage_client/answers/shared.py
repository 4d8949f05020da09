"""Rows, results and answers of many tables. Made by `make client`."""

import msgspec


class JobBudget(msgspec.Struct, frozen=True, kw_only=True):
    """The limit that a job draws on, as it was accepted once; what it leaves out is not said."""

    platform: str
    resource: str | None = None
    identifier: str | None = None
    cost: int = 1


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are."""

    count: int
