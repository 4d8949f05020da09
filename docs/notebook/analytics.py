"""Backups, asked with SQL: a notebook of marimo's.

    marimo edit docs/notebook/analytics.py
    marimo edit docs/notebook/analytics.py -- --backups data/backups --time-zone Europe/Berlin

It is a program, too: `python docs/notebook/analytics.py --backups data/backups` runs every cell.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Backups, asked with SQL")


@app.cell
def _():
    import tempfile
    from datetime import timedelta
    from pathlib import Path

    import altair as alt
    import marimo as mo

    from ops.analytics import connect
    from ops.analytics.export.exporting import export
    from ops.backup.metadata import list_backups

    return Path, alt, connect, export, list_backups, mo, tempfile, timedelta


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Backups, asked with SQL

    Was there something wrong, when, and what did it do? The folder `sample` beside this notebook has three
    backups of a small company that syncs its tools. To ask your own backups, name their folder and your time
    zone below, or behind `--` when the notebook is opened. Everything works offline, and only reads.
    """)


@app.cell
def _(Path, mo):
    backups = Path(mo.cli_args().get("backups") or Path(__file__).parent / "sample")
    zone = mo.cli_args().get("time-zone") or "UTC"
    return backups, zone


@app.cell
def _(Path, backups, connect, export, list_backups, tempfile, zone):
    # `hyperpage analytics export` makes such a lake in DIR/lake, and keeps it.
    folder = tempfile.TemporaryDirectory(prefix="hyperpage-notebook-")
    exported = export(
        list_backups(backups), Path(folder.name) / "lake", store_id=None, scratch=Path(folder.name)
    )
    lake = connect(exported.lake, time_zone=zone)
    return exported, folder, lake


@app.cell
def _(lake):
    # From the first event to the last one, or to the newest backup: as the clocks of the zone show it.
    [(first, last)] = lake.sql("""
        SELECT CAST(time_of(min(recorded_at)) AS TIMESTAMP),
               CAST(time_of(greatest(max(recorded_at), last_backup_ms())) AS TIMESTAMP)
        FROM history_events
    """).fetchall()
    return first, last


@app.cell(hide_code=True)
def _(exported, first, last, mo, zone):
    mo.stop(first is None, mo.md("There is no event in these backups."))
    mo.md(f"""
    The lake has **{exported.events:,} events** from {len(exported.exported)} backups, from
    {first:%A, %d %B %Y, %H:%M} to {last:%A, %d %B %Y, %H:%M} ({zone}). `lake` is a DuckDB connection with
    views (`events`, `jobs`, `attempts` …) and macros (`jobs_at(moment)` …); docs/analytics.md lists them all.

    ## Was there something wrong?
    """)


@app.cell
def _(lake):
    hours = lake.sql("""
        SELECT CAST(bucket AS TIMESTAMP) AS hour, "by" AS tool, ended AS attempts,
               failed + timed_out AS failed
        FROM failure_rate('tool', bucket := '1 hour') WHERE ended > 0 ORDER BY ALL
    """).pl()
    return (hours,)


@app.cell
def _(alt, hours, zone):
    (
        alt.Chart(hours, title="Attempts that failed, by hour and tool")
        .mark_bar()
        .encode(
            x=alt.X("hour:T", title=f"hour ({zone})"),
            y=alt.Y("failed:Q", title="attempts"),
            color=alt.Color("tool:N"),
            tooltip=["hour:T", "tool", "failed", "attempts"],
        )
        .properties(width=680, height=220)
    )


@app.cell
def _(hours):
    failing = hours.filter(hours["failed"] > 0).sort("failed", descending=True)
    worst = failing.row(0, named=True) if failing.height else None
    # The configurations that are asked about below: of that tool, or of all.
    tool = worst and worst["tool"]
    return tool, worst


@app.cell(hide_code=True)
def _(mo, worst):
    mo.md(
        "No attempt failed."
        if worst is None
        else f"""
    There was: in the hour from {worst["hour"]:%A, %d %B, %H:%M}, {worst["failed"]} of {worst["attempts"]}
    attempts at **{worst["tool"] or "no tool"}** failed. With what?
    """
    )


@app.cell
def _(lake, tool):
    errors = lake.sql(
        """
        SELECT error_message, count(*) AS times, min(completed) AS first, max(completed) AS last
        FROM attempts WHERE tool IS NOT DISTINCT FROM $tool AND status IN ('failed', 'timeout')
        GROUP BY ALL ORDER BY times DESC
        """,
        params={"tool": tool},
    ).pl()
    errors
    return (errors,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## Did somebody do something?

    Every change of a configuration is an event, with who made it and why.
    """)


@app.cell
def _(lake, tool):
    changes = lake.sql(
        "SELECT time, tool_name, type, actor, reason, enabled, config FROM config_audit($tool)",
        params={"tool": tool},
    ).pl()
    changes
    return (changes,)


@app.cell
def _(changes, first, last, lake, timedelta, worst):
    # Around the worst hour, or all there is.
    since = first if worst is None else worst["hour"]
    until = last if worst is None else min(worst["hour"] + timedelta(hours=4), last)
    who = ", ".join(sorted({one for one in changes["actor"] if one})) or "nobody who is named"
    differences = lake.sql(
        """
        SELECT table_name, change, count(*) AS rows
        FROM changes_between($since, $until) GROUP BY ALL ORDER BY ALL
        """,
        params={"since": since.isoformat(), "until": until.isoformat()},
    ).pl()
    return differences, since, until, who


@app.cell(hide_code=True)
def _(changes, differences, mo, since, until, who):
    mo.md(f"""
    There were {changes.height} such changes, by {who}. How many rows became other ones from
    {since:%A, %H:%M} to {until:%A, %H:%M} is below; what each was before and after is in the columns `old`
    and `new` of `changes_between`.

    {mo.as_html(differences)}
    """)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## How it was at any moment

    The tables can be asked as they were: at a position of the log, at a time, or at a backup. Move the
    slider.
    """)


@app.cell
def _(first, last, mo, timedelta, worst):
    begin = first.replace(minute=0, second=0, microsecond=0)
    most = (last - begin) // timedelta(hours=1)
    shown = 0 if worst is None else (worst["hour"] - begin) // timedelta(hours=1) + 1
    hour = mo.ui.slider(
        0,
        max(1, most),
        value=min(max(1, most), shown),
        label=f"hours since {begin:%A, %d %B, %H:%M}",
        show_value=True,
        full_width=True,
    )
    hour
    return begin, hour


@app.cell
def _(begin, hour, lake, last, timedelta):
    moment = min(begin + timedelta(hours=hour.value), last).isoformat()
    jobs_then = lake.sql(
        "SELECT state, tool, count(*) AS jobs FROM jobs_at($moment) GROUP BY ALL ORDER BY ALL",
        params={"moment": moment},
    ).pl()
    jobs_then
    return jobs_then, moment


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## How close were the rate limits?
    """)


@app.cell
def _(lake):
    budgets = lake.sql("""
        SELECT id, CAST(time AS TIMESTAMP) AS time, 100.0 * limit_remaining / limit_total AS left_percent
        FROM rate_limit_burn(NULL) WHERE limit_total > 0 ORDER BY ALL
    """).pl()
    return (budgets,)


@app.cell
def _(alt, budgets, zone):
    (
        alt.Chart(budgets, title="What was left")
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("time:T", title=f"time ({zone})"),
            y=alt.Y("left_percent:Q", title="% of the limit"),
            row=alt.Row("id:N", title=None),
            color=alt.Color("id:N", legend=None),
        )
        .properties(width=680, height=90)
    )


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## Ask something yourself
    """)


@app.cell
def _(mo):
    question = mo.ui.code_editor("FROM job_latency('6 hours')", language="sql", label="SQL")
    question
    return (question,)


@app.cell
def _(lake, question):
    answer = lake.sql(question.value).pl()
    answer
    return (answer,)


if __name__ == "__main__":
    app.run()
