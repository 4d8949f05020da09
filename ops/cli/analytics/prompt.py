"""A prompt for SQL over a lake: `run_shell`. It is DuckDB's own command line, if that is installed."""

import os
import shutil
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from ops.analytics.asking.query import explained, statements_in
from ops.analytics.lake.catalogue import Catalogue
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.locks import held
from ops.analytics.lake.manifest import require_manifest
from ops.analytics.lake.session import Connection, connect
from ops.analytics.lake.times import setting_of

SHOWN_ROWS = 40
HELP = """Statements end with a semicolon, and may go over several lines.

  .tables     the views, and the macros with what they take
  .help       this
  .quit       ends; so does Ctrl-D"""
_TABLES = """
    SELECT view_name AS name, 'view' AS kind FROM duckdb_views() WHERE NOT internal
    UNION ALL
    SELECT function_name || '(' || array_to_string(parameters, ', ') || ')', 'macro'
    FROM duckdb_functions() WHERE NOT internal AND function_type LIKE '%macro'
    ORDER BY kind DESC, name"""


def run_shell(lake: Path, *, snapshot: str | None = None, time_zone: str | None = None) -> int:
    """Runs statements from the terminal, or from a pipe, until the input ends; the exit code.

    The database is in memory: tables made there are gone at the end, and the lake stays as it is.

    Raises:
        AnalyticsError: there is no lake, it has no such snapshot, or there is no such time zone.
    """
    program = shutil.which("duckdb")
    if program is not None:
        return _run_program(program, lake, snapshot, time_zone)
    with connect(lake, snapshot=snapshot, time_zone=time_zone) as connection:
        return _Prompt(connection, is_terminal=sys.stdin.isatty()).run()


def _run_program(program: str, lake: Path, snapshot: str | None, time_zone: str | None) -> int:
    with held(lake) or nullcontext():
        catalogue = Catalogue(require_manifest(lake), lake, snapshot=snapshot, time_zone=time_zone)
        statements = (setting_of(time_zone), *catalogue.statements())
        with tempfile.NamedTemporaryFile("w", suffix=".sql", encoding="utf-8") as file:
            file.write("".join(f"{statement};\n" for statement in statements))
            file.flush()
            # A child process, since this process must remove the file afterwards.
            return os.spawnv(os.P_WAIT, program, [program, "-init", file.name])


class _Prompt:
    """Reads statements and shows their answers."""

    def __init__(self, connection: Connection, *, is_terminal: bool) -> None:
        self._connection = connection
        self._is_terminal = is_terminal
        self._failed = False

    def run(self) -> int:
        """Runs until the input ends, or, from a pipe, until a statement fails; the exit code."""
        if self._is_terminal:
            # The import gives the prompt a history and arrow keys.
            import readline  # noqa: F401

            print("SQL over a lake, with DuckDB. .help for help.")
        entered = ""
        while not self._failed or self._is_terminal:
            try:
                line = self._read("  ... " if entered else "lake> ")
            except EOFError:
                break
            except KeyboardInterrupt:
                print()
                entered = ""
                continue
            if not entered and line.startswith("."):
                if line.strip() in (".quit", ".exit"):
                    break
                self._command(line.strip())
                continue
            entered += line + "\n"
            if line.rstrip().endswith(";"):
                self._carry_out(entered)
                entered = ""
        if entered.strip():
            self._carry_out(entered)
        return int(self._failed and not self._is_terminal)

    def _read(self, prompt: str) -> str:
        if self._is_terminal:
            return input(prompt)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")

    def _command(self, name: str) -> None:
        if name == ".tables":
            self._show(_TABLES, rows=1_000)
        else:
            print(HELP)

    def _carry_out(self, entered: str) -> None:
        try:
            with explained():
                for statement in statements_in(entered):
                    self._show(statement)
        except AnalyticsError as error:
            self._failed = True
            print(error, file=sys.stderr)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)

    def _show(self, statement: str, rows: int = SHOWN_ROWS) -> None:
        answer = self._connection.sql(statement)
        if answer is not None:
            answer.show(max_rows=rows)
