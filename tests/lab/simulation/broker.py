"""A model of nats-server: its protocol, subjects, queue groups, and its answer if there are no responders."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from tests.lab.simulation.network import Connection, Network
from tests.lab.simulation.scheduler import Scheduler

VERSION = "2.15.1"
MAXIMUM_PAYLOAD = 1024 * 1024
CRLF = b"\r\n"

# Subject, reply subject, the block of headers or nothing, body.
Internal = Callable[[str, str, bytes, bytes], bool]


@lru_cache(maxsize=100_000)
def matches(pattern: str, subject: str) -> bool:
    """True if a subject matches the pattern."""
    wanted, given = pattern.split("."), subject.split(".")
    for number, token in enumerate(wanted):
        if token == ">":
            return len(given) > number
        if number >= len(given) or token not in ("*", given[number]):
            return False
    return len(wanted) == len(given)


def headers_in(block: bytes) -> dict[str, str]:
    """The headers of a block."""
    headers = {}
    for line in block.split(CRLF)[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.decode()] = value.strip().decode()
    return headers


def block_of(headers: dict[str, str], status: str = "") -> bytes:
    """The block of bytes for headers."""
    lines = [f"NATS/1.0 {status}".rstrip(), *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


class Subscription:
    """One subscription of a connection."""

    def __init__(self, client: "Client", number: bytes, pattern: str, queue: str) -> None:
        self.client = client
        self.number = number
        self.pattern = pattern
        self.queue = queue
        self.left: int | None = None


class Client:
    """A connection, as the broker sees it."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.buffer = b""
        self.subscriptions: dict[bytes, Subscription] = {}


class Broker:
    """One nats-server. `internal` gives a message to JetStream, and returns True if JetStream takes it."""

    def __init__(self, scheduler: Scheduler, network: Network) -> None:
        self.scheduler = scheduler
        self._network = network
        self._clients: dict[Connection, Client] = {}
        self._exact: dict[str, list[Subscription]] = {}
        self._wild: list[Subscription] = []
        self._count = 0
        self.internal: Internal = lambda *_: False
        self.start()

    def start(self) -> None:
        """Listens."""
        self._network.peer = self

    def stop(self) -> None:
        """Ends, with all connections."""
        self._network.peer = None
        for client in list(self._clients.values()):
            client.connection.reset()

    @property
    def connections(self) -> list[Connection]:
        """The open connections."""
        return [one.connection for one in self._clients.values()]

    # Calls by the network.

    def connected(self, connection: Connection) -> None:
        self._count += 1
        self._clients[connection] = Client(connection, self._count)
        info: dict[str, Any] = {
            "server_id": "MODEL",
            "server_name": "model",
            "version": VERSION,
            "proto": 1,
            "headers": True,
            "max_payload": MAXIMUM_PAYLOAD,
            "client_id": self._count,
            "jetstream": True,
        }
        connection.answer(b"INFO " + json.dumps(info).encode() + CRLF)

    def lost(self, connection: Connection) -> None:
        client = self._clients.pop(connection, None)
        if client is not None:
            for subscription in list(client.subscriptions.values()):
                self._remove(subscription)

    def receive(self, connection: Connection, data: bytes) -> None:
        client = self._clients.get(connection)
        if client is None:
            return
        data = client.buffer + data
        position = 0
        while (line_end := data.find(CRLF, position)) >= 0:
            words = data[position:line_end].split()
            begin = line_end + 2
            verb = words[0].upper() if words else b""
            if verb in (b"PUB", b"HPUB"):
                end = begin + int(words[-1])
                if end + 2 > len(data):
                    break
                self._published(words, data[begin:end], has_headers=verb == b"HPUB")
                begin = end + 2
            else:
                self._control(client, verb, words)
            position = begin
        client.buffer = data[position:]

    def _control(self, client: Client, verb: bytes, words: list[bytes]) -> None:
        if verb == b"PING":
            client.connection.answer(b"PONG\r\n")
        elif verb == b"SUB":
            queue = words[2].decode() if len(words) == 4 else ""
            self._add(Subscription(client, words[-1], words[1].decode(), queue))
        elif verb == b"UNSUB":
            subscription = client.subscriptions.get(words[1])
            if subscription is not None:
                if len(words) == 3:
                    subscription.left = int(words[2])
                else:
                    self._remove(subscription)

    def _add(self, subscription: Subscription) -> None:
        subscription.client.subscriptions[subscription.number] = subscription
        if "*" in subscription.pattern or ">" in subscription.pattern:
            self._wild.append(subscription)
        else:
            self._exact.setdefault(subscription.pattern, []).append(subscription)

    def _remove(self, subscription: Subscription) -> None:
        if subscription.client.subscriptions.pop(subscription.number, None) is None:
            return
        if subscription in self._wild:
            self._wild.remove(subscription)
        else:
            self._exact[subscription.pattern].remove(subscription)

    def _published(self, words: list[bytes], content: bytes, *, has_headers: bool) -> None:
        subject = words[1].decode()
        sizes = 2 if has_headers else 1
        reply = words[2].decode() if len(words) == 3 + sizes else ""
        headers = content[: int(words[-2])] if has_headers else b""
        body = content[len(headers) :]
        is_taken = self.internal(subject, reply, headers, body)
        if not self.route(subject, reply, headers, body) and not is_taken and reply:
            self.route(reply, "", block_of({}, "503"), b"")

    def route(self, subject: str, reply: str, headers: bytes, body: bytes, shown: str = "") -> bool:
        """Delivers a message to its subscribers, under the subject `shown`; returns True if there are any."""
        found = list(self._exact.get(subject, ()))
        found += [one for one in self._wild if matches(one.pattern, subject)]
        groups: dict[str, list[Subscription]] = {}
        for one in found:
            if one.queue:
                groups.setdefault(one.queue, []).append(one)
            else:
                self._deliver(one, shown or subject, reply, headers, body)
        for members in groups.values():
            self._deliver(self.scheduler.random.choice(members), shown or subject, reply, headers, body)
        return bool(found)

    def listens(self, subject: str) -> bool:
        """True if there is a subscriber."""
        return bool(self._exact.get(subject)) or any(matches(one.pattern, subject) for one in self._wild)

    def _deliver(self, to: Subscription, subject: str, reply: str, headers: bytes, body: bytes) -> None:
        size = len(headers) + len(body)
        words = [subject.encode(), to.number, *([reply.encode()] if reply else [])]
        if headers:
            line = b"HMSG " + b" ".join([*words, b"%d" % len(headers), b"%d" % size])
        else:
            line = b"MSG " + b" ".join([*words, b"%d" % size])
        to.client.connection.answer(line + CRLF + headers + body + CRLF)
        if to.left is not None:
            to.left -= 1
            if to.left <= 0:
                self._remove(to)
