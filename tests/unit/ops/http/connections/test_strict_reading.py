"""A request has one meaning: anything that another reader could read in another way is refused."""

import h11
import pytest

from ops.http.connections.strict_reading import MAXIMUM_CHUNKS, MAXIMUM_HEADERS, StrictConnection

POST = b"POST /a HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MAXIMUM_HEAD_BYTES = 32 * 1024


def read(sent: bytes, *, by: int = 1_000_000) -> tuple[list[bytes], bytes]:
    """The targets and the bodies of the requests in these bytes, which arrive so many at once."""
    connection = StrictConnection(MAXIMUM_HEAD_BYTES)
    targets: list[bytes] = []
    body = b""
    for start in range(0, len(sent), by):
        connection.receive_data(sent[start : start + by])
        while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.Request):
                targets.append(bytes(event.target))
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                connection.send(h11.Response(status_code=204, headers=[]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
    return targets, body


@pytest.mark.parametrize("by", [1, 2, 3, 1_000_000])
@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b""),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b""),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \tb\tc \r\nEmpty:\r\nObs: \xff\r\n\r\n", b""),
        (POST + b"Content-Length: 5\r\n\r\nab\ncd", b"ab\ncd"),
        (CHUNKED + b"3\r\na\nb\r\n0A\r\n0123456789\r\n0\r\n\r\n", b"a\nb0123456789"),
        (CHUNKED + b"0\r\nTrailer: yes\r\n\r\n", b""),
    ],
)
def test_what_the_standard_has_is_read_however_it_is_cut(sent: bytes, body: bytes, by: int) -> None:
    targets, found = read(sent * 2, by=by)

    assert len(targets) == 2
    assert found == body * 2


@pytest.mark.parametrize("by", [1, 1_000_000])
@pytest.mark.parametrize(
    "sent",
    [
        # How long the body is, said twice.
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
        POST + b"Content-Length: 0\r\nContent-Length: 1\r\n\r\nx",
        POST + b"Content-Length: 0, 0\r\n\r\n",
        POST + b"Content-Length: +1\r\n\r\nx",
        POST + b"Content-Length: 1 1\r\n\r\nx",
        POST + b"Content-Length: 0x1\r\n\r\nx",
        POST + b"Content-Length:\r\n\r\n",
        POST + b"Content-Length: \xb2\r\n\r\nxx",
        # Codings that others know, or take for what they are not.
        POST + b"Transfer-Encoding: identity\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: \r\n\tchunked\r\n\r\n0\r\n\r\n",
        POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        # Ends of lines.
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n",
        # Lines that go on in the next one.
        b"GET / HTTP/1.1\r\n folded: b\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n \r\n\r\n",
        # Names and values.
        POST + b"Content-Length : 0\r\n\r\n",
        POST + b"Content-Length\t: 0\r\n\r\n",
        POST + b" Content-Length: 0\r\n\r\n",
        POST + b"Content Length: 0\r\n\r\n",
        POST + b"Content-Length\x00: 0\r\n\r\n",
        POST + b": 0\r\n\r\n",
        POST + b"No colon\r\n\r\n",
        POST + b"X: a\x00b\r\n\r\n",
        POST + b"X: a\x01b\r\n\r\n",
        POST + b"X: a\x7fb\r\n\r\n",
        POST + b"X: a\x0cb\r\n\r\n",
        POST + b"Host: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        # The first line.
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET \\a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET / HTTP/0.9\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        # Chunks.
        CHUNKED + b"1;a=b\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"1;a\rb\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"1 \r\nx\r\n0\r\n\r\n",
        CHUNKED + b" 1\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"0x1\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"+1\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"-1\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"1_0\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"000000001\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"1\nx\n0\n\n\r\n",
        CHUNKED + b"1\r\nx\n\n0\r\n\r\n",
        CHUNKED + b"1\r\nxy\r\n0\r\n\r\n",
        CHUNKED + b"0\r\n\n",
        CHUNKED + b"0\r\nA: b\nC: d\r\n\r\n",
        CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(sent: bytes, by: int) -> None:
    with pytest.raises(h11.RemoteProtocolError):
        read(sent + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", by=by)


def test_a_later_request_of_a_connection_is_read_as_strictly() -> None:
    good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    with pytest.raises(h11.RemoteProtocolError):
        read(good + good.replace(b"\r\nHost", b"\nHost"))


def test_headers_and_trailers_have_a_number() -> None:
    def headers(count: int) -> bytes:
        return b"".join(b"X-%d: a\r\n" % number for number in range(count))

    read(b"GET / HTTP/1.1\r\nHost: a\r\n" + headers(MAXIMUM_HEADERS - 1) + b"\r\n")
    with pytest.raises(h11.RemoteProtocolError, match="too many headers") as refused:
        read(b"GET / HTTP/1.1\r\nHost: a\r\n" + headers(MAXIMUM_HEADERS) + b"\r\n")
    assert refused.value.error_status_hint == 431
    with pytest.raises(h11.RemoteProtocolError, match="too many headers"):
        read(CHUNKED + b"0\r\n" + headers(MAXIMUM_HEADERS + 2) + b"\r\n")
    # Trailers and lengths of chunks without an end have a limit, too.
    with pytest.raises(h11.RemoteProtocolError, match="too long"):
        read(CHUNKED + b"0\r\n" + b"X: a\r\n" * MAXIMUM_HEAD_BYTES, by=4_096)
    with pytest.raises(h11.RemoteProtocolError, match="too long"):
        read(CHUNKED + b"0" * 2 * MAXIMUM_HEAD_BYTES, by=4_096)


def test_chunks_have_a_number() -> None:
    def chunks(count: int) -> bytes:
        return CHUNKED + b"1\r\na\r\n" * count + b"0\r\n\r\n"

    assert read(chunks(MAXIMUM_CHUNKS - 1))[1] == b"a" * (MAXIMUM_CHUNKS - 1)
    with pytest.raises(h11.RemoteProtocolError, match="too many chunks"):
        read(chunks(MAXIMUM_CHUNKS))
