"""The table `tool_configs`, one row a tool."""

import msgspec

from domain import tool_configs
from domain.messages import Key
from domain.tool_configs import ToolConfig
from projections.table import Row, Table, page_query


class GetToolConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration of one tool."""

    tool_name: Key


class CountToolConfigs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configurations by what they say."""

    enabled: bool | None = None
    notifications: bool | None = None


def _row(config: ToolConfig, version: int, position: int) -> Row | None:
    if not config.present:
        return None
    return (
        config.tool_name,
        int(config.enabled),
        msgspec.json.encode(config.config).decode(),
        config.refresh_interval,
        int(config.notifications),
        config.updated_at,
        version,
        position,
        config.schema,
    )


TABLE = Table(
    name=tool_configs.TABLE,
    columns=(
        "tool_name",
        "enabled",
        "config",
        "refresh_interval",
        "notifications",
        "updated_at",
        "version",
        "position",
        "schema",
    ),
    row=_row,
    get_query=GetToolConfig,
    key_of=lambda query: str(query.tool_name),
    count_query=CountToolConfigs,
    list_query=page_query(
        CountToolConfigs, "Configurations by what they say, in the order of the tools' names."
    ),
    json_columns=frozenset({"config", "schema"}),
    boolean_columns=frozenset({"enabled", "notifications"}),
)
