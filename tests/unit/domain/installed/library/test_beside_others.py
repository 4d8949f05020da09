"""Classes of the library stand beside all other aggregates: names, tables, trials."""

import pytest

from domain.catalogue import DECIDERS
from domain.installed.checking import admitted
from domain.installed.loading import Installed
from projections.derived import table_of
from projections.trial import require_pure
from tests.support.domain.adapted_story import brought
from tests.support.domain.brought.accounts import Account
from tests.support.domain.brought.cargos import Cargo
from tests.support.domain.brought.dogs import Dog
from tests.support.domain.brought.pages import Page, Slug

CLASSES = {"dogs": Dog, "accounts": Account, "pages": Page, "slugs": Slug, "cargos": Cargo}


def test_they_are_admitted_together():
    some = [Installed(decider=brought(kind, table).decider, source=table) for table, kind in CLASSES.items()]

    assert [one.table for one in admitted(DECIDERS, some)][len(DECIDERS) :] == list(CLASSES)


@pytest.mark.parametrize("table", CLASSES)
def test_their_rows_make_tables_and_they_are_pure(table: str):
    adapted = brought(CLASSES[table], table)

    made = table_of(adapted.decider, adapted.row_shape, row=adapted.row, filters=adapted.filters)
    require_pure(adapted.decider, made, table, lambda: None)
