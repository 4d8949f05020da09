"""Durable commands that could not be processed: `dead_letters.html`, `dead_letter.html`."""

from typing import Any

from starlette.responses import Response

from ops.console.rendering import PREFIX, milliseconds
from ops.console.routing import action, page
from ops.console.visit import Visit, whole_number

PAGE_ROWS = 100
PATH = f"{PREFIX}/dead_letters"
DONE = {"replay": "replayed", "drop": "dropped"}


async def show_dead_letters(visit: Visit) -> Response:
    """The dead letters, oldest first; their contents are on pages of their own."""
    listed = await visit.administer("dlq.list", after=visit.number("after"), limit=PAGE_ROWS)
    return visit.render(
        "dead_letters/dead_letters.html",
        letters=[_with_time(letter) for letter in listed["items"]],
        next=listed["next"],
        is_first=visit.parameter("after") is None,
    )


async def show_dead_letter(visit: Visit) -> Response:
    """One dead letter, whole."""
    letter = await visit.administer("dlq.show", sequence=_sequence(visit.request.path_params["sequence"]))
    return visit.render("dead_letters/dead_letter.html", letter=_with_time(letter))


async def settle(visit: Visit) -> Response:
    """Replays or drops one dead letter, or all."""
    verb = visit.form.verb(DONE, "a dead letter is replayed or dropped")
    if visit.form.has("sequence"):
        answer = await visit.administer(f"dlq.{verb}", sequence=_sequence(visit.form.text("sequence")))
    else:
        answer = await visit.administer(f"dlq.{verb}", all=visit.form.text("all") == "yes")
    number = answer[DONE[verb]]
    visit.tell(f"{number} dead {'letter was' if number == 1 else 'letters were'} {DONE[verb]}")
    return visit.go(PATH)


def _with_time(letter: dict[str, Any]) -> dict[str, Any]:
    """The dead letter, with its time in milliseconds since the epoch as `at`."""
    said = letter["time"]
    return letter | {"at": said and milliseconds(said)}


def _sequence(said: str) -> int:
    return whole_number(said, "a dead letter has a number", path="sequence")


ROUTES = [
    page("/dead_letters", show_dead_letters),
    # For administrators: the page shows a message as it was sent, and clients may send anything.
    page("/dead_letters/{sequence}", show_dead_letter, role="admin"),
    action("/dead_letters", settle, role="admin"),
]
