"""`hyperpage analytics report`: a page with the lake's own figures, as a reader opens and prints it."""

import asyncio
import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from domain.jobs.limits import DEFAULT_MAXIMUM_ATTEMPTS
from ops.analytics import connect
from tests.support.documents.report_tables import Tables
from tests.support.repository import ROOT
from tests.support.services.browsing import DESK, PHONE, browser, chromium, tab
from tests.support.services.command_line import hyperpage
from tests.support.stores.backing_up import Stored
from tests.support.stores.old_databases import CREATED, JOB, old_database

SAMPLE = ROOT / "docs" / "notebook" / "sample"
HOSTILE = "<img src=x onerror=alert(1)></svg></title><script>alert(2)</script>'\"&\u202e"
SECTIONS = [
    "throughput", "spikes", "latency", "lateness", "retries", "budgets", "configurations", "growth"
]  # fmt: skip


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the sample backups, and a lake made from them."""
    folder = tmp_path_factory.mktemp("sample") / "data"
    shutil.copytree(SAMPLE, folder / "backups")
    made = hyperpage("analytics", "export", "--data", folder)
    assert made.code == 0, made
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with names that would break a page without escapes."""
    folder = tmp_path_factory.mktemp("hostile") / "data"
    stored = Stored(folder)
    for number in range(DEFAULT_MAXIMUM_ATTEMPTS):
        body = {"type": HOSTILE, "name": HOSTILE, "tool": HOSTILE, "endpoint": HOSTILE, "id": f"j{number}"}
        stored.store.send("jobs.enqueue", body)
        [job] = stored.store.send("jobs.claim", {"worker": HOSTILE})["result"]["jobs"]
        failed = {"id": job["id"], "lease": job["lease"], "error": HOSTILE, "retryable": number > 0}
        assert stored.store.send("jobs.fail", failed).code is None
    for number in range(2):
        change = {"tool_name": "t", "config": {HOSTILE: number}, "reason": HOSTILE}
        assert stored.store.send("tool_configs.set", change).code is None
    stored.store.send("rate_limits.observe", {"platform": "p", "remaining": 1, "limit": 60})
    stored.backup(HOSTILE)
    stored.close()
    assert hyperpage("analytics", "export", "--data", folder).code == 0
    return folder


def test_what_was_imported_is_in_the_period_in_which_it_was(tmp_path: Path):
    job = JOB | {"status": "completed", "started_at": CREATED + 1_000, "completed_at": CREATED + 9_000}
    attempts = [
        {"job_id": "one", "attempt": number, "status": status, "duration_ms": 1_000}
        | {"started_at": CREATED + number * 2_000, "completed_at": CREATED + number * 2_000 + 1_000}
        for number, status in ((1, "failed"), (2, "failed"), (3, "completed"))
    ]
    old = old_database(tmp_path / "old.db", jobs=[job], job_history=attempts)
    for arguments in (("import", old), ("backup", "create"), ("analytics", "export")):
        assert hyperpage(*arguments, "--data", tmp_path / "data").code == 0

    page = report(tmp_path / "data", tmp_path / "imported.html")
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd class=\"figure\"><data value=\"(.*?)\"", page))
    assert [tiles[name] for name in ("Jobs enqueued", "Completed", "Retries")] == ["1", "1", "2"]
    assert "2023-11-14" in page.partition("</h1>")[2][:200]
    [tried] = Tables(page).rows("Jobs with the most attempts")
    assert tried[0::3] == ["one", "3"]


def report(data: Path, out: Path, *options: str) -> str:
    made = hyperpage("analytics", "report", "--data", data, "--out", out, *options)
    assert made.code == 0, made
    return out.read_text(encoding="utf-8")


def test_the_figures_are_those_that_the_lake_answers_with(sample: Path, tmp_path: Path):
    shown = Tables(report(sample, tmp_path / "report.html"))

    with closing(connect(sample / "lake")) as lake:

        def ask(query: str) -> list[list[str]]:
            return [[str(value) for value in row] for row in lake.execute(query).fetchall()]

        iso = "strftime(bucket, '%Y-%m-%dT%H:%M:%S.000Z')"
        for what, column in (("Wait for a worker", "wait"), ("Run time of an attempt", "run")):
            expected = ask(
                f"SELECT {iso}, attempts, {column}_p50_ms, {column}_p95_ms, {column}_p99_ms"
                " FROM job_latency('1 hour')"
            )
            caption = f"{what}: percentiles of the attempts that began in each hour"
            assert shown.rows(caption) == expected
            assert len(expected) > 40
        for by in ("type", "tool"):
            rows = shown.rows(f"Attempts that ended, by {by}")
            found = {row[0]: [*row[1:5], f"{float(row[7]):.4f}"] for row in rows}
            assert found == {
                row[0]: [*row[3:7], f"{float(row[8]):.4f}"] for row in ask(f"FROM failure_rate('{by}')")
            }
        events = dict(ask("SELECT type, sum(events) FROM event_rate('1 hour') GROUP BY ALL"))
        assert {row[0]: row[1] for row in shown.rows("Events by type")}.items() <= events.items()
        by_table = shown.rows("Events recorded in each hour, by table")
        assert sum(int(value) for row in by_table for value in row[1:]) == sum(map(int, events.values()))
        audit = ask(
            "SELECT tool_name, version, coalesce(actor, '–'), coalesce(reason, '–') FROM config_audit(NULL)"
        )
        rows = shown.rows("Changes, the newest first")[::-1]
        assert [[row[1], row[2], row[4], row[5]] for row in rows] == audit
        budgets = ask(
            "SELECT replace(id, 'ratelimit:', ''), min(limit_remaining), count(*) FROM rate_limit_burn(NULL)"
            " GROUP BY ALL ORDER BY 1"
        )
        rows = sorted(shown.rows("Budgets, the closest to its end first"))
        assert [[row[0], row[2], row[6]] for row in rows] == budgets
        # Of several observations at nearly the same time, the chart shows the one with the fewest calls left.
        observed = ask(
            "SELECT strftime(time, '%Y-%m-%dT%H:%M:%S.%gZ'), limit_remaining FROM rate_limit_burn('jira')"
        )
        shown_ones = [[time, left] for time, _, left in shown.rows("jira:search: left of 600")]
        assert all(one in observed for one in shown_ones)
        assert len(observed) > len(shown_ones) > len(observed) / 2
        files = ask("SELECT name, position, plain_size, size FROM snapshots")
        assert [row[1:] for row in shown.rows("Size of the database at each backup")] == files
        assert all(int(file) > 2 * int(kept) for *_, file, kept in files)


def test_a_period_leaves_out_what_is_before_and_after(sample: Path, tmp_path: Path):
    outage = ("--since", "2026-10-06T13:00Z", "--until", "2026-10-06T15:30:00+00:00")
    shown = Tables(report(sample, tmp_path / "report.html", *outage))

    with closing(connect(sample / "lake")) as lake:
        [(failed,)] = lake.execute(
            "SELECT count(*) FROM attempts WHERE status = 'failed'"
            " AND completed >= TIMESTAMP '2026-10-06 13:00' AND completed < TIMESTAMP '2026-10-06 15:30'"
        ).fetchall()
    assert sum(int(row[3]) for row in shown.rows("Attempts that ended, by type")) == failed > 50
    assert shown.rows("Errors that came most often")[0][0] == "503 Service Unavailable"
    times = [row[0] for row in shown.rows("Changes, the newest first")]
    assert all("2026-10-06T13:00" <= time < "2026-10-06T15:30" for time in times)
    assert len(times) == 1


def test_an_age_counts_back_from_the_end(sample: Path, tmp_path: Path):
    made = hyperpage(
        "analytics", "report", "--data", sample, "--out", tmp_path / "a.html", "--since", "6h",
        "--until", "2026-10-06T12:00:00Z", "--json",
    )  # fmt: skip

    assert made.json["until"] - made.json["since"] == 6 * 3_600_000
    assert made.json["snapshot"] in {path.name for path in SAMPLE.iterdir()}


def test_an_empty_period_says_so_in_each_section(sample: Path, tmp_path: Path):
    page = report(sample, tmp_path / "report.html", "--since", "2020-01-01", "--until", "2020-01-02")

    assert page.count('class="nothing"') == len(SECTIONS) + 1
    assert Tables(page).tables == {}


def test_a_store_in_which_little_has_happened_has_a_report_too(tmp_path: Path):
    stored = Stored(tmp_path / "data")
    stored.store.send("app_state.set", {"key": "theme", "value": "dark"})
    stored.backup()
    stored.close()
    assert hyperpage("analytics", "export", "--data", tmp_path / "data").code == 0

    page = report(tmp_path / "data", tmp_path / "report.html")

    # All but growth.
    assert page.count('class="nothing"') == len(SECTIONS) - 1
    assert Tables(page).rows("Events by type")[0][:2] == ["app_state.set.v1", "1"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--since", "yesterday"), 2, "'yesterday' is no moment"),
        (("--until", "7d"), 2, "'7d' is no moment"),
        (("--since", "2026-10-06", "--until", "2026-10-06"), 2, "nothing is between"),
        (("--snapshot", "another"), 3, "no snapshot another"),
        (
            ("--until", "2100-01-01"),
            2,
            "the lake does not know of 2100-01-01 yet: it ends at 2026-10-07 00:01 UTC",
        ),
        (("--time-zone", "Mars/Olympus"), 2, "'Mars/Olympus' is no time zone"),
        (("--sla", "soon"), 2, "'soon' is no length of time"),
    ],
)
def test_what_is_wrong_is_said(sample: Path, tmp_path: Path, options: tuple[str], code: int, said: str):
    made = hyperpage("analytics", "report", "--data", sample, "--out", tmp_path / "report.html", *options)

    assert (made.code, said in made.err) == (code, True), made
    assert not (tmp_path / "report.html").exists()


def test_names_are_shown_as_they_are_and_do_nothing(hostile: Path, tmp_path: Path):
    page = report(hostile, tmp_path / "report.html", "--title", HOSTILE)

    assert "<script" not in page
    assert "<img" not in page
    shown = Tables(page)
    assert shown.rows("Attempts that ended, by type")[0][0] == HOSTILE
    assert shown.rows("Errors that came most often")[0][0] == HOSTILE
    assert shown.rows("Changes, the newest first")[0][5:] == [HOSTILE, HOSTILE]
    # Nothing is fetched, from anywhere.
    assert set(re.findall(r'(?:href|src)="([^"#]*)', page)) == {"", "data:,"}
    assert "url(" not in page


def test_it_is_in_order_in_a_browser_on_screens_of_all_kinds(sample: Path, hostile: Path, tmp_path: Path):
    chromium()
    files = {"sample": tmp_path / "sample.html", "hostile": tmp_path / "hostile.html"}
    # Half a day shows the same as two days in shorter tables; checking each cell in a browser takes time.
    report(sample, files["sample"], "--since", "2026-10-06T12:00Z")
    report(hostile, files["hostile"], "--title", HOSTILE)

    async def look() -> dict[str, str]:
        papers = {}
        async with browser() as started:
            for name, width, scheme in (("sample", DESK, "light"), ("hostile", PHONE, "dark")):
                async with tab(started, "file://", width=width, scheme=scheme) as here:
                    await here.page.goto(files[name].as_uri())
                    assert await here.page.locator("main section .chart svg").count() > len(SECTIONS)
                    assert await here.page.locator("script, img, iframe, object").count() == 0
                    # Also what is folded away is to be in order.
                    await here.page.evaluate(
                        "document.querySelectorAll('details').forEach(d => d.open = true)"
                    )
                    await here.is_in_order(f"{name} at {width} in {scheme}")
                    papers[scheme] = await here.page.evaluate(
                        "getComputedStyle(document.body).backgroundColor"
                    )
        return papers

    papers = asyncio.run(look())
    assert papers == {"light": "rgb(245, 246, 248)", "dark": "rgb(17, 22, 29)"}


def test_it_is_printed_on_pages_in_light_colours_even_from_a_dark_screen(sample: Path, tmp_path: Path):
    chromium()
    file = tmp_path / "report.html"
    report(sample, file)

    async def print_it() -> tuple[str, bytes]:
        async with browser() as started, tab(started, "file://", scheme="dark") as here:
            await here.page.goto(file.as_uri())
            await here.page.emulate_media(media="print", color_scheme="dark")
            paper = await here.page.evaluate("getComputedStyle(document.body).backgroundColor")
            return paper, await here.page.pdf(prefer_css_page_size=True)

    paper, pdf = asyncio.run(print_it())
    assert paper == "rgb(255, 255, 255)"
    assert pdf.startswith(b"%PDF-")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 8
