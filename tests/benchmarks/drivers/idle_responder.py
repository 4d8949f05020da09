"""A responder that does nothing but answer: `… idle_responder URL SUBJECT`."""

import asyncio
import sys

import nats
from nats.aio.msg import Msg


async def _serve(url: str, subject: str) -> None:
    client = await nats.connect(url)

    async def answer(message: Msg) -> None:
        # `respond` would send the request's headers back.
        await client.publish(message.reply, b"{}")

    await client.subscribe(subject, cb=answer, pending_msgs_limit=0, pending_bytes_limit=0)
    await client.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2]))
