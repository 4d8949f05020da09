"""The whole page: one file that loads no others."""

from collections.abc import Sequence
from importlib.resources import files

from markupsafe import Markup

from ops.analytics.report import units
from ops.analytics.report.markup import element, joined, named
from ops.analytics.report.period import Period
from ops.analytics.report.section import Section
from ops.analytics.report.source import ShownSnapshot

# With this policy, the browser loads nothing and runs no script, whatever the names in the page are.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def page(
    *, title: str, period: Period, snapshot: ShownSnapshot | None, tiles: Markup, sections: Sequence[Section]
) -> str:
    """The HTML of a report."""
    style = Markup(files("ops.analytics.report").joinpath("report.css").read_text(encoding="utf-8"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", style),
    )
    links = [element("a", one.title, href=f"#{one.anchor}") for one in sections]
    body = element(
        "body",
        element(
            "header",
            element("h1", named(title)),
            element("p", _about(period, snapshot), class_="about"),
            element("nav", *links, aria_label="Sections"),
        ),
        element("main", tiles, *(_section(one) for one in sections)),
        element(
            "footer",
            element(
                "p",
                f"Times are in {'UTC' if period.time_zone == 'UTC' else f'the zone {period.time_zone}'}."
                " A failure rate is the share of attempts that failed or timed out.",
            ),
        ),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _section(one: Section) -> Markup:
    return element(
        "section",
        element("h2", one.title, id=f"{one.anchor}-title"),
        element("p", one.lead, class_="lead") if one.lead else None,
        element("div", *one.figures, class_="figures"),
        id=one.anchor,
        aria_labelledby=f"{one.anchor}-title",
    )


def _about(period: Period, snapshot: ShownSnapshot | None) -> Markup:
    span = f"{period.minute(period.since)} to {period.minute(period.until)} {period.time_zone}"
    if snapshot is None:
        return joined(span)
    return joined(
        span,
        " · as the backup ",
        named(snapshot.name),
        f" has it, timeline {snapshot.timeline}, position {units.count(snapshot.position)}",
    )
