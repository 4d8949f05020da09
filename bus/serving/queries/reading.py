"""One query, read from the store in one snapshot: `Reads`."""

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
    """What a query waits for, and for how long: an answer that `is_over`, as `events` of a stream make it."""

    stream: Callable[[Any], str]
    events: frozenset[str]
    timeout_ms: Callable[[Any], int]
    is_over: Callable[[bytes], bool]


class QueryVerb(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of query. `answer` gets a connection that cannot write, and the decoded query.

    It raises a `Refusal` if there is no answer. Without `reads`, it gets `None` in place of the connection,
    and is called at once in the service's loop, however many others wait. `limited` answers those whose
    rights are not all: they may ask nothing else that `reads`. One that reads a few rows by their keys
    `is_lookup`. `gives` is the type of the answer, for the documents of the contract. One that `awaits` is
    answered later.
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
    """What a query led to: its answer, or else a refusal and its body.

    `place` is where the log was in what was read: all up to there is in it, and nothing else; `None` where
    nothing of the store was read. `current_at` is when one that follows was known to have all of the log, on
    the monotonic clock, at the latest before it was read; `None` of one that leads, or where it is not known.
    """

    body: bytes
    place: LogPlace | None = None
    refusal: Refusal | None = None
    current_at: float | None = None

    @property
    def headers(self) -> Mapping[str, str] | None:
        """How new it is, as headers of an answer that is sent now."""
        if self.place is None or self.current_at is None:
            return None if self.place is None else _headers(self.place)
        age_ms = int((time.monotonic() - self.current_at) * 1_000)
        return {**_headers(self.place), AGE_MS: str(age_ms)}

    @classmethod
    def refused(cls, refusal: Refusal, place: LogPlace | None = None) -> Self:
        """There is no answer."""
        return cls(codec.error_body(refusal), place, refusal)


class Reads:
    """The ways to read a store, for each of which there is an answer, or a refusal that has one's place.

    `place` is where the log is, and what the readers see at least; `current_at` as in `Reading`. Both are
    asked in any thread, before anything is read: what comes later may not be in it.
    """

    def __init__(
        self, readers: ReaderPool, place: Callable[[], LogPlace], current_at: Callable[[], float | None]
    ) -> None:
        self.lookups = Lookups(readers.separate, self._begin_turn, damage=readers.damage)
        self._readers = readers
        self._place = place
        self._current_at = current_at
        # Of what the look-ups of this turn see.
        self._turn_current_at: float | None = None

    def look_up(self, verb: QueryVerb, query: Any, principal: Principal) -> Reading:
        """What is found at once, in the one thread that looks up.

        Raises:
            Refusal: nothing was read.
        """
        reading = self._read(verb, query, principal, self.lookups)
        return _known_current(reading, self._turn_current_at)

    def read(self, verb: QueryVerb, query: Any, principal: Principal) -> Reading:
        """What is found, for which the calling thread waits.

        Raises:
            Refusal: nothing was read.
        """
        current_at = self._current_at()
        return _known_current(self._read(verb, query, principal, self._snapshot()), current_at)

    async def say(self, verb: QueryVerb, query: Any, principal: Principal) -> Reading:
        """What needs no reading.

        Raises:
            Refusal: there is no answer.
        """
        return self._read(verb, query, principal, nullcontext((None, None)))

    def _begin_turn(self) -> LogPlace:
        self._turn_current_at = self._current_at()
        return self._place()

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[apsw.Connection, LogPlace]]:
        # Before there is a connection: what it sees is newer.
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


# Those that are asked at about the same time are answered at few places.
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
