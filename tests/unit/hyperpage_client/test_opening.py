"""Finding a service, and the errors for a wrong address or file."""

import asyncio
from pathlib import Path

import pytest

from hyperpage_client import Unreachable, address_in, connect


def test_who_asks_for_the_address_of_a_service_that_does_not_run_is_told_how_one_is_started(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=f"`hyperpage serve --data {tmp_path}`") as told:
        address_in(tmp_path)

    assert told.value.filename == str(tmp_path / "runtime.json")


@pytest.mark.parametrize(
    ("url", "credentials", "said"),
    [
        ("http://127.0.0.1:8822", None, "the address of the nats-server is none"),
        ("nats://127.0.0.1:port", None, "the address of the nats-server is none"),
        ("nats://127.0.0.1:1", "/no/such/file", "/no/such/file: No such file or directory"),
    ],
)
def test_what_nobody_can_connect_with_is_said(url: str, credentials: str | None, said: str):
    async def scenario() -> None:
        async with connect(url, credentials=credentials, timeout_seconds=1):
            pass

    with pytest.raises(Unreachable, match=f"{said}$"):
        asyncio.run(scenario())
