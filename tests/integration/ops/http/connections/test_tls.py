"""HTTPS: what is spoken, certificates that change, and clients that are known by theirs."""

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from ops.cli.asking import _status_over_http
from ops.http.access.tokens import TokenFile
from ops.http.layers import sending
from ops.http.server import HttpServer, HttpServerError
from ops.security.users import UserFile, rights_of
from ops.settings import Settings, SettingsError
from ops.settings_sources import load_settings
from tests.support.patience import COMES_WITHIN_SECONDS, until
from tests.support.services.asking import HttpTalk, problem
from tests.support.services.certificates import Authority, Issued, needs_openssl
from tests.support.services.sockets import HOST

pytestmark = needs_openssl
GET = b"GET /session HTTP/1.1\r\n" + HOST + b"\r\n"
ALIVE = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"


class Secured:
    """A service over HTTPS, with the authority that vouches for it and for its clients."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "authority")
        self.folder = folder
        self.files = Issued(folder / "tls.crt", folder / "tls.key")
        self.clients = folder / "clients.crt"
        self.install(self.authority.issue("server", "/CN=localhost", use="serverAuth"))
        shutil.copy(self.authority.certificate, self.clients)

    def install(self, issued: Issued) -> None:
        """Puts a certificate and its key where the service looks for them, as tools that renew them do."""
        for source, goal in ((issued.certificate, self.files.certificate), (issued.key, self.files.key)):
            shutil.copy(source, goal.with_suffix(".new"))
            goal.with_suffix(".new").replace(goal)

    def serve(self) -> HttpTalk:
        return HttpTalk(
            self.folder / "data",
            http_certificate=self.files.certificate,
            http_key=self.files.key,
            http_client_ca=self.clients,
            http_open=False,
        )

    def context(self, client: Issued | None = None, authority: Authority | None = None) -> ssl.SSLContext:
        """The TLS settings of a client, with a certificate of its own or without."""
        context = ssl.create_default_context(cafile=(authority or self.authority).certificate)
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        return context


@pytest.fixture
def secured(tmp_path: Path) -> Secured:
    return Secured(tmp_path)


def client_of(talk: HttpTalk, context: ssl.SSLContext) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=talk.url, trust_env=False, verify=context, timeout=COMES_WITHIN_SECONDS)


def ask(
    talk: HttpTalk, context: ssl.SSLContext, method: str = "GET", path: str = "/session", **more: Any
) -> httpx.Response:
    """The answer to one request on a connection of its own."""

    async def once() -> httpx.Response:
        async with client_of(talk, context) as client:
            return await client.request(method, path, **more)

    response: httpx.Response = talk.run(once())
    return response


@contextlib.contextmanager
def no_tls_with() -> Iterator[None]:
    """A handshake fails, or the connection ends before there is an answer."""
    with pytest.raises((httpx.TransportError, ssl.SSLError, ConnectionError)):
        yield


def test_it_speaks_tls_1_2_and_newer_and_tells_browsers_to_stay_with_it(secured: Secured) -> None:
    with secured.serve() as talk:
        assert talk.url.startswith("https://127.0.0.1:")
        answer = ask(talk, secured.context(), path="/livez")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        session = ask(talk, secured.context(), "POST", "/session", json={"token": token(talk, "a")})
        assert "Secure" in session.headers["set-cookie"]

        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = secured.context()
            context.minimum_version = context.maximum_version = version
            assert ask(talk, context, path="/livez").status_code == 200
        old = secured.context()
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLS"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with no_tls_with():
            ask(talk, old, path="/livez")
        # A request without TLS gets no answer.
        with no_tls_with():
            talk.run(plainly(talk))


async def plainly(talk: HttpTalk) -> None:
    async with httpx.AsyncClient(base_url=talk.url.replace("https", "http"), trust_env=False) as client:
        await client.get("/livez")


def token(talk: HttpTalk, name: str, role: str = "read") -> str:
    _, secret = TokenFile(talk.data).create(name, role)  # type: ignore[arg-type]
    return secret


def test_without_tls_nothing_is_said_of_it(shared: HttpTalk) -> None:
    assert "strict-transport-security" not in shared.get("/livez").headers


def test_a_certificate_that_changes_is_taken_in_and_no_connection_is_dropped(
    secured: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    newer = Authority(secured.folder / "newer", "newer")

    async def scene(talk: HttpTalk) -> None:
        assert talk.service.http is not None
        address, port = talk.service.http.listens_at[:2]

        async def connect(authority: Authority) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            context = secured.context(authority=authority)
            return await asyncio.open_connection(address, port, ssl=context, server_hostname="localhost")

        async def speaks(authority: Authority) -> bool:
            try:
                _, writer = await connect(authority)
            except ssl.SSLError:
                return False
            writer.close()
            return True

        reader, writer = await connect(secured.authority)
        writer.write(ALIVE)
        assert b" 200 " in await reader.readuntil(b"\r\n")
        await reader.readuntil(b"}")

        # A file that is no certificate, or not the key's, changes nothing.
        secured.files.certificate.write_text("nothing")
        await until(lambda: "goes on with the certificate that it had" in caplog.text)
        assert await speaks(secured.authority)
        secured.install(newer.issue("server", "/CN=localhost", use="serverAuth"))
        await until(lambda: speaks(newer))
        assert not await speaks(secured.authority)

        writer.write(ALIVE)
        assert b" 200 " in await reader.readuntil(b"\r\n")
        writer.close()

    with secured.serve() as talk:
        talk.run(scene(talk))


def test_a_client_is_known_by_the_name_in_its_certificate_and_has_the_role_of_that_token(
    secured: Secured,
) -> None:
    billing = secured.context(secured.authority.issue("billing", "/O=acme/CN=billing"))
    set_a: dict[str, Any] = {"json": {"key": "a", "value": 1}}
    with secured.serve() as talk:
        other = token(talk, "other", "read")
        # A certificate with a name that no token has lets no client in.
        problem(ask(talk, billing), 401, "unauthorized")
        secret = token(talk, "billing", "operate")

        assert ask(talk, billing).json() == {"name": "billing", "role": "operate", "csrf_token": None}
        assert ask(talk, billing, "POST", "/api/v1/app_state/set", **set_a).status_code == 200
        problem(ask(talk, billing, "POST", "/api/v1/admin/dlq/list"), 403, "forbidden")
        # The certificate also opens the console; a token in the request goes before it.
        assert ask(talk, billing, path="/console").status_code == 200
        assert ask(talk, billing, headers={"Authorization": f"Bearer {other}"}).json()["name"] == "other"
        problem(ask(talk, billing, headers={"Authorization": "Bearer hpt_no"}), 401, "unauthorized")
        # Without a certificate, tokens are as good as ever.
        problem(ask(talk, secured.context()), 401, "unauthorized")
        assert ask(talk, secured.context(), headers={"Authorization": f"Bearer {secret}"}).status_code == 200

        TokenFile(talk.data).revoke("billing")
        problem(ask(talk, billing), 401, "unauthorized")


def test_a_user_of_its_own_is_known_by_the_name_in_its_certificate(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    billing = secured.context(secured.authority.issue("billing", "/CN=billing"))
    rights = rights_of(allow=["app_state.*"], keys=["billing/*"], tables=[], reads=True, follows=False)
    with secured.serve() as talk:
        UserFile(talk.data).create("billing", rights)

        own = {"json": {"key": "billing/1", "value": 1}}
        assert ask(talk, billing, "POST", "/api/v1/app_state/set", **own).status_code == 200
        another = {"json": {"key": "a", "value": 1}}
        problem(ask(talk, billing, "POST", "/api/v1/app_state/set", **another), 403, "forbidden")
        # A page that it may not see opens no session.
        monkeypatch.setattr("ops.http.access.sessions.Sessions.open", None)
        assert ask(talk, billing, path="/console").status_code == 403


@pytest.mark.parametrize(
    ("subject", "use"),
    [
        ("/CN=billing/CN=other", "clientAuth"),
        ("/O=billing", "clientAuth"),
        ("/CN=Billing", "clientAuth"),
        ("/CN=billing ", "clientAuth"),
        ("/CN=billing.example", "clientAuth"),
        ("/CN=localhost", "clientAuth"),
        ("/OU=billing/CN=nobody", "clientAuth"),
    ],
)
def test_another_name_than_that_of_a_token_is_nobodys(secured: Secured, subject: str, use: str) -> None:
    client = secured.context(secured.authority.issue("client", subject, use=use))
    with secured.serve() as talk:
        token(talk, "billing", "admin")

        problem(ask(talk, client), 401, "unauthorized")
        assert ask(talk, client, path="/livez").status_code == 200


def test_certificates_that_do_not_count_end_the_handshake(secured: Secured) -> None:
    foreign = Authority(secured.folder / "foreign", "authority")
    clients = [
        foreign.issue("billing", "/CN=billing"),
        secured.authority.issue("over", "/CN=billing", is_over=True),
        secured.authority.issue("server", "/CN=billing", use="serverAuth"),
    ]
    with secured.serve() as talk:
        token(talk, "billing", "admin")
        for client in clients:
            with no_tls_with():
                ask(talk, secured.context(client), path="/livez")


def test_clients_of_an_authority_that_was_replaced_are_nobody_at_once(secured: Secured) -> None:
    newer = Authority(secured.folder / "newer", "newer")
    billing = secured.authority.issue("billing", "/CN=billing")

    async def scene(talk: HttpTalk) -> None:
        assert talk.service.http is not None
        address, port = talk.service.http.listens_at[:2]
        reader, writer = await asyncio.open_connection(
            address, port, ssl=secured.context(billing), server_hostname="localhost"
        )

        async def status() -> int:
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"}")
            if b"problem" in head:
                await reader.readuntil(b"}")
            return int(head[9:12])

        assert await status() == 200
        shutil.copy(newer.certificate, secured.clients)

        async def is_nobody() -> bool:
            return await status() == 401

        # On a connection that stands, too.
        await until(is_nobody)
        writer.close()

    with secured.serve() as talk:
        token(talk, "billing", "admin")
        talk.run(scene(talk))


def test_a_certificate_that_was_taken_back_counts_for_nothing(secured: Secured) -> None:
    kept = secured.authority.issue("kept", "/CN=billing")
    lost = secured.authority.issue("lost", "/CN=billing")
    with secured.serve() as talk:
        token(talk, "billing", "read")
        assert ask(talk, secured.context(lost)).status_code == 200
        revoked = secured.authority.revoke(lost)
        secured.clients.write_text(secured.authority.certificate.read_text() + revoked)

        async def is_refused() -> bool:
            try:
                async with httpx.AsyncClient(
                    base_url=talk.url, trust_env=False, verify=secured.context(lost)
                ) as client:
                    await client.get("/livez")
            except (httpx.TransportError, ssl.SSLError):
                return True
            return False

        talk.run(until(is_refused))
        assert ask(talk, secured.context(kept)).json()["name"] == "billing"


def test_who_reads_slowly_over_tls_is_given_up(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(sending, "BYTES_FOR_A_SECOND", 10_000_000)

    async def scene(talk: HttpTalk) -> None:
        http = talk.service.http
        assert http is not None
        _, writer = await asyncio.open_connection(
            *http.listens_at[:2], ssl=secured.context(), server_hostname="localhost"
        )
        writer.write((b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n") * 40)
        await until(lambda: http.crowd.count == 1)
        await until(lambda: http.crowd.count == 0)
        writer.close()

    with secured.serve() as talk:
        talk.run(scene(talk))
        monkeypatch.setattr(sending, "SEND_SECONDS", COMES_WITHIN_SECONDS)
        # A client that reads gets the whole answer.
        assert len(ask(talk, secured.context(), path="/openapi.json").content) > 100_000


def test_handshakes_that_never_end_hold_nobody_up(secured: Secured) -> None:
    async def scene(talk: HttpTalk) -> None:
        http = talk.service.http
        assert http is not None
        held = [await asyncio.open_connection(*http.listens_at[:2]) for _ in range(300)]
        for _, writer in held[::2]:
            writer.write(b"\x16\x03\x01")
        await until(lambda: http.crowd.count >= 300)
        async with client_of(talk, secured.context()) as client:
            assert (await client.get("/livez")).status_code == 200
        for _, writer in held:
            writer.close()
        await until(lambda: http.crowd.count == 0)

    with secured.serve() as talk:
        talk.run(scene(talk))


def test_status_finds_a_service_over_https_when_its_bus_does_not_answer(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERPAGE_HTTP_CERTIFICATE", str(secured.files.certificate))
    monkeypatch.setenv("HYPERPAGE_HTTP_KEY", str(secured.files.key))
    with secured.serve() as talk:
        said = talk.run(asyncio.to_thread(_status_over_http, talk.data))
        assert b'"status":"' in said

        # A server with another certificate at that address is not believed.
        secured.install(secured.authority.issue("other", "/CN=localhost", use="serverAuth"))

        async def is_refused() -> bool:
            return await asyncio.to_thread(_status_over_http, talk.data) is None

        # The service looks at its files now and then.
        talk.run(until(is_refused))


def test_what_is_no_certificate_is_told_at_the_start(secured: Secured, tmp_path: Path) -> None:
    other = secured.authority.issue("other", "/CN=localhost", use="serverAuth")
    good, key = secured.files.certificate, secured.files.key
    nothing = tmp_path / "nothing"
    nothing.write_text("")
    for files in (
        {"http_certificate": good, "http_key": other.key},
        {"http_certificate": tmp_path / "missing", "http_key": key},
        {"http_certificate": nothing, "http_key": key},
        {"http_certificate": good, "http_key": key, "http_client_ca": nothing},
    ):
        server = HttpServer(msgspec.structs.replace(Settings(data=tmp_path / "data"), **files))
        with pytest.raises(HttpServerError, match="TLS with"):
            asyncio.run(server.start())
    for alone in ({"http_certificate": good}, {"http_key": key}, {"http_client_ca": good}):
        with pytest.raises(SettingsError, match="belong together"):
            load_settings(alone, {})
