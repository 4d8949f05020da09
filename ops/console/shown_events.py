"""Events as pages show them: `Shown`, made from the CloudEvents in answers of queries."""

from collections.abc import Iterable
from typing import Any

import msgspec

from ops.console.rendering import headline, meant, milliseconds

_PREFIX = "hyperpage."
# Fields that can be large, and are shown elsewhere than in `facts`.
_KEPT_BACK = frozenset({"payload", "result", "row", "traceback"})


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `at` is in milliseconds since the epoch."""

    position: int
    at: int
    stream: str
    version: int
    type: str
    command_id: str | None
    actor: str | None
    correlation_id: str | None
    causation_id: str | None
    traceparent: str | None
    principal: str | None
    timeline: int
    hash: str
    data: Any

    @property
    def change(self) -> str:
        """The change in a word or two: `cancel requested` for `job.cancel_requested.v1`."""
        return self.type.split(".")[-2].replace("_", " ") if self.type.count(".") > 1 else self.type

    @property
    def facts(self) -> list[tuple[str, Any]]:
        """The short fields of the event's data: their names, and values for a line."""
        if not isinstance(self.data, dict):
            return []
        return [
            (name.removesuffix("_ms").replace("_", " "), _short(name, value))
            for name, value in self.data.items()
            if name not in _KEPT_BACK and isinstance(value, str | int | float) and value != ""
        ]


def shown(events: Iterable[dict[str, Any]]) -> list[Shown]:
    """CloudEvents as pages show them."""
    return [
        Shown(
            position=int(event["sequence"]),
            at=milliseconds(event["time"]),
            stream=event["subject"],
            version=event["version"],
            type=event["type"].removeprefix(_PREFIX),
            command_id=event.get("commandid"),
            actor=event.get("actor"),
            correlation_id=event.get("correlationid"),
            causation_id=event.get("causationid"),
            traceparent=event.get("traceparent"),
            principal=event.get("principal"),
            timeline=event["timeline"],
            hash=event["hash"],
            data=event.get("data"),
        )
        for event in events
    ]


def _short(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str):
        return meant(value, name)
    line = headline(value)
    return f"{line} …" if not line.endswith("…") and line != value.strip() else line
