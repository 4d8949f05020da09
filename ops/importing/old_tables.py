"""The tables of the system before this one, and the names of their columns in each of its variants."""

from collections.abc import Iterable, Mapping

import msgspec


class OldTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table: the fields that are read, and the `required` ones, without which it is not that table.

    A column is found by the name of its field, written with underscores or as `createdAt`, or else by the
    first of the field's `other_names` that is there.
    """

    name: str
    fields: tuple[str, ...]
    required: frozenset[str]
    other_names: Mapping[str, tuple[str, ...]] = {}

    def columns(self, present: Iterable[str]) -> dict[str, str]:
        """The column of each field that has one."""
        by_plain_name = {_plain(column): column for column in present}
        found = {}
        for field in self.fields:
            names = map(_plain, (field, *self.other_names.get(field, ())))
            column = next((by_plain_name[name] for name in names if name in by_plain_name), None)
            if column is not None:
                found[field] = column
        return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


JOBS = OldTable(
    name="jobs",
    fields=_names(
        "id type name priority status tool endpoint payload result created_at updated_at"
        " started_at completed_at retry_count persisted_at recovery_attempts run_at attempt error"
    ),
    required=frozenset({"id", "type", "name", "status", "created_at"}),
    other_names={"run_at": ("scheduled_at",), "attempt": ("attempts",), "error": ("last_error",)},
)
# A later variant has a row for each change of a job, not for each attempt, with its time and details.
JOB_HISTORY = OldTable(
    name="job_history",
    fields=_names("id job_id attempt status started_at completed_at duration_ms error_message"),
    required=frozenset({"job_id", "status"}),
    other_names={"started_at": ("created_at",), "error_message": ("details",)},
)
RATE_LIMITS = OldTable(
    name="rate_limits",
    fields=_names("id platform limit_remaining limit_total reset_time last_updated created_at"),
    required=frozenset({"id", "platform", "last_updated"}),
)
TOOL_CONFIGS = OldTable(
    name="tool_configs",
    fields=_names("tool_name enabled config refresh_interval notifications updated_at"),
    required=frozenset({"tool_name", "updated_at"}),
)
APP_STATE = OldTable(
    name="app_state", fields=_names("key value updated_at"), required=frozenset({"key", "value"})
)
OLD_TABLES = (JOBS, JOB_HISTORY, RATE_LIMITS, TOOL_CONFIGS, APP_STATE)
