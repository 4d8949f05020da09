"""The users of the embedded nats-server, their permissions, and the configuration that says so.

    account CLIENTS, without JetStream                     account STREAMS, with JetStream

    app    ── commands, queries ──────────▶ responder      relay ── events, mirrors, notices ──▶ streams
    admin  ── the same, administration ───▶ responder      relay ◀── durable commands ────────── streams
              durable commands, results, reading of streams  ───────────── imported services ──▶
           ◀───── imported streams ───────  what consumers push to inboxes, live events, notices

Two accounts, because a permission says where a user may publish, and nothing about where the server publishes
on that user's behalf. In one account, the application user got messages stored as events: by asking JetStream
for anything with an event subject as the reply subject, by pulling messages to such a reply subject, and by a
push consumer whose deliver subject it had subscribed to. Between accounts, an answer comes back into the
asker's account and is not passed on to any import, and a push consumer reaches only subjects that somebody
subscribes to by their full name, which from CLIENTS is possible for the imported streams alone. So:

- Nothing that a stream of STREAMS takes in may be among the imported streams. Live events are therefore a
  copy under another subject (`live_events`), which the import turns back into the subject of the event.
- A pull consumer is such a full name (`$JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer>`): who knows it can have
  its messages pulled into the void, to be redelivered later. So the consumer of durable commands has a name
  that cannot be guessed, and clients cannot list it.
- What answers in CLIENTS can be reached by an answer of JetStream that the application user asked for. It has
  no reply subject, or one in `$JS.`: whoever serves administration refuses a request whose reply subject is
  not an inbox, before doing anything.
- A live event or a notice is a hint: one who holds the application user's password can send others a false
  one. What is in a stream, a mirror or an answer cannot be forged so.

The system account `$SYS` has no users, so nobody reaches it.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from bus.contract.subjects import BusNames

# Manages the streams, publishes events, mirrors, notices and dead letters, consumes durable commands.
RELAY = "relay"
# Serves commands, queries and administration; may publish to inboxes and results only.
RESPONDER = "responder"
# Every service that uses us; the user in runtime.json.
APP = "app"
# The operator; the user in admin.json.
ADMIN = "admin"
USERS = (RELAY, RESPONDER, APP, ADMIN)

STREAMS_ACCOUNT = "STREAMS"
CLIENTS_ACCOUNT = "CLIENTS"


def private_inbox(user: str) -> str:
    """The inbox prefix that a client of ours sets to keep its answers from other users (no dot at the end).

    Application clients share one user, and keep their library's default.
    """
    return f"_INBOX_{user}"


def server_configuration(names: BusNames, passwords: Mapping[str, str], settings: Mapping[str, Any]) -> bytes:
    """The configuration file of nats-server: `settings` (port, limits, paths), then who may do what.

    JSON, which its configuration format includes: a quote or a `$` in a path or password needs no thought.
    """
    services = _services(names)
    imported = _imported_streams(names)
    clients = {
        "users": [_user(user, names, passwords) for user in (RESPONDER, APP, ADMIN)],
        "imports": [
            *({"service": {"account": STREAMS_ACCOUNT, "subject": subject}} for subject in services),
            *(
                {"stream": {"account": STREAMS_ACCOUNT, "subject": subject}, "to": local}
                for subject, local in imported.items()
            ),
        ],
    }
    streams = {
        "jetstream": "enabled",
        "users": [_user(RELAY, names, passwords)],
        "exports": [
            *(
                {"service": subject, "accounts": [CLIENTS_ACCOUNT], **answers}
                for subject, answers in services.items()
            ),
            *({"stream": subject, "accounts": [CLIENTS_ACCOUNT]} for subject in imported),
        ],
    }
    accounts = {STREAMS_ACCOUNT: streams, CLIENTS_ACCOUNT: clients}
    return msgspec.json.format(msgspec.json.encode({**settings, "accounts": accounts}), indent=1)


def _user(user: str, names: BusNames, passwords: Mapping[str, str]) -> dict[str, Any]:
    publish, subscribe = _permissions(user, names)
    return {
        "user": user,
        "password": passwords[user],
        "permissions": {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}},
    }


def _permissions(user: str, names: BusNames) -> tuple[list[str], list[str]]:
    """The subjects that a user may publish to, and subscribe to; all others are refused."""
    prefix, own_inbox = names.prefix, f"{private_inbox(user)}.>"
    # The narrower `_INBOX.*` and `_INBOX.*.>` would gain nothing: nats-server matches the `>` of a
    # subscription to `_INBOX.>` as a token, and grants it. So our own users have inboxes elsewhere.
    inboxes = f"{names.inbox_prefix}>"
    match user:
        case "relay":
            mirrors = [f"$KV.{bucket}.>" for bucket in names.buckets]
            own = [f"{prefix}.{kind}.v1.>" for kind in ("evt", "dlq", "dcmd", "sys")]
            return (
                [*own, *mirrors, "$JS.API.>", "$JS.ACK.>", "$JS.FC.>"],
                # Advisories tell of messages that were delivered too often.
                [own_inbox, *own, *mirrors, "$JS.EVENT.ADVISORY.>"],
            )
        case "responder":
            return (
                [inboxes, f"{private_inbox(ADMIN)}.>", f"{prefix}.res.v1.>"],
                [own_inbox, *(f"{prefix}.{kind}.>" for kind in ("cmd", "qry", "adm")), "$SRV.>"],
            )
        case "app":
            return (
                [
                    *(f"{prefix}.{kind}.v1.>" for kind in ("cmd", "dcmd", "qry")),
                    "$SRV.>",
                    *_jetstream(_readable(names)),
                ],
                [inboxes, *(f"{prefix}.{kind}.v1.>" for kind in ("evt", "res", "sys"))],
            )
        case "admin":
            publish, subscribe = _permissions(APP, names)
            return (
                [*publish, f"{prefix}.adm.v1.>", *_reading(names.dead_letters)],
                [*subscribe, own_inbox],
            )
        case _:
            raise ValueError(f"{user!r} is not one of {', '.join(USERS)}")


def _services(names: BusNames) -> dict[str, dict[str, str]]:
    """The requests of CLIENTS to STREAMS, with how each answers; a user's permissions narrow them further."""
    return {
        f"{names.prefix}.dcmd.v1.>": {},
        f"{names.prefix}.res.v1.>": {},
        **_jetstream([*_readable(names), names.dead_letters]),
    }


def _imported_streams(names: BusNames) -> dict[str, str]:
    """The subjects that STREAMS publishes into CLIENTS, with those that they arrive under.

    See the module's first rule.
    """
    inboxes = [f"{names.inbox_prefix}>", f"{private_inbox(ADMIN)}.>"]
    unchanged = [*inboxes, f"{names.prefix}.sys.v1.>"]
    return {**{subject: subject for subject in unchanged}, names.live_events: f"{names.prefix}.evt.v1.>"}


def _readable(names: BusNames) -> list[str]:
    """The streams that every client may read; a bucket is a stream named `KV_…`."""
    return [names.events, names.results, *(f"KV_{bucket}" for bucket in names.buckets)]


def _jetstream(streams: list[str]) -> dict[str, dict[str, str]]:
    """The part of JetStream's API that clients of any language use to read these streams."""
    subjects: dict[str, dict[str, str]] = {"$JS.API.INFO": {}, "$JS.API.STREAM.NAMES": {}}
    for stream in streams:
        subjects |= _reading(stream)
    return subjects


def _reading(stream: str) -> dict[str, dict[str, str]]:
    """Subjects that read one stream, with how each answers: once, unless said otherwise.

    nats-server forgets who waits for more answers when none came for `threshold`, and keeps 0.8 KB for each
    until then. A pull waits for messages: 5 minutes are ten times what clients wait by default. A direct get
    is answered at once, and may be asked thousands of times a second.
    """
    one: dict[str, str] = {}
    waiting = {"response_type": "stream", "threshold": "5m"}
    burst = {"response_type": "stream", "threshold": "5s"}
    return {
        f"$JS.API.STREAM.INFO.{stream}": one,
        f"$JS.API.STREAM.MSG.GET.{stream}": one,
        f"$JS.API.DIRECT.GET.{stream}": burst,
        f"$JS.API.DIRECT.GET.{stream}.>": burst,
        # For consumers without a name, with a name and perhaps a filter, and durable ones of older clients.
        f"$JS.API.CONSUMER.CREATE.{stream}": one,
        f"$JS.API.CONSUMER.CREATE.{stream}.>": one,
        f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.*": one,
        f"$JS.API.CONSUMER.INFO.{stream}.*": one,
        f"$JS.API.CONSUMER.NAMES.{stream}": one,
        f"$JS.API.CONSUMER.LIST.{stream}": one,
        f"$JS.API.CONSUMER.DELETE.{stream}.*": one,
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*": waiting,
        # `+NXT` acknowledges and pulls at once.
        f"$JS.ACK.{stream}.>": waiting,
        # Flow control of push consumers, ordered ones above all.
        f"$JS.FC.{stream}.>": one,
    }
