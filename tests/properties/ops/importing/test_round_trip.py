"""Any rows of the old system are the same after an import."""

import json
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.credentials.scanning import AllowedPaths
from ops.importing.destinations import StoppedStore
from ops.importing.importer import ImportReport, import_all
from ops.importing.source import Source
from projections import rebuild
from tests.support.clock import NOW
from tests.support.examples import examples
from tests.support.stores.migrated import migrated_memory
from tests.support.stores.old_databases import old_database

# Texts that look like credentials are let through: this is about reading and writing.
ALLOWED = AllowedPaths(
    f"*.import:${''.join(steps)}"
    for steps in (
        [".name"], [".type"], [".tool"], [".endpoint"], [".id"], [".key"], [".tool_name"], [".platform"],
        [".history[*].status"], [".history[*].error_message"],
    )
)  # fmt: skip

times = st.integers(0, 253_402_300_799_999)
# The number of attempts is one more than the retries, and must fit, too.
counts = st.integers(0, 2**31 - 2)
# With all that may confuse a reader: nothing, controls, quotes, other planes.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9:@/+=_-]{0,12}", fullmatch=True)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def spelled(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """JSON as one program or another writes it."""
    return st.builds(
        lambda value, indent, ascii_alone, blanks: (
            blanks + json.dumps(value, indent=indent, ensure_ascii=ascii_alone) + blanks
        ),
        strategy,
        st.sampled_from([None, 2]),
        st.booleans(),
        st.sampled_from(["", " ", "\n\t"]),
    )


jobs = st.fixed_dictionaries(
    {
        "id": keys,
        "type": texts.filter(bool),
        "name": texts,
        "priority": st.integers(1, 4),
        "status": st.sampled_from(
            ["pending", "running", "retrying", "completed", "failed", "cancelled", "timeout"]
        ),
        "tool": st.none() | texts,
        "endpoint": st.none() | texts,
        "payload": st.none() | spelled(values),
        "result": st.none() | spelled(values),
        "created_at": times,
        "updated_at": times,
        "started_at": st.none() | times,
        "completed_at": st.none() | times,
        "retry_count": counts,
        "persisted_at": times,
        "recovery_attempts": counts,
    }
)
attempts = st.fixed_dictionaries(
    {
        "attempt": counts,
        "status": texts.filter(bool),
        "started_at": st.none() | times,
        "completed_at": st.none() | times,
        "duration_ms": st.none() | st.integers(0, 2**53 - 1),
        "error_message": st.none() | texts,
    }
)
rate_limits = st.builds(
    lambda platform, rest: {"id": f"ratelimit:{platform}", "platform": platform, **rest},
    st.from_regex(r"[A-Za-z0-9][a-z-]{0,8}", fullmatch=True),
    st.fixed_dictionaries(
        {
            "limit_remaining": st.none() | st.integers(0, 2**53 - 1),
            "limit_total": st.none() | st.integers(0, 2**53 - 1),
            "reset_time": st.none() | times,
            "last_updated": times,
            "created_at": times,
        }
    ),
)
tool_configs = st.fixed_dictionaries(
    {
        "tool_name": keys,
        "enabled": st.sampled_from([0, 1]),
        "config": spelled(st.dictionaries(texts, values, max_size=3)),
        "refresh_interval": st.none() | st.integers(0, 31_622_400_000),
        "notifications": st.sampled_from([0, 1]),
        "updated_at": times,
    }
)
states = st.fixed_dictionaries({"key": keys, "value": spelled(values), "updated_at": times})


def by_key(rows: st.SearchStrategy[Any], key: str) -> st.SearchStrategy[Any]:
    return st.lists(rows, max_size=4, unique_by=lambda row: row[key])


def imported(folder: Path, **tables: Any) -> tuple[ImportReport, apsw.Connection]:
    connection = migrated_memory()
    destination = StoppedStore(connection, ALLOWED, lambda: NOW)
    with closing(Source(old_database(folder / "old.db", **tables))) as source:
        report = import_all(source, destination, allowed=ALLOWED)
    assert rebuild.verify(connection, folder / "scratch").equal
    return report, connection


def rows_of(connection: apsw.Connection, table: str, columns: Any) -> list[dict[str, Any]]:
    rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table}")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def unified(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it is compared: JSON by what it says, no JSON and `null` as the same."""
    decoded = {
        name: json.dumps(json.loads(row[name] or "null"), sort_keys=True)
        for name in ("payload", "result", "config", "value")
        if name in row
    }
    status = {"status": "retrying"} if row.get("status") == "running" else {}
    return row | decoded | status


KEYS = {
    "jobs": "id",
    "job_history": "job_id",
    "rate_limits": "id",
    "tool_configs": "tool_name",
    "app_state": "key",
}


def ordered(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    # Several attempts may have the same key.
    return sorted(map(unified, rows), key=lambda row: (row[key], json.dumps(row, sort_keys=True)))


@settings(max_examples=examples(60), deadline=None, phases=[Phase.generate])
@given(
    jobs=by_key(jobs, "id"),
    attempts=st.lists(attempts, max_size=3),
    rate_limits=by_key(rate_limits, "id"),
    tool_configs=by_key(tool_configs, "tool_name"),
    states=by_key(states, "key"),
)
def test_every_row_is_afterwards_what_it_was(jobs, attempts, rate_limits, tool_configs, states):
    history = [{"job_id": job["id"], **one} for job in jobs for one in attempts]
    tables = {
        "jobs": jobs,
        "job_history": history,
        "rate_limits": rate_limits,
        "tool_configs": tool_configs,
        "app_state": states,
    }
    with tempfile.TemporaryDirectory() as folder:
        report, connection = imported(Path(folder), **tables)
        with closing(connection):
            # A credential in JSON may be anywhere; other tests are about that.
            assert {one.code for one in report.not_taken} <= {"secret_rejected"}
            for table, rows in tables.items():
                if rows and not report.tables[table].not_taken:
                    stored = rows_of(connection, table, rows[0])
                    assert ordered(stored, KEYS[table]) == ordered(rows, KEYS[table])
