"""Asking for the status of one service, where several are on one nats-server."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from ops.service.composition import Service
from ops.settings import Settings
from ops.store.data_directory import read_runtime
from tests.support.services.command_line import Result, hyperpage
from tests.support.services.outside_nats import outside_nats


def test_each_directory_has_the_status_of_its_own_service_and_any_can_be_asked_by_its_id(tmp_path: Path):
    async def status(data: Path, *options: str) -> Result:
        return await asyncio.to_thread(hyperpage, "status", "--json", "--data", data, *options)

    async def scenario() -> None:
        async with (
            outside_nats(tmp_path / "broker", {"jetstream": {"store_dir": str(tmp_path)}}) as broker,
            AsyncExitStack() as stack,
        ):
            url = f"nats://127.0.0.1:{broker.port}"
            instances = {}
            for name in ("one", "two"):
                settings = Settings(data=tmp_path / name, nats=url, prefix=name, no_http=True)
                service = await stack.enter_async_context(Service(settings))
                runtime = read_runtime(settings.data)
                assert runtime is not None
                assert runtime.instance == service.discovery.instance
                instances[name] = runtime.instance
            for name, instance in instances.items():
                assert (await status(tmp_path / name)).json["instance"] == instance
                # The other directory leads to the same nats-server.
                for data in (tmp_path / "one", tmp_path / "two"):
                    assert (await status(data, "--instance", instance)).json["instance"] == instance
            assert (await status(tmp_path / "one", "--instance", "nobody")).code == 5

    asyncio.run(scenario())


def test_a_service_that_is_gone_is_not_taken_for_another_on_its_prefix(tmp_path: Path):
    async def scenario() -> None:
        async with outside_nats(tmp_path / "broker", {"jetstream": {"store_dir": str(tmp_path)}}) as broker:
            url = f"nats://127.0.0.1:{broker.port}"
            async with Service(Settings(data=tmp_path / "one", nats=url, no_http=True)):
                kept = (tmp_path / "one" / "runtime.json").read_bytes()
            async with Service(Settings(data=tmp_path / "one", nats=url, no_http=True)):
                # As a killed service leaves it.
                (tmp_path / "gone").mkdir()
                (tmp_path / "gone" / "runtime.json").write_bytes(kept)
                asked = await asyncio.to_thread(hyperpage, "status", "--json", "--data", tmp_path / "gone")
                assert (asked.code, asked.json["status"]) == (5, "unhealthy")

    asyncio.run(scenario())
