"""Readers of NATS messages, as targets: any client may send such messages, and some are in streams."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bus.contract import codec
from bus.publishing.stream_state import ForeignMessageError, published_event
from bus.serving.dead_letters import ChooseDeadLetters, ListDeadLetters, ShowDeadLetter
from bus.serving.decoding import submission_of
from domain.errors import Internal, Refusal
from hyperpage_client.contract.headers import COMMAND_ID
from hyperpage_client.contract.stream_metadata import decode_segments
from hyperpage_client.contract.subjects import BATCH, BusNames, unescape
from hyperpage_client.errors import read_refusal
from hyperpage_client.following.change_events import decode_event, decode_event_page, parse_event_id
from hyperpage_client.transport.jetstream_answers import (
    StoredMessage,
    decode_report,
    error_in,
    message_in,
    stored,
)
from hyperpage_client.transport.protocol import decode_headers, end_of_next
from hyperpage_client.transport.pulls import delivery_in
from migrations.connection import open_reader
from ops.contract.queries import query_verbs
from ops.store.tables import Tables
from tests.lab.fuzzing.mutating import Target
from tests.support.clock import Clock
from tests.support.documents.reference_examples import COMMANDS, QUERIES
from tests.support.stores.backing_up import Stored

NAMES = BusNames()
HEADERS = (
    b"Hyperpage-Command-Id: 01a3185c-5000-7000-8000-000000000000\r\nHyperpage-Expected-Version: 3\r\n"
    b"Hyperpage-Actor: anna\r\nHyperpage-Correlation-Id: c\r\nHyperpage-Causation-Id: d\r\n"
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
)
ACKNOWLEDGEMENT = b"$JS.ACK.HYPERPAGE_COMMANDS.service-1.1.7.7.1800000000000000000.0"


def over_nats(folder: Path) -> dict[str, Target]:
    """The targets, by name. Queries are asked of a store in `folder`."""
    found = _commands() | _of_the_broker()
    found |= _queries(folder)
    for shape in (ListDeadLetters, ShowDeadLetter, ChooseDeadLetters):
        sound = [b'{"sequence":1}', b'{"all":true}', b'{"after":1,"limit":3}', b"{}"]
        found[f"the request {shape.__name__}"] = Target(_decoding(shape), sound, (Refusal,))
    return found


def _decoding(shape: type[Any]) -> Callable[[bytes], object]:
    return lambda body: codec.decode(shape, body)


def _commands() -> dict[str, Target]:
    """Readers of commands, of batches, and of their headers."""

    def read(name: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        submission = submission_of(name, body, headers, None)
        if any(isinstance(one, Internal) for one in submission.requests):
            raise RuntimeError("a defect")

    def reading(name: str) -> Callable[[bytes], object]:
        return lambda body: read(name, body)

    bodies = {name: msgspec.json.encode(shown.body) for name, shown in COMMANDS.items() if name != BATCH}
    found = {
        f"the command {name}": Target(reading(name), [body, *list(bodies.values())[:4]], ())
        for name, body in bodies.items()
    }
    items = [
        {"command": name, "id": str(number), "expected_version": number, "body": msgspec.Raw(body)}
        for number, (name, body) in enumerate(bodies.items())
    ]
    batches = [
        msgspec.json.encode({"atomic": atomic, "commands": items[begin : begin + 3]})
        for begin in range(0, len(items), 3)
        for atomic in (True, False)
    ]
    found["a batch"] = Target(reading(BATCH), batches, ())
    found["the headers of a command"] = Target(
        lambda lines: read("app_state.set", b'{"key":"k","value":1}', decode_headers(lines)), [HEADERS], ()
    )
    return found


def _queries(folder: Path) -> dict[str, Target]:
    with_history = Stored(folder / "asked")
    with_history.work(120)
    with_history.store.close()
    reader = open_reader(folder / "asked" / "hyperpage.db")
    verbs = query_verbs(Tables().row_json, Clock())

    def asking(name: str) -> Callable[[bytes], object]:
        verb = verbs[name]
        return lambda body: verb.answer(reader, codec.decode(verb.shape, body))

    bodies = {name: msgspec.json.encode(shown.body) for name, shown in QUERIES.items() if name in verbs}
    return {
        f"the query {name}": Target(asking(name), [body, b"{}", *list(bodies.values())[:4]], (Refusal,))
        for name, body in bodies.items()
    }


def _of_the_broker() -> dict[str, Target]:
    """Readers of a broker's answers, and of messages that other clients may have put into its streams."""
    event = (
        b'{"specversion":"1.0","id":"1-7","source":"hyperpage/store","type":"hyperpage.job.enqueued.v1",'
        b'"subject":"jobs/a","time":"2027-01-15T08:00:00.000Z","datacontenttype":"application/json",'
        b'"sequence":"7","version":1,"timeline":1,"hash":"00ff","data":{"a":1}}'
    )
    page = b'{"items":[' + event + b'],"next":7,"head":9,"store_id":"store","timelines":[[1,1]]}'
    message = msgspec.json.encode({"message": {"seq": 7, "subject": "s", "data": base64.b64encode(event)}})
    report = (
        b'{"config":{"name":"E","metadata":{"a":"b"}},"created":"2027-01-15T08:00:00Z",'
        b'"state":{"messages":1,"first_seq":1,"last_seq":1}}'
    )
    wrong = (msgspec.MsgspecError,)
    # These are the broker's own words; a text that is no UTF-8 is a ValueError, as those of msgspec are.
    wrong_of_jetstream = (ValueError, RecursionError)
    subject = NAMES.event("jobs/a", "job.enqueued.v1")

    def published(body: bytes) -> object:
        return published_event(NAMES, "store", StoredMessage(7, subject, body))

    return {
        "an event in the stream, for the relay": Target(published, [event], (ForeignMessageError,)),
        "an event, for a subscriber": Target(decode_event, [event], wrong),
        "a page of events, for a subscriber": Target(decode_event_page, [page], wrong),
        "a stored message": Target(message_in, [message], wrong_of_jetstream),
        "the report of a stream": Target(decode_report, [report], wrong_of_jetstream),
        "an answer of JetStream's": Target(
            error_in, [report, b'{"error":{"err_code":1}}'], wrong_of_jetstream
        ),
        "the answer to what was published": Target(
            lambda body: stored(None, body),
            [b'{"seq":1,"stream":"E"}'],
            (),
        ),
        "the segments in a stream's metadata": Target(
            lambda text: decode_segments(text.decode(errors="replace")),
            [b'[{"timeline":1,"first_position":1,"offset":0}]'],
            wrong,
        ),
        "a refusal": Target(
            read_refusal, [b'{"error":{"code":"busy","message":"m","hint":"h","details":{"a":1}}}'], ()
        ),
        "headers": Target(decode_headers, [HEADERS], ()),
        "the end of a message": Target(
            lambda data: end_of_next(data, 0), [b"MSG a 1 5\r\nhello\r\n", b"HMSG a 1 b 5 9\r\n"], ()
        ),
        "what would acknowledge a delivery": Target(
            lambda text: delivery_in(text.decode(errors="replace")), [ACKNOWLEDGEMENT], (ValueError,)
        ),
        "the id of an event": Target(
            lambda text: parse_event_id(text.decode(errors="replace")), [b"1-42"], (ValueError,)
        ),
        "a token of a subject": Target(
            lambda text: unescape(text.decode(errors="replace")), [b"a=2Eb", COMMAND_ID.encode()], ()
        ),
    }
