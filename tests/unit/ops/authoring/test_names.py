import pytest

from ops.authoring.error import AuthoringError
from ops.authoring.names import names_for


@pytest.mark.parametrize(
    ("name", "table", "class_name", "a_name"),
    [
        ("basket", "baskets", "Basket", "a basket"),
        ("order_line", "order_lines", "OrderLine", "an order line"),
        ("category", "categories", "Category", "a category"),
        ("day", "days", "Day", "a day"),
        ("box", "boxes", "Box", "a box"),
        ("glass", "glasses", "Glass", "a glass"),
    ],
)
def test_all_names_follow_from_that_of_the_aggregate(name: str, table: str, class_name: str, a_name: str):
    names = names_for(name)

    assert (names.table, names.class_name, names.a_name) == (table, class_name, a_name)
    assert names.package == table


def test_a_table_may_be_called_otherwise():
    assert names_for("person", "people").table == "people"
    # The name of a single one may be the same as the table's.
    assert names_for("sheeps", "sheeps").table == "sheeps"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Basket", "no name of an aggregate"),
        ("1st", "no name of an aggregate"),
        ("b" * 41, "no name of an aggregate"),
        ("../etc", "no name of an aggregate"),
        ("baskets", "the name of many"),
        ("class", "another meaning"),
        ("none", "another meaning"),
        ("exception", "another meaning"),
        ("verb", "something else"),
        ("job", "jobs is taken"),
        ("event", "something else"),
        ("idx_row", "idx_rows is taken"),
        ("statistic", "a Python module statistics"),
        ("op", "a Python module ops"),
    ],
)
def test_a_name_that_cannot_be_given_is_refused_with_what_can(name: str, reason: str):
    with pytest.raises(AuthoringError) as refused:
        names_for(name)

    assert reason in refused.value.message
    assert refused.value.hint


def test_events_of_others_are_left_alone():
    with pytest.raises(AuthoringError, match=r"events job"):
        names_for("job", "tasks")
