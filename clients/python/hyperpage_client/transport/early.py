"""Direct messages that are handled as they come from the socket, a turn of the loop before anything is read.

nats-py reads in a task, which is woken when bytes have come, takes a part of them, and parses that. Direct
messages are taken before they get into that stream, as long as no bytes in it wait to be read. So messages
are handled in the order of the wire.

It leans on the `feed_data` of asyncio's `StreamReader`, which the socket's protocol calls, and on its
`_waiter` and `_buffer`.
"""

import asyncio
from collections.abc import Callable

from hyperpage_client.transport.protocol import DirectParser, end_of_next


def take_early(reader: asyncio.StreamReader, parser: DirectParser, take: Callable[[bytes], int]) -> None:
    """Has direct messages taken from what comes to `reader`; its reading task feeds `parser` the rest.

    `take` handles the direct messages at the beginning of what came together, as `parser.take` does.
    """
    feed = reader.feed_data
    # The beginning of a message whose end is still to come. The stream gets only whole messages: otherwise,
    # the next direct message would have to wait until that beginning is read.
    kept = b""

    def come(data: bytes) -> None:
        nonlocal kept
        data, kept = kept + data, b""
        if parser.is_amid:
            feed(data)
            return
        is_all_read = reader._waiter is not None and not reader._buffer  # type: ignore[attr-defined]
        begin = end = take(data) if is_all_read else 0
        while (next_end := end_of_next(data, end)) is not None:
            end = next_end
        if end > begin:
            feed(data[begin:end])
        kept = data[end:]

    reader.feed_data = come  # type: ignore[assignment, method-assign]
