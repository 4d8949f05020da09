"""The other forms that a class may have: setters, names of verbs, heirs, several ways to create, an end."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from eventsourcing.domain import Aggregate, event

from domain.installed.error import AggregateError
from domain.installed.library import is_library_class
from domain.installed.loading import VARIABLE, installed
from tests.support.domain.adapted_story import AdaptedStory, brought, story

USER: ContextVar[str | None] = ContextVar("user", default=None)


class Person(Aggregate):
    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    @event("Renamed")
    def name(self, name: str) -> None:
        self._name = name


class Door(Aggregate):
    hyperpage_verbs = {"__init__": "hang", "shut": "close", "creak": None}

    def __init__(self) -> None:
        self.is_open = False
        self.creaks = 0

    @event("Opened")
    def open(self) -> None:
        self.is_open = True

    @event("Shut")
    def shut(self) -> None:
        self.is_open = False

    @event("Creaked")
    def creak(self) -> None:
        self.creaks += 1


class Notice(Aggregate):
    hyperpage_mirrored = True

    def __init__(self, at: str, order: int | None = None) -> None:
        self.at = at
        self.order = order

    @staticmethod
    def hyperpage_demo(random: Any) -> list[tuple[str, dict[str, Any]]]:
        return [("create", {"at": "noon"})]


class Animal(Aggregate):
    def __init__(self, name: str):
        self.name = name
        self.meals = 0

    @event("Fed")
    def feed(self, meals: int = 1) -> None:
        self.meals += meals


class Cat(Animal):
    lives = 9

    @event("Fell")
    def fall(self) -> None:
        self.lives -= 1


class Note(Aggregate):
    """Something to be remembered, until it is torn up."""

    def __init__(self, text: Any, pinned_by: Any = None):
        self.text = text
        self.pinned_by = pinned_by

    @classmethod
    def write(cls, text):
        return cls._create(cls.Written, id=uuid4(), text=text)

    @classmethod
    def copy_of(cls, text: str, source: UUID) -> "Note":
        note = cls._create(cls.Copied, text=text, source=source)
        note.trigger_event(cls.Annotated, with_what={"copied_at": note.created_on.isoformat()})
        return note

    def tear_up(self) -> None:
        self.trigger_event(self.TornUp)

    def annotate_all(self, *notes: str) -> None:
        for one in notes:
            self.trigger_event(self.Annotated, with_what={"note": one})

    class Written(Aggregate.Created):
        text: Any

    class Copied(Aggregate.Created):
        text: str
        source: UUID

        def apply(self, aggregate: Any) -> None:
            aggregate.source = self.source

    class Annotated(Aggregate.Event):
        with_what: dict[str, str]

        def apply(self, aggregate: Any) -> None:
            aggregate.annotation = self.with_what

    class TornUp(Aggregate.Event):
        def mutate(self, aggregate: Any) -> Any:
            super().mutate(aggregate)


@dataclass
class Basket(Aggregate):
    id: UUID
    items: list[str] = field(default_factory=list)

    @event("ItemAdded")
    def add_item(self, name: str, amounts: list[int] = [1]) -> None:  # noqa: B006 (as people write it)
        self.items.extend(name for _ in range(sum(amounts)))


class Ticket(Aggregate):
    class Event(Aggregate.Event):
        # The user who asked, from a context variable; None unless a test sets it.
        by: str | None = field(default_factory=USER.get, init=False)

        def apply(self, aggregate: Any) -> None:
            aggregate.last_by = self.by

    def __init__(self, id: UUID, subject: str) -> None:  # noqa: A002 (as the library has it)
        self._id = id
        self.number: str = str(id)[:8]
        self.subject = subject
        self.last_by: str | None = None

    @event("Closed")
    def close(self) -> None:
        self.closed = True


def test_a_decorated_property_is_a_verb_that_sets_it():
    persons = story(Person, "persons").when("persons.create", id="one", name="Ada")

    persons.when("persons.set_name", id="one", name="Grace").then_told("person.renamed.v1", name="Grace")
    assert persons.row()["name"] == "Grace"


def test_a_class_may_give_its_verbs_other_names_or_none():
    doors = story(Door, "doors").when("doors.hang", id="one").then_told("door.created.v1")
    doors.when("doors.open", id="one").when("doors.close", id="one").then_told("door.shut.v1")

    assert set(doors.verbs) == {"doors.hang", "doors.open", "doors.close"}


def test_an_heir_has_the_verbs_and_events_of_what_it_comes_from():
    cats = story(Cat, "cats").when("cats.create", id="one", name="Tom")
    cats.when("cats.feed", id="one", meals=2).then_told("cat.fed.v1", meals=2)
    cats.when("cats.fall", id="one").then_told("cat.fell.v1")

    assert (cats.row()["meals"], cats.row()["lives"]) == (2, 8)
    assert cats.replayed() == cats.state("cats")


def test_each_class_method_that_creates_is_a_verb():
    notes = story(Note, "notes").when("notes.write", id="one", text={"any": ["JSON", None]})
    notes.then_told("note.written.v1", text={"any": ["JSON", None]})

    source = "0190f3c4-7d1a-7000-8000-00000000000a"
    notes.when("notes.copy_of", id="two", text="x", source=source)
    # The time in the second event is that of the transaction: the class saw no other.
    notes.then(
        notes.event("note.copied.v1", text="x", source=source),
        notes.event("note.annotated.v1", with_what={"copied_at": "2027-01-15T08:00:00+00:00"}),
    )


def test_a_mutator_that_returns_nothing_ends_the_aggregate_and_its_stream_goes_on():
    notes = story(Note, "notes").when("notes.write", id="one", text="x").when("notes.tear_up", id="one")
    assert notes.state("notes", "one") is None
    notes.when("notes.tear_up", id="one").then_refused("not_found")

    notes.when("notes.write", id="one", text="y")
    assert notes.state("notes", "one").version == 3
    assert notes.replayed("one") == notes.state("notes", "one")


def test_a_method_whose_arguments_have_no_names_is_left_out_and_it_is_said_why():
    assert brought(Note, "notes").left_out == {
        "annotate_all": "*notes: 'str' has no name that a command could use"
    } or brought(Note, "notes").left_out == {
        "annotate_all": "*notes: str has no name that a command could use"
    }


def test_a_column_without_a_known_type_holds_any_json():
    notes = story(Note, "notes").when("notes.write", id="one", text=[1.5])
    types = {one.name: one.type for one in msgspec.structs.fields(brought(Note, "notes").row_shape)}

    assert types["text"] is Any
    assert (notes.row()["text"], notes.row()["pinned_by"]) == ("[1.5]", "null")


def test_defaults_that_a_function_makes_are_made_for_each_command():
    baskets: AdaptedStory = story(Basket, "baskets")
    for key in ("one", "two"):
        baskets.when("baskets.create", id=key).then_told("basket.created.v1", items=[])
        baskets.when("baskets.add_item", id=key, name="pear").then_told(
            "basket.item_added.v1", name="pear", amounts=[1]
        )

    assert baskets.row("one")["items"] == baskets.row("two")["items"] == '["pear"]'


def test_an_id_that_the_class_takes_is_the_key():
    key = "0190f3c4-7d1a-7000-8000-000000000001"
    tickets = story(Ticket, "tickets").when("tickets.create", id=key, subject="Help")

    assert tickets.row(key)["number"] == "0190f3c4"


def test_fields_that_all_events_have_are_told_with_each_and_not_made_anew():
    tickets = story(Ticket, "tickets").when("tickets.create", id="one", subject="Help")
    token = USER.set("ada")
    tickets.when("tickets.close", id="one").then_told("ticket.closed.v1", by="ada")
    USER.reset(token)

    assert tickets.row()["last_by"] == "ada"
    assert tickets.replayed() == tickets.state("tickets")


def test_only_classes_of_the_library_are_such():
    assert is_library_class(Person)
    assert not any(
        is_library_class(one) for one in (Aggregate.__mro__[1], dict, Person.Event, "Person", None)
    )


def test_a_choice_for_what_is_no_verb_is_refused():
    class Lamp(Aggregate):
        hyperpage_verbs = {"swich": "toggle"}

        @event("Switched")
        def switch(self) -> None: ...

    with pytest.raises(AggregateError, match="swich is no method that could be a verb") as caught:
        brought(Lamp, "lamps")
    assert caught.value.hint == "it has switch"


def test_columns_have_names_that_sql_takes():
    class Chair(Aggregate):
        hyperpage_filters = ("chair_order", "row_number")

        def __init__(self, order: int, position: str, rowNumber: int) -> None:  # noqa: N803 (as some write)
            self.order = order
            self.position = position
            self.rowNumber = rowNumber

    chairs = story(Chair, "chairs").when("chairs.create", id="one", order=1, position="left", rowNumber=2)
    row = chairs.row()

    assert (row["chair_order"], row["chair_position"], row["row_number"]) == (1, "left", 2)
    assert chairs.brought.filters == ("chair_order", "row_number")


def test_creating_stands_for_post_where_there_is_one_way():
    methods = {
        kind: [one.method for one in brought(kind, table).decider.verbs]
        for kind, table in ((Door, "doors"), (Note, "notes"))
    }

    assert methods == {Door: ["POST", None, None], Note: [None, None, None]}


def test_an_attribute_that_no_column_is_called_as_says_what_its_column_is():
    notice = brought(Notice, "notices")

    assert notice.row_shape.__struct_fields__[:3] == ("id", "notice_at", "notice_order")
    (schema,) = msgspec.json.schema(notice.row_shape)["$defs"].values()
    assert schema["properties"]["notice_at"]["description"] == (
        "the attribute `at`, as no column can be called so"
    )


def test_a_class_says_that_it_is_mirrored_and_what_its_demo_is():
    (found,) = installed({VARIABLE: f"{__name__}:Notice"})

    assert brought(Notice, "notices").mirrored
    assert found.demo(None) == [("create", {"at": "noon"})]
    assert [verb.name for verb in found.decider.verbs] == ["create"]
