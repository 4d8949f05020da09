"""An address of several nats-servers: the address of each, and the form that may be shown."""

import pytest

from hyperpage_client.transport.access import (
    AccessError,
    BrokerAddress,
    checked_addresses,
    without_credentials,
)

SECRET = "the-password"


@pytest.mark.parametrize(
    ("url", "each"),
    [
        ("a:1", ["nats://a:1"]),
        ("nats://a:1,nats://b:2", ["nats://a:1", "nats://b:2"]),
        ("tls://a:1, b:2 ,c", ["tls://a:1", "tls://b:2", "tls://c"]),
        ("nats://x:y@a:1,b:2", ["nats://x:y@a:1", "nats://x:y@b:2"]),
        ("nats://x:y@a:1,nats://b:2", ["nats://x:y@a:1", "nats://x:y@b:2"]),
        ("nats://x:y@a:1,nats://v:w@b:2", ["nats://x:y@a:1", "nats://v:w@b:2"]),
        ("nats://a:1,nats://v:w@b:2", ["nats://a:1", "nats://v:w@b:2"]),
        ("nats://[::1]:1,[::2]:2", ["nats://[::1]:1", "nats://[::2]:2"]),
        # The comma is part of the password, and separates no addresses.
        ("nats://x:1,y@a:1", ["nats://x:1,y@a:1"]),
    ],
)
def test_each_server_has_its_scheme_and_its_user(url: str, each: list[str]):
    assert checked_addresses(url) == each
    assert BrokerAddress(url=",".join(each)).urls == each


@pytest.mark.parametrize(
    "url",
    [
        f"nats://x:{SECRET}@a:1,",
        f"nats://x:{SECRET}@a:1,,b:2",
        f"nats://x:{SECRET}@a:1,nats://b:y",
        f"nats://x:{SECRET}@a:1,tls://b:2",
        f"nats://x:{SECRET}@a:1,wss://b:2",
        f"nats://x:{SECRET}@a:1,y:{SECRET}@b:2",
    ],
)
def test_all_are_refused_where_one_is_none_and_nothing_is_repeated(url: str):
    with pytest.raises(AccessError) as refusal:
        checked_addresses(url)
    assert SECRET not in str(refusal.value) + refusal.value.hint


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"nats://x:{SECRET}@a:1,b:2", "nats://a:1,b:2"),
        (f"nats://x:{SECRET}@a:1, nats://y:{SECRET}@b:2", "nats://a:1,nats://b:2"),
        (f"nats://x:1,{SECRET}@a:1", "nats://a:1"),
        (f"{SECRET}@a:1,y:{SECRET}@b:2", "b:2"),
        (f"x:{SECRET}://@a:1", "a:1"),
    ],
)
def test_no_password_is_shown_of_any_of_them(url: str, shown: str):
    assert without_credentials(url) == shown


def test_they_are_on_this_machine_where_all_of_them_are():
    assert BrokerAddress(url="nats://127.0.0.1:1,localhost:2").is_on_loopback
    assert not BrokerAddress(url="nats://127.0.0.1:1,b.example.org:2").is_on_loopback
