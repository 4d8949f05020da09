"""The section about configurations: who changed which one, when and why."""

from collections.abc import Mapping
from typing import Any

import msgspec
from markupsafe import Markup

from ops.analytics.report import charts, section, units
from ops.analytics.report.charts import Point
from ops.analytics.report.markup import joined, listed, named
from ops.analytics.report.period import Period
from ops.analytics.report.plot import legend
from ops.analytics.report.section import MOST_NAMES, Column, Section
from ops.analytics.report.source import Source

KINDS = {
    "tool_config.disabled.v1": ("disabled", "failed"),
    "tool_config.enabled.v1": ("enabled", "done"),
    "tool_config.rolled_back.v1": ("rolled back", "timeout"),
    "tool_config.deleted.v1": ("deleted", "c4"),
}
CHANGED = ("changed", "c1")
# The most changes that are shown, the newest ones.
_MOST_CHANGES = 100
_MOST_KEYS = 6


def configurations(source: Source) -> Section:
    """The changes of configurations on a time line, and a table of them."""
    title = "Configuration changes"
    rows = changes_of(source)
    if not rows:
        nothing = section.nothing("No configuration was changed in this period.")
        return Section("configurations", title, [nothing])
    times: dict[str, int] = {}
    for row in rows:
        times[row["tool_name"]] = times.get(row["tool_name"], 0) + 1
    ordered = sorted(times, key=lambda name: (-times[name], name))
    shown = ordered[:MOST_NAMES]
    actors = len({row["actor"] for row in rows if row["actor"]})
    most = units.count(times[ordered[0]])
    lead = joined(
        f"{units.counted(len(rows), 'change')} of {units.counted(len(times), 'configuration')} by",
        f" {units.counted(actors, 'named actor')}; the most, {most}, of ",
        named(ordered[0]),
        ".",
    )
    figures = [_time_line(source, rows, shown, section.left_out(len(ordered), "tools")), _table(source, rows)]
    return Section("configurations", title, figures, lead)


def changes_of(source: Source) -> list[Mapping[str, Any]]:
    """The changes of configurations in the period, in order."""
    period = source.period
    return source.records(
        "SELECT epoch_ms(time) AS changed_at, tool_name, type, actor, reason, config_before, config, version"
        f" FROM config_audit(NULL) WHERE changed_at >= {period.since}"
        f" AND changed_at < {period.until} ORDER BY position"
    )


def _time_line(source: Source, rows: list[Any], shown: list[str], note: str) -> Markup:
    found = [
        Point(
            row["tool_name"], row["changed_at"], KINDS.get(row["type"], CHANGED)[1], said(row, source.period)
        )
        for row in rows
        if row["tool_name"] in shown
    ]
    label = "Changes by tool, over time"
    kinds = dict.fromkeys(KINDS.get(row["type"], CHANGED) for row in rows)
    return section.wide_figure(
        label,
        charts.points(label, source.period, shown, found),
        legend=legend(*((word, colour, None) for word, colour in kinds)),
        note=note,
    )


def _table(source: Source, rows: list[Any]) -> Markup:
    newest = rows[::-1][:_MOST_CHANGES]
    title = "Changes, the newest first"
    if len(rows) > len(newest):
        title = f"The newest {len(newest)} of {units.count(len(rows))} changes"
    columns = (
        section.when("When", source.period),
        Column("Tool"),
        Column("Version", units.count),
        Column("Change"),
        Column("Who"),
        Column("Why"),
        Column("Keys that differ"),
    )
    figures = [
        (
            row["changed_at"],
            row["tool_name"],
            row["version"],
            change_of(row["type"]),
            row["actor"],
            row["reason"],
            changed_keys(row["config_before"], row["config"]),
        )
        for row in newest
    ]
    return section.wide_figure(title, section.table(columns, figures, caption=title))


def changed_keys(before: str | None, after: str | None) -> Markup | None:
    """The keys of a configuration that were added, removed or changed, without their values."""
    old, new = _object(before), _object(after)
    keys = [key for key in {**old, **new} if old.get(key, _object) != new.get(key, _object)]
    return listed(keys, _MOST_KEYS) if keys else None


def _object(text: str | None) -> dict[str, Any]:
    found = {} if text is None else msgspec.json.decode(text)
    return found if isinstance(found, dict) else {"": found}


def change_of(kind: str) -> str:
    """The kind of a change in words, from its type of event."""
    return kind.removeprefix("tool_config.").removesuffix(".v1").replace("_", " ")


def said(row: Any, period: Period) -> str:
    """The tooltip of a change: tool, kind, time, actor and reason, in lines."""
    at = f"{period.moment(row['changed_at'])} {period.time_zone}"
    lines = [f"{row['tool_name']}: {change_of(row['type'])}", at]
    lines += [f"by {row['actor']}"] if row["actor"] else []
    lines += [f"because: {row['reason']}"] if row["reason"] else []
    return "\n".join(lines)
