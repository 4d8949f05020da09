"""A lean connection reads and writes the same as nats-py's own."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport

from bus.broker.server import NatsServer
from bus.broker.users import APP, RESPONDER, private_inbox
from hyperpage_client.transport.connection import UNREADABLE, LeanClient, stop_receiving
from hyperpage_client.transport.early import take_early
from hyperpage_client.transport.sending import RawMessage
from tests.support.machines.nats_process import send_signal
from tests.support.patience import until
from tests.support.services.raw_nats import RawNats

COMMANDS = "hyperpage.cmd.v1"
# Subjects on which the application's commands arrive, and on which answers get into its inboxes.
ARRIVALS = "hyperpage.usr.app.cmd.v1"
INBOX = "_INBOX.somebody"
TO_INBOX = f"hyperpage_to.app.{INBOX}"
LARGEST = 1024 * 1024
DIRECT, PLAIN, NOBODYS = 1, 2, 3


# Reading: the protocol, cut anywhere


class Heard(Client):
    """Records what a parser reads from a stream, instead of answering."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []
        self.lost = False
        self._skip_subject_validation = True

    async def _send_subscribe(self, subscription: Any) -> None:
        """There is no server."""

    async def _process_ping(self) -> None:
        self.heard.append("ping")

    async def _process_pong(self) -> None:
        self.heard.append("pong")

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        self.heard.append(info)

    async def _process_err(self, error: str) -> None:
        self.heard.append(error)
        if "stale" in error:
            self.lost = True
            self._ps.reset()

    async def hear(self, pieces: list[bytes]) -> list[Any]:
        """All that was read; after a lost connection, from the next one, too."""
        try:
            for piece in pieces:
                if not self.lost:
                    await self._ps.parse(piece)
        except nats.errors.ProtocolError as error:
            self.heard.append(type(error))
            self._ps.reset()
        if self.lost:
            await self._ps.parse(b"MSG again 1 2\r\nhi\r\n")
        return self.heard


class StockHeard(Heard):
    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> None:
        try:
            read = await self._process_headers(headers)
        except (IndexError, UnicodeDecodeError):
            # nats-py itself would stop reading here.
            read = dict(UNREADABLE)
        self.heard.append((sid, subject.decode(), reply.decode(), read, data))


class LeanHeard(Heard, LeanClient):
    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> None:
        if sid == DIRECT:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            await StockHeard._process_msg(self, sid, subject, reply, data, headers)  # type: ignore[arg-type]

    async def hear(self, pieces: list[bytes]) -> list[Any]:
        subscription = await self.subscribe_direct(
            "a", handler=lambda *message: self.heard.append((DIRECT, message[0], message[1], *message[2:]))
        )
        assert subscription._id == DIRECT
        return await super().hear(pieces)


names = st.text("abcXYZ019-_", min_size=1, max_size=9)
subjects = st.lists(names, min_size=1, max_size=4).map(".".join)
values = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=20
) | st.sampled_from(["", "a: b", " padded ", "ü\u2028"])
header_names = names | st.sampled_from(["", " padded ", "a b", "ü"])
header_lines = st.lists(
    st.builds("{}:{}{}".format, header_names, st.sampled_from(["", " ", "\t"]), values)
    | st.sampled_from(["", "no colon"])
)
header_blocks = st.builds(
    lambda status, lines: "\r\n".join([f"NATS/1.0{status}", *lines, "", ""]).encode(),
    st.sampled_from(["", "", "", " 503", " 404 No Messages", " 100 Idle Heartbeat", " x"]),
    header_lines,
)
bodies = st.binary(max_size=40) | st.sampled_from([b"", b"\r\n", b"MSG a 1 3\r\nabc\r\n", b"PING\r\n" * 5])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    subject, reply, body = draw(subjects), draw(st.just("") | subjects.map("{} ".format)), draw(bodies)
    sid = draw(st.sampled_from([DIRECT, DIRECT, PLAIN, NOBODYS]))
    if draw(st.booleans()):
        return f"MSG {subject} {sid} {reply}{len(body)}\r\n".encode() + body + b"\r\n"
    block = draw(header_blocks)
    sizes = f"{len(block)} {len(block) + len(body)}"
    return f"HMSG {subject} {sid} {reply}{sizes}\r\n".encode() + block + body + b"\r\n"


control_lines = st.sampled_from(
    [
        b"PING\r\n",
        b"PONG\r\n",
        b"+OK\r\n",
        b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n",
        b"-ERR 'Stale Connection'\r\n",
        b'INFO {"server_id":"x","connect_urls":["127.0.0.1:4222"]}\r\n',
    ]
)
# Bytes that no server writes, and that nats-py takes or refuses.
oddities = st.sampled_from(
    [
        b"MSG  a\t1  2\r\nhi\r\n",
        b"MSG a 1  2\r\nhi\r\n",
        b"PING \r\n",
        b"MSG a x 2\r\nhi\r\n",
        b"MSG a 1 -2\r\n",
        b"HMSG a 1 2\r\n",
        b"HELLO\r\n",
    ]
)


def in_pieces(stream: bytes, cuts: set[int]) -> list[bytes]:
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    return [stream[begin:end] for begin, end in pairwise(places)]


def both_hear(pieces: list[bytes]) -> tuple[list[Any], list[Any]]:
    async def hear() -> tuple[list[Any], list[Any]]:
        return await LeanHeard().hear(pieces), await StockHeard().hear(pieces)

    return asyncio.run(hear())


@given(st.lists(messages() | control_lines, max_size=12).map(b"".join), st.sets(st.integers(0, 900)))
def test_any_stream_cut_anywhere_is_heard_as_nats_py_hears_it(stream: bytes, cuts: set[int]):
    lean, stock = both_hear(in_pieces(stream, cuts))

    assert lean == stock


@given(
    st.lists(messages() | control_lines, max_size=12).map(b"".join),
    st.sets(st.integers(0, 900)),
    st.lists(st.booleans()),
)
def test_what_is_taken_before_anything_is_read_is_heard_the_same(
    stream: bytes, cuts: set[int], is_read_after: list[bool]
):
    pieces = in_pieces(stream, cuts)

    async def hear() -> tuple[list[Any], list[Any]]:
        lean, reader = LeanHeard(), asyncio.StreamReader(20)

        async def read() -> None:
            while not lean.lost and (data := await reader.read(20)):
                await lean._ps.parse(data)

        await lean.hear([])
        take_early(reader, lean._parser, lean._take)
        reading = asyncio.create_task(read())
        for number, piece in enumerate(pieces):
            if number >= len(is_read_after) or is_read_after[number]:
                await asyncio.sleep(0)
            reader.feed_data(piece)
        reader.feed_eof()
        await reading
        return await Heard.hear(lean, []), await StockHeard().hear(pieces)

    lean, stock = asyncio.run(hear())

    assert lean == stock


@given(
    st.lists(messages() | control_lines | oddities, max_size=6).map(b"".join), st.sets(st.integers(0, 300))
)
def test_what_no_server_writes_is_taken_or_refused_as_nats_py_does(stream: bytes, cuts: set[int]):
    lean, stock = both_hear(in_pieces(stream, cuts))

    assert lean == stock


def test_a_large_message_comes_whole_however_it_is_cut():
    body = os.urandom(LARGEST)
    stream = b"MSG a 1 r %d\r\n%b\r\n" % (len(body), body) * 3
    pieces = [stream[begin : begin + 32768] for begin in range(0, len(stream), 32768)]

    lean, stock = both_hear(pieces)

    assert lean == stock
    assert [one[-1] for one in lean] == [body] * 3


# Writing: the same bytes


class Said:
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.said = b""

    @property
    def is_connected(self) -> bool:
        return True

    async def _send_command(self, command: bytes, priority: bool = False) -> None:
        self.said += command


class StockSaid(Said, Client):
    pass


class LeanSaid(Said, LeanClient):
    pass


outgoing = st.lists(
    st.tuples(
        subjects | st.sampled_from(["", "a b", "a\r\nPING"]),
        st.just("") | subjects | st.just("a b"),
        bodies,
        st.none()
        | st.dictionaries(
            names | st.sampled_from([" padded ", "", "a b", "a:b"]),
            values | st.just("two\r\nlines"),
            max_size=3,
        ),
    ),
    max_size=5,
)


@given(outgoing, st.booleans())
def test_many_are_published_in_the_bytes_of_each(sent: list[Any], unchecked: bool):
    async def publish() -> tuple[Any, Any]:
        stock, lean = StockSaid(), LeanSaid()
        stock._skip_subject_validation = lean._skip_subject_validation = unchecked
        outcomes: list[Any] = []
        try:
            for subject, reply, body, headers in sent:
                await stock.publish(subject, body, reply, headers)
            outcomes.append((stock.said, stock.stats))
        except nats.errors.Error as error:
            outcomes.append(type(error))
        try:
            await lean.publish_many(iter(sent))
            outcomes.append((lean.said, lean.stats))
        except nats.errors.Error as error:
            # Of a refused call, no message is sent.
            assert (lean.said, lean.stats["out_msgs"]) == (b"", 0)
            outcomes.append(type(error))
        return outcomes[0], outcomes[1]

    stock, lean = asyncio.run(publish())

    assert lean == stock


def test_a_flush_follows_what_was_sent_before_it():
    # Else a drained subscription loses messages that the server sends before it reads the UNSUB.
    async def scenario() -> bytes:
        read = b""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal read
            writer.write(b'INFO {"headers":true,"max_payload":1048576}\r\n')
            while line := await reader.readline():
                read += line
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            client = LeanClient()
            await client.connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            await client.subscribe_direct("a", handler=lambda *_: None)
            await client.flush()
            await client.publish_many([("b", "", b"", None)])
            await client.flush()
            await client.close()
        return read.partition(b"PING\r\n")[2]

    said = asyncio.run(scenario())

    assert said == b"SUB a  1\r\nPING\r\nPUB b  0\r\n\r\nPING\r\n"


def test_a_flush_that_is_given_up_does_not_end_the_reading(play):
    # nats-py's own fails on the answer to it, and reads nothing more.
    async def scenario(wire: Wire) -> None:
        # The same as a `flush` whose time is over: its ping is sent, its future cancelled.
        given_up = asyncio.get_running_loop().create_future()
        await wire.lean._send_ping(given_up)
        given_up.cancel()
        await wire.lean.flush()

    play(scenario)


def test_what_is_not_received_any_more_stays_so_when_the_connection_is_lost_meanwhile():
    # A flush that waited for its whole timeout kept a service from ending its turn as the leader.
    async def scenario() -> tuple[list[bytes], set[bytes]]:
        said: list[bytes] = []
        subscribed: set[bytes] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            subscribed.clear()
            writer.write(b'INFO {"headers":true,"max_payload":1048576}\r\n')
            while line := await reader.readline():
                said.append(line.split()[0])
                if line.startswith(b"SUB"):
                    subscribed.add(line.split()[-1])
                elif line.startswith(b"UNSUB"):
                    subscribed.discard(line.split()[1])
                    if said.count(b"UNSUB") == 1:
                        # The server has read the UNSUB, and ends the connection.
                        break
                elif line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            client = LeanClient()
            url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            await client.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0, error_cb=_ignored)
            ended = await client.subscribe_direct("a", handler=lambda *_: None)
            await client.subscribe_direct("b", handler=lambda *_: None)
            await stop_receiving(ended)
            await client.flush()
            await client.close()
        return said, subscribed

    said, subscribed = asyncio.run(scenario())

    assert said.count(b"CONNECT") == 2
    assert subscribed == {b"2"}


async def _ignored(error: Exception) -> None:
    """Ignores errors: the tests assert what they expect."""


# With a real server


class Wire:
    """A lean connection with the service's rights, and another client's with an application's."""

    def __init__(self, server: NatsServer, lean: LeanClient, other: RawNats, errors: list[Exception]) -> None:
        self.server = server
        self.lean = lean
        self.other = other
        self.errors = errors
        self.heard: list[tuple[Any, ...]] = []

    async def listen(self, handler: Callable[..., None] | None = None, *, queue: str = "") -> Any:
        subscription = await self.lean.subscribe_direct(
            f"{ARRIVALS}.>", queue=queue, handler=handler or (lambda *message: self.heard.append(message))
        )
        await self.lean.flush()
        return subscription


async def lean_client(server: NatsServer, errors: list[Exception], **options: Any) -> LeanClient:
    async def note(error: Exception) -> None:
        errors.append(error)

    client = LeanClient()
    await client.connect(
        server.url_for(RESPONDER),
        inbox_prefix=private_inbox(RESPONDER),
        error_cb=note,
        reconnect_time_wait=0.05,  # type: ignore[arg-type]  # seconds
        max_reconnect_attempts=-1,
        **options,
    )
    return client


@asynccontextmanager
async def wire_in(folder: Path) -> AsyncIterator[Wire]:
    errors: list[Exception] = []
    async with NatsServer(data=folder, port=0) as server, await RawNats.connect(server.url_for(APP)) as other:
        lean = await lean_client(server, errors)
        try:
            yield Wire(server, lean, other, errors)
        finally:
            await lean.close()


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Wire], Coroutine[Any, Any, None]]], None]:
    def run(scenario: Callable[[Wire], Coroutine[Any, Any, None]]) -> None:
        async def played() -> None:
            async with wire_in(tmp_path) as wire:
                await scenario(wire)

        asyncio.run(played())

    return run


def test_messages_come_in_order_with_all_that_they_carry(play):
    async def scenario(wire: Wire) -> None:
        await wire.listen()
        for number in range(1_000):
            headers = {"Number": str(number), "Name": "ü"} if number % 2 else None
            reply = f"{INBOX}.{number}" if number % 3 else None
            wire.other.publish(f"{COMMANDS}.jobs.{number}", b"%d" % number, reply=reply, headers=headers)
        await wire.other.flush()
        await until(lambda: len(wire.heard) == 1_000)

        assert wire.heard == [
            (
                f"{ARRIVALS}.jobs.{number}",
                f"{INBOX}.{number}" if number % 3 else "",
                {"Number": str(number), "Name": "ü"} if number % 2 else None,
                b"%d" % number,
            )
            for number in range(1_000)
        ]
        assert (wire.lean.stats["in_msgs"], wire.lean.stats["in_bytes"]) == (1_000, 10 + 180 + 2_700)

    play(scenario)


def test_the_largest_messages_come_and_go(play):
    async def scenario(wire: Wire) -> None:
        await wire.listen()
        inbox = wire.other.subscribe(f"{INBOX}.*")
        # The broker's limit counts the headers.
        sent = [os.urandom(LARGEST - 100) for _ in range(6)]
        for body in sent:
            wire.other.publish(f"{COMMANDS}.jobs.enqueue", body)
        await until(lambda: len(wire.heard) == len(sent))
        assert [body for *_, body in wire.heard] == sent

        await wire.lean.publish_many(
            (f"{TO_INBOX}.{n}", "", body, {"N": str(n)}) for n, body in enumerate(sent)
        )
        got = [await asyncio.wait_for(inbox.get(), 10) for _ in sent]
        assert [(one.headers["N"], one.body) for one in got] == [(str(n), b) for n, b in enumerate(sent)]

    play(scenario)


def test_other_subscriptions_are_nats_py_s_and_see_theirs(play):
    async def scenario(wire: Wire) -> None:
        seen: list[Any] = []

        async def note(message: Msg) -> None:
            seen.append((message.subject, message.reply, message.headers, message.data))

        await wire.lean.subscribe("hyperpage.usr.app.qry.v1.>", cb=note)
        await wire.listen()
        for number in range(100):
            wire.other.publish(f"{COMMANDS}.jobs.{number}", b"c", headers={"A": "b"})
            wire.other.publish(f"hyperpage.qry.v1.jobs.{number}", b"q", reply=INBOX, headers={"A": "b"})
        await until(lambda: len(seen) == len(wire.heard) == 100)

        assert seen[7] == ("hyperpage.usr.app.qry.v1.jobs.7", INBOX, {"A": "b"}, b"q")
        assert wire.heard[7] == (f"{ARRIVALS}.jobs.7", "", {"A": "b"}, b"c")

    play(scenario)


def test_a_queue_group_shares_messages_and_draining_loses_none(play):
    async def scenario(wire: Wire) -> None:
        second: list[tuple[Any, ...]] = []
        client = await lean_client(wire.server, wire.errors)
        await client.subscribe_direct(f"{ARRIVALS}.>", queue="q", handler=lambda *one: second.append(one))
        await client.flush()
        draining = await wire.listen(queue="q")
        for number in range(5_000):
            wire.other.publish(f"{COMMANDS}.jobs.x", b"%d" % number)
        await until(lambda: wire.heard)
        await draining.drain()
        first = len(wire.heard)
        assert first < 5_000
        await until(lambda: first + len(second) == 5_000)

        assert {body for *_, body in wire.heard + second} == {b"%d" % number for number in range(5_000)}
        assert len(wire.heard) == first
        await client.close()

    play(scenario)


def test_nothing_is_heard_after_unsubscribing(play):
    async def scenario(wire: Wire) -> None:
        subscription = await wire.listen()
        await subscription.unsubscribe()
        other = await wire.lean.subscribe(f"{ARRIVALS}.>")
        await wire.lean.flush()
        wire.other.publish(f"{COMMANDS}.jobs.x", b"1")

        assert (await other.next_msg(timeout=10)).data == b"1"
        assert wire.heard == []

    play(scenario)


def test_a_handler_s_exception_is_logged_and_the_next_message_is_handled(play, caplog):
    async def scenario(wire: Wire) -> None:
        def stumble(subject: str, reply: str, headers: Any, body: bytes) -> None:
            wire.heard.append((body,))
            if body == b"1":
                raise RuntimeError("stumbled")

        await wire.listen(stumble)
        for body in (b"1", b"2"):
            wire.other.publish(f"{COMMANDS}.jobs.x", body)
        await until(lambda: len(wire.heard) == 2)

    with caplog.at_level(logging.ERROR, "hyperpage_client.transport.connection"):
        play(scenario)
    (record,) = caplog.records
    assert "incident" in record.getMessage()
    assert "stumbled" in str(record.exc_info)


@pytest.mark.parametrize("kind", ["cmd", "qry"], ids=["direct", "nats-py's own"])
@pytest.mark.parametrize(
    ("subject", "headers", "read"),
    [
        (b"jobs.x", b"X", ("jobs.x", UNREADABLE)),
        (b"jobs.x", b"NATS/1.0 \xff\xff\xff\r\n\r\n", ("jobs.x", UNREADABLE)),
        (b"jobs.\xff", None, ("jobs.\ufffd", None)),
    ],
    ids=["headers of one byte", "a status that is no text", "a subject that is no text"],
)
def test_a_message_that_cannot_be_read_is_handled_as_such_and_so_is_the_next(
    play, kind: str, subject: bytes, headers: bytes | None, read: tuple[str, Any]
):
    # Such a message would end nats-py's reading task, and with it the service, without a word.
    async def scenario(wire: Wire) -> None:
        async def note(message: Msg) -> None:
            wire.heard.append((message.subject, message.reply, message.headers, message.data))

        await wire.lean.subscribe("hyperpage.usr.app.qry.v1.>", cb=note)
        await wire.listen()
        wire.other.publish(b"hyperpage.%b.v1.%b" % (kind.encode(), subject), b"1", headers=headers)
        wire.other.publish(f"hyperpage.{kind}.v1.jobs.x", b"2")
        await until(lambda: len(wire.heard) == 2)

        name, said = read
        assert wire.heard[0] == (f"hyperpage.usr.app.{kind}.v1.{name}", "", said, b"1")
        assert wire.heard[1][-1] == b"2"

    play(scenario)


def test_an_error_of_the_servers_costs_a_reconnection_and_no_more(play):
    async def scenario(wire: Wire) -> None:
        await wire.listen()
        # The server ends a connection on which it reads a line that is too long.
        await wire.lean.publish_many([(f"{TO_INBOX}.{'x' * 5000}", "", b"", None)])
        await until(lambda: wire.errors)
        await until(lambda: wire.lean.is_connected)
        await wire.lean.flush()
        wire.other.publish(f"{COMMANDS}.jobs.x", b"1")
        await until(lambda: wire.heard)

    play(scenario)


def test_a_refused_subject_is_told_and_does_not_end_the_connection(play):
    async def scenario(wire: Wire) -> None:
        inbox = wire.other.subscribe(f"{INBOX}.*")
        await wire.other.flush()
        await wire.lean.publish_many([("not.allowed", "", b"", None), (f"{TO_INBOX}.1", "", b"1", None)])

        assert (await asyncio.wait_for(inbox.get(), 10)).body == b"1"
        await until(lambda: wire.errors)
        assert "permissions violation" in str(wire.errors[0])

    play(scenario)


def test_after_a_lost_connection_it_hears_again_and_says_what_waited(play):
    async def scenario(wire: Wire) -> None:
        supervising = asyncio.create_task(wire.server.supervise())
        await wire.listen()
        send_signal(wire.server, signal.SIGKILL)
        await until(lambda: not wire.lean.is_connected)
        await wire.lean.publish_many([("hyperpage.res.v1.1", "", b"waited", None)])
        waiting = wire.lean.pending_data_size
        with pytest.raises(nats.errors.OutboundBufferLimitError):
            await wire.lean.publish_many([("hyperpage.res.v1.2", "", bytes(LARGEST), None)] * 3)
        assert (wire.lean.pending_data_size, waiting > 0) == (waiting, True)

        await until(lambda: wire.lean.is_connected)
        async with await RawNats.connect(wire.server.url_for(APP)) as other:
            other.publish(f"{COMMANDS}.jobs.x", b"again")
            await until(lambda: wire.heard)
        await until(lambda: wire.lean.pending_data_size == 0)
        assert [body for *_, body in wire.heard] == [b"again"]
        supervising.cancel()

    play(scenario)


def test_more_than_the_buffer_takes_waits_for_the_socket(play):
    async def scenario(wire: Wire) -> None:
        inbox = wire.other.subscribe(f"{INBOX}.*")
        await wire.other.flush()
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, wire.lean.pending_data_size)
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        body = bytes(LARGEST // 4)
        await wire.lean.publish_many([(f"{TO_INBOX}.1", "", body, None)] * 100)
        for _ in range(100):
            assert (await asyncio.wait_for(inbox.get(), 10)).body == body
        watching.cancel()
        assert most < 4 * LARGEST

    play(scenario)


def test_a_body_over_the_broker_s_limit_is_refused_with_all_beside_it(play):
    async def scenario(wire: Wire) -> None:
        sent = [(f"{TO_INBOX}.1", "", body, None) for body in (b"1", bytes(LARGEST + 1))]
        with pytest.raises(nats.errors.MaxPayloadError):
            await wire.lean.publish_many(sent)

        assert wire.lean.stats["out_msgs"] == 0

    play(scenario)


def test_a_closed_connection_takes_nothing(play):
    async def scenario(wire: Wire) -> None:
        await wire.lean.close()
        with pytest.raises(nats.errors.ConnectionClosedError):
            await wire.lean.publish_many([(f"{TO_INBOX}.1", "", b"", None)])
        with pytest.raises(nats.errors.ConnectionClosedError):
            await wire.lean.subscribe_direct(f"{ARRIVALS}.>", handler=lambda *_: None)

    play(scenario)


def test_what_is_written_to_a_lost_connection_is_dropped(play):
    async def scenario(wire: Wire) -> None:
        transport = wire.lean._transport
        assert isinstance(transport, TcpTransport)
        assert transport._io_writer is not None
        transport._io_writer.transport.abort()
        await asyncio.sleep(0)
        # asyncio's `writelines` of Python 3.12 and newer would raise a TypeError, and end the reconnecting.
        transport.writelines([b"PING\r\n"])

    play(scenario)


def test_a_connection_that_is_closed_while_it_comes_back_stays_closed(play, monkeypatch):
    async def scenario(wire: Wire) -> None:
        attempts = 0

        async def fails_with_its_cancellation(*_: Any) -> None:
            nonlocal attempts
            attempts += 1
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                # Python 3.11's `wait_for` does this if the connection is refused at the same moment.
                if attempts < 3:
                    raise ConnectionRefusedError from None
                raise

        monkeypatch.setattr(wire.lean, "_connect_to_server", fails_with_its_cancellation)
        await wire.server.stop()
        await until(lambda: attempts == 1)
        reconnecting = wire.lean._reconnection_task
        assert reconnecting is not None

        async with asyncio.timeout(30):
            await wire.lean.close()

        assert reconnecting.done()
        assert wire.lean.is_closed

    play(scenario)


def test_what_is_published_now_is_written_now_and_what_is_published_soon_in_one_piece(play):
    async def scenario(wire: Wire) -> None:
        lean = wire.lean
        inbox = wire.other.subscribe(f"{INBOX}.*")
        await wire.other.flush()
        assert isinstance(lean._transport, TcpTransport)
        write = lean._transport.write
        writes = 0

        def counted(payload: bytes) -> None:
            nonlocal writes
            writes += 1
            write(payload)

        lean._transport.write = counted  # type: ignore[method-assign]
        assert lean.publish_now([to_somebody(b"1"), to_somebody(b"2")])
        assert (writes, lean.pending_data_size) == (1, 0)

        # Another callback waits for the loop, so messages are gathered until the next turn.
        asyncio.get_running_loop().call_soon(lambda: None)
        assert lean.publish_soon(to_somebody(b"3"))
        await lean.publish(f"{TO_INBOX}.1", b"4")
        assert lean.publish_soon(to_somebody(b"5"))
        assert (writes, lean.pending_data_size > 0) == (1, True)
        await asyncio.sleep(0)
        assert (writes, lean.pending_data_size) == (2, 0)

        # Without other callbacks, a message is written at once; `publish_now` waits for no callback.
        assert [(await asyncio.wait_for(inbox.get(), 10)).body for _ in range(5)] == numbers(1, 5)
        loop: Any = asyncio.get_running_loop()
        await until(lambda: not loop._ready)
        assert lean.publish_soon(to_somebody(b"6"))
        assert (writes, lean.pending_data_size) == (3, 0)
        asyncio.get_running_loop().call_soon(lambda: None)
        assert lean.publish_soon(to_somebody(b"7"))
        assert lean.publish_now([to_somebody(b"8")])
        assert (writes, lean.pending_data_size) == (4, 0)
        with lean.gathering():
            lean.publish_soon(to_somebody(b"9"))
            lean.publish_soon(to_somebody(b"10"))
        assert (writes, lean.pending_data_size) == (5, 0)
        assert [(await asyncio.wait_for(inbox.get(), 10)).body for _ in range(5)] == numbers(6, 10)

    play(scenario)


def test_what_has_no_room_is_not_published_at_once(play):
    async def scenario(wire: Wire) -> None:
        lean = wire.lean
        inbox = wire.other.subscribe(f"{INBOX}.*")
        await wire.other.flush()
        published = 0
        # Socket and buffer fill up, and then there is no room, since the stopped server reads nothing.
        send_signal(wire.server, signal.SIGSTOP)
        try:
            while lean.publish_now([to_somebody(bytes(LARGEST // 2))]):
                published += 1
                assert published < 100
            assert not lean.publish_soon(to_somebody(bytes(LARGEST)))
            assert lean.stats["out_msgs"] == published
        finally:
            send_signal(wire.server, signal.SIGCONT)

        await lean.publish_many([to_somebody(b"")])
        for _ in range(published + 1):
            await asyncio.wait_for(inbox.get(), 10)
        with pytest.raises(nats.errors.MaxPayloadError):
            lean.publish_now([to_somebody(b""), to_somebody(bytes(LARGEST + 1))])
        await lean.close()
        with pytest.raises(nats.errors.ConnectionClosedError):
            lean.publish_now([to_somebody(b"")])

    play(scenario)


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last + 1)]


def to_somebody(body: bytes) -> RawMessage:
    return f"{TO_INBOX}.1", "", body, None
