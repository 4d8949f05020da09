"""Makes a command of a row of the old system, or tells why the row cannot be imported."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec

from bus.contract import codec
from bus.writing.submission import Request
from domain.catalogue import VERBS
from domain.credentials.scanning import AllowedPaths, Finding
from domain.errors import Invalid, Refusal
from domain.jobs.importing import OldAttempt
from domain.jobs.limits import MAXIMUM_IMPORTED_ATTEMPTS
from domain.messages import Key, Metadata
from domain.rate_limits.messages import parts_of
from ops.importing.source import Row, Unreadable

# The actor of all imported events.
METADATA = msgspec.json.encode(Metadata(actor="import")).decode()
LONGEST_SHOWN_KEY = 200

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NotTaken(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was not imported, or has changed in the old system since: its table, key and reason."""

    table: str
    id: str
    code: str
    reason: str


def not_taken(table: str, key: Any, code: str, message: str, path: str) -> NotTaken:
    """The report's entry for a refused row; `path` is the place in it, `$` for the whole row."""
    where = "" if path == "$" else f" (at {path})"
    return NotTaken(table=table, id=shown_key(key), code=code, reason=f"{message}{where}")


def shown_key(key: Any) -> str:
    """A key as it may be shown: without a credential, and not too long."""
    text = key.content.decode(errors="backslashreplace") if isinstance(key, Unreadable) else str(key)
    if codec.findings_in(msgspec.json.encode(text)):
        return "(looks like a credential)"
    return text if len(text) <= LONGEST_SHOWN_KEY else text[: LONGEST_SHOWN_KEY - 1] + "…"


def job_request(row: Row, attempts: Sequence[OldAttempt]) -> Request:
    """The command for a job, with those of its attempts that can be imported.

    Raises:
        Refusal: the row cannot be taken.
    """
    body = _readable(row)
    tries = max((one.attempt for one in attempts), default=0)
    for field in ("created_at", "updated_at", "persisted_at", "started_at", "completed_at", "run_at"):
        body[field] = _milliseconds(body.get(field))
    for field in ("priority", "retry_count", "recovery_attempts", "attempt"):
        body[field] = _whole(body.get(field))
    for field in ("payload", "result"):
        body[field] = _json(field, body.get(field))
    body["priority"] = 2 if body["priority"] is None else body["priority"]
    body["updated_at"] = _first(body["updated_at"], body["created_at"])
    body["persisted_at"] = _first(body["persisted_at"], body["updated_at"])
    if body["attempt"] is None and isinstance(_first(body["retry_count"], 0), int):
        begun = int(body["started_at"] is not None)
        body["attempt"] = max(tries, _first(body["retry_count"], 0) + begun)
    body["history"] = attempts
    return _request("jobs.import", row["id"], body)


def attempt(row: Row, number: int, place: int, allowed: AllowedPaths) -> OldAttempt:
    """The attempt of a row of the history.

    `number` is the attempt's number if the row has none, `place` its place among the attempts of the command.

    Raises:
        Refusal: the row cannot be imported.
    """
    if place >= MAXIMUM_IMPORTED_ATTEMPTS:
        raise Invalid(f"a job is imported with {MAXIMUM_IMPORTED_ATTEMPTS} attempts at most")
    body = _readable({field: value for field, value in row.items() if field not in ("id", "job_id")})
    for field in ("started_at", "completed_at"):
        body[field] = _milliseconds(body.get(field))
    body["duration_ms"] = _whole(body.get("duration_ms"))
    body["attempt"] = _first(_whole(body.get("attempt")), number)
    encoded = _encoded(body)
    taken: OldAttempt = codec.decode(OldAttempt, encoded)
    findings = (Finding(f"$.history[{place}]{one.path[1:]}", one.kind) for one in codec.findings_in(encoded))
    allowed.require("jobs.import", findings)
    return taken


def rate_limit_request(row: Row) -> Request:
    """The command for the state of a rate limit.

    Raises:
        Refusal: the row cannot be taken.
    """
    old = _readable(row)
    platform, resource, identifier = _limit(old["id"], old["platform"])
    body: dict[str, Any] = {"platform": platform, "resource": resource, "identifier": identifier}
    body["remaining"] = _whole(old.get("limit_remaining"))
    body["limit"] = _whole(old.get("limit_total"))
    body["reset_time"] = _milliseconds(old.get("reset_time"))
    body["last_updated"] = _milliseconds(old["last_updated"])
    body["created_at"] = _first(_milliseconds(old.get("created_at")), body["last_updated"])
    return _request("rate_limits.import", row["id"], body)


def _limit(row_id: Any, platform: Any) -> tuple[str, str | None, str | None]:
    prefix, *parts = str(row_id).split(":")
    if prefix != "ratelimit" or not 1 <= len(parts) <= 3:
        raise Invalid(
            "the id is not ratelimit:<platform>, ratelimit:<platform>:<resource> or"
            " ratelimit:<platform>:<identifier>:<resource>",
            path="$.id",
        )
    if parts[0] != platform:
        raise Invalid("the platform is another than the id says", path="$.platform")
    return parts_of(":".join(parts))


def tool_config_request(row: Row) -> Request:
    """The command for the configuration of a tool.

    Raises:
        Refusal: the row cannot be taken.
    """
    body = _readable(row)
    config = body.get("config")
    # The old system read a missing text, and an empty one, as an empty object.
    body["config"] = msgspec.Raw(b"{}") if config in (None, "") else _json("config", config)
    for field in ("enabled", "notifications"):
        body[field] = _boolean(body.get(field))
    body["refresh_interval"] = _whole(body.get("refresh_interval"))
    body["updated_at"] = _milliseconds(body["updated_at"])
    return _request("tool_configs.import", row["tool_name"], body)


def app_state_request(row: Row) -> Request:
    """The command for the value of a key. A text that is not JSON becomes a JSON string.

    Raises:
        Refusal: the row cannot be taken.
    """
    body = _readable(row)
    value = body["value"]
    if isinstance(value, str) and not _is_json(value):
        value = codec.encode(value).decode()
    body["value"] = _json("value", value) or msgspec.Raw(b"null")
    body["updated_at"] = _milliseconds(body.get("updated_at"))
    return _request("app_state.import", row["key"], body)


REQUESTS: Mapping[str, Callable[[Row], Request]] = {
    "rate_limits": rate_limit_request,
    "tool_configs": tool_config_request,
    "app_state": app_state_request,
}


def _request(name: str, key: Any, body: Mapping[str, Any]) -> Request:
    decider, verb = VERBS[name]
    encoded = _encoded(body)
    if name != "rate_limits.import":
        _require_key(key)
    return Request(
        name=name,
        decider=decider,
        verb=verb,
        command=codec.decode_command(verb, encoded),
        command_id=_command_id(decider.table, str(key)),
        metadata=METADATA,
        findings=codec.findings_in(encoded),
    )


def _require_key(key: Any) -> None:
    try:
        msgspec.convert(key, Key)
    except msgspec.ValidationError:
        raise Invalid(
            "a key is of letters, digits and ._:@/+=- alone, begins with a letter or digit, does not end with"
            " a dot, and has no two dots together and at most 200 characters"
        ) from None


def _command_id(table: str, key: str) -> str:
    """The command id of a row: always the same one for the same row."""
    spelled = f"import:{table}/{key}"
    if len(spelled) <= codec.MAXIMUM_COMMAND_ID_CHARACTERS:
        return spelled
    return f"import:{table}:{sha256(key.encode()).hexdigest()}"


def _encoded(body: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({field: value for field, value in body.items() if value is not None})


def _readable(row: Row) -> dict[str, Any]:
    for field, value in row.items():
        if isinstance(value, Unreadable):
            raise Invalid(f"{field} {value.reason}", path=f"$.{field}")
    return dict(row)


def _json(field: str, text: Any) -> msgspec.Raw | None:
    """The JSON in a text, unchanged; it is checked, since it becomes part of a larger document."""
    if text is None:
        return None
    content = str(text).strip(" \t\r\n").encode()
    try:
        if not isinstance(text, str) or not content:
            raise Invalid("it is empty, or no text")
        codec.decode(msgspec.Raw, content)
    except Refusal as refusal:
        raise Invalid(f"{field} is not JSON: {refusal.message}", path=f"$.{field}") from None
    return msgspec.Raw(content)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    except RecursionError:
        # It is JSON, which is refused later for its depth.
        return True
    return True


def _first(value: Any, default: Any) -> Any:
    return default if value is None else value


def _whole(value: Any) -> Any:
    """A number without a fraction as an integer: the old system may have stored it as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _milliseconds(value: Any) -> Any:
    """A time as milliseconds since the epoch; a text is read as ISO 8601, in UTC if it has no zone."""
    if not isinstance(value, str):
        return _whole(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)


def _boolean(value: Any) -> Any:
    match value:
        case None:
            return True
        case int() | float():
            return value != 0
        case _:
            return value
