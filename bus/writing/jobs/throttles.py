"""`Throttles`: the platforms that answer no calls at present."""

import heapq
from collections.abc import Iterable

from domain.rate_limits.job_calls import Account, account_of, accounts_over
from domain.rate_limits.state import RateLimit

# With more than this many entries, those that are over are looked for.
_FEW = 64


class Throttles:
    """The limits whose waits hold up others of their account, too. Owned by the writer's thread.

    Clients choose the names of limits, and no event says when a wait is over. So waits that are over are
    dropped whenever there are twice as many as the last time, and cost a claim nothing until then.
    """

    def __init__(self, known: Iterable[RateLimit] = ()) -> None:
        self._waits: dict[str, tuple[Account, int]] = {}
        # Heaps: the longest wait of an account is the first. Entries that are not in `_waits` are outdated.
        self._by_account: dict[Account, list[tuple[int, str]]] = {}
        self._entries = 0
        self._drop_beyond = _FEW
        for one in known:
            self.replace(one.key, one)

    def __len__(self) -> int:
        """How many entries are kept."""
        return self._entries

    def replace(self, key: str, known: RateLimit | None) -> Account | None:
        """Notes the new state of a limit. The account whose calls now wait less long than before, if any."""
        before = self._waits.pop(key, None)
        account = None if known is None else account_of(known)
        if known is None or known.throttled_until is None or account is None:
            return None if before is None else before[0]
        wait = self._waits[key] = account, known.throttled_until
        if wait == before:
            return None
        heapq.heappush(self._by_account.setdefault(account, []), (-known.throttled_until, key))
        self._entries += 1
        if self._entries > self._drop_beyond:
            self._drop(known.updated_at)
        is_shorter = before is not None and (before[0] != account or known.throttled_until < before[1])
        return before[0] if before is not None and is_shorter else None

    def until(self, key: str) -> int:
        """Until when the platform of a limit holds up its calls; 0 if it does not."""
        return max(map(self._longest, accounts_over(key)))

    def _longest(self, account: Account) -> int:
        entries = self._by_account.get(account, [])
        while entries and not self._counts(account, entries[0]):
            heapq.heappop(entries)
            self._entries -= 1
        return -entries[0][0] if entries else 0

    def _counts(self, account: Account, entry: tuple[int, str]) -> bool:
        return self._waits.get(entry[1]) == (account, -entry[0])

    def _drop(self, now: int) -> None:
        """Drops the limits whose wait is over."""
        self._waits = {key: wait for key, wait in self._waits.items() if wait[1] > now}
        self._by_account = {}
        for key, (account, until) in self._waits.items():
            self._by_account.setdefault(account, []).append((-until, key))
        for entries in self._by_account.values():
            heapq.heapify(entries)
        self._entries = len(self._waits)
        self._drop_beyond = 2 * self._entries + _FEW
