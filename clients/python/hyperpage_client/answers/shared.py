"""Rows, results and answers of many tables. Made by `make client`."""

import msgspec


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are."""

    count: int
