"""Credentials are not stored: where a JSON document holds one, and what is let through all the same.

scanning  finds them in a document
names     the names under which people keep them
shapes    what they look like
"""

from domain.credentials.scanning import (
    UNREADABLE,
    AllowedPaths,
    Finding,
    credentials_in,
    may_hold_credential,
    rejected,
)
from domain.credentials.shapes import kind_of_shape

__all__ = [
    "UNREADABLE",
    "AllowedPaths",
    "Finding",
    "credentials_in",
    "kind_of_shape",
    "may_hold_credential",
    "rejected",
]
