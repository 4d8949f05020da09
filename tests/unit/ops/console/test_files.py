"""Third-party files that the console ships: unchanged, and with their licences."""

from importlib.resources import files

from ops.console.rendering import environment
from ops.console.routes import ROUTES

STATIC = files("ops.console") / "static"


def test_the_list_of_licences_names_the_versions_that_are_there() -> None:
    licences = (STATIC / "LICENSES.txt").read_text(encoding="utf-8")
    htmx = (STATIC / "htmx.min.js").read_text(encoding="utf-8")
    uplot = (STATIC / "uplot.min.js").read_text(encoding="utf-8")

    assert "htmx 2.0.11," in licences
    assert 'version:"2.0.11"' in htmx
    assert "uPlot 1.6.32," in licences
    assert "(v1.6.32)" in uplot
    assert "Zero-Clause BSD" in licences
    assert "The MIT License (MIT)" in licences


def test_every_template_can_be_read_and_holds_neither_scripts_nor_styles_of_its_own() -> None:
    templates = environment().list_templates()
    assert len(templates) > 20
    for name in templates:
        environment().get_template(name)
        source, _, _ = environment().loader.get_source(environment(), name)  # type: ignore[union-attr]
        for forbidden in (
            "<style",
            " style=",
            " onclick",
            " onload",
            "javascript:",
            "| safe",
            "http://",
            "https://",
        ):
            assert forbidden not in source, f"{forbidden} in {name}"
        assert source.count("<script") == source.count('<script src="{{ static(')


def test_a_form_is_taken_by_an_address_of_its_own_alone() -> None:
    # Every change is a POST from a page of its own: no link leads to a change.
    assert {answer.methods for answer in ROUTES} == {("GET",), ("POST",)}
