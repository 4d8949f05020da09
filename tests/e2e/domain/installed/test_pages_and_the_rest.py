"""The other parts of an installed aggregate: console pages, a mirror, a demo, lines in a report."""

import asyncio
import html
import json
import logging
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from nats.js.errors import Error as JetStreamError

from bus.client import connect
from domain.installed.loading import Installed
from ops.http.access.tokens import TokenFile
from ops.service.demo.installed import play
from tests.support.aggregates import parcel
from tests.support.patience import patiently, until, wait_for
from tests.support.repository import ROOT
from tests.support.services.command_line import Result, Served, separately
from tests.support.services.own_users import connected
from tests.support.services.visiting import HOSTILE, buttons

INSTALLED = {
    "HYPERPAGE_AGGREGATES": "shop.basket,tests.support.aggregates.parcel",
    "PYTHONPATH": f"{ROOT}:{ROOT / 'examples' / 'shop'}",
}
PARCELS = "/console/parcels"
SET = f"{PARCELS}/-/set"


class Shop(Served):
    """A service with baskets and parcels; its commands run in processes of their own, which know them."""

    def __call__(self, *arguments: str | Path, stdin: str = "") -> Result:
        return separately(*arguments, "--data", self.data, stdin=stdin, **INSTALLED)


class Browsing:
    """A user of the console, with a role."""

    def __init__(self, shop: Served, role: Any) -> None:
        _, secret = TokenFile(shop.data).create(f"a-{role}-token", role)
        self._http = shop.http()
        self._http.post("/console/login", data={"token": secret, "next": "/console"})
        self._token = self._http.get("/session").json()["csrf_token"]

    def page(self, path: str) -> str:
        answer = self._http.get(path, follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, **fields: str) -> httpx.Response:
        """The answer to a form; a prefix tells the fields of the command from the form's own."""
        return self._http.post(path, data={"csrf_token": self._token, **fields})

    def sends(self, path: str, **fields: str) -> str:
        """The page that a form leads to."""
        answer = self.post(path, **fields)
        assert answer.status_code == 303, answer.text
        return self.page(answer.headers["location"])


def of_command(**fields: str) -> dict[str, str]:
    return {f"field-{name}": value for name, value in fields.items()}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Shop(tmp_path_factory.mktemp("shop") / "data", "--http", "127.0.0.1:0", **INSTALLED) as shop:
        yield shop


@pytest.fixture(scope="module")
def operator(shop: Shop) -> Browsing:
    return Browsing(shop, "operate")


def test_a_form_for_each_verb_leads_to_the_row_which_shows_all_of_it_and_its_history(
    shop: Shop, operator: Browsing
) -> None:
    written = of_command(
        id="a/1",
        title=HOSTILE,
        weight="0.10000000000000000001",
        pieces="12",
        fragile="yes",
        colour="blue",
        due_at="2100-01-01T08:00",
        lines='[{"article": "tea", "price": 2.5}]',
        day="2026-11-29",
        command_id="c",
        version="7",
    )
    operator.sends(SET, **written, command_id="s1")
    # A form that is sent twice is carried out once.
    page = operator.sends(SET, **written, command_id="s1")
    assert "Set: done" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    for shown in ("2100-01-01 08:00:00", "<bdi>0.1</bdi>", "&#34;article&#34;: &#34;tea&#34;", "was set"):
        assert shown in page
    row = shop.ask("query", "parcels.get", '{"id": "a/1"}')
    assert (row["fragile"], row["colour"], row["pieces"], row["version"]) == (True, "blue", 12, 1)
    [event] = shop.ask("query", "parcels.history", '{"id": "a/1"}')["items"]
    assert event["actor"] == "a-operate-token"

    assert "There is none any more" in operator.sends(
        f"{PARCELS}/-/clear?id=a%2F1", **of_command(id="a/1"), version="1", is_held="yes"
    )
    then = operator.page(f"{PARCELS}/a%2F1?position={event['sequence']}")
    assert f"At position {event['sequence']}" in then
    assert "2100-01-01 08:00:00" in then
    answered = operator.sends(f"{PARCELS}/-/say", **of_command(words="boo"))
    assert 'Say: nothing had to change. The answer: {"said": "boo"}' in html.unescape(answered)


def test_a_row_has_the_verbs_that_are_about_it_and_a_list_the_others(shop: Shop, operator: Browsing) -> None:
    operator.sends("/console/baskets/-/open", **of_command(id="b1", customer="ann"))
    assert buttons(operator.page("/console/baskets")) == ["Open…", "Filter"]
    assert buttons(operator.page("/console/baskets/b1"))[:3] == ["Add item…", "Remove item…", "Check out…"]

    reader = Browsing(shop, "read")
    assert buttons(reader.page("/console/baskets")) == ["Filter"]
    assert buttons(reader.page("/console/baskets/b1")) == ["Look"]
    form = of_command(id="b1", article="tea")
    assert reader.post("/console/baskets/-/add_item?id=b1", **form).status_code == 403
    assert operator.post("/console/baskets/-/add_item", **form, csrf_token="guessed").status_code == 403
    assert shop.ask("query", "baskets.get", '{"id": "b1"}')["version"] == 1


@pytest.mark.parametrize(
    ("field", "written", "problem"),
    [
        ("lines", "[\r\n{x", "in line 2, column 2"),
        ("lines", '[{"article": 1, "price": 1}]', "str"),
        ("anything", '{"token": "ghp_0123456789abcdefghijklmnopqrstuvwxyz"}', "credential"),
        ("kind", "elephant", "one of letter, parcel"),
        ("weight", "heavy", "is a number"),
        ("pieces", "1.5", "int"),
        ("due_at", "soon", "in UTC"),
        ("day", "29.11.2026", "date"),
        ("title", "", "is missing"),
        ("id", "a..b", "a key has"),
    ],
)
def test_what_is_refused_comes_back_as_it_was_typed_with_the_field_that_is_wrong(
    operator: Browsing, field: str, written: str, problem: str
) -> None:
    fields = {"id": "refused", "title": HOSTILE, "note": HOSTILE, field: written}
    refused = operator.post(SET, **of_command(**fields))
    assert refused.status_code in (400, 422)
    notice = refused.text.partition('id="problem">')[2].partition("</div>")[0]
    assert problem in notice
    assert "hyperpage schema" not in notice
    marked = refused.text.partition(' aria-invalid="true"')[0].rpartition("<")[2]
    assert f'name="field-{field}"' in marked
    assert refused.text.count("aria-invalid") == 1
    assert "&lt;script&gt;alert(1)" in refused.text
    assert "ghp_0" not in refused.text


def test_a_form_of_a_row_is_refused_if_somebody_changed_the_row_since_unless_that_is_taken(
    operator: Browsing,
) -> None:
    operator.sends("/console/baskets/-/open", **of_command(id="held", customer="ann"))
    add = "/console/baskets/-/add_item?id=held"
    form = {**of_command(id="held", article="tea", quantity="2"), "version": "1"}
    assert "Add item: done" in operator.sends(add, **form, is_held="yes")
    refused = operator.post(add, **form, is_held="yes")
    assert refused.status_code == 409
    assert 'value="2"' in refused.text
    assert "Add item: done" in operator.sends(add, **form)
    assert "already checked" not in operator.sends(
        "/console/baskets/-/check_out?id=held", **of_command(id="held")
    )
    assert "is checked out" in operator.post(add, **form).text


def test_a_list_is_filtered_and_has_pages_as_the_others_have(shop: Shop, operator: Browsing) -> None:
    many = [
        {"command": "parcels.set", "body": {"id": f"n{number:03}", "title": "t", "fragile": number % 2 == 1}}
        for number in range(110)
    ]
    shop.ask("send", "batch", json.dumps({"commands": many}))
    page = operator.page(f"{PARCELS}?prefix=n")
    assert "110 rows" in page
    found = re.search(r'rel="next" href="([^"]+)"', page)
    assert found is not None
    assert "n109" in operator.page(html.unescape(found[1]))
    assert "55 rows" in operator.page(f"{PARCELS}?prefix=n&fragile=yes&kind=letter&weight=1.5")
    assert "No row is like this" in operator.page(f"{PARCELS}?prefix=n&due_at=2026-11-29T08:00")


def test_who_may_read_a_mirrored_table_watches_its_bucket(shop: Shop, tmp_path: Path) -> None:
    shop.ask("send", "parcels.set", '{"id": "seen", "title": "t"}')
    for name, table in (("clerk", "parcels"), ("other", "baskets")):
        shop.ask("user", "create", name, "--table", table, "--read", "--out", tmp_path / name)

    address = f"nats://{shop.runtime['nats_url'].rpartition('@')[2]}"

    async def look() -> None:
        async with connected(address, (tmp_path / "clerk").read_text().strip()) as clerk:
            bucket = await clerk.jetstream().key_value("hyperpage_parcels")
            entry = await bucket.get("seen")
            assert entry.value is not None
            assert b'"title":"t"' in entry.value
        async with connected(address, (tmp_path / "other").read_text().strip()) as other:
            with pytest.raises(JetStreamError):
                await other.jetstream().key_value("hyperpage_parcels")

    asyncio.run(look())


def test_a_demo_sends_what_it_says_and_one_that_fails_ends_alone(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = count()

    def demo(random: Random) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "set", {"id": f"demo-{next(numbers)}", "title": f"{random.random()}"}
        # A refusal by the domain does not end the demo.
        yield "clear", {"id": "nobody"}

    def broken(_: Random) -> Iterator[tuple[str, Any]]:
        yield "set", {"id": "demo-broken", "title": "t"}
        raise RuntimeError("it is broken")

    def unheard_of(_: Random) -> list[tuple[str, Any]]:
        return [("fly", {})]

    async def watch() -> None:
        runtime = shop.runtime
        async with connect(runtime["nats_url"], prefix=runtime["prefix"]) as client:

            async def has_two() -> bool:
                found = await client.query("parcels.count", {"prefix": "demo-"})
                return bool(found["count"] >= 3)

            demos = [
                asyncio.create_task(
                    play(client, Installed(decider=parcel.DECIDER, demo=one, source="parcel"), "1", 0.0)
                )
                for one in (demo, broken, unheard_of)
            ]
            try:
                await until(has_two, patiently(15))
                await asyncio.wait(demos[1:], timeout=patiently(15))
                assert [one.done() for one in demos] == [False, True, True]
            finally:
                demos[0].cancel()
                await asyncio.gather(*demos, return_exceptions=True)

    with caplog.at_level(logging.WARNING):
        asyncio.run(watch())
    ended = [one.getMessage() for one in caplog.records if "ended" in one.getMessage()]
    assert len(ended) == 2
    assert any("RuntimeError: it is broken" in one for one in ended)


def test_a_report_tells_what_is_installed_and_what_is_kept_of_the_others(shop: Shop, tmp_path: Path) -> None:
    assert shop.status["aggregates"] == [
        {"table": "baskets", "source": "shop.basket"},
        {"table": "parcels", "source": "tests.support.aggregates.parcel"},
    ]
    assert re.search(r"^  baskets  shop.basket$", shop("status").out, re.MULTILINE)

    with Shop(tmp_path / "data", "--no-http", **INSTALLED) as with_them:
        with_them.ask("send", "baskets.open", '{"id": "b1", "customer": "ann"}')
        with_them.ask("send", "baskets.add_item", '{"id": "b1", "article": "tea"}')
    said = "baskets: 1 row and 2 events are kept; its aggregate is not installed"
    with Served(tmp_path / "data", "--http-open", "--http", "127.0.0.1:0") as without, without.http() as http:
        wait_for(lambda: without.status["status"] == "healthy")
        assert without.status["aggregates"] == []
        notes = http.get("/readyz?verbose").json()["notes"]
        assert [one["message"] for one in notes if one["note"] == "aggregate_away"] == [said]
        assert f"note that {said}" in without("status").out
        assert said in http.get("/console/projections").text
        assert said not in http.get("/console").text
    [found] = [one for one in without.ask("doctor", "--quick")["findings"] if one["check"] == "aggregates"]
    assert (found["level"], found["message"]) == ("well", said)
