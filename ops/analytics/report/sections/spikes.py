"""The section about spikes: when tools began to fail, and the last change of their configuration before."""

from ops.analytics.report import section, units
from ops.analytics.report.markup import joined, named
from ops.analytics.report.section import Column, Section
from ops.analytics.report.sections.configurations import change_of, changed_keys
from ops.analytics.report.source import Source

# The most spikes that are shown, the newest ones.
_MOST_SPIKES = 50


def spikes(source: Source) -> Section:
    """Each spike with the last change of the tool's configuration before its first failure."""
    title = "When tools began to fail"
    period = source.period
    rows = source.records(
        "SELECT tool, epoch_ms(bucket) AS begins, failed, ended, failure_rate, usual_rate,"
        " epoch_ms(first_failed) AS first_failed, changed_ms_before, change, actor, reason,"
        " config_before, config"
        f" FROM failure_spikes({period.interval}) WHERE first_failed >= time_of({period.since})"
        f" AND first_failed < time_of({period.until}) ORDER BY begins DESC, tool"
    )
    if not rows:
        nothing = section.nothing(
            f"No tool failed three times or more in any {period.bucket}, at twice its usual rate."
        )
        return Section("spikes", title, [nothing])
    newest = rows[0]
    lead = joined(
        f"{units.counted(len(rows), 'time')}, a tool failed three times or more in one {period.bucket}, at"
        " twice its usual rate; the last one was ",
        named(newest["tool"]),
        f", from {period.minute(newest['first_failed'])}.",
    )
    columns = (
        Column("Tool"),
        section.when("First failure", period),
        Column("Failed", units.count),
        Column("Ended", units.count),
        Column("Rate", units.percent),
        Column("Usually", units.percent),
        Column("Last change"),
        Column("Before that by", units.duration),
        Column("Who"),
        Column("Why"),
        Column("Keys that differ"),
    )
    figures = [
        (
            row["tool"],
            row["first_failed"],
            row["failed"],
            row["ended"],
            row["failure_rate"],
            row["usual_rate"],
            row["change"] and change_of(row["change"]),
            row["changed_ms_before"],
            row["actor"],
            row["reason"],
            changed_keys(row["config_before"], row["config"]),
        )
        for row in rows[:_MOST_SPIKES]
    ]
    caption = "Spikes of failures, and the last change of the tool's configuration before each"
    return Section(
        "spikes",
        title,
        [section.wide_figure(caption, section.table(columns, figures, caption=caption))],
        lead,
    )
