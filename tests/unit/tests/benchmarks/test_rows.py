"""The table's rows: what is reached, and how it is printed, kept and drawn."""

import json
from xml.etree import ElementTree

from tests.benchmarks.core.driving import Measured
from tests.benchmarks.core.figures import Figure
from tests.benchmarks.core.picture import svg
from tests.benchmarks.core.rows import Row, as_json, over, slower

ROUNDS = [Measured(500, 2.0, 5.0, {}), Measured(100, 9.0, 20.0, {}), Measured(510, 2.2, 5.0, {})]
BESIDE = [Measured(1_000, 1.0, 2.0, {}), Measured(200, 4.0, 9.0, {}), Measured(1_000, 1.0, 2.0, {})]


def test_rates_are_compared_round_by_round():
    row = over("ours over theirs", ROUNDS, BESIDE, target=0.5)

    assert row.figure == (0.5, 0.5, 0.51)
    assert row.is_met is True
    assert "500 and 1,000 a second" in row.line()


def test_of_latencies_less_is_better():
    row = slower("ours over theirs", ROUNDS, BESIDE, target=2.0)

    assert row.figure == (2.2, 2.0, 2.25)
    assert row.is_met is False
    assert "≤ 2.00" in row.line()


def test_a_peer_that_is_not_here_stays_in_the_table():
    row = Row.not_here("beside it", "it can't be installed", 2.0)

    assert row.is_met is None
    assert "not here: it can't be installed" in row.line()
    assert json.loads(as_json([("alone", row)]))["rows"][0]["median"] is None


def test_what_is_kept_has_every_figure():
    kept = json.loads(
        as_json([("relay", Row("caught up", Figure(50_000, 40_000, 60_000), "/s", target=25_000))])
    )

    assert kept["machine"]["processors"] > 0
    assert kept["rows"] == [
        {
            "subject": "relay",
            "what": "caught up",
            "unit": "/s",
            "median": 50_000,
            "least": 40_000,
            "most": 60_000,
            "target": 25_000,
            "at_most": False,
            "is_met": True,
            "beside": "",
        }
    ]


def test_the_picture_has_a_bar_for_each_row_that_aims_at_something():
    rows = [
        Row("half < of it", Figure(0.25, 0.2, 0.3), target=0.5),
        Row("far beyond", Figure(9, 8, 10), target=1.0),
        Row("without an aim", Figure(1, 1, 1)),
    ]

    drawn = ElementTree.fromstring(svg(rows, "title"))

    bars = [int(one.attrib["width"]) for one in drawn.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert bars == [110, 440]
