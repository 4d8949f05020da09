"""Pages and their addresses: dataclasses, an id that follows from a name, changes told as differences."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import SequenceMatcher
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.domain import Aggregate, event

Edit = tuple[int, int, str]


@dataclass
class Page(Aggregate):
    title: str
    slug: str
    body: str = ""
    tags: set[str] = field(default_factory=set)
    edits: int = field(default=0, init=False)
    modified_by: UUID | None = field(default=None, init=False)

    class Event(Aggregate.Event):
        pass

    class Created(Event, Aggregate.Created):
        title: str
        slug: str
        body: str
        tags: set[str]

    class BodyUpdated(Event):
        edits: list[Edit]
        by: UUID | None

    @event("TitleUpdated")
    def update_title(self, title: str) -> None:
        self.title = title

    @event("SlugUpdated")
    def update_slug(self, slug: str) -> None:
        self.slug = slug

    @event("Tagged")
    def tag(self, tags: set[str]) -> None:
        self.tags |= tags

    def update_body(self, body: str, by: UUID | None = None) -> None:
        """The page says this from now on; nothing happens if it does already."""
        if edits := differences(self.body, body):
            self._update_body(edits=edits, by=by)

    @event(BodyUpdated)
    def _update_body(self, edits: list[Edit], by: UUID | None) -> None:
        self.body = edited(self.body, edits)
        self.modified_by = by
        self.edits += 1


@dataclass
class Slug(Aggregate):
    """Where a page is found."""

    name: str
    page_id: UUID | None = None

    @staticmethod
    def create_id(name: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/slugs/{name}")

    @event("PageUpdated")
    def update_page(self, page_id: UUID | None) -> None:
        self.page_id = page_id


def differences(old: str, new: str) -> list[Edit]:
    """The edits that make the new text from the old one, the last part first."""
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [(start, end, new[i:j]) for kind, start, end, i, j in reversed(steps) if kind != "equal"]


def edited(text: str, edits: list[Edit]) -> str:
    for start, end, instead in edits:
        text = text[:start] + instead + text[end:]
    return text
