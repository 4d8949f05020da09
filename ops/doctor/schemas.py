"""Checks whether each schema of a configuration would be accepted today."""

from collections.abc import Iterator
from contextlib import closing

from bus.log.states import read_aggregate
from domain import tool_configs
from domain.counting import counted
from domain.json_schema import problem_of
from domain.messages import split_stream
from migrations.connection import open_reader
from ops.doctor.finding import DoctorFinding
from ops.settings import Settings

_MAXIMUM_NAMES = 5


def look_at_schemas(settings: Settings) -> Iterator[DoctorFinding]:
    """Lists the tools whose schema would be refused today, so that their configurations cannot be changed.

    There is no finding if there is no schema.
    """
    with closing(open_reader(settings.store_path)) as connection:
        streams = connection.execute(
            "SELECT DISTINCT stream FROM events WHERE stream > ? AND stream < ?"
            " AND type = 'tool_config.schema_registered.v1'",
            (f"{tool_configs.TABLE}/", f"{tool_configs.TABLE}0"),
        ).fetchall()
        problems = {}
        count = 0
        for (stream,) in streams:
            tool_name = split_stream(str(stream))[1]
            state = read_aggregate(connection, tool_configs.TABLE, tool_name).state
            if isinstance(state, tool_configs.ToolConfig) and state.schema is not None:
                count += 1
                if problem := problem_of(state.schema):
                    problems[tool_name] = problem
    if problems:
        named = [f"{tool}: {problem}" for tool, problem in list(problems.items())[:_MAXIMUM_NAMES]]
        yield DoctorFinding(
            check="schemas",
            level="attention",
            message=f"{counted(len(problems), 'schema')} would be refused today, and their tools keep the"
            f" configurations that they have: {'; '.join(named)}",
            hint="register others with tool_configs.register_schema, or end them with"
            " tool_configs.remove_schema",
            figures={"schemas": count, "refused": len(problems)},
        )
    elif count:
        yield DoctorFinding(
            check="schemas",
            message=f"every schema of a configuration would be taken today ({count})",
            figures={"schemas": count, "refused": 0},
        )
