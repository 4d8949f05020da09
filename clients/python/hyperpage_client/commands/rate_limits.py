"""The commands of `rate_limits`. Made by `make client`."""

from typing import Annotated, ClassVar

import msgspec

from hyperpage_client.commands.fields import Key, KeyPart, Text, Time
from hyperpage_client.contract.commands import Command


class Observe(Command, frozen=True, kw_only=True):
    """A platform's report on its limit. `reset_time` and `observed_at` are milliseconds since the epoch.

    Fields that are left out keep their known values within the same window. Observations come often and say
    little new: one becomes an event only if it shows another window, a change of 5 % of the limit or of the
    level, or comes at least a minute after the last one kept. With `data_fresh: false` (it came from a cache,
    say) nothing is kept. `reservation` names the reservation that the calls were made under: it is spent
    then.
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
    """A platform's answer to a call: its status, and its headers as they came, in upper or lower case.

    Headers that do not concern limits are not looked at, values that make no sense are ignored, and none is
    stored. Without a `resource`, the one in the headers counts (GitHub's `core`, a bucket of Discord's). 429,
    503 with Retry-After, and GitHub's 403 count as a refusal because of a limit; `rate_limited` confirms or
    denies that, where the body told the caller. After a refusal, no call is allowed until Retry-After has
    passed; without that header, until the reset if nothing remains; otherwise for 60 s, twice as long with
    each further refusal. The result is the answer of `may_call`, with the `resource`.
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
    """The shares of the limit used, in percent, at which its level becomes warning, and critical."""

    command_name: ClassVar[str] = "rate_limits.set_thresholds"

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None
    warning_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 80
    critical_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 95


class Reserve(Command, frozen=True, kw_only=True):
    """Calls set aside for one worker, so that several workers with one budget do not overshoot it.

    The calls count against what remains until they are released, or confirmed by an observation that names
    the `reservation` (an id is made if none is given), or until `ttl_ms` have passed. `ttl_ms` must be longer
    than the calls may take: later, it is unknown what was made of them. The result says whether they were
    `granted`, and if not, when to try again (`retry_at`, null where waiting does not help). A reservation
    that is not granted makes no event, and is not remembered for the command id. The same reservation again
    gets the same answer. As long as no observation has said what remains, every reservation is granted:
    otherwise no call would be made, and nothing learned.

    Granting and ending are events, since a grant must hold across a crash and count for the next command of
    the same transaction. Expiry makes no event, since it follows from the time. A limit has at most 100 open
    reservations.
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

    It is no error to release a reservation that is not open (any more), and changes nothing: releasing twice
    is safe.
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
