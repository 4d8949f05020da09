"""Which address and which credentials a role has, by what the settings say."""

from pathlib import Path

import pytest

from bus.broker.users import ADMIN, APP, RELAY, RESPONDER
from hyperpage_client.transport.access import Access, BrokerAddress
from ops.broker_settings import PING_SECONDS
from ops.settings import Settings, SettingsError
from ops.settings_sources import load_settings

ROLES = (APP, RELAY, RESPONDER, ADMIN)
NATS = "tls://broker.example.org:4222"


def addresses(**settings: str | Path) -> dict[str, BrokerAddress]:
    found = Settings(**settings).outside_nats  # type: ignore[arg-type]
    assert found is not None
    return found


def test_without_an_address_there_is_an_embedded_one_and_nothing_for_another():
    assert Settings().outside_nats is None
    assert Settings().has_accounts
    for name in ("nats_relay", "nats_responder", "nats_admin", "nats_ca", "nats_credentials"):
        with pytest.raises(SettingsError, match=name):
            load_settings({name: Path("/x") if "ca" in name or "cred" in name else "nats://x:1"}, {})


def test_one_address_is_that_of_all_roles():
    url = "nats://hyperpage:secret@broker.example.org:4222"
    found = addresses(nats=url)
    assert found == dict.fromkeys(ROLES, BrokerAddress(url=url))
    assert not Settings(nats=url).has_accounts
    assert found[APP].shown == "nats://broker.example.org:4222"


def test_several_addresses_are_those_of_all_roles_whoever_is_known_there_by_another_name():
    found = addresses(
        nats="nats://app:secret@x:1,y:2",
        nats_relay="nats://relay:secret@x:1,y:2",
        nats_responder_credentials=Path("/responder.nk"),
    )
    assert found[ADMIN].urls == ["nats://app:secret@x:1", "nats://app:secret@y:2"]
    assert found[RELAY].urls == ["nats://relay:secret@x:1", "nats://relay:secret@y:2"]
    assert found[RESPONDER].urls == ["nats://x:1", "nats://y:2"]
    assert found[RESPONDER].shown == "nats://x:1,y:2"


def test_one_that_stands_still_is_noticed_soon_where_there_is_another_or_the_lead_depends_on_it():
    assert addresses(nats="nats://x:1")[APP].ping_seconds is None
    assert addresses(nats="nats://x:1,y:2")[APP].ping_seconds == PING_SECONDS
    assert addresses(nats="nats://x:1", replication="sync")[APP].ping_seconds == PING_SECONDS


def test_each_role_has_credentials_of_its_own_at_one_address():
    found = addresses(
        nats=NATS,
        nats_responder=NATS,
        nats_ca=Path("/ca.crt"),
        nats_credentials=Path("/app.nk"),
        nats_relay_credentials=Path("/relay.nk"),
        nats_responder_credentials=Path("/responder.nk"),
        nats_admin_credentials=Path("/admin.nk"),
    )
    assert found == {
        role: BrokerAddress(url=NATS, access=Access(credentials=f"/{role}.nk", ca="/ca.crt"))
        for role in ROLES
    }


def test_a_user_in_an_address_goes_before_the_credentials_of_all_and_behind_ones_own():
    found = addresses(
        nats="nats://app:secret@x:1",
        nats_relay="nats://relay:secret@x:1",
        nats_admin="nats://x:1",
        nats_credentials=Path("/app.nk"),
        nats_responder_credentials=Path("/responder.nk"),
    )
    assert found[RELAY] == BrokerAddress(url="nats://relay:secret@x:1")
    assert found[RESPONDER] == BrokerAddress(url="nats://x:1", access=Access(credentials="/responder.nk"))
    assert found[ADMIN] == BrokerAddress(url="nats://x:1", access=Access(credentials="/app.nk"))


def test_files_are_named_from_the_root_on_for_whoever_reads_them_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    found = addresses(nats=NATS, nats_ca=Path("ca.crt"), nats_credentials=Path("app.nk"))
    assert found[APP].access == Access(credentials=str(tmp_path / "app.nk"), ca=str(tmp_path / "ca.crt"))


def test_where_there_are_accounts_no_role_is_known_as_another():
    with pytest.raises(SettingsError, match="of their own"):
        load_settings({"nats": "nats://app:x@x:1", "nats_responder": "nats://responder:x@x:1"}, {})


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("nats://a:b@127.0.0.1:4222", True),
        ("localhost:4222", True),
        ("nats://[::1]:4222", True),
        ("nats://127.0.0.1.example.org:4222", False),
        ("nats://10.0.0.1", False),
    ],
)
def test_whether_it_is_on_this_machine(url: str, is_here: bool):
    assert BrokerAddress(url=url).is_on_loopback is is_here
