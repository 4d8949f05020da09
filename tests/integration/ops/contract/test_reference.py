"""The reference is true: its examples are sent here, and the page is generated again and compared."""

import msgspec
import pytest

from domain.catalogue import VERBS
from hyperpage_client.contract.subjects import BATCH
from ops.contract.queries import query_verbs
from ops.contract.reference.answers import query_notes
from ops.contract.reference.fields import fields_in
from ops.contract.reference.meanings import MEANINGS, RULES, meaning_of, places_of
from ops.contract.reference.page import Example, reference
from ops.contract.schema import all_schemas
from tests.support.documents.declared import assert_is
from tests.support.documents.job_states import job_states
from tests.support.documents.reference_examples import COMMANDS, QUERIES, examples, refusal_of
from tests.support.domain.job_states import everything_tried
from tests.support.repository import ROOT
from tests.support.stores.writing import Store

PAGE = ROOT / "docs" / "reference.md"
KINDS = all_schemas()
QUERY_VERBS = query_verbs(lambda table, aggregate: None, lambda: 0)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Example]:
    return examples(tmp_path_factory.mktemp("examples"))


def test_the_page_is_what_the_program_says(sent):
    assert PAGE.read_text() == reference(sent, job_states(*everything_tried())), (
        "`make reference` writes it anew"
    )


def test_every_command_and_every_query_has_an_example():
    assert (set(COMMANDS), set(QUERIES)) == (set(KINDS["commands"]), set(KINDS["queries"]))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != BATCH])
def test_an_example_is_accepted_leads_to_declared_events_and_has_the_declared_result(name, sent):
    answer = msgspec.json.decode(sent[name].answer)
    verb = VERBS[name][1]
    types = {type_name for type_name, event in VERBS[name][0].events.items() if event in verb.events}

    assert "error" not in answer
    assert_is(verb.result, msgspec.json.encode(answer["result"]))
    # `schedules.trigger` is the only verb whose first event is of another table.
    assert set(answer["events"]) - types <= ({"job.enqueued.v1"} if name == "schedules.trigger" else set())
    assert bool(answer["events"]) == bool(verb.events)


@pytest.mark.parametrize("name", QUERIES)
def test_an_example_is_answered_as_its_query_declares(name, sent):
    assert_is(QUERY_VERBS[name].gives, sent[name].answer)


@pytest.mark.parametrize("name", QUERIES)
def test_on_an_empty_store_a_query_is_refused_as_it_declares(name, tmp_path):
    with Store(tmp_path / "hyperpage.db") as store:
        code = refusal_of(store, name, QUERIES[name].body)

    assert query_notes(name).refusals == ((code,) if code else ())


def test_every_field_has_a_meaning_and_every_meaning_a_field():
    fields = [
        (name, path) for kind in ("commands", "queries") for name, schema in KINDS[kind].items()
        for path, _, _ in fields_in(schema)
    ]  # fmt: skip

    assert all(meaning_of(name, path) for name, path in fields)
    assert set(MEANINGS) == {
        next(place for place in places_of(name, path) if place in MEANINGS) for name, path in fields
    }


def test_every_rule_has_a_meaning_and_every_meaning_a_rule():
    assert {rule for _, verb in VERBS.values() for rule in verb.rules} == set(RULES)
