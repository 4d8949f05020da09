"""Types of aggregates that packages bring: written, checked strictly, and used against a real service."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machines.typescript import compiled, needed_node
from tests.support.repository import ROOT
from tests.support.services.command_line import Result, Served, environment, hyperpage, separately

CLIENT = ROOT / "clients" / "python"
PLACES = f"{ROOT}:{ROOT / 'examples' / 'shop'}:{ROOT / 'tests' / 'support' / 'domain' / 'brought'}"
# A decider, one of odd types and names, and classes of the library.
BROUGHT = {"HYPERPAGE_AGGREGATES": "shop.basket,concerts,accounts:Account,pages:Page", "PYTHONPATH": PLACES}

IN_PYTHON = """
import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from typing import assert_type
from uuid import UUID

from brought import Accounts, Baskets, BasketRow, Concerts, Days, Hall, Meadow, PageRow, Pages, Price
from brought import SyncBaskets
from hyperpage_client import address_in, connect, sync
from hyperpage_client.queries.table import Answer


async def main() -> None:
    async with connect(address_in("data")) as client:
        baskets = Baskets(client)
        assert_type(await baskets.open("b1", customer="ann"), Answer[None])
        await baskets.add_item("b1", article="tea", quantity=2)
        row = assert_type(await baskets.get("b1"), BasketRow)
        print(row.customer, row.state, row.items)
        assert_type(baskets.list(customer="ann"), AsyncIterator[BasketRow])
        print([one.id async for one in baskets.list(customer="ann", state="open")])
        print([(one.value, one.count) for one in await baskets.count_by("state")])

        concerts = Concerts(client)
        await concerts.plan(
            "c1", date(2026, 5, 1), Hall(seat_count=80), "ann", prices=[Price(amount=Decimal("9.90"))]
        )
        await concerts.set("c1", {"one", "two"}, mood="loud")
        moved = await concerts.date("c1", date(2026, 5, 3), actor="bob")
        print(assert_type(moved.result, Days) == Days(later=2, ticket=UUID(int=2)))
        concert = await concerts.get("c1")
        assert_type(concert.place, Hall | Meadow)
        print(concert.date, concert.place.seat_count if isinstance(concert.place, Hall) else None)
        print(concert.prices == (Price(amount=Decimal("9.90"), currency="EUR"),), sorted(concert.list))
        print(concert.lasting == timedelta(hours=2), concert.mood, concert.actor)

        accounts, pages = Accounts(client), Pages(client)
        await accounts.open("Ann", "ann@example.com", id="a1")
        await accounts.append_transaction("a1", Decimal("0.10"))
        print(assert_type((await accounts.get("a1")).balance, Decimal) == Decimal("0.10"))
        await pages.create("Tea", "tea", id="p1")
        await pages.update_body("p1", "Hot.", by=UUID(int=1))
        page = assert_type(await pages.get("p1"), PageRow)
        print(assert_type(page.modified_by, UUID | None), assert_type(page.tags, set[str]))


asyncio.run(main())
with sync.connect(address_in("data")) as client:
    in_step = SyncBaskets(client)
    print(assert_type(in_step.add_item("b1", "jam"), Answer[None]).events)
    print([assert_type(one, BasketRow).items for one in in_step.list(customer="ann")])
"""
SAID_BY_PYTHON = """\
ann open {'tea': 2}
['b1']
[('open', 1)]
True
2026-05-03 80
True ['one', 'two']
True loud ann
True
00000000-0000-0000-0000-000000000001 set()
['basket.item_added.v1']
[{'tea': 2, 'jam': 1}]
"""
WRONG_IN_PYTHON = """
from brought import Baskets
from hyperpage_client import Client

async def wrong(client: Client) -> None:
    await Baskets(client).open("b1", customer=1)
    await Baskets(client).add_item("b1")
    print((await Baskets(client).get("b1")).state == "opened")
    Baskets(client).list(colour="red")
"""

IN_TYPESCRIPT = """
import { addressIn, connect } from "hyperpage-client";
import type { BasketRow, ConcertRow } from "./brought.mjs";

const client = await connect(addressIn("data"));
await client.send("baskets.open", { id: "b1", customer: "ann" });
await client.sendBatch([{ command: "baskets.add_item", body: { id: "b1", article: "tea", quantity: 2 } }]);
const row: BasketRow = await client.query("baskets.get", { id: "b1" });
for await (const one of client.list("baskets.list", { customer: "ann" }))
  console.log(one.items, one.state === row.state);
const place = { kind: "hall", seatCount: 80 } as const;
const planned = { placeOfIt: place, actor: "ann", prices: [{ amount: "9.90" }] };
await client.send("concerts.plan", { id: "c1", date: "2026-05-01", ...planned });
const { result } = await client.send("concerts.date", { id: "c1", date: "2026-05-03" });
const concert: ConcertRow = await client.query("concerts.get", { id: "c1" });
console.log(result.later, concert.prices, concert.place.kind === "hall" && concert.place.seatCount);
await client.send("accounts.open", { id: "a1", full_name: "Ann", email: "ann@example.com" });
await client.send("accounts.append_transaction", { id: "a1", amount: "0.10" });
console.log((await client.query("accounts.get", { id: "a1" })).balance);
for await (const event of client.follow({ table: "concerts" })) {
  if (event.type === "hyperpage.concert.planned.v1" && event.data.place.kind === "hall")
    console.log(event.data.date, event.data.place.seatCount);
  break;
}

// What the client had is as it was.
await client.send("app_state.set", { key: "theme", value: 1 });
// @ts-expect-error no customer
client.send("baskets.open", { id: "b1" }).catch(() => {});
// @ts-expect-error no such field
client.send("baskets.open", { id: "b1", customer: "ann", colour: "red" }).catch(() => {});
// @ts-expect-error no such command
client.send("baskets.close", { id: "b1" }).catch(() => {});
// @ts-expect-error no such state
console.log(row.state === "opened");
await client.close();
"""
SAID_BY_TYPESCRIPT = """\
{ tea: 2 } true
2 [ { amount: '9.90' } ] 80
0.10
2026-05-01 80
false
"""


def written(*arguments: str | Path) -> Result:
    return separately("client-types", *arguments, **BROUGHT)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with Served(tmp_path / "data", "--no-http", **BROUGHT):
        yield tmp_path


def tool(folder: Path, *arguments: str) -> str:
    """The output of a development tool, run in a folder of sources with the client on its path."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment(MYPYPATH=str(CLIENT)),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    ).stdout


def test_a_program_in_python_is_checked_strictly_and_does_what_it_says(folder: Path) -> None:
    assert written("--out", folder / "brought.py").code == 0
    (folder / "program.py").write_text(IN_PYTHON)
    (folder / "wrong.py").write_text(WRONG_IN_PYTHON)

    ran = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env=environment(PYTHONPATH=str(CLIENT)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == (SAID_BY_PYTHON, "")
    said = tool(folder, "mypy", "--config-file=", "--strict", "brought.py", "program.py", "wrong.py")
    errors = [line for line in said.splitlines() if ": error: " in line]
    assert [(one.partition(":")[0], one.rpartition("[")[2]) for one in errors] == [
        ("wrong.py", "arg-type]"),
        ("wrong.py", "call-arg]"),
        ("wrong.py", "comparison-overlap]"),
        ("wrong.py", "call-arg]"),
    ], said
    # The generated file needs no formatter.
    ruff = ("ruff", "format", "--isolated", "--line-length", "100", "--diff", "brought.py")
    assert tool(folder, *ruff) == ""
    assert tool(folder, "ruff", "check", "--isolated", "--quiet", "--select", "B,F,UP", "brought.py") == ""


@pytest.mark.prove
def test_a_program_in_typescript_is_compiled_strictly_and_does_what_it_says(folder: Path) -> None:
    node = needed_node()
    assert written("--out", folder / "brought.mts").code == 0
    brought = (folder / "brought.mts").read_text(encoding="utf-8")
    compiled(node, folder, {"brought.mts": brought, "program.mts": IN_TYPESCRIPT})

    ran = subprocess.run(
        [node, "program.mjs"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )

    assert (ran.stdout, ran.stderr) == (SAID_BY_TYPESCRIPT, "")


def test_it_writes_over_what_it_made_alone_and_says_where_that_is_stale(tmp_path: Path) -> None:
    made, own = tmp_path / "baskets.py", tmp_path / "own.py"
    own.write_text("print(1)\n")

    assert json.loads(written("baskets", "--out", made, "--json").out)["changed"]
    stale = written("pages", "--out", made, "--check")
    assert (stale.code, "is not what the aggregates say" in stale.err) == (1, True)
    assert "BasketRow" in made.read_text()
    assert written("--out", own).code == 1
    assert own.read_text() == "print(1)\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--language", "python"], 3, "no package brings a table"),
        (["jobs", "--language", "python"], 3, "jobs is a table of the service itself"),
        (["baskets"], 2, "of which client is not said"),
        (["--language", "python", "--check"], 2, "there is no file to check"),
    ],
)
def test_what_cannot_be_written_is_refused_in_words(arguments: list[str], code: int, said: str) -> None:
    refused = hyperpage("client-types", *arguments)

    assert (refused.code, said in refused.err) == (code, True), refused
