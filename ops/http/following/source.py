"""Something that many can follow at once: `Source`."""

import asyncio


class Source:
    """Something that grows until it is closed. Used from the event loop's thread."""

    def __init__(self, reached: int) -> None:
        self.reached = reached
        """How far it has come; the subclass says what is counted."""
        self.is_closed = False
        self._news = asyncio.Event()

    async def beyond(self, reached: int, seconds: float) -> bool:
        """Waits until it has come further than that, or is closed; false if the time is over first."""
        try:
            async with asyncio.timeout(seconds):
                while self.reached <= reached and not self.is_closed:
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        """Makes all who wait look again."""
        news, self._news = self._news, asyncio.Event()
        news.set()
