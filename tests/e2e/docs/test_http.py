"""The guide to the HTTP API: its commands run word for word, and print what it says."""

import shutil
from pathlib import Path

import pytest

from ops.http import routing
from ops.http.access import sessions
from ops.http.connections import protocol, strict_reading
from ops.http.layers import bodies, limits, places, sending, throttle
from ops.settings import Settings
from tests.support.documents.guides import guide
from tests.support.documents.typed_in import typed_in
from tests.support.services.command_line import Served

GUIDE = guide("http.md")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples need curl")
def test_every_command_of_the_guide_prints_what_it_shows(tmp_path: Path) -> None:
    with Served(tmp_path / "data", "--http", "127.0.0.1:0") as served:
        for step, said, errors in typed_in(GUIDE, served):
            assert step.is_shown_by(said), (step, said, errors)


def test_the_numbers_of_the_guide_are_those_of_the_program() -> None:
    settings = Settings()
    seconds = settings.http_requests_per_second
    for shown in (
        f"{seconds:.0f} per second in the long run, {2 * seconds:,.0f} at once",
        f"| requests under way | {places.MAXIMUM_UNDER_WAY}; {places.MAXIMUM_OF_ONE} of one address,"
        f" and as many of one token |",
        f"| connections | {settings.http_connections:,} (`http_connections`),"
        f" {settings.http_connections_of_one_address:,} of one address (`http_connections_of_one_address`) |",
        f"{bodies.MAXIMUM_BODY_BYTES >> 20} MiB, within {bodies.BODY_SECONDS:.0f} s",
        f"| a body in chunks | {strict_reading.MAXIMUM_CHUNKS:,} of them |",
        f"{limits.MAXIMUM_HEAD_BYTES >> 10} KiB, {strict_reading.MAXIMUM_HEADERS} headers,"
        f" within {protocol.HEAD_SECONDS:.0f} s",
        f"{throttle.ALLOWED_GUESSES}, then one each {throttle.SECONDS_FOR_A_GUESS:.0f} s",
        f"| readers of events | {settings.http_event_streams} (`http_event_streams`) |",
        f"`http_event_streams` ({settings.http_event_streams})",
        f"takes nothing for {sending.SEND_SECONDS:.0f} s",
        f"wait up to {routing.ATTACHED_WITHIN_SECONDS:.0f} s first",
        f"after {sessions.IDLE_SECONDS / 3600:.0f} h without a request,",
        f"after {sessions.LIFETIME_SECONDS / 3600:.0f} h, and",
    ):
        assert shown in GUIDE, shown
