"""Parts of the library that this program depends on: each test names one that has to stay as it is."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from eventsourcing.domain import Aggregate, CanInitAggregate, CanMutateAggregate, event
from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent
from eventsourcing.utils import get_topic

from domain.installed.library.anatomy import ENVELOPE, OWN_ATTRIBUTES, Anatomy, own_fields, revived
from domain.installed.library.states import watch
from tests.support.domain.brought.accounts import Account
from tests.support.domain.brought.dogs import Dog

OWN_ID = UUID("0190f3c4-7d1a-7000-8000-000000000001")
THEN = datetime(2027, 1, 1, tzinfo=UTC)


class Puppy(Dog):
    @event("Fed")
    def feed(self) -> None: ...


def test_events_are_attributes_of_the_class_named_as_in_the_decorator():
    assert issubclass(Dog.TrickAdded, CanMutateAggregate)  # type: ignore[attr-defined]
    assert issubclass(Dog.Registered, CanInitAggregate)  # type: ignore[attr-defined]
    assert set(Anatomy(Dog).events) == {"Registered", "TrickAdded", "Created"}
    assert Anatomy(Dog).made_by_calling == ["Registered"]


def test_an_inherited_method_makes_events_of_the_class_that_has_it():
    puppy = Puppy("Rex")
    puppy.add_trick("sit")

    made = [type(one) for one in puppy.collect_events()]
    assert made == [Puppy.Registered, Dog.TrickAdded]  # type: ignore[attr-defined]
    assert Anatomy(Puppy).events["TrickAdded"] is Dog.TrickAdded  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [Dog, Account])
def test_an_event_is_its_envelope_and_its_own_fields(kind: type):
    for name, event_class in Anatomy(kind).events.items():
        fields = set(event_class.__dataclass_fields__)  # type: ignore[attr-defined]
        assert fields - set(own_fields(event_class)) <= ENVELOPE, name


def test_creating_and_triggering_take_an_id_and_a_time():
    account = Account._create(Account.Opened, id=OWN_ID, timestamp=THEN, full_name="Ada", email="a@b.c")
    watch(account, THEN)
    account.close()

    assert [one.timestamp for one in account.pending_events] == [THEN, THEN]
    assert {one.originator_id for one in account.pending_events} == {OWN_ID}
    assert account.modified_on == THEN


def test_an_aggregate_is_its_dictionary_as_in_snapshots_of_the_library():
    dog = Dog("Rex")
    dog.collect_events()
    snapshot = Aggregate.Snapshot.take(dog)

    own = {name: value for name, value in vars(dog).items() if name in OWN_ATTRIBUTES}
    assert set(own) == OWN_ATTRIBUTES
    assert revived(Dog, {"name": "Rex", "tricks": []}, own) == dog == snapshot.mutate(None)


def test_an_event_is_its_dictionary_as_for_the_mapper_of_the_library():
    stored = StoredEvent(OWN_ID, 2, get_topic(Dog.TrickAdded), b'{"trick":"sit","unknown":1}')  # type: ignore[attr-defined]

    made = Mapper[UUID](JSONTranscoder()).to_domain_event(stored)
    # It is made without calling its class, which would not take what is unknown.
    assert vars(made)["unknown"] == 1


def test_a_method_that_is_decorated_is_its_function_again():
    member = vars(Dog)["add_trick"]

    assert member.decorated_func.__name__ == "add_trick"
    assert (member.event_cls_name, member.given_event_cls) == ("TrickAdded", None)


def test_an_event_mutates_by_the_body_of_its_method():
    dog = Dog("Rex")
    fields = {"originator_id": dog.id, "originator_version": 2, "timestamp": THEN}
    happened = object.__new__(Dog.TrickAdded)  # type: ignore[attr-defined]
    vars(happened).update(fields, trick="sit", loudly=False)

    assert happened.mutate(dog) is dog
    assert (dog.tricks, dog.version, dog.modified_on) == (["sit"], 2, THEN)
