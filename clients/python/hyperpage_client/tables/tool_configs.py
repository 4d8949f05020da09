"""The table `tool_configs`. Made by `make client`."""

from typing import Any, Unpack

from hyperpage_client.answers.tool_configs import ValidateResult
from hyperpage_client.commands import tool_configs as commands
from hyperpage_client.queries.table import Answer, Sent
from hyperpage_client.queries.tool_configs import ToolConfigsQueries


class ToolConfigs(ToolConfigsQueries):
    """The commands and queries of `tool_configs`."""

    async def set(
        self,
        tool_name: str,
        *,
        enabled: bool = True,
        config: dict[str, Any] = {},
        refresh_interval: int | None = None,
        notifications: bool = True,
        reason: str | None = None,
        **about: Unpack[Sent],
    ) -> Answer[None]:
        """The whole configuration of a tool."""
        command = commands.Set(
            tool_name=tool_name,
            enabled=enabled,
            config=config,
            refresh_interval=refresh_interval,
            notifications=notifications,
            reason=reason,
        )
        return await self._send(command, None, about)

    async def patch(
        self, tool_name: str, patch: dict[str, Any], *, reason: str | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """Changes of `config` as a JSON merge patch (RFC 7386): `null` removes a member."""
        command = commands.Patch(tool_name=tool_name, patch=patch, reason=reason)
        return await self._send(command, None, about)

    async def enable(
        self, tool_name: str, *, reason: str | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """The tool is on from now on."""
        command = commands.Enable(tool_name=tool_name, reason=reason)
        return await self._send(command, None, about)

    async def disable(
        self, tool_name: str, *, reason: str | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """The tool is off from now on."""
        command = commands.Disable(tool_name=tool_name, reason=reason)
        return await self._send(command, None, about)

    async def set_refresh_interval(
        self,
        tool_name: str,
        refresh_interval: int | None,
        *,
        reason: str | None = None,
        **about: Unpack[Sent],
    ) -> Answer[None]:
        """How often the tool is refreshed, in milliseconds; `null` leaves it to the tool."""
        command = commands.SetRefreshInterval(
            tool_name=tool_name, refresh_interval=refresh_interval, reason=reason
        )
        return await self._send(command, None, about)

    async def set_notifications(
        self, tool_name: str, notifications: bool, *, reason: str | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """Whether the tool notifies."""
        command = commands.SetNotifications(tool_name=tool_name, notifications=notifications, reason=reason)
        return await self._send(command, None, about)

    async def rollback(
        self, tool_name: str, to_version: int, *, reason: str | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """A new version with the content of an old one, also of a tool that was deleted since."""
        command = commands.Rollback(tool_name=tool_name, to_version=to_version, reason=reason)
        return await self._send(command, None, about)

    async def delete(
        self, tool_name: str, *, reason: str | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """The tool has no configuration from now on."""
        command = commands.Delete(tool_name=tool_name, reason=reason)
        return await self._send(command, None, about)

    async def register_schema(
        self, tool_name: str, schema: dict[str, Any], *, reason: str | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """From now on, the tool's configuration must match this JSON Schema; if there is one, it already does.

        The schema is of draft 2020-12, unless `$schema` says 2019-09 or draft 7. It refers to nothing but its own
        parts (`#/$defs/…`), and has no circle of references. Its work is bounded: regular expressions have no
        lookaround and no backreferences, and `unevaluatedProperties` is not nested deeply.
        """
        command = commands.RegisterSchema(tool_name=tool_name, schema=schema, reason=reason)
        return await self._send(command, None, about)

    async def remove_schema(
        self, tool_name: str, *, reason: str | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """The tool's configuration may be anything from now on."""
        command = commands.RemoveSchema(tool_name=tool_name, reason=reason)
        return await self._send(command, None, about)

    async def validate(
        self, tool_name: str, config: dict[str, Any], **about: Unpack[Sent]
    ) -> Answer[ValidateResult]:
        """Whether `set` would accept this `config` for the tool; nothing is stored.

        The result is `{"valid": …, "errors": [{"path", "message"}]}`, with the first errors if there are many.
        """
        command = commands.Validate(tool_name=tool_name, config=config)
        return await self._send(command, ValidateResult, about)
