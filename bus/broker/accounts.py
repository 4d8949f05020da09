"""The configuration of nats-server: its accounts, the subjects that go between them, and users' permissions.

    account of each user          account SERVICE              account STREAMS, with JetStream

    commands, queries,  ────────▶ responder                    relay ── events, mirrors, notices ──▶ streams
    discovery                                                  relay ◀── durable commands ────────── streams
    durable commands    ──────────────────────────────────────────────────────────────────────────▶ streams
    JetStream's API     ─────────────────────────────────────▶ relay, which checks each request
    inboxes, results    ◀──────── responder ── results ──────────────────────────────────────────▶ streams
    inboxes             ◀──────────────────────────────────────────── what streams deliver, answers of the API
    live events, notices ◀─────────────────────────────────── relay, streams

Each user has an account of its own, because a permission only says where a user may publish, and nothing
about where the server publishes on that user's behalf. Within one shared account, a user could have messages
stored as events, and send its own answers to other users: by a request to JetStream with such a subject as
the reply subject, by a push consumer that delivers there, or by a request with another user's inbox. With an
account for each user, everything that JetStream does for a user stays in that user's account:

- Requests arrive in the service's accounts under `<prefix>.usr.<user>.…`, which names the sender, and are
  answered on `<prefix>_to.<user>.<inbox>`, which that user's account alone imports (`bus.contract.senders`).
- JetStream's API is not imported. The relay gets each request (`bus.serving.stream_access`), checks it, and
  has JetStream deliver into that user's inboxes only. Requests go as a *stream* of messages and not as a
  service, so that the relay sees the inbox that is to be answered.
- nats-server tells an account that imports nothing of JetStream's API that it has no JetStream. So each
  account imports the whole API from VOID, where nothing answers.
- Acknowledgements and flow control go straight to JetStream: their subjects hold the name of a consumer,
  which no other user can guess (`bus.serving.consumer_names`).

The system account has one user. It is told of connections as the application's user and of refused logins,
and may do nothing else there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from bus.broker.users import RELAY, RESPONDER, WATCHER, BrokerUser
from bus.contract.senders import ADMIN, APP, UserSubjects, private_inbox
from hyperpage_client.contract.subjects import BusNames

STREAMS_ACCOUNT = "STREAMS"
SERVICE_ACCOUNT = "SERVICE"
VOID_ACCOUNT = "VOID"
SYSTEM_ACCOUNT = "SYSTEM"
# The prefix to which an account without JetStream maps JetStream's API; nothing listens there.
_VOID = "void"
_API = "$JS.API.>"
_DISCOVERY = "$SRV.>"


def account_of(user: str) -> str:
    """The name of a user's account."""
    return f"USER_{user}"


def server_configuration(
    names: BusNames,
    passwords: Mapping[str, str],
    users: Sequence[BrokerUser],
    settings: Mapping[str, Any],
) -> bytes:
    """The configuration file of nats-server: `settings` (port, limits, paths), then the accounts.

    `passwords` are those of the service's own users. The file is JSON, which nats-server reads as well as its
    own format: a quote or a `$` in a path or password needs no care there.
    """
    watcher = {"user": WATCHER, "password": passwords[WATCHER]}
    hears = [f"{private_inbox(WATCHER)}.>", application_connects(), REFUSED_LOGINS]
    accounts = {
        SYSTEM_ACCOUNT: {"users": _with_rights([watcher], [], hears)},
        **accounts_configuration(
            names,
            {user: [{"user": user, "password": passwords[user]}] for user in (RELAY, RESPONDER)},
            users,
        ),
    }
    configuration = {**settings, "system_account": SYSTEM_ACCOUNT, "accounts": accounts}
    return msgspec.json.format(msgspec.json.encode(configuration), indent=1)


# The subject on which the system account is told of refused logins.
REFUSED_LOGINS = "$SYS.SERVER.*.CLIENT.AUTH.ERR"


def application_connects() -> str:
    """The subject on which the system account is told of connections as the application's user."""
    return f"$SYS.ACCOUNT.{account_of(APP)}.CONNECT"


def accounts_configuration(
    names: BusNames,
    own: Mapping[str, Sequence[Mapping[str, str]]],
    users: Sequence[BrokerUser],
) -> dict[str, Any]:
    """The accounts by their names. An operator includes this part in the configuration of an outside server.

    `own` are the credentials of relay and responder, such as `{"nkey": …}`; each may have several.
    """
    return {
        VOID_ACCOUNT: {"exports": [{"service": f"{_VOID}.*.>"}]},
        STREAMS_ACCOUNT: _streams_account(names, own[RELAY], users),
        SERVICE_ACCOUNT: _service_account(names, own[RESPONDER], users),
        **{account_of(user.name): _user_account(names, user) for user in users},
    }


def _streams_account(
    names: BusNames, relay: Sequence[Mapping[str, str]], users: Sequence[BrokerUser]
) -> dict[str, Any]:
    subjects = UserSubjects(names)
    everybody = [account_of(user.name) for user in users]
    return {
        "jetstream": "enabled",
        "users": _with_rights(relay, *_rights_of_relay(names)),
        "imports": [
            _stream(account_of(user.name), _API, to=subjects.sent(user.name, _API)) for user in users
        ],
        "exports": [
            *({"stream": subject, "accounts": everybody} for subject in (names.live_events, _notices(names))),
            *({"service": subject, "accounts": [SERVICE_ACCOUNT]} for subject in names.result_filters),
            *(
                {"service": subject, "accounts": everybody, **answers}
                for stream in (*names.readable, names.dead_letters)
                for subject, answers in _straight(stream).items()
            ),
            *(
                one
                for user in users
                for one in (
                    {
                        "service": subjects.sent(user.name, names.durable_command(">")),
                        "accounts": [account_of(user.name)],
                    },
                    {"stream": subjects.to(user.name, ">"), "accounts": [account_of(user.name)]},
                )
            ),
        ],
    }


def _service_account(
    names: BusNames,
    responder: Sequence[Mapping[str, str]],
    users: Sequence[BrokerUser],
) -> dict[str, Any]:
    subjects = UserSubjects(names)
    return {
        "users": _with_rights(responder, *_rights_of_responder(names)),
        "imports": [
            *({"service": {"account": STREAMS_ACCOUNT, "subject": one}} for one in names.result_filters),
            *(
                _stream(account_of(user.name), subject, to=subjects.sent(user.name, subject))
                for user in users
                for subject in _served(names, user)
            ),
        ],
        "exports": [
            {"stream": subject, "accounts": [account_of(user.name)]}
            for user in users
            for subject in (
                subjects.to(user.name, ">"),
                subjects.sent(user.name, names.result_filter),
            )
        ],
    }


def _user_account(names: BusNames, user: BrokerUser) -> dict[str, Any]:
    subjects = UserSubjects(names)
    inboxes = [f"{prefix}>" for prefix in subjects.inboxes(user.name)]
    readable = [*names.readable, *([names.dead_letters] if user.name == ADMIN else [])]
    straight = [subject for stream in readable for subject in _straight(stream)]
    followed = _followed(names, user)
    publish = [*_served(names, user), names.durable_command(">"), _API, *straight]
    # Wide subjects are safe here: only what is imported comes into the account.
    subscribe = [*inboxes, names.result_filter, names.events_of(), _notices(names)]
    return {
        "users": _with_rights(user.credentials, publish, subscribe),
        "exports": [
            *({"stream": subject, "accounts": [SERVICE_ACCOUNT]} for subject in _served(names, user)),
            {"stream": _API, "accounts": [STREAMS_ACCOUNT]},
        ],
        "imports": [
            *(
                _stream(account, subjects.to(user.name, inbox), to=inbox)
                for account in (SERVICE_ACCOUNT, STREAMS_ACCOUNT)
                for inbox in inboxes
            ),
            _stream(SERVICE_ACCOUNT, subjects.sent(user.name, names.result_filter), to=names.result_filter),
            *(_stream(STREAMS_ACCOUNT, subject, to=local) for subject, local in followed.items()),
            _service(
                STREAMS_ACCOUNT,
                subjects.sent(user.name, names.durable_command(">")),
                to=names.durable_command(">"),
            ),
            _service(VOID_ACCOUNT, f"{_VOID}.{user.name}.>", to=_API),
            *({"service": {"account": STREAMS_ACCOUNT, "subject": subject}} for subject in straight),
        ],
    }


def _served(names: BusNames, user: BrokerUser) -> list[str]:
    """The subjects of a user that the responder answers. The service checks which verbs the user may send."""
    own = [names.administration(">")] if user.name == ADMIN else []
    return [names.command(">"), names.query(">"), _DISCOVERY, *own]


def _followed(names: BusNames, user: BrokerUser) -> dict[str, str]:
    """The subjects of the live events and notices that a user gets, each with the user's name for it."""
    if user.rights.may_follow("*"):
        return {names.live_events: names.events_of(), _notices(names): _notices(names)}
    heard: dict[str, str] = {}
    for table in (*user.rights.follows, "system"):
        events = names.events_of(table)
        heard[names.live(events)] = events
        notices = f"{names.notice(table)}.>"
        heard[notices] = notices
    return heard


def _notices(names: BusNames) -> str:
    return f"{names.prefix}.sys.v1.>"


def _rights_of_relay(names: BusNames) -> tuple[list[str], list[str]]:
    """The subjects that the relay may publish to, and those that it may subscribe to."""
    subjects, prefix = UserSubjects(names), names.prefix
    mirrors = [f"$KV.{bucket}.>" for bucket in names.buckets]
    own = [f"{prefix}.{kind}.v1.>" for kind in ("evt", "dlq", "dcmd", "sys")]
    durable = subjects.sent("*", names.durable_command(">"))
    own += [names.frames, names.live(names.frames)]
    cluster = [f"$KV.{names.cluster}.>", f"$O.{names.backups}.>"]
    return (
        [*own, durable, *mirrors, *cluster, "$JS.API.>", "$JS.ACK.>", "$JS.FC.>", subjects.to("*", ">")],
        # Advisories tell of streams that were made or changed, and of messages delivered too often.
        [
            f"{private_inbox(RELAY)}.>",
            *own,
            *mirrors,
            names.cluster_changes,
            subjects.sent("*", _API),
            "$JS.EVENT.ADVISORY.>",
        ],
    )


def _rights_of_responder(names: BusNames) -> tuple[list[str], list[str]]:
    subjects = UserSubjects(names)
    served = [names.command(">"), names.query(">"), names.administration(">"), _DISCOVERY]
    # Services that do not lead pass requests on to the leader here. No other user may publish there, because
    # the subject names the sender of the request.
    led = names.led(">")
    return (
        [subjects.to("*", ">"), *names.result_filters, led],
        [
            f"{private_inbox(RESPONDER)}.>",
            *served,
            *(subjects.sent("*", subject) for subject in served),
            led,
        ],
    )


def _straight(stream: str) -> dict[str, dict[str, str]]:
    """The subjects on which clients of a stream's consumers speak to JetStream, with the kind of the answers.

    nats-server keeps 0.8 KB for each request that waits for more answers, and forgets it when none came for
    `threshold`. `+NXT` acknowledges and pulls at once, and a pull waits for messages. 5 minutes are ten times
    what clients wait by default.
    """
    return {
        f"$JS.ACK.{stream}.>": {"response_type": "stream", "threshold": "5m"},
        # Flow control of push consumers, mostly of ordered ones.
        f"$JS.FC.{stream}.>": {},
    }


def _stream(account: str, subject: str, *, to: str) -> dict[str, Any]:
    return {"stream": {"account": account, "subject": subject}, "to": to}


def _service(account: str, subject: str, *, to: str) -> dict[str, Any]:
    return {"service": {"account": account, "subject": subject}, "to": to}


def _with_rights(
    credentials: Iterable[Mapping[str, Any]], publish: list[str], subscribe: list[str]
) -> list[dict[str, Any]]:
    permissions = {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}
    return [{**one, "permissions": permissions} for one in credentials]
