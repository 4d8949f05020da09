"""Pages and their index: dataclasses, derived ids, sets and tuples, private events."""

from uuid import NAMESPACE_URL, uuid5

import pytest

from tests.support.domain.adapted_story import AdaptedStory, story
from tests.support.domain.brought.pages import Page, Slug, differences

USER = "0190f3c4-7d1a-7000-8000-00000000000a"
TERMS = str(uuid5(NAMESPACE_URL, "/slugs/terms"))


@pytest.fixture(name="pages")
def one_page() -> AdaptedStory:
    return story(Page, "pages").when("pages.create", id="one", title="Terms", slug="terms", body="Be kind.")


def test_the_fields_of_a_dataclass_are_those_of_the_command(pages: AdaptedStory):
    pages.then_told("page.created.v1", title="Terms", slug="terms", body="Be kind.", tags=[])


def test_a_private_event_is_led_to_by_a_public_method(pages: AdaptedStory):
    pages.when("pages.update_body", id="one", body="Be very kind.", by=USER)

    edits = differences("Be kind.", "Be very kind.")
    pages.then_told("page.body_updated.v1", edits=edits, by=USER)
    assert pages.row()["body"] == "Be very kind."
    assert (pages.row()["modified_by"], pages.row()["edits"]) == (USER, 1)


def test_a_method_may_find_that_there_is_nothing_to_do(pages: AdaptedStory):
    pages.when("pages.update_body", id="one", body="Be kind.").then_nothing()


def test_sets_stay_sets_and_their_row_has_one_order(pages: AdaptedStory):
    pages.when("pages.tag", id="one", tags=["legal", "draft"])
    pages.when("pages.tag", id="one", tags=["draft", "archive"])

    assert pages.row()["tags"] == '["archive","draft","legal"]'
    assert pages.replayed() == pages.state("pages")


def test_an_id_that_follows_from_a_name_is_the_key():
    slugs = story(Slug, "slugs").when("slugs.create", name="terms", page_id=USER)

    assert [key for key, _ in slugs.decision.events] == [TERMS]
    slugs.when("slugs.create", name="terms").then_refused("already_exists")
    slugs.when("slugs.update_page", id=TERMS, page_id=None)
    assert slugs.row(TERMS)["page_id"] is None


def test_a_name_of_which_no_id_can_be_made_is_refused_and_raises_nothing_else():
    verb = next(one for one in story(Slug, "slugs").brought.decider.verbs if one.name == "create")
    assert verb.key is not None

    with pytest.raises(Exception, match="no id can be made of this") as caught:
        verb.key(verb.command(name="\ud800"))
    assert caught.value.code == "invalid"  # type: ignore[attr-defined]
