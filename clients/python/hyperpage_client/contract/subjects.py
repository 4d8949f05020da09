"""The grammar of subjects: the only place where one is spelled.

    hyperpage.cmd.v1.<table>.<verb>              a command; the answer goes to the reply subject
    hyperpage.cmd.v1.batch                       several of them
    hyperpage.dcmd.v1.<table>.<verb>             a durable command, kept by a stream until it is answered
    hyperpage.res.v1.<command id>                the answer to a durable command
    hyperpage.qry.v1.<table>.<verb>              a query
    hyperpage.evt.v1.<table>.<key>.<change>      an event
    hyperpage.log.v1                             a group commit, for followers
    hyperpage.led.v1.<subject>                   a message to that subject, passed on to the leader
    hyperpage.sys.v1.…                           notices, which are not kept
    hyperpage.adm.v1.<area>.<verb>               administration
    hyperpage.dlq.v1.<table>.<verb>              a durable command that could not be processed
    hyperpage.usr.<user>.…                       a message from the account of a user (bus.contract.senders)
    hyperpage_to.<user>.<inbox>                  the answer to such a message

A key or id is one token: every byte outside `[A-Za-z0-9_-]` is written `=XX`.
"""

import re

import msgspec

_PLAIN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
# Printable ASCII without wildcards.
_LITERAL = re.compile(r"[!-)+\-/-=?-~]+(\.[!-)+\-/-=?-~]+)*")
# nats-server takes control lines of 4 KiB, with everything that belongs to them.
MAXIMUM_NAMED_INBOX_CHARACTERS = 1_000
# A command id has 128 characters, each of which may become 12 in a subject.
MAXIMUM_PATTERN_CHARACTERS = 2_000


# Stands in place of a command's name, in the subject of a batch.
BATCH = "batch"

# The inboxes for answers to administrative requests; no other client may read them.
ADMIN_INBOX = "_INBOX_admin."


# The event of a restore or of another leader. It passes every filter, since the log goes on differently.
TIMELINE_STREAM = "system/timeline"
TIMELINE_FORKED = "timeline.forked.v1"


def split_stream(stream: str) -> tuple[str, str]:
    """The table and the key of a stream's name; the key may hold slashes of its own."""
    table, _, key = stream.partition("/")
    return table, key


class BusNames(msgspec.Struct, frozen=True, kw_only=True):
    """All names on the bus, for one subject prefix and one inbox prefix (which ends with a dot).

    `mirrored_tables` are those whose rows are in KV buckets, too. A service says which ones of its own are.

    Raises:
        ValueError: a prefix is not made of plain tokens, or the two overlap.
    """

    prefix: str = "hyperpage"
    inbox_prefix: str = "_INBOX."
    mirrored_tables: tuple[str, ...] = ("tool_configs", "app_state")

    def __post_init__(self) -> None:
        for subject in (self.prefix, self.inbox_prefix.removesuffix(".")):
            if not _PLAIN.fullmatch(subject):
                raise ValueError(
                    f"{subject!r} is no prefix of subjects: letters, digits, _ and -, joined by dots"
                )
        if not self.inbox_prefix.endswith("."):
            raise ValueError(f"the inbox prefix {self.inbox_prefix!r} must end with a dot")
        # Otherwise the right to answer would be the right to publish events.
        if self.inbox_prefix.startswith(f"{self.prefix}.") or f"{self.prefix}.".startswith(self.inbox_prefix):
            raise ValueError(f"inboxes ({self.inbox_prefix}) must lie outside the subjects of {self.prefix}")

    @property
    def events(self) -> str:
        return self._stream("EVENTS")

    @property
    def results(self) -> str:
        return self._stream("RESULTS")

    @property
    def commands(self) -> str:
        return self._stream("COMMANDS")

    @property
    def dead_letters(self) -> str:
        return self._stream("DLQ")

    @property
    def log(self) -> str:
        return self._stream("LOG")

    @property
    def frames(self) -> str:
        """The subject of group commits on their way to followers."""
        return f"{self.prefix}.log.v1"

    @property
    def cluster(self) -> str:
        """The KV bucket in which the members of a cluster report, and which names the leader."""
        return f"{self._token().lower()}_cluster"

    @property
    def backups(self) -> str:
        """The object store in which members of a cluster find the newest backup."""
        return f"{self._token().lower()}_backups"

    @property
    def cluster_changes(self) -> str:
        """The subjects on which that bucket's stream repeats all it stores, for members that listen."""
        return f"{self.prefix}_live.cluster.v1.>"

    @property
    def mirrors(self) -> dict[str, str]:
        """The KV bucket of each table that has a mirror."""
        return {table: f"{self._token().lower()}_{table}" for table in self.mirrored_tables}

    @property
    def buckets(self) -> tuple[str, ...]:
        """The KV buckets of the mirrors."""
        return tuple(self.mirrors.values())

    @property
    def readable(self) -> tuple[str, ...]:
        """The streams that clients may read; a bucket is a stream, too."""
        return self.events, self.results, *map(self.stream_of_bucket, self.buckets)

    @property
    def live_events(self) -> str:
        """The subject on which the stream `events` republishes all it stores, for live subscribers.

        They see it on the event's own subject, `<prefix>.evt.v1.…`. Without this, only consumers see events.
        """
        return self.live(self.events_of())

    def live(self, events: str) -> str:
        """The subjects of the copies of live events, for subjects of events."""
        return f"{self.prefix}_live{events.removeprefix(self.prefix)}"

    def command(self, name: str) -> str:
        """The subject of `jobs.enqueue`, or of `batch`."""
        return f"{self.prefix}.cmd.v1.{name}"

    def durable_command(self, name: str) -> str:
        return f"{self.prefix}.dcmd.v1.{name}"

    def query(self, name: str) -> str:
        return f"{self.prefix}.qry.v1.{name}"

    def led(self, subject: str) -> str:
        """The subject on which a follower passes on to the leader what came to it on `subject`."""
        return f"{self.prefix}.led.v1.{subject}"

    def administration(self, name: str) -> str:
        return f"{self.prefix}.adm.v1.{name}"

    def dead_letter(self, name: str) -> str:
        return f"{self.prefix}.dlq.v1.{name}"

    def notice(self, *topic: str) -> str:
        """The subject of a notice, which is not kept; each part becomes a token."""
        return ".".join((f"{self.prefix}.sys.v1", *map(escape, topic)))

    def result(self, command_id: str) -> str:
        return f"{self.prefix}.res.v1.{escape(command_id)}"

    @property
    def result_filter(self) -> str:
        return f"{self.prefix}.res.v1.>"

    @property
    def result_filters(self) -> tuple[str, str]:
        """The subjects of all results: those of users who share an account, and of users with their own."""
        return self.result_filter, f"{self.prefix}.usr.*.res.v1.>"

    def event(self, stream: str, type_name: str) -> str:
        """`job.completed.v1` on stream `jobs/9f1c` goes to `….jobs.9f1c.completed`."""
        table, key = split_stream(stream)
        return f"{self.prefix}.evt.v1.{table}.{escape(key)}.{change_of(type_name)}"

    def event_sql(self) -> str:
        """The SQL for `event` of the columns `stream` and `type`, for keys that the domain allows."""
        key = "substr(stream, instr(stream, '/') + 1)"
        for character in _IN_KEYS:
            key = f"replace({key}, '{character}', '{escape(character)}')"
        change = "substr(type, instr(type, '.') + 1)"
        return (
            f"'{self.prefix}.evt.v1.' || substr(stream, 1, instr(stream, '/') - 1) || '.' || {key}"
            f" || '.' || substr({change}, 1, instr({change}, '.') - 1)"
        )

    def events_of(self, table: str | None = None) -> str:
        """The subjects of all events, or of one table's."""
        return f"{self.prefix}.evt.v1.{table}.>" if table else f"{self.prefix}.evt.v1.>"

    def changes_of(self, stream: str) -> str:
        """The subjects of all events of one stream: `….jobs.9f1c.*`."""
        return self.event(stream, "any.*")

    def changes(self, table: str, change: str) -> str:
        """The subjects of one kind of change, of any key: `….jobs.*.enqueued`."""
        return f"{self.prefix}.evt.v1.{table}.*.{change}"

    def mirrored(self, bucket: str, key: str) -> str:
        """The subject on which a bucket takes in the value of a key."""
        return f"$KV.{bucket}.{escape(key)}"

    def stream_of_bucket(self, bucket: str) -> str:
        return f"KV_{bucket}"

    def name_in(self, subject: str) -> str:
        """`jobs.enqueue`, from the subject of a command, a query or an administrative request."""
        return subject.removeprefix(f"{self.prefix}.").split(".", 2)[-1]

    def is_inbox(self, reply: str) -> bool:
        """Whether the answer to a command or query may go there."""
        return reply.startswith(self.inbox_prefix)

    def is_operators_inbox(self, reply: str) -> bool:
        """Whether the answer to an administrative request may go there.

        The private inbox is accepted for these requests alone, since an application could have the answers to
        its own requests sent there. An operator's commands and queries are answered in a usual inbox.
        """
        return reply.startswith((self.inbox_prefix, ADMIN_INBOX))

    def is_named_inbox(self, reply: str) -> bool:
        """Whether an answer may go to a subject that a header names.

        Unlike a reply subject, the broker has not checked it: a space in it would cut it off, and one that is
        too long would end the connection of its publisher.
        """
        return self.is_inbox(reply) and is_literal(reply)

    def _stream(self, kind: str) -> str:
        return f"{self._token().upper()}_{kind}"

    def _token(self) -> str:
        return re.sub(r"[^A-Za-z0-9_-]", "_", self.prefix)


# Characters that a key may have and a token may not. The escape character comes first.
_IN_KEYS = "=.:@/+"
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_ESCAPED = re.compile(r"([A-Za-z0-9_-]|=[0-9A-F]{2})+")
_NEEDS_ESCAPE = re.compile(r"[^A-Za-z0-9_-]")


def is_literal(subject: str, *, maximum: int = MAXIMUM_NAMED_INBOX_CHARACTERS) -> bool:
    """Whether a message can be published there, as far as its spelling goes."""
    return len(subject) <= maximum and _LITERAL.fullmatch(subject) is not None


def is_pattern(subject: str) -> bool:
    """Whether it can filter messages: a subject that may have wildcards, each of which is a whole token."""
    *first, last = subject.split(".")
    tokens = (*first, "*" if last == ">" else last)
    spelled = ".".join("x" if token == "*" else token for token in tokens)
    return is_literal(spelled, maximum=MAXIMUM_PATTERN_CHARACTERS)


def escape(key: str) -> str:
    """A key as one token of a subject."""
    if _NEEDS_ESCAPE.search(key) is None:
        return key
    return "".join(chr(byte) if byte in _SAFE else f"={byte:02X}" for byte in key.encode())


def unescape(token: str) -> str | None:
    """The key of a token; `None` if the token is no escaped key, such as a wildcard."""
    if _ESCAPED.fullmatch(token) is None:
        return None
    written = re.sub(b"=([0-9A-F]{2})", lambda match: bytes((int(match[1], 16),)), token.encode())
    try:
        return written.decode()
    except UnicodeDecodeError:
        return None


def change_of(type_name: str) -> str:
    """`completed` of `job.completed.v1`."""
    return type_name.split(".")[1]
