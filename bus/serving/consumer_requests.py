"""`consumer_of`: a user's request to make a consumer, checked and limited to what the user may read."""

from typing import Any

import msgspec

from bus.contract.senders import UserSubjects
from bus.serving.stream_requests import BAD_REQUEST, NOT_ALLOWED, ApiRefusal, body_of, require_admitted
from bus.serving.stream_scope import Scope
from hyperpage_client.identifiers import new_id

# JetStream deletes a consumer that was not used for this long; nanoseconds.
IDLE_NS = 30 * 24 * 3600 * 10**9
# The settings of a consumer that a user may choose, beside its name, its filters and where it delivers.
_SETTINGS = frozenset(
    {
        *("description", "deliver_policy", "opt_start_seq", "opt_start_time", "ack_policy", "ack_wait"),
        *("max_deliver", "backoff", "replay_policy", "rate_limit_bps", "sample_freq", "max_waiting"),
        *("max_ack_pending", "flow_control", "idle_heartbeat", "headers_only", "max_batch", "max_expires"),
        *("max_bytes", "deliver_group", "inactive_threshold", "num_replicas", "mem_storage", "metadata"),
        *("pause_until", "priority_groups", "priority_policy", "priority_timeout"),
    }
)

_decode = msgspec.json.Decoder().decode


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    stream_name: str
    config: dict[str, Any]
    action: str = ""
    pedantic: bool = False


class ConsumerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer to be made: its name as the user knows it, and its configuration without names."""

    name: str
    is_durable: bool
    stream: str
    action: str
    config: dict[str, Any]

    @property
    def filter_token(self) -> str:
        """The end of the subject of the request to JetStream: the one filter, if there is just one."""
        single = self.config.get("filter_subject")
        return f".{single}" if single else ""

    def body(self, real: str) -> bytes:
        """The request to JetStream."""
        names = {"name": real} | ({"durable_name": real} if self.is_durable else {})
        asked = {"stream_name": self.stream, "config": {**self.config, **names}, "action": self.action}
        return msgspec.json.encode(asked)


def consumer_of(
    body: bytes, name: str | None, stream: str, scope: Scope, user: str, subjects: UserSubjects
) -> ConsumerRequest:
    """The consumer that is asked for; `name` is that in the subject of the request.

    Raises:
        ApiRefusal: the request is malformed, or asks for subjects or an inbox that are not the user's.
    """
    request: _Body = body_of(_Body, body)
    asked = {key: value for key, value in request.config.items() if value not in (None, "", [])}
    said = [one for one in (name, asked.pop("name", None), asked.get("durable_name")) if one is not None]
    is_durable = asked.pop("durable_name", None) is not None
    if request.stream_name != stream or any(not isinstance(one, str) or one != said[0] for one in said):
        raise ApiRefusal(400, BAD_REQUEST, "stream and consumer are named differently in subject and body")
    # If both are given, `filter_subject` stays in `asked`, and is refused below.
    filters = (
        asked.pop("filter_subjects") if "filter_subjects" in asked else [asked.pop("filter_subject", "")]
    )
    deliver = asked.pop("deliver_subject", None)
    if unknown := asked.keys() - _SETTINGS:
        raise ApiRefusal(403, NOT_ALLOWED, f"a consumer's {sorted(unknown)[0][:50]} is not a user's to say")
    config = asked | _filters(filters, scope, user, subjects)
    if deliver is not None:
        if not isinstance(deliver, str) or not deliver.startswith(subjects.inboxes(user)):
            raise ApiRefusal(
                403, NOT_ALLOWED, f"a consumer delivers below {' or '.join(subjects.inboxes(user))}"
            )
        config["deliver_subject"] = subjects.to(user, deliver)
    idle = config.get("inactive_threshold")
    if is_durable or idle is not None:
        is_short = isinstance(idle, int) and 0 < idle <= IDLE_NS
        config["inactive_threshold"] = idle if is_short else IDLE_NS
    return ConsumerRequest(
        name=said[0] if said else new_id(),
        is_durable=is_durable,
        stream=stream,
        action=request.action,
        config=config,
    )


def _filters(filters: Any, scope: Scope, user: str, subjects: UserSubjects) -> dict[str, Any]:
    if not isinstance(filters, list) or not all(isinstance(one, str) for one in filters):
        raise ApiRefusal(400, BAD_REQUEST, "a consumer's filters are subjects")
    wanted = [_inside(one, scope, user, subjects) for one in filters if one not in ("", ">")]
    if len(wanted) < len(filters):
        if scope.is_whole:
            return {}
        wanted = list(scope.subjects or ())
    if not wanted:
        raise ApiRefusal(403, NOT_ALLOWED, "a consumer of this stream names its subjects")
    require_admitted(wanted, scope)
    return {"filter_subject": wanted[0]} if len(wanted) == 1 else {"filter_subjects": wanted}


def _inside(known: str, scope: Scope, user: str, subjects: UserSubjects) -> str:
    """The subject in the stream. A user's results lie there below a prefix of that user."""
    if scope.admits(known):
        return known
    own = subjects.sent(user, known)
    return own if scope.admits(own) else known


def is_within(info: dict[str, Any], scope: Scope) -> bool:
    """Whether a consumer, as JetStream describes it, delivers only what its user may see."""
    config = info["config"]
    filters = config.get("filter_subjects") or [*filter(None, [config.get("filter_subject")])]
    return scope.is_whole or (bool(filters) and all(map(scope.admits, filters)))


def require_within(answer: bytes, scope: Scope) -> None:
    """Returns if a consumer is within its user's part of a stream, or does not exist.

    Raises:
        ApiRefusal: the consumer delivers more than that.
    """
    said = _decode(answer)
    if "error" not in said and not is_within(said, scope):
        raise ApiRefusal(403, NOT_ALLOWED, "the consumer brings what is not for this user any more")


def shown_consumer(answer: bytes, name: str, real: str, user: str, subjects: UserSubjects) -> bytes:
    """JetStream's answer about a consumer, with the names and subjects that its user knows."""
    said = _decode(answer)
    if "error" in said:
        description = str(said["error"].get("description", ""))
        said["error"]["description"] = description.replace(real, name)
        return msgspec.json.encode(said)
    config = said.get("config")
    if config is None:
        return answer
    said["name"] = name
    config |= {key: name for key in ("name", "durable_name") if key in config}
    if "deliver_subject" in config:
        config["deliver_subject"] = config["deliver_subject"].removeprefix(subjects.to(user, ""))
    if "filter_subject" in config:
        config["filter_subject"] = subjects.as_known(config["filter_subject"])
    if "filter_subjects" in config:
        config["filter_subjects"] = list(map(subjects.as_known, config["filter_subjects"]))
    return msgspec.json.encode(said)
