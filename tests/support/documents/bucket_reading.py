"""How docs/configuration-store.md says that a bucket is read, with nats-py."""

from collections.abc import Awaitable, Callable
from typing import Any

from nats.js.client import JetStreamContext

from tests.support.documents.guides import blocks, guide

_GUIDE = guide("configuration-store.md")
_NAMES: dict[str, Any] = {}
(_PROGRAM,) = blocks("python", _GUIDE)
exec(_PROGRAM, _NAMES)

read_bucket: Callable[[JetStreamContext, str], Awaitable[dict[str, Any]]] = _NAMES["read_bucket"]
