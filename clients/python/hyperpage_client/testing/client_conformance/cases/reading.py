"""Cases about how new a client's reads are, and about lists."""

from hyperpage_client.contract.headers import MINIMUM_POSITION
from hyperpage_client.testing.client_conformance.case import Group
from hyperpage_client.testing.client_conformance.expecting import equal, true
from hyperpage_client.testing.client_conformance.refused import refusal
from hyperpage_client.testing.client_conformance.setting import Setting
from hyperpage_client.testing.client_conformance.subjects import query
from hyperpage_client.testing.client_conformance.wire import Answered

READING = Group("Reading what one has written", "reads_own_writes")
LISTS = Group("Lists", "list")

GET = query("app_state.get")


def least(at: Setting) -> list[str | None]:
    """The least place that each query asked for; `None`: it asked for none."""
    return [one.message.headers.get(MINIMUM_POSITION) for one in at.wire.sent_to(GET)]


@READING.case(
    "what a client was answered, it reads",
    "Send timeline and position of the newest answer with each query, as Hyperpage-Min-Position: 1-41872.",
)
async def after_a_command(at: Setting) -> None:
    client = await at.connect()
    answer = await client.command("app_state.set", {"key": at.key(), "value": 1})
    await client.query("app_state.get", {"key": at.key()})
    equal("the header", least(at), [f"{answer['timeline']}-{answer['position']}"])


@READING.case(
    "what a client has read, it does not read older",
    "Take in the headers Hyperpage-Position and Hyperpage-Timeline of the answer to a query, too.",
)
async def after_a_query(at: Setting) -> None:
    client = await at.connect()
    look = await at.look()
    answer = await look.app_state.set(at.key(), 1)
    for _ in range(2):
        await client.query("app_state.get", {"key": at.key()})
    first, second = least(at)
    equal("the first header", first, None)
    timeline, _, position = (second or "0-0").partition("-")
    is_as_new = (int(timeline), int(position)) >= (answer.timeline, answer.position or 0)
    true("the second is as new as the answer to the first", is_as_new, came=second)


@READING.case(
    "an older answer takes nothing back",
    "Keep the newest place: the higher timeline, in the same one the higher position.",
)
async def never_back(at: Setting) -> None:
    client = await at.connect()
    old, old_id = {"key": at.key("old"), "value": 1}, at.key("id")
    await client.command("app_state.set", old, command_id=old_id)
    newest = await client.command("app_state.set", {"key": at.key(), "value": 2})
    await client.command("app_state.set", old, command_id=old_id)
    await client.query("app_state.get", {"key": at.key()})
    equal("the header", least(at), [f"{newest['timeline']}-{newest['position']}"])


@READING.case(
    "a store that is behind is asked again",
    "Ask again, after a pause, what was `behind`: another service may answer, or this one come as far.",
)
async def behind(at: Setting) -> None:
    client = await at.connect()
    await client.command("app_state.set", {"key": at.key(), "value": 1})
    at.wire.disturb(Answered(GET, 1, *refusal("behind", 503, leads=False, position=1, timeline=1)))
    row = await client.query("app_state.get", {"key": at.key()})
    equal("the value", row["value"], 1)
    true("it was asked again with the header", None not in least(at), came=least(at))


@READING.case(
    "a place that no store has is forgotten",
    "Where `behind` says `leads: true`, no store has more: forget the place, and ask without it.",
)
async def nobody_has_more(at: Setting) -> None:
    client = await at.connect()
    await client.command("app_state.set", {"key": at.key(), "value": 1})
    at.wire.disturb(Answered(GET, 1, *refusal("behind", 503, leads=True, position=1, timeline=1)))
    row = await client.query("app_state.get", {"key": at.key()})
    equal("the value", row["value"], 1)
    equal("the last header", least(at)[-1], None)


@LISTS.case(
    "a list is read to its end, page by page",
    "Ask on with `after` = `next`, until `next` is null: a page may be shorter than its limit.",
)
async def pages(at: Setting) -> None:
    client = await at.connect()
    look = await at.look()
    for ending in "abc":
        await look.app_state.set(at.key(ending), ending)
    body = {"prefix": at.key(""), "limit": 1}
    listed = await client.ok("list", query="app_state.list", body=body)
    equal("the keys", [one["key"] for one in listed["items"]], [at.key(one) for one in "abc"])


@LISTS.case(
    "a list of nothing is empty",
    "Hand on an empty list where nothing was found.",
)
async def empty(at: Setting) -> None:
    client = await at.connect()
    listed = await client.ok("list", query="app_state.list", body={"prefix": at.key()})
    equal("the items", listed["items"], [])
