"""Rows, results and answers of `app_state`. Made by `make client`."""

from typing import Any

import msgspec


class AppStateRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key and its value. Times are milliseconds since the epoch."""

    key: str
    value: Any
    updated_at: int
    version: int
    position: int
    expires_at: int | None = None
