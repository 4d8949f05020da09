"""Cases about following events, each once and in order."""

from datetime import datetime

from hyperpage_client.testing.client_conformance.case import Group
from hyperpage_client.testing.client_conformance.expecting import NotAsExpected, equal, true
from hyperpage_client.testing.client_conformance.setting import Follower, Setting
from hyperpage_client.testing.client_conformance.wire import DeliveryLost

FOLLOWING = Group("Following the events", "follow")

FORKED = "hyperpage.timeline.forked.v1"
# Longer than a client may wait in silence before it reads the log.
SILENCE_SECONDS = 30.0


async def put(at: Setting, ending: str) -> str:
    """Sets a key, not by the client under test, and returns the id of the event."""
    look = await at.look()
    answer = await look.app_state.set(at.key(ending), ending)
    return f"{answer.timeline}-{answer.position}"


async def come(at: Setting, follower: Follower, *endings: str) -> None:
    """Checks that the next events of these keys come in this order, one of each."""
    keys = [at.key(ending) for ending in endings]
    for key in keys:
        event = await follower.event_of(*keys)
        equal("the subject of the next event", event["subject"], f"app_state/{key}")


async def none_more(at: Setting, follower: Follower, *endings: str) -> None:
    """Checks that no event of these keys comes again before an event that is made now."""
    marker = at.key("marker")
    await put(at, "marker")
    event = await follower.event_of(marker, *(at.key(ending) for ending in endings))
    equal("the subject of the next event", event["subject"], f"app_state/{marker}")


@FOLLOWING.case(
    "events come once and in order, behind a place",
    "Read the log behind the id of the event that was handled last, and then follow the stream.",
)
async def behind_a_place(at: Setting) -> None:
    client = await at.connect()
    await put(at, "before")
    place = await put(at, "place")
    await put(at, "a")
    follower = await client.begins("follow", after=place)
    await put(at, "b")
    await come(at, follower, "a", "b")
    await put(at, "c")
    await come(at, follower, "c")
    await none_more(at, follower, "before", "place", "a", "b", "c")


@FOLLOWING.case(
    "positions have no gap",
    "Hand on every event of the log: of one timeline, each position is that of the event before it, and one.",
)
async def without_gaps(at: Setting) -> None:
    client = await at.connect()
    place = await put(at, "place")
    follower = await client.begins("follow", after=place)
    await put(at, "end")
    position = int(place.partition("-")[2])
    while True:
        event = await follower.next("event")
        position += 1
        equal("the id", event["id"], f"1-{position}")
        if event["subject"] == f"app_state/{at.key('end')}":
            return


@FOLLOWING.case(
    "without a place, the log comes from its beginning",
    "Begin with the event at position 1 where no place is given.",
)
async def from_the_beginning(at: Setting) -> None:
    client = await at.connect()
    await put(at, "one")
    follower = await client.begins("follow")
    equal("the id of the first event", (await follower.next("event"))["id"], "1-1")


@FOLLOWING.case(
    "an event is handed on as it is",
    "Hand on id, type, subject, version, time and data; `subject` has the key as it is, not escaped.",
)
async def whole_event(at: Setting) -> None:
    client = await at.connect()
    place = await put(at, "place")
    follower = await client.begins("follow", after=place)
    look = await at.look()
    key = at.key("a/b:c.d=e")
    value = {"text": "漢 🦤", "null": None, "number": 2**53 - 1}
    answer = await look.app_state.set(key, value)
    event = await follower.event_of(key)
    row = await look.app_state.get(key)
    equal("the id", event["id"], f"{answer.timeline}-{answer.position}")
    equal(
        "type, subject, version",
        [event[one] for one in ("type", "subject", "version")],
        ["hyperpage.app_state.set.v1", f"app_state/{key}", 1],
    )
    equal("the value", event["data"]["value"], value)
    moment = datetime.fromisoformat(event["time"])
    equal("the time, in milliseconds", round(moment.timestamp() * 1000), row.updated_at)


@FOLLOWING.case(
    "an event that was lost on its way is noticed by the next one",
    "Compare each position with the one before; where one is missing, read the log from your place.",
)
async def lost(at: Setting) -> None:
    client = await at.connect()
    follower = await client.begins("follow", after=await put(at, "place"))
    await put(at, "a")
    await come(at, follower, "a")
    gone = at.wire.disturb(DeliveryLost(f'"app_state/{at.key("b")}"', 1))
    await put(at, "b")
    await put(at, "c")
    await come(at, follower, "b", "c")
    await none_more(at, follower, "a", "b", "c")
    true("it was lost", gone.struck == 1, came=gone.struck)


@FOLLOWING.case(
    "the last event that was lost on its way is noticed in the silence",
    "Read the log from your place where nothing came for 5 seconds: the last event may have been lost.",
)
async def lost_at_last(at: Setting) -> None:
    client = await at.connect()
    follower = await client.begins("follow", after=await put(at, "place"))
    await put(at, "a")
    await come(at, follower, "a")
    at.wire.disturb(DeliveryLost(f'"app_state/{at.key("b")}"', 1))
    await put(at, "b")
    key = at.key("b")
    event = await follower.event_of(key, within_seconds=SILENCE_SECONDS)
    equal("the subject", event["subject"], f"app_state/{key}")


@FOLLOWING.case(
    "a follower outlives its connection",
    "Make connection and consumer again, and go on behind your place.",
)
async def cut_off(at: Setting) -> None:
    client = await at.connect()
    follower = await client.begins("follow", after=await put(at, "place"))
    await put(at, "a")
    await come(at, follower, "a")
    await at.wire.cut()
    await put(at, "b")
    await come(at, follower, "b")
    await none_more(at, follower, "a", "b")


@FOLLOWING.case(
    "a place that is not in the log is lost",
    "End with `place_lost` where the place lies ahead of the log: it was another log's. Repair nothing.",
)
async def place_lost(at: Setting) -> None:
    client = await at.connect()
    await put(at, "one")
    follower = await client.begins("follow", after="1-999999999999")
    error = await follower.next("error")
    equal("the code", error["code"], "place_lost")


@FOLLOWING.case(
    "one table, or one stream, is followed alone",
    "Follow a part by a filter on the consumer and on the log; see that nothing was left out in between.",
    needs=("follow_part",),
)
async def part(at: Setting) -> None:
    client = await at.connect()
    place = await put(at, "place")
    look = await at.look()
    await look.jobs.enqueue("mail", id=at.key("job"))
    await put(at, "a")
    by_table = await client.begins("follow", after=place, table="jobs")
    by_stream = await client.begins("follow", after=place, stream=f"app_state/{at.key('a')}")
    await put(at, "b")
    await look.app_state.set(at.key("a"), "again")
    while (event := await by_table.next("event"))["subject"] != f"jobs/{at.key('job')}":
        true("it is of the table", event["subject"].startswith("jobs/"), came=event["subject"])
    versions = [(await by_stream.next("event"))["version"] for _ in range(2)]
    equal("the versions of the stream", versions, [1, 2])


@FOLLOWING.case(
    "a follower that is stopped tells no more",
    "Have it ended by its caller; what comes afterwards is not handed on.",
)
async def stopped(at: Setting) -> None:
    client = await at.connect()
    follower = await client.begins("follow", after=await put(at, "place"))
    await put(at, "a")
    await come(at, follower, "a")
    await client.stop(follower)
    await put(at, "b")
    await client.command("app_state.set", {"key": at.key("c"), "value": 1})
    try:
        event = await follower.event_of(at.key("b"), within_seconds=0.2)
    except NotAsExpected:
        return
    raise NotAsExpected("the next event", expected="none", came=event)


@FOLLOWING.case(
    "each event comes once over a `kill -9` of the service",
    "Go on behind your place when service and broker are back; ask again while they are away.",
    service="killed",
)
async def killed(at: Setting) -> None:
    client = await at.connect()
    follower = await client.begins("follow", after=await put(at, "place"))
    await put(at, "a")
    await come(at, follower, "a")
    await at.kill_and_start()
    await put(at, "b")
    await come(at, follower, "b")
    await none_more(at, follower, "a", "b")


@FOLLOWING.case(
    "a restore is told, and what is new behind it",
    "Hand on the event that begins a newer timeline, and what follows it, whatever its position.",
    service="restored",
)
async def restored(at: Setting) -> None:
    client = await at.connect()
    # One follower has seen the event that is undone; the other was away, and comes back to a new timeline.
    kept = await put(at, "kept")
    follower = await client.begins("follow", after=kept)
    await at.back_up()
    undone = await put(at, "undone")
    await come(at, follower, "undone")
    await at.restore(int(kept.partition("-")[2]))
    await put(at, "new")
    late = await client.begins("follow", after=undone)
    for one in (follower, late):
        fork, event = [await one.event_of(at.key("undone"), at.key("new")) for _ in range(2)]
        equal("the type of the first event", fork["type"], FORKED)
        equal("what is undone", fork["data"]["restored_position"], int(kept.partition("-")[2]))
        equal("the subject of the next event", event["subject"], f"app_state/{at.key('new')}")
    # A query does not wait for events that the restore has undone.
    error = await client.refused("query", query="app_state.get", body={"key": at.key("undone")})
    equal("what has become of the undone value", error["code"], "not_found")
