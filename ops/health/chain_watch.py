"""Recomputes the hash chain of the live log in the background, again and again: `ChainWatch`."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import msgspec

from bus.log import chain
from bus.log.damage import Damage
from migrations.connection import open_reader
from migrations.sqlite_words import words_of

# The number of events in a portion: commands wait for Python's lock for a millisecond or two.
PORTION = 200
# After a portion, the check rests this many times as long as the portion took, so it takes a fiftieth of a
# processor's time. A million events take some five minutes.
REST = 50
# The longest rest after a portion, so that a round ends within a day even on a slow disk.
LONGEST_REST_SECONDS = 1.0

logger = logging.getLogger(__name__)


class ChainState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the chain is checked."""

    position: int = 0
    """The last event that was found to be right in this round."""
    whole_at: int | None = None
    """When a round last ended at the head of the log, in milliseconds since the epoch."""
    problem: str | None = None


class ChainWatch:
    """The check of one store's chain. `state` may be asked by any thread."""

    def __init__(self, path: Path, damage: Damage, now_ms: Callable[[], int]) -> None:
        self._path = path
        self._damage = damage
        self._now_ms = now_ms
        self.state = ChainState()

    async def run(self, every_seconds: float) -> None:
        """Checks the whole chain in rounds, for ever, one every `every_seconds`; with 0, never."""
        while every_seconds > 0:
            began = time.monotonic()
            await self._go_round()
            await asyncio.sleep(max(0.0, every_seconds - (time.monotonic() - began)))
        await asyncio.Event().wait()

    async def _go_round(self) -> None:
        head = chain.Head()
        try:
            while True:
                began = time.monotonic()
                reached = await asyncio.to_thread(self._go_on, head)
                if reached.position == head.position:
                    break
                head = reached
                self.state = msgspec.structs.replace(self.state, position=head.position)
                await asyncio.sleep(min(REST * (time.monotonic() - began), LONGEST_REST_SECONDS))
        except (chain.BrokenChainError, apsw.CorruptError, apsw.NotADBError) as error:
            self._damage.note(error, "the check of the log")
            problem = words_of(error)
            self.state = msgspec.structs.replace(self.state, problem=problem)
        except apsw.Error as error:
            # A lock, or a single failure of the disk, says nothing about the log.
            logger.warning("the log was checked up to position %d only: %s", head.position, error)
        else:
            self.state = ChainState(position=head.position, whole_at=self._now_ms())

    def _go_on(self, head: chain.Head) -> chain.Head:
        # A connection for each portion, so that it reads what the file has now, and none stays open.
        with closing(open_reader(self._path, cache_kib=256)) as connection:
            return chain.verify_chain(connection, head, limit=PORTION)
