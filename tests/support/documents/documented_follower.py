"""A subscriber written from the steps in docs/subscribing.md alone; it shares no code with our client."""

import asyncio
from typing import Any

from tests.support.services.raw_nats import Message, RawNats

STREAM = "HYPERPAGE_EVENTS"
# Shorter than a subscriber would wait, since a test has less time.
SILENCE_SECONDS = 1.0
PAGE = 50


class Follower:
    """Keeps every event that it is handed, and takes back what a restore has undone."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        """Those that have happened, by what it knows."""
        self.handled: list[str] = []
        """The id of each that it was handed, also of those undone since."""
        self._timeline, self._position = 1, 0

    async def follow(self, url: str) -> None:
        """Follows for ever. After a failure, it begins again at the place that it has reached."""
        while True:
            try:
                async with await RawNats.connect(url) as client:
                    while True:
                        await self._go_round(client)
            except (OSError, TimeoutError, AssertionError):
                # The service or its broker is away for a moment, or hangs up where it should greet.
                await asyncio.sleep(0.1)

    async def _go_round(self, client: RawNats) -> None:
        consumer = await _make_consumer(client)
        after: int | None = await self._go_on_behind(client)
        while after is not None:
            page = await _read_log(client, after, PAGE)
            for event in page["items"]:
                self._take(event)
            after = page["next"]
        while True:
            fetched = await _fetch(client, consumer)
            if not fetched:
                return
            for message in fetched:
                event = message.said
                timeline, position = event["timeline"], int(event["sequence"])
                if timeline < self._timeline:
                    continue
                if timeline == self._timeline and position <= self._position:
                    continue
                if (timeline, position) != (self._timeline, self._position + 1):
                    return
                self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "hyperpage.timeline.forked.v1":
            restored = event["data"]["restored_position"]
            self.events = [one for one in self.events if int(one["sequence"]) <= restored]
        self.events.append(event)
        self.handled.append(event["id"])
        self._timeline, self._position = event["timeline"], int(event["sequence"])

    async def _go_on_behind(self, client: RawNats) -> int:
        """The position to go on behind: its own, or an earlier one if a restore began a newer timeline."""
        timelines = (await _read_log(client, 2**53 - 1, 1))["timelines"]
        return min([self._position, *(first - 1 for number, first in timelines if number > self._timeline)])


async def _ask(client: RawNats, subject: str, body: Any = b"") -> Any:
    """The answer to a request.

    Raises:
        ConnectionError: no service is there, or it refuses the request.
    """
    answer = await client.request(subject, body)
    if answer.status is not None or "Nats-Service-Error-Code" in answer.headers:
        raise ConnectionError(f"{subject}: {answer.status} {answer.body!r}")
    if "error" in answer.said:
        raise ConnectionError(f"{subject}: {answer.body!r}")
    return answer.said


async def _read_log(client: RawNats, after: int, limit: int) -> Any:
    return await _ask(client, "hyperpage.qry.v1.events.read", {"after": after, "limit": limit})


async def _make_consumer(client: RawNats) -> str:
    info = await _ask(client, f"$JS.API.STREAM.INFO.{STREAM}")
    config = {
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": info["state"]["last_seq"] + 1,
        "ack_policy": "none",
    }
    made = await _ask(client, f"$JS.API.CONSUMER.CREATE.{STREAM}", {"stream_name": STREAM, "config": config})
    return str(made["name"])


async def _fetch(client: RawNats, consumer: str) -> list[Message]:
    """The messages of one pull, which ends with any status, or when no more messages come."""
    inbox = f"{client.inbox}-fetch"
    arrived = client.subscribe(inbox)
    wish = {"batch": PAGE, "expires": round(SILENCE_SECONDS * 1e9)}
    client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}", wish, reply=inbox)
    fetched: list[Message] = []
    while len(fetched) < PAGE:
        async with asyncio.timeout(SILENCE_SECONDS * 5):
            message = await arrived.get()
        if message.status is not None:
            break
        fetched.append(message)
    return fetched
