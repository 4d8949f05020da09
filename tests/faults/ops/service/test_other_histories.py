"""A service whose stream has another history than its log answers no commands, and ends with a message."""

import asyncio
from pathlib import Path

import pytest

from bus.log import chain
from bus.publishing.stream_state import OtherHistoryError
from ops.service.errors import ServiceError
from tests.support.patience import COMES_WITHIN_SECONDS
from tests.support.services.command_line import hyperpage
from tests.support.services.serving import copy_of, published
from tests.support.services.talking import Talk
from tests.support.stores.cloud_events import cloud_event


def test_a_service_whose_stream_is_ahead_of_its_log_stops_to_answer_commands_and_ends(
    tmp_path: Path,
) -> None:
    with Talk(tmp_path) as talk:
        talk.command("app_state.set", {"key": "k", "value": 1})
        talk.run(published(talk.service, 1))

        talk.run(_publish_another_ones(talk))
        with pytest.raises(ServiceError, match="HYPERPAGE_EVENTS is ahead of the log"):
            talk.run(asyncio.wait_for(talk.service.failure(), COMES_WITHIN_SECONDS))
        assert talk.command("app_state.set", {"key": "k", "value": 2}).code == "unavailable"
        talk.stop()

        # Nor does the next service serve, until an operator has decided.
        with pytest.raises(OtherHistoryError, match="hyperpage stream refill"):
            talk.run(talk.service_anew().start())
        assert hyperpage("stream", "refill", "--yes", "--data", tmp_path).code == 0
        talk.start()
        answer = talk.command("app_state.set", {"key": "k", "value": 2})
        assert answer.said["position"] == 2
        talk.run(published(talk.service, 2))


async def _publish_another_ones(talk: Talk) -> None:
    """The event that another service with a copy of the store would have published next."""
    parts = talk.service.parts
    entry = chain.Entry("app_state/k", 2, "app_state.changed.v1", None, "{}", None)
    (row,), _ = chain.extend(parts.role.head, [entry], parts.now_ms())
    event = cloud_event(parts.origin, row)
    await parts.relay_connection.request("hyperpage.evt.v1.app_state.k.changed", event, timeout=30)


def test_a_file_from_before_is_not_served_and_a_restore_brings_the_archive_back(tmp_path: Path) -> None:
    with Talk(tmp_path) as talk:
        assert talk.administer("backup.create").code is None
        talk.stop()
        older = copy_of(talk.settings.store_path)
        talk.start()
        for value in range(5):
            talk.command("app_state.set", {"key": "k", "value": value})
        talk.stop()

        for leftover in tmp_path.glob("hyperpage.db-*"):
            leftover.unlink()
        talk.settings.store_path.write_bytes(older)
        with pytest.raises(OtherHistoryError, match=r"backup restore --latest --yes"):
            talk.run(talk.service_anew().start())

        assert hyperpage("backup", "restore", "--latest", "--yes", "--data", tmp_path).code == 0
        talk.start()
        assert talk.query("app_state.get", {"key": "k"}).said["value"] == 4
        # Five events, and the fork.
        talk.run(published(talk.service, 6))
        assert talk.service.leading.relay.is_of_this_log
