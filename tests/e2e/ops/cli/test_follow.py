"""`hyperpage follow`: a copy of a store in a process of its own, which outlives its leader."""

import json
import signal
from pathlib import Path

from tests.support.patience import wait_for
from tests.support.services.command_line import Followed, Served
from tests.support.services.outside_nats import stock_nats_server

ALONE = {"HYPERPAGE_REPLICATION": "sync", "HYPERPAGE_REPLICATION_REPLICAS": "1", "HYPERPAGE_MEMBER": "a"}


def set_key(service: Served, value: int) -> None:
    service.ask("send", "app_state.set", json.dumps({"key": "k", "value": value}))


def test_it_goes_on_when_its_leader_is_killed_and_has_backups_of_its_own(tmp_path: Path):
    with (
        stock_nats_server(tmp_path / "broker") as (_, url),
        Served(tmp_path / "a", "--nats", url, **ALONE) as leader,
    ):
        set_key(leader, 1)
        with Followed(tmp_path / "f", "--nats", url, HYPERPAGE_MEMBER="f") as follower:
            wait_for(lambda: follower.status["position"] == 1)
            assert follower.status["role"] == "follower"
            wait_for(lambda: follower.status["leader"] == leader.runtime["http_url"])
            # A follower itself carries out commands about its directory; its leader changes the store.
            made = follower.ask("backup", "create")
            assert Path(made["path"]).parent == tmp_path / "f" / "backups"
            assert made["metadata"]["position"] == 1
            assert follower.ask("projections", "verify")["equal"]

            leader.stop(signal.SIGKILL)
            assert follower.ask("query", "app_state.get", '{"key": "k"}')["value"] == 1
            refused = follower("send", "app_state.set", '{"key": "k", "value": 2}')
            assert refused.code == 5, refused
            with Served(tmp_path / "a", "--nats", url, **ALONE) as successor:
                # The lease of the one that was killed has to end first.
                again = ("send", "app_state.set", '{"key": "k", "value": 3}', "--id", "c-3")
                wait_for(lambda: successor(*again).code == 0)
                wait_for(lambda: follower.status["position"] == 2)
            assert follower.stop() == 0
