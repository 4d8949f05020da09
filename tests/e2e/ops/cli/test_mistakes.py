"""Typing mistakes are explained, also where no service runs."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.services.command_line import PROGRAM, environment, hyperpage

OBJECT = "a body is an object of JSON, with double quotes around names and texts: "


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["query", "jobs"], "`hyperpage query jobs.get`, say: jobs has get, list, count, "),
        (["send", "app_states"], "`hyperpage send app_state.set`, say: app_state has set, "),
        (["send", "jobs enqueue"], "did you mean jobs.enqueue?"),
        (["query", "nothing like it"], "for example jobs.get; "),
        (["query", "jobs.get", "9f1c"], OBJECT + """'{"id": "9f1c"}'; `hyperpage schema jobs.get`"""),
        (["send", "jobs.enqueue", "type=sync"], OBJECT + """'{"type": "sync"}'; """),
        (["send", "app_state.set", "{key: a}"], OBJECT + """'{"key": "...", "value": "..."}'; """),
        (["send", "no.such", "{"], OBJECT + """'{"key": "theme"}'"""),
        (["query", "jobs.list", "--jsn"], "did you mean --json?"),
        (["send", "jobs.enqueue", "@nothing.json"], f"it is looked for from {Path.cwd()} on; - reads"),
        (["tail", "--stream", "9f1c"], "it is a table and a key, such as jobs/9f1c; the tables are jobs, "),
        (["tail", "--stream", "job/9f1c"], "did you mean jobs/9f1c? "),
        (["tail", "--stream", "jobs"], "it goes on with a key: jobs/9f1c, say"),
    ],
)
def test_a_hint_says_what_was_meant(typed: list[str], hint: str) -> None:
    ended = hyperpage(*typed)

    assert ended.code == 2
    assert f"hint: {hint}" in ended.err


def test_a_body_without_quotes_is_told_from_other_arguments() -> None:
    unquoted = hyperpage("send", "jobs.enqueue", "{type:", "sync}")
    misspelt = hyperpage("send", "jobs.enqueue", "{}", "--expected-versoin", "1")

    assert (unquoted.code, misspelt.code) == (2, 2)
    assert "The body is one argument, in single quotes" in unquoted.err
    assert "Did you mean --expected-version?" in misspelt.err
    # An option with which the typed one begins wins over one with more letters in common, here --nats-port.
    assert "Unknown option: --http-port. Did you mean --http?" in hyperpage("serve", "--http-port", "80").err


def test_a_failure_that_nobody_reads_is_no_defect(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [*PROGRAM, "query", "jobs.list", "--json", "--data", tmp_path],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)

    assert (ended.returncode, ended.stderr.splitlines()[0]) == (5, f"error: no service runs on {tmp_path}")
