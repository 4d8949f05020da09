"""The configurations of a batch share one budget of work; a command behind the batch has its own."""

from pathlib import Path

import pytest

from tests.support.stores.writing import Sent, Store

COSTLY = {"additionalProperties": {"items": {"pattern": "^[ab]{0,500}$"}}}
CONFIG = {"a": ["ab" * 50] * 4}


@pytest.mark.parametrize("atomic", [False, True])
def test_what_is_too_much_work_in_one_batch_is_refused_the_same_each_time(tmp_path: Path, atomic: bool):
    with Store(tmp_path / "hyperpage.db") as store:
        store.send("tool_configs.register_schema", {"tool_name": "t", "schema": COSTLY})
        sets = [
            Sent("tool_configs.set", {"tool_name": "t", "config": {**CONFIG, f"b{number}": ["a"]}})
            for number in range(300)
        ]
        first = store.send_batch(*sets, atomic=atomic)
        again = store.send_batch(*sets, atomic=atomic)
        alone = store.send("tool_configs.set", {"tool_name": "t", "config": CONFIG})

    assert alone.code is None
    if atomic:
        assert (first.code, first.said) == (again.code, again.said)
        assert first.code == "too_large"
        return
    codes = [[one.get("error", {}).get("code") for one in reply.outcomes] for reply in (first, again)]
    assert codes[0] == codes[1]
    taken = codes[0].count(None)
    assert 0 < taken < 300
    assert codes[0] == [None] * taken + ["too_large"] * (300 - taken)
