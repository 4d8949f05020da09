"""Questions wait for answers, each for as long as it wants to, by one timer."""

import asyncio

from hyperpage_client.asking.questions import LOOK_SECONDS, Questions


def test_each_question_waits_until_its_own_time():
    async def scenario() -> tuple[list[str], list[float]]:
        loop = asyncio.get_running_loop()
        questions = Questions()
        woken: list[str] = []
        early: list[float] = []

        async def wait(name: str, seconds: float) -> None:
            token, question = questions.begin()
            until = loop.time() + seconds
            await questions.woken(question, until)
            woken.append(name)
            early.append(until - loop.time())
            questions.end(token)

        forever = asyncio.create_task(wait("never", 1_000))
        seconds = {"late": 6, "soon": 1, "later": 12, "sooner": 0}
        await asyncio.gather(*(wait(name, LOOK_SECONDS * times) for name, times in seconds.items()))
        assert len(questions) == 1
        questions.wake_all()
        await forever
        return woken, early

    woken, early = asyncio.run(scenario())

    assert woken == ["sooner", "soon", "late", "later", "never"]
    # A timer may be early by no more than the resolution of the loop's clock.
    assert max(early[:-1]) < 0.000_1


def test_an_answer_finds_its_question_and_nobody_else_s():
    async def scenario() -> None:
        questions = Questions()
        token, question = questions.begin()
        other_token, other = questions.begin()
        question.sent = 2
        waiting = questions.woken(question, asyncio.get_running_loop().time() + 1_000)
        other_waits = questions.woken(other, asyncio.get_running_loop().time() + 1_000)

        questions.take("nobody's", ({}, b"1"))
        questions.take(token, ({}, b"2"))
        await waiting

        assert not other_waits.done()
        assert question.answers == [({}, b"2")]
        were_open = [question.is_open]
        questions.take(token, ({}, b"3"))
        assert [*were_open, question.is_open] == [True, False]
        questions.end(token)
        questions.end(other_token)
        questions.take(token, ({}, b"4"))
        assert len(questions) == 0

    asyncio.run(scenario())
