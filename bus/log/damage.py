"""`Damage`: the damage of a store that its readers and writers have found."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from bus.log.answers import LostAnswerError
from bus.log.chain import BrokenChainError

logger = logging.getLogger(__name__)

# The errors of a file that is not as SQLite, or the service, has written it.
_DAMAGE = (apsw.CorruptError, apsw.NotADBError, BrokenChainError)
# Errors that such a file may lead to, but that may have another cause: a look at the whole file tells.
_SUSPICIOUS = (UnicodeDecodeError, LostAnswerError)


class Damage:
    """The damage of one store, noted by any thread. `problem` is what was found, `None` while nothing was.

    `is_confirmed` says that a look at the whole file has found it, too. `suspected_at` is when such a look
    was asked for last, by the monotonic clock.
    """

    def __init__(self) -> None:
        self.problem: str | None = None
        self.is_confirmed = False
        self.suspected_at = -1.0

    @contextmanager
    def noted(self, who: str) -> Iterator[None]:
        """Notes an error in the block, if it tells of damage; it is raised all the same."""
        try:
            yield
        except Exception as error:
            self.note(error, who)
            raise

    def note(self, error: BaseException, who: str) -> None:
        """Notes an error, if it tells of damage."""
        if isinstance(error, _DAMAGE):
            self.found(f"{who} met {str(error) or type(error).__name__}")
        elif isinstance(error, _SUSPICIOUS):
            self.suspect(f"{who} met {error}")

    def found(self, problem: str) -> None:
        """Notes that there is damage."""
        if self.problem is None:
            self.suspect(problem)
            self.problem = problem

    def suspect(self, why: str) -> None:
        """Asks for a look at the whole file, unless one has found damage already."""
        if self.is_confirmed:
            return
        logger.error("the store may be damaged: %s", why)
        self.suspected_at = time.monotonic()

    def confirm(self, problem: str) -> None:
        """Notes that a look at the whole file has found damage."""
        if not self.is_confirmed:
            logger.error("the store is damaged: %s", problem)
        self.problem, self.is_confirmed = problem, True

    def refute(self) -> None:
        """Notes that a look at the whole file has found no damage."""
        if self.problem is not None:
            logger.warning("all of the store was looked at, and nothing is wrong with it any more")
        self.problem, self.is_confirmed = None, False
