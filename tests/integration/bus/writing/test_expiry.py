"""Values of the state that expire: hidden at once, and ended by an event soon after, also over restarts."""

import asyncio
import math
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from bus.writing import upkeep
from migrations.connection import open_reader
from ops.store.tables import Tables
from tests.support.clock import NOW, Clock
from tests.support.patience import wait_for
from tests.support.services.talking import Talk
from tests.support.stores.writing import Sent, Store


@pytest.fixture
def lasting(own: Talk) -> Talk:
    """A service whose clock stands still, and which expires no value until a test asks for it."""
    look_again(own, math.inf)
    return own


def look_again(talk: Talk, at: float) -> None:
    """The writer looks for what has expired at this time of `time.monotonic`."""
    writer, done = talk.service.leading.writer, threading.Event()
    # In the writer's own thread, which sets it, too.
    writer.call(lambda _: setattr(writer, "_next_upkeep", at), lambda _: done.set())
    assert done.wait(20)


def keys(talk: Talk, **query: Any) -> list[str]:
    return [item["key"] for item in talk.query("app_state.list", query).said["items"]]


def test_an_expired_value_is_not_shown_although_the_event_is_still_to_come(lasting: Talk):
    lasting.command("app_state.set", {"key": "a", "value": 1, "ttl_ms": 1_000})
    lasting.command("app_state.set", {"key": "b", "value": 1})
    lasting.later(999)
    assert lasting.query("app_state.get", {"key": "a"}).said["expires_at"] == NOW + 1_000
    assert keys(lasting) == ["a", "b"]

    lasting.later(1)
    assert lasting.query("app_state.get", {"key": "a"}).code == "not_found"
    assert keys(lasting) == ["b"]
    assert lasting.query("app_state.count").said == {"count": 1}
    assert lasting.position == 2


def test_a_value_was_there_until_it_expired(lasting: Talk):
    lasting.command("app_state.set", {"key": "a", "value": 1, "ttl_ms": 1_000})

    def then(**moment: int) -> str | None:
        return lasting.query("app_state.as_of", {"key": "a", **moment}).code

    assert (then(time=NOW - 1), then(time=NOW), then(time=NOW + 999)) == ("not_found", None, None)
    assert then(time=NOW + 1_000) == "not_found"
    # By position, the value is as its event stored it.
    assert then(position=1) is None


def test_a_key_whose_value_has_expired_can_be_made_anew(lasting: Talk):
    lasting.command("app_state.set", {"key": "a", "value": 1, "ttl_ms": 1_000})
    assert lasting.command("app_state.set", {"key": "a", "value": 2}, expected=0).code == "version_conflict"
    lasting.later(1_000)

    said = lasting.command("app_state.set", {"key": "a", "value": 2}, expected=0).said
    assert said["events"] == ["app_state.expired.v1", "app_state.set.v1"]
    assert said["version"] == 3
    assert lasting.query("app_state.get", {"key": "a"}).said["value"] == 2


def test_rows_mirror_and_subscribers_learn_of_an_expired_value(lasting: Talk):
    async def mirrored() -> list[str]:
        said = (
            await lasting.client.request(
                "$JS.API.DIRECT.GET.KV_hyperpage_app_state.$KV.hyperpage_app_state.a"
            )
        ).headers
        return [said.get("Status", ""), said.get("KV-Operation", "")]

    lasting.command("app_state.set", {"key": "a", "value": 1, "ttl_ms": 1_000})
    wait_for(lambda: lasting.run(mirrored()) == ["", ""])
    events = lasting.run(_subscribed(lasting))
    lasting.later(1_000)
    look_again(lasting, at=0)

    wait_for(lambda: [row.type for row in lasting.rows] == ["app_state.set.v1", "app_state.expired.v1"])
    wait_for(lambda: lasting.run(mirrored()) == ["", "DEL"])
    message = lasting.run(asyncio.wait_for(events.get(), 20))
    assert message.subject == "hyperpage.evt.v1.app_state.a.expired"
    assert lasting.administer("projections.verify").said["equal"]


async def _subscribed(talk: Talk) -> Any:
    events = talk.client.subscribe("hyperpage.evt.v1.app_state.a.expired")
    await talk.client.flush()
    return events


def types(store: Store) -> list[str]:
    return [row.type for row in store.rows()]


def test_a_pending_expiry_outlives_a_restart(tmp_path: Path):
    with Store(tmp_path / "store.db", next_upkeep=math.inf) as store:
        store.send("app_state.set", {"key": "a", "value": 1, "ttl_ms": 1_000})
    with Store(tmp_path / "store.db", Clock(NOW + 999)) as store:
        store.send("app_state.set", {"key": "b", "value": 1})
        assert types(store) == ["app_state.set.v1"] * 2
        store.clock.now += 1
        wait_for(lambda: types(store)[2:] == ["app_state.expired.v1"])
        assert [row[0] for row in store.tables()["app_state"]] == ["'b'"]


def test_many_values_that_expire_together_are_ended_by_and_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(upkeep, "MAXIMUM_COMMANDS", 2)
    with Store(tmp_path / "store.db", next_upkeep=math.inf) as store:
        store.send_together(
            *(
                Sent("app_state.set", {"key": f"k{index}", "value": 1, "ttl_ms": 5 - index})
                for index in range(5)
            )
        )
        store.clock.now += 5
        store.writer._next_upkeep = 0
        wait_for(lambda: types(store).count("app_state.expired.v1") == 5)
        sizes = [len(commit.rows) for commit in store.commits if commit.rows]
        assert sizes == [5, 2, 2, 1]
        # The longest expired first.
        assert [row.stream[-2:] for row in store.rows()[5:]] == ["k4", "k3", "k2", "k1", "k0"]


def test_the_writer_outlives_a_table_that_cannot_be_read(tmp_path: Path):
    class Unreadable(Tables):
        times = 0

        def expired(self, connection: apsw.Connection, now: int, limit: int) -> list[tuple[str, str]]:
            self.times += 1
            if self.times < 3:
                raise apsw.IOError("disk I/O error")
            return super().expired(connection, now, limit)

    with Store(tmp_path / "store.db", projections=Unreadable()) as store:
        store.send("app_state.set", {"key": "a", "value": 1, "ttl_ms": 1})
        store.clock.now += 1
        wait_for(lambda: types(store)[1:] == ["app_state.expired.v1"])


# Keys with one beginning


def test_keys_are_listed_and_counted_by_what_they_begin_with(lasting: Talk):
    for key in ("a", "a/", "a/b", "a/c", "a0", "b", "ab", "A/b", "z"):
        lasting.command("app_state.set", {"key": key, "value": 1})

    assert keys(lasting, prefix="a/") == ["a/", "a/b", "a/c"]
    assert keys(lasting, prefix="a") == ["a", "a/", "a/b", "a/c", "a0", "ab"]
    assert keys(lasting, prefix="z") == ["z"]
    assert len(keys(lasting, prefix="")) == 9
    assert keys(lasting, prefix="c") == []
    assert lasting.query("app_state.count", {"prefix": "a/"}).said == {"count": 3}
    page = lasting.query("app_state.list", {"prefix": "a", "limit": 4}).said
    assert page["next"] == "a/c"
    assert keys(lasting, prefix="a", after="a/c") == ["a0", "ab"]
    assert keys(lasting, prefix="a", after="A") == keys(lasting, prefix="a")
    assert lasting.query("app_state.list", {"prefix": "é"}).code == "invalid"


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (
            "SELECT key FROM app_state WHERE key >= 'a' AND key < 'b' ORDER BY 1 LIMIT 9",
            "autoindex_app_state_1 (key>?",
        ),
        (
            "SELECT key FROM app_state WHERE expires_at <= 1 ORDER BY expires_at LIMIT 9",
            "idx_app_state_expires_at",
        ),
    ],
)
def test_an_index_answers(tmp_path: Path, statement: str, index: str):
    with Store(tmp_path / "store.db"):
        reader = open_reader(tmp_path / "store.db")
        plan = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {statement}")]
        reader.close()
    assert len(plan) == 1
    assert plan[0].startswith("SEARCH")
    assert index in plan[0]
