"""The names that a lake's manifest may have."""

import msgspec
import pytest

from domain.installed.checking import TABLE_NAME
from ops.analytics.lake.files import RelativePath, TableName


@pytest.mark.parametrize("table", ["baskets", "things_1", "v2_orders", "a1"])
def test_every_table_that_an_aggregate_may_have_has_a_place_in_a_lake(table: str) -> None:
    assert TABLE_NAME.fullmatch(table)
    path = f"{table}/snapshot=20261124T081500000Z/{table}-1.parquet"
    encoded = msgspec.json.encode({table: [path]})
    assert msgspec.json.decode(encoded, type=dict[TableName, list[RelativePath]]) == {table: [path]}


@pytest.mark.parametrize(
    "path", ["../a/timeline=1/a.parquet", "a/timeline=1/../b.parquet", "1a/timeline=1/a.parquet"]
)
def test_no_name_leads_out_of_a_lake(path: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(path), type=RelativePath)
