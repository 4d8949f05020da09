"""Which platforms answer nobody at present: `Throttles`."""

from collections.abc import Iterable

from domain.rate_limits.job_calls import account_of, holds_up
from domain.rate_limits.messages import parts_of
from domain.rate_limits.state import RateLimit


class Throttles:
    """The limits whose waits count for others of their platform, too. Owned by the writer's thread.

    There are few: one whose wait is over stays until something else is heard of it, and holds nobody up.
    """

    def __init__(self, known: Iterable[RateLimit] = ()) -> None:
        self._by_platform: dict[str, dict[str, RateLimit]] = {}
        for one in known:
            self.replace(one.key, one)

    def replace(self, key: str, known: RateLimit | None) -> bool:
        """A limit is this from now on; whether that changes anything for the others of its platform."""
        platform = parts_of(key)[0]
        before = self._by_platform.get(platform, {}).get(key)
        if known is not None and known.throttled_until is not None and account_of(known) is not None:
            self._by_platform.setdefault(platform, {})[key] = known
            return before is None or before.throttled_until != known.throttled_until
        if before is None:
            return False
        others = self._by_platform[platform]
        del others[key]
        if not others:
            del self._by_platform[platform]
        return True

    def until(self, key: str) -> int:
        """Until when nothing is to be had of a limit on account of others; 0 without any."""
        others = self._by_platform.get(parts_of(key)[0], {})
        return max((one.throttled_until or 0 for one in others.values() if holds_up(one, key)), default=0)
