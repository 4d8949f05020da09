"""`hyperpage cluster`: what it shows of a cluster, and handing over the lead."""

import asyncio
from pathlib import Path

import pytest

from bus.replication.cluster_bucket import ClusterBucket
from bus.replication.members import Member, Membership
from bus.replication.members import Role as MemberRole
from ops.audit.listing import ListAudit, listed
from ops.service.errors import ServiceError
from tests.support.clusters.members import members
from tests.support.clusters.nats_servers import Cluster
from tests.support.patience import until
from tests.support.services.asking import HttpTalk
from tests.support.services.command_line import Result, hyperpage


def test_each_member_tells_who_leads_who_is_live_and_how_the_log_is_kept(cluster: Cluster, tmp_path: Path):
    async def scenario() -> None:
        async with members(cluster, tmp_path) as several:
            first = await several.led_by()
            await several.set_value("k", 1, "c-1")
            await several.until_equal()

            async def everybody_tells() -> bool:
                reports = [one.health.report()["cluster"] for one in several.services.values()]
                return all(
                    report["leader"] == {"name": first, "address": ""}
                    and [(one.name, one.position, one.lag_events) for one in report["members"]]
                    == [(name, 1, 0) for name in "abc"]
                    and report["log"] is not None
                    and report["log"]["available"] == 3
                    for report in reports
                )

            await until(everybody_tells)
            directory = several.services[first].settings.data

            async def is_told() -> bool:
                told = await asyncio.to_thread(hyperpage, "cluster", "status", "--data", directory)
                return (
                    told.code == 0
                    and f"leader  {first}, in term " in told.out
                    and "3 of 3 copies are there, 2 are needed" in told.out
                    and [line.split()[:4] for line in told.out.splitlines()[-3:]]
                    == [[name, "leader" if name == first else "member", "1", "0"] for name in "abc"]
                )

            await until(is_told)

    asyncio.run(scenario())


@pytest.mark.usefixtures("unhurried_leases")
def test_an_operator_has_another_member_lead(cluster: Cluster, tmp_path: Path):
    async def scenario() -> None:
        async with members(cluster, tmp_path, "ab") as several:
            first = await several.led_by()
            second = "b" if first == "a" else "a"
            await several.start("c", role="follower")
            await several.set_value("k", 1, "c-1")
            await several.until_equal()

            async def asked(name: str = "") -> Result:
                # The directory of a member that does not lead.
                directory = several.services["c"].settings.data
                return await asyncio.to_thread(
                    hyperpage, "cluster", "hand-over", *([name] if name else []), "--data", directory
                )

            refused = {name: await asked(name) for name in ("c", "x")}
            assert refused["c"].code == refused["x"].code == 1
            assert "c is a follower, which never leads" in refused["c"].err
            assert "there is no live member x" in refused["x"].err
            assert (await asked(first)).out.startswith(f"{first} leads, in term ")
            assert (await asked()).out.startswith(f"{second} leads, in term ")
            await until(lambda: several.leaders == [second])
            assert (await asked(first)).out.startswith(f"{first} leads, in term ")
            recorded = listed(
                several.services[first].audit.trail.folder, ListAudit(action="cluster.hand_over")
            )
            # The newest act first; each is recorded when it begins, and when it ends.
            outcomes = [one["outcome"] for one in recorded["items"]]
            assert outcomes == ["done", "begun", "done", "begun", "refused", "begun", "refused", "begun"]

    asyncio.run(scenario())


def test_who_is_gone_does_not_take_over_and_somebody_leads_all_the_same(cluster: Cluster, tmp_path: Path):
    async def scenario() -> None:
        async with members(cluster, tmp_path, "a") as several:
            await several.led_by("a")
            service = several.services["a"]
            ghost = Membership(
                ClusterBucket(service.parts.relay_connection, service.names),
                lambda: Member(
                    name="ghost",
                    instance="ghost",
                    role=MemberRole.MEMBER,
                    position=0,
                    hash="",
                    version="1",
                    address="",
                    time_ms=0,
                ),
            )
            await ghost.join()
            with pytest.raises(ServiceError, match="ghost has not taken over"):
                await service.cluster.hand_over("ghost")
            assert (await several.set_value("k", 1, "c-1"))["version"] == 1

    asyncio.run(scenario())


def test_a_service_that_is_not_one_of_several_says_so(talk: HttpTalk):
    for asked in (("status",), ("hand-over",), ("hand-over", "b")):
        result = talk.run(asyncio.to_thread(hyperpage, "cluster", *asked, "--data", talk.data))
        assert result.code == 1
        assert "this service is not one of several" in result.err
        assert "docs/cluster.md" in result.err
