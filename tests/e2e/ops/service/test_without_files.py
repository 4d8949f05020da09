"""A service that can open no file for a while: open files and connections go on, all else comes back."""

import os
import signal
from pathlib import Path

import httpx

from ops.http.server import KEEP_ALIVE_SECONDS
from tests.support.http_clients import client
from tests.support.machines.no_more_files import needs_prlimit, no_more_files
from tests.support.patience import wait_for
from tests.support.services.command_line import Served

pytestmark = needs_prlimit


def stored(http: httpx.Client, number: int) -> int:
    """The position of a command's event."""
    answer = http.post("/api/v1/app_state/set", json={"key": "alive", "value": number}).raise_for_status()
    return int(answer.json()["position"])


def test_commands_are_stored_meanwhile_and_all_is_well_afterwards(tmp_path: Path) -> None:
    often = {"HYPERPAGE_HEALTH_INTERVAL_SECONDS": "0.1"}
    with (
        Served(tmp_path / "data", "--http", "127.0.0.1:0", "--http-open", **often) as served,
        # The only connection: there is no file for another one.
        client(served.runtime["http_url"], idle_seconds=KEEP_ALIVE_SECONDS) as http,
    ):
        wait_for(lambda: "archiving to" in served.log.read_text())
        assert stored(http, 1) == 1
        process_id = served.runtime["pid"]
        [nats_server] = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
        with no_more_files(process_id):
            # Open connections stay, and the service writes to files that are open already.
            assert stored(http, 2) == 2
            for said in ("the store cannot be read", "backups cannot be listed", "archive is not kept"):
                wait_for(lambda said=said: said in served.log.read_text())  # type: ignore[misc]
            os.kill(int(nats_server), signal.SIGKILL)
            wait_for(lambda: "the embedded nats-server is down" in served.log.read_text())
            assert stored(http, 3) == 3
            assert http.get("/readyz").json() == {"status": "unhealthy"}

        wait_for(lambda: http.get("/readyz").json() == {"status": "healthy"})
        # Over NATS, too.
        assert served.ask("query", "app_state.get", '{"key":"alive"}')["value"] == 3
