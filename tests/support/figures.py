"""What tests have counted, for the summary of a run."""

import pytest

# Under this name a test tells one line, with pytest's `record_property`.
FIGURE = "figure"


def figures_in(reports: list[pytest.TestReport]) -> list[str]:
    """The lines that tests have told, in the order of their reports."""
    return [
        line
        for report in reports
        if report.when == "call"
        for name, line in report.user_properties
        if name == FIGURE and isinstance(line, str)
    ]
