"""Which durable commands take the service down, as far as how often it went down with them tells.

One that has an answer was carried out before an end that came from elsewhere, and is only answered again. As
its id may have been used for another command, that has a limit, too.
"""

import asyncio

import apsw

from bus.log.answers import positions_of
from bus.log.reader_pool import PoolClosedError, PoolExhaustedError, ReaderPool
from domain.counting import counted
from domain.errors import Internal

# A command with which the service went down this often is put aside, or, where its id has an answer, later.
MAXIMUM_DOWNS = 2
MAXIMUM_DOWNS_ONCE_ANSWERED = 4
# By then, nobody has looked through it for credentials yet, which may be what takes the service down.
FIRST_PUT_ASIDE = (MAXIMUM_DOWNS, MAXIMUM_DOWNS_ONCE_ANSWERED)

CANNOT_TELL = (apsw.Error, PoolExhaustedError, PoolClosedError)


async def is_poison(readers: ReaderPool, command_id: str, downs: int) -> bool:
    """Whether a command is to be put aside with which the service went down `MAXIMUM_DOWNS` times, or more.

    Raises:
        One of `CANNOT_TELL`: the store cannot be read now.
    """
    return downs >= MAXIMUM_DOWNS_ONCE_ANSWERED or not await asyncio.to_thread(
        _is_answered, readers, command_id
    )


def took_it_down(downs: int) -> Internal:
    """What the sender of a command is told that was put aside."""
    return Internal(
        f"the service went down {counted(downs, 'time')} while it decided this command",
        hint="it is kept among the dead letters, from where it can be sent again once the cause is known",
        times=downs,
    )


def _is_answered(readers: ReaderPool, command_id: str) -> bool:
    with readers.connection() as connection:
        return bool(positions_of(connection, command_id, 1))
