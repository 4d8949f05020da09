"""The commands and the events of rate limits, and their keys."""

from typing import Annotated, Any

import msgspec

from domain.errors import Invalid
from domain.messages import Command, Event, Key, KeyPart, Text, Time
from domain.rate_limits.headers import HeaderName, HeaderValue, named_resource
from domain.rate_limits.reading import Reading

# The largest count, of calls or of other units of a platform: JSON's integers are exact up to here.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Cost = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
Percent = Annotated[int, msgspec.Meta(ge=1, le=100)]

# The most headers: a platform sends some 30, and a proxy in between adds a few.
MAXIMUM_HEADERS = 200

WARNING_PERCENT = 80
CRITICAL_PERCENT = 95


class Keyed(Command, frozen=True, kw_only=True):
    """Which limit: an identifier (an account, a host) needs a resource."""

    platform: KeyPart
    resource: KeyPart | None = None
    identifier: KeyPart | None = None


class Observe(Keyed, frozen=True, kw_only=True):
    """A platform's report on its limit. `reset_time` and `observed_at` are milliseconds since the epoch.

    Fields that are left out keep their known values within the same window. Observations come often and say
    little new: one becomes an event only if it shows another window, a change of 5 % of the limit or of the
    level, or comes at least a minute after the last one kept. With `data_fresh: false` (it came from a cache,
    say) nothing is kept. `reservation` names the reservation that the calls were made under: it is spent
    then.
    """

    remaining: Count | None = None
    limit: Count | None = None
    used: Count | None = None
    reset_time: Time | None = None
    observed_at: Time | None = None
    data_fresh: bool = True
    reservation: Key | None = None


class ObserveResponse(Keyed, frozen=True, kw_only=True):
    """A platform's answer to a call: its status, and its headers as they came, in upper or lower case.

    Headers that do not concern limits are not looked at, values that make no sense are ignored, and none is
    stored. Without a `resource`, the one in the headers counts (GitHub's `core`, a bucket of Discord's). 429,
    503 with Retry-After, and GitHub's 403 count as a refusal because of a limit; `rate_limited` confirms or
    denies that, where the body told the caller. After a refusal, no call is allowed until Retry-After has
    passed; without that header, until the reset if nothing remains; otherwise for 60 s, twice as long with
    each further refusal. The result is the answer of `may_call`, with the `resource`.
    """

    status: Annotated[int, msgspec.Meta(ge=100, le=599)]
    headers: Annotated[dict[HeaderName, HeaderValue], msgspec.Meta(max_length=MAXIMUM_HEADERS)]
    observed_at: Time | None = None
    rate_limited: bool | None = None
    reservation: Key | None = None


class Throttle(Keyed, frozen=True, kw_only=True):
    """No calls before `until` (milliseconds since the epoch)."""

    until: Time
    reason: Text | None = None


class SetThresholds(Keyed, frozen=True, kw_only=True):
    """The shares of the limit used, in percent, at which its level becomes warning, and critical."""

    warning_percent: Percent = WARNING_PERCENT
    critical_percent: Percent = CRITICAL_PERCENT


class Reserve(Keyed, frozen=True, kw_only=True):
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

    cost: Cost = 1
    ttl_ms: Annotated[int, msgspec.Meta(ge=1_000, le=3_600_000)] = 60_000
    reservation: Key | None = None


class Release(Keyed, frozen=True, kw_only=True):
    """A reservation is not needed any more; `used` of its calls were made, and are taken from what remains.

    It is no error to release a reservation that is not open (any more), and changes nothing: releasing twice
    is safe.
    """

    reservation: Key
    used: Count = 0


class Clear(Keyed, frozen=True, kw_only=True):
    """Forget what is known of this limit, its thresholds and reservations too."""


class Import(Keyed, frozen=True, kw_only=True):
    """The service's own: a limit as the system before knew it, at `last_updated`."""

    remaining: Count | None = None
    limit: Count | None = None
    reset_time: Time | None = None
    last_updated: Time
    created_at: Time


class Imported(Event, frozen=True, kw_only=True):
    """A limit as the system before knew it, at `last_updated`."""

    remaining: int | None = None
    limit: int | None = None
    reset_time: int | None = None
    last_updated: int
    created_at: int


class Observed(Event, frozen=True, kw_only=True):
    """The policies of a limit as they are known now; the counts are those of the policy that binds.

    `others` are the other policies, `reservation` is the reservation that this observation confirms.
    """

    remaining: int | None = None
    limit: int | None = None
    used: int | None = None
    reset_time: int | None = None
    observed_at: int
    policy: str = ""
    window_ms: int | None = None
    near_limit: bool = False
    others: tuple[Reading, ...] = ()
    reservation: str | None = None


class LevelChanged(Event, frozen=True, kw_only=True):
    """The limit's level has changed since its last event."""

    level: str
    previous: str


class Throttled(Event, frozen=True, kw_only=True):
    """No calls before `until`. `refusals` counts the refusals in a row that led to it; 0 if none did.

    `wide` says that the platform means all of its resources, not only the one that was called.
    """

    until: int
    reason: str | None = None
    refusals: int = 0
    refused_at: int | None = None
    wide: bool = False


class ThresholdsSet(Event, frozen=True, kw_only=True):
    """The shares of the limit used, in percent, at which its level becomes warning, and critical."""

    warning_percent: int
    critical_percent: int


class Reserved(Event, frozen=True, kw_only=True):
    """Calls are set aside until `expires_at`."""

    reservation: str
    cost: int
    expires_at: int


class Released(Event, frozen=True, kw_only=True):
    """A reservation ended; `used` of its calls were made."""

    reservation: str
    used: int = 0


class JobCalls(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The calls that the attempt of a job may make."""

    job: str
    cost: int = 1


class CallsClaimed(Event, frozen=True, kw_only=True):
    """Jobs were claimed, and the calls of their attempts are set aside."""

    jobs: tuple[JobCalls, ...]


class CallsEnded(Event, frozen=True, kw_only=True):
    """The attempt of a job has ended; `unused` of its calls were not made."""

    job: str
    unused: int = 0


class Cleared(Event, frozen=True, kw_only=True):
    """Nothing is known of the limit any more."""


def key_of(command: Any) -> str:
    """The key of a command or a query with `platform`, `resource` and `identifier`.

    Raises:
        Invalid: an identifier without a resource.
    """
    return _key(command, command.resource)


def key_of_response(command: ObserveResponse) -> str:
    """The key of a response: as `key_of`, with the resource of its headers if none is given.

    Raises:
        Invalid: an identifier without a resource, given or in the headers.
    """
    return _key(command, command.resource or named_resource(command.headers))


def _key(command: Any, resource: str | None) -> str:
    if command.identifier is not None and resource is None:
        raise Invalid("an identifier needs a resource", path="$.resource")
    parts = (command.platform, command.identifier, resource)
    return ":".join(part for part in parts if part is not None)


def parts_of(key: str) -> tuple[str, str | None, str | None]:
    """Platform, resource and identifier of a key."""
    match key.split(":"):
        case [platform]:
            return platform, None, None
        case [platform, resource]:
            return platform, resource, None
        case [platform, identifier, resource]:
            return platform, resource, identifier
        case _:
            raise ValueError(f"not the key of a rate limit: {key}")
