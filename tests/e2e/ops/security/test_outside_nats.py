"""A service on an operator's own nats-server, with the accounts that it has written for it, over TLS."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bus.broker.accounts import account_of, accounts_configuration
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, BrokerUser
from bus.client import Client, connect
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.nkeys import NKey, new_seed
from tests.support.patience import until, wait_for
from tests.support.services.certificates import Authority, needs_openssl
from tests.support.services.command_line import Served, hyperpage, separately
from tests.support.services.jwt_accounts import JwtAccounts
from tests.support.services.outside_nats import OutsideNats, outside_nats, tls

pytestmark = needs_openssl
SECONDS = 30.0
ROLES = (RELAY, RESPONDER, APP, ADMIN)


class Scene:
    """A data directory, an authority, and certificates for the nats-server and for those who come to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(mode=0o700)
        self.authority = Authority(folder / "ca")
        self.server = self.authority.issue("server", "/CN=localhost", use="serverAuth")
        self.own = self.authority.issue("own", "/CN=hyperpage")

    @property
    def tls(self) -> dict[str, Any]:
        return tls(self.server, clients=self.authority.certificate)

    def settings(self, port: int, **more: str) -> None:
        """Writes hyperpage.toml."""
        said = {
            "nats": f"tls://localhost:{port}",
            "nats_responder": f"tls://localhost:{port}",
            "nats_ca": str(self.authority.certificate),
            "nats_certificate": str(self.own.certificate),
            "nats_key": str(self.own.key),
            **more,
        }
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in said.items())
        (self.data / "hyperpage.toml").write_text(lines)

    @asynccontextmanager
    async def client(self, port: int, credentials: Path, **more: Any) -> AsyncIterator[Client]:
        async with connect(
            f"tls://localhost:{port}",
            credentials=credentials,
            ca=self.authority.certificate,
            certificate=self.own.certificate,
            key=self.own.key,
            **more,
        ) as client:
            yield client


async def works(service: Served) -> None:
    """Sends, queries, subscribes and administers with the credential files that the service hands out."""

    def by_hand() -> None:
        assert service.ask("send", "app_state.set", '{"key": "greeting", "value": 1}')["command_id"]
        assert service.ask("query", "app_state.get", '{"key": "greeting"}')["value"] == 1
        assert service("send", "app_state.set", '{"key": "durable", "value": 2}', "--durable").code == 0
        assert service("tail", "--from", "1", "--limit", "1").code == 0
        wait_for(lambda: service("status").code == 0)
        assert service.ask("dlq", "list")["items"] == []
        assert service.ask("backup", "create")["metadata"]["position"] >= 1

    await asyncio.to_thread(by_hand)


def test_what_nats_config_writes_makes_a_service_work_on_an_operators_nats_server(tmp_path: Path):
    scene = Scene(tmp_path)
    keys = tmp_path / "keys"
    seed = tmp_path / "billing.nk"

    async def scenario() -> None:
        written = hyperpage("nats-config", keys, "--data", scene.data, "--json")
        assert written.code == 0, written
        assert "SU" not in written.out
        assert {stat.S_IMODE(one.stat().st_mode) for one in keys.iterdir()} == {0o600}
        async with outside_nats(
            tmp_path / "nats",
            {"tls": scene.tls, "jetstream": {"store_dir": str(tmp_path / "streams")}},
            # From the folder of the file that includes it.
            more="accounts { include ../keys/hyperpage.conf }",
        ) as nats:
            scene.settings(nats.port, **written.json["settings"])
            with await asyncio.to_thread(Served, scene.data) as service:
                await works(service)
                await a_user_of_its_own(scene, nats, service, keys, seed)
                await new_keys(scene, nats, service, keys)
                assert await asyncio.to_thread(service.stop) == 0

    asyncio.run(scenario())


async def a_user_of_its_own(scene: Scene, nats: OutsideNats, service: Served, keys: Path, seed: Path) -> None:
    """One that is made while the service runs may do what it was given, and no more."""
    allowed = ("--allow", "app_state.*", "--keys", "billing/*", "--read")
    made = await asyncio.to_thread(service, "user", "create", "billing", *allowed, "--out", seed)
    assert made.code == 0, made
    assert (await asyncio.to_thread(service, "nats-config", keys)).code == 0
    # A new account's imports need two readings.
    for _ in range(2):
        await reload(nats)
    async with scene.client(nats.port, seed) as client:
        answer = await client.send("app_state.set", {"key": "billing/1", "value": 1})
        assert answer.version == 1
        with pytest.raises(Exception, match="is not a key of billing"):
            await client.send("app_state.set", {"key": "other/1", "value": 1})
        assert (await client.get("app_state", key="billing/1"))["value"] == 1


async def new_keys(scene: Scene, nats: OutsideNats, service: Served, keys: Path) -> None:
    """All of the service's keys are replaced while commands come, and none of them is lost."""
    before = {role: (keys / f"{role}.nk").read_text() for role in ROLES}
    answered: list[int] = []
    is_over = asyncio.Event()

    async def send() -> None:
        async with scene.client(nats.port, keys / "app.nk") as client:
            while not is_over.is_set():
                answer = await client.send(
                    "app_state.set", {"key": "count", "value": len(answered)}, timeout_seconds=SECONDS
                )
                assert answer.version is not None
                answered.append(answer.version)

    sending = asyncio.create_task(send())
    await until(lambda: answered or sending.done())
    for options in (["--rotate"], []):
        assert (await asyncio.to_thread(service, "nats-config", keys, *options)).code == 0
        await reload(nats)
        await until(partial(lambda before: len(answered) >= before + 20 or sending.done(), len(answered)))
    is_over.set()
    await sending
    assert answered == sorted(set(answered))
    assert {role: (keys / f"{role}.nk").read_text() for role in before}.items().isdisjoint(before.items())
    await works(service)


async def reload(nats: OutsideNats) -> None:
    """Has a nats-server read its configuration again; returns when it has."""
    said = "Reloaded server configuration"
    before = nats.logged().count(said)
    nats.reload()
    await until(lambda: nats.logged().count(said) == before + 1)


def test_a_service_works_with_accounts_that_an_operator_has_signed(tmp_path: Path):
    scene = Scene(tmp_path)
    nobody = [{"nkey": NKey(new_seed()).public}]
    users = [BrokerUser(name=role, credentials=tuple(nobody)) for role in (APP, ADMIN)]
    signed = JwtAccounts(accounts_configuration(BusNames(), {RELAY: nobody, RESPONDER: nobody}, users))
    accounts = {RELAY: "STREAMS", RESPONDER: "SERVICE", APP: account_of(APP), ADMIN: account_of(ADMIN)}
    creds = {role: signed.creds(account, tmp_path / f"{role}.creds") for role, account in accounts.items()}

    async def scenario() -> None:
        async with outside_nats(
            tmp_path / "nats",
            {"tls": scene.tls, "jetstream": {"store_dir": str(tmp_path / "streams")}, **signed.settings},
        ) as nats:
            scene.settings(
                nats.port,
                nats_credentials=str(creds[APP]),
                **{f"nats_{role}_credentials": str(creds[role]) for role in (RELAY, RESPONDER, ADMIN)},
            )
            with await asyncio.to_thread(Served, scene.data) as service:
                await works(service)
                assert await asyncio.to_thread(service.stop) == 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({RELAY: RESPONDER, RESPONDER: RELAY}, "as relay has other rights there"),
        ({RELAY: "billing"}, "as relay has other rights there"),
        ({RESPONDER: "billing"}, "as responder has other rights there"),
        ({APP: RELAY}, "by addresses or credentials of their own"),
        ({ADMIN: APP}, "by addresses or credentials of their own"),
    ],
    ids=str,
)
def test_credentials_of_another_role_are_refused_at_the_start(
    tmp_path: Path, wrong: dict[str, str], said: str
):
    scene = Scene(tmp_path)
    keys = tmp_path / "keys"
    keys.mkdir()
    made = hyperpage("user", "create", "billing", "--out", keys / "billing.nk", "--data", scene.data)
    written = hyperpage("nats-config", keys, "--data", scene.data, "--json").json
    assert made.code == 0, made

    async def scenario() -> None:
        async with outside_nats(
            tmp_path / "nats",
            {"tls": scene.tls, "jetstream": {"store_dir": str(tmp_path / "streams")}},
            more="accounts { include ../keys/hyperpage.conf }",
        ) as nats:
            names = {role: f"nats_{role}_credentials" for role in (RELAY, RESPONDER, ADMIN)}
            names[APP] = "nats_credentials"
            other = {names[role]: str(keys / f"{file}.nk") for role, file in wrong.items()}
            scene.settings(nats.port, **{**written["settings"], **other})
            refused = await asyncio.to_thread(separately, "serve", "--data", scene.data, "--no-http")
            assert refused.code in (1, 2)
            assert said in refused.err

    asyncio.run(scenario())


def test_where_all_are_in_one_account_nobody_is_believed_about_who_they_are(tmp_path: Path):
    scene = Scene(tmp_path)

    async def scenario() -> None:
        async with outside_nats(
            tmp_path / "nats",
            {
                "tls": scene.tls,
                "jetstream": {"store_dir": str(tmp_path / "streams")},
                "authorization": {"users": [{"user": role, "password": "x"} for role in ROLES]},
            },
        ) as nats:
            urls = {role: f"tls://{role}:x@localhost:{nats.port}" for role in ROLES}
            names = {role: "nats" if role == APP else f"nats_{role}" for role in ROLES}
            scene.settings(nats.port, **{names[role]: urls[role] for role in ROLES})
            refused = await asyncio.to_thread(separately, "serve", "--data", scene.data, "--no-http")
            assert refused.code == 1
            assert "who sends what cannot be told" in refused.err
            assert "nats-config" in refused.err

    asyncio.run(scenario())
