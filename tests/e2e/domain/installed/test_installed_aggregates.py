"""An aggregate that a package brings: served beside ours, taken away, brought back, changed."""

import json
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.repository import ROOT
from tests.support.services.command_line import Result, Served, separately

SHOP = ROOT / "examples" / "shop"
WITH_SHOP = {"HYPERPAGE_AGGREGATES": "shop.basket", "PYTHONPATH": f"{ROOT}:{SHOP}"}


class Shop(Served):
    """A service with baskets; its commands run in processes of their own, which know of baskets, too."""

    def __call__(self, *arguments: str | Path, stdin: str = "") -> Result:
        return separately(*arguments, "--data", self.data, stdin=stdin, **WITH_SHOP)


def test_it_is_served_kept_and_proven_as_ours_are(tmp_path):
    with Shop(tmp_path / "data", "--http-open", **WITH_SHOP) as shop, shop.http() as http:
        opened = http.post("/api/v1/baskets", json={"id": "b1", "customer": "ann"})
        assert (opened.status_code, opened.headers["Location"]) == (201, "/api/v1/baskets/b1")
        shop.ask("send", "baskets.add_item", '{"id": "b1", "article": "tea", "quantity": 2}')
        refused = shop("send", "baskets.check_out", '{"id": "b2"}', "--json")
        assert (refused.code, refused.json["error"]["code"]) == (3, "not_found")

        row = shop.ask("query", "baskets.get", '{"id": "b1"}')
        assert (row["customer"], row["items"], row["version"]) == ("ann", {"tea": 2}, 2)
        assert http.get("/api/v1/baskets?customer=ann").json()["items"] == [row]
        assert shop.ask("query", "baskets.count", '{"by": "state"}')["groups"] == [
            {"value": "open", "count": 1}
        ]
        assert shop.ask("query", "baskets.as_of", '{"id": "b1", "position": 1}')["items"] == {}
        history = shop.ask("query", "baskets.history", '{"id": "b1"}')["items"]
        assert [one["type"] for one in history] == [
            "hyperpage.basket.opened.v1",
            "hyperpage.basket.item_added.v1",
        ]
        paths = http.get("/openapi.json").json()["paths"]
        assert {"/api/v1/baskets", "/api/v1/baskets/{key}", "/api/v1/baskets/{key}/add_item"} <= paths.keys()

        assert shop.ask("projections", "verify")["tables"]["baskets"]["rows"] == 1
        shop.ask("backup", "create")
        assert shop("backup", "drill").code == 0
        shop.ask("analytics", "export", "--out", tmp_path / "lake")
    sql = "SELECT version, items FROM baskets_versions ORDER BY version"
    found = separately("analytics", "sql", sql, "--lake", tmp_path / "lake", "--format", "json", **WITH_SHOP)
    assert found.json == [{"version": 1, "items": "{}"}, {"version": 2, "items": '{"tea":2}'}]
    restored = separately(
        "backup", "restore", "--to-position", "1", "--yes", "--data", shop.data, **WITH_SHOP
    )
    assert restored.code == 0, restored
    checked = separately("projections", "verify", "--data", shop.data, "--json", **WITH_SHOP)
    assert checked.json["equal"]
    assert checked.json["tables"]["baskets"]["rows"] == 1


def test_what_came_with_it_stays_while_it_is_away_and_is_right_when_it_is_back(tmp_path):
    data = tmp_path / "data"
    with Shop(data, **WITH_SHOP) as shop:
        shop.ask("send", "baskets.open", '{"id": "b1", "customer": "ann"}')
        shop.ask("backup", "create")
        shop.ask("analytics", "export", "--out", tmp_path / "lake")
    with Served(data, "--http-open") as without, without.http() as http:
        sent = without("send", "baskets.open", '{"id": "b2", "customer": "bob"}')
        asked = without("query", "baskets.list")
        log = without("query", "events.read", '{"table": "baskets"}')
        batch = '{"commands": [{"command": "baskets.open", "body": {}}]}'
        outcome = without("send", "batch", batch, "--json").json["outcomes"][0]
        answers = [http.get("/api/v1/baskets"), http.post("/api/v1/baskets/b1/check_out", json={})]
        said = "baskets.* belongs to a package that is not installed here: its table is kept"
        assert (sent.code, asked.code, log.code, outcome["error"]["code"]) == (3, 3, 3, "not_found")
        assert all(said in text for text in (sent.err, asked.err, log.err, outcome["error"]["message"]))
        assert [(one.status_code, said in one.text) for one in answers] == [(404, True)] * 2
        without.ask("send", "app_state.set", '{"key": "theme", "value": "dark"}')
        assert [one["type"] for one in without.ask("query", "events.read")["items"]][:1] == [
            "hyperpage.basket.opened.v1"
        ]
        assert without.ask("projections", "verify")["equal"]
        without.ask("backup", "create")
        exported = without.ask("analytics", "export", "--out", tmp_path / "other")
        assert exported["left_out"] == ["baskets"]
        without.ask("analytics", "export", "--out", tmp_path / "lake")
    # A program that does not know of baskets restores the whole store.
    assert separately("backup", "restore", "--latest", "--yes", "--data", data).code == 0
    with Shop(data, **WITH_SHOP) as shop:
        assert shop.ask("query", "baskets.get", '{"id": "b1"}')["customer"] == "ann"
        assert shop.ask("projections", "verify")["equal"]
        shop.ask("backup", "create")
        shop.ask("analytics", "export", "--out", tmp_path / "lake")
        again = shop.ask("analytics", "export", "--out", tmp_path / "other")
        assert again["left_out"] == []
    sql = "SELECT customer, (SELECT count(*) FROM events WHERE table_name = 'baskets') AS events FROM baskets"
    found = separately("analytics", "sql", sql, "--lake", tmp_path / "lake", "--format", "json", **WITH_SHOP)
    assert found.json == [{"customer": "ann", "events": 1}]
    # The same holds for a lake whose events were exported by a program that did not know of baskets.
    sql = "SELECT customer, version FROM baskets_versions"
    found = separately("analytics", "sql", sql, "--lake", tmp_path / "other", "--format", "json", **WITH_SHOP)
    assert found.json == [{"customer": "ann", "version": 1}]


def test_a_lake_that_was_made_without_it_shows_no_part_of_its_table_for_all(tmp_path):
    data, lake = tmp_path / "data", tmp_path / "lake"
    with Shop(data, **WITH_SHOP) as shop:
        shop.ask("send", "baskets.open", '{"id": "b1", "customer": "ann"}')
        shop.ask("backup", "create")

    def analyse(*arguments: str | Path, **variables: str) -> Result:
        return separately("analytics", *arguments, **variables)

    without = analyse("export", "--data", data, "--out", lake)
    assert (without.code, "baskets: its package is not installed" in without.err) == (0, True)
    nothing = analyse("sql", "FROM baskets", "--lake", lake, **WITH_SHOP)
    assert (nothing.code, "baskets does not exist" in nothing.err) == (1, True)
    assert analyse("diff", "0", "1", "--lake", lake, "--json", **WITH_SHOP).json["jobs"]["added"] == []
    assert analyse("diff", "0", "1", "--lake", lake, "--table", "baskets", **WITH_SHOP).code == 3

    assert separately("backup", "create", "--data", data, **WITH_SHOP).code == 0
    assert analyse("export", "--data", data, "--out", lake, **WITH_SHOP).code == 0
    [row] = analyse("sql", "FROM baskets", "--lake", lake, "--json", **WITH_SHOP).json
    assert row["customer"] == "ann"


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, str]:
    """The variables of a service with an aggregate that a test writes: `odd.py` in that folder."""
    return {"HYPERPAGE_AGGREGATES": "odd", "PYTHONPATH": f"{ROOT}:{tmp_path}"}


ODD = """
    from operator import attrgetter
    import msgspec
    from domain.decider import Decider, Decision, Verb
    from domain.messages import Command, Event, Key, Recorded
    from projections.derived import table_of

    class Do(Command, frozen=True, kw_only=True):
        id: Key
        what: str = "well"

    class Done(Event, frozen=True, kw_only=True):
        {field}

    class Deed(msgspec.Struct, frozen=True, kw_only=True):
        id: str
        what: str

    def decide(state, command, context, key):
        if command.what == "raise":
            raise RuntimeError("a secret detail")
        if command.what == "exit":
            raise SystemExit(0)
        what = "x" * 600_000 if command.what == "large" else command.what
        return Decision(events=(("no key" if what == "key" else key, Done({name}=what)),))

    def evolve(state, recorded):
        if recorded.event.{name} == "evolve":
            raise RuntimeError("a secret detail")
        return Deed(id=recorded.key, what=recorded.event.{name})

    def row(state, version, position):
        return state.id, 5 if state.what == "misfit" else state.what, version, position

    DECIDER = Decider(
        table="deeds", state=Deed, evolve=evolve, events={{"deed.done.v1": Done}},
        verbs=(Verb(name="do", command=Do, key=attrgetter("id"), decide=decide, events=(Done,)),),
        {more}
    )
    TABLE = table_of(DECIDER, row=row)
"""


def odd_module(field: str = "what: str", name: str = "what", more: str = "") -> str:
    return dedent(ODD.format(field=field, name=name, more=more))


# The outcome of a command, by what its deed does.
FATES = {
    "raise": "internal",
    "exit": "internal",
    "evolve": "internal",
    "misfit": "internal",
    "key": "invalid",
    "large": "too_large",
    "nan": "invalid",
    "well": "accepted",
}


def test_one_that_fails_costs_its_own_command_alone(tmp_path, odd):
    weighed = "Done(what=what, weight=float('nan') if what == 'nan' else 1.0)"
    module = odd_module("what: str\n        weight: float = 0.0").replace("Done(what=what)", weighed)
    (tmp_path / "odd.py").write_text(module)
    with Served(tmp_path / "data", **odd) as service:
        commands = [
            {"command": "app_state.set", "body": {"key": "before", "value": 1}},
            *({"command": "deeds.do", "body": {"id": what, "what": what}} for what in FATES),
            {"command": "app_state.set", "body": {"key": "behind", "value": 1}},
        ]
        outcomes = service("send", "batch", json.dumps({"commands": commands}), "--json").json["outcomes"]

        codes = [one["error"]["code"] if "error" in one else "accepted" for one in outcomes]
        assert codes == ["accepted", *FATES.values(), "accepted"]
        assert all("secret detail" not in json.dumps(one) for one in outcomes)
        assert "a secret detail" in service.log.read_text()
        assert [one["id"] for one in service.ask("query", "deeds.list")["items"]] == ["well"]
        assert service.ask("projections", "verify")["equal"]


def test_an_event_that_changed_needs_an_upcaster_and_gets_one(tmp_path, odd):
    (tmp_path / "odd.py").write_text(odd_module())
    with Served(tmp_path / "data", **odd) as service:
        service.ask("send", "deeds.do", '{"id": "d1", "what": "well"}')

    (tmp_path / "odd.py").write_text(odd_module("how: str", "how"))
    refused = separately("serve", "--data", tmp_path / "data", "--nats-port", "0", **odd)
    assert (refused.code, refused.out) == (1, "")
    assert (
        "the aggregate odd cannot be taken in: the event at position 1, of type deed.done.v1" in refused.err
    )
    assert "an upcaster" in refused.err

    upcasting = 'upcasters={"deed.done.v1": ("deed.done.v2", lambda data: {"how": data["what"]})},'
    (tmp_path / "odd.py").write_text(
        odd_module("how: str", "how", upcasting).replace('"deed.done.v1": Done', '"deed.done.v2": Done')
    )
    with Served(tmp_path / "data", **odd) as service:
        assert service.ask("query", "deeds.get", '{"id": "d1"}')["what"] == "well"
        service.ask("send", "deeds.do", '{"id": "d1", "what": "better"}')
        assert service.ask("query", "deeds.get", '{"id": "d1"}')["version"] == 2


def test_a_row_that_changed_is_made_anew(tmp_path, odd):
    (tmp_path / "odd.py").write_text(odd_module())
    with Served(tmp_path / "data", **odd) as service:
        service.ask("send", "deeds.do", '{"id": "d1", "what": "well"}')

    derived = "TABLE = table_of(DECIDER, filters=['what'])"
    module = odd_module().replace("TABLE = table_of(DECIDER, row=row)", derived)
    module = module.replace("what: str\n\ndef decide", "what: str\n    is_done: bool = True\n\ndef decide")
    (tmp_path / "odd.py").write_text(module)
    before = separately("projections", "verify", "--data", tmp_path / "data", "--json", **odd)
    assert before.json["left_out"] == ["deeds"]
    with Served(tmp_path / "data", **odd) as service:
        assert service.ask("query", "deeds.list", '{"what": "well"}')["items"][0]["is_done"] is True
        assert service.ask("projections", "verify")["equal"]


CHANGING = "Done(what=str(__import__('time').time_ns()))"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("1 / 0", "it cannot be imported: ZeroDivisionError"),
        ("import sys; sys.exit(0)", "it cannot be imported: SystemExit: 0"),
        (odd_module().replace("id: Key", "id: str"), "for a key, which is none"),
        (odd_module().replace('table="deeds"', 'table="jobs"'), "the name jobs is taken"),
        (odd_module().replace("Done(what=what)", CHANGING), "of do is another one each time"),
    ],
)
def test_one_that_cannot_be_served_is_refused_before_anything_is(tmp_path, odd, content, reason):
    (tmp_path / "odd.py").write_text(content)

    refused = separately("serve", "--data", tmp_path / "data", "--nats-port", "0", "--json", **odd)

    assert refused.code == 1
    assert reason in refused.err
    assert "hint: " in refused.err
    assert not (tmp_path / "data" / "hyperpage.db").exists()


def test_a_class_of_the_library_is_served_as_it_is(tmp_path):
    brought = ROOT / "tests" / "support" / "domain" / "brought"
    classes = "dogs:Dog,accounts:Account"
    with Served(tmp_path / "data", HYPERPAGE_AGGREGATES=classes, PYTHONPATH=f"{ROOT}:{brought}") as service:
        service.ask("send", "dogs.create", '{"id": "fido", "name": "Fido"}')
        service.ask("send", "dogs.add_trick", '{"id": "fido", "trick": "roll over"}')
        service.ask("send", "accounts.open", '{"id": "a1", "full_name": "Ann", "email": "ann@example.org"}')
        overdrawn = service("send", "accounts.append_transaction", '{"id": "a1", "amount": "-5"}', "--json")

        assert service.ask("query", "dogs.get", '{"id": "fido"}')["tricks"] == ["roll over"]
        assert overdrawn.json["error"]["details"]["rule"] == "insufficient_funds_error"
        assert service.ask("projections", "verify")["equal"]


def test_a_class_that_changes_without_an_event_is_refused(tmp_path, odd):
    (tmp_path / "odd.py").write_text(
        dedent("""
            from uuid import uuid4
            from eventsourcing.domain import Aggregate, event

            class Odd(Aggregate):
                @event("Begun")
                def __init__(self):
                    self.count = 0

                @event("Counted")
                def count_on(self):
                    self.count += uuid4().int
        """)
    )
    refused = separately(
        "serve", "--data", tmp_path / "data", **{**odd, "HYPERPAGE_AGGREGATES": "odds=odd:Odd"}
    )

    assert refused.code == 1
    assert "the aggregate odd:Odd cannot be taken in" in refused.err
