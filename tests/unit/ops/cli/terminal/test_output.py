"""Output for people: tables that fit the terminal, and no control characters."""

from typing import Any

import pytest

from ops.cli.terminal.output import event_line, print_members, print_table, print_value

ROWS: list[dict[str, Any]] = [
    {"id": "a", "note": "x" * 30, "size": 1},
    {"id": "b", "note": "y", "size": None},
]


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Has stdout be a terminal of so many columns."""

    def of(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    return of


def test_columns_are_aligned_and_empty_ones_left_out(capsys):
    print_table([{"id": "a", "empty": None, "size": 10}, {"id": "long", "empty": None, "size": 2}])
    assert capsys.readouterr().out == "ID    SIZE\na     10\nlong  2\n"


def test_a_column_that_somebody_asked_for_is_shown_with_nothing_in_it(capsys):
    print_table([{"longest": None}], empty_columns=True)
    assert capsys.readouterr().out == "LONGEST\n-\n"


def test_on_a_terminal_columns_that_do_not_fit_are_left_out_and_counted(terminal, capsys):
    terminal(20)
    print_table(ROWS)
    out, err = capsys.readouterr()
    assert out == "ID\na\nb\n"
    assert "2 more with --json" in err


def test_a_single_row_that_does_not_fit_stands_upright(terminal, capsys):
    terminal(20)
    print_table(ROWS[:1])
    assert capsys.readouterr().out == f"id    a\nnote  {'x' * 30}\nsize  1\n"


def test_elsewhere_than_on_a_terminal_everything_is_shown(capsys):
    print_table(ROWS)
    assert capsys.readouterr().out.splitlines()[0] == f"ID  NOTE{' ' * 28}SIZE"


def test_milliseconds_are_shown_as_moments_where_they_are_some(capsys):
    print_members({"created_at": 1_795_478_018_340, "run_at": 5, "limit_total": 1_795_478_018_340})
    assert capsys.readouterr().out.splitlines() == [
        "created_at   2026-11-23 23:53:38Z",
        "run_at       5",
        "limit_total  1795478018340",
    ]


def test_control_characters_are_escaped(capsys):
    print_members({"na\x1bme": "a\x07b\tc\u202e", "inner": {"x": ["\x9b"]}})
    out = capsys.readouterr().out
    assert "na\\x1bme" in out
    assert "a\\x07b\\tc\\u202e" in out
    assert out.replace("\n", "").isprintable()


def test_a_text_of_several_lines_keeps_them(capsys):
    print_members({"id": "a", "traceback": "Traceback:\n  in sync\n\nKeyError: 'a\x07b'\n", "attempt": 2})

    assert capsys.readouterr().out.splitlines() == [
        "id         a",
        "traceback:",
        "  Traceback:",
        "    in sync",
        "",
        "  KeyError: 'a\\x07b'",
        "attempt    2",
    ]


def test_an_event_is_cut_to_the_terminal(terminal, capsys):
    event = {
        "sequence": "7",
        "time": "2026-11-23T23:53:38.340Z",
        "type": "hyperpage.app_state.set.v1",
        "subject": "app_state/theme",
        "data": {"value": "x" * 500},
        "actor": "ann",
    }
    whole = event_line(event)
    assert whole.split()[:7] == [
        "7", "2026-11-23", "23:53:38Z", "app_state.set.v1", "app_state/theme", "by", "ann",
    ]  # fmt: skip
    terminal(100)
    assert event_line(event) == whole[:99] + "…"


def test_a_page_says_how_to_have_the_next_one(capsys):
    print_value({"items": [{"id": "a"}], "next": "a"})
    out, err = capsys.readouterr()
    assert out == "ID\na\n"
    assert '"after": "a"' in err


def test_nothing_is_said_to_be_nothing(capsys):
    print_value({"items": [], "next": None})
    assert capsys.readouterr() == ("", "None.\n")
