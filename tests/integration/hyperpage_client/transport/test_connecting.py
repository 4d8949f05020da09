"""Clients that ask for TLS send nothing in clear, and nothing to anything but the right server."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bus.client import Unreachable
from bus.client import connect as connect_client
from hyperpage_client.tasks import cancel
from hyperpage_client.transport.access import Access
from hyperpage_client.transport.connecting import NotConnectedError, connect
from hyperpage_client.transport.nkeys import NKey, new_seed
from tests.support.logins import LOGINS
from tests.support.patience import until
from tests.support.services.certificates import Authority, Issued, needs_openssl
from tests.support.services.outside_nats import outside_nats, tls

SECRET = "the-password"
HANDSHAKE = b"\x16\x03"
SECONDS = 30.0
# The INFO of a server that the test simulates.
INFO: dict[str, Any] = {
    "server_id": "x",
    "version": "2.15.0",
    "max_payload": 1048576,
    "headers": True,
    "proto": 1,
}


class Listener:
    """A simulated server: it records what clients send, and sends what the test wants."""

    def __init__(self, info: dict[str, Any], then: bytes = b"") -> None:
        self.heard: list[bytes] = []
        self._info = info
        self._then = then
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    @property
    def port(self) -> int:
        assert self._server is not None
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.heard)
        self.heard.append(b"")
        with suppress(ConnectionError):
            writer.write(b"INFO " + json.dumps(self._info).encode() + b"\r\n" + self._then)
            while part := await reader.read(65_536):
                self.heard[number] += part
                if self._then:
                    writer.write(self._then)
                    break
        writer.close()

    def was_told_nothing(self) -> bool:
        """Whether no client sent more than the beginning of a TLS handshake."""
        return all(one == b"" or one.startswith(HANDSHAKE) for one in self.heard) and not any(
            word.encode() in one for one in self.heard for word in (SECRET, "CONNECT", "app", "PING")
        )


@asynccontextmanager
async def listening(info: dict[str, Any], then: bytes = b"") -> AsyncIterator[Listener]:
    listener = Listener(INFO | info, then)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def server_certificate(authority: Authority) -> Issued:
    return authority.issue("server", "/CN=localhost", use="serverAuth")


def refused(url: str, **more: Any) -> NotConnectedError:
    """The error of a client that no server lets in."""

    async def scenario() -> NotConnectedError:
        with pytest.raises(NotConnectedError) as refusal:
            await connect(url, inbox_prefix="_INBOX", within_seconds=5.0, again_after_seconds=0.05, **more)
        return refusal.value

    return asyncio.run(scenario())


async def told(listener: Listener) -> dict[str, str]:
    """What the first client said that it is."""
    await until(lambda: listener.heard and b"PING" in listener.heard[0])
    said = json.loads(listener.heard[0].partition(b"\r\n")[0].removeprefix(b"CONNECT "))
    return {name: said[name] for name in ("user", "pass", "auth_token") if name in said}


# Who one is


def test_the_user_in_an_address_is_told_as_it_is_meant():
    async def login(user: str) -> dict[str, str]:
        async with listening({"auth_required": True}) as listener:
            url = f"nats://{user}@127.0.0.1:{listener.port}"
            connecting = asyncio.create_task(connect(url, inbox_prefix="_INBOX", within_seconds=SECONDS))
            said = await told(listener)
            await cancel(connecting)
        return said

    async def scenario() -> dict[str, dict[str, str]]:
        return {user: await login(user) for user in LOGINS}

    assert asyncio.run(scenario()) == LOGINS


def test_each_server_is_told_the_user_in_its_own_address():
    async def scenario() -> list[dict[str, str]]:
        async with (
            listening({"auth_required": True}, b"-ERR 'Authorization Violation'\r\n") as first,
            listening({"auth_required": True}) as second,
        ):
            url = f"nats://a%40:b%40@127.0.0.1:{first.port},nats://c%40@127.0.0.1:{second.port}"
            connecting = asyncio.create_task(connect(url, inbox_prefix="_INBOX", within_seconds=SECONDS))
            said = [await told(first), await told(second)]
            await cancel(connecting)
        return said

    assert asyncio.run(scenario()) == [{"user": "a@", "pass": "b@"}, {"auth_token": "c@"}]


# Nothing is sent in clear


@pytest.mark.parametrize(
    "info", [{}, {"auth_required": True}, {"auth_required": True, "nonce": "n"}], ids=str
)
@pytest.mark.parametrize("scheme", ["tls", "TLS", " tls"])
def test_a_password_is_not_told_to_a_server_without_tls(info: dict[str, Any], scheme: str):
    async def scenario() -> None:
        async with listening(info) as listener:
            url = f"{scheme}://app:{SECRET}@127.0.0.1:{listener.port}"
            with pytest.raises(NotConnectedError, match="offers no TLS") as refusal:
                await connect(url, inbox_prefix="_INBOX", within_seconds=SECONDS, again_after_seconds=0.05)
            assert listener.heard == [b""]
            assert refusal.value.hint
            assert SECRET not in str(refusal.value)
            with pytest.raises(Unreachable, match="offers no TLS"):
                async with connect_client(url):
                    pass
            assert listener.heard == [b"", b""]

    asyncio.run(scenario())


@needs_openssl
def test_settings_that_ask_for_tls_are_enough(authority: Authority):
    async def scenario() -> None:
        own = authority.issue("own", "/CN=app")
        each: tuple[dict[str, Any], ...] = (
            {"ca": authority.certificate},
            {"certificate": own.certificate, "key": own.key},
            {"credentials": _in_one(own)},
        )
        for files in each:
            async with listening({"auth_required": True}) as listener:
                with pytest.raises(Unreachable, match="offers no TLS"):
                    async with connect_client(f"nats://app:{SECRET}@127.0.0.1:{listener.port}", **files):
                        pass
                assert listener.heard == [b""]

    asyncio.run(scenario())


@pytest.mark.parametrize("says", ["tls_required", "tls_available"])
@pytest.mark.parametrize(
    "then",
    [
        b"",
        b"+OK\r\n",
        b"PONG\r\n",
        b'INFO {"auth_required": true}\r\nPONG\r\n',
        b"\x15\x03\x03\x00\x02\x01\x00",
    ],
    ids=["silent", "ok", "pong", "info again", "alert"],
)
def test_a_server_that_only_says_that_it_has_tls_is_told_nothing(says: str, then: bytes):
    async def scenario() -> None:
        async with listening({says: True, "auth_required": True}, then) as listener:
            url = f"tls://app:{SECRET}@127.0.0.1:{listener.port}"
            connecting = asyncio.create_task(
                connect(
                    url,
                    inbox_prefix="_INBOX",
                    within_seconds=SECONDS,
                    again_after_seconds=0.05,
                    connect_timeout=1,
                )
            )
            await until(lambda: len(listener.heard) >= 3 or connecting.done())
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            assert listener.heard
            assert listener.was_told_nothing(), listener.heard

    asyncio.run(scenario())


@needs_openssl
def test_what_takes_the_place_of_the_server_is_told_nothing_when_the_connection_is_made_again(
    tmp_path: Path, authority: Authority, server_certificate: Issued
):
    login = {"authorization": {"user": "app", "password": SECRET}}
    for info in ({"auth_required": True}, {"auth_required": True, "tls_required": True}):

        async def scenario(info: dict[str, Any] = info) -> None:
            listener = Listener(INFO | info)
            async with outside_nats(tmp_path / "nats", {"tls": tls(server_certificate), **login}) as server:
                errors: list[str] = []
                client = await connect(
                    f"tls://app:{SECRET}@localhost:{server.port}",
                    inbox_prefix="_INBOX",
                    within_seconds=SECONDS,
                    again_after_seconds=0.05,
                    access=Access.of(ca=authority.certificate),
                    on_error=errors.append,
                    connect_timeout=1,
                )
                assert client.is_encrypted
                await server.stop()
                await listener.start(server.port)
                await until(lambda: len(listener.heard) >= 3)
                assert listener.was_told_nothing(), listener.heard
                assert not client.is_connected
                await listener.stop()
                # The real server is found again.
                await server.start()
                await until(lambda: client.is_connected)
                assert client.is_encrypted
                await client.close()

        asyncio.run(scenario())


@needs_openssl
def test_whoever_is_on_the_way_cannot_say_where_else_to_go(authority: Authority):
    async def scenario() -> None:
        async with (
            listening({"auth_required": True, "tls_required": True}) as other,
            listening(
                {"tls_required": True, "connect_urls": [f"127.0.0.1:{other.port}", f"localhost:{other.port}"]}
            ) as listener,
        ):
            connecting = asyncio.create_task(
                connect(
                    f"tls://app:{SECRET}@localhost:{listener.port}",
                    inbox_prefix="_INBOX",
                    within_seconds=SECONDS,
                    again_after_seconds=0.05,
                    access=Access.of(ca=authority.certificate),
                    connect_timeout=1,
                )
            )
            await until(lambda: len(listener.heard) >= 4)
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            assert other.heard == []

    asyncio.run(scenario())


@needs_openssl
def test_addresses_that_the_server_tells_over_tls_are_gone_to_with_the_same_care(
    tmp_path: Path, authority: Authority, server_certificate: Issued
):
    seed = new_seed()
    seed_file = _private(tmp_path / "app.nk", seed.encode())

    def settings(name: str, routes: list[str]) -> dict[str, Any]:
        return {
            "server_name": name,
            "tls": tls(server_certificate),
            "authorization": {"users": [{"nkey": NKey(seed).public}]},
            "cluster": {"name": "ours", "listen": "127.0.0.1:-1", "routes": routes},
        }

    async def scenario() -> None:
        async with outside_nats(tmp_path / "one", settings("one", [])) as one:  # noqa: SIM117 - needs the first
            async with outside_nats(tmp_path / "two", settings("two", [one.route])) as two:
                client = await connect(
                    f"tls://localhost:{one.port}",
                    inbox_prefix="_INBOX",
                    within_seconds=SECONDS,
                    again_after_seconds=0.05,
                    access=Access.of(ca=authority.certificate, credentials=seed_file),
                )
                await until(lambda: client.discovered_servers)
                await one.stop()
                await until(
                    lambda: client.connected_url is not None and client.connected_url.port == two.port
                )
                assert client.is_encrypted
                await client.close()

    asyncio.run(scenario())


# The identity of the server


@needs_openssl
def test_a_server_is_who_its_certificate_names_for_an_authority_that_is_trusted(
    tmp_path: Path, authority: Authority, server_certificate: Issued
):
    over = authority.issue("over", "/CN=localhost", use="serverAuth", is_over=True)
    elsewhere = Authority(tmp_path / "elsewhere", "elsewhere")

    async def scenario() -> None:
        async with outside_nats(tmp_path / "nats", {"tls": tls(server_certificate)}) as server:
            trusted = Access.of(ca=authority.certificate)
            for access, host, said in (
                (Access(), "localhost", "no authority that is trusted here"),
                (Access.of(ca=elsewhere.certificate), "localhost", "no authority that is trusted here"),
            ):
                with pytest.raises(NotConnectedError, match=said) as refusal:
                    await connect(
                        f"tls://app:{SECRET}@{host}:{server.port}",
                        inbox_prefix="_INBOX",
                        within_seconds=SECONDS,
                        again_after_seconds=0.05,
                        access=access,
                    )
                assert refusal.value.hint
        named = {"tls": tls(server_certificate), "host": "127.0.0.2"}
        async with outside_nats(tmp_path / "elsewhere", named) as server:
            with pytest.raises(NotConnectedError, match="is not for that name"):
                await connect(
                    f"tls://127.0.0.2:{server.port}",
                    inbox_prefix="_INBOX",
                    within_seconds=SECONDS,
                    access=trusted,
                )
        async with outside_nats(tmp_path / "expired", {"tls": tls(over)}) as server:
            with pytest.raises(NotConnectedError, match="has expired"):
                await connect(
                    f"tls://localhost:{server.port}",
                    inbox_prefix="_INBOX",
                    within_seconds=SECONDS,
                    access=trusted,
                )

    asyncio.run(scenario())


@needs_openssl
def test_tls_is_1_2_at_least_and_its_checks_cannot_be_left_out(authority: Authority):
    context = Access.of(ca=authority.certificate).tls()

    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


# The identity of the client


@needs_openssl
@pytest.mark.parametrize("kind", ["nkey", "certificate"])
def test_one_is_known_by_a_key_or_a_certificate_and_a_new_one_is_taken_in(
    tmp_path: Path, authority: Authority, server_certificate: Issued, kind: str
):
    first, second = new_seed(), new_seed()
    file = tmp_path / "credentials"

    def users(*names: Any) -> dict[str, Any]:
        if kind == "nkey":
            return {"authorization": {"users": [{"nkey": NKey(seed).public} for seed in names]}}
        return {"authorization": {"users": [{"user": f"CN={name}"} for name in names]}}

    def take(name: Any) -> None:
        if kind == "nkey":
            _private(file, name.encode())
        else:
            _private(file, _in_one(authority.issue(str(name), f"/CN={name}")).read_bytes())

    before, after = (first, second) if kind == "nkey" else ("old", "new")

    async def scenario() -> None:
        block = tls(server_certificate, clients=authority.certificate) | {"verify_and_map": kind != "nkey"}
        if kind == "nkey":
            block |= {"verify": False}
        take(before)
        async with outside_nats(tmp_path / "nats", {"tls": block, **users(before)}) as server:
            client = await connect(
                f"tls://localhost:{server.port}",
                inbox_prefix="_INBOX",
                within_seconds=SECONDS,
                again_after_seconds=0.05,
                access=Access.of(ca=authority.certificate, credentials=file),
            )
            take(after)
            server.configure({"tls": block, **users(after)})
            server.reload()
            await until(lambda: client.stats["reconnects"] == 1 and client.is_connected)
            await client.flush()
            await client.close()

    asyncio.run(scenario())


@needs_openssl
def test_a_server_that_wants_a_certificate_says_so(
    tmp_path: Path, authority: Authority, server_certificate: Issued
):
    stranger = Authority(tmp_path / "strangers").issue("stranger", "/CN=app")
    over = authority.issue("over", "/CN=app", is_over=True)
    own = authority.issue("own", "/CN=app")

    async def scenario() -> None:
        block = tls(server_certificate, clients=authority.certificate)
        async with outside_nats(tmp_path / "nats", {"tls": block}) as server:
            for access, said in (
                (Access.of(ca=authority.certificate), "wants to see a certificate of ours"),
                (_shown(authority, stranger), "does not (know the authority|take the certificate)"),
                (_shown(authority, over), "has expired|does not take"),
            ):
                with pytest.raises(NotConnectedError, match=said) as refusal:
                    await connect(
                        f"tls://localhost:{server.port}",
                        inbox_prefix="_INBOX",
                        within_seconds=3.0,
                        again_after_seconds=0.05,
                        access=access,
                    )
                assert refusal.value.hint
            client = await connect(
                f"tls://localhost:{server.port}",
                inbox_prefix="_INBOX",
                within_seconds=SECONDS,
                access=_shown(authority, own),
            )
            await client.close()

    asyncio.run(scenario())


def test_files_that_are_no_credentials_are_named(tmp_path: Path):
    seed = new_seed()
    for content, said in (
        (NKey(seed).public.encode(), "has no seed of a user"),
        (b"", "has no seed of a user"),
        (seed[:-1].encode(), "has no seed of a user"),
        ((seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:]).encode(), "has no seed of a user"),
        (b"-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n", "has no seed of a user"),
    ):
        refusal = refused(
            "nats://127.0.0.1:1", access=Access.of(credentials=_private(tmp_path / "x", content))
        )
        assert said in str(refusal)
        assert "SU" in refusal.hint
    own = _private(tmp_path / "own.nk", seed.encode())
    assert "others on this machine" in str(
        refused("nats://127.0.0.1:1", access=Access.of(credentials=_open(own)))
    )
    own.chmod(0o600)
    assert "leave one" in refused(f"nats://app:{SECRET}@127.0.0.1:1", access=Access.of(credentials=own)).hint
    assert "No such file" in str(
        refused("nats://127.0.0.1:1", access=Access.of(credentials=tmp_path / "none"))
    )
    assert "not the certificate of an authority" in str(
        refused("nats://127.0.0.1:1", access=Access.of(ca=_private(tmp_path / "ca", b"nothing")))
    )


@needs_openssl
def test_a_certificate_and_a_key_belong_together(tmp_path: Path, authority: Authority):
    own, other = authority.issue("own", "/CN=app"), authority.issue("other", "/CN=app")

    def said(certificate: Path, key: Path) -> str:
        return str(refused("tls://127.0.0.1:1", access=Access.of(certificate=certificate, key=key)))

    assert "no certificate with its key" in said(own.certificate, other.key)
    assert "others on this machine" in said(own.certificate, _open(own.key))
    locked = tmp_path / "locked.key"
    own.key.chmod(0o600)
    locked.write_bytes(_locked(own.key))
    locked.chmod(0o600)
    assert "has a password" in said(own.certificate, locked)


@pytest.mark.parametrize(
    "url",
    [
        f"ws://app:{SECRET}@127.0.0.1:1",
        f"wss://app:{SECRET}@127.0.0.1:1",
        f"https://app:{SECRET}@127.0.0.1:1",
        f"nats://app:{SECRET}@",
        f"nats://app:{SECRET}@127.0.0.1:x",
        f"app:{SECRET}://@127.0.0.1:1",
        "",
    ],
)
def test_an_address_that_is_none_is_not_repeated(url: str):
    refusal = refused(url)

    assert "the address of the nats-server is none" in str(refusal)
    assert SECRET not in str(refusal)
    assert "nats://HOST:PORT" in refusal.hint


def test_a_wrong_password_is_said_in_words(tmp_path: Path):
    async def scenario() -> None:
        login = {"authorization": {"user": "app", "password": SECRET}}
        async with outside_nats(tmp_path / "nats", login) as server:
            with pytest.raises(NotConnectedError, match="does not know that user") as refusal:
                await connect(
                    f"nats://app:wrong@127.0.0.1:{server.port}", inbox_prefix="_INBOX", within_seconds=2.0
                )
            assert refusal.value.hint

    asyncio.run(scenario())


def _shown(authority: Authority, issued: Issued) -> Access:
    return Access.of(ca=authority.certificate, certificate=issued.certificate, key=issued.key)


def _in_one(issued: Issued) -> Path:
    return _private(
        issued.certificate.with_suffix(".pem"), issued.certificate.read_bytes() + issued.key.read_bytes()
    )


def _private(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def _open(path: Path) -> Path:
    path.chmod(0o644)
    return path


def _locked(key: Path) -> bytes:
    import subprocess

    return subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", key, "-passout", "pass:secret"], capture_output=True, check=True
    ).stdout
