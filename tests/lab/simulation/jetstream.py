"""A model of JetStream: streams with sequences, expectations, windows of ids, and consumers that are pulled.

Its promises are those of NATS (ADR-15, and the behaviour of the real server in the tests of transport and
relay). A run can also make it lose its tail, or everything.
"""

import base64
import json
from collections import deque
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.lab.simulation.broker import Broker, block_of, headers_in, matches
from tests.lab.simulation.determined import BEGINNING

API = "$JS.API."
ACK = "$JS.ACK."
NO_STREAM = (404, 10059, "stream not found")
NO_CONSUMER = (404, 10014, "consumer not found")
NO_MESSAGE = (404, 10037, "no message found")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DEFAULT_WINDOW_NS = 120_000_000_000


class Message:
    """A message in a stream."""

    __slots__ = ("body", "headers", "id", "sequence", "stored_ns", "subject")

    def __init__(self, sequence: int, subject: str, headers: bytes, body: bytes, stored_ns: int) -> None:
        self.sequence = sequence
        self.subject = subject
        self.headers = headers
        self.body = body
        self.stored_ns = stored_ns
        self.id = headers_in(headers).get("Nats-Msg-Id", "") if headers else ""


class Pull:
    """A waiting request for messages."""

    __slots__ = ("bytes_left", "inbox", "left", "until")

    def __init__(self, inbox: str, left: int, bytes_left: int, until: float) -> None:
        self.inbox = inbox
        self.left = left
        self.bytes_left = bytes_left
        self.until = until


class Consumer:
    """A pull consumer of one stream."""

    def __init__(self, name: str, config: dict[str, Any], first: int) -> None:
        self.name = name
        self.config = config
        self.is_durable = bool(config.get("durable_name"))
        self.next_sequence = first
        self.delivered = 0
        # Unacknowledged messages by sequence: the number of deliveries, and until when they are waited for.
        self.pending: dict[int, tuple[int, float]] = {}
        self.pulls: deque[Pull] = deque()
        self.again: deque[int] = deque()
        self.times: dict[int, int] = {}

    @property
    def acknowledges(self) -> bool:
        return self.config.get("ack_policy", "explicit") != "none"

    def wants(self, message: Message) -> bool:
        filters = self.config.get("filter_subjects") or [self.config.get("filter_subject") or ">"]
        return any(matches(one, message.subject) for one in filters)


class Stream:
    """One stream."""

    def __init__(self, config: dict[str, Any], created_ns: int) -> None:
        self.config = config
        self.created_ns = created_ns
        self.messages: dict[int, Message] = {}
        self.last_sequence = 0
        self.first_sequence = 1
        self.ids: dict[str, tuple[int, int]] = {}
        # The messages that were removed last.
        self.removed: deque[Message] = deque(maxlen=8)
        self.consumers: dict[str, Consumer] = {}

    @property
    def name(self) -> str:
        return str(self.config["name"])

    def takes(self, subject: str) -> bool:
        return any(matches(one, subject) for one in self.config.get("subjects") or ())

    def remove(self, sequence: int) -> None:
        removed = self.messages.pop(sequence, None)
        if removed is not None:
            self.removed.append(removed)
        self.advance()

    def advance(self) -> None:
        """Moves the first sequence to that of the first message."""
        while self.first_sequence <= self.last_sequence and self.first_sequence not in self.messages:
            self.first_sequence += 1

    def lose_tail(self, count: int) -> None:
        """Loses its last messages, as if they were never there; their sequences are free again."""
        for _ in range(min(count, self.last_sequence)):
            self.messages.pop(self.last_sequence, None)
            self.last_sequence -= 1
        self.first_sequence = min(self.first_sequence, self.last_sequence + 1)
        self.ids = {one: at for one, at in self.ids.items() if at[0] <= self.last_sequence}
        for consumer in self.consumers.values():
            consumer.next_sequence = min(consumer.next_sequence, self.last_sequence + 1)
            for sequence in [one for one in consumer.pending if one > self.last_sequence]:
                del consumer.pending[sequence]


class JetStream:
    """All streams of one broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._scheduler = broker.scheduler
        self.streams: dict[str, Stream] = {}
        # Until this time, requests get no answer, and messages are not accepted.
        self.silent_until = 0.0
        broker.internal = self._take

    # Faults.

    def restart(self) -> None:
        """Loses all that was in memory alone; unacknowledged messages are delivered again."""
        for stream in self.streams.values():
            stream.consumers = {one.name: one for one in stream.consumers.values() if one.is_durable}
            for consumer in stream.consumers.values():
                consumer.pulls.clear()

    def lose_what_was_not_synced(self, chance: Random) -> None:
        """A power cut: loses the last messages, and has the messages again that were removed last."""
        for stream in self.streams.values():
            stream.lose_tail(chance.choice([0, 0, 1, 2, 5]))
            if stream.config.get("retention") == "workqueue":
                for message in list(stream.removed)[chance.randrange(len(stream.removed) + 1) :]:
                    if message.sequence <= stream.last_sequence:
                        stream.messages[message.sequence] = message
                        stream.first_sequence = min(stream.first_sequence, message.sequence)

    def wipe(self) -> None:
        """Loses everything."""
        self.streams.clear()

    # Messages from connections.

    @property
    def _now_ns(self) -> int:
        return int((BEGINNING + self._scheduler.now) * 1e9)

    def _take(self, subject: str, reply: str, headers: bytes, body: bytes) -> bool:
        is_api, is_ack = subject.startswith(API), subject.startswith(ACK)
        stream = (
            None
            if is_api or is_ack
            else next((one for one in self.streams.values() if one.takes(subject)), None)
        )
        if not (is_api or is_ack or stream is not None):
            return False
        if self._scheduler.now < self.silent_until:
            return True
        if is_api:
            return self._asked(subject[len(API) :], reply, body)
        if is_ack:
            self._acknowledged(subject, body)
        elif stream is not None:
            self._published(stream, subject, reply, headers, body)
        return True

    def _published(self, stream: Stream, subject: str, reply: str, headers: bytes, body: bytes) -> None:
        said = headers_in(headers) if headers else {}
        answer = self._store(stream, subject, said, headers, body)
        if reply:
            self._broker.route(reply, "", b"", json.dumps(answer).encode())

    def _store(
        self, stream: Stream, subject: str, said: dict[str, str], headers: bytes, body: bytes
    ) -> dict[str, Any]:
        window = stream.config.get("duplicate_window", _DEFAULT_WINDOW_NS)
        message_id = said.get("Nats-Msg-Id", "")
        if message_id and window:
            seen = stream.ids.get(message_id)
            if seen is not None and self._now_ns - seen[1] <= window:
                return {"stream": stream.name, "seq": seen[0], "duplicate": True}
        expected = said.get("Nats-Expected-Last-Sequence")
        if expected is not None and int(expected) != stream.last_sequence:
            return _error(400, 10071, f"wrong last sequence: {stream.last_sequence}", stream.name)
        expected_id = said.get("Nats-Expected-Last-Msg-Id")
        if expected_id is not None:
            last = stream.messages.get(stream.last_sequence)
            last_id = "" if last is None else last.id
            if expected_id != last_id:
                return _error(400, 10070, f"wrong last msg ID: {last_id}", stream.name)
        refusal = _over_limit(stream)
        if refusal is not None:
            return refusal
        stream.last_sequence += 1
        sequence = stream.last_sequence
        message = Message(sequence, subject, headers, body, self._now_ns)
        if stream.config.get("max_msgs_per_subject") == 1:
            for other in [one for one in stream.messages.values() if one.subject == subject]:
                stream.remove(other.sequence)
        stream.messages[sequence] = message
        stream.advance()
        if message_id and window:
            stream.ids[message_id] = (sequence, self._now_ns)
        for consumer in list(stream.consumers.values()):
            self._serve(stream, consumer)
        return {"stream": stream.name, "seq": sequence}

    def _acknowledged(self, subject: str, body: bytes) -> None:
        tokens = subject.split(".")
        stream = self.streams.get(tokens[2])
        consumer = None if stream is None else stream.consumers.get(tokens[3])
        sequence = int(tokens[5])
        if stream is None or consumer is None or sequence not in consumer.pending:
            return
        if body.startswith(b"-NAK"):
            delay = json.loads(body[4:] or b"{}").get("delay", 0) / 1e9
            times, _ = consumer.pending[sequence]
            consumer.pending[sequence] = (times, self._scheduler.now + delay)
            self._look_later(stream, consumer, delay)
            return
        del consumer.pending[sequence]
        if stream.config.get("retention") == "workqueue":
            stream.remove(sequence)
        self._serve(stream, consumer)

    # Consumers.

    def _serve(self, stream: Stream, consumer: Consumer) -> None:
        """Delivers messages to waiting pulls."""
        now = self._scheduler.now
        while consumer.pulls:
            pull = consumer.pulls[0]
            if pull.until <= now:
                consumer.pulls.popleft()
                self._status(pull, "408 Request Timeout")
                continue
            message = self._next(stream, consumer)
            if message is None:
                return
            size = len(message.body) + len(message.headers)
            if pull.bytes_left and size > pull.bytes_left:
                consumer.pulls.popleft()
                consumer.again.appendleft(message.sequence)
                self._status(pull, "409 Message Size Exceeds MaxBytes")
                continue
            if not self._broker.listens(pull.inbox):
                consumer.pulls.popleft()
                consumer.again.appendleft(message.sequence)
                continue
            pull.bytes_left -= size if pull.bytes_left else 0
            pull.left -= 1
            self._deliver(stream, consumer, message, pull)
            if pull.left == 0:
                consumer.pulls.popleft()

    def _next(self, stream: Stream, consumer: Consumer) -> Message | None:
        now = self._scheduler.now
        limit = consumer.config.get("max_ack_pending", 1_000)
        while consumer.again:
            message = stream.messages.get(consumer.again.popleft())
            if message is not None:
                return message
        if consumer.acknowledges:
            for sequence, (_, until) in sorted(consumer.pending.items()):
                if until > now:
                    continue
                message = stream.messages.get(sequence)
                most = consumer.config.get("max_deliver", -1)
                if message is None or 0 < most <= consumer.times.get(sequence, 0):
                    del consumer.pending[sequence]
                    continue
                return message
            if len(consumer.pending) >= limit > 0:
                return None
        while consumer.next_sequence <= stream.last_sequence:
            message = stream.messages.get(consumer.next_sequence)
            consumer.next_sequence += 1
            if message is not None and consumer.wants(message):
                return message
        return None

    def _deliver(self, stream: Stream, consumer: Consumer, message: Message, pull: Pull) -> None:
        consumer.delivered += 1
        times = consumer.times[message.sequence] = consumer.times.get(message.sequence, 0) + 1
        if consumer.acknowledges:
            wait = (consumer.config.get("ack_wait") or 30_000_000_000) / 1e9
            consumer.pending[message.sequence] = (times, self._scheduler.now + wait)
            self._look_later(stream, consumer, wait)
        left = max(0, stream.last_sequence - consumer.next_sequence + 1)
        reply = (
            f"{ACK}{stream.name}.{consumer.name}.{times}.{message.sequence}.{consumer.delivered}"
            f".{message.stored_ns}.{left}"
        )
        self._broker.route(pull.inbox, reply, message.headers, message.body, shown=message.subject)

    def _look_later(self, stream: Stream, consumer: Consumer, seconds: float) -> None:
        def look() -> None:
            is_there = self.streams.get(stream.name) is stream
            if is_there and stream.consumers.get(consumer.name) is consumer:
                self._serve(stream, consumer)

        self._scheduler.at(self._scheduler.now + seconds + 1e-6, look)

    def _status(self, pull: Pull, status: str) -> None:
        number, _, description = status.partition(" ")
        # In the form that nats-py and our client read: the number and its words are in the first line.
        self._broker.route(pull.inbox, "", f"NATS/1.0 {number} {description}\r\n\r\n".encode(), b"")

    # The API.

    def _asked(self, verb: str, reply: str, body: bytes) -> bool:
        if verb.startswith("CONSUMER.MSG.NEXT."):
            return self._pulled(verb.split("."), reply, body)
        request = json.loads(body) if body else {}
        match verb.split("."):
            case ["STREAM", "INFO", name]:
                answer = self._report(name)
            case ["STREAM", "CREATE" | "UPDATE" as kind, name]:
                answer = self._configured(kind, name, request)
            case ["STREAM", "DELETE", name]:
                answer = self._deleted(name)
            case ["STREAM", "MSG", "GET", name]:
                answer = self._message(name, request)
            case ["CONSUMER", "CREATE", name, consumer] | ["CONSUMER", "DURABLE", "CREATE", name, consumer]:
                answer = self._made_consumer(name, consumer, request["config"])
            case ["CONSUMER", "LIST", name]:
                answer = self._listed(name)
            case ["CONSUMER", "DELETE", name, consumer]:
                answer = self._deleted_consumer(name, consumer)
            case _:
                return False
        if reply:
            self._broker.route(reply, "", b"", json.dumps(answer).encode())
        return True

    def _report(self, name: str) -> dict[str, Any]:
        stream = self.streams.get(name)
        if stream is None:
            return _error(*NO_STREAM)
        deleted = stream.last_sequence - stream.first_sequence + 1 - len(stream.messages)
        return {
            "config": stream.config,
            "created": _time(stream.created_ns),
            "state": {
                "messages": len(stream.messages),
                "bytes": sum(len(one.body) + len(one.headers) for one in stream.messages.values()),
                "first_seq": stream.first_sequence,
                "last_seq": stream.last_sequence,
                "num_deleted": deleted,
                "consumer_count": len(stream.consumers),
            },
        }

    def _configured(self, kind: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
        stream = self.streams.get(name)
        if kind == "UPDATE" and stream is None:
            return _error(*NO_STREAM)
        if stream is None:
            self.streams[name] = Stream(config, self._now_ns)
        elif kind == "UPDATE":
            stream.config = config
        elif stream.config != config:
            return _error(400, 10058, "stream name already in use with a different configuration")
        return self._report(name)

    def _deleted(self, name: str) -> dict[str, Any]:
        stream = self.streams.pop(name, None)
        if stream is None:
            return _error(*NO_STREAM)
        for consumer in stream.consumers.values():
            self._drop(consumer)
        return {"success": True}

    def _message(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        stream = self.streams.get(name)
        if stream is None:
            return _error(*NO_STREAM)
        if "last_by_subj" in request:
            pattern = request["last_by_subj"]
            wanted = [one for one in stream.messages.values() if matches(pattern, one.subject)]
            message = max(wanted, key=lambda one: one.sequence, default=None)
        else:
            message = stream.messages.get(request["seq"])
        if message is None:
            return _error(*NO_MESSAGE)
        return {
            "message": {
                "subject": message.subject,
                "seq": message.sequence,
                "data": base64.b64encode(message.body).decode(),
                "hdrs": base64.b64encode(message.headers).decode(),
                "time": _time(message.stored_ns),
            }
        }

    def _made_consumer(self, name: str, consumer: str, config: dict[str, Any]) -> dict[str, Any]:
        stream = self.streams.get(name)
        if stream is None:
            return _error(*NO_STREAM)
        if stream.config.get("retention") == "workqueue" and stream.consumers:
            return _error(400, 10099, "multiple non-filtered consumers not allowed on workqueue stream")
        first = config.get("opt_start_seq", 1) if config.get("deliver_policy") == "by_start_sequence" else 1
        made = Consumer(consumer, config, max(first, stream.first_sequence))
        stream.consumers[consumer] = made
        return self._of_consumer(stream, made)

    def _of_consumer(self, stream: Stream, consumer: Consumer) -> dict[str, Any]:
        return {
            "stream_name": stream.name,
            "name": consumer.name,
            "config": consumer.config,
            "created": _time(stream.created_ns),
            "num_pending": 0,
        }

    def _listed(self, name: str) -> dict[str, Any]:
        stream = self.streams.get(name)
        if stream is None:
            return _error(*NO_STREAM)
        return {"consumers": [self._of_consumer(stream, one) for one in stream.consumers.values()]}

    def _deleted_consumer(self, name: str, consumer: str) -> dict[str, Any]:
        stream = self.streams.get(name)
        if stream is None:
            return _error(*NO_STREAM)
        found = stream.consumers.pop(consumer, None)
        if found is None:
            return _error(*NO_CONSUMER)
        self._drop(found)
        return {"success": True}

    def _drop(self, consumer: Consumer) -> None:
        for pull in consumer.pulls:
            self._status(pull, "409 Consumer Deleted")

    def _pulled(self, tokens: list[str], reply: str, body: bytes) -> bool:
        stream = self.streams.get(tokens[3])
        consumer = None if stream is None else stream.consumers.get(tokens[4])
        if stream is None or consumer is None:
            # Without such a consumer, there are no responders.
            return False
        request = json.loads(body)
        seconds = request.get("expires", 0) / 1e9
        until = self._scheduler.now + seconds
        consumer.pulls.append(Pull(reply, request.get("batch", 1), request.get("max_bytes", 0), until))
        self._look_later(stream, consumer, seconds)
        self._serve(stream, consumer)
        return True


def _over_limit(stream: Stream) -> dict[str, Any] | None:
    most = stream.config.get("max_msgs") or 0
    if 0 < most <= len(stream.messages):
        if stream.config.get("discard") == "new":
            return _error(503, 10077, "maximum messages exceeded", stream.name)
        stream.remove(stream.first_sequence)
    return None


def _error(code: int, number: int, description: str, stream: str = "") -> dict[str, Any]:
    error: dict[str, Any] = {"error": {"code": code, "err_code": number, "description": description}}
    return {**error, "stream": stream, "seq": 0} if stream else error


def _time(nanoseconds: int) -> str:
    moment = _EPOCH + timedelta(microseconds=nanoseconds // 1_000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


__all__ = ["JetStream", "Stream", "block_of"]
