"""The open questions of one connection: answers are matched to them, and their waiting ends in time."""

import asyncio
from collections.abc import Mapping
from math import inf

# The least time between two looks at the waiting questions: each look goes through all of them.
LOOK_SECONDS = 0.01

# Headers, body.
Answer = tuple[Mapping[str, str], bytes]


class Question:
    """One question: how often it was `sent`, and the `answers` that came and were not taken out yet."""

    __slots__ = ("_answered", "answers", "sent", "until", "waiting")

    def __init__(self) -> None:
        self.sent = 0
        self.answers: list[Answer] = []
        self._answered = 0
        # The end of waiting for the next answer, by the loop's clock.
        self.until = inf
        self.waiting: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a service may still be about to carry it out: an attempt is without an answer."""
        return self.sent > self._answered

    def take(self, answer: Answer) -> None:
        """Takes in an answer that has come."""
        self._answered += 1
        self.answers.append(answer)
        if (waiting := self.waiting) is not None and not waiting.done():
            waiting.set_result(None)

    def wake(self) -> None:
        """Ends the waiting for an answer."""
        if (waiting := self.waiting) is not None and not waiting.done():
            waiting.set_result(None)


class Questions:
    """The open questions of a connection, by the last token of their reply subjects; used in one event loop.

    They share one timer: a timer for each would cost as much as sending the question.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: dict[str, Question] = {}
        self._last_token = 0
        self._timer: asyncio.TimerHandle | None = None
        self._next_look = inf

    def __len__(self) -> int:
        return len(self._open)

    def begin(self) -> tuple[str, Question]:
        """A new question and its token; the caller has to call `end`."""
        self._last_token += 1
        token = str(self._last_token)
        question = self._open[token] = Question()
        return token, question

    def end(self, token: str) -> None:
        """Forgets a question: answers to it that still come are dropped."""
        del self._open[token]

    def take(self, token: str, answer: Answer) -> None:
        """Gives an answer to its question, if that is still open."""
        if (question := self._open.get(token)) is not None:
            question.take(answer)

    def woken(self, question: Question, until: float) -> asyncio.Future[None]:
        """Done when an answer comes, the question is woken, or the loop's clock has reached `until`.

        The last may be late by `LOOK_SECONDS`.
        """
        waiting: asyncio.Future[None] = asyncio.Future(loop=self._loop)
        question.waiting = waiting
        question.until = until
        if until < self._next_look:
            self._look_at(until)
        return waiting

    def wake_all(self) -> None:
        """Ends all waiting."""
        for question in self._open.values():
            question.wake()

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next_look = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        # A loop may call too early, by its clock's resolution.
        passed = max(now, self._next_look)
        self._timer, self._next_look = None, inf
        next_end = inf
        for question in self._open.values():
            if question.until <= passed:
                question.wake()
            else:
                next_end = min(next_end, question.until)
        if next_end < inf:
            self._look_at(max(next_end, now + LOOK_SECONDS))
