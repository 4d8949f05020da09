"""Shared answers: several callers get the answer to one question."""

import asyncio
from typing import Any

import pytest

from ops.http.shared_answers import MAXIMUM_KEPT, SharedAnswers


class Question:
    """Counts how often it was asked; `fails` while it has no answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    async def ask(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fails:
            raise LookupError
        return self.asked


def test_who_asks_at_the_same_moment_gets_the_same_answer() -> None:
    async def scenario() -> None:
        now, question = [100.0], Question()
        answers = SharedAnswers(clock=lambda: now[0])

        def get(key: Any = "jobs") -> Any:
            return answers.get(key, 2.0, question.ask)

        assert [*await asyncio.gather(get(), get(), get())] == [1, 1, 1]
        now[0] += 2.0
        assert await get() == 1
        assert await get("others") == 2
        now[0] += 0.1
        assert await get() == 3
        answers.forget()
        assert await get() == 4

    asyncio.run(scenario())


def test_a_failure_is_told_and_not_kept_and_one_who_leaves_takes_nothing_from_others() -> None:
    async def scenario() -> None:
        question = Question()
        answers = SharedAnswers(clock=lambda: 100.0)
        question.fails = True
        with pytest.raises(LookupError):
            await answers.get("jobs", 2.0, question.ask)
        question.fails = False
        leaves = asyncio.create_task(answers.get("jobs", 2.0, question.ask))
        stays = asyncio.create_task(answers.get("jobs", 2.0, question.ask))
        await asyncio.sleep(0)
        leaves.cancel()
        assert await stays == 2

        for number in range(2 * MAXIMUM_KEPT):
            await answers.get(number, 2.0, question.ask)
        assert len(answers._kept) == MAXIMUM_KEPT

    asyncio.run(scenario())
