"""How commands of a batch are shared out among messages."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperpage_client.asking.batch import Batch, Outcomes, messages_of
from hyperpage_client.contract.commands import (
    MAXIMUM_BATCH_BYTES,
    MAXIMUM_BATCH_COMMANDS,
    BatchItem,
    CommandAnswer,
)
from hyperpage_client.documents import encode
from hyperpage_client.errors import TooLarge


def item(size_bytes: int) -> BatchItem:
    return BatchItem(command="app_state.set", id="é", body=msgspec.Raw(b'"' + b"x" * size_bytes + b'"'))


def size_of(items: Sequence[BatchItem]) -> int:
    return len(encode({"atomic": False, "commands": items}))


def is_taken(items: Sequence[BatchItem]) -> bool:
    return len(items) <= MAXIMUM_BATCH_COMMANDS and size_of(items) <= MAXIMUM_BATCH_BYTES


SIZES = st.lists(
    st.one_of(
        st.integers(0, 100),
        st.integers(0, 2 * MAXIMUM_BATCH_BYTES),
        # Sizes near half of a message's limit, of which two just fit into it, or just do not.
        st.integers(-80, -20).map(lambda less: MAXIMUM_BATCH_BYTES // 2 + less),
    ),
    max_size=12,
)


@given(SIZES, st.integers(0, 3))
def test_messages_have_all_commands_in_order_and_no_more_than_the_service_takes(
    sizes: list[int], small_ones: int
):
    items = [*map(item, sizes), *[item(0)] * (small_ones * MAXIMUM_BATCH_COMMANDS)]

    messages = list(messages_of(items))

    assert [one for message in messages for one in message] == items
    assert all(is_taken(message) or len(message) == 1 for message in messages)
    # There are no more messages than needed, but for the byte of a last comma.
    for message, following in pairwise(messages):
        joined = [*message, following[0]]
        assert not is_taken(joined) or size_of(joined) == MAXIMUM_BATCH_BYTES


def test_one_that_is_too_large_by_itself_is_refused_and_the_others_are_sent():
    async def send(items: Sequence[BatchItem]) -> Outcomes:
        if not is_taken(items):
            raise TooLarge("too much")
        return [CommandAnswer(one.id or "", "app_state/k", 1, 1, 1, []) for one in items]

    batch = Batch()
    pending = [batch.add("app_state.set", "x" * size) for size in (1, MAXIMUM_BATCH_BYTES, 1)]
    with pytest.raises(ExceptionGroup, match="1 of 3 commands"):
        asyncio.run(batch.send(send))

    assert [isinstance(one.outcome, CommandAnswer) for one in pending] == [True, False, True]
    assert isinstance(pending[1].outcome, TooLarge)
    assert pending[1].outcome.details["index"] == 1, "it counts the commands of all messages"
    atomic = Batch(atomic=True)
    for _ in range(2):
        atomic.add("app_state.set", "x" * (MAXIMUM_BATCH_BYTES // 2))
    with pytest.raises(TooLarge):
        asyncio.run(atomic.send(send))
