"""Checks of a service after any faults: of the running one, then of its file."""

import asyncio
import json
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import nats

from bus.log.chain import Row
from tests.lab.experiment import Broken
from tests.lab.machines.applications import ANONYMOUS, Applications, is_anonymous
from tests.lab.machines.service_process import WELL_WITHIN_SECONDS, ServiceProcess
from tests.lab.oracle import require_store
from tests.support.patience import patiently, until
from tests.support.services.pacing import few_at_once
from tests.support.services.raw_nats import RawNats
from tests.support.stores.looking_inside import log_of

EVENTS = "HYPERPAGE_EVENTS"
# The number of answers that are asked for again on the bus; the file is checked for all of them.
ASKED_AGAIN = 60
# Messages that were under way when a broker died are delivered again after half a minute.
DURABLE_SECONDS = patiently(30.0)
CAUGHT_UP_SECONDS = patiently(5.0)


class NoAnswer(Broken):
    """A healthy service does not answer."""


async def become_well(service: ServiceProcess) -> None:
    """Returns when a service that was started says that it is healthy.

    Raises:
        Broken: it does not within the promised time.
    """
    said: Any = "nothing"

    async def is_well() -> bool:
        nonlocal said
        if service.has_ended:
            raise Broken(f"the service has ended: {service.last_words}")
        with suppress(OSError, TimeoutError, ValueError, AssertionError):
            async with asyncio.timeout(2), await RawNats.connect(service.runtime.nats_url) as client:
                said = (await client.query("service.status")).said
        return isinstance(said, dict) and said.get("status") == "healthy"

    try:
        await until(is_well, WELL_WITHIN_SECONDS)
    except TimeoutError:
        raise Broken(f"not healthy after {WELL_WITHIN_SECONDS:g} s: {said}; {service.last_words}") from None


async def require_all(
    service: ServiceProcess,
    applications: Applications,
    *,
    stored: Collection[str] = (),
    stream_is_whole: bool = True,
) -> dict[str, int]:
    """Checks that a running service keeps all promises to clients; then ends it, and checks its file.

    `stored` are the ids (or, without one, the keys) of durable commands that must not be lost, whether they
    were answered or not. A stream that was emptied or limited has only its end. Returns the counts of the
    checks.
    """
    await become_well(service)
    applications.undo(log_of(service.data / "hyperpage.db"))
    async with await RawNats.connect(service.runtime.nats_url) as client:
        await ask_again(client, applications)
        await go_on(client, applications, stored)
    await require_followed(service, applications, stream_is_whole)
    await service.stop()
    require_file(service.data / "hyperpage.db", applications)
    return {"answers": len(applications.told), "events seen": len(applications.seen)}


async def ask_again(client: RawNats, applications: Applications) -> None:
    """Checks that the newest answers are the same again, and that unanswered commands get an answer.

    Only a few are sent at once, so that none is refused: `busy`, as for a burst, would be no break.

    Raises:
        Broken: an answer differs. NoAnswer: there is none; the message has the response instead.
    """
    remembered = [one for one in applications.answered if one.is_remembered]
    again = {one.command_id: applications.commands[one.command_id] for one in remembered[-ASKED_AGAIN:]}
    asked = list((again | applications.unanswered).items())
    # `ask` raises an error if an answer differs from the one before.
    answers = await few_at_once(partial(applications.ask, client, *one) for one in asked)
    for (command_id, (name, _)), answer in zip(asked, answers, strict=True):
        if answer is None:
            said = applications.put_off[command_id]
            raise NoAnswer(f"{name} gets no answer from a healthy service, but {said}")


def require_file(store: Path, applications: Applications, *, others: Collection[str] = ()) -> None:
    """Checks that a stopped service's file has all that was answered, and else only the streams of others."""
    rows = log_of(store)
    theirs = (row.command_id for row in rows if is_anonymous(row.stream) or row.stream in others)
    sent = {*applications.commands, *theirs}
    require_store(store, {one for one in sent if one}, applications.answered)
    streams = Counter(row.stream for row in rows if is_anonymous(row.stream))
    if twice := [stream for stream, count in streams.items() if count > 1]:
        raise Broken(f"a command without an id was carried out more than once: {twice}")


async def go_on(client: RawNats, applications: Applications, stored: Collection[str]) -> None:
    """Checks that new commands of every kind are carried out, and so are those stored before."""
    fresh = [applications.anonymous() for _ in range(3)]
    for command in fresh:
        if not await applications.store(client, None, command):
            raise Broken("a healthy service's broker does not take a durable command")
    command_id, command = applications.new_command()
    if not await applications.store(client, command_id, command):
        raise Broken("a healthy service's broker does not take a durable command")
    awaited = {command[1]["key"] for command in fresh} | {one for one in stored if one.startswith(ANONYMOUS)}
    open_ids = {command_id} | {one for one in stored if not one.startswith(ANONYMOUS)}

    async def are_there() -> bool:
        for key in list(awaited):
            if (await client.query("app_state.get", {"key": key})).code is None:
                awaited.discard(key)
        for one in list(open_ids):
            subject = f"$JS.API.DIRECT.GET.HYPERPAGE_RESULTS.hyperpage.res.v1.{one}"
            answer = await client.request(subject)
            if answer.status is None:
                if applications.take(one, answer) is None and one == command_id:
                    raise Broken(f"a new durable command is not carried out: {answer.body!r}")
                open_ids.discard(one)
        return not awaited and not open_ids

    try:
        await until(are_there, DURABLE_SECONDS)
    except TimeoutError:
        raise Broken(
            f"durable commands were stored, and are not carried out: {sorted(awaited | open_ids)[:5]}"
        ) from None


async def require_followed(
    service: ServiceProcess, applications: Applications, stream_is_whole: bool
) -> None:
    """Checks that a subscriber goes on behind its last event and gets the log, and the stream is the log."""
    async with await RawNats.connect(service.runtime.nats_url) as client:
        head = (await client.query("service.status")).said["position"]
    try:
        async with asyncio.timeout(CAUGHT_UP_SECONDS):
            await applications.follow(lambda: bool(applications.broken) or applications.last_position >= head)
    except TimeoutError:
        raise Broken(f"a subscriber gets to {applications.last_position}, and the log to {head}") from None
    if applications.broken:
        raise Broken(applications.broken[0])
    rows = {row.position: row for row in log_of(service.data / "hyperpage.db")}
    for event in applications.handled:
        row = rows.get(event.position)
        if row is None or row.hash.hex() != event.hash:
            raise Broken(f"a subscriber saw {event.id}, {event.type} of {event.stream}; the log has {row}")
    await _require_stream(service, rows, stream_is_whole)


async def _require_stream(service: ServiceProcess, rows: dict[int, Row], is_whole: bool) -> None:
    """Checks that the stream has each event of the log once, in order; if it is not whole, the last ones."""
    expected = [row.hash.hex() for row in rows.values()]
    client = await nats.connect(service.runtime.nats_url)
    try:
        jetstream = client.jetstream(timeout=CAUGHT_UP_SECONDS)

        async def has_the_last() -> bool:
            with suppress(nats.js.errors.Error):
                last = await jetstream.get_last_msg(EVENTS, "hyperpage.evt.v1.>")
                return json.loads(last.data or b"{}").get("hash") == expected[-1]
            return False

        await until(has_the_last, CAUGHT_UP_SECONDS)
        state = (await jetstream.stream_info(EVENTS)).state
        events = await jetstream.subscribe("hyperpage.evt.v1.>", stream=EVENTS, ordered_consumer=True)
        hashes = [
            json.loads((await events.next_msg(timeout=CAUGHT_UP_SECONDS)).data)["hash"]
            for _ in range(state.messages)
        ]
    except TimeoutError:
        raise Broken("the stream does not get to where the log is") from None
    finally:
        await client.close()
    if hashes != (expected if is_whole else expected[len(expected) - len(hashes) :]):
        place = next((n for n, (a, b) in enumerate(zip(hashes, expected, strict=False)) if a != b), None)
        raise Broken(
            f"the stream has {len(hashes)} events, the log {len(rows)}; they differ from number {place} on"
        )
