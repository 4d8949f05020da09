"""Two days of a small company, asked with SQL: a notebook of marimo's.

    marimo edit docs/notebook/analytics.py

It is a program, too: `python docs/notebook/analytics.py` runs every cell.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Two days, asked with SQL")


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Two days, asked with SQL

    The folder `sample` beside this notebook has three backups of a small company that syncs its tools: three
    tools, two workers, and, on the second day, something that went wrong. What was it, and what did it do?

    Everything here works offline, and only reads. To ask your own backups, name their folder below.
    """)


@app.cell
def _():
    import tempfile
    from pathlib import Path

    import altair as alt
    import marimo as mo

    from ops.analytics import connect
    from ops.analytics.export.exporting import export
    from ops.backup.metadata import list_backups

    return Path, alt, connect, export, list_backups, mo, tempfile


@app.cell
def _(Path, connect, export, list_backups, tempfile):
    backups = Path(__file__).parent / "sample"
    # `hyperpage analytics export` makes such a lake in DIR/lake, and keeps it.
    folder = tempfile.TemporaryDirectory(prefix="hyperpage-notebook-")
    exported = export(
        list_backups(backups), Path(folder.name) / "lake", store_id=None, scratch=Path(folder.name)
    )
    lake = connect(exported.lake)
    return exported, folder, lake


@app.cell(hide_code=True)
def _(exported, mo):
    mo.md(f"""
    The lake has **{exported.events:,} events** from {len(exported.exported)} backups. `lake` is a DuckDB
    connection with views (`events`, `jobs`, `attempts` …) and macros (`jobs_at(moment)` …); docs/analytics.md
    lists them all.

    ## Was there something wrong?
    """)


@app.cell
def _(lake):
    hours = lake.sql("""
        SELECT date_trunc('hour', completed) AS hour, tool, count(*) AS attempts,
               count(*) FILTER (status IN ('failed', 'timeout')) AS failed
        FROM attempts WHERE completed IS NOT NULL GROUP BY ALL ORDER BY ALL
    """).pl()
    return (hours,)


@app.cell
def _(alt, hours):
    (
        alt.Chart(hours, title="Attempts that failed, by hour and tool")
        .mark_bar()
        .encode(
            x=alt.X("hour:T", title="hour (UTC)"),
            y=alt.Y("failed:Q", title="attempts"),
            color=alt.Color("tool:N"),
            tooltip=["hour:T", "tool", "failed", "attempts"],
        )
        .properties(width=680, height=220)
    )


@app.cell
def _(hours):
    worst = hours.sort("failed", descending=True).row(0, named=True)
    return (worst,)


@app.cell(hide_code=True)
def _(mo, worst):
    mo.md(f"""
    There was: in the hour from {worst["hour"]:%A, %H:%M}, {worst["failed"]} of {worst["attempts"]} attempts
    at **{worst["tool"]}** failed. With what?
    """)


@app.cell
def _(lake, worst):
    errors = lake.sql(
        """
        SELECT error_message, count(*) AS times, min(completed) AS first, max(completed) AS last
        FROM attempts WHERE tool = $tool AND status = 'failed' GROUP BY ALL ORDER BY times DESC
        """,
        params={"tool": worst["tool"]},
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
def _(lake, worst):
    changes = lake.sql(
        "SELECT time, type, actor, reason, enabled, config FROM config_audit($tool)",
        params={"tool": worst["tool"]},
    ).pl()
    changes
    return (changes,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    Somebody switched it off, and on again; and a change of that morning was taken back. How many rows became
    other ones between two moments, what each was before and after is in the columns `old` and `new`:
    """)


@app.cell
def _(lake):
    differences = lake.sql("""
        SELECT table_name, change, count(*) AS rows
        FROM changes_between('2026-10-06T13:00:00Z', '2026-10-06T16:30:00Z') GROUP BY ALL ORDER BY ALL
    """).pl()
    differences
    return (differences,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## How it was at any moment

    The tables can be asked as they were: at a position of the log, at a time, or at a backup. Move the
    slider.
    """)


@app.cell
def _(mo):
    hour = mo.ui.slider(
        0, 47, value=38, label="hours since Monday, 00:00 UTC", show_value=True, full_width=True
    )
    hour
    return (hour,)


@app.cell
def _(hour, lake):
    moment = f"2026-10-{5 + hour.value // 24:02d}T{hour.value % 24:02d}:00:00Z"
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
        SELECT platform, time, 100.0 * limit_remaining / limit_total AS left_percent
        FROM (SELECT DISTINCT platform FROM rate_limits) AS p, LATERAL (
            SELECT make_timestamp_ms(last_updated) AS time, limit_remaining, limit_total
            FROM rate_limits_versions AS v WHERE v.platform = p.platform AND NOT v.deleted
        ) ORDER BY ALL
    """).pl()
    return (budgets,)


@app.cell
def _(alt, budgets):
    (
        alt.Chart(budgets, title="What was left")
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("time:T", title="time (UTC)"),
            y=alt.Y("left_percent:Q", title="% of the limit"),
            row=alt.Row("platform:N", title=None),
            color=alt.Color("platform:N", legend=None),
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
