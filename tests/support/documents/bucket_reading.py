"""How docs/configuration-store.md says that a bucket is read, with nats-py."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from nats.js.client import JetStreamContext

from tests.support.repository import ROOT

_GUIDE = (ROOT / "docs" / "configuration-store.md").read_text(encoding="utf-8")
_NAMES: dict[str, Any] = {}
(_PROGRAM,) = re.findall(r"```python\n(.*?)```", _GUIDE, re.DOTALL)
exec(_PROGRAM, _NAMES)

read_bucket: Callable[[JetStreamContext, str], Awaitable[dict[str, Any]]] = _NAMES["read_bucket"]
