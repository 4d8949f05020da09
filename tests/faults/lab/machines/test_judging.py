"""The lab's judge asks as a client may, and reports the answer that it got."""

import asyncio
import random
from pathlib import Path

import pytest

from ops.service.composition import Service
from ops.settings import Settings
from tests.lab.experiment import Broken
from tests.lab.machines.applications import Applications
from tests.lab.machines.judging import ask_again
from tests.support.services.raw_nats import RawNats
from tests.support.services.serving import broker_of

# Far more than an accepted burst (1,000) and all commands that may wait beside it.
MANY = 2_000


def _settings(folder: Path) -> Settings:
    # A command behind a burst is refused rather than kept waiting.
    return Settings(data=folder, nats_port=0, no_http=True, busy_after_ms=1)


def test_however_many_commands_are_open_after_a_fault_none_of_them_is_too_much(tmp_path: Path) -> None:
    async def play() -> int:
        async with Service(_settings(tmp_path)) as service:
            url = broker_of(service).url_for("app")
            applications = Applications(lambda: url, random.Random(1))
            for number in range(MANY):
                applications.open[f"id-{number}"] = "app_state.set", {"key": "k", "value": number}
            async with await RawNats.connect(url) as client:
                await ask_again(client, applications)
            return len(applications.answered)

    assert asyncio.run(play()) == MANY


def test_of_a_command_that_gets_no_answer_it_says_what_was_said_instead(tmp_path: Path) -> None:
    async def play() -> None:
        async with Service(_settings(tmp_path)) as service:
            url = broker_of(service).url_for("app")
            applications = Applications(lambda: url, random.Random(1))
            applications.open["id"] = "app_state.set", {"key": "k", "value": 1}
            await service.leading.intake.stop()
            async with await RawNats.connect(url) as client:
                await ask_again(client, applications)

    with pytest.raises(Broken, match=r"app_state\.set gets no answer from a healthy service, but status 503"):
        asyncio.run(play())
