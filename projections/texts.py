"""Types of which JSON has each value as one text: a table keeps that text, too, and a lake."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec

TEXTS: tuple[type, ...] = (Decimal, UUID, datetime, date, time, timedelta, bytes)


def as_text(value: object) -> object:
    """A value of one of these types as its text, as msgspec writes it; any other as it is."""
    return msgspec.to_builtins(value) if isinstance(value, TEXTS) else value
