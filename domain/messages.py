"""The types that all messages are made of: commands come in, events come out, recorded events stay."""

from typing import Annotated, Any

import msgspec

# `gc=False`, here and in all structs that are kept by the thousand: none of them can be part of a cycle, and
# the garbage collector would visit each of them again and again. With 40,000 waiting jobs, it stopped every
# thread for 60 ms at a time.

# A key of an aggregate: one path segment for people, one escaped token in a subject. The closing (?!\n)
# is for Python's `$`, which also matches before a trailing newline; other dialects ignore it.
KEY_PATTERN = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,199}(?<!\.)$(?!\n)"
Key = Annotated[str, msgspec.Meta(pattern=KEY_PATTERN, max_length=200)]

# A part of a composed key: like a key, but without colons, which separate the parts.
KEY_PART_PATTERN = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._@/+=-]{0,63}(?<!\.)$(?!\n)"
KeyPart = Annotated[str, msgspec.Meta(pattern=KEY_PART_PATTERN, max_length=64)]

# The patterns in words, for people.
KEY_RULES = {
    KEY_PATTERN: "a key has 1 to 200 letters, digits and . _ : @ / + = -, begins with a letter or digit,"
    " has no .. and does not end with a dot",
    KEY_PART_PATTERN: "a part of a key has 1 to 64 letters, digits and . _ @ / + = -, begins with a letter or"
    " digit, has no .. and does not end with a dot",
}

# A time: integer milliseconds since the Unix epoch, UTC, up to the end of the year 9999.
Time = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]

# A short text for people: a name, a reason.
Text = Annotated[str, msgspec.Meta(max_length=1000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


def about(meaning: str) -> msgspec.Meta:
    """The meaning of a field, for the documents of the contract."""
    return msgspec.Meta(description=meaning)


# A JSON value kept as the bytes it came in: it is stored and passed on without being decoded.
Json = msgspec.Raw


class Command(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """A wish, in the imperative; it may be refused. Unknown fields are refused.

    A field that holds its default may be sent or left out: it is the same command, also to a command id.
    """


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A fact, in the past tense; it is never refused. Fields that hold their default are not stored."""


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The cause of an event, as the caller told it; empty where the caller told nothing.

    `principal` alone is not the caller's to say: who really asked, a token's name or a user's.
    """

    actor: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    principal: str | None = None


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event with its place.

    `position` is that in the log (1, 2, 3 …), `version` that in the stream of the aggregate `key`.
    `recorded_at` is the time of its transaction in milliseconds, and never decreases along the log.
    """

    position: int
    key: str
    version: int
    recorded_at: int
    event: Any


def stream_name(table: str, key: str) -> str:
    """The stream of one aggregate: `jobs/9f1c`."""
    return f"{table}/{key}"


def split_stream(stream: str) -> tuple[str, str]:
    """The table and the key of a stream's name; the key may hold slashes of its own."""
    table, _, key = stream.partition("/")
    return table, key
