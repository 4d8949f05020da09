"""The differences between two versions of a tool's configuration, both read from the log."""

from typing import Annotated, Any

import apsw
import msgspec

from bus.contract.codec import encode
from bus.log.states import read_aggregate
from domain.errors import NotFound
from domain.json_values import differences
from domain.messages import Key
from domain.tool_configs import TABLE, ToolConfig

Version = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class DiffToolConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The changes of a tool's configuration between two versions; version 0 is before the first one.

    The changes are in the order of the paths. If one version is a deletion, everything in the other one
    counts as added or removed.
    """

    tool_name: Key
    from_version: Version
    to_version: Version


class ConfigMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member that only one of the two versions has."""

    path: str
    value: Any


class ChangedConfigMember(
    msgspec.Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}
):
    """A member that both versions have, with different values."""

    path: str
    before: Any
    after: Any


class ToolConfigDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The differences between two versions, in the order of the paths."""

    added: tuple[ConfigMember, ...]
    removed: tuple[ConfigMember, ...]
    changed: tuple[ChangedConfigMember, ...]


def diff(connection: apsw.Connection, query: DiffToolConfig) -> bytes:
    """The answer to `tool_configs.diff`."""
    before = _content(connection, query.tool_name, query.from_version)
    after = _content(connection, query.tool_name, query.to_version)
    changes = sorted(differences(before, after), key=lambda change: change.path)
    return encode(
        ToolConfigDiff(
            added=tuple(
                ConfigMember(path=one.path, value=one.after) for one in changes if one.kind == "added"
            ),
            removed=tuple(
                ConfigMember(path=one.path, value=one.before) for one in changes if one.kind == "removed"
            ),
            changed=tuple(
                ChangedConfigMember(path=one.path, before=one.before, after=one.after)
                for one in changes
                if one.kind == "changed"
            ),
        )
    )


def _content(connection: apsw.Connection, tool_name: str, version: int) -> dict[str, Any]:
    """The content of a version; empty if it is a deletion, or version 0.

    Raises:
        NotFound: there is no such version.
    """
    found = read_aggregate(connection, TABLE, tool_name, up_to_version=version)
    if found.version != version:
        raise NotFound(f"{tool_name} has no version {version}", version=version)
    return {} if found.state is None else _said(found.state)


def _said(config: ToolConfig) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if config.present:
        said |= {
            "enabled": config.enabled,
            "config": config.config,
            "refresh_interval": config.refresh_interval,
            "notifications": config.notifications,
        }
    if config.schema is not None:
        said["schema"] = msgspec.json.decode(config.schema)
    return said
