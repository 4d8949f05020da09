"""Figures that tests have counted, for the summary of a run."""

import pytest

# The name under which a test records a line, with pytest's `record_property`.
FIGURE = "figure"


def figures_in(reports: list[pytest.TestReport]) -> list[str]:
    """The lines that tests have recorded, in the order of their reports."""
    return [
        line
        for report in reports
        if report.when == "call"
        for name, line in report.user_properties
        if name == FIGURE and isinstance(line, str)
    ]
