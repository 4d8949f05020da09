"""The table's rows: what is reached, and how it is printed, kept and drawn."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks.core.document import put_into
from tests.benchmarks.core.driving import Measured
from tests.benchmarks.core.figures import Figure
from tests.benchmarks.core.picture import svg
from tests.benchmarks.core.rows import Kept, Row, over, slower

MACHINE = {
    "processors": 2,
    "processor": "of some kind",
    "python": "3.11",
    "measured_at": "2026",
    "load_average": 0.1,
}
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
    assert json.loads(Kept(MACHINE, [("alone", row)]).as_json())["rows"][0]["median"] is None


def test_what_is_kept_has_every_figure():
    row = Row("caught up", Figure(50_000, 40_000, 60_000), "/s", target=25_000)

    kept = json.loads(Kept(MACHINE, [("relay", row)]).as_json())

    assert kept["machine"] == MACHINE
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


def test_what_was_kept_of_other_subjects_stays(tmp_path: Path):
    file = tmp_path / "kept.json"
    first = [("alone", Row("old", None)), ("relay", Row("caught up", Figure(3, 2, 4), "/s"))]
    file.write_text(Kept(MACHINE, first).as_json())

    kept = Kept(MACHINE, [("alone", Row("new", Figure(1, 1, 1)))]).with_rest_of(file)

    assert [(subject, row.what) for subject, row in kept.rows] == [("relay", "caught up"), ("alone", "new")]
    assert kept.rows[0][1] == first[1][1]


def test_the_table_takes_the_place_of_the_one_in_a_document(tmp_path: Path):
    guide = tmp_path / "guide.md"
    guide.write_text("above\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nbelow\n")

    put_into(guide, Kept(MACHINE, [("relay", Row("caught | up", Figure(3, 2, 4), "/s", target=2))]))

    text = guide.read_text()
    assert text.startswith("above\n<!-- measured: begin -->\n2 × of some kind")
    assert "| caught / up | **3/s** | 2 … 4 | ≥ 2/s |  |\n<!-- measured: end -->\nbelow\n" in text
    assert "old" not in text


def test_a_document_without_a_place_for_it_is_left_alone(tmp_path: Path):
    guide = tmp_path / "guide.md"
    guide.write_text("no marks")

    with pytest.raises(ValueError, match="where the table belongs"):
        put_into(guide, Kept(MACHINE, []))
    assert guide.read_text() == "no marks"


def test_the_picture_has_a_bar_for_each_row_that_aims_at_something():
    rows = [
        Row("half < of it", Figure(0.25, 0.2, 0.3), target=0.5),
        Row("far beyond", Figure(9, 8, 10), target=1.0),
        Row("without an aim", Figure(1, 1, 1)),
    ]

    drawn = ElementTree.fromstring(svg(rows, "title"))

    bars = [int(one.attrib["width"]) for one in drawn.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert bars == [110, 440]
