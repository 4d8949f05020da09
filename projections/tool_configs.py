"""The table `tool_configs`, with one row for each tool."""

from typing import Annotated, Any

import msgspec

from domain import tool_configs
from domain.messages import Key, about
from domain.tool_configs import ToolConfig
from projections.table import Row, Table, page_query


class GetToolConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration of one tool."""

    tool_name: Key


class CountToolConfigs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configurations that match the filters."""

    enabled: bool | None = None
    notifications: bool | None = None


class ToolConfigRow(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a tool."""

    tool_name: str
    enabled: bool
    config: dict[str, Any]
    refresh_interval: Annotated[int | None, about("the time between two refreshes, in milliseconds")]
    notifications: bool
    updated_at: Annotated[int, about("when the configuration last changed, in milliseconds since the epoch")]
    version: Annotated[int, about("the version of its stream")]
    position: Annotated[int, about("the position of its last event")]
    schema: Annotated[
        dict[str, Any] | None, about("the JSON Schema that `config` has to match, if there is one")
    ]


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
    shape=ToolConfigRow,
    row=_row,
    get_query=GetToolConfig,
    key_of=lambda query: str(query.tool_name),
    count_query=CountToolConfigs,
    list_query=page_query(
        CountToolConfigs, "Configurations that match the filters, in the order of the tools' names."
    ),
    mirrored=True,
)
