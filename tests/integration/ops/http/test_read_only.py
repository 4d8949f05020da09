"""HTTP and the console of a service that follows: all can be read, and what changes the store is refused."""

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ops.http.access.tokens import TokenFile
from tests.support.clusters.one_server import has_followed, member_on
from tests.support.http_clients import asynchronous_client
from tests.support.patience import COMES_WITHIN_SECONDS, wait_for
from tests.support.services.asking import HttpTalk
from tests.support.services.outside_nats import stock_nats_server
from tests.support.services.visiting import Visitor

ROLE = "this service is a follower, and changes nothing"


class Follower(HttpTalk):
    """A follower, with a token of the role `admin`; `broker` is the address of its nats-server."""

    def __init__(self, data: Path, broker: str) -> None:
        self.broker = broker
        super().__init__(data, http_open=False, nats=broker, role="follower", member="f")
        _, secret = TokenFile(data).create("an-admin", "admin")
        self.headers = {"Authorization": f"Bearer {secret}"}


def _is_stored(leader: HttpTalk, name: str, body: dict[str, Any]) -> bool:
    return leader.command(name, body).code is None


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Follower]:
    """A follower whose leader stored a job, a configuration and a value, and has stopped."""
    folder = tmp_path_factory.mktemp("several")
    with stock_nats_server(folder / "broker") as (_, url):
        several: dict[str, Any] = {"nats": url, "replication": "sync", "replication_replicas": 1}
        with HttpTalk(folder / "a", member="a", **several) as leader:
            for name, body in (
                ("app_state.set", {"key": "k", "value": 1}),
                ("jobs.enqueue", {"type": "sync", "name": "a/b"}),
                ("tool_configs.set", {"tool_name": "t", "config": {"a": 1}}),
            ):
                # On a slow machine, the lease may have been lost for a moment.
                wait_for(partial(_is_stored, leader, name, body))
        with Follower(folder / "f", url) as talk:
            yield talk


def test_what_is_there_is_read_and_how_it_is_told(follower: Follower):
    headers = follower.headers
    assert follower.get("/api/v1/app_state/k", headers=headers).json()["value"] == 1
    assert follower.get("/livez").json() == {"status": "alive"}
    assert follower.get("/readyz").json() == {"status": "healthy"}
    report = follower.get("/readyz?verbose", headers=headers).json()
    assert (report["role"], report["position"], report["writer"]) == ("follower", 3, None)
    said = follower.get("/metrics", headers=headers).text
    assert 'hyperpage_role{role="follower"} 1.0' in said
    assert 'hyperpage_role{role="leader"} 0.0' in said
    assert "hyperpage_replication_lag_events 0.0" in said
    assert "hyperpage_replication_age_seconds" in said


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/app_state/set", {"key": "k", "value": 2}),
        ("/api/v1/batch", {"commands": []}),
        ("/api/v1/admin/projections/rebuild", {}),
        ("/api/v1/admin/stream/refill", {}),
        ("/api/v1/admin/dlq/drop", {"all": True}),
        ("/api/v1/admin/backup/restore", {"latest": True}),
    ],
)
def test_what_changes_the_store_is_refused(follower: Follower, path: str, body: Any):
    refused = follower.post(path, body, headers=follower.headers)

    assert refused.status_code == 503
    problem = refused.json()
    assert (problem["code"], problem["detail"], problem["hint"]) == ("unavailable", ROLE, "ask the leader")


def test_a_backup_is_made_and_proven_of_what_is_there(follower: Follower):
    made = follower.post("/api/v1/backups", {"prove": True}, headers=follower.headers)

    assert made.status_code == 201, made.text
    assert made.json()["metadata"]["position"] == 3
    assert made.json()["metadata"]["store_id"] == follower.service.origin.store_id


def test_the_console_says_that_it_is_read_only_and_has_no_buttons_for_changes(follower: Follower):
    visitor = Visitor(follower, "admin")
    (job,) = follower.get("/api/v1/jobs", headers=follower.headers).json()["items"]
    of_rows = (f"/jobs/{job['id']}", "/tool_configs/t", "/app_state/k")
    for path in ("", "/jobs", "/events", "/tail", "/tool_configs", "/rate_limits", "/projections", *of_rows):
        page = visitor.page(f"/console{path}")
        assert "Read-only: this service is a follower" in page, path
        # The page has no form that changes anything, only searches.
        assert 'method="post"' not in page[page.index("<main") :], path
        assert "/console/dead_letters" not in page, path
    backups = visitor.page("/console/backups")
    # A follower makes backups of its own file, without the leader.
    assert 'method="post"' in backups[backups.index("<main") :]
    assert "Restore…" not in backups
    told = visitor.does("/console/projections/rebuild", back="/console/projections")
    assert ROLE in told


def test_events_come_live_as_they_are_applied(follower: Follower):
    async def read() -> list[str]:
        found: list[str] = []
        service = member_on(follower.data.with_name("a"), follower.broker)
        async with (
            service as leader,
            asynchronous_client(follower.url) as client,
            client.stream("GET", "/api/v1/events?after=2", headers=follower.headers) as response,
        ):
            lines = response.aiter_lines()
            async with asyncio.timeout(COMES_WITHIN_SECONDS):
                while len(found) < 2:
                    line = await anext(lines)
                    if line.startswith("data: "):
                        found.append(json.loads(line.removeprefix("data: "))["id"])
                        if len(found) == 1:
                            body = b'{"key": "live", "value": 1}'
                            await leader.leading.intake.carry_out("app_state.set", body, {})
            await has_followed(follower.service, leader)
        return found

    assert follower.run(read()) == ["1-3", "1-4"]
