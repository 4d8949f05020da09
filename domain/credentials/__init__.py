"""Credentials are not stored: where a JSON document holds one, and what is let through all the same.

scanning  a document is looked through
names     what is named as a credential is
shapes    what looks like one
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
