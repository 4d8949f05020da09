"""The model of a store: the values of each key, version by version, and the answer to each command."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from domain.catalogue import TIMELINE_STREAM
from tests.support.stores.writing import Reply, Sent

# An id that the service made; the ids of the machines are c1, c2 and so on.
_MADE_UP = re.compile(rb'^{"command_id":"[0-9a-f-]{36}"')
GONE = object()
TABLE = "app_state"
KEYS = ("k", "l", "m")


class Wish(NamedTuple):
    """A command before it has an id."""

    name: str
    body: dict[str, Any]
    expected_version: int | None
    has_id: bool


def _item(key: str, value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


_keys = st.sampled_from(KEYS)
# Few values, so that the same one often comes again, and one that is not stored in its row alone.
_values = st.sampled_from([0, 1, None, "é\u0001", {"a": [1]}, "x" * 300])
_items = st.lists(st.builds(_item, _keys, _values), min_size=1, max_size=3)
_commands = st.one_of(
    st.tuples(st.just("app_state.set"), st.builds(_item, _keys, _values)),
    st.tuples(st.just("app_state.set"), st.builds(_item, _keys, _values)),
    st.tuples(st.just("app_state.delete"), st.builds(lambda key: {"key": key}, _keys)),
    st.tuples(st.just("app_state.set_many"), st.builds(lambda items: {"items": items}, _items)),
)
_expected = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 4))
WISHES = st.builds(lambda command, *rest: Wish(*command, *rest), _commands, _expected, st.booleans())


class Ids:
    """Gives each wish its id, or none."""

    def __init__(self) -> None:
        self._given = 0

    def sent(self, wishes: Iterable[Wish]) -> list[Sent]:
        return [Sent(one.name, one.body, self._next(one), one.expected_version) for one in wishes]

    def _next(self, wish: Wish) -> str | None:
        self._given += wish.has_id
        return f"c{self._given}" if wish.has_id else None


class Change(NamedTuple):
    """An event of the log."""

    stream: str
    version: int
    value: Any
    command_id: str | None
    recorded_at: int


class Answer(NamedTuple):
    """The answer to a command, and the position at which the log ended then."""

    sent: Sent
    body: bytes
    position: int


class Keys:
    """A store's log, as a list of changes, and its answers by their ids; the rest follows from these."""

    def __init__(self, log: Iterable[Change] = (), answers: Iterable[Answer] = (), timeline: int = 1) -> None:
        self.log = list(log)
        self.answers = {str(one.sent.id): one for one in answers}
        self.timeline = timeline
        self.streams: dict[str, list[Any]] = {}
        for change in self.log:
            self.streams.setdefault(change.stream, []).append(change.value)

    @property
    def position(self) -> int:
        return len(self.log)

    @property
    def rows(self) -> dict[str, str]:
        """The rows of the table: each key that holds something, with its stored value."""
        return {
            stream.removeprefix(f"{TABLE}/"): _json(values[-1])
            for stream, values in self.streams.items()
            if stream.startswith(TABLE) and values[-1] is not GONE
        }

    def up_to(self, position: int) -> "Keys":
        """The model as it was at a position."""
        kept = [one for one in self.answers.values() if one.position <= position]
        return Keys(self.log[:position], kept, self.timeline)

    def forked(self, position: int, timeline: int, now: int) -> "Keys":
        """The model after a restore to a position."""
        restored = self.up_to(position)
        restored.timeline = timeline
        restored._append(TIMELINE_STREAM, timeline, None, now)
        return restored

    def copy(self) -> "Keys":
        return Keys(self.log, self.answers.values(), self.timeline)

    def tell(self, sent: Sent, now: int) -> bytes | str:
        """The answer, byte for byte, or the code of the refusal."""
        if (before := self.answers.get(str(sent.id))) is not None:
            return before.body if before.sent == sent else "command_id_reused"
        if (code := self._refusal(sent)) is not None:
            return code
        items = sent.body.get("items", [sent.body])
        changes = [(f"{TABLE}/{one['key']}", one.get("value", GONE)) for one in items]
        changes = [(stream, value) for stream, value in changes if not self._holds(stream, value)]
        for stream, value in changes:
            self._append(stream, value, sent.id, now)
        last = (self.log[-1].stream, self.log[-1].version, self.position) if changes else (None,) * 3
        kinds = ["app_state.deleted.v1" if value is GONE else "app_state.set.v1" for _, value in changes]
        # The names in the order of the contract.
        names = ("command_id", "stream", "version", "position", "timeline", "events", "result")
        said = (sent.id, *last, self.timeline, kinds, None)
        body = _json(dict(zip(names, said, strict=True))).encode()
        if sent.id is not None:
            self.answers[sent.id] = Answer(sent, body, self.position)
        return body

    def _refusal(self, sent: Sent) -> str | None:
        if (items := sent.body.get("items")) is not None:
            is_twice = len({one["key"] for one in items}) < len(items)
            return "invalid" if is_twice or sent.expected_version is not None else None
        values = self.streams.get(f"{TABLE}/{sent.body['key']}", [])
        is_absent = not values or values[-1] is GONE
        if sent.expected_version not in (None, len(values)) and not (
            sent.expected_version == 0 and is_absent
        ):
            return "version_conflict"
        return "not_found" if is_absent and "value" not in sent.body else None

    def _holds(self, stream: str, value: Any) -> bool:
        values = self.streams.get(stream, [GONE])
        return value is not GONE and values[-1] is not GONE and _json(values[-1]) == _json(value)

    def _append(self, stream: str, value: Any, command_id: str | None, now: int) -> None:
        values = self.streams.setdefault(stream, [])
        values.append(value)
        self.log.append(Change(stream, len(values), value, command_id, now))


def require_told(reply: Reply, told: bytes | str) -> None:
    """Asserts that a command got the answer of the model."""
    if isinstance(told, str):
        assert reply.code == told, (reply.said, told)
    else:
        assert without_made_up_id(reply.body) == told, (reply.body, told)


def without_made_up_id(body: bytes) -> bytes:
    """An answer without the id that the service made, since the model makes none."""
    return _MADE_UP.sub(b'{"command_id":null', body)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
