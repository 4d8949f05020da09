"""`Reads`: reads one query from the store, in one snapshot."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any, NamedTuple, Self

import apsw
import msgspec

from bus.contract import codec
from bus.contract.names import tell_schema
from bus.contract.rights import Principal, Rights
from bus.incident import internal
from bus.log.reader_pool import PoolExhaustedError, ReaderPool
from bus.log.snapshot import begin_snapshot, end_snapshot
from bus.serving.queries.lookups import Lookups
from domain.errors import Busy, Forbidden, Refusal, TooLarge, Unavailable
from hyperpage_client.contract.headers import AGE_MS
from hyperpage_client.contract.log_place import LogPlace
from hyperpage_client.transport.protocol import RepeatedHeaders

logger = logging.getLogger(__name__)


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """The answer that a query waits for: one that `is_over`. It is read anew after `events` of a `stream`.

    `timeout_ms` is how long the query waits at most.
    """

    stream: Callable[[Any], str]
    events: frozenset[str]
    timeout_ms: Callable[[Any], int]
    is_over: Callable[[bytes], bool]


class QueryVerb(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of query. `answer` gets a connection that cannot write, and the decoded query.

    `answer` raises a `Refusal` if there is no answer. Without `reads`, it gets `None` in place of the
    connection, and is called at once in the service's loop, however many other queries wait. `limited`
    answers users of limited rights; without it, they may not ask a query that `reads`. A query `is_lookup` if
    it reads a few rows by their keys. `gives` is the type of the answer, for the documents of the contract.
    A query that `awaits` something is answered when that has happened, or its time is over.
    """

    name: str
    shape: type[Any]
    answer: Callable[[Any, Any], bytes]
    reads: bool = True
    is_lookup: bool = False
    limited: Callable[[Any, Any, Rights], bytes] | None = None
    gives: Any = None
    awaits: Awaited | None = None


class Reading(NamedTuple):
    """The result of a query: its answer, or a refusal with its body.

    `place` is where the log was in the snapshot that was read: it holds everything up to there, and nothing
    behind it. It is `None` if nothing of the store was read. `current_at` is the last time before the reading
    at which a follower was known to have all of the log, on the monotonic clock. It is `None` for a leader,
    and where it is not known.
    """

    body: bytes
    place: LogPlace | None = None
    refusal: Refusal | None = None
    current_at: float | None = None

    @property
    def headers(self) -> Mapping[str, str] | None:
        """Headers that say how new the answer is, if it is sent now; `None` if nothing was read."""
        if self.place is None or self.current_at is None:
            return None if self.place is None else _headers(self.place)
        age_ms = int((time.monotonic() - self.current_at) * 1_000)
        return {**_headers(self.place), AGE_MS: str(age_ms)}

    @classmethod
    def refused(cls, refusal: Refusal, place: LogPlace | None = None) -> Self:
        """The result of a query that is refused."""
        return cls(codec.error_body(refusal), place, refusal)


class Reads:
    """The ways to read a store. Each returns a `Reading`: an answer or a refusal, with the log's place.

    `place` is the place of the log that readers see at least; `current_at` is as in `Reading`. Both are asked
    in any thread, before anything is read: later commits may be missing from the snapshot.
    """

    def __init__(
        self, readers: ReaderPool, place: Callable[[], LogPlace], current_at: Callable[[], float | None]
    ) -> None:
        self.lookups = Lookups(readers.separate, self._begin_turn, damage=readers.damage)
        self._readers = readers
        self._place = place
        self._current_at = current_at
        # `current_at` for the snapshot of this turn's look-ups.
        self._turn_current_at: float | None = None

    def look_up(self, verb: QueryVerb, query: Any, principal: Principal) -> Reading:
        """The reading of a look-up, at once, in the one thread that looks rows up.

        Raises:
            Refusal: nothing was read.
        """
        reading = self._read(verb, query, principal, self.lookups)
        return _known_current(reading, self._turn_current_at)

    def read(self, verb: QueryVerb, query: Any, principal: Principal) -> Reading:
        """The reading of a query, on a connection of the pool. The calling thread waits for it.

        Raises:
            Refusal: nothing was read.
        """
        current_at = self._current_at()
        return _known_current(self._read(verb, query, principal, self._snapshot()), current_at)

    async def say(self, verb: QueryVerb, query: Any, principal: Principal) -> Reading:
        """The result of a query that does not read the store.

        Raises:
            Refusal: there is no answer.
        """
        return self._read(verb, query, principal, nullcontext((None, None)))

    def _begin_turn(self) -> LogPlace:
        self._turn_current_at = self._current_at()
        return self._place()

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[apsw.Connection, LogPlace]]:
        # Asked before the snapshot begins, so that the snapshot is at least as new.
        known = self._place()
        with self._readers.connection() as connection:
            place = begin_snapshot(connection, known, self._readers.damage)
            try:
                yield connection, place
            finally:
                end_snapshot(connection)

    def _read(
        self,
        verb: QueryVerb,
        query: Any,
        principal: Principal,
        reader: AbstractContextManager[tuple[Any, LogPlace | None]],
    ) -> Reading:
        place = None
        try:
            with reader as (connection, place):
                answer = _answer(verb, connection, query, principal)
        except Refusal as refusal:
            tell_schema(refusal, verb.name)
            return Reading.refused(refusal, place)
        except PoolExhaustedError:
            raise Busy("all readers are busy", hint="try again", retry_after_ms=500) from None
        except (apsw.BusyError, apsw.IOError, apsw.FullError) as error:
            logger.exception("a query could not be read", extra={"query": verb.name})
            raise Unavailable(
                "the store could not be read",
                hint="try again; `hyperpage status` says what keeps it from being read",
            ) from error
        except Exception as error:
            raise internal(logger, "a query could not be answered", error, query=verb.name) from None
        if len(answer) > codec.MAXIMUM_ANSWER_BYTES:
            too_large = TooLarge(
                "the answer would not fit into a message",
                hint="ask for fewer at once, or for one alone",
                limit_bytes=codec.MAXIMUM_ANSWER_BYTES,
                size_bytes=len(answer),
            )
            return Reading.refused(too_large, place)
        return Reading(answer, place)


# Queries that are asked at about the same time are read at few places of the log.
@lru_cache(maxsize=8)
def _headers(place: LogPlace) -> Mapping[str, str]:
    return RepeatedHeaders(place.headers)


def _known_current(reading: Reading, at: float | None) -> Reading:
    return reading if at is None else reading._replace(current_at=at)


def _answer(verb: QueryVerb, connection: Any, query: Any, principal: Principal) -> bytes:
    rights = principal.rights
    if rights.is_everything or not verb.reads:
        return verb.answer(connection, query)
    if verb.limited is None:
        raise Forbidden(f"{verb.name} is only for those who may read everything")
    return verb.limited(connection, query, rights)
