"""Poison: durable commands that take the service down, judged by how often it went down with them.

A command whose id has an answer was probably carried out before the service went down for another reason, and
is only answered again. Its id may also have been used for another command, so there is a limit for it, too.
"""

import asyncio

import apsw

from bus.log.answers import positions_of
from bus.log.reader_pool import PoolClosedError, PoolExhaustedError, ReaderPool
from domain.counting import counted
from domain.errors import Internal

# A command with which the service went down this often is put aside. The second limit is for a command whose
# id has an answer.
MAXIMUM_DOWNS = 2
MAXIMUM_DOWNS_ONCE_ANSWERED = 4
# A command that is put aside at one of these counts is looked through for credentials then. At another count,
# that may be what took the service down, and it is not repeated.
FIRST_PUT_ASIDE = (MAXIMUM_DOWNS, MAXIMUM_DOWNS_ONCE_ANSWERED)

CANNOT_TELL = (apsw.Error, PoolExhaustedError, PoolClosedError)


async def is_poison(readers: ReaderPool, command_id: str, downs: int) -> bool:
    """Whether to put a command aside with which the service went down `MAXIMUM_DOWNS` times or more.

    Raises:
        One of `CANNOT_TELL`: the store cannot be read now.
    """
    return downs >= MAXIMUM_DOWNS_ONCE_ANSWERED or not await asyncio.to_thread(
        _is_answered, readers, command_id
    )


def took_it_down(downs: int) -> Internal:
    """The refusal that answers a command that was put aside."""
    return Internal(
        f"the service went down {counted(downs, 'time')} while it decided this command",
        hint="it is kept among the dead letters, from where it can be sent again once the cause is known",
        times=downs,
    )


def _is_answered(readers: ReaderPool, command_id: str) -> bool:
    with readers.connection() as connection:
        return bool(positions_of(connection, command_id, 1))
