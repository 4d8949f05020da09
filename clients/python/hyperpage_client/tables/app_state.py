"""The table `app_state`. Made by `make client`."""

from collections.abc import Sequence
from typing import Any, Unpack

from hyperpage_client.commands import app_state as commands
from hyperpage_client.commands.app_state import AppStateItem
from hyperpage_client.queries.app_state import AppStateQueries
from hyperpage_client.queries.table import Answer, Sent, SentToAny


class AppState(AppStateQueries):
    """The commands and queries of `app_state`."""

    async def set(
        self, key: str, value: Any, *, ttl_ms: int | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """The key holds this value from now on, or for `ttl_ms` milliseconds."""
        command = commands.Set(key=key, value=value, ttl_ms=ttl_ms)
        return await self._send(command, None, about)

    async def set_if(
        self,
        key: str,
        value: Any,
        expected_version: int,
        *,
        ttl_ms: int | None = None,
        **about: Unpack[SentToAny],
    ) -> Answer[None]:
        """As `set`, if the key is at `expected_version` (0: holds nothing)."""
        command = commands.SetIf(key=key, value=value, expected_version=expected_version, ttl_ms=ttl_ms)
        return await self._send(command, None, about)

    async def delete(self, key: str, **about: Unpack[Sent]) -> Answer[None]:
        """The key holds nothing from now on."""
        command = commands.Delete(key=key)
        return await self._send(command, None, about)

    async def set_many(self, items: Sequence[AppStateItem], **about: Unpack[Sent]) -> Answer[None]:
        """All of these keys hold these values from now on, or none of them."""
        command = commands.SetMany(items=items)
        return await self._send(command, None, about)
