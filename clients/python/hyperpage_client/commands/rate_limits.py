"""The commands of `rate_limits`. Made by `make client`."""

from typing import Annotated, ClassVar

import msgspec

from hyperpage_client.commands.fields import Key, KeyPart, Text, Time
from hyperpage_client.contract.commands import Command


class Observe(Command, frozen=True, kw_only=True):
    """What a platform said of its limit. `reset_time` and `observed_at` in milliseconds since the epoch.

    What it leaves out stays as it is known, within the same window. Observations come often and say little
    new: one becomes an event when it shows another window, a change of 5 % of the limit or of the level, or
    is a minute younger than the last one kept. With `data_fresh: false` (it came from a cache, say) nothing
    is kept. `reservation` says for which one the calls were made: it is then spent.
    """

    command_name: ClassVar[str] = "rate_limits.observe"

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None
    remaining: Annotated[int, msgspec.Meta(ge=0, le=9007199254740991)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=0, le=9007199254740991)] | None = None
    used: Annotated[int, msgspec.Meta(ge=0, le=9007199254740991)] | None = None
    reset_time: Time | None = None
    observed_at: Time | None = None
    data_fresh: bool = True
    reservation: Key | None = None


class ObserveResponse(Command, frozen=True, kw_only=True):
    """What a platform answered to a call: the status, and the headers as they came, in any case.

    Headers that say nothing of limits are not looked at, values that make no sense are ignored, and none is
    stored. Where no `resource` is given, that of the headers counts (GitHub's `core`, a bucket of Discord's).
    429, 503 with Retry-After, and GitHub's 403 count as a refusal on account of a limit; `rate_limited` says
    so, or denies it, where the body told the caller. After a refusal no call is allowed until Retry-After has
    passed; else, where nothing remains, until the reset; else for 60 s, twice as long with each further one.
    The result is what `may_call` answers, with the `resource`.
    """

    command_name: ClassVar[str] = "rate_limits.observe_response"

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None
    status: Annotated[int, msgspec.Meta(ge=100, le=599)]
    headers: Annotated[
        dict[
            Annotated[str, msgspec.Meta(min_length=1, max_length=256)],
            Annotated[str, msgspec.Meta(max_length=8192)]
            | Annotated[list[Annotated[str, msgspec.Meta(max_length=8192)]], msgspec.Meta(max_length=20)],
        ],
        msgspec.Meta(max_length=200),
    ]
    observed_at: Time | None = None
    rate_limited: bool | None = None
    reservation: Key | None = None


class Throttle(Command, frozen=True, kw_only=True):
    """No calls before `until` (milliseconds since the epoch)."""

    command_name: ClassVar[str] = "rate_limits.throttle"

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None
    until: Time
    reason: Text | None = None


class SetThresholds(Command, frozen=True, kw_only=True):
    """From which share of the limit used, in percent, the level is warning, and from which critical."""

    command_name: ClassVar[str] = "rate_limits.set_thresholds"

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None
    warning_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 80
    critical_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 95


class Reserve(Command, frozen=True, kw_only=True):
    """Calls set aside for one worker, so that several who share a budget do not overshoot it.

    They count against what remains until they are released, confirmed by an observation that names the
    `reservation` (an id is made if none is given), or `ttl_ms` have passed: longer than the calls may take,
    since what was made of them later is not known. The result says whether they were `granted`, and if not,
    when to try again (`retry_at`, null where waiting does not help). Not granted is no event, and not
    remembered for the command id. The same reservation again gets the same answer. As long as nobody has
    said what remains, everything is granted, or nothing could be learned.

    Granting and ending are events, since a grant must hold across a crash and count for the next command of
    the same transaction; running out is none, since the time says it. At most 100 are out for one limit.
    """

    command_name: ClassVar[str] = "rate_limits.reserve"

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None
    cost: Annotated[int, msgspec.Meta(ge=1, le=9007199254740991)] = 1
    ttl_ms: Annotated[int, msgspec.Meta(ge=1000, le=3600000)] = 60000
    reservation: Key | None = None


class Release(Command, frozen=True, kw_only=True):
    """A reservation is not needed any more; `used` of its calls were made, and are taken from what remains.

    A reservation that is not out (any more) is no error, and changes nothing: releasing twice is safe.
    """

    command_name: ClassVar[str] = "rate_limits.release"

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None
    reservation: Key
    used: Annotated[int, msgspec.Meta(ge=0, le=9007199254740991)] = 0


class Clear(Command, frozen=True, kw_only=True):
    """Forget what is known of this limit, its thresholds and reservations too."""

    command_name: ClassVar[str] = "rate_limits.clear"

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None
