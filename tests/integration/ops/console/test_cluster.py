"""The page of a cluster: the leader, the live members, and handing over."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.replication.cluster_bucket import ClusterBucket
from bus.replication.members import Member, Membership, Role
from tests.support.patience import until, wait_for
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import Visitor, buttons

CLUSTER = "/console/cluster"


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[HttpTalk]:
    """The only member of a cluster."""
    with HttpTalk(tmp_path, replication="sync", replication_replicas=1, member="a", http_open=False) as talk:
        talk.run(until(lambda: talk.service.cluster.standing.state.members))
        yield talk


def test_a_service_that_is_not_one_of_several_has_no_such_page(talk: HttpTalk) -> None:
    reader = Visitor(talk, "read")
    assert "Cluster</a>" not in reader.page("/console")
    answer = reader.get(CLUSTER)
    assert answer.status_code == 404
    assert "this service is not one of several" in answer.text


def test_who_leads_and_who_is_live_is_shown_and_who_may_hands_over(alone: HttpTalk) -> None:
    parts = alone.service.parts

    async def joined() -> tuple[Membership, "asyncio.Task[None]"]:
        other = Member(
            name="<b>",
            instance="another",
            role=Role.MEMBER,
            position=0,
            hash="",
            version="0.0.1",
            address="",
            time_ms=parts.now_ms(),
        )
        membership = Membership(ClusterBucket(parts.relay_connection, parts.names), lambda: other)
        await membership.join()
        return membership, asyncio.create_task(membership.run())

    membership, telling = alone.run(joined())
    administrator = Visitor(alone, "admin")
    for text in ("Cluster</a>", "in term ", "&lt;b&gt;", "1 of 1", "Have it lead…"):
        administrator.waits_for(CLUSTER, text)
    assert not buttons(Visitor(alone, "operate").page(CLUSTER))

    telling.cancel()
    alone.run(membership.leave())

    def is_refused() -> bool:
        sent = administrator.post(f"{CLUSTER}/hand_over", to="x")
        assert sent.headers["location"] == CLUSTER
        return "there is no live member x" in administrator.told(CLUSTER)

    wait_for(is_refused)


def test_what_the_log_lacks_and_what_the_cluster_went_on_without_is_shown(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "replication": "async",
        "replication_replicas": 1,
        "member": "a",
        "http_open": False,
    }
    with HttpTalk(tmp_path, **settings) as talk:
        (tmp_path / "lost-events-timeline-1-7-9.jsonl").touch()
        administrator = Visitor(talk, "admin")
        for text in ("Answered, not in the log", "lost-events-timeline-1-7-9.jsonl has them"):
            administrator.waits_for(CLUSTER, text)
